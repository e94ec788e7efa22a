"""One file written over SFTP: a partial beside the destination, many writes under way, then a rename."""

from __future__ import annotations

import os
import stat

from .errors import Broken, LocalRefused, TransferError, Unreachable
from .sftp_outgoing import Outgoing, read_at
from .sftp_packets import (
    ALREADY_EXISTS,
    EXTENDED,
    FAILURE,
    LSTAT,
    NO_SUCH_FILE,
    REMOVE,
    RENAME,
    Status,
    string,
)
from .sftp_partial import Partial, in_the_way, mark_as_kept, open_partial
from .sftp_tree import attributes_of
from .sftp_wires import LAST_WORDS_SECONDS
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


class SftpWriter:
    """Made by `open_writer`. Publishes by `posix-rename@openssh.com`, which replaces in one step, where the server
    has it."""

    __slots__ = (
        "_location",
        "_out",
        "_partial",
        "_path",
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
        self._out = Outgoing(wire, partial.handle, partial.name, path, partial.held, whole=whole)

    def read_held(self, offset: int, view: memoryview) -> int:
        wire = self._the_wire()
        wire.about(self._what("read back"), Broken)
        try:
            return read_at(wire, self._out.handle, offset, view[: max(0, self.held - offset)])
        except Status as status:
            raise self._error(status, "read back") from None

    def write(self, view: memoryview) -> None:
        self._out.write(view)

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        wire = self._the_wire()
        size = self._out.closed()
        if size is not None and size != self._out.offset:
            raise Broken(
                f"{self._what('write')}: the server has {size} bytes after {self._out.offset} were written"
            )
        publish(wire, self._partial, self._path)
        self._partial = b""
        self._give_back()
        return Receipt(size=size)

    def abort(self, *, keep: bool = False) -> None:
        wire = self._wire
        if wire is None:
            return
        context = wire.context
        try:
            if not wire.broken:
                wire.context = context.for_last_words(LAST_WORDS_SECONDS)
                self._tidy_up(wire, keep)
                wire.context = context
            elif self._partial and not keep:
                self._tidy_up_anew()
        except (TransferError, Status):
            wire.broken = True
        self._give_back()

    def _tidy_up(self, wire: Wire, keep: bool) -> None:
        if self._out.handle and keep:
            self._mark_as_kept(wire)
        self._out.let_go()
        partial, self._partial = self._partial, b""
        if partial and not keep:
            wire.packet_of(wire.ask(REMOVE, string(partial)))
        wire.flush()

    def _mark_as_kept(self, wire: Wire) -> None:
        """Says of the partial that everything in it was confirmed."""
        self._out.confirm(0)
        mark_as_kept(wire, self._out.handle)

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


def publish(wire: Wire, partial: bytes, path: bytes) -> None:
    """Gives a partial that is complete its name."""
    wire.about(f"cannot publish {shown_path(path)}", Unreachable)
    try:
        wire.answer(ask_to_rename(wire, partial, path))
    except Status as status:
        publish_otherwise(wire, partial, path, status)


def ask_to_rename(wire: Wire, partial: bytes, path: bytes) -> int:
    """The number of the request that gives a partial its name, in one step where the server knows that."""
    if _POSIX_RENAME in wire.extensions:
        return wire.ask(EXTENDED, string(_POSIX_RENAME), string(partial), string(path))
    return wire.ask(RENAME, string(partial), string(path))


def publish_otherwise(wire: Wire, partial: bytes, path: bytes, refusal: Status) -> None:
    """Gives a partial its name after the plain way was refused, or raises what the refusal means."""
    what = f"cannot publish {shown_path(path)}"
    wire.about(what, Unreachable)
    try:
        there = attributes_of(wire, path, LSTAT)
        if there is not None and stat.S_ISDIR(there.mode or 0):
            raise in_the_way(path, "a folder")
        if _POSIX_RENAME in wire.extensions or there is None or refusal.code not in (FAILURE, ALREADY_EXISTS):
            raise refusal
        _exchange(wire, partial, path)
    except Status as status:
        if status.code == NO_SUCH_FILE:
            # Another process that goes on with the same copy has published or removed it.
            raise Broken(f"{what}: its partial file is gone", host=wire.host) from None
        raise error_of_status(status.code, status.message, what, wire.host) from None


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
