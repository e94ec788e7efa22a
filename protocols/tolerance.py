"""How much trouble with requests that were sent ahead of answers a server may make before none are sent ahead there again.

Three times are forgiven at first, and one more for so many good answers: what is sent in vain stays a small part of the whole,
and a server that ends each connection after a hundred answers is none that gets it wrong. A server that refuses for being asked
too much is not asked that way again at all.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .context import Context
    from .heads import Fields
    from .origins import Origin

DEPTH: Final = 16
"""Requests that are on the way on one connection."""
SMALL: Final = 128 << 10
"""Bytes of a body up to which that saves more than it risks: what is on the way when a connection breaks was sent for nothing."""
_AT_FIRST: Final = 3.0
_REPAID_BY: Final = 64
"""Good answers for which one more time is forgiven."""
_TOO_MUCH: Final = frozenset({429, 503})


class Tolerance:
    """For all workers of one run together. Safe for all threads."""

    def __init__(self) -> None:
        from threading import Lock

        self._lock = Lock()
        self._left: dict[Origin, float] = {}

    def lasts(self, origin: Origin) -> bool:
        """Whether requests may be sent ahead there."""
        return self._left.get(origin, _AT_FIRST) >= 1

    def take_notice(self, origin: Origin, answered: int, spoiled: float) -> None:
        """Of what came of requests that were sent ahead: good answers, and how many times it went wrong."""
        if spoiled or origin in self._left:
            with self._lock:
                left = min(_AT_FIRST, self._left.get(origin, _AT_FIRST) + answered / _REPAID_BY)
                self._left[origin] = left - spoiled

    def note_status(self, origin: Origin, status: int) -> None:
        """Of an answer that is no success."""
        if status in _TOO_MUCH:
            with self._lock:
                self._left[origin] = float("-inf")


def shared_tolerance(context: Context) -> Tolerance:
    return context.shared(("tolerance",), Tolerance)


def names_a_time(status: int, fields: Fields) -> bool:
    """A refusal that says when to come back: it is about the server, whichever request it answers, and is to be obeyed."""
    return status in _TOO_MUCH and "retry-after" in fields
