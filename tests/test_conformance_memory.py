"""The memory protocol keeps the obligations of a protocol, whatever part of them it declares."""

from __future__ import annotations

from typing import ClassVar

import pytest
from wf.protocols.capability import Capability, Publish, Shape
from wf.protocols.conformance import StoreConformance
from wf.protocols.errors import Denied
from wf.protocols.locations import Location
from wf.protocols.memory import FOREVER, Manners, MemoryServer
from wf.protocols.memory_catalogue import MemoryCatalogue
from wf.protocols.memory_tasks import MemoryService


class TestMemory(StoreConformance):
    overrides: ClassVar[dict[str, object]] = {}
    manners = Manners()

    @pytest.fixture
    def server(self) -> MemoryServer:
        server = MemoryServer(manners=self.manners)
        server.add_folder("/place")
        return server

    @pytest.fixture
    def capability(self, server: MemoryServer) -> Capability:
        return server.capability(**self.overrides)

    @pytest.fixture
    def place(self, server: MemoryServer) -> Location:
        return server.location("/place")

    @pytest.fixture
    def cut_location(self, server: MemoryServer) -> Location:
        server.put("/cut", b"0123456789")
        server.truncate("/cut", 5)
        return server.location("/cut")

    @pytest.fixture
    def denied_location(self, server: MemoryServer) -> Location:
        server.fail("open_read", "/denied", lambda: Denied("not for you"), times=FOREVER)
        return server.location("/denied")

    @pytest.fixture
    def stalled_location(self, server: MemoryServer) -> Location:
        server.put("/stalled", b"0123456789")
        server.stall("read", "/stalled", times=FOREVER)
        return server.location("/stalled")


class TestMemoryThatHolds(TestMemory):
    overrides: ClassVar[dict[str, object]] = {
        "publish": Publish.HELD,
        "write_needs_size": True,
        "write_wants_sha256": True,
    }
    manners = Manners(echoes=("md5", "sha256"), gives=("sha256",), speaks=("md5",), copy_steps=3)


class TestMemoryThatIsSentFilesBehindOneAnother(TestMemory):
    overrides: ClassVar[dict[str, object]] = {"behind": 5}


class TestMemoryThatTakesPartsInPieces(TestMemory):
    overrides: ClassVar[dict[str, object]] = {"write_parts_any_offset": True}


class TestMemoryThatPublishesAtOnce(TestMemory):
    overrides: ClassVar[dict[str, object]] = {"publish": Publish.AFTER, "read_version": False}
    manners = Manners(receipt_size=False)


class TestMemoryService(TestMemory):
    """Copies and removals as managed tasks, two items done at each question."""

    @pytest.fixture
    def capability(self, server: MemoryServer) -> Capability:
        return MemoryService(server, pace=2).capability()


class TestMemoryCatalogue(TestMemory):
    """Logical names, each of which is the place of the same name."""

    @pytest.fixture
    def capability(self, server: MemoryServer) -> Capability:
        return SamePlaces(server).capability()

    @pytest.fixture
    def place(self, server: MemoryServer) -> Location:
        return SamePlaces(server).location("/place")

    @pytest.fixture
    def cut_location(self, server: MemoryServer) -> Location:
        server.put("/cut", b"0123456789")
        server.truncate("/cut", 5)
        return SamePlaces(server).location("/cut")


class SamePlaces(MemoryCatalogue):
    """Every path is known, and lies at one place under the same path."""

    def places(self, path: str) -> tuple[tuple[str, str], ...]:
        return (("place", path),)


class TestMemoryThatDeclaresLittle(TestMemory):
    """What is not declared must be refused."""

    overrides: ClassVar[dict[str, object]] = {
        "shapes": (Shape.STORE,),
        "read_range": False,
        "read_version": False,
        "read_times": False,
        "read_modes": False,
        "write_times": False,
        "write_modes": False,
        "write_resume": False,
        "write_parts": False,
        "stat": False,
        "list": False,
        "make_directory": False,
        "remove": False,
        "remove_recursive": False,
        "digest": (),
    }


class TestMemoryWithoutRemovalOfTrees(TestMemory):
    overrides: ClassVar[dict[str, object]] = {"remove_recursive": False}


class TestMemoryThatOnlyReads(TestMemory):
    overrides: ClassVar[dict[str, object]] = {"write": False, "write_resume": False, "write_parts": False}

    @pytest.fixture(autouse=True)
    def seeded(self, server: MemoryServer) -> None:
        self.server = server

    def put(self, store: object, location: Location, data: bytes) -> None:
        self.server.put(location.path, data)


class TestMemoryThatOnlyWrites(TestMemory):
    overrides: ClassVar[dict[str, object]] = {"read": False, "read_range": False, "read_version": False}

    @pytest.fixture
    def denied_location(self) -> None:
        return None

    @pytest.fixture
    def cut_location(self) -> None:
        return None

    @pytest.fixture
    def stalled_location(self) -> None:
        return None

    @pytest.fixture(autouse=True)
    def seeded(self, server: MemoryServer) -> None:
        self.server = server

    def get(self, store: object, location: Location) -> bytes | None:
        return self.server.get(location.path)
