"""What is below a folder, in order, for people who copy or list a whole tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocols.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..protocols.locations import Location
    from ..protocols.values import Entry
    from .asking import Stores


def walk(
    stores: Stores, folder: Location, unreadable: Callable[[Location, TransferError], None]
) -> Iterator[Entry]:
    """Every entry below `folder`, with its path relative to it. Raises a TransferError if it cannot be listed.

    A local folder inside it that cannot be listed is told to `unreadable`, and the others follow. A service lists a
    whole tree in one answer or not at all.
    """
    if not folder.is_local:
        yield from _listed(stores, folder, recursive=True)
        return
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        inner = folder.below(prefix) if prefix else folder
        try:
            found = _listed(stores, inner, recursive=False)
        except TransferError as error:
            if not prefix:
                raise
            unreadable(inner, error)
            continue
        above = f"{prefix}/" if prefix else ""
        entries = [entry._replace(path=above + entry.path) for entry in found]
        yield from entries
        waiting += [entry.path for entry in reversed(entries) if entry.is_directory]


def _listed(stores: Stores, folder: Location, *, recursive: bool) -> list[Entry]:
    return sorted(stores.store(folder).list(folder, recursive=recursive), key=lambda entry: entry.path)
