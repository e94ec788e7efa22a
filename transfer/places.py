"""What a person's word means as a place, and how names are carried from one place to another."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ..protocols.locations import BUCKET_SCHEMES, Location, Rule, parse_location, query_start, rule_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//)?")


def place(word: str, site: str, environment: Mapping[str, str]) -> Location:
    """The location a word names. Raises ValueError with a sentence for people.

    A word without a scheme is a local path, character by character: its variables were the shell's business. So is one
    like `a:b` where such a file exists.
    """
    if not word:
        raise ValueError("an empty word names no place")
    scheme = _SCHEME.match(word)
    if scheme is None or (not scheme[1] and os.path.lexists(word)):
        return Location(word, "file", "", 0, site)
    try:
        return parse_location(word, site=site, environment=environment)
    except ValueError as error:
        from .record_text import display_name

        shown = display_name(word)
        hint = "" if scheme[1] else f"; a local file of that name is written ./{shown}"
        raise ValueError(f"{shown}: {error}{hint}") from None


def bare_path(location: Location) -> str:
    """The path without query and fragment."""
    path = location.path
    return path[: query_start(location.scheme, path)]


def names_a_folder(location: Location) -> bool:
    """Whether the spelling alone tells: a slash at the end, a whole bucket or server, `.` or `..`."""
    path = bare_path(location)
    if location.scheme in BUCKET_SCHEMES and "/" not in path:
        return True
    return path.endswith("/") or path.rpartition("/")[2] in ("", ".", "..")


def only_inside(location: Location) -> Location:
    """The folder that `FOLDER/.` means at a service, which knows no `.`; any other place as it is.

    It keeps its slash, so that it is not taken for a file of that name, but for a bucket.
    """
    path = bare_path(location)
    if location.is_local or path.rpartition("/")[2] != "." or "/" not in path:
        return location
    folder = path[:-1]
    if location.scheme in BUCKET_SCHEMES and folder.count("/") == 1:
        folder = folder[:-1]
    return location.with_path(folder + location.path[len(path) :])


def last_name(location: Location) -> str:
    """The last part of the path as a name, decoded; empty if the path ends with none."""
    name = bare_path(location).rstrip("/").rpartition("/")[2]
    return "" if name in (".", "..") else decoded(name, location.scheme)


def decoded(relative: str, scheme: str) -> str:
    """The name behind a relative path that is spelled as `scheme` wants it."""
    if rule_of(scheme) is not Rule.URL or "%" not in relative:
        return relative
    from urllib.parse import unquote

    return unquote(relative, errors="surrogateescape")


def below(folder: Location, relative: str) -> Location:
    """The place of a name, as `decoded` gives it, inside a folder; the folder itself for an empty one."""
    if not relative:
        return folder
    if rule_of(folder.scheme) is Rule.URL:
        from urllib.parse import quote

        relative = quote(relative, errors="surrogateescape")
    return folder.below(relative)


def why_unsafe(relative: str, *, folders: bool) -> str:
    """Why a name that somebody else chose is not joined to a destination; empty if it can be.

    `folders` tells whether the destination has real ones, in which `a//b` and `a/b` are the same name.
    """
    parts = relative.split("/")
    if "\0" in relative:
        return "its name contains a NUL"
    if relative.startswith("/"):
        return "its name is absolute"
    if ".." in parts:
        return "its name leads out of the folder with `..`"
    if folders and ("" in parts or "." in parts):
        return "its name has an empty part or `.` in it, which a folder cannot hold"
    return ""
