"""Federations keep the obligations of a protocol: directly at an origin, and for reading through a real cache."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from osdf_servers import context_of, fed, federation_service, fresh
from servers.faults import cut, stall
from wf.protocols.conformance import StoreConformance
from wf.protocols.conformance_bytes import ReadConformance
from wf.protocols.conformance_shapes import ResolverConformance
from wf.protocols.conformance_tools import odd_names
from wf.protocols.errors import ServerFault
from wf.protocols.locations import parse_location
from wf.protocols.registry import OSDF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.federation import Federation
    from wf.protocols.capability import Capability
    from wf.protocols.context import Context
    from wf.protocols.contract import Store
    from wf.protocols.locations import Location

__all__ = ["fed", "federation_service"]


class Ranges:
    @pytest.mark.parametrize(("start", "length"), [(1, None), (0, 10), (5, 10), (3145744, 100)])
    def test_a_range_is_read(
        self, store: Store, capability: Capability, place: Location, start: int, length: int | None
    ) -> None:
        """Without lengths that do not fit 32 bits, which XRootD 5 takes for their remainder."""
        super().test_a_range_is_read(store, capability, place, start, length)


class TestOrigin(Ranges, StoreConformance):
    """Past the caches: those go on serving what was replaced at the origin."""

    refused_names = frozenset({"question?mark=1"})
    namespace = "open"

    @pytest.fixture
    def capability(self) -> Capability:
        # XRootD 5 has no ETags, and knows neither SHA-1 nor SHA-256.
        return OSDF._replace(digest=("md5", "adler32", "crc32c"), read_version=False)

    @pytest.fixture
    def context(self, fed: Federation) -> Context:
        return context_of(fed, fed.token())

    @pytest.fixture
    def place(self, fed: Federation) -> Location:
        self.fed = fed
        return parse_location(fed.url(f"{fresh(fed, self.namespace)}?directread"))

    @pytest.fixture
    def cut_location(self, fed: Federation) -> Iterator[Location]:
        path = f"{fresh(fed)}/cut"
        fed.put(path, bytes(100_000))
        with fed.bad_cache(cut(50_000, body=True)) as bad:
            fed.serve_from(bad)
            yield parse_location(fed.url(path))

    @pytest.fixture
    def stalled_location(self, fed: Federation) -> Iterator[Location]:
        path = f"{fresh(fed)}/stalled"
        fed.put(path, bytes(100_000))
        with fed.bad_cache(stall(50_000, body=True)) as bad:
            fed.serve_from(bad)
            yield parse_location(fed.url(path))

    def put(self, store: Store, location: Location, data: bytes) -> None:
        super().put(store, location, data)
        self._forget_checksum(location)

    def get(self, store: Store, location: Location) -> bytes | None:
        """What is being written is locked: 423."""
        try:
            return super().get(store, location)
        except ServerFault as error:
            assert ": 423" in error.what
            return None
        finally:
            self._forget_checksum(location)

    def _forget_checksum(self, location: Location) -> None:
        """XRootD 5 goes on telling the checksum that it once computed if the file is written again within the second."""
        stored = self.fed.stored(unquote(location.path.partition("?")[0]))
        if stored.exists():
            for name in os.listxattr(stored):
                os.removexattr(stored, name)

    def test_odd_names_are_listed_as_locations_spell_them(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        """XRootD 5 sends names as they are, so that `%20` in one is taken for a blank, and a newline for the end."""
        unlike = ("%20", "\n", "?")
        names = {
            spelled for name, spelled, _ in odd_names("osdf") if not any(part in name for part in unlike)
        }
        for name in names:
            self.put(store, place.below("odd").below(name), b"odd")
        assert {entry.path for entry in store.list(place.below("odd"), recursive=False)} == names


class TestProtectedOrigin(TestOrigin):
    """Where reading takes a token, too."""

    namespace = "kept"

    @pytest.fixture
    def denied_location(self, fed: Federation) -> Location:
        """A server that the director takes for one of this namespace, and that knows nothing of it."""
        fed.servers.put("/strange", b"strange")
        fed.director.namespaces["/strange"] = fed.director.namespaces["/kept"]._replace(
            path="/strange", root=None
        )
        return parse_location(fed.url("/strange"))


class TestCache(Ranges, ReadConformance, ResolverConformance):
    """Through a real XRootD cache. Objects come to the origin by hand, each but once."""

    @pytest.fixture
    def capability(self) -> Capability:
        return OSDF._replace(write=False, read_version=False)

    @pytest.fixture
    def context(self, fed: Federation) -> Context:
        return context_of(fed, fed.token())

    @pytest.fixture
    def place(self, fed: Federation) -> Location:
        self.fed = fed
        return parse_location(fed.url(fresh(fed)))

    def put(self, store: Store, location: Location, data: bytes) -> None:
        self.fed.put(unquote(location.path), data)


class TestProtectedCache(TestCache):
    @pytest.fixture
    def place(self, fed: Federation) -> Location:
        self.fed = fed
        return parse_location(fed.url(fresh(fed, "kept")))
