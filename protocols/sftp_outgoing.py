"""Bytes on their way into one open file at an SFTP server: many writes under way, confirmed in any order."""

from __future__ import annotations

from .errors import Broken, NoSpace, ServerFault, TransferError
from .sftp_packets import (
    ATTRS,
    CLOSE,
    DATA,
    EOF,
    EXTENDED,
    EXTENDED_REPLY,
    FSTAT,
    Fields,
    Status,
    raise_unless_ok,
    senseless,
    string,
)
from .sftp_partial import WINDOW_BYTES
from .ssh import shown_path
from .ssh_errors import error_of_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .sftp_packets import Packet
    from .sftp_wire import Wire

_STATVFS: Final = b"statvfs@openssh.com"


class Outgoing:
    """The file `name` that is open as `handle`, written from `offset` on. `path` is what messages call it."""

    __slots__ = ("_name", "_path", "_waiting", "_whole", "_window", "_wire", "handle", "offset")

    def __init__(
        self, wire: Wire, handle: bytes, name: bytes, path: bytes, offset: int, *, whole: bool = False
    ) -> None:
        """`whole`: all of it comes in one view that stays until `closed`, and is sent together with what follows it."""
        self.handle = handle
        """Empty when it was closed."""
        self.offset = offset
        """The place of the next byte."""
        self._wire = wire
        self._name = name
        self._path = path
        self._whole = whole
        self._waiting: set[int] = set()
        """Requests whose confirmation is still to come."""
        self._window = max(4, WINDOW_BYTES // wire.block)

    def write(self, view: memoryview) -> None:
        wire = self._wire
        block, total = wire.block, len(view)
        for begin in range(0, total, block):
            piece = view[begin : begin + block]
            self._waiting.add(wire.write_at(self.handle, self.offset, piece))
            self.offset += len(piece)
            if not self._whole:
                wire.flush()
            if len(self._waiting) >= self._window:
                self.confirm(self._window // 2)

    def confirm(self, left: int) -> None:
        """Waits until no more than `left` writes are unconfirmed."""
        wire = self._wire
        wire.about(f"cannot write {shown_path(self._path)}", Broken)
        try:
            while len(self._waiting) > left:
                packet = wire.packet()
                self._waiting.discard(packet.number)
                raise_unless_ok(packet)
        except Status as status:
            raise self.refused(status) from None

    def closed(self) -> int | None:
        """The size that the server tells, after every write and the close were confirmed: a quota may speak up only
        then."""
        wire = self._wire
        attributes = wire.ask(FSTAT, self.handle)
        closing = wire.ask(CLOSE, self.handle)
        self.handle = b""
        wire.about(f"cannot write {shown_path(self._path)}", Broken)
        self._waiting |= {attributes, closing}
        size: int | None = None
        try:
            while self._waiting:
                packet = wire.packet()
                self._waiting.discard(packet.number)
                if packet.number != attributes:
                    raise_unless_ok(packet)
                elif packet.kind == ATTRS:
                    size = Fields(packet.body).attributes().size
        except Status as status:
            raise self.refused(status) from None
        return size

    def let_go(self) -> None:
        """Closes it; nobody waits for any answer."""
        waiting, self._waiting = self._waiting, set()
        self._wire.forget(waiting)
        if self.handle:
            self._wire.forget({self._wire.ask(CLOSE, self.handle)})
            self.handle = b""

    def refused(self, status: Status) -> TransferError:
        self._wire.forget(self._waiting)
        self._waiting = set()
        return write_error(self._wire, status, self._name, self._path)


def write_error(wire: Wire, status: Status, name: bytes, path: bytes) -> TransferError:
    """Why the file `name`, which messages call `path`, was not written. No answer but expected ones may be outstanding.

    OpenSSH says `Failure` of a full disk; where it is asked, it tells how much is free.
    """
    what = f"cannot write {shown_path(path)}"
    error = error_of_status(status.code, status.message, what, wire.host)
    if isinstance(error, ServerFault) and _is_full(wire, name):
        return NoSpace(f"{what}: the disk of {wire.host} is full", host=wire.host)
    return error


def _is_full(wire: Wire, name: bytes) -> bool:
    """No block or no file is free for this account (PROTOCOL of OpenSSH, section 4.4)."""
    if _STATVFS not in wire.extensions:
        return False
    try:
        packet = wire.call(EXTENDED, string(_STATVFS), string(name))
    except (Status, TransferError):
        return False
    if packet.kind != EXTENDED_REPLY:
        return False
    fields = Fields(packet.body)
    block, fragment, _, _, free, files, _, free_files = (fields.double() for _ in range(8))
    return free * (fragment or block) < wire.block or (files > 0 and not free_files)


def read_at(wire: Wire, handle: bytes, offset: int, view: memoryview) -> int:
    """How many bytes from `offset` on were put into `view`: fewer only at the end of the file. Raises Status."""
    end, filled = offset + len(view), len(view)
    asked = {
        wire.ask_to_read(handle, at, min(wire.block, end - at)): at for at in range(offset, end, wire.block)
    }
    try:
        while asked:
            packet = wire.packet()
            at = asked.pop(packet.number, None)
            if at is None:
                raise wire.answered_nobody()
            wanted = min(wire.block, end - at)
            data = _data_of(packet, wanted)
            view[at - offset : at - offset + len(data)] = data
            if len(data) < wanted:
                filled = min(filled, at - offset + len(data))
    except Status:
        wire.forget(set(asked))
        raise
    return filled


def _data_of(packet: Packet, wanted: int) -> memoryview:
    """The bytes of an answer to READ; none at the end of the file. Raises Status."""
    if packet.kind == DATA:
        if len(packet.body) - 4 > wanted:
            raise senseless("more bytes than were asked for")
        return packet.body[4:]
    try:
        raise_unless_ok(packet)
    except Status as status:
        if status.code != EOF:
            raise
    return memoryview(b"")
