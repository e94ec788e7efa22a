"""The connections of one store: kept while they are idle, made where none is left."""

from __future__ import annotations

from contextlib import suppress

from .connection import Connection, failure, open_connection
from .errors import Denied, ServerFault, TransferError, Unreachable
from .exchange import Answer
from .heads import HEAD_MOST, Malformed, receive_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .context import Context
    from .heads import Head
    from .origins import Origin, Request, Route
    from .proxies import Proxy

_ROUTES_MOST: Final = 16


class Pool:
    """Not for use by several threads at once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._idle: dict[Route, list[Connection]] = {}
        self.deaf: set[Origin] = set()
        """Servers that did not react to `Expect: 100-continue`."""
        self.earnest: set[Origin] = set()
        """Servers that meant it when they said `100 Continue`."""
        self._closed = False

    def kept(self, route: Route, *, check: bool) -> Connection | None:
        """An idle connection; with `check` one on which nothing has arrived, not even its end."""
        idle = self._idle.get(route)
        while idle:
            connection = idle.pop()
            if not check:
                return connection
            with suppress(OSError):
                if not connection.readable(0):
                    return connection
            connection.close()
        return None

    def keep(self, route: Route, connection: Connection) -> None:
        """Takes a connection on which nothing is under way."""
        if self._closed:
            connection.close()
            return
        connection.served += 1
        idle = self._idle.get(route)
        if idle is None:
            idle = self._idle[route] = []
            if len(self._idle) > _ROUTES_MOST:
                self.forget(next(iter(self._idle)))
        idle.append(connection)

    def forget(self, route: Route) -> None:
        for connection in self._idle.pop(route, ()):
            connection.close()

    def connect(self, route: Route, request: Request) -> Connection:
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

    def answer(
        self,
        connection: Connection,
        route: Route,
        request: Request,
        view: memoryview,
        received: tuple[Head, int, int],
        whole: bool,
    ) -> Answer:
        """`whole` says that the request was sent completely: else the connection is of no further use."""

        def give_back() -> None:
            self.keep(route, connection)

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

    def close(self) -> None:
        """Closes all idle connections. Never raises."""
        self._closed = True
        for route in tuple(self._idle):
            self.forget(route)


def _tunnel(connection: Connection, origin: Origin, proxy: Proxy, request: Request) -> None:
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
