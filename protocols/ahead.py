"""Requests that are sent before the answers to earlier ones have come: HTTP pipelining (RFC 9112 section 9.3.2).

It saves the wait for each answer, and one system call brings several. But servers, and what stands before them, may get it
wrong. So it is done only where it has been earned: on a connection that has just given a good small answer, not through
proxies, and not any more where that went wrong a few times (`tolerance.py`). Whatever is no plain small answer ends the line. What
was asked for on it and did not come comes again one by one: these are GETs, which may be repeated. That a file is absent, or
not to be had, or not what it should be, is believed of the answer to a single request alone. No failure of a line is ever one
of a request.
"""

from __future__ import annotations

import mmap
from collections import deque

from .connection import Closed
from .errors import Stopped, TransferError
from .exchange import Arrived, stays_open
from .heads import Fields, Malformed, parse_status
from .origins import Route
from .tolerance import DEPTH, SMALL, names_a_time, shared_tolerance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final, TypeAlias

    from ..credentials.kinds import Certificate
    from .connection import Connection
    from .context import Context
    from .exchange import Answer
    from .locations import Location
    from .origins import Origin, Request
    from .wire import Wire

    Found: TypeAlias = tuple[Request, Answer]

_REFILL: Final = DEPTH // 2
"""A line that runs empty costs a round trip, and on top of it the wait for a delayed acknowledgement."""
_BUFFER: Final = 192 << 10
_HEAD_MOST: Final = 4 << 10
_PATIENCE: Final = 5.0
"""Seconds for which a line may be silent: a server that lost requests says nothing at all."""

_ABSENT: Final = frozenset({404, 410})
"""What is said of a file. Anything else but a success is about the server, or about who asks, and the line ends with it."""


class Line:
    """Requests on one connection, and the bytes of their answers, which come in the same order."""

    __slots__ = (
        "_begin",
        "_buffer",
        "_connection",
        "_end",
        "answered",
        "due",
        "over",
        "route",
    )

    def __init__(self, connection: Connection, route: Route, buffer: memoryview) -> None:
        connection.hurry(_PATIENCE)
        self._connection = connection
        self._buffer = buffer
        self._begin = self._end = 0
        self.route = route
        self.due: deque[tuple[Location, Request]] = deque()
        """What was asked for and is not answered yet."""
        self.answered = 0
        self.over = False
        """Nothing that is still due will come."""

    def send(self, asked: Sequence[tuple[Location, Request]], heads: list[bytes]) -> None:
        """Raises OSError and Stopped."""
        self.due.extend(asked)
        if not self._connection.send([b"".join(heads)]):
            raise Closed

    def answer(self) -> Arrived:
        """The next answer, with all of its body; valid until the next call.

        Raises OSError, Stopped, and Malformed also for what is none of the plain small answers that belong on a line.
        """
        view, receive = self._buffer, self._connection.receive
        begin, end = self._begin, self._end
        if begin == end:
            begin = end = 0
        while True:
            raw = bytes(view[begin : min(end, begin + _HEAD_MOST)])
            stop = raw.find(b"\r\n\r\n")
            if stop >= 0:
                break
            if len(raw) == _HEAD_MOST or not raw.startswith(b"HTTP/1."[: len(raw)]):
                raise Malformed("no head of an answer")
            if len(view) - begin < _HEAD_MOST:
                view[: end - begin] = view[begin:end]
                begin, end = 0, end - begin
            got = receive(view[end:])
            if not got:
                raise Closed
            end += got
        line, _, section = raw[: stop + 2].decode("latin-1").partition("\r\n")
        minor, status, reason = parse_status(line)
        fields = Fields(section)
        length = fields.values.get("content-length", "")
        if not (length.isdecimal() and len(length) < 9 and (size := int(length)) <= SMALL):
            raise Malformed("no small answer")
        if status < 200 or status in (204, 304) or "transfer-encoding" in fields.values:
            raise Malformed("no plain answer")
        begin += stop + 4
        stop = begin + size
        if stop > len(view):
            view[: end - begin] = view[begin:end]
            begin, end, stop = 0, end - begin, stop - begin
        if end < stop:
            end += receive(view[end:], stop - end)
            if end < stop:
                raise Closed
        self._begin, self._end = stop, end
        self.answered += 1
        self.due.popleft()
        self.over = not (status == 200 or status in _ABSENT) or not stays_open(minor, fields)
        return Arrived(status, reason, fields, view[begin:stop])

    def released(self) -> Connection | None:
        """The connection if it is ready for other requests; else it is closed."""
        connection = self._connection
        if self.over or self.due or self._begin != self._end:
            connection.close()
            return None
        connection.hurry(None)
        return connection


class Ahead:
    """What one store was told that it will be asked for, and the line on which that is under way."""

    def __init__(self, context: Context, wire: Wire, ask: Callable[[Location], Request]) -> None:
        """`ask` makes the request for a location; it may raise what the store raises."""
        self._wire = wire
        self._tolerance = shared_tolerance(context)
        self._ask = ask
        self._buffer: memoryview | None = None
        self._line: Line | None = None
        self._last: Route | None = None
        """Where the last answer came from, if it came on a line."""
        self._coming: deque[Location] = deque()
        """What was announced and is neither on the line nor answered, in order."""
        self._held: deque[tuple[Location, Found | None]] = deque()
        """What was on a line that has ended in order, and is not read yet; None where it is to be asked for singly."""
        self._proved: set[Route] = set()
        """Where the last answer was a good one."""

    def announce(self, locations: Sequence[Location]) -> None:
        """What will be asked for next, in this order. What was announced before no longer counts.

        Nothing at all says that the last answer was not what it should be.
        """
        self._coming = deque(locations)
        if not locations:
            self._doubt()
        for location, _ in self._line.due if self._line is not None else self._held:
            if not self._coming or self._coming.popleft() is not location:
                self._let_go()
                self._coming = deque(locations)
                return

    def learn(self, origin: Origin, certificate: Certificate | None, answer: Answer) -> None:
        """Takes notice of an answer that came singly and without a redirect."""
        if not self._coming:
            return
        route = Route(origin, None, certificate)
        small = answer.status == 200 and answer.length is not None and answer.length <= SMALL
        if small and answer.reusable and self._tolerance.lasts(origin):
            self._proved.add(route)
        else:
            self._proved.discard(route)

    def answer(self, location: Location) -> Found | None:
        """What was asked for an announced location, and the answer, which is a success or names a time to come back.

        None when it is to be asked for singly.
        """
        line, self._last = self._line, None
        if self._held:
            return self._from_held(location)
        try:
            if line is None:
                line = self._begun(location)
                if line is None:
                    return None
            elif line.due[0][0] is not location:
                self._let_go()
                self._coming.clear()
                return None
            elif len(line.due) <= _REFILL and self._coming:
                self._fill(line)
            request = line.due[0][1]
            answer = line.answer()
            if answer.status != 200:
                return self._failed(line, request, answer)
        except (OSError, Malformed):
            if self._line is not None:
                self._drop(self._line, spoiled=True)
            return None
        except BaseException:
            self.close()
            raise
        self._last = line.route
        if line.over or not line.due:
            self._drop(line, spoiled=bool(line.due))
        return request, answer

    def _failed(self, line: Line, request: Request, answer: Arrived) -> Found | None:
        """What `answer` returns after an answer that is no success, which ends the line. Raises what `Line.answer` does."""
        self._note(line, answer)
        if names_a_time(answer.status, answer.headers):
            self._drop(line, spoiled=True)
            return request, answer
        # What is on its way already is taken in, so that it need not come again.
        while line.due and not line.over:
            location, asked = line.due[0]
            answer = line.answer()
            self._note(line, answer)
            self._held.append((location, (asked, _copied(answer)) if answer.status == 200 else None))
        # An answer too many could still come: what is asked for singly shall not get it.
        spoiled, line.over = line.over, True
        self._drop(line, spoiled=spoiled)
        return None

    def _note(self, line: Line, answer: Answer) -> None:
        self._tolerance.note_status(line.route.origin, answer.status)
        if answer.status in _ABSENT:
            # It costs one request of as many as a whole line has.
            self._tolerance.take_notice(line.route.origin, 0, spoiled=1 / DEPTH)

    def _from_held(self, location: Location) -> Found | None:
        first, found = self._held.popleft()
        if first is not location:
            self._let_go()
            self._coming.clear()
            return None
        if found is not None:
            self._last = Route(found[0].origin, None, found[0].certificate)
        return found

    def close(self) -> None:
        """Ends the line. Never raises."""
        if self._line is not None:
            self._line.over = True
        self._let_go()

    def _let_go(self) -> None:
        """Of what is under way nothing is wanted."""
        self._held.clear()
        if self._line is not None:
            self._drop(self._line)

    def _doubt(self) -> None:
        """The last answer, if it came on a line, was another one's; or not even a single one would be right."""
        route, self._last = self._last, None
        if route is None:
            return
        if self._line is not None:
            self._drop(self._line, spoiled=True)
            return
        self._proved.discard(route)
        self._wire.forget(route)
        self._tolerance.take_notice(route.origin, 0, spoiled=1)

    def _begun(self, location: Location) -> Line | None:
        """A line on which `location` is asked for first, if there may be one."""
        if not self._coming:
            return None
        if self._coming[0] is not location:
            self._coming.clear()
            return None
        route = self._proved_route(location) if self._proved and len(self._coming) > 1 else None
        connection = self._wire.idle(route) if route is not None else None
        if route is None or connection is None:
            self._coming.popleft()
            return None
        if self._buffer is None:
            self._buffer = memoryview(mmap.mmap(-1, _BUFFER))
        line = self._line = Line(connection, route, self._buffer)
        self._fill(line)
        if line.due:
            return line
        self._coming.popleft()
        self._drop(line)
        return None

    def _proved_route(self, location: Location) -> Route | None:
        request, _ = self._asked(location)
        route = Route(request.origin, None, request.certificate) if request is not None else None
        return route if route in self._proved else None

    def _fill(self, line: Line) -> None:
        """Sends what is to come, as far as it belongs on this line. Raises OSError and Stopped."""
        origin, _, certificate = line.route
        if not self._tolerance.lasts(origin):
            return
        asked: list[tuple[Location, Request]] = []
        heads: list[bytes] = []
        while self._coming and len(line.due) + len(asked) < DEPTH:
            request, head = self._asked(self._coming[0])
            if request is None or (request.origin, request.certificate) != (origin, certificate):
                break
            asked.append((self._coming.popleft(), request))
            heads.append(head)
        if asked:
            line.send(asked, heads)

    def _asked(self, location: Location) -> tuple[Request | None, bytes]:
        """The request for a location, and its head; None where it will fail: that is told when its turn has come."""
        try:
            request = self._ask(location)
            return request, request.head(None, "")
        except Stopped:
            raise
        except TransferError:
            return None, b""

    def _drop(self, line: Line, *, spoiled: bool = False) -> None:
        """Gives the connection back, or closes it with all that is still due on it."""
        self._line = None
        route = line.route
        line.over = line.over or spoiled
        if line.over:
            self._proved.discard(route)
        self._tolerance.take_notice(route.origin, line.answered, spoiled=int(spoiled))
        connection = line.released()
        if connection is not None:
            self._wire.keep(route, connection)


def _copied(answer: Arrived) -> Arrived:
    """It stays valid after the next one came."""
    return Arrived(answer.status, answer.reason, answer.headers, memoryview(bytes(answer.read())))
