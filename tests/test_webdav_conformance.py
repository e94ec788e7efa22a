"""WebDAV keeps the obligations of a protocol: over Apache plain and over TLS, over wsgidav, and over nginx."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from servers.apache import PASSWORD, TOKEN, USER
from servers.faults import Fault, cut, fault_proxy, stall
from webdav_servers import aged, apache_service, at, dav, fresh, nginx_service, wsgi_service, xrootd_service
from wf.credentials.kinds import Basic, Bearer, Certificate, Secret
from wf.protocols.capability import Publish
from wf.protocols.conformance import StoreConformance, make_context
from wf.protocols.conformance_tools import odd_names
from wf.protocols.registry import WEBDAV
from wf.protocols.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.apache import Apache
    from servers.nginx import Nginx
    from servers.tls import TlsFiles
    from servers.wsgi_dav import WsgiDav
    from servers.xrootd_dav import XrootdDav
    from wf.protocols.capability import Capability
    from wf.protocols.context import Context
    from wf.protocols.contract import Store
    from wf.protocols.locations import Location

__all__ = ["apache_service", "dav", "nginx_service", "wsgi_service", "xrootd_service"]


class WebdavConformance(StoreConformance):
    """What is the same for all servers. `root` is where they keep what they serve."""

    root: Path

    @pytest.fixture
    def capability(self) -> Capability:
        # None of these servers tells a digest.
        return WEBDAV._replace(digest=())

    def put(self, store: Store, location: Location, data: bytes) -> None:
        """A file's tag is no version within the second in which it was written."""
        super().put(store, location, data)
        aged(self.root)

    @pytest.fixture
    def cut_location(self, place: Location) -> Iterator[Location]:
        yield from self._through(place, "cut", cut)

    @pytest.fixture
    def stalled_location(self, place: Location) -> Iterator[Location]:
        yield from self._through(place, "stalled", stall)

    def _through(self, place: Location, name: str, fault: Callable[..., Fault]) -> Iterator[Location]:
        """A file behind a proxy that breaks the connection in its middle."""
        (self.root / name).write_bytes(bytes(100_000))
        port = int(place.host.rpartition(":")[2])
        plain = place.scheme in ("webdav", "dav")
        with fault_proxy(port, fault(50_000, body=plain)) as faulty:
            yield at(place.below(name).url.replace(f":{port}/", f":{faulty.port}/"))


class TestApache(WebdavConformance):
    @pytest.fixture(autouse=True)
    def folder(self, dav: Apache) -> str:
        name = fresh(dav.root)
        self.root = dav.root / name
        return name

    @pytest.fixture
    def place(self, dav: Apache, folder: str) -> Location:
        return at(dav.dav(folder))

    @pytest.fixture
    def denied_location(self, dav: Apache, folder: str) -> Location:
        (self.root / "secret").write_bytes(b"secret")
        return at(dav.dav(f"{folder}/secret", place="basic"))


_WAYS = {
    "basic": Basic(USER, Secret(PASSWORD), name="alice", origin="the test"),
    "digest": Basic(USER, Secret(PASSWORD), name="alice", origin="the test"),
    "bearer": Bearer(Secret(TOKEN), name="token", origin="the test"),
}


@pytest.mark.parametrize("way", ["basic", "digest", "bearer", "client"])
class TestApacheWithCredentials(TestApache):
    """Over TLS, once for each kind of credential."""

    @pytest.fixture
    def context(self, way: str, tls_files: TlsFiles) -> Context:
        pair = tls_files.client
        client = Certificate(str(pair.certificate), str(pair.key), name="client", origin="the test")
        trust = tls_context({"SSL_CERT_FILE": str(tls_files.ca)}, client if way == "client" else None)
        return make_context(credential=_WAYS.get(way, client), tls=trust)

    @pytest.fixture
    def place(self, dav: Apache, folder: str, way: str) -> Location:
        return at(dav.dav(folder, scheme="webdavs", place=way))

    @pytest.fixture
    def denied_location(self, dav: Apache, folder: str, way: str) -> Location:
        """Where another kind of credential is asked for."""
        (self.root / "secret").write_bytes(b"secret")
        other = "basic" if way == "client" else "client"
        return at(dav.dav(f"{folder}/secret", scheme="webdavs", place=other))


class TestWsgiDav(WebdavConformance):
    @pytest.fixture
    def place(self, wsgi_service: WsgiDav) -> Location:
        name = fresh(wsgi_service.root)
        self.root = wsgi_service.root / name
        return at(f"{wsgi_service.url}/{name}")

    @pytest.fixture
    def denied_location(self, wsgi_service: WsgiDav) -> Location:
        (wsgi_service.root / "digest" / "secret").write_bytes(b"secret")
        return at(f"{wsgi_service.url}/digest/secret")


class TestNginx(WebdavConformance):
    @pytest.fixture
    def place(self, nginx_service: Nginx) -> Location:
        name = fresh(nginx_service.root / "ext")
        self.root = nginx_service.root / "ext" / name
        return at(f"webdav://127.0.0.1:{nginx_service.port}/ext/{name}")

    @pytest.fixture
    def denied_location(self, nginx_service: Nginx) -> Location:
        return at(f"webdav://127.0.0.1:{nginx_service.port}/closed/secret")


class TestNginxWithoutMove(WebdavConformance):
    """Its OPTIONS offers no MOVE, and it knows no COPY either."""

    @pytest.fixture
    def capability(self) -> Capability:
        return WEBDAV._replace(digest=(), publish=Publish.HELD)

    @pytest.fixture
    def place(self, nginx_service: Nginx) -> Location:
        name = fresh(nginx_service.root / "fixed")
        self.root = nginx_service.root / "fixed" / name
        return at(f"webdav://127.0.0.1:{nginx_service.port}/fixed/{name}")

    test_the_service_copies = None
    test_what_is_absent_is_not_copied = None


class TestXrootd(WebdavConformance):
    """Over TLS. It has no ETags, and tells checksums."""

    refused_names = frozenset({"question?mark=1"})

    @pytest.fixture
    def capability(self) -> Capability:
        return WEBDAV._replace(digest=("md5", "adler32", "crc32c"), read_version=False, read_times=False)

    @pytest.fixture
    def context(self, tls_files: TlsFiles) -> Context:
        return make_context(tls=tls_context({"SSL_CERT_FILE": str(tls_files.ca)}))

    @pytest.fixture
    def place(self, xrootd_service: XrootdDav) -> Location:
        name = fresh(xrootd_service.roots[0] / "open")
        self.root = xrootd_service.roots[0] / "open" / name
        return at(xrootd_service.url(f"open/{name}"))

    @pytest.fixture
    def denied_location(self, xrootd_service: XrootdDav) -> Location:
        (xrootd_service.roots[0] / "closed").mkdir(exist_ok=True)
        (xrootd_service.roots[0] / "closed" / "secret").write_bytes(b"secret")
        return at(xrootd_service.url("closed/secret"))

    @pytest.mark.parametrize(("start", "length"), [(1, None), (0, 10), (5, 10), (3145744, 100)])
    def test_a_range_is_read(
        self, store: Store, capability: Capability, place: Location, start: int, length: int | None
    ) -> None:
        """Without lengths that do not fit 32 bits, which it takes for their remainder."""
        super().test_a_range_is_read(store, capability, place, start, length)

    def test_odd_names_are_listed_as_locations_spell_them(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        """It sends names as they are, so that `%20` in one is taken for a blank, and a newline for the end."""
        unlike = ("%20", "\n", "?")
        names = {
            spelled for name, spelled, _ in odd_names("davs") if not any(part in name for part in unlike)
        }
        for name in names:
            self.put(store, place.below("odd").below(name), b"odd")
        assert {entry.path for entry in store.list(place.below("odd"), recursive=False)} == names


class TestXrootdWithACertificate(TestXrootd):
    """What the certificate may, strangers may not."""

    @pytest.fixture
    def context(self, tls_files: TlsFiles) -> Context:
        pair = tls_files.client
        client = Certificate(str(pair.certificate), str(pair.key), name="client", origin="the test")
        return make_context(credential=client, tls=tls_context({"SSL_CERT_FILE": str(tls_files.ca)}, client))

    @pytest.fixture
    def place(self, xrootd_service: XrootdDav) -> Location:
        name = fresh(xrootd_service.roots[0] / "kept")
        self.root = xrootd_service.roots[0] / "kept" / name
        return at(xrootd_service.url(f"kept/{name}"))
