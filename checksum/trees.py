"""The files below a folder, in the order of their paths' bytes."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

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
    """Something below the folder that is not a folder itself. The path begins as the given one does."""

    path: bytes
    kind: Kind
    error: OSError | None = None


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
    pending = [_listed(top, run_bytes, os.O_DIRECTORY)]
    while pending:
        found = next(pending[-1], None)
        if found is None:
            pending.pop()
        elif found.kind is not None:
            yield Found(found.path, found.kind, found.error)
        else:
            # Not through a link that has taken the folder's place since it was seen.
            pending.append(_listed(found.path, run_bytes, os.O_DIRECTORY | os.O_NOFOLLOW))


class _Listed(NamedTuple):
    path: bytes
    kind: Kind | None
    """None for a folder."""
    error: OSError | None = None


_BY_MARK = {b"f": Kind.FILE, b"l": Kind.LINK, b"s": Kind.SPECIAL, b"d": None}


def _listed(folder: bytes, run_bytes: int | None, flags: int) -> Iterator[_Listed]:
    """The entries of one folder, sorted; folders as if their names ended in a slash, as all paths below them have it."""
    from .sorting import RUN_BYTES, in_order

    try:
        names = in_order(_marked_names(folder, flags), run_bytes=run_bytes or RUN_BYTES)
        for name in names:
            kind = _BY_MARK[name[-1:]]
            plain = name[: name.index(b"\0")] if kind is not None else name[: name.index(b"/")]
            yield _Listed(os.path.join(folder, plain), kind)
    except OSError as error:
        yield _Listed(folder, Kind.UNREADABLE, error)


def _marked_names(folder: bytes, flags: int) -> Iterator[bytes]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                yield _marked(entry)
    finally:
        os.close(descriptor)


def _marked(entry: os.DirEntry[str]) -> bytes:
    name = os.fsencode(entry.name)
    if entry.is_dir(follow_symlinks=False):
        return name + b"/\0d"
    if entry.is_symlink():
        return name + b"\0l"
    return name + (b"\0f" if entry.is_file(follow_symlinks=False) else b"\0s")
