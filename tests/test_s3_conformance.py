"""S3 keeps the obligations of a protocol, over SeaweedFS, plain and over TLS."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from s3_tools import access_key, at
from servers.faults import cut, fault_proxy, stall
from servers.seaweed import UNKNOWN
from wf.protocols.conformance import StoreConformance, make_context
from wf.protocols.conformance_tools import odd_names
from wf.protocols.locations import Location
from wf.protocols.registry import S3
from wf.protocols.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.seaweed import Seaweed
    from servers.tls import TlsFiles
    from wf.credentials.kinds import AccessKey
    from wf.protocols.capability import Capability
    from wf.protocols.context import Context
    from wf.protocols.contract import Store


@pytest.fixture(scope="module")
def shared_bucket(seaweed_service: Seaweed) -> str:
    return seaweed_service.new_bucket()


class S3Conformance(StoreConformance):
    """What is the same with and without TLS."""

    _numbers = itertools.count(1)

    @pytest.fixture
    def bucket(self, shared_bucket: str) -> str:
        """Bucket and a fresh folder in it: each bucket costs the service a set of volumes, of which it has few."""
        return f"{shared_bucket}/{next(self._numbers)}"

    @pytest.fixture
    def capability(self) -> Capability:
        # SeaweedFS tells the digest it has checked; not every service does.
        return S3._replace(digest=("sha256",))

    def test_odd_names_are_listed_as_locations_spell_them(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        """Without the backslash, which SeaweedFS takes for a slash."""
        folder = place.below("odd")
        names = {name for name, _, _ in odd_names(place.scheme) if "\\" not in name}
        for name in names:
            self.put(store, folder.below(name), name.encode())
        assert {entry.path for entry in store.list(folder, recursive=False)} == names


def planted(s3: Seaweed, path: str, data: bytes) -> None:
    bucket, _, key = path.partition("/")
    s3.client().put_object(Bucket=bucket, Key=key, Body=data)


class TestS3(S3Conformance):
    @pytest.fixture
    def place(self, bucket: str) -> Location:
        return at(f"{bucket}/place")

    @pytest.fixture
    def context(self, s3: Seaweed) -> Iterator[Context]:
        """Locations choose their endpoint by the label of their site, which is a port here."""

        def credential(location: Location, purpose: str) -> AccessKey:
            if location.site == "denied":
                return access_key(s3.endpoint, UNKNOWN)
            return access_key(f"http://127.0.0.1:{location.site or s3.port}", s3.admin)

        yield make_context(credential=credential)

    @pytest.fixture
    def denied_location(self, s3: Seaweed, bucket: str) -> Location:
        planted(s3, f"{bucket}/secret", b"secret")
        return at(f"{bucket}/secret")._replace(site="denied")

    @pytest.fixture
    def cut_location(self, s3: Seaweed, bucket: str) -> Iterator[Location]:
        planted(s3, f"{bucket}/cut", bytes(100_000))
        with fault_proxy(s3.port, cut(50_000, body=True)) as faulty:
            yield at(f"{bucket}/cut")._replace(site=str(faulty.port))

    @pytest.fixture
    def stalled_location(self, s3: Seaweed, bucket: str) -> Iterator[Location]:
        planted(s3, f"{bucket}/stalled", bytes(100_000))
        with fault_proxy(s3.port, stall(50_000, body=True)) as faulty:
            yield at(f"{bucket}/stalled")._replace(site=str(faulty.port))


class TestS3OverTls(S3Conformance):
    """`s3s:`, where bodies are signed without a digest."""

    @pytest.fixture
    def place(self, bucket: str) -> Location:
        return at(f"{bucket}/place", "s3s")

    @pytest.fixture
    def context(self, s3: Seaweed, tls_files: TlsFiles) -> Context:
        trust = tls_context({"SSL_CERT_FILE": str(tls_files.ca)})
        return make_context(credential=access_key(s3.tls_endpoint, s3.admin), tls=trust)
