"""A federation on this machine: a director (a double), an XRootD origin, two real XRootD caches, a token issuer; up in a second.

    with federation(tls_files) as osdf:
        osdf.put("/open/a.dat", b"...")                   # at the origin
        osdf.url("/open/a.dat")                           # pelican://localhost:PORT/open/a.dat
        osdf.token("storage.read:/")                      # paths in it are below the namespace, /open or /kept
        with osdf.bad_cache(cut(1000, body=True)) as bad:  # a cache with a fault in front of it, a double
            osdf.serve_from(bad, *osdf.caches)

`/open/` is for everybody to read, `/kept/` for who has a token, also through the caches. Everything listens on loopback only.
`osdf:` URLs reach it through the proxy of `osdf.osdf_proxy()`.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .faults import PASS, closed_port, fault_proxy
from .federation_director import OSDF_HOST, Director, Namespace, director
from .federation_xrootd import NAMESPACES, Servers, federation_servers
from .process import binary
from .tls import Pair
from .tls_front import connect_proxy, tls_front

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .faults import Fault, FaultProxy
    from .tls import TlsFiles


class Federation:
    """Use `federation()`. Tests that change namespaces call `reset()` afterwards: the fixture does."""

    def __init__(self, servers: Servers, server: Director, tls: TlsFiles) -> None:
        self.servers = servers
        self.director = server
        self.tls = tls
        self.caches = tuple(f"https://localhost:{port}" for port in servers.caches)
        self.origin = f"https://localhost:{servers.origin}"
        self.reset()

    def reset(self) -> None:
        """Two good caches that answer, no troubles, nothing asked."""
        self.servers.settle()
        self.director.namespaces.clear()
        for name in NAMESPACES:
            self.director.namespaces[f"/{name}"] = Namespace(
                f"/{name}",
                self.caches,
                (self.origin,),
                token=name == "kept",
                issuers=(self.director.issuer.name,),
                root=self.servers.root,
            )
        self.director.troubles.clear()
        self.director.discovery_troubles.clear()
        self.director.asked.clear()
        self.director.names_director = True

    def change(self, path: str, **fields: object) -> None:
        """Changes the namespace of that path."""
        self.director.namespaces[path] = self.director.namespaces[path]._replace(**fields)  # type: ignore[arg-type]

    def serve_from(self, *caches: str) -> None:
        """These are the caches of all namespaces now, in this order."""
        for path in self.director.namespaces:
            self.change(path, caches=caches)

    def url(self, path: str, *, scheme: str = "pelican") -> str:
        return f"{scheme}://localhost:{self.director.port}{path}"

    def put(self, path: str, content: bytes) -> None:
        self.servers.put(path, content)

    def stored(self, path: str) -> Path:
        """The file in which the origin keeps an object."""
        return self.servers.root / path.lstrip("/")

    def token(self, scope: str = "storage.read:/ storage.create:/ storage.modify:/", **more: int) -> str:
        return self.director.issuer.token(scope, **more)

    @contextlib.contextmanager
    def bad_cache(self, fault: Fault = PASS, *, first: int | None = None, rate: int = 0) -> Iterator[str]:
        """The URL of the first cache with a fault in front of it: `cut`, `stall`, `flip`, or slow with a `rate`."""
        with self.counted_cache(fault, first=first, rate=rate) as (url, _):
            yield url

    @contextlib.contextmanager
    def counted_cache(
        self, fault: Fault = PASS, *, number: int = 0, first: int | None = None, rate: int = 0
    ) -> Iterator[tuple[str, FaultProxy]]:
        """A cache and what stands in front of it, which counts the bytes that pass, without those of TLS."""
        port = self.servers.caches[number]
        with (
            fault_proxy(port, fault, first=first, rate=rate) as proxy,
            tls_front(proxy.port, self.tls.server) as front,
        ):
            yield f"https://localhost:{front}", proxy

    @contextlib.contextmanager
    def dead_cache(self) -> Iterator[str]:
        with closed_port() as port:
            yield f"https://localhost:{port}"

    @contextlib.contextmanager
    def osdf_proxy(self) -> Iterator[str]:
        """The URL of an https proxy behind which the OSDF is this federation."""
        with connect_proxy({f"{OSDF_HOST}:443": self.director.port}) as proxy:
            yield f"http://127.0.0.1:{proxy.port}"


@contextlib.contextmanager
def federation(tls: TlsFiles, *, caches: int = 2, delay: float = 0.003) -> Iterator[Federation]:
    """`caches` is how many there are; `delay` seconds by which requests come to XRootD later, as over a network."""
    with (
        director(tls.server, osdf=_osdf_certificate(tls)) as server,
        federation_servers(tls, server.issuer, caches=caches, delay=delay) as servers,
    ):
        yield Federation(servers, server, tls)


@contextlib.contextmanager
def second_federation(first: Federation) -> Iterator[Federation]:
    """Another director, with a discovery of its own, over the same servers: its `/open` is the folder `/open/second` of theirs."""
    with director(first.tls.server) as server:
        other = Federation(first.servers, server, first.tls)
        other.director.namespaces = {
            "/open": Namespace(
                "/open",
                tuple(f"{cache}/open/second" for cache in first.caches),
                (f"{first.origin}/open/second",),
                issuers=(server.issuer.name,),
            )
        }
        yield other


def _osdf_certificate(tls: TlsFiles) -> Pair:
    """A certificate of the OSDF's discovery host, by our own authority."""
    folder = tls.ca.parent
    pair = Pair(folder / "osdf.pem", folder / "osdf.key")
    if pair.certificate.exists():
        return pair
    request, extensions = folder / "osdf.csr", folder / "osdf.ext"
    extensions.write_text(f"subjectAltName=DNS:{OSDF_HOST}\nextendedKeyUsage=serverAuth\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    _openssl("req", *key, "-subj", "/CN=wf test osdf", "-keyout", str(pair.key), "-out", str(request))
    signed_by = ("-CA", str(tls.ca), "-CAkey", str(tls.ca.with_suffix(".key")), "-CAcreateserial")
    _openssl(
        *("x509", "-req", "-in", str(request), *signed_by, "-days", "30"),
        *("-extfile", str(extensions), "-out", str(pair.certificate)),
    )
    return pair


def _openssl(*arguments: str) -> None:
    subprocess.run([binary("openssl"), *arguments], check=True, capture_output=True)
