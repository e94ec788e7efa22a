"""One file written over SFTP: a partial beside the destination, many writes under way, then a rename.

There are no locks, so a partial of the usual name may be somebody's who is still writing. It is taken for abandoned when the server's own
clock says that nobody wrote to it for an hour; else a random name is used.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from .errors import Broken, LocalRefused, NoSpace, ServerFault, TransferError, Unreachable
from .sftp_reader import handle_of, raise_unless_attributes
from .sftp_tree import attributes_of, make_folders
from .sftp_wire import (
    ATTRS,
    CLOSE,
    EXTENDED,
    EXTENDED_REPLY,
    FAILURE,
    FSTAT,
    HANDLE,
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

if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .locations import Location
    from .sftp_wire import Packet, Wire
    from .sftp_wires import Wires
    from .values import Incoming

_NEW_FILE: Final = 0x02 | 0x08 | 0x20
"""SSH_FXF_WRITE, SSH_FXF_CREAT and SSH_FXF_EXCL (section 6.3 of the draft)."""
_WINDOW_BYTES: Final = 4 << 20
"""Written and not confirmed, at most."""
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
        "_window",
        "_wire",
        "_wires",
        "algorithms",
        "descriptor",
    )

    algorithms: tuple[str, ...]
    descriptor: int | None

    def __init__(
        self, wire: Wire, wires: Wires, location: Location, path: bytes, partial: bytes, handle: bytes
    ) -> None:
        self.algorithms = ()
        self.descriptor = None
        self._wire: Wire | None = wire
        self._wires = wires
        self._location = location
        self._path = path
        self._partial = partial
        self._handle = handle
        self._offset = 0
        self._waiting: set[int] = set()
        """Requests whose confirmation is still to come."""
        self._window = max(4, _WINDOW_BYTES // wire.block)

    def write(self, view: memoryview) -> None:
        wire = self._the_wire()
        block, total = wire.block, len(view)
        for begin in range(0, total, block):
            piece = view[begin : begin + block]
            self._waiting.add(wire.write_at(self._handle, self._offset, piece))
            self._offset += len(piece)
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
        error = error_of_status(status.code, status.message, self._what("write"), wire.host)
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
        return error_of_status(status.code, status.message, self._what("publish"), wire.host)

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
        except Exception:
            wire.broken = True
        self._give_back()

    def _tidy_up(self, wire: Wire, keep: bool) -> None:
        wire.forget(self._waiting)
        if self._handle:
            wire.forget({wire.ask(CLOSE, self._handle)})
        partial, self._partial = self._partial, b""
        if partial and not keep:
            wire.packet_of(wire.ask(REMOVE, string(partial)))
        wire.flush()

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


def open_writer(wire: Wire, wires: Wires, location: Location, path: bytes, incoming: Incoming) -> SftpWriter:
    """A writer that owns the wire until it is committed or aborted. Raises after giving it back. Makes the folders above."""
    what = f"cannot write {shown_path(path)}"
    folder, slash, name = path.rpartition(b"/")
    wire.about(what, Unreachable)
    try:
        if name in (b"", b".", b".."):
            raise LocalRefused(f"{what}: it does not end with a name", remedy="name the file, not its folder")
        partial, handle = _open_partial(wire, path, folder + slash, incoming)
    except Status as status:
        wires.give(wire)
        raise error_of_status(status.code, status.message, what, wire.host) from None
    except BaseException:
        wires.give(wire)
        raise
    return SftpWriter(wire, wires, location, path, partial, handle)


def _open_partial(wire: Wire, path: bytes, folder: bytes, incoming: Incoming) -> tuple[bytes, bytes]:
    """Name and handle of a new, empty partial. What is at the destination is looked at in the same round trip."""
    partial = b"%s.wf-%s.part" % (folder, incoming.token.encode("ascii"))
    looking = wire.ask(LSTAT, string(path))
    opened = _new_file(wire, partial, incoming.mode, looking, path)
    if isinstance(opened, Status) and opened.code == NO_SUCH_FILE and folder.strip(b"/"):
        make_folders(wire, folder.rstrip(b"/"))
        opened = _new_file(wire, partial, incoming.mode)
    if isinstance(opened, Status) and attributes_of(wire, partial, LSTAT) is not None:
        usual, partial = partial, b"%s.wf-%s.part" % (folder, os.urandom(8).hex().encode("ascii"))
        opened = _new_file(wire, partial, incoming.mode)
        if not isinstance(opened, Status):
            _remove_if_abandoned(wire, usual, opened)
    if isinstance(opened, Status):
        raise opened
    return partial, opened


def _new_file(
    wire: Wire, name: bytes, mode: int | None, looking: int | None = None, path: bytes = b""
) -> bytes | Status:
    """The handle of a file that was not there before, or why there is none.

    `looking` is the number of a question about `path` that is under way: what is there must be replaceable.
    """
    attributes = number(0) if mode is None else number(4) + number(mode & 0o777)
    opening = wire.ask(OPEN, string(name), number(_NEW_FILE), attributes)
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
            wire.forget({wire.ask(CLOSE, opened), wire.ask(REMOVE, string(name))})
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


def _remove_if_abandoned(wire: Wire, name: bytes, handle: bytes) -> None:
    """Compares with the time of our own new file, which is the server's present time."""
    now = Fields(wire.call(FSTAT, handle).body).attributes().modified
    old = attributes_of(wire, name, LSTAT)
    if now is None or old is None or old.modified is None or not stat.S_ISREG(old.mode or 0):
        return
    if now - old.modified > _ABANDONED_SECONDS:
        wire.packet_of(wire.ask(REMOVE, string(name)))


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


__all__ = ["SftpWriter", "open_writer"]
