"""`globus://COLLECTION-UUID/path`: the collection and the path, as the Transfer API takes them.

The path is literal and absolute; `/~/x` is x in the home. `go:` is the same scheme by its old name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .errors import LocalRefused

if TYPE_CHECKING:
    from typing import Final

    from .locations import Location

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LEGACY: Final = re.compile(r"[A-Za-z0-9_.-]+#[A-Za-z0-9_.-]*")
_WRITE_UUID: Final = "write globus://UUID/path; the UUID is on the collection's page in the Globus web app"


class Place(NamedTuple):
    """One file or folder of one collection."""

    collection: str
    """UUID in lower case."""
    path: str

    def at(self, path: str) -> Place:
        return Place(self.collection, path)

    @property
    def parent(self) -> Place:
        """The folder that it is in; of a root the root itself."""
        return Place(self.collection, self.path.rstrip("/").rpartition("/")[0] or "/")

    @property
    def name(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2]


def is_collection(name: str) -> bool:
    """Whether it is spelled as the UUID of one."""
    return _UUID.fullmatch(name.lower()) is not None


def place_of(location: Location) -> Place:
    """What the location names. Raises LocalRefused for what is no collection, and for names that are not Unicode."""
    # Some write the host with a colon, as they write it for scp.
    host = location.host.removesuffix(":").lower()
    if not _UUID.fullmatch(host):
        raise _no_collection(location, host)
    path = location.path or "/"
    try:
        path.encode()
    except UnicodeEncodeError:
        raise LocalRefused(
            f"{location.shown}: the name is not Unicode, and Globus knows no other names",
            remedy="rename the file, or move it by another protocol",
        ) from None
    return Place(host, path)


def is_folder(place: Place) -> LocalRefused:
    from ..credentials.redaction import printable

    return LocalRefused(
        f"{printable(place.path)} of collection {place.collection} is a folder", remedy="name the file"
    )


def _no_collection(location: Location, host: str) -> LocalRefused:
    if _LEGACY.fullmatch(host):
        return LocalRefused(
            f"{location.shown}: {host} is a legacy endpoint name, which Globus no longer knows",
            remedy=_WRITE_UUID,
        )
    if _UUID.match(host):
        return LocalRefused(
            f"{location.shown}: the path behind the collection is not absolute",
            remedy="write globus://UUID/absolute/path, or globus://UUID/~/path for one in the home",
        )
    return LocalRefused(
        f"{location.shown}: {host[:80] or 'nothing'} is not the UUID of a collection", remedy=_WRITE_UUID
    )
