"""One file written over SFTP: a partial beside the destination, many writes under way, then a rename."""

from __future__ import annotations

import os
import stat

from .errors import Broken, LocalRefused, NoSpace, ServerFault, TransferError, Unreachable
from .sftp_packets import (
    ATTRS,
    CLOSE,
    DATA,
    EXTENDED,
    EXTENDED_REPLY,
    FAILURE,
    FSETSTAT,
    FSTAT,
    LSTAT,
    NO_SUCH_FILE,
    REMOVE,
    RENAME,
    Fields,
    Status,
    number,
    raise_unless_ok,
    string,
)
from .sftp_partial import KEPT, WINDOW_BYTES, Partial, in_the_way, open_partial
from .sftp_tree import attributes_of
from .ssh import shown_path
from .ssh_errors import error_of_status
from .values import Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .locations import Location
    from .sftp_wire import Wire
    from .sftp_wires import Wires
    from .values import Incoming

_POSIX_RENAME: Final = b"posix-rename@openssh.com"
_STATVFS: Final = b"statvfs@openssh.com"
_LAST_WORDS_SECONDS: Final = 5.0


class SftpWriter:
    """Made by `open_writer`. Publishes by `posix-rename@openssh.com`, which replaces in one step, where the server
    has it."""

    __slots__ = (
        "_handle",
        "_location",
        "_offset",
        "_partial",
        "_path",
        "_waiting",
        "_whole",
        "_window",
        "_wire",
        "_wires",
        "algorithms",
        "descriptor",
        "held",
    )

    algorithms: tuple[str, ...]
    descriptor: int | None

    def __init__(
        self, wire: Wire, wires: Wires, location: Location, path: bytes, partial: Partial, whole: bool
    ) -> None:
        self.algorithms = ()
        self.held = partial.held
        """Bytes that were there already; the next ones go behind them."""
        self.descriptor = None
        self._wire: Wire | None = wire
        self._wires = wires
        self._location = location
        self._path = path
        self._partial = partial.name
        self._handle = partial.handle
        self._offset = partial.held
        self._whole = whole
        """All of it comes in one view that stays until `commit`: it is sent together with what follows it."""
        self._waiting: set[int] = set()
        """Requests whose confirmation is still to come."""
        self._window = max(4, WINDOW_BYTES // wire.block)

    def read_held(self, offset: int, view: memoryview) -> int:
        wire = self._the_wire()
        wire.about(self._what("read back"), Broken)
        end = min(self.held, offset + len(view))
        asked = {
            wire.ask_to_read(self._handle, at, min(wire.block, end - at)): at
            for at in range(offset, end, wire.block)
        }
        filled = end - offset
        try:
            while asked:
                packet = wire.packet()
                at = asked.pop(packet.number)
                if packet.kind != DATA:
                    raise_unless_ok(packet)
                data = packet.body[4:]
                view[at - offset : at - offset + len(data)] = data
                if len(data) < min(wire.block, end - at):
                    filled = min(filled, at - offset + len(data))
        except Status as status:
            wire.forget(set(asked))
            raise self._error(status, "read back") from None
        return max(0, filled)

    def write(self, view: memoryview) -> None:
        wire = self._the_wire()
        block, total = wire.block, len(view)
        for begin in range(0, total, block):
            piece = view[begin : begin + block]
            self._waiting.add(wire.write_at(self._handle, self._offset, piece))
            self._offset += len(piece)
            if not self._whole:
                wire.flush()
            if len(self._waiting) >= self._window:
                self._confirm(self._window // 2, Broken)

    def _confirm(self, left: int, kind: type[TransferError]) -> None:
        """Waits until no more than `left` writes are unconfirmed."""
        wire = self._the_wire()
        wire.about(self._what("write"), kind)
        try:
            while len(self._waiting) > left:
                packet = wire.packet()
                self._waiting.discard(packet.number)
                raise_unless_ok(packet)
        except Status as status:
            raise self._write_failed(status) from None

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        wire = self._the_wire()
        size = self._closed(wire)
        wire.about(self._what("publish"), Unreachable)
        try:
            _rename(wire, self._partial, self._path)
        except Status as status:
            raise self._rename_failed(wire, status) from None
        self._partial = b""
        self._give_back()
        return Receipt(size=size)

    def _closed(self, wire: Wire) -> int | None:
        """The size that the server tells, after every write and the close were confirmed: a quota may speak up only
        then."""
        attributes = wire.ask(FSTAT, self._handle)
        closing = wire.ask(CLOSE, self._handle)
        self._handle = b""
        wire.about(self._what("write"), Broken)
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
            raise self._write_failed(status) from None
        if size is not None and size != self._offset:
            raise Broken(
                f"{self._what('write')}: the server has {size} bytes after {self._offset} were written"
            )
        return size

    def _write_failed(self, status: Status) -> TransferError:
        """OpenSSH says `Failure` of a full disk; where it is asked, it tells how much is free."""
        wire = self._the_wire()
        error = self._error(status, "write")
        if isinstance(error, ServerFault) and self._is_full(wire):
            return NoSpace(f"{self._what('write')}: the disk of {wire.host} is full", host=wire.host)
        return error

    def _is_full(self, wire: Wire) -> bool:
        """No block or no file is free for this account (PROTOCOL of OpenSSH, section 4.4)."""
        if _STATVFS not in wire.extensions:
            return False
        wire.forget(self._waiting)
        self._waiting = set()
        try:
            packet = wire.call(EXTENDED, string(_STATVFS), string(self._partial))
        except (Status, TransferError):
            return False
        if packet.kind != EXTENDED_REPLY:
            return False
        fields = Fields(packet.body)
        block, fragment, _, _, free, files, _, free_files = (fields.double() for _ in range(8))
        return free * (fragment or block) < wire.block or (files > 0 and not free_files)

    def _rename_failed(self, wire: Wire, status: Status) -> TransferError:
        attributes = attributes_of(wire, self._path, LSTAT)
        if attributes is not None and stat.S_ISDIR(attributes.mode or 0):
            return in_the_way(self._path, "a folder")
        if status.code == NO_SUCH_FILE:
            # Another process that goes on with the same copy has published or removed it.
            return Broken(f"{self._what('publish')}: its partial file is gone", host=wire.host)
        return self._error(status, "publish")

    def abort(self, *, keep: bool = False) -> None:
        wire = self._wire
        if wire is None:
            return
        context = wire.context
        try:
            if not wire.broken:
                wire.context = context.for_last_words(_LAST_WORDS_SECONDS)
                self._tidy_up(wire, keep)
                wire.context = context
            elif self._partial and not keep:
                self._tidy_up_anew()
        except (TransferError, Status):
            wire.broken = True
        self._give_back()

    def _tidy_up(self, wire: Wire, keep: bool) -> None:
        if self._handle and keep:
            self._mark_as_kept(wire)
        wire.forget(self._waiting)
        if self._handle:
            wire.forget({wire.ask(CLOSE, self._handle)})
        partial, self._partial = self._partial, b""
        if partial and not keep:
            wire.packet_of(wire.ask(REMOVE, string(partial)))
        wire.flush()

    def _mark_as_kept(self, wire: Wire) -> None:
        """Says of the partial that everything in it was confirmed."""
        self._confirm(0, Broken)
        times = number(8) + number(KEPT) + number(KEPT)
        wire.packet_of(wire.ask(FSETSTAT, self._handle, times))

    def _tidy_up_anew(self) -> None:
        """The partial goes over a new connection, for the old one broke."""
        wire = self._wires.take_for_last_words(self._location, self._what("tidy up after"))
        try:
            wire.packet_of(wire.ask(REMOVE, string(self._partial)))
        finally:
            wire.close()

    def _give_back(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            self._wires.give(wire)

    def _the_wire(self) -> Wire:
        assert self._wire is not None, "the writer is closed"
        return self._wire

    def _what(self, doing: str) -> str:
        return f"cannot {doing} {shown_path(self._path)}"

    def _error(self, status: Status, doing: str) -> TransferError:
        return error_of_status(status.code, status.message, self._what(doing), self._the_wire().host)


def open_writer(wire: Wire, wires: Wires, location: Location, path: bytes, incoming: Incoming) -> SftpWriter:
    """A writer that owns the wire until it is committed or aborted. Raises after giving it back."""
    what = f"cannot write {shown_path(path)}"
    wire.about(what, Unreachable)
    try:
        if path.rpartition(b"/")[2] in (b"", b".", b".."):
            raise LocalRefused(f"{what}: it does not end with a name", remedy="name the file, not its folder")
        partial = open_partial(wire, path, incoming)
    except Status as status:
        wires.give(wire)
        raise error_of_status(status.code, status.message, what, wire.host) from None
    except BaseException:
        wires.give(wire)
        raise
    return SftpWriter(wire, wires, location, path, partial, incoming.sha256 is not None)


def _rename(wire: Wire, partial: bytes, path: bytes) -> None:
    """Gives the partial its name. Raises Status."""
    if _POSIX_RENAME in wire.extensions:
        wire.call(EXTENDED, string(_POSIX_RENAME), string(partial), string(path))
        return
    try:
        wire.call(RENAME, string(partial), string(path))
    except Status as status:
        there = attributes_of(wire, path, LSTAT)
        if there is None or stat.S_ISDIR(there.mode or 0) or status.code not in (FAILURE, 11):
            raise
        _exchange(wire, partial, path)


def _exchange(wire: Wire, partial: bytes, path: bytes) -> None:
    """Puts the old file aside, the new one into its place, and then the old one away.

    A plain rename replaces nothing (section 6.5 of the draft). For two round trips nothing has the name, but at no time
    is there neither the old file nor the new one; if the second step fails, the old file gets its name back.
    """
    folder, slash, _ = path.rpartition(b"/")
    aside = b"%s%s.wf-%s.old" % (folder, slash, os.urandom(8).hex().encode("ascii"))
    wire.call(RENAME, string(path), string(aside))
    try:
        wire.call(RENAME, string(partial), string(path))
    except Status:
        wire.call(RENAME, string(aside), string(path))
        raise
    wire.call(REMOVE, string(aside))
