"""Cloud Storage keeps the obligations of a protocol, over two emulators, each for what the other lacks.

No emulator checks credentials: what a refused one means is tested with a double.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from gcs_tools import at, checking, nobody, versioned
from servers.faults import cut, fault_proxy, stall
from servers.scripted import answer, scripted
from wf.protocols.conformance import StoreConformance, make_context
from wf.protocols.registry import GCS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.gcs import GcsEmulator
    from wf.credentials.kinds import Google
    from wf.protocols.capability import Capability
    from wf.protocols.context import Context
    from wf.protocols.locations import Location


__all__ = ["checking", "versioned"]


class GcsConformance(StoreConformance):
    """What is the same with both emulators."""

    # No object of the service may have it in its name; the emulators are less strict.
    refused_names = frozenset({"new\nline"})
    _numbers = itertools.count(1)

    @pytest.fixture
    def capability(self) -> Capability:
        return GCS

    @pytest.fixture
    def folder(self, emulator: GcsEmulator, bucket_name: str) -> str:
        return f"{bucket_name}/{next(self._numbers)}"

    @pytest.fixture
    def place(self, folder: str) -> Location:
        return at(f"{folder}/place")

    @pytest.fixture
    def context(self, emulator: GcsEmulator) -> Context:
        """Locations choose their endpoint by the label of their site, which is a port here."""

        def credential(location: Location, purpose: str) -> Google:
            return nobody(f"http://127.0.0.1:{location.site or emulator.port}")

        return make_context(credential=credential)

    @pytest.fixture
    def denied_location(self) -> Iterator[Location]:
        with scripted(answer(b"{}", status="403 Forbidden")) as double:
            yield at("bucket/secret")._replace(site=str(double.port))

    def planted(self, emulator: GcsEmulator, path: str) -> Location:
        bucket, _, key = path.partition("/")
        emulator.client().bucket(bucket).blob(key).upload_from_string(bytes(100_000))
        return at(path)

    @pytest.fixture
    def cut_location(self, emulator: GcsEmulator, folder: str) -> Iterator[Location]:
        location = self.planted(emulator, f"{folder}/cut")
        with fault_proxy(emulator.port, cut(50_000, body=True)) as faulty:
            yield location._replace(site=str(faulty.port))

    @pytest.fixture
    def stalled_location(self, emulator: GcsEmulator, folder: str) -> Iterator[Location]:
        location = self.planted(emulator, f"{folder}/stalled")
        with fault_proxy(emulator.port, stall(50_000, body=True)) as faulty:
            yield location._replace(site=str(faulty.port))


@pytest.fixture(scope="module")
def versioned_bucket(versioned: GcsEmulator) -> str:
    return versioned.new_bucket()


@pytest.fixture(scope="module")
def checking_bucket(checking: GcsEmulator) -> str:
    return checking.new_bucket()


class TestFakeGcsServer(GcsConformance):
    """For generations and paging."""

    @pytest.fixture
    def emulator(self, versioned: GcsEmulator) -> GcsEmulator:
        return versioned

    @pytest.fixture
    def bucket_name(self, versioned_bucket: str) -> str:
        return versioned_bucket


class TestGcpStorageEmulator(GcsConformance):
    """For checksums that are compared and uploads that are asked for. It tells no generation when it is read from."""

    @pytest.fixture
    def capability(self) -> Capability:
        return GCS._replace(read_version=False)

    @pytest.fixture
    def emulator(self, checking: GcsEmulator) -> GcsEmulator:
        return checking

    @pytest.fixture
    def bucket_name(self, checking_bucket: str) -> str:
        return checking_bucket
