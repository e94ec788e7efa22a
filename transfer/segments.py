"""One large file that is moved part by part, by one worker or several at once: what they share.

Whoever is free takes the next part. A part that failed goes back and is taken again, by anybody. The digest of the whole is
computed in order all the same, in one of two ways:

- Where the destination gives back what was written, parts come in any order. The *frontier* is where the digest has come to.
  Bytes that are written exactly there are hashed as they pass; when it meets parts that are there already, whoever sees it
  first reads them back, from the page cache.
- Elsewhere parts are *ordered*: a worker reads its part into a buffer when the frontier has come to it, hashes it on the way, and
  lets the next one read while it sends.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from ..protocols.errors import Changed, Reach, Stopped, TransferError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from ..protocols.values import Part, Token
    from .pump import Hashing

WINDOW: Final = 0.25
"""Seconds over which it is judged whether one more stream would help."""
IDLE_BELOW: Final = 0.6
"""Processors that this process may use for it to count as waiting."""
SPARE: Final = 0.5
"""Processors of the machine that must have nothing to do: others may be using them."""
WORTH_SECONDS: Final = 1.0
"""What is done sooner than this needs no further stream."""
GROWTH: Final = 1.2
"""More streams must have made it so much faster, or there will be no more of them."""
STREAMS_MOST: Final = 16


class Pace(NamedTuple):
    """How far a file was at one moment. `at` is in monotonic seconds, `cpu` in seconds of processor time."""

    at: float
    cpu: float
    moved: int
    streams: int
    rate: float = 0.0
    """Bytes per second up to this moment."""
    idle: float | None = None
    """Seconds that all processors of the machine together had nothing to do; None where nobody tells."""


def more_streams(before: Pace, now: Pace, *, left: int, part: int, most: int) -> int:
    """How many streams to add: as many as there are while that helps, none while the processor is what limits."""
    seconds = now.at - before.at
    if seconds <= 0 or (now.cpu - before.cpu) / seconds > IDLE_BELOW:
        return 0
    if now.idle is not None and before.idle is not None and (now.idle - before.idle) / seconds < SPARE:
        return 0
    rate = (now.moved - before.moved) / seconds
    if left < rate * WORTH_SECONDS:
        return 0
    if before.rate and now.streams > before.streams and rate < before.rate * GROWTH:
        return 0
    return max(0, min(now.streams, most - now.streams, left // part - now.streams))


def idle_seconds() -> float | None:
    """See `Pace.idle`; waiting for disks counts, as another stream could use it (proc_stat(5))."""
    try:
        with open("/proc/stat", "rb") as file:
            fields = file.readline().split()
        return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


class Segments:
    """The parts of one file, and who has which. Safe for all workers."""

    def __init__(
        self, token: Token, hashing: Hashing, *, ordered: bool, found: tuple[Part, ...], tries: int
    ) -> None:
        """`tries` is how often one part may fail."""
        self.token = token
        self.hashing = hashing
        self.ordered = ordered
        self.found = {part.number: part for part in found}
        """Parts that were there. Where they are ordered they are read again, and compared."""
        self.done: dict[int, Part] = {} if ordered else dict(self.found)
        self.frontier = 0
        """Bytes that the digest has seen."""
        self.moved = 0
        """Bytes that were read, repeated ones included; not exact."""
        self.error: BaseException | None = None
        """What ended it for all; a defect of a protocol may be any exception."""
        self.active = 0
        self._tries = tries
        self._failures: dict[int, int] = {}
        self._left_to_others: TransferError | None = None
        """Why somebody left last. If nobody could do it, that is what is wrong."""
        self._todo = [number for number in range(token.total) if number not in self.done]
        self._changed = threading.Condition()
        self._hash_lock = threading.Lock()
        self._over = False
        self._pace = Pace(time.monotonic(), time.process_time(), 0, 1, idle=idle_seconds())
        self._settled = False

    def enter(self) -> bool:
        """One more worker takes part; False when there is nothing for it."""
        with self._changed:
            if self._over or self.error is not None or (self.active and not self._todo):
                return False
            self.active += 1
            return True

    def leave(self) -> bool:
        """True for the last one, who has to conclude."""
        with self._changed:
            self.active -= 1
            self._over = self.active == 0
            if self._over and self._todo and self.error is None:
                self.error = self._left_to_others
            return self._over

    def take(self) -> int | None:
        """The first part that nobody has; None when there is none, or it is of no use any more."""
        with self._changed:
            return heapq.heappop(self._todo) if self._todo and self.error is None else None

    @property
    def left(self) -> int:
        """Parts that nobody has."""
        return len(self._todo)

    def finished(self, part: Part) -> None:
        with self._changed:
            self.done[part.number] = part

    def put_back(self, number: int) -> None:
        with self._changed:
            heapq.heappush(self._todo, number)
            self._changed.notify_all()

    def failed(self, number: int, error: TransferError) -> bool:
        """Puts the part back. True if this worker should go on, False if it should leave: the others may do better."""
        with self._changed:
            heapq.heappush(self._todo, number)
            failures = self._failures[number] = self._failures.get(number, 0) + 1
            goes_on = (
                error.reach is Reach.ATTEMPT and not isinstance(error, Changed) and failures < self._tries
            )
            if not goes_on:
                self._leave_to_others(error)
            self._changed.notify_all()
            return goes_on

    def _leave_to_others(self, error: TransferError) -> None:
        """Ends it for all where the others, if there are any, would do no better. With the lock."""
        no_ranges = isinstance(error, Changed)
        if self.active > 1 and (no_ranges or error.reach in (Reach.HOST, Reach.REPLICA, Reach.GROUP)):
            # A stream from the beginning is as good as before, but nobody else can help with it.
            self._settled = self._settled or no_ranges
            self._left_to_others = error
        else:
            self.error = self.error or error

    def broke(self, error: BaseException) -> None:
        """Ends it for all."""
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()

    def wait_turn(self, number: int, stop: threading.Event) -> bool:
        """Returns when the digest has come to this part; False if an earlier part lies untouched, which comes first."""
        first = number * self.token.part
        with self._changed:
            while self.frontier < first:
                if self._todo and self._todo[0] < number:
                    return False
                if self.error is not None:
                    return False
                if stop.is_set():
                    raise Stopped("the run was stopped", step="read")
                self._changed.wait(0.2)
        return True

    # --- the digest

    def hash_next(self, offset: int, view: memoryview) -> None:
        """Hashes what of `view` lies at the frontier, if anything does, and nobody is at it."""
        frontier, end = self.frontier, offset + len(view)
        if not offset <= frontier < end or not self._hash_lock.acquire(blocking=False):
            return
        try:
            frontier = self.frontier
            if offset <= frontier < end:
                self.hashing.update(view[frontier - offset :])
                self.frontier = end
        finally:
            self._hash_lock.release()

    def let_read(self) -> None:
        """Tells those who wait for their turn that the frontier has moved."""
        with self._changed:
            self._changed.notify_all()

    def catch_up(self, read_back: Callable[[int, memoryview], int], buffer: memoryview) -> None:
        """Hashes the parts that are there behind the frontier, unless somebody is at it."""
        while self._next_is_there() and self._hash_lock.acquire(blocking=False):
            try:
                while self._next_is_there():
                    end = sum(self.token.span(self.frontier // self.token.part))
                    self._hash_back(end, read_back, buffer)
            finally:
                self._hash_lock.release()

    def _hash_back(self, end: int, read_back: Callable[[int, memoryview], int], buffer: memoryview) -> None:
        while self.frontier < end:
            count = read_back(self.frontier, buffer[: end - self.frontier])
            if not count:
                raise TransferError("what was written cannot be read back")
            self.hashing.update(buffer[:count])
            self.frontier += count

    def _next_is_there(self) -> bool:
        return self.frontier < self.token.size and self.frontier // self.token.part in self.done

    def parts(self) -> tuple[Part, ...]:
        """All parts in order. Only when every one is done."""
        return tuple(self.done[number] for number in range(self.token.total))

    # --- how many

    def wanted(self, most: int) -> int:
        """How many more workers would help; asks the clock, so call it once a view."""
        now = time.monotonic()
        if self._settled or now - self._pace.at < WINDOW:
            return 0
        with self._changed:
            before = self._pace
            if now - before.at < WINDOW:
                return 0
            moved = self.moved
            rate = (moved - before.moved) / (now - before.at)
            self._pace = Pace(now, time.process_time(), moved, self.active, rate, idle_seconds())
            left = len(self._todo) * self.token.part
            return more_streams(before, self._pace, left=left, part=self.token.part, most=most)
