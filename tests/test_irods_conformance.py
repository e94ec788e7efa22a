"""iRODS keeps the obligations of a protocol, at the test zone: plain, over TLS, and by way of a resource's name."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from irods_tools import credential, real_account, tls_settings
from servers.faults import cut, fault_proxy, stall
from servers.irods_server import PASSWORD, USER, ZONE, IrodsZone, irods_zone
from wf.credentials.kinds import Basic, Secret
from wf.protocols.conformance import StoreConformance, make_context
from wf.protocols.locations import Location, parse_location
from wf.protocols.registry import IRODS, make_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.tls import TlsFiles
    from wf.protocols.capability import Capability
    from wf.protocols.context import Context

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IrodsZone]:
    with irods_zone(tmp_path_factory.mktemp("zone")) as server:
        yield server


def new_collection(zone: IrodsZone) -> str:
    """Its name in the home collection."""
    name = f"place-{next(_numbers)}"
    with zone.catalogue.lock:
        zone.catalogue.make_collection(f"{zone.home}/{name}", USER, recursive=True)
    return name


@pytest.fixture(scope="module")
def secure(tls_files: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IrodsZone]:
    folder, settings = tmp_path_factory.mktemp("secure"), tls_settings(tls_files.server)
    with irods_zone(folder, policy="CS_NEG_REQUIRE", tls=settings) as server:
        server.catalogue.add_user(USER, PASSWORD, pam=True)
        yield server


class IrodsConformance(StoreConformance):
    @pytest.fixture
    def capability(self) -> Capability:
        return IRODS


class TestServer(IrodsConformance):
    """The server is in the URL, the password in the credentials file."""

    @pytest.fixture
    def context(self) -> Context:
        return make_context(credential=Basic(USER, Secret(PASSWORD), name="alice", origin="the test"))

    @pytest.fixture
    def place(self, zone: IrodsZone) -> Location:
        return parse_location(f"{zone.url}/{new_collection(zone)}")

    @pytest.fixture
    def denied_location(self, zone: IrodsZone) -> Location:
        """It is there, but not for this user: the catalogue shows nothing of it, and opening is refused."""
        path = f"/{ZONE}/home/bob/secret"
        with zone.catalogue.lock:
            zone.catalogue.add_user("bob", "other")
            if path not in zone.catalogue.objects:
                zone.catalogue.create(path, "bob", "demoResc")
        return parse_location(f"irods://{USER}@127.0.0.1:{zone.port}{path}")

    @pytest.fixture
    def cut_location(self, zone: IrodsZone) -> Iterator[Location]:
        zone.plant("cut", bytes(100_000))
        with fault_proxy(zone.port, cut(50_000)) as faulty:
            yield parse_location(f"irods://{USER}@127.0.0.1:{faulty.port}{zone.home}/cut")

    @pytest.fixture
    def stalled_location(self, zone: IrodsZone) -> Iterator[Location]:
        zone.plant("stalled", bytes(100_000))
        with fault_proxy(zone.port, stall(50_000)) as faulty:
            yield parse_location(f"irods://{USER}@127.0.0.1:{faulty.port}{zone.home}/stalled")


class TestResource(IrodsConformance):
    """The server is in the environment file, and the URL names a resource."""

    @pytest.fixture
    def context(self, zone: IrodsZone, tmp_path: Path) -> Context:
        return make_context(credential=credential(zone, tmp_path))

    @pytest.fixture
    def place(self, zone: IrodsZone) -> Location:
        return parse_location(f"irods://archive{zone.home}/{new_collection(zone)}")


class TestTls(IrodsConformance):
    """The zone insists on TLS, the login is by PAM, and the authority is in the environment file."""

    @pytest.fixture
    def context(self, secure: IrodsZone, tls_files: TlsFiles, tmp_path: Path) -> Context:
        return make_context(
            credential=credential(
                secure,
                tmp_path,
                irods_authentication_scheme="pam_password",
                irods_ssl_ca_certificate_file=str(tls_files.ca),
            )
        )

    @pytest.fixture
    def place(self, secure: IrodsZone) -> Location:
        return parse_location(f"irods://{secure.home}/{new_collection(secure)}")


class TestRealZone(IrodsConformance):
    """Where IRODS_TEST_HOST and the like name one."""

    @pytest.fixture
    def context(self) -> Context:
        account = real_account()
        return make_context(
            credential=Basic(account.user, Secret(account.password), name="real", origin="the environment")
        )

    @pytest.fixture
    def place(self, context: Context) -> Iterator[Location]:
        account = real_account()
        home = f"irods://{account.user}@{account.host}:{account.port}/{account.zone}/home/{account.user}"
        location = parse_location(f"{home}/conformance-{os.urandom(8).hex()}")
        store = make_store(IRODS, context)
        store.make_directory(location)
        yield location
        store.remove(location, recursive=True)
        store.close()
