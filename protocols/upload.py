"""A request whose body is sent piece by piece."""

from __future__ import annotations

from .connection import failure, is_end
from .errors import ServerFault
from .heads import HEAD_MOST, Ear, Malformed
from .origins import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .connection import Connection
    from .errors import TransferError
    from .exchange import Answer
    from .origins import Request
    from .pool import Pool
    from .proxies import Proxy

_EXPECT_SECONDS: Final = 1.0
"""How long a server may think about `Expect: 100-continue` before the body is sent all the same."""
_SECOND_THOUGHT: Final = 0.02
"""nginx says `100 Continue` to every upload and then, at once, that it refuses it or that it is to go elsewhere."""


class Upload:
    """One request whose body is being sent. Ends with `finish` or `cut`."""

    __slots__ = ("_begun", "_connection", "_ear", "_head", "_pool", "_request", "_route", "answered", "left")

    def __init__(
        self, pool: Pool, request: Request, proxy: Proxy | None, size: int | None, expect: bool
    ) -> None:
        self._pool = pool
        self._request = request
        self._route = Route(request.origin, proxy, request.certificate)
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
            kept = pool.kept(self._route, check=True)
            if kept is None or not self._ask(kept, asking):
                self._ask(pool.connect(self._route, request), asking)

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
            while 100 < status < 200:  # 102 Processing and its like
                status = ear.listen(_EXPECT_SECONDS)
            if status == 100 and self._request.origin not in self._pool.earnest:
                ear.listen(_SECOND_THOUGHT)
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
            self._use(self._pool.connect(self._route, self._request))
        else:
            self._head = b""
            self.answered = ear.answered
        if status in (0, 417):
            self._pool.deaf.add(self._request.origin)
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
                kept = self._pool.kept(self._route, check=True)
                ear = self._use(kept or self._pool.connect(self._route, self._request))
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
        if received[0].status < 300:
            self._pool.earnest.add(self._request.origin)
        return self._pool.answer(
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
