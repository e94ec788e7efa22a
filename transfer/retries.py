"""What follows a failed attempt. Pure: the state of a request's replicas and an error in, the next move out.

A round tries every allowed source and destination once, in order of priority. A source or destination that cannot
work later either (missing, refused, damaged) is struck off and never tried again.
"""

from __future__ import annotations

from ..checksum.records import NamedTuple
from ..protocols.errors import End, Mismatch, Reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..protocols.errors import TransferError


class Replicas(NamedTuple):
    """Which of one end's locations are still worth trying. Bit i stands for location i."""

    total: int
    struck_off: int = 0
    tried: int = 0
    """In this round."""

    def next(self) -> int | None:
        """The first location that is allowed and was not tried in this round."""
        for index in range(self.total):
            if not (self.struck_off | self.tried) >> index & 1:
                return index
        return None

    def strike_off(self, index: int) -> Replicas:
        return self._replace(struck_off=self.struck_off | 1 << index)

    def try_later(self, index: int) -> Replicas:
        return self._replace(tried=self.tried | 1 << index)

    def new_round(self) -> Replicas:
        return self._replace(tried=0)

    def expanded(self, index: int, count: int) -> Replicas:
        """With `count` new locations in the place of the one at `index`."""

        def spread(bits: int) -> int:
            return bits & ((1 << index) - 1) | bits >> (index + 1) << (index + count)

        return Replicas(self.total - 1 + count, spread(self.struck_off), spread(self.tried))

    @property
    def exhausted(self) -> bool:
        return self.struck_off == (1 << self.total) - 1


class Position(NamedTuple):
    """Where a request stands: what is left at each end, which pair is next, and the number of the round."""

    sources: Replicas
    destinations: Replicas
    source: int = 0
    destination: int = 0
    round: int = 1


_ONE_OF_EACH = Position(Replicas(1), Replicas(1))


def first_position(sources: int, destinations: int) -> Position:
    """Where a request with so many of both begins; without a source it counts as having one."""
    if sources < 2 and destinations < 2:
        return _ONE_OF_EACH
    return Position(Replicas(max(1, sources)), Replicas(destinations))


class Move(NamedTuple):
    """Go on at `position` after waiting for `delay` seconds."""

    position: Position
    delay: float = 0.0


def after_failure(
    position: Position,
    error: TransferError,
    *,
    rounds: int,
    wait: Callable[[int], float],
) -> Move | None:
    """The next move after `error`, or None when the request has failed for good.

    `wait` tells how many seconds to wait after the given round, counted from 1 (`waits.BackOff`).
    """
    if error.reach is Reach.REQUEST:
        return None
    at_source = error.end is not End.DESTINATION
    replicas, index = _failing_end(position, at_source)
    if error.reach in (Reach.REPLICA, Reach.GROUP):
        replicas = replicas.strike_off(index)
    else:
        replicas = replicas.try_later(index)
    position = _with_end(position, replicas, at_source)
    following = replicas.next()
    if following is not None:
        return Move(_at(position, following, at_source))
    return _new_round(position, error, rounds, wait)


def elsewhere(position: Position, *, at_source: bool) -> Position | None:
    """The position with another location at one end, the present one put off to the next round; None if there is none."""
    replicas, index = _failing_end(position, at_source)
    replicas = replicas.try_later(index)
    following = replicas.next()
    return None if following is None else _at(_with_end(position, replicas, at_source), following, at_source)


def telling(errors: Iterable[TransferError]) -> TransferError | None:
    """The error that says most about a failed request.

    A damaged replica outweighs everything, for that is what people must know; then what a later run may cure; then
    the last one.
    """
    chosen: TransferError | None = None
    for error in errors:
        if chosen is None or _weight(error) >= _weight(chosen):
            chosen = error
    return chosen


def _weight(error: TransferError) -> int:
    if isinstance(error, Mismatch):
        return 2
    return 1 if error.later else 0


def _failing_end(position: Position, at_source: bool) -> tuple[Replicas, int]:
    if at_source:
        return position.sources, position.source
    return position.destinations, position.destination


def _with_end(position: Position, replicas: Replicas, at_source: bool) -> Position:
    return position._replace(sources=replicas) if at_source else position._replace(destinations=replicas)


def _at(position: Position, index: int, at_source: bool) -> Position:
    return position._replace(source=index) if at_source else position._replace(destination=index)


def _new_round(
    position: Position, error: TransferError, rounds: int, wait: Callable[[int], float]
) -> Move | None:
    if position.round >= rounds or position.sources.exhausted or position.destinations.exhausted:
        return None
    sources, destinations = position.sources.new_round(), position.destinations.new_round()
    seconds = max(wait(position.round), error.retry_after or 0.0)
    source, destination = sources.next(), destinations.next()
    assert source is not None and destination is not None
    return Move(Position(sources, destinations, source, destination, position.round + 1), seconds)
