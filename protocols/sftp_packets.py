"""SFTP version 3 (draft-ietf-secsh-filexfer-02): the kinds of packets, their fields, and refusals."""

from __future__ import annotations

from struct import Struct
from struct import error as Malformed

from ..checksum.records import NamedTuple
from .errors import ServerFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

INIT: Final = 1
VERSION: Final = 2
OPEN: Final = 3
CLOSE: Final = 4
READ: Final = 5
WRITE: Final = 6
LSTAT: Final = 7
FSTAT: Final = 8
SETSTAT: Final = 9
FSETSTAT: Final = 10
OPENDIR: Final = 11
READDIR: Final = 12
REMOVE: Final = 13
MKDIR: Final = 14
RMDIR: Final = 15
STAT: Final = 17
RENAME: Final = 18
STATUS: Final = 101
HANDLE: Final = 102
DATA: Final = 103
NAME: Final = 104
ATTRS: Final = 105
EXTENDED: Final = 200
EXTENDED_REPLY: Final = 201

EOF: Final = 1
NO_SUCH_FILE: Final = 2
FAILURE: Final = 4
ALREADY_EXISTS: Final = 11
"""SSH_FX_FILE_ALREADY_EXISTS of later versions of the draft, which some servers say in this one too."""

_LONG: Final = Struct(">I")
_DOUBLE: Final = Struct(">Q")
_USUAL: Final = Struct(">QIIIII")
"""What follows the flags 0xF: size, user, group, permissions, and the times of the last access and change."""
_OK: Final = bytes(4)
"""SSH_FX_OK, with which the body of a status begins."""


class Packet(NamedTuple):
    """One answer. `body` is what follows the request's number; it is valid until the next one is received."""

    kind: int
    number: int
    body: memoryview


class Attributes(NamedTuple):
    """What the server tells of a name; None where it does not. Times are whole seconds since 1970."""

    size: int | None = None
    mode: int | None = None
    modified: int | None = None


class Status(Exception):
    """The server's refusal. Never leaves the protocol: callers map it, knowing what they were doing."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def string(data: bytes) -> bytes:
    return _LONG.pack(len(data)) + data


def number(value: int) -> bytes:
    return _LONG.pack(value)


class Fields:
    """Reads one packet's fields in order. What is missing is a ServerFault."""

    __slots__ = ("_at", "_view")

    def __init__(self, view: memoryview, at: int = 0) -> None:
        self._view = view
        self._at = at

    def long(self) -> int:
        return self._unpack(_LONG)[0]

    def double(self) -> int:
        return self._unpack(_DOUBLE)[0]

    def _unpack(self, form: Struct) -> tuple[int, ...]:
        try:
            values = form.unpack_from(self._view, self._at)
        except Malformed:
            raise senseless("a packet ends too early") from None
        self._at += form.size
        return values

    def string(self) -> bytes:
        length = self.long()
        at = self._at
        if at + length > len(self._view):
            raise senseless("a packet ends too early")
        self._at = at + length
        return bytes(self._view[at : at + length])

    def attributes(self) -> Attributes:
        """Section 5 of the draft: flags say what follows."""
        flags = self.long()
        if flags == 0xF:
            size, _, _, mode, _, modified = self._unpack(_USUAL)
            return Attributes(size, mode, modified)
        return self._attributes(flags)

    def _attributes(self, flags: int) -> Attributes:
        size = self.double() if flags & 1 else None
        if flags & 2:
            self.double()  # user and group
        mode = self.long() if flags & 4 else None
        modified = None
        if flags & 8:
            self.long()
            modified = self.long()
        if flags & 0x80000000:
            for _ in range(min(self.long(), 1000)):
                self.string()
                self.string()
        return Attributes(size, mode, modified)

    @property
    def left(self) -> bool:
        return self._at < len(self._view)


def raise_unless_ok(packet: Packet) -> None:
    """Raises Status for a status that is not OK, and ServerFault for what is no status."""
    if packet.kind != STATUS:
        raise senseless("another kind of answer than was asked for")
    if packet.body[:4] == _OK:
        return
    fields = Fields(packet.body)
    code = fields.long()
    # Message and language are missing from some servers' answers.
    message = fields.string().decode("utf-8", "replace") if fields.left else ""
    raise Status(code, message)


def senseless(why: str) -> ServerFault:
    return ServerFault(f"the server answers what makes no sense: {why}")
