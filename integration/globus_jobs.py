"""What the tests of batches with Globus share: the service as the job reaches it, and two collections."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from commands import Job, transfer
from servers.globus_service import GlobusService, globus_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.tls import TlsFiles


@pytest.fixture
def globus(tls_files: TlsFiles, job: Job) -> Iterator[GlobusService]:
    with globus_service(tls_files) as service:
        job.environment.update(service.environment, SSL_CERT_FILE=str(tls_files.ca), **service.login)
        yield service


class Ends:
    """Two collections and their folders."""

    def __init__(self, globus: GlobusService, folder: Path) -> None:
        self.a, self.b = folder / "a", folder / "b"
        self.source, self.destination = globus.collection(self.a), globus.collection(self.b)

    def copy(self, name: str, **more: Any) -> dict[str, Any]:
        return transfer(
            name, f"globus://{self.source}/{name}", f"globus://{self.destination}/out/{name}", **more
        )

    def fill(self, *names: str, size: int = 1000) -> dict[str, bytes]:
        made = {name: os.urandom(size) for name in names}
        for name, content in made.items():
            (self.a / name).write_bytes(content)
        return made


@pytest.fixture
def ends(globus: GlobusService, tmp_path: Path) -> Ends:
    return Ends(globus, tmp_path)


def numbered(count: int) -> list[str]:
    return [f"f{number:04}" for number in range(count)]


def sums(made: dict[str, bytes]) -> dict[str, dict[str, str]]:
    return {
        name: {"type": "sha256", "value": hashlib.sha256(content).hexdigest()}
        for name, content in made.items()
    }


def statuses(globus: GlobusService) -> list[str]:
    return [task["status"] for task in globus.tasks()]
