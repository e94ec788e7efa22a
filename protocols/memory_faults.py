"""Faults that a test orders from a memory server, and the record of what was asked of it."""

from __future__ import annotations

import copy
import threading
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from .errors import Broken, Stopped, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from .context import Context

    Raised = BaseException | Callable[[], BaseException]

FOREVER = 1 << 60
_BEFORE_FIRST_BYTE = frozenset({"open_read", "open_write", "stat", "list", "digest", "copy", "remove"})


class Call(NamedTuple):
    """One thing that a store was asked to do. `offset` is the position of a `read` or `write`."""

    operation: str
    host: str
    path: str
    thread: str
    offset: int = 0


class _Order:
    """Something that happens to the next `times` calls that fit."""

    __slots__ = ("after", "host", "operation", "path", "raised", "times")

    def __init__(
        self, operation: str, path: str, host: str, times: int, *, raised: Raised | None, after: bool = False
    ) -> None:
        self.operation = operation
        self.path = path
        self.host = host
        self.times = times
        self.raised = raised
        """None: the call stalls."""
        self.after = after

    def fits(self, call: Call) -> bool:
        return (
            self.times > 0
            and self.operation in ("*", call.operation)
            and fnmatchcase(call.path, self.path)
            and fnmatchcase(call.host, self.host)
        )


class Faults:
    """Orders, hooks, counts and the log. Operations are the method names of the contract's classes, or `*`.

    Patterns are those of `fnmatch`, over the whole path with its leading slash. Orders that fit the same call
    are used up in the order they were given. May be used from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[_Order] = []
        self._hooks: list[tuple[str, Callable[[Call], None]]] = []
        self._active: dict[tuple[str, str], int] = {}
        self._most: dict[tuple[str, str], int] = {}
        self._log: list[Call] = []

    def fail(
        self,
        operation: str,
        path: str = "*",
        error: Raised | None = None,
        *,
        times: int = 1,
        host: str = "*",
        after: bool = False,
    ) -> None:
        """The next `times` such calls raise `error`: an exception, which is copied, or what makes one. None: `Broken`.

        `after`: the operation takes effect first, as when only the answer is lost.
        """
        raised = error or Broken("ordered by the test")
        self._order(_Order(operation, path, host, times, raised=raised, after=after))

    def stall(self, operation: str, path: str = "*", *, times: int = 1, host: str = "*") -> None:
        """The next `times` such calls hang until the run is stopped or the stall limit is over."""
        self._order(_Order(operation, path, host, times, raised=None))

    def hook(self, operation: str, function: Callable[[Call], None]) -> None:
        """`function` is called at the start of each such call, in its thread and without any lock held."""
        with self._lock:
            self._hooks.append((operation, function))

    def calls(self, operation: str = "*", path: str = "*", *, host: str = "*") -> list[Call]:
        """What was asked so far, in order."""
        pattern = _Order(operation, path, host, 1, raised=None)
        with self._lock:
            return [call for call in self._log if pattern.fits(call)]

    def count(self, operation: str = "*", path: str = "*", *, host: str = "*") -> int:
        return len(self.calls(operation, path, host=host))

    def most_at_once(self, operation: str = "*", host: str = "*") -> int:
        """How many were in progress at one time at most. Reading lasts from `open_read` to `close`, writing alike."""
        with self._lock:
            return self._most.get((operation, host), 0)

    def still_open(self) -> int:
        """Calls in progress, and readers and writers that were not closed, committed or aborted."""
        with self._lock:
            return self._active.get(("*", "*"), 0)

    def _order(self, order: _Order) -> None:
        with self._lock:
            self._orders.append(order)

    def _take(self, call: Call, *, after: bool) -> _Order | None:
        with self._lock:
            for order in self._orders:
                if order.after == after and order.fits(call):
                    order.times -= 1
                    return order
        return None

    def count_active(self, call: Call, change: int) -> None:
        with self._lock:
            for operation in ("*", call.operation):
                for host in ("*", call.host):
                    key = (operation, host)
                    now = self._active[key] = self._active.get(key, 0) + change
                    self._most[key] = max(self._most.get(key, 0), now)

    def before(self, call: Call, context: Context) -> None:
        """Records the call; raises or stalls as ordered."""
        with self._lock:
            self._log.append(call)
            hooks = [function for operation, function in self._hooks if operation in ("*", call.operation)]
        for function in hooks:
            function(call)
        order = self._take(call, after=False)
        if order is not None and order.raised is not None:
            raise _made(order.raised)
        if order is not None:
            _hang(call, context)

    def after(self, call: Call) -> None:
        """Raises what was ordered to be raised although the call has taken effect."""
        order = self._take(call, after=True)
        if order is not None and order.raised is not None:
            raise _made(order.raised)


def _made(raised: Raised) -> BaseException:
    return copy.copy(raised) if isinstance(raised, BaseException) else raised()


def _hang(call: Call, context: Context) -> None:
    if context.stop.wait(context.stall):
        raise Stopped(f"{call.operation} of {call.path!r}: the run was stopped")
    what = f"{call.operation} of {call.path!r}: no byte for {context.stall:g} s"
    if call.operation in _BEFORE_FIRST_BYTE:
        raise Unreachable(what, host=call.host)
    raise Broken(what, host=call.host)
