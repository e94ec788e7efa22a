"""One file written over SFTP: a partial beside the destination, many writes under way, then a rename.

There are no locks, so a partial of the usual name may be somebody's who is still writing. Going on with it is safe all the same: a
token names one copy, so both write the same bytes to the same places, and nobody makes the file shorter. What was not confirmed when
a process died may have holes, so the last `_WINDOW_BYTES` are written again, unless the partial was kept on purpose: then its time is
`_KEPT`. A partial that is not gone on with is removed when it was kept, or when by the server's own clock nobody wrote to it for
an hour; else a random name is used.
"""

from __future__ import annotations

import os
import stat

from ..checksum.records import NamedTuple
from .errors import Broken, LocalRefused, NoSpace, ServerFault, TransferError, Unreachable
from .sftp_reader import handle_of
from .sftp_tree import attributes_of, make_folders
from .sftp_wire import (
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
    OPEN,
    REMOVE,
    RENAME,
    Fields,
    Status,
    number,
    raise_unless_ok,
    string,
)
from .ssh import shown_path
from .ssh_errors import error_of_status
from .values import Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .locations import Location
    from .sftp_wire import Attributes, Packet, Wire
    from .sftp_wires import Wires
    from .values import Incoming

_NEW_FILE: Final = 0x02 | 0x08 | 0x20
"""SSH_FXF_WRITE, SSH_FXF_CREAT and SSH_FXF_EXCL (section 6.3 of the draft)."""
_READ_AND_WRITE: Final = 0x01 | 0x02
_WINDOW_BYTES: Final = 4 << 20
"""Written and not confirmed, at most."""
_KEPT: Final = 0x5F77662D
"""The time of the last change, in 2020, that tells of a partial that all its bytes were confirmed."""
_ABANDONED_SECONDS: Final = 3600
_POSIX_RENAME: Final = b"posix-rename@openssh.com"
_STATVFS: Final = b"statvfs@openssh.com"
_LAST_WORDS_SECONDS: Final = 5.0


class SftpWriter:
    """Made by `open_writer`. Publishes by `posix-rename@openssh.com`, which replaces in one step, where the server has it."""

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
        self._window = max(4, _WINDOW_BYTES // wire.block)

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
        """The size that the server tells, after every write and the close were confirmed: a quota may speak up only then."""
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
            return _in_the_way(self._path, "a folder")
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
        times = number(8) + number(_KEPT) + number(_KEPT)
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


class Partial(NamedTuple):
    """A file that is open for writing."""

    name: bytes
    handle: bytes
    held: int = 0
    """Bytes that an earlier process wrote and that are surely there."""


def open_writer(wire: Wire, wires: Wires, location: Location, path: bytes, incoming: Incoming) -> SftpWriter:
    """A writer that owns the wire until it is committed or aborted. Raises after giving it back."""
    what = f"cannot write {shown_path(path)}"
    wire.about(what, Unreachable)
    try:
        if path.rpartition(b"/")[2] in (b"", b".", b".."):
            raise LocalRefused(f"{what}: it does not end with a name", remedy="name the file, not its folder")
        partial = _open_partial(wire, path, incoming)
    except Status as status:
        wires.give(wire)
        raise error_of_status(status.code, status.message, what, wire.host) from None
    except BaseException:
        wires.give(wire)
        raise
    return SftpWriter(wire, wires, location, path, partial, incoming.sha256 is not None)


def _open_partial(wire: Wire, path: bytes, incoming: Incoming) -> Partial:
    """A partial beside the destination, whose folders are made. What is at the destination is looked at in the same round trip."""
    folder, slash, _ = path.rpartition(b"/")
    usual = b"%s%s.wf-%s.part" % (folder, slash, incoming.token.encode("ascii"))
    opened = _new_file(wire, usual, incoming.mode, wire.ask(LSTAT, string(path)), path)
    if isinstance(opened, Status) and opened.code == NO_SUCH_FILE and folder:
        make_folders(wire, folder)
        opened = _new_file(wire, usual, incoming.mode)
    if isinstance(opened, bytes):
        return Partial(usual, opened)
    there = attributes_of(wire, usual, LSTAT)
    if there is None:
        raise opened
    if incoming.resume and incoming.size is not None:
        found = _reopened(wire, usual, there, incoming.size)
        if found is not None:
            return found
    other = b"%s%s.wf-%s.part" % (folder, slash, os.urandom(8).hex().encode("ascii"))
    opened = _new_file(wire, other, incoming.mode)
    if isinstance(opened, Status):
        raise opened
    now = Fields(wire.call(FSTAT, opened).body).attributes().modified
    if _is_abandoned(there, now):
        wire.packet_of(wire.ask(REMOVE, string(usual)))
    return Partial(other, opened)


def _new_file(
    wire: Wire, name: bytes, mode: int | None, looking: int | None = None, path: bytes = b""
) -> bytes | Status:
    """The handle of a file that was not there before, or why there is none.

    `looking` is the number of a question about `path` that is under way: what is there must be replaceable.
    """
    attributes = number(0) if mode is None else number(4) + number(mode & 0o777)
    wire.ask(OPEN, string(name), number(_NEW_FILE), attributes)
    opened: bytes | Status = b""
    obstacle = ""
    for _ in range(1 if looking is None else 2):
        packet = wire.packet()
        if packet.number == looking:
            obstacle = _obstacle(packet)
            continue
        try:
            opened = handle_of(packet)
        except Status as status:
            opened = status
    if obstacle:
        if isinstance(opened, bytes):
            wire.forget({wire.ask(CLOSE, opened)})
            wire.packet_of(wire.ask(REMOVE, string(name)))
        raise _in_the_way(path, obstacle)
    return opened


def _obstacle(packet: Packet) -> str:
    """What cannot be replaced by a file; empty for files, links and what is not there."""
    if packet.kind != ATTRS:
        return ""
    kind = stat.S_IFMT(Fields(packet.body).attributes().mode or 0)
    if kind == stat.S_IFDIR:
        return "a folder"
    return "" if kind in (0, stat.S_IFREG, stat.S_IFLNK) else "a device, FIFO or socket"


def _in_the_way(path: bytes, what: str) -> LocalRefused:
    return LocalRefused(
        f"cannot write {shown_path(path)}: {what} is in its place", remedy="name another file, or remove that"
    )


def _reopened(wire: Wire, name: bytes, there: Attributes, size: int) -> Partial | None:
    """A partial that an earlier process left; None if it cannot be gone on with."""
    if not stat.S_ISREG(there.mode or 0) or there.size is None or there.size > size:
        return None
    try:
        handle = handle_of(wire.call(OPEN, string(name), number(_READ_AND_WRITE), number(0)))
    except Status:
        return None
    held = there.size if there.modified == _KEPT else max(0, there.size - _WINDOW_BYTES)
    return Partial(name, handle, held)


def _is_abandoned(there: Attributes, now: int | None) -> bool:
    """Nobody writes to the partial any more. `now` is the server's own time."""
    if not stat.S_ISREG(there.mode or 0) or there.modified is None:
        return False
    return there.modified == _KEPT or (now is not None and now - there.modified > _ABANDONED_SECONDS)


def remove_kept(wire: Wire, names: list[bytes]) -> None:
    """Removes those of the partials that were kept. What cannot be looked at stays."""
    for name in names:
        try:
            there = attributes_of(wire, name, LSTAT)
            if there is not None and _is_abandoned(there, None):
                wire.packet_of(wire.ask(REMOVE, string(name)))
        except Status:
            continue


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
