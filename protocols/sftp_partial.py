"""Partials at an SFTP server: files that are not yet what they will be, under a name of ours beside the destination.

There are no locks, so a partial of the usual name may be somebody's who is still writing. Going on with it is safe all
the same: a token names one copy, so both write the same bytes to the same places, and nobody makes the file shorter.
What was not confirmed when a process died may have holes, so the last `WINDOW_BYTES` are written again, unless the
partial was kept on purpose: then its time is `KEPT`. A partial that is not gone on with is removed when it was kept, or
when by the server's own clock nobody wrote to it for an hour; else a random name is used.
"""

from __future__ import annotations

import os
import stat

from ..checksum.records import NamedTuple
from .errors import LocalRefused
from .sftp_packets import (
    ATTRS,
    CLOSE,
    FSETSTAT,
    FSTAT,
    LSTAT,
    NO_SUCH_FILE,
    OPEN,
    REMOVE,
    Fields,
    Status,
    number,
    string,
)
from .sftp_reader import handle_of
from .sftp_tree import attributes_of, make_folders
from .ssh import shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .sftp_packets import Attributes, Packet
    from .sftp_wire import Wire
    from .values import Incoming

_NEW_FILE: Final = 0x02 | 0x08 | 0x20
"""SSH_FXF_WRITE, SSH_FXF_CREAT and SSH_FXF_EXCL (section 6.3 of the draft)."""
_READ_AND_WRITE: Final = 0x01 | 0x02
WINDOW_BYTES: Final = 4 << 20
"""Written and not confirmed, at most."""
KEPT: Final = 0x5F77662D
"""The time of the last change, in 2020, that tells of a partial that all its bytes were confirmed."""
_ABANDONED_SECONDS: Final = 3600


class Partial(NamedTuple):
    """A file that is open for writing."""

    name: bytes
    handle: bytes
    held: int = 0
    """Bytes that an earlier process wrote and that are surely there."""


def open_partial(wire: Wire, path: bytes, incoming: Incoming, suffix: bytes = b"part") -> Partial:
    """A partial beside the destination, whose folders are made. What is at the destination is looked at in the same
    round trip."""
    folder = path.rpartition(b"/")[0]
    usual = name_beside(path, incoming.token, suffix)
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
    other = name_beside(path, os.urandom(8).hex(), suffix)
    opened = _new_file(wire, other, incoming.mode)
    if isinstance(opened, Status):
        raise opened
    now = Fields(wire.call(FSTAT, opened).body).attributes().modified
    if _is_abandoned(there, now):
        wire.packet_of(wire.ask(REMOVE, string(usual)))
    return Partial(other, opened)


def name_beside(path: bytes, token: str, suffix: bytes = b"part") -> bytes:
    """The name of a partial of the destination `path`."""
    folder, slash, _ = path.rpartition(b"/")
    return b"%s%s.wf-%s.%s" % (folder, slash, token.encode("ascii"), suffix)


def ask_for_new_file(wire: Wire, name: bytes, mode: int | None) -> int:
    """The number of the request to open a file that must not be there yet. Without a mode it gets that of the account."""
    attributes = number(0) if mode is None else number(4) + number(mode & 0o777)
    return wire.ask(OPEN, string(name), number(_NEW_FILE), attributes)


def _new_file(
    wire: Wire, name: bytes, mode: int | None, looking: int | None = None, path: bytes = b""
) -> bytes | Status:
    """The handle of a file that was not there before, or why there is none.

    `looking` is the number of a question about `path` that is under way: what is there must be replaceable.
    """
    ask_for_new_file(wire, name, mode)
    opened: bytes | Status = b""
    obstacle = ""
    for _ in range(1 if looking is None else 2):
        packet = wire.packet()
        if packet.number == looking:
            obstacle = obstacle_in(packet)
            continue
        try:
            opened = handle_of(packet)
        except Status as status:
            opened = status
    if obstacle:
        if isinstance(opened, bytes):
            wire.forget({wire.ask(CLOSE, opened)})
            wire.packet_of(wire.ask(REMOVE, string(name)))
        raise in_the_way(path, obstacle)
    return opened


def obstacle_in(packet: Packet) -> str:
    """What, by the answer to a question about the destination, cannot be replaced by a file; empty for files, links and what is not there."""
    if packet.kind != ATTRS:
        return ""
    kind = stat.S_IFMT(Fields(packet.body).attributes().mode or 0)
    if kind == stat.S_IFDIR:
        return "a folder"
    return "" if kind in (0, stat.S_IFREG, stat.S_IFLNK) else "a device, FIFO or socket"


def in_the_way(path: bytes, what: str) -> LocalRefused:
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
    held = there.size if there.modified == KEPT else max(0, there.size - WINDOW_BYTES)
    return Partial(name, handle, held)


def _is_abandoned(there: Attributes, now: int | None) -> bool:
    """Nobody writes to the partial any more. `now` is the server's own time."""
    if not stat.S_ISREG(there.mode or 0) or there.modified is None:
        return False
    return there.modified == KEPT or (now is not None and now - there.modified > _ABANDONED_SECONDS)


def mark_as_kept(wire: Wire, handle: bytes) -> None:
    """Says of an open partial that everything in it was confirmed, and that nobody writes to it."""
    times = number(8) + number(KEPT) + number(KEPT)
    wire.packet_of(wire.ask(FSETSTAT, handle, times))


def remove_kept(wire: Wire, names: list[bytes]) -> None:
    """Removes those of the partials that were kept, and their maps (`sftp_parts.py`). What cannot be looked at stays."""
    for name in names:
        try:
            there = attributes_of(wire, name, LSTAT)
            if there is not None and _is_abandoned(there, None):
                if name.endswith(b".parts"):
                    wire.forget({wire.ask(REMOVE, string(name.removesuffix(b"parts") + b"map"))})
                wire.packet_of(wire.ask(REMOVE, string(name)))
        except Status:
            continue
