"""Globus keeps the obligations of a store, by the HTTPS server of a collection and Transfer's single operations."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from globus_tools import at, globus_context
from servers.globus_service import GUEST, MAPPED, GlobusService, globus_service
from wf.protocols.conformance import StoreConformance
from wf.protocols.registry import GLOBUS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.tls import TlsFiles
    from wf.protocols.capability import Capability
    from wf.protocols.context import Context
    from wf.protocols.locations import Location


@pytest.fixture(scope="module")
def shared_globus(tls_files: TlsFiles) -> Iterator[GlobusService]:
    with globus_service(tls_files) as service:
        yield service


class GlobusConformance(StoreConformance):
    entity_type = MAPPED
    _numbers = itertools.count(1)

    @pytest.fixture(autouse=True)
    def led_there(self, shared_globus: GlobusService, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in shared_globus.environment.items():
            monkeypatch.setenv(name, value)

    @pytest.fixture
    def capability(self) -> Capability:
        return GLOBUS

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "collection"

    @pytest.fixture
    def collection(self, shared_globus: GlobusService, root: Path) -> str:
        return shared_globus.collection(root, entity_type=self.entity_type, denied=["/denied*"])

    @pytest.fixture
    def place(self, collection: str, root: Path) -> Location:
        (root / "place").mkdir()
        return at(collection, "/place")

    @pytest.fixture
    def context(self, tls_files: TlsFiles) -> Context:
        return globus_context(tls_files)

    @pytest.fixture
    def denied_location(self, collection: str, root: Path) -> Location:
        (root / "denied").write_bytes(b"secret")
        return at(collection, "/denied")

    @pytest.fixture
    def cut_location(self, shared_globus: GlobusService, collection: str, root: Path) -> Location:
        (root / "cut").write_bytes(bytes(100_000))
        shared_globus.rule(f"GET /c/{collection}/cut", times=100, cut=50_000)
        return at(collection, "/cut")

    @pytest.fixture
    def stalled_location(self, shared_globus: GlobusService, collection: str, root: Path) -> Location:
        (root / "stalled").write_bytes(bytes(100_000))
        shared_globus.rule(f"GET /c/{collection}/stalled", times=100, stall=50_000)
        return at(collection, "/stalled")


class TestMappedCollection(GlobusConformance):
    """Which wants a consent."""


class TestGuestCollection(GlobusConformance):
    """Which replaces nothing by a rename."""

    entity_type = GUEST

    @pytest.fixture
    def collection(self, shared_globus: GlobusService, root: Path) -> str:
        return shared_globus.collection(
            root, entity_type=self.entity_type, denied=["/denied*"], rename_replaces=False
        )
