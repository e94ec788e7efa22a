"""What a location means to an XRootD server, and what a server's facts mean to us.

One or two slashes after the host begin the same absolute path. `?` begins the opaque part, which goes with every request for the
path; `#`, `%` and blanks belong to the name. A name with a newline is refused: servers list names one a line.
"""

from __future__ import annotations

import time

from ..checksum.records import NamedTuple
from .errors import LocalRefused
from .values import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .locations import Location

_UNZIP: Final = "xrdcl.unzip"
_SETTLED_SECONDS: Final = 60.0
_IS_DIRECTORY: Final = 2
"""XrdClXRootDResponses.hh, `StatInfo::Flags`."""
SIZE, FLAGS, MODIFIED, CHANGED, IDENTITY = range(5)
"""What the other process tells of a name, in this order."""


class Place(NamedTuple):
    """A location, taken apart."""

    server: str
    """`root://host:port/`, as the library wants it."""
    path: str
    opaque: str = ""
    member: str = ""
    """The name inside a zip archive that `xrdcl.unzip` in the opaque part asks for."""

    @property
    def target(self) -> str:
        """What requests name: the path with its opaque part."""
        return f"{self.path}?{self.opaque}" if self.opaque else self.path

    @property
    def url(self) -> str:
        return self.server + self.target

    def with_opaque(self, more: str) -> str:
        """`target` with one more opaque value."""
        return f"{self.path}?{self.opaque}&{more}" if self.opaque else f"{self.path}?{more}"

    def at(self, path: str) -> Place:
        """The same with another path."""
        return self._replace(path=path)

    def beside(self, name: str) -> Place:
        return self.at(f"{self.path.rpartition('/')[0]}/{name}")

    @property
    def folder(self) -> Place:
        return self.at(self.path.rpartition("/")[0] or "/")


def place_of(location: Location) -> Place:
    """The place of a location. Raises LocalRefused for a name that the protocol cannot carry."""
    path, _, opaque = location.path.partition("?")
    if "\n" in path:
        raise LocalRefused(
            f"{location.shown}: XRootD servers list names one a line, so none may contain a newline",
            remedy="choose another name",
        )
    if not _is_utf8(location.path):
        raise LocalRefused(
            f"{location.shown}: names at XRootD servers are UTF-8, and this one is not",
            remedy="choose another name",
        )
    member = ""
    if _UNZIP in opaque:
        member, opaque = _member_of(opaque)
    return Place(f"{location.scheme}://{location.host}/", "/" + path.lstrip("/"), opaque, member)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _member_of(opaque: str) -> tuple[str, str]:
    """The member of an archive, and the rest of the opaque part."""
    kept, member = [], ""
    for item in opaque.split("&"):
        name, _, value = item.partition("=")
        if name == _UNZIP:
            member = value
        else:
            kept.append(item)
    return member, "&".join(kept)


def is_directory(facts: list[Any]) -> bool:
    return bool(facts[FLAGS] & _IS_DIRECTORY)


def entry_of(path: str, facts: list[Any] | None) -> Entry:
    if facts is None:
        return Entry(path, None)
    if is_directory(facts):
        return Entry(path, None, None, True, float(facts[MODIFIED]))
    return Entry(path, facts[SIZE], version_of(facts), False, float(facts[MODIFIED]))


def version_of(facts: list[Any]) -> str | None:
    """File number, size and times of change; None for a file that was written in the last minute.

    Times are whole seconds, so a file that is being written can change without changing them. A minute also covers clocks that
    differ a little.
    """
    if facts[MODIFIED] > time.time() - _SETTLED_SECONDS:
        return None
    changed = "" if facts[CHANGED] is None else f"-{facts[CHANGED]:x}"
    return f"{facts[IDENTITY]}-{facts[SIZE]:x}-{facts[MODIFIED]:x}{changed}"
