"""A lean HTTP/1.1 client: one request, one answer, no redirects, no authentication, no retry.

One `Wire` belongs to one store, hence to one worker; it keeps the idle connections. Small answers::

    wire = Wire(context)
    origin, target = origin_of("https://host:8443/path?query")
    answer = wire.exchange("PUT", origin, target, [("Content-Type", "text/plain")], b"body")
    text = answer.read_all()                      # drained: the connection went back to the wire
    answer.status, answer.headers.get("ETag")     # names without regard to case

A body of any size, received into the buffer of the context; every view is valid until the next `read`::

    answer = wire.exchange("GET", origin, target, headers, into=context.view)
    while view := answer.read():
        ...
    answer.close()

Without `into` the answer has a small buffer of its own, so that it can come in while `context.view` is lent to the
other end of a copy: give `into` only in a Reader. A body that is sent piece by piece::

    upload = wire.upload("PUT", origin, target, headers, size)      # size None: chunked
    for view in views:
        if not upload.send(view):                 # the server has answered already: it wants no more
            break
    answer = upload.finish()                      # or upload.cut(): the server must not take it for complete

`exchange` and `finish` return whatever status came. They raise Unreachable when no byte of an answer came, Broken when
the connection failed later or while a body was sent, ServerFault for an answer that HTTP does not allow, Denied
when a proxy or TLS refuses, and Stopped. A request on a kept connection that turns out stale is sent once more if
its method is idempotent. `Host`, `User-Agent`, `Accept-Encoding: identity`, the framing and the proxy's fields are
added here; a `Host` or `User-Agent` that is given takes their place.
"""

from __future__ import annotations

from .connection import Connection, failure, is_end
from .errors import ServerFault, Unreachable
from .exchange import Answer
from .heads import HEAD_MOST, Ear, Malformed, receive_head
from .origins import Origin, Request, Route, origin_of
from .pool import Pool
from .upload import Upload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from ..credentials.kinds import Certificate
    from .context import Context
    from .proxies import Proxies, Proxy

__all__ = ["Answer", "Origin", "Upload", "Wire", "origin_of"]

_EXPECT_FROM: Final = 1 << 20
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND", "MKCOL"})
_BODY_DUE: Final = frozenset({"PUT", "POST", "PATCH"})


class _Stale(Exception):
    """A kept connection was closed before it carried a byte of the answer."""


class Wire:
    """The connections of one store. Not for use by several threads at once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known_proxies: Proxies | None = None
        self._dead_caches: set[Proxy] = set()
        self._pool = Pool(context)

    def exchange(
        self,
        method: str,
        origin: Origin,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | memoryview | None = None,
        *,
        into: memoryview | None = None,
        certificate: Certificate | None = None,
    ) -> Answer:
        """The answer to one request whose body, if any, is at hand."""
        request = Request(method, origin, target, headers, certificate)
        for cache in self._caches(request, body):
            try:
                answer = self._exchange(request, cache, body, into)
            except Unreachable:
                # The others of this store shall not wait for it too.
                self._dead_caches.add(cache)
                continue
            except ServerFault:
                continue
            if answer.status not in (407, 502, 503, 504) and "x-squid-error" not in answer.headers:
                return answer
            answer.close()
        return self._exchange(request, self._proxy(origin), body, into)

    def upload(
        self,
        method: str,
        origin: Origin,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        size: int | None = None,
        *,
        expect: bool | None = None,
        certificate: Certificate | None = None,
    ) -> Upload:
        """A request whose body follows piece by piece; chunked when `size` is None.

        `expect` asks the server to refuse before the body comes (`Expect: 100-continue`); None means when the body
        is large or of unknown size. A server that once did not react is not asked again.
        """
        request = Request(method, origin, target, headers, certificate)
        if expect is None:
            expect = size is None or size >= _EXPECT_FROM
        if origin in self._pool.deaf or size == 0:
            expect = False
        return Upload(self._pool, request, self._proxy(origin), size, expect)

    def idle(self, route: Route) -> Connection | None:
        """A kept connection that goes straight to the server, if there is one and requests take no other way."""
        proxies = self._proxies
        if (proxies.caches and not route.origin.tls) or self._proxy(route.origin) is not None:
            return None
        return self._pool.kept(route, check=True)

    def keep(self, route: Route, connection: Connection) -> None:
        """Takes back what `idle` gave, when nothing is under way on it."""
        self._pool.keep(route, connection)

    def forget(self, route: Route) -> None:
        """Closes the idle connections of this route."""
        self._pool.forget(route)

    @property
    def _proxies(self) -> Proxies:
        """Asked for with the first request, since a wrong setting raises Misconfigured."""
        if self._known_proxies is None:
            from .proxies import Proxies

            self._known_proxies = self._context.proxies or Proxies()
        return self._known_proxies

    def _proxy(self, origin: Origin) -> Proxy | None:
        return self._proxies.for_host(tls=origin.tls, host=origin.host, port=origin.port)

    def _caches(self, request: Request, body: bytes | memoryview | None) -> Sequence[Proxy]:
        """The caching proxies that may serve this request: plain reads that are the same for everybody."""
        proxies = self._proxies
        if not proxies.caches or request.origin.tls or body or request.method != "GET":
            return ()
        if any(name.lower() in ("authorization", "cookie") for name, _ in request.headers):
            return ()
        if proxies.excludes(request.origin.host, request.origin.port):
            return ()
        return [cache for cache in proxies.caches if cache not in self._dead_caches]

    def _exchange(
        self, request: Request, proxy: Proxy | None, body: bytes | memoryview | None, into: memoryview | None
    ) -> Answer:
        framing = ""
        if body or (body is not None and request.method in _BODY_DUE):
            framing = f"Content-Length: {len(body)}\r\n"
        elif request.method in _BODY_DUE:
            framing = "Content-Length: 0\r\n"
        head = request.head(proxy, framing)
        route = Route(request.origin, proxy, request.certificate)
        repeatable = request.method in _IDEMPOTENT
        connection = self._pool.kept(route, check=not repeatable)
        if connection is not None:
            try:
                return self._converse(connection, route, request, head, body, into, repeatable)
            except _Stale:
                self._pool.forget(route)
        return self._converse(self._pool.connect(route, request), route, request, head, body, into, False)

    def _converse(
        self,
        connection: Connection,
        route: Route,
        request: Request,
        head: bytes,
        body: bytes | memoryview | None,
        into: memoryview | None,
        repeatable: bool,
    ) -> Answer:
        view = memoryview(bytearray(HEAD_MOST)) if into is None else into
        connection.heard = False
        whole = True
        try:
            if body:
                ear = Ear(connection, view)
                whole = connection.send([head, body], ear.interrupts)
                received = ear.head()
            else:
                connection.send([head])
                received = receive_head(connection, view)
        except OSError as error:
            connection.close()
            if repeatable and not connection.heard and is_end(error):
                raise _Stale from None
            begun = connection.heard or (bool(body) and is_end(error))
            raise failure(error, request.what(), connection.peer, begun=begun) from error
        except Malformed as error:
            connection.close()
            raise ServerFault(f"{request.what()}: {error}", host=connection.peer) from None
        except BaseException:
            connection.close()
            raise
        return self._pool.answer(connection, route, request, view, received, whole)

    def close(self) -> None:
        """Closes all idle connections. Never raises."""
        self._pool.close()
