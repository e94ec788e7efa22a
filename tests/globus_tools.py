"""What the tests of Globus share: the service, credentials, stores and locations."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
from servers.globus_service import CLIENT, SECRET, GlobusService, globus_service
from wf.credentials.kinds import Globus, Secret
from wf.protocols.conformance_tools import make_context
from wf.protocols.locations import Location, parse_location

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.tls import TlsFiles
    from wf.protocols.context import Context


@pytest.fixture
def globus(tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> Iterator[GlobusService]:
    """A service of this test alone, to which the SDK in this process is led."""
    with globus_service(tls_files) as service:
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        yield service


def a_client(secret: str = SECRET) -> Globus:
    return Globus("client", Secret(secret), client_id=CLIENT, name="a client", origin="a test")


def a_login(refresh: str, **more: Any) -> Globus:
    return Globus("refresh", Secret(refresh), client_id=CLIENT, name="a login", origin="a test", **more)


def a_token(token: str, **more: Any) -> Globus:
    return Globus("access", Secret(token), name="a token", origin="a test", **more)


def globus_context(tls_files: TlsFiles, credential: Globus | None = None, **options: Any) -> Context:
    trust = ssl.create_default_context(cafile=str(tls_files.ca))
    return make_context(credential=credential or a_client(), tls=trust, **options)


def at(collection: str, path: str, **more: Any) -> Location:
    return parse_location(f"globus://{collection}{path}", **more)


def folders(root: Path, *names: str) -> list[Path]:
    """New folders."""
    found = [root / name for name in names]
    for each in found:
        each.mkdir(parents=True)
    return found
