"""What everything over SSH shares: whom a location means, what its path is there, and how channels are opened.

A channel is one conversation with one program at the far side: the SFTP subsystem, or a command. Two things make
them: the `ssh` program (`ssh_process.py`), which brings the user's configuration, agent and jump hosts; and paramiko
(`ssh_paramiko.py`), where there is no such program, or where a password or a pass phrase is to be presented, which
`ssh` takes from a terminal only.

A path is absolute; `/~/` begins one in the home folder of the account. Everything else in it is literal.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..checksum.records import NamedTuple
from .errors import Misconfigured
from .locations import login_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final
    from typing import Protocol as TypingProtocol

    from ..credentials.kinds import Credential
    from .context import Context
    from .errors import TransferError
    from .locations import Location

    class Channel(TypingProtocol):
        """Bytes to and from one program at the far side. Nothing here waits, apart from `wait`."""

        what: str
        """The host, for messages."""
        silent: bool
        """It has ended, and `why` found no word of the reason."""

        def write(self, pieces: list[bytes | memoryview]) -> int:
            """How many bytes of the pieces were taken; 0 when nothing fits now. Raises OSError when it has ended."""

        def read(self, view: memoryview) -> int:
            """How many bytes came into `view`; 0 at the end, -1 when nothing is there yet. Raises OSError."""

        def wait(self, seconds: float, *, to_write: bool) -> None:
            """Returns when something can be read or, with `to_write`, written; at the latest after `seconds`."""

        def settled(self) -> None:
            """What was said until now was about logging in, and is no reason for what fails later."""

        def end_of_input(self) -> None:
            """Nothing more will be written."""

        def why(self, kind: type[TransferError], doing: str) -> TransferError:
            """The error for a channel that has ended: what the far side or `ssh` said, else `kind`."""

        def close(self, *, at_once: bool = False) -> None:
            """Ends it; with `at_once` without giving the far side time. Never raises."""

    class Opener(TypingProtocol):
        """Makes channels to one account on one host; `alone`: not over a connection that is shared with others."""

        def subsystem(self, name: str, *, alone: bool = False) -> Channel: ...
        def command(self, text: bytes) -> Channel: ...
        def close(self) -> None: ...


_HOST: Final = re.compile(r"[A-Za-z0-9_.:%][A-Za-z0-9_.:%-]*")
# The user's own configuration may hand both to a shell (ProxyCommand, Match exec): what could mean something there is
# refused.
_USER: Final = re.compile(r"[^-\x00-\x20\x7f'\"`$\\;&<>|(){}][^\x00-\x20\x7f'\"`$\\;&<>|(){}]*")
_PORT: Final = re.compile(r"[0-9]{1,5}")


class Account(NamedTuple):
    """An account on a host. An empty user and port 0 are what the user's configuration says, else the usual ones."""

    host: str
    port: int
    user: str

    @property
    def shown(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        host = f"[{self.host}]" if port and ":" in self.host else self.host
        return f"{user}{host}{port}"


def account_of(location: Location, user: str = "") -> Account:
    """The account that a location means; `user` is the credential's, for a URL that names none.

    Raises Misconfigured for a host or user that could be taken for an option or reach a shell.
    """
    named, _, place = login_of(location)
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = place.partition(":")
    named = named or user
    if not _HOST.fullmatch(host) or (named and not _USER.fullmatch(named)):
        raise _refused(location, "its host or user name holds what no such name may hold")
    if port and not (_PORT.fullmatch(port) and 0 < int(port) < 65536):
        raise _refused(location, "its port is not a number from 1 to 65535")
    return Account(host, int(port or 0), named)


def _refused(location: Location, why: str) -> Misconfigured:
    return Misconfigured(
        f"cannot connect to {location.shown}: {why}",
        remedy=f"write {location.scheme}://[user@]host[:port]/path",
    )


def path_of(location: Location) -> bytes:
    """The path at the far side. `/~/` is left out: a relative path begins in the home folder (the server's choice)."""
    path = location.path
    if path == "/~" or path.startswith("/~/"):
        path = path[3:].lstrip("/") or "."
    return (path or "/").encode("utf-8", "surrogateescape")


@lru_cache(16)
def shown_path(path: bytes) -> str:
    """A path as messages show it."""
    from ..credentials.redaction import printable

    return printable(path.decode("utf-8", "surrogateescape"))


class Connections:
    """What one worker's store connects with: an opener for each account and credential."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._openers: dict[tuple[Account, Credential], Opener] = {}
        self._last: tuple[str, Credential, tuple[tuple[Account, Credential], Opener]] | None = None
        """The host and the credential that were asked for last, and what they came to."""

    def opener(self, location: Location, purpose: str) -> tuple[tuple[Account, Credential], Opener]:
        """The opener for a location, and its key: what is open under the same key serves the location too."""
        credential = self._context.credential(location, purpose)
        if self._last is not None and self._last[0] == location.host and self._last[1] is credential:
            return self._last[2]
        key = (account_of(location, getattr(credential, "user", "")), credential)
        opener = self._openers.get(key)
        if opener is None:
            opener = self._openers[key] = make_opener(self._context, *key)
        self._last = (location.host, credential, (key, opener))
        return key, opener

    def close(self) -> None:
        openers, self._openers, self._last = self._openers, {}, None
        for opener in openers.values():
            opener.close()


def make_opener(context: Context, account: Account, credential: Credential) -> Opener:
    """The `ssh` program's channels where it can present the credential, else paramiko's."""
    from shutil import which

    program = which("ssh")
    if program is not None and not _needs_typing(credential):
        from .ssh_process import ProcessOpener

        return ProcessOpener(program, context, account, credential)
    from .ssh_paramiko import ParamikoOpener

    return ParamikoOpener(program, context, account, credential)


def _needs_typing(credential: Credential) -> bool:
    """`ssh` reads passwords and pass phrases from a terminal, and there is none."""
    from ..credentials.kinds import Basic, SshKey

    if isinstance(credential, Basic):
        return bool(credential.password)
    return isinstance(credential, SshKey) and bool(credential.passphrase)
