"""What the tests of Cloud Storage share: credentials, locations and stores for an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from servers.gcs import PROJECT, fake_gcs_server, gcp_storage_emulator
from wf.credentials.kinds import Google, Secret
from wf.protocols.conformance_tools import make_context
from wf.protocols.gcs import GcsStore
from wf.protocols.locations import Location, parse_location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.gcs import GcsEmulator
    from wf.credentials.kinds import Credential


@pytest.fixture(scope="module")
def checking() -> Iterator[GcsEmulator]:
    """gcp-storage-emulator: compares checksums, and can be asked how far an upload is. It tells readers no generation."""
    with gcp_storage_emulator() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def versioned() -> Iterator[GcsEmulator]:
    """fake-gcs-server: generations and pages. It believes every checksum."""
    with fake_gcs_server() as emulator:
        yield emulator


def nobody(endpoint: str, project: str = PROJECT, **options: Any) -> Google:
    """Presents nothing, at an endpoint that is not Google's."""
    return Google(
        "anonymous", Secret(""), endpoint=endpoint, project=project, name="test", origin="a test", **options
    )


def gcs_store(credential: Credential, **options: Any) -> GcsStore:
    return GcsStore(make_context(credential=credential, **options))


def at(path: str) -> Location:
    return parse_location(f"gs://{path}")
