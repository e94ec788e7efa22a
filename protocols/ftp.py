"""Files on FTP servers, as a source only: the standard library's control connection, our own reading of the data.

A path is relative to the folder that a login lands in; `ftp://host//path` is absolute (RFC 1738 section 3.2.2, where
the second slash would be spelled `%2F`). There are no versions: FTP has no validator.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .connection import Connection, failure
from .errors import (
    Broken,
    Busy,
    Changed,
    Denied,
    Misconfigured,
    NotFound,
    ServerFault,
    TransferError,
    TurnedAway,
    Unreachable,
    Unsupported,
)
from .locations import login_of
from .origins import is_host
from .values import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from ftplib import FTP
    from typing import Final, NoReturn, TypeVar

    from ..checksum.digest import Digest
    from ..credentials.kinds import Secret
    from .context import Context
    from .locations import Location
    from .values import Incoming

    T = TypeVar("T")

_PORT: Final = 21
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_KINDS: Final[dict[str, type[TransferError]]] = {
    "421": Busy,
    "430": Denied,
    "450": ServerFault,
    "530": Denied,
    "532": Denied,
    "550": NotFound,
    "551": Unsupported,
    "553": Denied,
}
"""What a reply means (RFC 959 section 4.2). 550 is also said to who may not read."""
_NOTHING: Final = memoryview(b"")


class _Login(NamedTuple):
    host: str
    port: int
    user: str
    password: Secret


class FtpStore:
    """FTP servers, for one worker."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sessions: dict[_Login, FTP] = {}

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> FtpReader:
        """A reader. `version` is never met: Changed."""
        what = _what("RETR", location)
        if version is not None:
            raise Changed(
                f"{what}: FTP servers tell no versions, so nobody knows whether it is still the same"
            )
        path = _path(location)
        login = self._login(location)
        session, size = self._dialogue(login, what, lambda session: (session, _size(session, path)))
        if size is not None and start > size:
            raise Changed(f"{what}: has {size} bytes, byte {start} was asked for")
        try:
            data = session.transfercmd(f"RETR {path}", start or None)
        except Exception as error:
            self._forget(login)
            raise _error_of(error, what, login) from error
        # From here on the session belongs to the reader, which gives it back when all went well.
        del self._sessions[login]
        connection = Connection(data, f"{login.host}:{login.port}", self._context)

        def give_back() -> None:
            self._sessions.setdefault(login, session)

        return FtpReader(self._context, connection, session, what, start, length, size, give_back)

    def stat(self, location: Location) -> Entry:
        """The entry of a file. A folder is not found: SIZE knows files only."""
        path = _path(location)

        def ask(session: FTP) -> Entry:
            return Entry("", _size(session, path), modified=_modified(session, path))

        return self._dialogue(self._login(location), _what("SIZE", location), ask)

    def open_write(self, location: Location, incoming: Incoming) -> NoReturn:
        raise _source_only("write")

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        raise _source_only("list")

    def make_directory(self, location: Location) -> None:
        raise _source_only("make a folder")

    def remove(self, location: Location, *, recursive: bool) -> None:
        raise _source_only("remove")

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        return None

    def close(self) -> None:
        for login in tuple(self._sessions):
            self._forget(login)

    def _dialogue(self, login: _Login, what: str, talk: Callable[[FTP], T]) -> T:
        """The result of `talk` over the kept session; over a new one if that has ended meanwhile."""
        kept = self._sessions.get(login)
        if kept is not None:
            try:
                return talk(kept)
            except Exception as error:
                if not _is_gone(error):
                    raise self._given_up(error, what, login) from error
                self._forget(login)
        try:
            session = self._sessions[login] = self._open(login)
            return talk(session)
        except TurnedAway:
            raise
        except Exception as error:
            raise self._given_up(error, what, login) from error

    def _given_up(self, error: BaseException, what: str, login: _Login) -> BaseException:
        """The error to raise; the session stays only if it was a proper refusal."""
        if not str(error).startswith("55"):
            self._forget(login)
        return _error_of(error, what, login)

    def _open(self, login: _Login) -> FTP:
        from ftplib import FTP

        context = self._context
        # Latin-1 carries the bytes of a name as they are.
        session = FTP(timeout=context.connect, encoding="latin-1")
        try:
            session.connect(login.host, login.port)
            assert session.sock is not None
            session.timeout = context.stall
            session.sock.settimeout(context.stall)
            session.login(login.user, login.password.reveal())
            session.voidcmd("TYPE I")
        except BaseException as error:
            connected = session.sock is not None
            session.close()
            if connected and _is_gone(error):
                # Servers that let in only so many say 421, or hang up before or after the greeting.
                raise TurnedAway(
                    f"logging in at {login.host}:{login.port}: {_said(error)}",
                    host=f"{login.host}:{login.port}",
                ) from error
            raise
        return session

    def _forget(self, login: _Login) -> None:
        session = self._sessions.pop(login, None)
        if session is not None:
            session.close()

    def _login(self, location: Location) -> _Login:
        from ..credentials.kinds import Basic, Secret

        user, password, place = login_of(location)
        match = _HOST.fullmatch(place)
        if match is None or not is_host(match[1]) or int(match[2] or _PORT) > 65535:
            raise Unsupported(f"{_what('connect to', location)}: the host or the port cannot be understood")
        host, port = match[1].strip("[]"), int(match[2] or _PORT)
        if password is not None:
            return _Login(host, port, _as_sent(user), Secret(_as_sent(password)))
        credential = self._context.credential(location, "read")
        if isinstance(credential, Basic):
            password = credential.password.reveal()
            return _Login(host, port, _as_sent(credential.user), Secret(_as_sent(password)))
        if credential.kind != "anonymous":
            raise Misconfigured(
                f"credential {credential.name} from {credential.origin} is of kind {credential.kind}, "
                "which FTP cannot present",
                remedy="configure a user and password for this host",
            )
        return _Login(host, port, "anonymous", Secret("anonymous@"))


def _as_sent(text: str) -> str:
    """The text as ftplib has to be given it: bytes of UTF-8 (RFC 2640), a character each."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


class FtpReader:
    """The data connection of one RETR."""

    __slots__ = (
        "_connection",
        "_give_back",
        "_left",
        "_partial",
        "_session",
        "_view",
        "_what",
        "descriptor",
        "digests",
        "mode",
        "size",
        "version",
    )

    def __init__(
        self,
        context: Context,
        connection: Connection,
        session: FTP,
        what: str,
        start: int,
        length: int | None,
        size: int | None,
        give_back: Callable[[], None],
    ) -> None:
        self._connection: Connection | None = connection
        self._session = session
        self._view = context.view
        self._what = what
        self._give_back = give_back
        rest = None if size is None else size - start
        self._partial = length is not None and (rest is None or length < rest)
        self._left = length if self._partial else rest
        self.size = size
        self.version: str | None = None
        self.digests: tuple[Digest, ...] = ()
        self.mode: int | None = None
        self.descriptor: int | None = None

    def read(self) -> memoryview:
        connection = self._connection
        if connection is None:
            return _NOTHING
        try:
            return self._read(connection)
        except OSError as error:
            self.close()
            raise failure(error, self._what, connection.peer, begun=True) from error
        except BaseException:
            self.close()
            raise

    def _read(self, connection: Connection) -> memoryview:
        view = self._view
        left = self._left
        wanted = len(view) if left is None else min(left, len(view))
        # What is left comes in one view if it fits.
        enough = wanted if left is None or left <= len(view) else 1
        end = 0
        while end < enough:
            got = connection.receive(view[end:wanted])
            if not got:
                if left is not None and not self._partial:
                    raise Broken(f"{self._what}: ended {left - end} bytes early", host=connection.peer)
                left = end
                break
            end += got
        self._left = None if left is None else left - end
        if self._left == 0:
            self._end(connection)
        return view[:end]

    def _end(self, connection: Connection) -> None:
        """The server has to confirm that this was all (226); a part that was enough is not asked about.

        So the last view is handed on only after that.
        """
        if self._partial:
            self.close()
            return
        if connection.receive(memoryview(bytearray(1))):
            raise Changed(f"{self._what}: has more bytes than the server told")
        connection.close()
        self._connection = None
        try:
            self._session.voidresp()
        except Exception as error:
            self._session.close()
            raise Broken(f"{self._what}: the server did not confirm the end: {_said(error)}") from error
        self._give_back()

    def close(self) -> None:
        connection = self._connection
        self._connection = None
        if connection is not None:
            connection.close()
            self._session.close()


def _what(verb: str, location: Location) -> str:
    from ..credentials.redaction import redact_url

    return f"{verb} {redact_url(location.url)}"


def _path(location: Location) -> str:
    """The path as FTP commands want it, its bytes as Latin-1. Raises Unsupported for one with a line break."""
    from urllib.parse import unquote_to_bytes

    path = re.sub(r";type=[aid]$", "", location.path).removeprefix("/")
    text = unquote_to_bytes(path).decode("latin-1")
    if not text or re.search(r"[\r\n\0]", text):
        raise Unsupported(f"{_what('RETR', location)}: FTP cannot name such a path")
    return text


def _size(session: FTP, path: str) -> int | None:
    """The size in bytes (RFC 3659 section 4); None from a server that does not know the command."""
    from ftplib import error_perm

    try:
        return session.size(path)
    except error_perm as error:
        if str(error)[:3] in ("500", "502", "504"):
            return None
        raise


def _modified(session: FTP, path: str) -> float | None:
    """The time of the last change, in UTC (RFC 3659 section 3); None where the server does not tell."""
    from calendar import timegm
    from ftplib import Error
    from time import strptime

    try:
        return float(timegm(strptime(session.voidcmd(f"MDTM {path}")[4:18], "%Y%m%d%H%M%S")))
    except (Error, ValueError):
        return None


def _source_only(doing: str) -> Unsupported:
    return Unsupported(
        f"cannot {doing}: FTP is a source only", remedy="use another protocol for this destination"
    )


def _is_gone(error: BaseException) -> bool:
    return isinstance(error, (EOFError, ConnectionError)) or str(error).startswith("421")


def _said(error: BaseException) -> str:
    from ..credentials.redaction import printable, redact

    return printable(" ".join(redact(str(error)).split()))[:200] or type(error).__name__


def _error_of(error: BaseException, what: str, login: _Login) -> BaseException:
    """The one table from ftplib's errors to ours; what is none of them stays what it is."""
    from ftplib import Error

    host = f"{login.host}:{login.port}"
    if isinstance(error, Error):
        code = str(error)[:3]
        kind = _KINDS.get(code) or (ServerFault if code.startswith("4") else Unsupported)
        user = f" as {login.user}" if kind is Denied else ""
        return kind(f"{what}{user}: {_said(error)}", host=host)
    if isinstance(error, EOFError):
        return Unreachable(f"{what}: the server closed the connection", host=host)
    if isinstance(error, OSError):
        return failure(error, what, host, begun=False)
    return error
