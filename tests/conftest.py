"""Fixtures that several test files share; `servers/fixtures.py` describes them."""

import pytest

# Before anything imports it: the shipped suite then shows values when it fails, as test modules do.
pytest.register_assert_rewrite("wf.protocols")

from servers.fixtures import (  # noqa: E402
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
