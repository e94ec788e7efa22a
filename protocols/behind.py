"""Small uploads that are sent one behind the other, before the answers to the earlier ones have come (RFC 9112 section 9.3.2).

It saves the wait for each answer, as `ahead.py` does for reads, and is as careful: only on a connection that has carried a
good exchange before, and not where that went wrong a few times (`tolerance.py`). Which answer belongs to which upload is told by their
order alone. So the answers are taken together: where all of them are good the order proves nothing and needs to prove nothing.
Where one is not, what does not name itself is uploaded again, singly: these are PUTs, which may be repeated. So is what was
refused: only a single upload is refused for certain.
"""

from __future__ import annotations

from ..checksum.records import NamedTuple
from .connection import Closed
from .errors import Stopped, TransferError
from .exchange import Answer, stays_open
from .heads import HEAD_MOST, Fields, Malformed, receive_head
from .origins import Route
from .tolerance import DEPTH, shared_tolerance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .connection import Connection
    from .context import Context
    from .origins import Request
    from .wire import Wire

_PATIENCE: Final = 5.0
"""Seconds for which the server may be silent: one that lost requests says nothing at all."""
_BODY_MOST: Final = 64 << 10
"""Bytes of an answer's body: an upload is answered by nothing, or by the reason why it is refused."""


class Told(NamedTuple):
    """The answer to one upload."""

    status: int
    headers: Fields
    body: bytes
    sure: bool
    """It belongs to this upload whatever the server did with the order: all that were sent together were answered alike."""


class Sent:
    """One upload that is on the way, or answered."""

    __slots__ = ("_behind", "answered", "request", "told")

    def __init__(self, behind: Behind, request: Request) -> None:
        self._behind = behind
        self.request = request
        self.answered = False
        self.told: Told | None = None

    def answer(self) -> Told | None:
        """What the server said; None where nobody knows what became of this upload. Waits for all that were sent together.

        Raises Stopped.
        """
        if not self.answered:
            self._behind.take_answers()
        return self.told


class Behind:
    """The uploads of one store that are on the way."""

    def __init__(self, context: Context, wire: Wire) -> None:
        self._wire = wire
        self._tolerance = shared_tolerance(context)
        self._route: Route | None = None
        self._connection: Connection | None = None
        self._due: list[Sent] = []
        self._view = memoryview(bytearray(HEAD_MOST))

    def send(self, request: Request, body: memoryview) -> Sent | None:
        """Sends an upload whole; None where it had better go by itself. `body` is not kept.

        Raises Stopped, and Unsupported for what cannot be sent.
        """
        head = request.head(None, f"Content-Length: {len(body)}\r\n")
        connection = self._ready(Route(request.origin, None, request.certificate))
        if connection is None:
            return None
        sent = Sent(self, request)
        self._due.append(sent)
        try:
            whole = connection.send([head, body])
        except OSError:
            whole = False
        except BaseException:
            self.close()
            raise
        if not whole:
            # There may be answers still, which `take_answers` finds; this one comes to nothing in any case.
            self._due.pop()
            self.take_answers(broken=True)
            return None
        return sent

    def _ready(self, route: Route) -> Connection | None:
        """The connection that uploads are on the way on, or one that has earned it."""
        if self._connection is not None:
            return self._connection if route == self._route and len(self._due) < DEPTH else None
        if not self._tolerance.lasts(route.origin):
            return None
        connection = self._wire.idle(route)
        if connection is not None:
            connection.hurry(_PATIENCE)
            self._connection, self._route = connection, route
        return connection

    def take_answers(self, *, broken: bool = False) -> None:
        """Waits for the answers to all that is on the way. With `broken` nothing more goes on this connection. Raises Stopped."""
        connection, due = self._connection, self._due
        if connection is None:
            return
        self._connection, self._due = None, []
        for sent in due:
            sent.answered = True
        found: list[Told] = []
        good = kept = False
        try:
            kept = self._receive(connection, due, found)
            good = 0 < len(found) == len(due) and found[-1].status < 300
        except Stopped:
            connection.close()
            raise
        except (OSError, Malformed, TransferError):
            broken = True
        good = good and not broken
        for sent, told in zip(due, found, strict=False):
            sent.told = told._replace(sure=good)
        self._learn(found, good=good)
        self._end(connection, kept=kept and good)

    def _learn(self, found: list[Told], *, good: bool) -> None:
        assert self._route is not None
        origin = self._route.origin
        self._tolerance.take_notice(origin, len(found), spoiled=0 if good else 1)
        if found:
            self._tolerance.note_status(origin, found[-1].status)

    def _receive(self, connection: Connection, due: list[Sent], found: list[Told]) -> bool:
        """Adds to `found` what is answered, up to the first answer that is no plain success; whether the connection may be kept.

        Raises OSError, Malformed and what `Answer` does.
        """
        view, begin, end = self._view, 0, 0
        for sent in due:
            head, begin, end = receive_head(connection, view, begin, end)
            length = 0 if head.status == 204 else _length(head.fields)
            if head.status >= 300 or length is None:
                answer = Answer(sent.request.what, "PUT", connection, view, (head, begin, end), None)
                found.append(Told(head.status, head.fields, answer.read_all(_BODY_MOST), False))
                return False
            if length:
                begin, end = self._skipped(connection, begin, end, length)
            found.append(Told(head.status, head.fields, b"", False))
            if not stays_open(head.minor, head.fields):
                return False
        return begin == end

    def _skipped(self, connection: Connection, begin: int, end: int, length: int) -> tuple[int, int]:
        """Where in the view the bytes behind the next `length` ones begin and end."""
        view = self._view
        view[: end - begin] = view[begin:end]
        end -= begin
        if end < length:
            end += connection.receive(view[end:], length - end)
            if end < length:
                raise Closed
        return length, end

    def _end(self, connection: Connection, *, kept: bool) -> None:
        if kept:
            assert self._route is not None
            connection.hurry(None)
            self._wire.keep(self._route, connection)
        else:
            connection.close()

    def close(self) -> None:
        """Closes the connection with all that is on the way. Never raises."""
        connection, self._connection = self._connection, None
        for sent in self._due:
            sent.answered = True
        self._due = []
        if connection is not None:
            connection.close()


def _length(fields: Fields) -> int | None:
    """Bytes of the body of a plain small answer; None for any other."""
    text = fields.values.get("content-length", "")
    plain = text.isdecimal() and len(text) < 5 and "transfer-encoding" not in fields.values
    return int(text) if plain else None
