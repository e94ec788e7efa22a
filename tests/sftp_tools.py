"""What the tests of SFTP share: keys, servers, locations, and runs over them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from wf.credentials.kinds import Anonymous, Secret, SshKey
from wf.protocols.conformance_tools import content, make_context
from wf.protocols.locations import Location, parse_location
from wf.protocols.registry import SFTP
from wf.protocols.sftp import SftpStore

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from servers.sshd import Keys, Sshd
    from wf.credentials.kinds import Credential
    from wf.protocols.context import Context


class Credentials(NamedTuple):
    """A source of credentials: one for each scheme that needs one."""

    of: dict[str, Credential]

    def find(self, scheme: str, host: str, site: str = "", **details: object) -> Credential:
        return self.of.get(scheme, Anonymous())

    def name(self, scheme: str, host: str, site: str = "", **details: object) -> str:
        return self.find(scheme, host).name


def place(server: Sshd, name: str = "", *, scheme: str = "sftp", port: int = 0) -> Location:
    """A name in the server's folder."""
    path = f"{server.folder}/{name}" if name else str(server.folder)
    return parse_location(f"{scheme}://{server.user}@127.0.0.1:{port or server.port}{path}")


def planted(server: Sshd, name: str, data: bytes, *, port: int = 0) -> Location:
    """The location of a file that is there."""
    path: Path = server.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return place(server, name, port=port)


def fresh(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """The same server with a new and empty folder, and with its `ssh` as the one that is found."""
    folder = server.folder / os.urandom(4).hex()
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{server.path}:{os.environ['PATH']}")
    return server._replace(folder=folder)


def body(at: int, size: int = 5_000) -> bytes:
    """Bytes that tell at their end which file they are of."""
    return content(size)[: max(0, size - 4)] + at.to_bytes(4, "big")[: min(size, 4)]


class FarStore(SftpStore):
    """Takes every host for one that is far away, so that large files go in parts."""

    far_seconds = 0.0


FAR = SFTP._replace(implementation=FarStore)


def store(context: Context | None = None, **options: object) -> SftpStore:
    return SftpStore(context or make_context(**options))  # type: ignore[arg-type]


def locked_key(keys: Keys, phrase: str) -> SshKey:
    """A key that `ssh` cannot open by itself, so that paramiko presents it."""
    return SshKey(str(keys.locked), passphrase=Secret(phrase), name="locked", origin="the test")
