"""XRootD keeps the obligations of a protocol, over Debian's server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers.faults import cut, fault_proxy, stall
from servers.xrootd_root import GSI
from wf.protocols.conformance import StoreConformance
from wf.protocols.errors import LocalRefused
from wf.protocols.locations import Location, parse_location
from wf.protocols.registry import XROOTD
from xrootd_tools import aged, fresh, location, xrootd, xrootd_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.xrootd_root import XrootdRoot
    from wf.protocols.capability import Capability
    from wf.protocols.contract import Store

__all__ = ["xrootd", "xrootd_service"]

_FAULTY_BYTES = 200_000


class TestXrootd(StoreConformance):
    scheme = "root"
    refused_names = frozenset({"new\nline", "question?mark=1"})

    @pytest.fixture(autouse=True)
    def service(self, xrootd: XrootdRoot) -> XrootdRoot:
        self._root = xrootd.roots[0]
        return xrootd

    @pytest.fixture
    def capability(self) -> Capability:
        return XROOTD

    @pytest.fixture
    def place(self, xrootd: XrootdRoot) -> Location:
        return location(xrootd, fresh(xrootd), scheme=self.scheme)

    def put(self, store: Store, location: Location, data: bytes) -> None:
        """A version has whole seconds, so that each needs one of its own that is long past. In a location `?` ends the name."""
        if "?" in location.path:
            raise LocalRefused("the name cannot be written in such a location")
        super().put(store, location, data)
        aged(Path(f"{self._root}{location.path}"))

    @pytest.fixture
    def denied_location(self, xrootd: XrootdRoot) -> Location:
        return parse_location(xrootd.url("/file", GSI))

    @pytest.fixture
    def cut_location(self, xrootd: XrootdRoot) -> Iterator[Location]:
        with fault_proxy(xrootd.ports[0], cut(_FAULTY_BYTES // 2)) as faulty:
            yield self.through(faulty.port, xrootd)

    @pytest.fixture
    def stalled_location(self, xrootd: XrootdRoot) -> Iterator[Location]:
        with fault_proxy(xrootd.ports[0], stall(_FAULTY_BYTES // 2)) as faulty:
            yield self.through(faulty.port, xrootd)

    def through(self, port: int, xrootd: XrootdRoot) -> Location:
        """A file behind another port."""
        path = fresh(xrootd) / "file"
        path.write_bytes(bytes(_FAULTY_BYTES))
        xrootd.give(path)
        return parse_location(f"{self.scheme}://localhost:{port}//{path.parent.name}/file")


class TestXrootdOverTls(TestXrootd):
    scheme = "roots"
