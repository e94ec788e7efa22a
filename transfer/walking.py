"""What is below a folder, in order, for people who copy or list a whole tree."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ..protocols.errors import LocalRefused, TransferError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from ..protocols.locations import Location
    from ..protocols.values import Entry
    from .asking import Stores

    _Chain: TypeAlias = tuple[tuple[int, int], ...]
    """Device and inode of folders."""


def walk(
    stores: Stores,
    folder: Location,
    unreadable: Callable[[Location, TransferError], None],
    *,
    follow: bool = False,
) -> Iterator[Entry]:
    """Every entry below `folder`, with its path relative to it. Raises a TransferError if it cannot be listed.

    A local folder inside it that cannot be listed is told to `unreadable`, and the others follow. A service lists a
    whole tree in one answer or not at all. With `follow` local links are what they lead to; one that leads to a folder
    it is in is told to `unreadable`, one that leads nowhere is an entry without a size.
    """
    if not folder.is_local:
        yield from _listed(stores, folder, recursive=True)
        return
    waiting: list[tuple[str, _Chain]] = [("", ())]
    while waiting:
        prefix, above = waiting.pop()
        inner = folder.below(prefix) if prefix else folder
        try:
            chain = _lengthened(above, inner) if follow else ()
            found = _listed(stores, inner, recursive=False)
        except TransferError as error:
            if not prefix:
                raise
            unreadable(inner, error)
            continue
        entries = [_below(prefix, _followed(inner, entry) if follow else entry) for entry in found]
        yield from entries
        waiting += [(entry.path, chain) for entry in reversed(entries) if entry.is_directory]


def _below(prefix: str, entry: Entry) -> Entry:
    return entry._replace(path=f"{prefix}/{entry.path}") if prefix else entry


def _followed(folder: Location, entry: Entry) -> Entry:
    """What a link leads to, under the link's name."""
    if entry.size is not None or entry.is_directory:
        return entry
    try:
        status = os.stat(folder.below(entry.path).path)
    except OSError:
        return entry
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    return entry._replace(size=size, is_directory=stat.S_ISDIR(status.st_mode), modified=status.st_mtime)


def _lengthened(above: _Chain, folder: Location) -> _Chain:
    """The folders on the way to this one and itself. Raises LocalRefused where it is on its own way."""
    try:
        status = os.stat(folder.path)
    except OSError:
        return above  # listing it will tell
    own = (status.st_dev, status.st_ino)
    if own in above:
        raise LocalRefused(
            f"{folder.shown} is not copied: it is a symbolic link to a folder that it is in",
            remedy="leave it out",
        )
    return (*above, own)


def _listed(stores: Stores, folder: Location, *, recursive: bool) -> list[Entry]:
    return sorted(stores.store(folder).list(folder, recursive=recursive), key=lambda entry: entry.path)
