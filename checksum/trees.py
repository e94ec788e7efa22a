"""The files below a folder, in the order of their paths' bytes."""

from __future__ import annotations

import os

from .records import NamedTuple, StrEnum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .paths import Path


class Kind(StrEnum):
    FILE = "file"
    LINK = "link"
    """A symbolic link, to whatever: not followed, so that nothing is met twice and no loop can be."""
    SPECIAL = "special"
    """A FIFO, socket or device."""
    UNREADABLE = "unreadable"
    """A folder, or the start itself, that cannot be listed or is gone; `error` says why."""


class Found(NamedTuple):
    """Something below the folder that is not a folder itself. The path begins as the given one does.

    `inode` is known without another look at it; 0 where there was none: for `top` itself, and for what is UNREADABLE.
    """

    path: bytes
    kind: Kind
    error: OSError | None = None
    inode: int = 0


def walk(top: Path, *, run_bytes: int | None = None) -> Iterator[Found]:
    """All that is below `top`, as it is found; `top` itself if it is no folder.

    Sorted by the bytes of the whole path, so that two listings of equal trees are equal. A link given as `top` is
    followed. Memory is that of the names in the folders on the way down, and of a folder with more names than
    `run_bytes` that part. Never raises OSError: what cannot be listed is UNREADABLE, and the rest is told.
    """
    path = os.fsencode(top)
    try:
        if not os.path.isdir(path):
            os.stat(path)
            yield Found(path, Kind.FILE if os.path.isfile(path) else Kind.SPECIAL)
            return
    except OSError as error:
        yield Found(path, Kind.UNREADABLE, error)
        return
    yield from _below(path, run_bytes)


def _below(top: bytes, run_bytes: int | None) -> Iterator[Found]:
    # A stack of iterators instead of recursion: a tree may be deeper than Python's stack.
    pending = [(top, _sorted_names(top, run_bytes, os.O_DIRECTORY))]
    while pending:
        folder, names = pending[-1]
        prefix = folder if folder[-1:] == b"/" else folder + b"/"
        try:
            for name in names:
                plain, _, mark = name.partition(b"\0")
                if not mark:
                    # Not through a link that has taken the folder's place since it was seen.
                    path = prefix + plain[:-1]
                    pending.append((path, _sorted_names(path, run_bytes, os.O_DIRECTORY | os.O_NOFOLLOW)))
                    break
                yield Found(prefix + plain, _BY_MARK[mark[0]], None, int(mark[1:]))
            else:
                pending.pop()
        except OSError as error:
            pending.pop()
            yield Found(folder, Kind.UNREADABLE, error)


_BY_MARK = {ord("f"): Kind.FILE, ord("l"): Kind.LINK, ord("s"): Kind.SPECIAL}


def _sorted_names(folder: bytes, run_bytes: int | None, flags: int) -> Iterator[bytes]:
    """The names in one folder, each with a NUL behind it and, but for folders, a letter for its kind and the inode.

    Those of folders end in a slash first, as all paths below them have it: that is the order of whole paths.
    """
    from .sorting import RUN_BYTES, in_order

    return in_order(_marked_names(folder, flags), run_bytes=run_bytes or RUN_BYTES)


def _marked_names(folder: bytes, flags: int) -> Iterator[bytes]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | flags)
    fsencode = os.fsencode
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = fsencode(entry.name)
                if entry.is_file(follow_symlinks=False):
                    yield b"%b\0f%d" % (name, entry.inode())
                elif entry.is_dir(follow_symlinks=False):
                    yield name + b"/\0"
                else:
                    yield b"%b\0%c%d" % (name, b"l" if entry.is_symlink() else b"s", entry.inode())
    finally:
        os.close(descriptor)
