"""Fixtures that several test files share; `servers/fixtures.py` describes them."""

import os

# Loopback is not exempt from proxies: what happens to be set here would be asked for the tests' own servers.
for _name in [name for name in os.environ if name.lower().endswith("_proxy") or name == "OSG_SQUID_LOCATION"]:
    del os.environ[_name]

from servers.fixtures import (
    bucket,
    proxy,
    pytest_terminal_summary,
    s3,
    seaweed_service,
    tls_files,
    unprivileged,
    web,
)

__all__ = [
    "bucket",
    "proxy",
    "pytest_terminal_summary",
    "s3",
    "seaweed_service",
    "tls_files",
    "unprivileged",
    "web",
]
