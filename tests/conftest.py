"""Fixtures that several test files share; `servers/fixtures.py` describes them."""

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
