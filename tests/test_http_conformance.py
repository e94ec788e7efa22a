"""HTTP keeps the obligations of a protocol, over nginx."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import pytest
from servers.faults import cut, fault_proxy, stall
from wf.protocols.capability import Capability
from wf.protocols.conformance import StoreConformance
from wf.protocols.conformance_tools import refused
from wf.protocols.errors import Unsupported
from wf.protocols.locations import Location, parse_location
from wf.protocols.registry import HTTP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.nginx import Nginx
    from wf.protocols.contract import Store


class TestHttp(StoreConformance):
    @pytest.fixture
    def capability(self) -> Capability:
        return HTTP

    @pytest.fixture
    def place(self, web: Nginx) -> Location:
        return parse_location(f"{web.url}/put")

    @pytest.fixture(autouse=True)
    def files(self, web: Nginx) -> None:
        self.root = web.root
        self.times = itertools.count(1_000_000_000, 10)

    def put(self, store: Store, location: Location, data: bytes) -> None:
        """nginx makes its ETags of size and second, so that each version needs a second of its own."""
        super().put(store, location, data)
        path = unquote_to_bytes(location.path)
        if not path.endswith(b"/"):
            os.utime(os.fsencode(self.root) + path, (0, next(self.times)))

    def test_a_folder_is_not_removed_as_if_it_were_an_object(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        self.put(store, place.below("folder/object"), b"stays")
        refused(lambda: store.remove(place.below("folder"), recursive=False), Unsupported)
        assert self.get(store, place.below("folder/object")) == b"stays"

    @pytest.fixture
    def denied_location(self, web: Nginx) -> Location:
        (web.root / "secret").write_bytes(b"secret")
        return parse_location(f"{web.url}/basic/secret")

    @pytest.fixture
    def cut_location(self, web: Nginx) -> Iterator[Location]:
        (web.root / "cut").write_bytes(bytes(100_000))
        with fault_proxy(web.port, cut(50_000, body=True)) as faulty:
            yield parse_location(f"{faulty.url}/cut")

    @pytest.fixture
    def stalled_location(self, web: Nginx) -> Iterator[Location]:
        (web.root / "stalled").write_bytes(bytes(100_000))
        with fault_proxy(web.port, stall(50_000, body=True)) as faulty:
            yield parse_location(f"{faulty.url}/stalled")
