"""Files that are read ahead and written behind, through shared memory, by callbacks of XRootD's library.

This runs in the process that has the library (`xrootd_child.py`). A region of the shared memory belongs to one open file; its
slots are used in turn, and each belongs to one side at a time.
"""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap
    from typing import Any, Final, Protocol

    class Line(Protocol):
        def send(self, *frame: object) -> None: ...


SLOT: Final = 1 << 20
SLOTS: Final = 8
REGION: Final = SLOT * SLOTS
REGIONS: Final = 8
UNSPEAKABLE: Final = -2
"""The code of a failure for a name that the protocol or the library cannot carry."""
_PIECE_LEAST: Final = 128 << 10
"""Asked for in one request to begin with, so that a slow connection shows that it is alive."""
_SOON: Final = 1.0
_ALIVE_SECONDS: Final = 0.5


class Refused(Exception):
    """A status of the library that is not a success."""

    def __init__(self, status: Any) -> None:
        super().__init__(status.message)
        self.fields = as_fields(status)


def checked(answer: tuple[Any, Any]) -> Any:
    """The second of the two values that every call of the bindings returns, if the first one is a success."""
    if not answer[0].ok:
        raise Refused(answer[0])
    return answer[1]


class Pieces:
    """How much to ask for, or to write, in one request: more while that takes less than a second."""

    __slots__ = ("_heard", "size")

    def __init__(self) -> None:
        self.size = _PIECE_LEAST
        self._heard = 0.0

    def took(self, seconds: float) -> None:
        if seconds < _SOON:
            self.size = min(SLOT, self.size * 2)
        else:
            self.size = max(_PIECE_LEAST, self.size // 2)

    def silent_for_long(self) -> bool:
        """Whether the parent should be told that something came."""
        now = time.monotonic()
        if now - self._heard < _ALIVE_SECONDS:
            return False
        self._heard = now
        return True


class Reading:
    """A file that is read ahead. `[-file, index, bytes]`: slot `index` is full; `[-file, -1, bytes]`: some bytes came.

    `[-file, -2, error]`: it ended in the middle. The parent gives a slot back with `free`.
    """

    def __init__(self, line: Line, number: int, file: Any, view: memoryview) -> None:
        self._line = line
        self._number = number
        self.file = file
        self._view = view
        self._pieces = Pieces()
        self._lock = threading.RLock()
        self._missing: dict[int, int] = {}
        """Of each slot that is being filled, the bytes that have not come."""
        self._next = 0
        self._taken = 0
        self._ahead = 2
        self._start = self._end = 0
        self._under_way = 0
        self._closing = self._look_again = False

    def begin(self, start: int, end: int, *, look_again: bool) -> None:
        """Without `look_again` the file is closed with its last byte: while a file is open, a server gives who opens its name
        what was there then, even if that was replaced."""
        self._start, self._end = start, end
        self._look_again = look_again
        if start >= end:
            self._ended()
        self.more(0)

    def more(self, freed: int) -> None:
        """Fills as many slots as may be full at a time. That begins with two and doubles, so that closing early wastes little."""
        with self._lock:
            self._taken += freed
            if freed:
                self._ahead = min(SLOTS, self._ahead * 2)
            while self._next < self._taken + self._ahead:
                index, first = self._next, self._start + self._next * SLOT
                count = min(SLOT, self._end - first)
                if count <= 0:
                    return
                self._next += 1
                self._missing[index] = count
                self._ask_slot(index, first, count)

    def _ask_slot(self, index: int, first: int, count: int) -> None:
        place, piece = (index % SLOTS) * SLOT, self._pieces.size
        for at in range(0, count, piece):
            self._ask(index, first + at, place + at, min(piece, count - at))

    def _ask(self, index: int, offset: int, place: int, count: int) -> None:
        began = time.monotonic()
        self._under_way += 1

        def came(status: Any, data: bytes | None, hosts: object) -> None:
            if status.ok:
                self._pieces.took(time.monotonic() - began)
            self._arrived(index, offset, place, count, data or b"", status)

        status = self.file.read(offset, count, 0, came)
        if not status.ok:
            self._arrived(index, offset, place, count, b"", status)

    def _arrived(self, index: int, offset: int, place: int, count: int, data: bytes, status: Any) -> None:
        """Puts the bytes to their place, unless the file is being closed: then the region may be another's already."""
        got = len(data)
        with self._lock:
            self._under_way -= 1
            if self._closing:
                if not self._under_way:
                    self.file.close(0, _ignored)
                return
            if not got:
                self._failed(status)
                return
            self._view[place : place + got] = data
            self._missing[index] -= got
            full = not self._missing[index]
            if full:
                del self._missing[index]
            elif got < count:
                self._ask(index, offset + got, place + got, count - got)
            if full and not self._missing and self._start + self._next * SLOT >= self._end:
                self._ended()
        if full:
            whole = min(SLOT, self._end - self._start - index * SLOT)
            self._line.send(-self._number, index, whole)
        elif self._pieces.silent_for_long():
            self._line.send(-self._number, -1, got)

    def _ended(self) -> None:
        if not self._look_again:
            self._closing = True
            self.file.close(0, _ignored)

    def _failed(self, status: Any) -> None:
        error = [0, 0, "it has become shorter"] if status.ok else as_fields(status)
        self._line.send(-self._number, -2, error)

    def close(self) -> None:
        """Closes the file when nothing of it is under way any more: the library closes no sooner."""
        with self._lock:
            closed, self._closing = self._closing, True
            if not self._under_way and not closed:
                self.file.close(0, _ignored)


class Writing:
    """A file that is written. `[-file, index, bytes]`: slot `index` is written; `[-file, -1, bytes]`: some of its bytes are.

    `[-file, -2, error]`: something could not be written.
    """

    def __init__(
        self, line: Line, number: int, file: Any, view: memoryview, memory: mmap, begin: int
    ) -> None:
        self._line = line
        self._number = number
        self.file = file
        self._view = view
        self._memory = memory
        self._begin = begin
        self._pieces = Pieces()
        self._calm = threading.Condition()
        self._missing: dict[int, int] = {}
        self._under_way = 0
        self._closing = False
        self._failed: list[Any] | None = None

    def write(self, index: int, offset: int, place: int, count: int) -> None:
        """Writes `count` bytes at `place` of the region to `offset` of the file."""
        piece = self._pieces.size
        starts = range(0, count, piece)
        with self._calm:
            self._missing[index] = count
            self._under_way += len(starts)
        for at in starts:
            self._send(index, offset + at, place + at, min(piece, count - at))

    def _send(self, index: int, offset: int, place: int, count: int) -> None:
        from ctypes import c_char

        # The bindings take no memoryview; such an array is one to them, and nothing is copied.
        data = (c_char * count).from_buffer(self._memory, self._begin + place)
        began = time.monotonic()

        def done(status: Any, response: object, hosts: object) -> None:
            self._pieces.took(time.monotonic() - began)
            self._settled(index, count, status, data)

        status = self.file.write(data, offset, count, 0, done)
        if not status.ok:
            self._settled(index, count, status, data)

    def _settled(self, index: int, count: int, status: Any, data: object) -> None:
        with self._calm:
            self._under_way -= 1
            self._missing[index] -= count
            full = not self._missing[index]
            if not status.ok and self._failed is None:
                self._failed = as_fields(status)
                self._line.send(-self._number, -2, self._failed)
            elif full and status.ok:
                self._line.send(-self._number, index, count)
            elif self._pieces.silent_for_long():
                self._line.send(-self._number, -1, count)
            if self._closing and not self._under_way:
                self.file.close(0, _ignored)
            self._calm.notify_all()

    def settle(self) -> None:
        """Returns when nothing is under way; raises what failed."""
        with self._calm:
            self._calm.wait_for(lambda: not self._under_way)
            if self._failed is not None:
                raise Failed(self._failed)

    def close(self) -> None:
        with self._calm:
            self._closing = True
            if not self._under_way:
                self.file.close(0, _ignored)


class Failed(Exception):
    def __init__(self, fields: list[Any]) -> None:
        super().__init__(fields[2])
        self.fields = fields


def keep(answer: object) -> None:
    """Takes a reference for one that the bindings gave away: `set_property` returns a True that is not its own.

    Where True is immortal, as of Python 3.12, and where the bindings are mended, it changes nothing.
    """
    from ctypes import py_object, pythonapi

    pythonapi.Py_IncRef(py_object(answer))


def as_fields(status: Any) -> list[Any]:
    return [status.code, status.errno, status.message]


def _ignored(status: object, response: object, hosts: object) -> None:
    """The answer to a close of what nobody needs any more."""
