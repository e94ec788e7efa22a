"""What the tests of iRODS share: credentials, contexts, stores and locations for a test zone."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import pytest
from wf.credentials.kinds import Irods, Secret
from wf.protocols.conformance_tools import make_context
from wf.protocols.irods import IrodsStore
from wf.protocols.locations import Location, parse_location

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from irods_operations import Account
    from servers.irods_server import IrodsZone
    from servers.tls import Pair
    from wf.credentials.kinds import Credential


def credential(zone: IrodsZone, folder: Path, *, ticket: str = "", **environment: object) -> Irods:
    """The login of the test user with an environment file of its own, changed by `environment`."""
    from servers.irods_server import PASSWORD

    file = zone.write_environment(folder / "irods_environment.json", **environment)
    if ticket:
        return Irods("ticket", str(file), ticket=Secret(ticket), name="ticket", origin="the test")
    form = "pam" if str(environment.get("irods_authentication_scheme", "")).startswith("pam") else "native"
    return Irods(form, str(file), password=Secret(PASSWORD), name="alice", origin="the test")


def real_account() -> Account:
    """A real zone that the tests may use, or the test is skipped. `IRODS_TEST_HOST`, and the like with PORT, ZONE, USER,
    PASSWORD, and STRANGER for a home collection that the user may not write to."""
    from irods_operations import Account

    host = os.environ.get("IRODS_TEST_HOST")
    if not host:
        pytest.skip("IRODS_TEST_HOST names no real zone")
    given = {
        name: os.environ.get(f"IRODS_TEST_{name}", "")
        for name in ("PORT", "ZONE", "USER", "PASSWORD", "STRANGER")
    }
    zone = given["ZONE"] or "tempZone"
    stranger = given["STRANGER"] or f"/{zone}/home/rods"
    return Account(
        host, int(given["PORT"] or 1247), zone, given["USER"] or "alice", given["PASSWORD"], stranger
    )


def tls_settings(pair: Pair) -> ssl.SSLContext:
    """A server's settings with that certificate."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(pair.certificate, pair.key)
    return settings


_made: list[IrodsStore] = []


def store(zone: IrodsZone, folder: Path, *, ticket: str = "", **environment: object) -> IrodsStore:
    """One that `stores_closed` closes."""
    return presenting(credential(zone, folder, ticket=ticket, **environment))


def presenting(presented: Credential, **context: object) -> IrodsStore:
    _made.append(IrodsStore(make_context(credential=presented, **context)))  # type: ignore[arg-type]
    return _made[-1]


@pytest.fixture(autouse=True)
def stores_closed() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close()


def at(zone: IrodsZone, name: str, *, port: int = 0) -> Location:
    """A name below the home collection, by the server's URL."""
    return parse_location(f"irods://alice@127.0.0.1:{port or zone.port}{zone.home}/{name}")


def planted_replicas(zone: IrodsZone, name: str, *, stale: bytes, good: bytes) -> None:
    """An object whose first replica is stale, and whose second one, on the other resource, is good."""
    found = zone.plant(name, stale)
    with zone.catalogue.lock:
        found.replicas[0].status = "0"
        newer = zone.catalogue.new_replica(found, "archive")
        newer.file.write_bytes(good)
        newer.size, newer.status = len(good), "1"
        found.replicas.append(newer)
