"""The local Globus Connect Personal: which collection it is, and which local paths it gives access to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .locations import Location


class Allowed(NamedTuple):
    """One line of `config-paths`: a path and all below it."""

    path: str
    writable: bool


class Personal(NamedTuple):
    """The collection that an installation of this user serves."""

    collection: str
    allowed: tuple[Allowed, ...]

    def allows(self, path: str, *, writing: bool) -> bool:
        """Whether the most exact of the configured paths gives access to this one."""
        fitting = [each for each in self.allowed if _is_within(path, each.path)]
        if not fitting:
            return False
        best = max(fitting, key=lambda each: len(each.path))
        return best.writable or not writing


def find_personal() -> Personal | None:
    """The installation of this user; None without one. Whether it runs is for the service to say."""
    folder = os.path.join(os.path.expanduser("~"), ".globusonline", "lta")
    try:
        with open(os.path.join(folder, "client-id.txt"), encoding="ascii", errors="replace") as file:
            collection = file.read(200).strip().lower()
    except OSError:
        return None
    return Personal(collection, _allowed(folder)) if collection else None


def _allowed(folder: str) -> tuple[Allowed, ...]:
    """The paths that its configuration names; by default the home, writable."""
    try:
        with open(os.path.join(folder, "config-paths"), encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        lines = ["~/,0,1"]
    return allowed_by(lines)


def allowed_by(lines: Sequence[str]) -> tuple[Allowed, ...]:
    """What the lines of a `config-paths` give access to."""
    return tuple(filter(None, map(_line, lines)))


def _line(text: str) -> Allowed | None:
    """`path,sharing,writable` with 0 or 1; None for what is not understood."""
    parts = text.rsplit(",", 2)
    if len(parts) != 3 or not parts[0].strip():
        return None
    path = os.path.expanduser(parts[0].strip())
    return Allowed(os.path.normpath(path), parts[2].strip() == "1")


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def twin_of(location: Location, personal: Personal, *, writing: bool) -> Location | None:
    """The name of a local file on the collection of this machine; None where that gives no access to it."""
    from .locations import parse_location

    if location.problem or location.scheme != "file":  # the others link and move, which no task does
        return None
    folder, name = os.path.split(os.path.abspath(location.path))
    # Links above it are followed, as the collection does; one in its place is not: it will be replaced.
    path = os.path.join(os.path.realpath(folder), name)
    if not _is_sayable(path) or not personal.allows(path, writing=writing):
        return None
    url = f"globus://{personal.collection}/{path.lstrip('/')}"
    return parse_location(url, site=location.site, priority=location.priority, kind=location.kind)


def _is_sayable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
