"""Names at an SFTP server: looking at them, listing folders, making and removing them. Links are never followed when
removing.

SFTP 3 has no way to say "in the folder that I have open", so whoever may rename folders on the way to what is removed
can lead the removal elsewhere, as with any program that removes by path.
"""

from __future__ import annotations

import re
import stat

from .errors import LocalRefused, NotFound, Stopped, Unsupported
from .sftp_packets import (
    ATTRS,
    CLOSE,
    EOF,
    LSTAT,
    MKDIR,
    NAME,
    NO_SUCH_FILE,
    OPENDIR,
    READDIR,
    REMOVE,
    RMDIR,
    SETSTAT,
    STAT,
    Attributes,
    Fields,
    Status,
    number,
    raise_unless_ok,
    string,
)
from .sftp_reader import handle_of, version_of
from .ssh import shown_path
from .ssh_errors import error_of_status
from .values import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .errors import TransferError
    from .sftp_wire import Wire
    from .values import Traits

_PARTIAL: Final = re.compile(rb"\.wf-[0-9a-f]{16}\.parts?")
_AT_ONCE: Final = 64
"""Removals under way."""


def attributes_of(wire: Wire, path: bytes, question: int = STAT) -> Attributes | None:
    """What is at `path`; None if nothing is. Raises Status for other refusals."""
    try:
        packet = wire.call(question, string(path))
    except Status as status:
        if status.code == NO_SUCH_FILE:
            return None
        raise
    return Fields(packet.body).attributes() if packet.kind == ATTRS else None


def entry_of(path: str, attributes: Attributes) -> Entry:
    """Only regular files have a size and a version."""
    kind = stat.S_IFMT(attributes.mode or 0)
    modified = None if attributes.modified is None else float(attributes.modified)
    if kind in (0, stat.S_IFREG):
        return Entry(path, attributes.size, version_of(attributes), False, modified)
    return Entry(path, None, None, kind == stat.S_IFDIR, modified)


def set_traits(wire: Wire, path: bytes, traits: Traits) -> None:
    """Gives a regular file this time and these bits, and looks whether it has them: some servers take and ignore them.

    Raises Status, NotFound and Unsupported. SFTP 3 has whole seconds until 2106.
    """
    what = f"cannot set time or permissions of {shown_path(path)}"
    there = attributes_of(wire, path, LSTAT)
    if there is None:
        raise NotFound(f"{what}: there is no such file", host=wire.host)
    seconds = None if traits.modified is None else traits.modified // 1_000_000_000
    if stat.S_IFMT(there.mode or 0) not in (0, stat.S_IFREG) or not 0 <= (seconds or 0) < 1 << 32:
        raise Unsupported(f"{what}: it is no regular file, or the time is one that SFTP does not have")
    flags, fields = 0, b""
    if traits.mode is not None:
        flags, fields = 4, number(traits.mode & 0o777)
    if seconds is not None:
        flags, fields = flags | 8, fields + number(seconds) * 2
    wire.call(SETSTAT, string(path), number(flags), fields)
    now = attributes_of(wire, path, LSTAT) or Attributes()
    mode = None if traits.mode is None or now.mode is None else now.mode & 0o777
    if mode not in (None, traits.mode) or (seconds is not None and now.modified != seconds):
        raise Unsupported(f"{what}: the server took them, and the file has others", host=wire.host)


def make_folders(wire: Wire, path: bytes) -> None:
    """Makes the folder and those above it. One that exists is success. Raises Status and LocalRefused."""
    missing = [path]
    while missing:
        try:
            wire.call(MKDIR, string(missing[-1]), number(0))
            missing.pop()
        except Status as status:
            above = missing[-1].rpartition(b"/")[0].rstrip(b"/")
            if status.code == NO_SUCH_FILE and above and len(missing) < 1000:
                missing.append(above)
                continue
            _insist_on_a_folder(wire, missing.pop(), status)


def _insist_on_a_folder(wire: Wire, path: bytes, status: Status) -> None:
    """Returns if there is a folder; else it was not made because of `status`."""
    attributes = attributes_of(wire, path)
    if attributes is None:
        raise status
    if not stat.S_ISDIR(attributes.mode or 0):
        raise LocalRefused(
            f"cannot make the folder {shown_path(path)}: a file is in its place", remedy="remove that file"
        )


def children(wire: Wire, path: bytes) -> list[tuple[bytes, Attributes]]:
    """What is in a folder, without following links. Raises Status.

    A name that no file can have (a server may send anything) is left out.
    """
    handle = handle_of(wire.call(OPENDIR, string(path)))
    found: list[tuple[bytes, Attributes]] = []
    try:
        while True:
            packet = wire.call(READDIR, handle)
            if packet.kind != NAME:
                break
            fields = Fields(packet.body)
            for _ in range(fields.long()):
                name = fields.string()
                fields.string()  # the line that `ls -l` would print
                attributes = fields.attributes()
                if name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name:
                    found.append((name, attributes))
    except Status as status:
        if status.code != EOF:
            raise
    finally:
        wire.forget({wire.ask(CLOSE, handle)})
    return found


def partials_in(wire: Wire, folder: bytes) -> tuple[bytes, ...]:
    """The names of all partials in a folder; none if it cannot be listed."""
    try:
        return tuple(name for name, _ in children(wire, folder) if _PARTIAL.fullmatch(name))
    except Status:
        return ()


def entries(wire: Wire, path: bytes, recursive: bool) -> Iterator[Entry]:
    """What is below the folder `path`, which itself may be a link to one. What vanishes meanwhile is left out."""
    waiting = [b""]
    while waiting:
        prefix = waiting.pop()
        if wire.context.stop.is_set():
            raise Stopped(f"cannot list {shown_path(path)} to its end: the run was stopped")
        for name, attributes in _children_if_there(wire, path, prefix):
            below = prefix + name
            entry = entry_of(below.decode("utf-8", "surrogateescape"), attributes)
            yield entry
            if recursive and entry.is_directory:
                waiting.append(below + b"/")


def _children_if_there(wire: Wire, path: bytes, prefix: bytes) -> list[tuple[bytes, Attributes]]:
    try:
        return children(wire, joined(path, prefix.rstrip(b"/")))
    except Status as status:
        if status.code != NO_SUCH_FILE:
            raise
    if prefix:
        return []
    if attributes_of(wire, path) is not None:
        raise LocalRefused(f"cannot list {shown_path(path)}: it is not a folder", remedy="name a folder")
    raise NotFound(f"cannot list {shown_path(path)}: there is no such folder", host=wire.host)


def joined(folder: bytes, name: bytes) -> bytes:
    if not name:
        return folder
    return folder + name if folder.endswith(b"/") else folder + b"/" + name


def remove(wire: Wire, path: bytes, recursive: bool) -> None:
    """Removes one name; with `recursive` a folder and what is in it. A trailing slash does not lead into a link.
    Raises Status."""
    bare = path.rstrip(b"/")
    if bare.rpartition(b"/")[2] in (b"", b".", b".."):
        raise LocalRefused(
            f"cannot remove {shown_path(path)}: it does not end with a name", remedy="name what to remove"
        )
    attributes = attributes_of(wire, bare, LSTAT)
    if attributes is None:
        return
    if not stat.S_ISDIR(attributes.mode or 0):
        _gone(wire, REMOVE, bare)
    elif recursive:
        _remove_folder(wire, bare)
    else:
        raise LocalRefused(
            f"cannot remove {shown_path(path)}: it is a folder",
            remedy='ask for a recursive removal (rm -r; in a batch "recursive": true)',
        )


def _remove_folder(wire: Wire, top: bytes) -> None:
    """Files first, then the folders, the deepest first."""
    found: list[bytes] = []
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        if wire.context.stop.is_set():
            raise Stopped(f"cannot remove all of {shown_path(top)}: the run was stopped")
        try:
            names = children(wire, folder)
        except Status as status:
            if status.code != NO_SUCH_FILE:
                raise _about(wire, status, folder) from None
            continue
        found.append(folder)
        inner = [joined(folder, name) for name, each in names if stat.S_ISDIR(each.mode or 0)]
        files = [joined(folder, name) for name, each in names if not stat.S_ISDIR(each.mode or 0)]
        waiting.extend(inner)
        _remove_files(wire, files)
    for folder in reversed(found):
        _gone(wire, RMDIR, folder)


def _remove_files(wire: Wire, names: list[bytes]) -> None:
    for first in range(0, len(names), _AT_ONCE):
        asked = {wire.ask(REMOVE, string(name)): name for name in names[first : first + _AT_ONCE]}
        failed: tuple[Status, bytes] | None = None
        while asked:
            packet = wire.packet()
            name = asked.pop(packet.number, None)
            if name is None:
                raise wire.answered_nobody()
            try:
                raise_unless_ok(packet)
            except Status as status:
                if status.code != NO_SUCH_FILE:
                    failed = failed or (status, name)
        if failed is not None:
            raise _about(wire, *failed)


def _gone(wire: Wire, question: int, path: bytes) -> None:
    try:
        wire.call(question, string(path))
    except Status as status:
        if status.code != NO_SUCH_FILE:
            raise _about(wire, status, path) from None


def _about(wire: Wire, status: Status, path: bytes) -> TransferError:
    return error_of_status(status.code, status.message, f"cannot remove {shown_path(path)}", wire.host)
