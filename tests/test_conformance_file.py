"""The file protocol keeps the obligations of a protocol."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from wf.protocols.capability import Capability
from wf.protocols.conformance import StoreConformance
from wf.protocols.locations import Location, parse_location
from wf.protocols.registry import FILE


class TestFile(StoreConformance):
    @pytest.fixture
    def capability(self) -> Capability:
        return FILE

    @pytest.fixture
    def place(self, tmp_path: Path) -> Location:
        (tmp_path / "place").mkdir()
        return parse_location(f"file://{tmp_path}/place")

    @pytest.fixture
    def stalled_location(self, place: Location) -> Location:
        os.mkfifo(place.below("fifo").path)
        return place.below("fifo")
