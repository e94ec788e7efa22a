"""Folders at XRootD servers: listed, and removed with all that is in them. Links are never followed when removing."""

from __future__ import annotations

from .errors import LocalRefused
from .xrootd_errors import ABSENT, Status
from .xrootd_names import entry_of, is_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .values import Entry
    from .xrootd_link import Link
    from .xrootd_names import Place


def entries(link: Link, folders: list[Place], recursive: bool, what: str) -> Iterator[Entry]:
    """What is below a folder that several servers may have a part of. Raises Status, and LocalRefused for names that none can
    be asked for."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        for name, facts in listed(link, [_inside(folder, prefix) for folder in folders]).items():
            if recursive:
                _insist_on_a_speakable(name, prefix, what)
            entry = entry_of(prefix + name, facts)
            yield entry
            if recursive and entry.is_directory:
                waiting.append(f"{entry.path}/")


def _inside(folder: Place, name: str) -> Place:
    return folder.at(f"{folder.path.rstrip('/')}/{name}".rstrip("/") or "/")


def listed(link: Link, folders: list[Place]) -> dict[str, list[Any] | None]:
    """The names in one folder, of several servers together, where one at least has it. Raises Status."""
    found: dict[str, list[Any] | None] = {}
    for number, folder in enumerate(folders):
        try:
            listed = link.call("list", folder.server, folder.target)
        except Status as status:
            if status.number == ABSENT and (found or number + 1 < len(folders)):
                continue
            raise
        for name, facts in listed:
            if _is_name(name):
                found.setdefault(name, facts)
    return found


def _is_name(name: str) -> bool:
    """A server's list is not trusted to hold names only."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _insist_on_a_speakable(name: str, prefix: str, what: str) -> None:
    """What begins at `?` is no name in a request: asked for `a?b`, a server gives `a`."""
    if "?" in name:
        raise LocalRefused(
            f"{what}: in it is {prefix + name}, which no request can name for its question mark",
            remedy="rename it at the server",
        )


def remove_one(link: Link, place: Place, is_folder: bool, what: str) -> None:
    """Removes what one server has under a name. Raises Status."""
    if is_folder:
        _remove_tree(link, place, what)
    else:
        _remove_name(link, place)


def _remove_tree(link: Link, folder: Place, what: str) -> None:
    """Removes a folder that is surely one, and what is in it. Raises Status."""
    for name, facts in _still_listed(link, folder).items():
        _insist_on_a_speakable(name, f"{folder.path}/", what)
        place = _inside(folder, name)
        if facts is not None and is_directory(facts):
            _remove_folder(link, place, what)
        else:
            _remove_name(link, place)
    _ignoring_absence(link, "rmdir", folder)


def _still_listed(link: Link, folder: Place) -> dict[str, list[Any] | None]:
    """What is in a folder; nothing where somebody else has removed it meanwhile."""
    try:
        return listed(link, [folder])
    except Status as status:
        if status.number != ABSENT or found_there(link, folder) is not None:
            raise
        return {}


def found_there(link: Link, place: Place) -> list[Any] | None:
    """What the server tells of a name; None where nothing has it. Raises Status."""
    try:
        facts: list[Any] = link.call("stat", place.server, place.target)
    except Status as status:
        if status.number != ABSENT:
            raise
        return None
    return facts


def _remove_folder(link: Link, place: Place, what: str) -> None:
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
    _remove_tree(link, place, what)


def _remove_link(link: Link, place: Place) -> None:
    try:
        _remove_name(link, place)
    except Status as status:
        raise LocalRefused(
            f"cannot remove {place.path}: it is a link to a folder, and the server does not remove such",
            remedy="remove it at the server",
        ) from status


def _remove_name(link: Link, place: Place) -> None:
    _ignoring_absence(link, "rm", place)


def _ignoring_absence(link: Link, operation: str, place: Place) -> None:
    try:
        link.call(operation, place.server, place.target)
    except Status as status:
        if status.number != ABSENT:
            raise
