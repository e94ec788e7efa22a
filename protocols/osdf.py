"""Objects in data federations, the OSDF before all: a discovery names a director, the director names caches and origins.

`resolve` asks the director; what it names are the places that bytes are read from and written to (`osdf_servers.py`). Logical names
are taken everywhere else too: folders are listed where the director says that they can be, the rest is done at an origin.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from .errors import LocalRefused, ServerFault, Unsupported
from .http_visit import Shown, Visit
from .locations import parse_location
from .osdf_director import WELL_KNOWN, Guide, director_in, guide_in
from .osdf_known import Known
from .osdf_names import name_of
from .osdf_servers import ObjectServers
from .redirects import Trail, is_redirect
from .values import Resolved, Tree
from .wire import Wire, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..checksum.digest import Digest
    from .context import Context
    from .errors import TransferError
    from .locations import Location
    from .osdf_names import Name
    from .osdf_reader import FederatedReader
    from .values import Entry, Incoming
    from .webdav_writer import WebdavWriter


class OsdfStore:
    """Store and Resolver for data federations, for one worker."""

    def __init__(self, context: Context) -> None:
        self._wire = Wire(context)
        self._known = context.shared(("osdf",), Known)
        self._servers = ObjectServers(context, self._known, self._guide)

    # --- where things are

    def resolve(self, location: Location, purpose: str) -> tuple[Resolved, ...]:
        """Caches to read from, the least failing ones of this run first, or origins to write to."""
        name = name_of(location)
        guide = self._guide(name, purpose)
        return tuple(Resolved(place) for place in self._places(location, name, guide, purpose))

    def tree(self, location: Location) -> Tree | None:
        name = name_of(location)
        if "recursive" not in name.flags and not name.pack:
            return None
        plain = location.logical or location.url
        words = sorted(name.flags - {"recursive"})
        url = plain.partition("?")[0] + (f"?{'&'.join(words)}" if words else "")
        return Tree(parse_location(url, site=location.site, priority=location.priority), name.pack)

    def _places(self, location: Location, name: Name, guide: Guide, purpose: str) -> Sequence[Location]:
        servers = guide.servers
        if guide.needs_token or name.token or purpose == "write":
            servers = tuple(server for server in servers if server.startswith("https://"))
        if not servers:
            raise LocalRefused(
                f"{location.shown}: no server that the director names speaks TLS, and a token is needed there",
                remedy="tell the operators of the federation",
            )
        path = "" if guide.alone else name.path
        return self._known.by_trust([_place(location, server, path) for server in servers])

    def _guide(self, name: Name, purpose: str) -> Guide:
        return self._known.guide(name, purpose, lambda: self._ask_director(name, purpose))

    def _ask_director(self, name: Name, purpose: str) -> Guide:
        """The director's answer; of a federation without one, that its discovery host has everything."""
        director = self._known.director(name.federation, lambda: self._discover(name.federation))
        if not director:
            return Guide("", (f"https://{name.federation}",), collections=f"https://{name.federation}")
        method = "GET" if purpose == "read" else "PUT"
        origin, target = origin_of(director + name.path + name.of_the_director)
        answer = self._wire.exchange(method, origin, target)
        visit = Visit(answer, origin, target, False, Shown(origin, (), None, "no credential"), method)
        try:
            return guide_in(visit, name.path)
        except BaseException:
            answer.close()
            raise

    def _discover(self, federation: str) -> str:
        origin, target = origin_of(f"https://{federation}{WELL_KNOWN}")
        trail = Trail("GET", origin, target)
        while True:
            answer = self._wire.exchange("GET", origin, target)
            if not is_redirect(answer):
                break
            origin, target = trail.follow(answer)
        visit = Visit(answer, origin, target, False, Shown(origin, (), None, "no credential"), "GET")
        try:
            return director_in(visit)
        except BaseException:
            answer.close()
            raise

    def _place(self, location: Location, purpose: str) -> Location:
        """A place as its servers are asked: the one that it is, or for a logical name the best one."""
        if not location.logical:
            location = self.resolve(location, purpose)[0].location
        return _as_web(location)

    def _collection(self, location: Location) -> Location:
        """Where the folder can be listed, or the object looked at."""
        name = name_of(location)
        guide = self._guide(name, "read")
        if not guide.collections:
            raise Unsupported(
                f"{location.shown}: the namespace {guide.namespace} cannot be listed",
                remedy="name each object",
            )
        return _as_web(_place(location, guide.collections, name.path))

    def _origin(self, location: Location) -> Location:
        """An origin to ask about the object, past the caches."""
        name = name_of(location)
        direct = name._replace(flags=name.flags - {"prefercached"} | {"directread"})
        guide = self._guide(direct, "read")
        return self._place(self._places(location, direct, guide, "read")[0], "read")

    def ordered(self, places: tuple[Location, ...]) -> tuple[Location, ...]:
        return tuple(self._known.by_trust(places))

    def report(self, place: Location, error: TransferError) -> None:
        """Notes that what came from a place was not what it should be: it is named last from now on."""
        if place.logical:
            self._known.failed(place.host)

    # --- bytes

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> FederatedReader:
        return self._servers.open_read(
            self._place(location, "read"), start=start, length=length, version=version
        )

    def open_write(self, location: Location, incoming: Incoming) -> WebdavWriter:
        """A writer to an origin. The name shows while bytes arrive; the last one is held back."""
        return self._servers.open_write(self._place(location, "write"), incoming)

    def stat(self, location: Location) -> Entry:
        if location.logical:
            return self._servers.stat(self._place(location, "read"))
        try:
            return self._servers.stat(self._collection(location))
        except Unsupported:
            return self._servers.stat(self._place(location, "read"))

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        return self._servers.list(self._collection(location), recursive=recursive)

    def make_directory(self, location: Location) -> None:
        self._servers.make_directory(self._place(location, "write"))

    def remove(self, location: Location, *, recursive: bool) -> None:
        """At an origin; caches may go on serving what they have. A whole namespace is not removed."""
        name = name_of(location)
        recursive = recursive or "recursive" in name.flags
        if recursive and name.decoded.strip("/") == self._guide(name, "write").namespace.strip("/"):
            raise LocalRefused(
                f"{location.shown} is not removed: it is a whole namespace", remedy="name what is in it"
            )
        self._servers.remove(self._place(location, "write"), recursive=recursive)

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        """The origin's word: a cache tells none, or that of what it has."""
        try:
            origin = self._origin(location)
        except Unsupported:
            origin = self._place(location, "read")
        return self._servers.digest(origin, algorithm)

    def close(self) -> None:
        self._servers.close()
        self._wire.close()


def _place(location: Location, server: str, path: str) -> Location:
    """`path` at a server whose URL has no path of its own at its end, in the place of `location`."""
    base = _base(server)
    if base is None:
        raise ServerFault(f"{location.shown}: the director names something that is no URL of a server")
    return base._replace(
        url=base.url + path,
        site=location.site,
        priority=location.priority,
        kind=location.kind,
        logical=location.logical or location.url,
    )


@lru_cache(maxsize=256)
def _base(server: str) -> Location | None:
    """The server as a place without a path; None for what is no URL."""
    try:
        return parse_location(server)._replace(scheme="osdf")
    except ValueError:
        return None


def _as_web(place: Location) -> Location:
    """The place as its server is asked."""
    return place._replace(scheme=place.url.partition(":")[0])
