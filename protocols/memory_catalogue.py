"""Logical names in memory: a resolver for tests.

    server = MemoryServer()
    catalogue = MemoryCatalogue(server)
    catalogue.add("/lfn/a", ("cache1", "/in/a"), ("cache2", "/in/a"))
    registry = Registry((server.capability(), catalogue.capability()))

`logical://any/lfn/a` then is `memory://cache1/in/a`, else `memory://cache2/in/a`. Calls of the operation `resolve` are recorded by
the server, and fail as it orders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .capability import Shape
from .errors import NotFound
from .locations import parse_location, resolved
from .memory_store import MemoryStore
from .values import Resolved

if TYPE_CHECKING:
    from typing import Any

    from ..checksum.digest import Digest
    from .capability import Capability
    from .context import Context
    from .locations import Location
    from .memory import MemoryServer


class MemoryCatalogue:
    """What is known of each logical path. Changed only before a run."""

    def __init__(self, server: MemoryServer, name: str = "logical") -> None:
        self.server = server
        self.name = name
        self.known: dict[str, tuple[tuple[str, str], ...]] = {}
        self.sizes: dict[str, int] = {}
        self.digests: dict[str, tuple[Digest, ...]] = {}

    def add(self, path: str, *places: tuple[str, str]) -> None:
        """Host and path of each place of a logical path, best first."""
        self.known[path] = places

    def places(self, path: str) -> tuple[tuple[str, str], ...]:
        return self.known.get(path, ())

    def location(self, path: str, host: str = "catalogue") -> Location:
        return parse_location(f"{self.name}://{host}{path}")

    def capability(self, **overrides: Any) -> Capability:
        shapes = (Shape.STORE, Shape.RESOLVER)
        declared = self.server.capability(
            protocol=self.name, schemes=(self.name,), shapes=shapes, write_parts=False, write_resume=False
        )._replace(**overrides)
        return declared._replace(implementation=lambda context: CatalogueStore(self, declared, context))


class CatalogueStore(MemoryStore):
    """Opens the places of logical names too, as a resolver's store has to."""

    def __init__(self, catalogue: MemoryCatalogue, declared: Capability, context: Context) -> None:
        super().__init__(catalogue.server, declared, context)
        self._catalogue = catalogue

    def resolve(self, location: Location, purpose: str) -> tuple[Resolved, ...]:
        catalogue, path = self._catalogue, location.path
        with self._visit("resolve", location, True, purpose):
            places = catalogue.places(path)
            if not places:
                raise NotFound(f"the catalogue does not know {path!r}")
            size, digests = catalogue.sizes.get(path), catalogue.digests.get(path, ())
            urls = [f"{catalogue.server.name}://{host}{place}" for host, place in places]
            return tuple(Resolved(resolved(location, url), size, digests) for url in urls)
