"""A double: a director of a federation, with discovery and token issuer, that speaks as Pelican's does, over TLS in threads of the test.

What it does on the wire: `/.well-known/pelican-configuration`; a read is redirected (307) to the best cache, with all of them in
`Link` (RFC 6249), everything else and `?directread` to the origins; `X-Pelican-Namespace`, `-Authorization`, `-Token-Generation`;
errors as JSON with `status` and `msg`; a token that came along goes into `Location`, as `authz`. It is no Pelican: what that does
beyond this nobody here knows.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import ssl
import threading
import urllib.parse
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

from .xrootd_server import Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .tls import Pair

OSDF_HOST = "osg-htc.org"
"""Where `osdf:` looks for its federation."""
_ORIGIN_METHODS = ("PUT", "DELETE", "PROPFIND", "COPY", "MKCOL")
_PREFIXES = (("/api/v1.0/director/object", False), ("/api/v1.0/director/origin", True))


class FederationIssuer(Issuer):
    """An issuer whose name leads to its keys, at the director."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def keys(self) -> dict[str, object]:
        from jwt.algorithms import ECAlgorithm

        key = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": "key", "alg": "ES256", "use": "sig"}]}


class Namespace(NamedTuple):
    """One prefix of the federation. Servers are URLs to which the object's path is added, best first."""

    path: str
    caches: tuple[str, ...]
    origins: tuple[str, ...]
    token: bool = False
    writes: bool = True
    listings: bool = True
    direct_reads: bool = True
    issuers: tuple[str, ...] = ()
    root: Path | None = None
    """The folder of the objects, so that absence can be told; None: nobody looks."""


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    target: str
    fields: dict[str, str]
    """Names in lower case."""


class Trouble(NamedTuple):
    """An answer out of turn."""

    status: int
    body: bytes = b""
    kind: str = "application/json"
    server: str = "pelican/7.20.0"
    fields: tuple[tuple[str, str], ...] = ()


def rebooting() -> Trouble:
    """A director that has just started and does not know its servers yet."""
    text = {
        "status": "error",
        "msg": "Director is still starting and has not heard from all of its servers; try again",
    }
    return Trouble(429, json.dumps(text).encode(), fields=(("Retry-After", "1"),))


def ingress(status: int) -> Trouble:
    """What stands in front of a director answers, because it is not there."""
    return Trouble(status, b"<html><head><title>Bad gateway</title></head></html>", "text/html", "nginx")


class Director:
    """Use `director()`. Namespaces and troubles may be changed while it runs."""

    def __init__(self, host: str, names: dict[str, Pair], *, port: int = 0) -> None:
        """`names` are the certificates by host name; that of `host` is the usual one. `port` 0: any that is free."""
        self.namespaces: dict[str, Namespace] = {}
        self.troubles: deque[Trouble] = deque()
        """For the next requests about objects, one each."""
        self.discovery_troubles: deque[Trouble] = deque()
        self.asked: list[Asked] = []
        self.names_director = True
        self._contexts = {name: _context(pair) for name, pair in names.items()}
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.director = self
        context = self._contexts[host]
        context.sni_callback = self._choose
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port: int = self._server.server_address[1]
        self.url = f"https://{host}:{self.port}"
        self.issuer = FederationIssuer(self.url)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def _choose(self, connection: ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        if name in self._contexts:
            connection.context = self._contexts[name]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)

    def namespace_of(self, path: str) -> Namespace | None:
        fitting = [name for name in self.namespaces if f"{path}/".startswith(f"{name}/")]
        return self.namespaces[max(fitting, key=len)] if fitting else None

    def about(self, text: str) -> list[Asked]:
        """The requests so far whose target has this text in it."""
        return [asked for asked in self.asked if text in asked.target]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    director: Director

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone, or does not like our certificate, is not worth a word."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def version_string(self) -> str:
        return "pelican/7.20.0"

    def _any(self) -> None:
        director = self.server.director
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            self.rfile.read(length)
        fields = {name.lower(): value for name, value in self.headers.items()}
        director.asked.append(Asked(self.command, self.path, fields))
        path = urllib.parse.urlsplit(self.path).path
        if path.startswith("/.well-known/") or path == "/jwks":
            self._well_known(path)
        elif director.troubles:
            self._trouble(director.troubles.popleft())
        else:
            self._object()

    do_GET = do_HEAD = do_PUT = do_DELETE = do_PROPFIND = do_COPY = do_MKCOL = _any

    def _well_known(self, path: str) -> None:
        director, url = self.server.director, self.server.director.url
        if path == "/.well-known/pelican-configuration":
            if director.discovery_troubles:
                self._trouble(director.discovery_troubles.popleft())
                return
            document = {
                "director_endpoint": url if director.names_director else "",
                "namespace_registration_endpoint": url,
                "jwks_uri": f"{url}/.well-known/issuer.jwks",
                "broker_endpoint": "",
                "discovery_endpoint": url,
                "director_advertise_endpoints": [url],
            }
            self._json(200, document)
        elif path == "/.well-known/openid-configuration":
            self._json(200, {"issuer": director.issuer.name, "jwks_uri": f"{url}/jwks"})
        elif path in ("/jwks", "/.well-known/issuer.jwks"):
            self._json(200, director.issuer.keys())
        else:
            self._fault(404, "page not found")

    def _object(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        path, at_origin = url.path, self.command in _ORIGIN_METHODS or "directread" in query
        looks = self.command in ("GET", "HEAD") and "skipstat" not in query
        for prefix, of_origins in _PREFIXES:
            if path.startswith(f"{prefix}/"):
                # Who asks for the origin may be about to write.
                path, at_origin, looks = path.removeprefix(prefix), of_origins, looks and not of_origins
        decoded = posixpath.normpath("/" + urllib.parse.unquote(path).lstrip("/"))
        namespace = self.server.director.namespace_of(decoded)
        if namespace is None:
            self._fault(
                404,
                f"namespace not found for path {decoded}: either it does not exist, or no origin exports it",
            )
        elif "directread" in query and "prefercached" in query:
            self._fault(400, "cannot have both directread and prefercached query parameters")
        elif self.command in ("PUT", "DELETE") and not namespace.writes:
            self._fault(405, f"no origins on {namespace.path} accept writes")
        elif "directread" in query and not namespace.direct_reads:
            self._fault(405, f"no origins on {namespace.path} have direct reads enabled")
        elif looks and _is_absent(namespace, decoded):
            self._fault(404, f"object not found: no origin or cache has {decoded}")
        else:
            self._redirect(namespace, path, query, at_origin)

    def _redirect(
        self, namespace: Namespace, path: str, query: dict[str, list[str]], at_origin: bool
    ) -> None:
        servers = namespace.origins if at_origin else namespace.caches
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        pairs = [(name, value) for name, values in query.items() for value in values if name != "authz"]
        if token:
            pairs.append(("authz", token))
        below = path.removeprefix(namespace.path).strip("/")
        depth = len(below.split("/")) if below else 0
        self.send_response(307)
        self.send_header(
            "Location", servers[0] + path + (f"?{urllib.parse.urlencode(pairs)}" if pairs else "")
        )
        links = (
            f'<{server}{path}>; rel="duplicate"; pri={number}; depth={depth}'
            for number, server in enumerate(servers, 1)
        )
        self.send_header("Link", ", ".join(links))
        told = f"namespace={namespace.path}, require-token={str(namespace.token).lower()}"
        if namespace.listings:
            told += f", collections-url={namespace.origins[0]}"
        self.send_header("X-Pelican-Namespace", told)
        if namespace.issuers:
            self.send_header(
                "X-Pelican-Authorization", ", ".join(f"issuer={one}" for one in namespace.issuers)
            )
            self.send_header(
                "X-Pelican-Token-Generation",
                f"issuer={namespace.issuers[0]}, max-scope-depth=3, strategy=OAuth2, base-path={namespace.path}",
            )
        self.send_header("X-Pelican-JobId", "1a2b3c4d-test")
        self._end(b"")

    def _fault(self, status: int, text: str) -> None:
        self._json(status, {"status": "error", "msg": text})

    def _json(self, status: int, document: dict[str, object]) -> None:
        self._trouble(Trouble(status, json.dumps(document).encode(), "application/json; charset=utf-8"))

    def _trouble(self, trouble: Trouble) -> None:
        self.send_response_only(trouble.status)
        self.send_header("Server", trouble.server)
        self.send_header("Content-Type", trouble.kind)
        for name, value in trouble.fields:
            self.send_header(name, value)
        self._end(trouble.body)

    def _end(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _is_absent(namespace: Namespace, path: str) -> bool:
    return namespace.root is not None and not (namespace.root / path.lstrip("/")).exists()


def _context(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@contextlib.contextmanager
def director(pair: Pair, *, osdf: Pair | None = None) -> Iterator[Director]:
    """Without a namespace. With `osdf`, the certificate of that host, it can be reached as the OSDF's discovery, too."""
    names = {"localhost": pair}
    if osdf is not None:
        names[OSDF_HOST] = osdf
    server = Director("localhost", names)
    try:
        yield server
    finally:
        server.stop()
