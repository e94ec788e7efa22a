"""Removing a folder with all that is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import Busy, Denied, NotFound, Stopped, TransferError, Unreachable
from .webdav_list import entries
from .webdav_names import as_folder

if TYPE_CHECKING:
    from .locations import Location
    from .webdav import WebdavStore


def remove_tree(store: WebdavStore, folder: Location) -> None:
    """By one DELETE, which RFC 4918 gives the depth of infinity; name by name where the server refuses that."""
    try:
        if store.delete_folder(folder):
            return
    except (Stopped, Unreachable, Busy):
        raise
    except TransferError as error:
        _name_by_name(store, folder, error)
        return
    _name_by_name(store, folder, None)


def _name_by_name(store: WebdavStore, folder: Location, error: TransferError | None) -> None:
    """Deepest first. Raises `error` where not even that is possible."""
    try:
        found = list(entries(store.propfind, folder, recursive=True))
    except NotFound:
        return
    if isinstance(error, Denied) and not found:
        raise error
    for entry in sorted(found, key=lambda entry: entry.path.count("/"), reverse=True):
        inner = folder.below(entry.path)
        store.delete(as_folder(inner) if entry.is_directory else inner)
    store.delete(folder)
