"""Requests to an iRODS server and its answers, over one connection that is logged in."""

from __future__ import annotations

from contextlib import suppress

from .connection import Closed, failure
from .errors import Broken, ServerFault, Stopped, TransferError
from .irods_calls import choose_parser
from .irods_errors import Refused, error_of
from .irods_messages import header, parse_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from .connection import Connection
    from .context import Context
    from .irods_client import Client
    from .irods_messages import Header

_AHEAD: Final = 4096
"""Bytes that are received before it is known how long an answer is: most answers are shorter."""
_MESSAGE_MOST: Final = 16 << 20
_HEADER_MOST: Final = 4096


class Wire:
    """One connection. After an error of the network it is closed and `usable` is false."""

    __slots__ = (
        "_ahead",
        "_end",
        "_owed",
        "_start",
        "client",
        "connection",
        "context",
        "host",
        "left",
        "logged_in",
        "presented",
        "session",
        "usable",
        "version",
        "what",
        "with_ticket",
        "zone",
    )

    def __init__(self, connection: Connection, context: Context, client: Client) -> None:
        self.connection = connection
        self.context = context
        self.client = client
        """Whose it is, and where it is given back."""
        self.logged_in: Any = None
        """The library's connection, whose socket this uses."""
        self.session: Any = None
        """The library's session: when nobody holds it, it ends its connections."""
        self.host = connection.peer
        self.usable = True
        self.version: tuple[int, ...] = ()
        self.zone = ""
        """The one of the login."""
        self.with_ticket = False
        self.presented = ""
        """The credential's name and origin, for messages."""
        self.left = 0
        """Bytes of the present answer that were not taken yet."""
        self._owed = 0
        """Answers to requests that nobody waited for."""
        self.what = f"cannot talk to {self.host}"
        self._ahead = memoryview(bytearray(_AHEAD))
        self._start = self._end = 0

    def about(self, what: str) -> None:
        """What is being done to what, `cannot read ...`: every error begins so."""
        self.what = what

    # --- calls

    def call(self, number: int, message: bytes = b"", *, patience: float = 0.0) -> tuple[int, bytes]:
        """The result and the message of the answer. Raises Refused, and TransferError for the network.

        `patience`: seconds that the server may need to answer, where that is more than the limit for silence.
        """
        self.ask(number, message)
        return self.answer(patience=patience)

    def ask(self, number: int, message: bytes, pieces: Sequence[memoryview] = (), size: int = 0) -> None:
        """Sends a request with `size` bytes behind it, of which `pieces` are the first; `more` sends the others."""
        self._insist_on_usable()
        while self._owed:
            self._take_owed()
        if self.left:
            self.drop()
            raise ServerFault(f"{self.what}: the answer was longer than what was asked for", host=self.host)
        self.send([header(b"RODS_API_REQ", len(message), size, number), message, *pieces])

    def _take_owed(self) -> None:
        self._owed -= 1
        with suppress(Refused):  # of closing an object that was read: nothing was lost
            self.answer()

    def ask_in_passing(self, number: int, message: bytes) -> None:
        """Sends a request whose answer matters to nobody; it is taken before the next one is sent."""
        self.ask(number, message)
        self._owed += 1

    def more(self, view: memoryview) -> None:
        """Sends further bytes of the present request."""
        self._insist_on_usable()
        self.send([view])

    def answer(self, *, patience: float = 0.0) -> tuple[int, bytes]:
        """The result and the message of the next answer; its bytes, `left` of them, are to be taken by `receive`."""
        head, message, error = self.frame(patience)
        self.left = head.bytes
        if head.number < 0:
            raise Refused(head.number, self._words(error) if error else "")
        return head.number, message

    def frame(self, patience: float = 0.0) -> tuple[Header, bytes, bytes]:
        """The header, the message and the errors of what comes next."""
        if patience > self.context.stall:
            self._wait(patience)
        try:
            length = int.from_bytes(self._take(4), "big")
            if not 0 < length <= _HEADER_MOST:
                raise ValueError(f"an answer begins with {length} bytes of header")
            head = parse_header(self._take(length))
            if head.message > _MESSAGE_MOST or head.error > _MESSAGE_MOST:
                raise ValueError(f"an answer of {max(head.message, head.error)} bytes")
            return head, self._take(head.message), self._take(head.error)
        except ValueError as error:
            self.drop()
            raise ServerFault(f"{self.what}: {error}: is that an iRODS server?", host=self.host) from None

    def _words(self, error: bytes) -> str:
        """What the server says about a code; that it cannot be understood is no error of its own."""
        from irods.message import Error, iRODSMessage  # type: ignore[import-untyped]

        with suppress(Exception):
            choose_parser(error, self.version)
            said = str(iRODSMessage(msg=error).get_main_message(Error).RErrMsg_PI[0].msg or "")
            return self.client.login.without_secrets(said)
        return ""

    def receive(self, view: memoryview) -> int:
        """Fills `view` with bytes of the present answer, as many as are left or fit; how many they were."""
        count = min(len(view), self.left)
        self._fill(view[:count])
        self.left -= count
        return count

    # --- bytes

    def send(self, pieces: list[bytes | memoryview]) -> None:
        try:
            sent = self.connection.send(pieces)
        except OSError as error:
            raise self._lost(error) from None
        except Stopped:
            self.drop()
            raise
        if not sent:
            raise self._lost(Closed())

    def _take(self, count: int) -> bytes:
        if not count:
            return b""
        while self._end - self._start < count <= _AHEAD:
            if self._start + count > _AHEAD or self._start == self._end:
                kept = bytes(self._ahead[self._start : self._end])
                self._ahead[: len(kept)] = kept
                self._start, self._end = 0, len(kept)
            self._end += self._received(self._ahead[self._end :])
        if count <= _AHEAD:
            self._start += count
            return bytes(self._ahead[self._start - count : self._start])
        whole = bytearray(count)
        self._fill(memoryview(whole))
        return bytes(whole)

    def _fill(self, view: memoryview) -> None:
        ready = min(len(view), self._end - self._start)
        if ready:
            view[:ready] = self._ahead[self._start : self._start + ready]
            self._start += ready
        at = ready
        while at < len(view):
            at += self._received(view[at:])

    def _received(self, view: memoryview) -> int:
        try:
            got = self.connection.receive(view)
        except OSError as error:
            raise self._lost(error) from None
        except Stopped:
            self.drop()
            raise
        if not got:
            raise self._lost(Closed())
        self.connection.heard = True
        return got

    def _wait(self, patience: float) -> None:
        """Returns when the answer begins. A server that computes a checksum says nothing meanwhile."""
        from time import monotonic

        if self._start < self._end:
            return
        until = monotonic() + patience
        try:
            while not self.connection.readable(1.0):
                if self.context.stop.is_set():
                    self.drop()
                    raise Stopped(f"{self.what}: the run was stopped")
                if monotonic() > until:
                    raise TimeoutError(f"no answer for {patience:.0f} s")
        except OSError as error:
            raise self._lost(error) from None

    def _insist_on_usable(self) -> None:
        if not self.usable:
            raise Broken(f"{self.what}: the connection was lost before", host=self.host)

    def _lost(self, error: OSError) -> TransferError:
        begun = self.connection.heard
        self.drop()
        return failure(error, self.what, self.host, begun=begun)

    # --- ends

    def is_fresh(self) -> bool:
        """Whether the server has neither closed the connection nor said something that nobody asked for."""
        try:
            while self.usable and self.connection.readable(0):
                if not self._owed:
                    return False
                self._take_owed()
        except (OSError, TransferError):
            return False
        return self.usable

    def error(self, refused: Refused, what: str = "") -> TransferError:
        return error_of(refused, what or self.what, self.host, presented=self.presented)

    def drop(self) -> None:
        """Ends the connection as it is: what is open for writing becomes stale at the server."""
        self.usable = False
        self.connection.close()
        self.client.forget(self)

    def leave(self) -> None:
        """Ends the connection politely. Never raises."""
        if self.usable:
            with suppress(Exception):  # the library's exceptions have no common ancestor
                self.logged_in.disconnect()
        self.drop()
