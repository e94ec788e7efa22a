"""Folders at an XRootD server: listed, and removed with all that is in them. Links are never followed when removing."""

from __future__ import annotations

from .errors import LocalRefused
from .xrootd_errors import ABSENT, Status
from .xrootd_names import entry_of, is_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .values import Entry
    from .xrootd_link import Link
    from .xrootd_names import Place


def entries(link: Link, folder: Place, recursive: bool) -> Iterator[Entry]:
    """What is below a folder. Raises Status."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        here = folder.at(f"{folder.path.rstrip('/')}/{prefix}".rstrip("/") or "/")
        for name, facts in link.call("list", here.server, here.target):
            if not _is_name(name):
                continue
            entry = entry_of(prefix + name, facts)
            yield entry
            if recursive and entry.is_directory:
                waiting.append(f"{entry.path}/")


def _is_name(name: str) -> bool:
    """A server's list is not trusted to hold names only."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def remove_tree(link: Link, folder: Place) -> None:
    """Removes a folder that is surely one, and what is in it. Raises Status."""
    for name, facts in link.call("list", folder.server, folder.target):
        if not _is_name(name):
            continue
        place = folder.at(f"{folder.path.rstrip('/')}/{name}")
        if facts is not None and is_directory(facts):
            _remove_folder(link, place)
        else:
            remove_name(link, place)
    _ignoring_absence(link, "rmdir", folder)


def _remove_folder(link: Link, place: Place) -> None:
    """A name that looks like a folder may be a link to one. Only `rmdir` tells: it refuses a link as no folder."""
    try:
        link.call("rmdir", place.server, place.target)
        return
    except Status as status:
        if status.number == ABSENT:
            return
        if "not a directory" in status.text.lower():
            _remove_link(link, place)
            return
    remove_tree(link, place)


def _remove_link(link: Link, place: Place) -> None:
    try:
        remove_name(link, place)
    except Status as status:
        raise LocalRefused(
            f"cannot remove {place.path}: it is a link to a folder, and the server does not remove such",
            remedy="remove it at the server",
        ) from status


def remove_name(link: Link, place: Place) -> None:
    _ignoring_absence(link, "rm", place)


def _ignoring_absence(link: Link, operation: str, place: Place) -> None:
    try:
        link.call(operation, place.server, place.target)
    except Status as status:
        if status.number != ABSENT:
            raise
