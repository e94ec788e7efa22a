"""One file read over SFTP, with many requests under way.

A small file takes two round trips: open, then its attributes and its first block together. Of a large one as much is
asked for beforehand as the far side and the network can have under way; the amount doubles while it is read, so that
closing early wastes little.
"""

from __future__ import annotations

import stat
import time

from .errors import Broken, Changed, LocalRefused, TransferError, Unreachable
from .sftp_packets import (
    ATTRS,
    CLOSE,
    DATA,
    EOF,
    FAILURE,
    FSTAT,
    HANDLE,
    OPEN,
    STAT,
    STATUS,
    Fields,
    Status,
    number,
    raise_unless_ok,
    string,
)
from .ssh import shown_path
from .ssh_errors import error_of_status
from .values import Traits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .sftp_packets import Attributes, Packet
    from .sftp_wire import Wire
    from .sftp_wires import Wires

FOR_READING: Final = 1
_FIRST_BYTES: Final = 128 << 10
"""Asked for before anything is known of the file."""
_WINDOW_BYTES: Final = 4 << 20
"""Asked for and not delivered, at most; OpenSSH has 2 MiB of one channel under way."""
_SETTLED_SECONDS: Final = 60.0
_NOTHING: Final = memoryview(b"")
_UNKNOWN_END: Final = 1 << 62


def version_of(attributes: Attributes) -> str | None:
    """Size and time of the last change; None for a file that was changed in the last minute.

    SFTP 3 tells whole seconds, so a file that is being written can change without changing its time. A minute also
    covers clocks that differ a little.
    """
    if attributes.size is None or attributes.modified is None:
        return None
    if attributes.modified > time.time() - _SETTLED_SECONDS:
        return None
    return f"{attributes.size:x}-{attributes.modified:x}"


class SftpReader:
    """Made by `open_reader`. Delivers views of the wire's ring, or of the worker's buffer."""

    __slots__ = (
        "_asked",
        "_attributes",
        "_begun",
        "_buffer",
        "_due",
        "_expected",
        "_handle",
        "_held",
        "_looking",
        "_path",
        "_stop",
        "_waiting",
        "_window",
        "_wire",
        "_wires",
        "descriptor",
        "digests",
        "failed",
        "mode",
        "size",
        "version",
    )

    digests: tuple[Digest, ...]
    version: str | None
    size: int | None
    mode: int | None
    descriptor: int | None

    def __init__(self, wire: Wire, wires: Wires, handle: bytes, path: bytes, start: int) -> None:
        self._wire: Wire | None = wire
        self._wires = wires
        self._handle = handle
        self._path = path
        self._buffer = wire.context.view
        self._due = start
        """The next byte to deliver."""
        self._asked = start
        """The next byte to ask for."""
        self._stop = _UNKNOWN_END
        self._waiting: dict[int, tuple[int, int]] = {}
        """Requests under way: offset and length."""
        self._held: dict[int, bytes] = {}
        """What came before its turn, by offset."""
        self._window = 2
        self._begun = False
        self._attributes: Attributes | None = None
        self._looking = -1
        """The number of the question what the file is, until it is answered."""
        self._expected = False
        """Answers come while somebody else's are waited for."""
        self.failed = False
        """One of these was no good."""
        self.size = self.version = self.mode = self.descriptor = None
        self.digests = ()

    # --- opening

    def begin(self, length: int | None) -> None:
        """Learns what the file is, and has asked for its first bytes."""
        wire = self._the_wire()
        if self._expected:
            self._expected = False
            wire.no_longer_expect((self._looking, *self._waiting))
        elif self._attributes is None:
            self.ask_first(length)
        while (attributes := self._attributes) is None:
            self._take(wire.packet())
        wire.about(self._what(), Broken)
        self._insist_on_a_file(attributes)
        if attributes.size == 0 or attributes.size is None:
            self._look_for_bytes()
        size = _UNKNOWN_END if self.size is None else self.size
        if self._due > size:
            raise Changed(f"{self._what()}: it has {size} bytes, {self._due} were read before")
        self._stop = size if length is None else min(size, self._due + length)

    def ask_first(self, length: int | None = None, *, ahead: bool = False) -> None:
        """Asks what the file is, and for its first bytes; with `ahead` before it is its turn, which `begin` is then."""
        wire = self._the_wire()
        self._looking = wire.ask(FSTAT, self._handle)
        # Whoever names a length will read so much; of others nothing is known yet.
        self._ask_up_to(self._due + (_FIRST_BYTES if length is None else min(length, _WINDOW_BYTES)))
        self._window = max(self._window, len(self._waiting))
        if ahead:
            self._expected = True
            for asked in (self._looking, *self._waiting):
                wire.expect(asked, self._take_aside)

    def _take_aside(self, packet: Packet) -> None:
        try:
            self._take(packet)
        except (Status, TransferError):
            self.failed = True

    def _take(self, packet: Packet) -> None:
        """Takes notice of an answer before the reading begins."""
        if packet.number != self._looking:
            self._keep(packet)
            return
        self._looking = -1
        raise_unless_attributes(packet)
        self._attributes = attributes = Fields(packet.body).attributes()
        self.size = attributes.size
        self.version = version_of(attributes)
        self._stop = attributes.size or _UNKNOWN_END

    def _insist_on_a_file(self, attributes: Attributes) -> None:
        kind = stat.S_IFMT(attributes.mode or 0)
        if kind in (0, stat.S_IFREG):
            return
        raise _no_file(self._what(), "it is a folder" if kind == stat.S_IFDIR else "it is no regular file")

    def _look_for_bytes(self) -> None:
        """What is computed when it is read has no size (/proc), or its server tells none."""
        wire = self._the_wire()
        while self._waiting:
            self._keep(wire.packet())
        if self._held:
            self.size = self.version = None

    # --- reading

    def read(self) -> memoryview:
        if self._due >= self._stop:
            return self._finish()
        first, self._begun = not self._begun, True
        left = self._stop - self._due
        try:
            view = self._next_piece()
            if first and len(view) < left <= len(self._buffer):
                return self._gathered(view, left)
        except Status as status:
            raise self._failed(status) from None
        if view or self.size is None:
            return view or self._finish()
        raise Broken(f"{self._what()}: the server sent nothing where there is more")

    def _next_piece(self) -> memoryview:
        """The bytes that are due; none at an end that was not known."""
        wire = self._the_wire()
        self._ask_more()
        held = self._held.pop(self._due, None)
        if held is not None:
            self._due += len(held)
            return memoryview(held)
        while self._waiting:
            data = self._taken(wire.packet())
            if data is not None:
                return data
        return _NOTHING

    def _gathered(self, view: memoryview, left: int) -> memoryview:
        """All that is left, in the worker's buffer: it fits there."""
        buffer, filled = self._buffer, 0
        while view:
            buffer[filled : filled + len(view)] = view
            filled += len(view)
            view = self._next_piece() if filled < left else _NOTHING
        if left > _FIRST_BYTES and self._due == self.size:
            self._check_unchanged(self._the_wire())
        return buffer[:filled]

    def _ask_more(self) -> None:
        """Keeps the window full, in strokes: one system call sends many requests."""
        if self._asked >= self._stop or len(self._waiting) > self._window // 2:
            return
        block = self._the_wire().block
        if self.size is None:
            if not self._waiting:  # nobody knows where it ends: one at a time
                self._ask_up_to(self._asked + block)
            return
        self._window = min(self._window * 2, _WINDOW_BYTES // block)
        free = self._window - len(self._waiting) - len(self._held)
        self._ask_up_to(min(self._stop, self._asked + max(1, free) * block))

    def _ask_up_to(self, end: int) -> None:
        wire = self._the_wire()
        block, asked = wire.block, self._asked
        while asked < end:
            count = min(block, end - asked)
            self._waiting[wire.ask_to_read(self._handle, asked, count)] = (asked, count)
            asked += count
        self._asked = asked

    def _keep(self, packet: Packet) -> None:
        """Puts data aside, whether it is due or not."""
        due = self._due
        data = self._taken(packet)
        if data is not None:
            self._held[due], self._due = bytes(data), due

    def _taken(self, packet: Packet) -> memoryview | None:
        """The data of an answer if it is due, else None. Raises Status."""
        asked = self._waiting.pop(packet.number, None)
        if asked is None:
            raise self._the_wire().answered_nobody()
        offset, count = asked
        if packet.kind != DATA:
            self._ends_at(offset, packet)
            return None
        data = packet.body[4:]
        got = len(data)
        if offset + got > self._stop:
            raise self._changed("longer")
        if got < count and got and offset + got < self._stop:
            wire = self._the_wire()
            again = wire.ask_to_read(self._handle, offset + got, count - got)
            self._waiting[again] = (offset + got, count - got)
            if self._expected:
                wire.expect(again, self._take_aside)
        if offset != self._due:
            self._held[offset] = bytes(data)
            return None
        self._due = offset + got
        return data

    def _ends_at(self, offset: int, packet: Packet) -> None:
        """The file ends at or before `offset`. Raises Changed where there should be more of it."""
        try:
            raise_unless_ok(packet)
        except Status as status:
            if status.code != EOF:
                raise
        if self.size is not None and offset < self._stop != _UNKNOWN_END:
            raise self._changed("shorter")

    # --- end

    def _finish(self) -> memoryview:
        """The empty view of the end, after a look whether the file is still what it was."""
        if self._wire is not None and self.size is not None and self._due == self.size:
            self._check_unchanged(self._wire)
        self.close()
        return _NOTHING

    def _check_unchanged(self, wire: Wire) -> None:
        try:
            while self._waiting:
                self._taken(wire.packet())
            packet = wire.call(FSTAT, self._handle)
        except Status as status:
            raise self._failed(status) from None
        now, then = Fields(packet.body).attributes(), self._attributes
        if then is not None and (now.size, now.modified) != (then.size, then.modified):
            raise Changed(f"{self._what()}: it was written while it was read")

    def traits(self) -> Traits:
        told = self._attributes
        if told is None:
            return Traits()
        modified = None if told.modified is None else told.modified * 1_000_000_000
        return Traits(modified, None if told.mode is None else told.mode & 0o777)

    def close(self) -> None:
        wire = self._wire
        if wire is not None:
            self.withdraw()
            self._wires.give(wire)

    def withdraw(self) -> None:
        """Closes the file, and leaves the wire to who has it."""
        wire, self._wire = self._wire, None
        if wire is not None and not wire.broken:
            # It is sent with the next request, or is not needed any more.
            looking = () if self._looking < 0 else (self._looking,)
            wire.forget({*self._waiting, *looking, wire.ask(CLOSE, self._handle)})

    def _the_wire(self) -> Wire:
        assert self._wire is not None, "the reader is closed"
        return self._wire

    def _what(self) -> str:
        return f"cannot read {shown_path(self._path)}"

    def _changed(self, how: str) -> Changed:
        return Changed(f"{self._what()}: it has become {how}")

    def _failed(self, status: Status) -> TransferError:
        return error_of_status(status.code, status.message, self._what(), self._the_wire().host)


def open_reader(
    wire: Wire, wires: Wires, path: bytes, start: int, length: int | None, version: str | None
) -> SftpReader:
    """A reader that owns the wire until it is closed. Raises after giving it back."""
    what = f"cannot read {shown_path(path)}"
    wire.about(what, Unreachable)
    try:
        packet = wire.call(OPEN, string(path), number(FOR_READING), number(0))
        reader = SftpReader(wire, wires, handle_of(packet), path, start)
    except Status as status:
        error = _refusal(wire, path, what, status)
        wires.give(wire)
        raise error from None
    except BaseException:
        wires.give(wire)
        raise
    begin_reader(reader, length, what, wire.host)
    if version is not None and reader.version != version:
        reader.close()
        raise Changed(f"{what}: it is no longer the version that was asked for")
    return reader


def begin_reader(reader: SftpReader, length: int | None, what: str, host: str) -> None:
    """Closes it where it cannot begin. `what` says what was being done."""
    try:
        reader.begin(length)
    except Status as status:
        reader.close()
        raise error_of_status(status.code, status.message, what, host) from None
    except BaseException:
        reader.close()
        raise


def _refusal(wire: Wire, path: bytes, what: str, status: Status) -> TransferError:
    """Why a file cannot be opened. Servers that open no folder have no number of their own to say so."""
    error = error_of_status(status.code, status.message, what, wire.host)
    if status.code != FAILURE:
        return error
    try:
        packet = wire.call(STAT, string(path))
    except Status:
        return error
    is_folder = packet.kind == ATTRS and stat.S_ISDIR(Fields(packet.body).attributes().mode or 0)
    return _no_file(what, "it is a folder") if is_folder else error


def _no_file(what: str, why: str) -> LocalRefused:
    return LocalRefused(f"{what}: {why}", remedy="name a file: a transfer moves one file")


def handle_of(packet: Packet) -> bytes:
    """The handle as requests carry it, its length before it."""
    if packet.kind != HANDLE:
        raise_unless_ok(packet)
    return string(Fields(packet.body).string())


def raise_unless_attributes(packet: Packet) -> None:
    if packet.kind == STATUS:
        raise_unless_ok(packet)
