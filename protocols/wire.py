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

import re
from typing import TYPE_CHECKING, NamedTuple

from .connection import Connection, failure, is_end, open_connection
from .errors import Busy, Denied, ServerFault, TransferError, Unreachable, Unsupported
from .exchange import HEAD_MOST, Answer, Ear, Malformed, receive_head

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from ..credentials.kinds import Certificate
    from .context import Context
    from .exchange import Head
    from .proxies import Proxies, Proxy

__all__ = ["Answer", "Origin", "Upload", "Wire", "origin_of"]

_IDLE_MOST: Final = 16
_EXPECT_FROM: Final = 1 << 20
_EXPECT_SECONDS: Final = 1.0
"""How long a server may think about `Expect: 100-continue` before the body is sent all the same."""
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND", "MKCOL"})
_BODY_DUE: Final = frozenset({"PUT", "POST", "PATCH"})

_AUTHORITY = re.compile(r"(?:[^@/]*@)?(\[[0-9A-Fa-f:.]+\]|[^:\[\]@/]+)(?::([0-9]{0,5}))?")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
_TARGET = re.compile(r"[!-~]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Origin(NamedTuple):
    """A server: `host` in lower case and without the brackets of an IPv6 address."""

    tls: bool
    host: str
    port: int

    @property
    def authority(self) -> str:
        """What the Host field says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def url(self, target: str) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}{target}"


def origin_of(url: str) -> tuple[Origin, str]:
    """The server and the request target (path and query) of an http or https URL.

    User, password and fragment are dropped: they are never sent as part of a target. Raises Unsupported.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("http", "https"):
        raise Unsupported(f"{_redacted(url)}: not an http or https URL")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    # The last @ ends the user part: a password may hold one that nobody has encoded.
    match = _AUTHORITY.fullmatch(rest[:end].rpartition("@")[2])
    port = int(match[2] or 0) if match else 0
    if match is None or port > 65535:
        raise Unsupported(f"{_redacted(url)}: the host or the port cannot be understood")
    target = rest[end:].partition("#")[0]
    if not target.startswith("/"):
        target = "/" + target
    host = match[1].strip("[]").lower()
    return Origin(scheme == "https", host, port or (443 if scheme == "https" else 80)), target


class _Route(NamedTuple):
    """What a connection can be used for."""

    origin: Origin
    proxy: Proxy | None
    certificate: Certificate | None


class _Request(NamedTuple):
    method: str
    origin: Origin
    target: str
    headers: Sequence[tuple[str, str]]
    certificate: Certificate | None

    def what(self) -> str:
        """The request, for people."""
        return f"{self.method} {_redacted(self.origin.url(self.target))}"

    def head(self, proxy: Proxy | None, framing: str) -> bytes:
        """The request's head. `framing` is lines that end in CRLF. Raises Unsupported for what cannot be sent."""
        origin = self.origin
        target = self.target
        if not _TARGET.fullmatch(target):
            raise Unsupported(f"{self.what()}: the URL has characters that no URL may have")
        if proxy is not None and not origin.tls:
            target = origin.url(target)
        lines = [f"{self.method} {target} HTTP/1.1"]
        given = ""
        for name, value in self.headers:
            if name not in _known_names:
                _learn_name(name)
            if _FORBIDDEN.search(value):
                raise Unsupported(
                    f"{self.what()}: the value of header {name} has characters that it may not have"
                )
            lines.append(f"{name}: {value}")
            if len(name) in (4, 10):
                given += name.lower()
        if "host" not in given:
            lines.append(f"Host: {origin.authority}")
        if "user-agent" not in given:
            lines.append("User-Agent: wf-transfer")
        if proxy is not None and not origin.tls and proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization.reveal()}")
        lines.append("Accept-Encoding: identity\r\n")
        return ("\r\n".join(lines) + framing + "\r\n").encode("latin-1")


_known_names: set[str] = set()


def _learn_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise Unsupported(f"a header name has characters that it may not have: {name[:40]!r}")
    if len(_known_names) < 256:
        _known_names.add(name)


class _Stale(Exception):
    """A kept connection was closed before it carried a byte of the answer."""


class Wire:
    """The connections of one store. Not for use by several threads at once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known_proxies: Proxies | None = None
        self._idle: dict[_Route, list[Connection]] = {}
        self._deaf: set[Origin] = set()

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
        request = _Request(method, origin, target, headers, certificate)
        for cache in self._caches(request, body):
            try:
                answer = self._exchange(request, cache, body, into)
            except (Unreachable, Denied, Busy, ServerFault):
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
        request = _Request(method, origin, target, headers, certificate)
        if expect is None:
            expect = size is None or size >= _EXPECT_FROM
        if origin in self._deaf or size == 0:
            expect = False
        return Upload(self, request, self._proxy(origin), size, expect)

    def close(self) -> None:
        """Closes all idle connections. Never raises."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    @property
    def _proxies(self) -> Proxies:
        """Asked for with the first request, since a wrong setting raises Misconfigured."""
        if self._known_proxies is None:
            from .proxies import Proxies

            self._known_proxies = self._context.proxies or Proxies()
        return self._known_proxies

    def _proxy(self, origin: Origin) -> Proxy | None:
        return self._proxies.for_host(tls=origin.tls, host=origin.host, port=origin.port)

    def _caches(self, request: _Request, body: bytes | memoryview | None) -> Sequence[Proxy]:
        """The caching proxies that may serve this request: plain reads that are the same for everybody."""
        proxies = self._proxies
        if not proxies.caches or request.origin.tls or body or request.method != "GET":
            return ()
        if any(name.lower() in ("authorization", "cookie") for name, _ in request.headers):
            return ()
        return () if proxies.excludes(request.origin.host, request.origin.port) else proxies.caches

    def _exchange(
        self, request: _Request, proxy: Proxy | None, body: bytes | memoryview | None, into: memoryview | None
    ) -> Answer:
        framing = ""
        if body or (body is not None and request.method in _BODY_DUE):
            framing = f"Content-Length: {len(body)}\r\n"
        elif request.method in _BODY_DUE:
            framing = "Content-Length: 0\r\n"
        head = request.head(proxy, framing)
        route = _Route(request.origin, proxy, request.certificate)
        repeatable = request.method in _IDEMPOTENT
        connection = self._kept(route, check=not repeatable)
        if connection is not None:
            try:
                return self._converse(connection, route, request, head, body, into, repeatable)
            except _Stale:
                self._forget(route)
        return self._converse(self._connect(route, request), route, request, head, body, into, False)

    def _converse(
        self,
        connection: Connection,
        route: _Route,
        request: _Request,
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
        return self._answer(connection, route, request, view, received, whole)

    def _answer(
        self,
        connection: Connection,
        route: _Route,
        request: _Request,
        view: memoryview,
        received: tuple[Head, int, int],
        whole: bool,
    ) -> Answer:
        """`whole` says that the request was sent completely: else the connection is of no further use."""

        def give_back(connection: Connection) -> None:
            self._keep(route, connection)

        try:
            return Answer(
                request.what, request.method, connection, view, received, give_back if whole else None
            )
        except Malformed as error:
            connection.close()
            raise ServerFault(f"{request.what()}: {error}", host=connection.peer) from None
        except BaseException:
            connection.close()
            raise

    def _kept(self, route: _Route, *, check: bool) -> Connection | None:
        """An idle connection; with `check` one on which nothing has arrived, not even its end."""
        idle = self._idle.get(route)
        while idle:
            connection = idle.pop()
            if not check:
                return connection
            try:
                if not connection.readable(0):
                    return connection
            except OSError:
                pass
            connection.close()
        return None

    def _keep(self, route: _Route, connection: Connection) -> None:
        connection.served += 1
        idle = self._idle.get(route)
        if idle is None:
            idle = self._idle[route] = []
            if len(self._idle) > _IDLE_MOST:
                self._forget(next(iter(self._idle)))
        idle.append(connection)

    def _forget(self, route: _Route) -> None:
        for connection in self._idle.pop(route, ()):
            connection.close()

    def _connect(self, route: _Route, request: _Request) -> Connection:
        origin, proxy, certificate = route
        near = origin if proxy is None else proxy
        connection: Connection | None = None
        try:
            connection = open_connection(near.host, near.port, self._context)
            if origin.tls:
                if proxy is not None:
                    _tunnel(connection, origin, proxy, request)
                settings = self._context.tls(certificate)
                connection.start_tls(settings, origin.host, self._context.connect)
        except OSError as error:
            if connection is not None:
                connection.close()
            through = "" if proxy is None else f" through proxy {proxy.authority}"
            peer = near.authority if proxy is not None else origin.authority
            raise failure(error, request.what() + through, peer, begun=False) from error
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        return connection


def _tunnel(connection: Connection, origin: Origin, proxy: Proxy, request: _Request) -> None:
    """Has the proxy connect to the origin (RFC 9110 section 9.3.6)."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    head = f"CONNECT {host}:{origin.port} HTTP/1.1\r\nHost: {host}:{origin.port}\r\n"
    if proxy.authorization:
        head += f"Proxy-Authorization: {proxy.authorization.reveal()}\r\n"
    connection.send([(head + "\r\n").encode("latin-1")])
    view = memoryview(bytearray(HEAD_MOST))
    what = f"{request.what()}: proxy {proxy.authority}"
    try:
        answer, begin, end = receive_head(connection, view)
    except Malformed as error:
        raise Unreachable(f"{what}: {error}", host=proxy.authority) from None
    connection.heard = False
    if answer.status // 100 == 2 and begin == end:
        return
    kind: type[TransferError] = Denied if answer.status in (401, 403, 407) else Unreachable
    text = f"{what} refused the connection: {answer.status} {answer.reason}"
    remedy = "check the user and password of the proxy" if answer.status == 407 else ""
    raise kind(text, host=proxy.authority, remedy=remedy)


class Upload:
    """One request whose body is being sent. Ends with `finish` or `cut`."""

    __slots__ = ("_begun", "_connection", "_ear", "_head", "_request", "_route", "_wire", "answered", "left")

    def __init__(
        self, wire: Wire, request: _Request, proxy: Proxy | None, size: int | None, expect: bool
    ) -> None:
        self._wire = wire
        self._request = request
        self._route = _Route(request.origin, proxy, request.certificate)
        self._connection: Connection | None = None
        self._ear: Ear | None = None
        self._begun = False
        self.answered = False
        """The server has answered, or closed, before it had the whole body; `finish` tells which."""
        self.left = size
        """Bytes that are still to be sent; None when that is not known."""
        # The head waits for the first piece, unless the server is asked first.
        self._head = self._make_head()
        if expect:
            asking = self._make_head("Expect: 100-continue\r\n")
            kept = wire._kept(self._route, check=True)
            if kept is None or not self._ask(kept, asking):
                self._ask(wire._connect(self._route, request), asking)

    def _make_head(self, expectation: str = "") -> bytes:
        framing = (
            "Transfer-Encoding: chunked\r\n" if self.left is None else f"Content-Length: {self.left}\r\n"
        )
        return self._request.head(self._route.proxy, framing + expectation)

    def _use(self, connection: Connection) -> Ear:
        connection.heard = False
        self._connection = connection
        self._ear = Ear(connection, memoryview(bytearray(HEAD_MOST)))
        return self._ear

    def _ask(self, connection: Connection, head: bytes) -> bool:
        """Sends the head and waits for leave to send the body. False when the connection was stale."""
        ear = self._use(connection)
        try:
            connection.send([head])
            status = ear.listen(_EXPECT_SECONDS)
            while 100 < status < 200:
                status = ear.listen(_EXPECT_SECONDS)
        except OSError as error:
            if connection.served and not connection.heard and is_end(error):
                connection.close()
                return False
            raise self._failed(error) from error
        except Malformed as error:
            raise self._senseless(error) from None
        except BaseException:
            self.cut()
            raise
        if status == 417:
            # Begins again without an expectation (RFC 9110 section 10.1.1).
            connection.close()
            self._use(self._wire._connect(self._route, self._request))
        else:
            self._head = b""
            self.answered = ear.answered
        if status in (0, 417):
            self._wire._deaf.add(self._request.origin)
        return True

    def send(self, view: memoryview | bytes) -> bool:
        """True when all of `view` is on its way; False when the server has answered and wants no more.

        Raises Broken, Unreachable and Stopped; ValueError for more bytes than were announced.
        """
        if self.answered:
            return False
        count = len(view)
        if not count:
            return True
        if self.left is None:
            return self._send([b"%x\r\n" % count, view, b"\r\n"])
        if count > self.left:
            raise ValueError(f"{count} bytes for a body of which {self.left} are left")
        self.left -= count
        return self._send([view])

    def _send(self, pieces: list[bytes | memoryview]) -> bool:
        try:
            ear = self._ear
            if ear is None:
                kept = self._wire._kept(self._route, check=True)
                ear = self._use(kept or self._wire._connect(self._route, self._request))
            elif ear.interrupts():
                self.answered = True
                return False
            if self._head:
                pieces = [self._head, *pieces]
                self._head = b""
            self._begun = True
            assert self._connection is not None
            self.answered = not self._connection.send(pieces, ear.interrupts)
        except OSError as error:
            raise self._failed(error) from error
        except Malformed as error:
            raise self._senseless(error) from None
        except BaseException:
            self.cut()
            raise
        return not self.answered

    def finish(self) -> Answer:
        """Sends the end of the body and returns the answer to all of it, or the early one.

        Raises ValueError when bytes are missing; what `Wire.exchange` raises; ServerFault for an early answer that
        claims success.
        """
        if not self.answered:
            if self.left:
                self.cut()
                raise ValueError(f"{self.left} bytes of the body are missing")
            if self.left is None:
                self._send([b"0\r\n\r\n"])
            elif self._head:
                self._send([b""])
        connection, ear = self._connection, self._ear
        if connection is None or ear is None:
            raise ValueError("the upload was cut")
        try:
            received = ear.head()
        except OSError as error:
            silent = isinstance(error, TimeoutError) and not self.answered
            self._begun = self._begun and not silent
            raise self._failed(error) from error
        except Malformed as error:
            raise self._senseless(error) from None
        except BaseException:
            self.cut()
            raise
        self._connection = None
        if self.answered and received[0].status < 300:
            connection.close()
            text = f"{self._request.what()}: answered {received[0].status} before it had the whole body"
            raise ServerFault(text, host=connection.peer)
        return self._wire._answer(
            connection, self._route, self._request, ear.view, received, whole=not self.answered
        )

    def cut(self) -> None:
        """Closes the connection, so that the server cannot take the body for complete. Never raises."""
        connection = self._connection
        self._connection = None
        self.answered = True
        if connection is not None:
            connection.close()

    def _failed(self, error: OSError) -> TransferError:
        connection = self._connection
        peer = connection.peer if connection is not None else self._request.origin.authority
        begun = self._begun or (connection is not None and connection.heard)
        self.cut()
        return failure(error, self._request.what(), peer, begun=begun)

    def _senseless(self, error: Malformed) -> ServerFault:
        self.cut()
        return ServerFault(f"{self._request.what()}: {error}", host=self._request.origin.authority)


def _redacted(url: str) -> str:
    from ..credentials.redaction import redact_url

    return redact_url(url)
