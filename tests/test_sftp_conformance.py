"""SFTP keeps the obligations of a protocol, over OpenSSH's server and asyncssh's, through `ssh` and through paramiko."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from servers.faults import cut, fault_proxy, stall
from servers.sshd import PHRASE, Keys, Sshd, asyncssh_server, make_keys, sshd
from wf.credentials.kinds import Secret, SshKey
from wf.protocols.conformance import StoreConformance, make_context
from wf.protocols.locations import Location, parse_location
from wf.protocols.registry import SFTP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wf.protocols.capability import Capability
    from wf.protocols.context import Context
    from wf.protocols.contract import Store


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def openssh(keys: Keys) -> Iterator[Sshd]:
    with sshd(keys) as server:
        yield server


@pytest.fixture(scope="module")
def old(keys: Keys) -> Iterator[Sshd]:
    """A server without SFTP; the client's processes share one connection, for there are many of them."""
    with sshd(keys, subsystem="") as server, server.one_connection():
        yield server


class SftpConformance(StoreConformance):
    """What is the same over all servers and transports."""

    _numbers = itertools.count(1)
    _times = itertools.count(1_000_000_000, 10)

    @pytest.fixture
    def capability(self) -> Capability:
        return SFTP

    def put(self, store: Store, location: Location, data: bytes) -> None:
        """A version is size and second, so that each needs a second of its own, and one that is long past."""
        super().put(store, location, data)
        if not location.path.endswith("/"):
            os.utime(location.path, (0, next(self._times)))


class TestOpenSsh(SftpConformance):
    @pytest.fixture(autouse=True)
    def ssh(self, openssh: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{openssh.path}:{os.environ['PATH']}")

    @pytest.fixture
    def place(self, openssh: Sshd) -> Location:
        folder = openssh.folder / str(next(self._numbers))
        folder.mkdir()
        return parse_location(f"{openssh.url}{folder}")

    @pytest.fixture
    def cut_location(self, openssh: Sshd) -> Iterator[Location]:
        (openssh.folder / "cut").write_bytes(bytes(100_000))
        with fault_proxy(openssh.port, cut(50_000)) as faulty:
            openssh.trust(faulty.port)
            yield parse_location(f"sftp://127.0.0.1:{faulty.port}{openssh.folder}/cut")

    @pytest.fixture
    def stalled_location(self, openssh: Sshd) -> Iterator[Location]:
        (openssh.folder / "stalled").write_bytes(bytes(100_000))
        with fault_proxy(openssh.port, stall(50_000)) as faulty:
            openssh.trust(faulty.port)
            yield parse_location(f"sftp://127.0.0.1:{faulty.port}{openssh.folder}/stalled")


class TestParamiko(TestOpenSsh):
    """The key has a pass phrase, which `ssh` would ask a terminal for."""

    @pytest.fixture
    def context(self, keys: Keys) -> Context:
        key = SshKey(str(keys.locked), passphrase=Secret(PHRASE), name="locked", origin="the test")
        return make_context(credential=key)


@pytest.fixture(scope="module")
def asyncssh(keys: Keys) -> Iterator[Sshd]:
    with asyncssh_server(keys) as server:
        yield server


class TestAsyncSsh(SftpConformance):
    @pytest.fixture(autouse=True)
    def ssh(self, asyncssh: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{asyncssh.path}:{os.environ['PATH']}")

    @pytest.fixture
    def place(self, asyncssh: Sshd) -> Location:
        folder = asyncssh.folder / str(next(self._numbers))
        folder.mkdir()
        return parse_location(f"{asyncssh.url}{folder}")


class TestWithoutSubsystem(SftpConformance):
    """Spoken to as the old scp did."""

    @pytest.fixture(autouse=True)
    def ssh(self, old: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{old.path}:{os.environ['PATH']}")

    @pytest.fixture
    def capability(self) -> Capability:
        return SFTP._replace(
            read_range=False, read_version=False, write_needs_size=True, write_resume=False, list=False
        )

    @pytest.fixture
    def place(self, old: Sshd) -> Location:
        folder = old.folder / str(next(self._numbers))
        folder.mkdir()
        return parse_location(f"scp://{old.user}@127.0.0.1:{old.port}{folder}")
