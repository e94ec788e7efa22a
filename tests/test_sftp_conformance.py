"""SFTP keeps the obligations of a protocol, over OpenSSH's server and asyncssh's, through `ssh` and through paramiko."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from servers.faults import Fault, cut, fault_proxy, stall
from servers.sshd import PHRASE, Keys, Sshd, asyncssh_server, make_keys, sshd
from sftp_tools import FAR
from wf.credentials.kinds import Secret, SshKey
from wf.protocols.conformance import StoreConformance, make_context
from wf.protocols.locations import Location, parse_location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        return FAR

    @pytest.fixture
    def running(self) -> Sshd:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def ssh(self, running: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{running.path}:{os.environ['PATH']}")

    @pytest.fixture
    def place(self, running: Sshd) -> Location:
        folder = running.folder / str(next(self._numbers))
        folder.mkdir()
        return parse_location(f"{running.url}{folder}")

    @pytest.fixture
    def denied_location(self, running: Sshd) -> Location:
        """The account of somebody else."""
        (running.folder / "secret").write_bytes(b"secret")
        return parse_location(f"sftp://nobody-of-this-name@127.0.0.1:{running.port}{running.folder}/secret")

    @pytest.fixture
    def cut_location(self, running: Sshd) -> Iterator[Location]:
        yield from self._through(running, "cut", cut)

    @pytest.fixture
    def stalled_location(self, running: Sshd) -> Iterator[Location]:
        yield from self._through(running, "stalled", stall)

    def _through(self, running: Sshd, name: str, fault: Callable[[int], Fault]) -> Iterator[Location]:
        """A file behind a proxy that breaks the connection in its middle."""
        (running.folder / name).write_bytes(bytes(100_000))
        with fault_proxy(running.port, fault(50_000)) as faulty:
            running.trust(faulty.port)
            yield parse_location(f"sftp://{running.user}@127.0.0.1:{faulty.port}{running.folder}/{name}")

    def put(self, store: Store, location: Location, data: bytes) -> None:
        """A version is size and second, so that each needs a second of its own, and one that is long past."""
        super().put(store, location, data)
        if not location.path.endswith("/"):
            os.utime(location.path, (0, next(self._times)))


class TestOpenSsh(SftpConformance):
    @pytest.fixture
    def running(self, openssh: Sshd) -> Sshd:
        return openssh


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
    @pytest.fixture
    def running(self, asyncssh: Sshd) -> Sshd:
        return asyncssh

    @pytest.fixture
    def denied_location(self) -> None:
        """It takes the key of its tests for everybody's."""
        return


class TestWithoutSubsystem(SftpConformance):
    """Spoken to as the old scp did."""

    @pytest.fixture
    def running(self, old: Sshd) -> Sshd:
        return old

    @pytest.fixture
    def capability(self) -> Capability:
        return FAR._replace(
            read_range=False,
            read_version=False,
            read_times=False,
            read_modes=False,
            write_times=False,
            write_modes=False,
            write_needs_size=True,
            write_resume=False,
            write_parts=False,
            list=False,
        )
