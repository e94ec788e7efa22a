"""Fixtures of jobs that use federations; test modules import them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import Job
from servers.federation import Federation, federation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.tls import TlsFiles


@pytest.fixture(scope="session")
def federation_service(tls_files: TlsFiles) -> Iterator[Federation]:
    with federation(tls_files) as service:
        yield service


@pytest.fixture
def fed(federation_service: Federation) -> Federation:
    """The federation, shared by the tests of the session: use names of your own."""
    federation_service.reset()
    return federation_service


@pytest.fixture
def job(tmp_path: Path, tls_files: TlsFiles) -> Job:
    """A job that trusts the federation, without any token."""
    job = Job(tmp_path)
    job.environment["SSL_CERT_FILE"] = str(tls_files.ca)
    return job
