"""Fixtures of whole jobs. The servers are those of `tests/servers/`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
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

# The tests share `commands.py`, and pytest's importlib mode puts no folder of tests on the path.
sys.path.insert(0, str(Path(__file__).parent))

from commands import Job, Neighbours

if TYPE_CHECKING:
    from servers.nginx import Nginx

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


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job's folder and environment, empty."""
    return Job(tmp_path)


@pytest.fixture
def neighbours(web: Nginx, job: Job) -> Neighbours:
    """Good requests to put around a bad one."""
    return Neighbours(web, job)
