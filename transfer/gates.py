"""One small value per endpoint decides how many requests may be there at a time and when it is left alone.

Pure: every transition returns a new value. `now` and all times are seconds of one monotonic clock.

A strike is counted once per cooling period, and only for attempts that began after the last one ended: four
workers that fail together made one discovery, not four.
"""

from __future__ import annotations

from ..checksum.records import NamedTuple

DOWN_AFTER = 4
"""Strikes in a row after which an endpoint counts as down: what waits for it fails over or fails."""
COOLING_FIRST = 0.4
COOLING_MOST = 30.0
RETRY_AFTER_MOST = 900.0
"""An endpoint that wants to be left alone for longer than this many seconds is down at once."""
PROVEN_LIMIT = 8
"""Requests at one endpoint at a time once it has answered well."""


class Gate(NamedTuple):
    """The state of one endpoint."""

    limit: int
    """Requests that may be there at a time."""
    start: int
    most: int
    proven: bool = False
    """It has answered well at least once since the last strike."""
    strikes: int = 0
    cooling_until: float = 0.0
    since: float = 0.0
    """When the present row of strikes began."""
    strikes_to_down: int = DOWN_AFTER

    @property
    def down(self) -> bool:
        return self.strikes >= self.strikes_to_down

    def cooling(self, now: float) -> bool:
        return now < self.cooling_until


def fresh(start: int, most: int, rounds: int) -> Gate:
    """The gate of an endpoint nobody has asked yet. More rounds than usual keep it from counting as down sooner."""
    return Gate(limit=start, start=start, most=most, strikes_to_down=max(DOWN_AFTER, rounds))


def succeeded(gate: Gate) -> Gate:
    """After an answer: strikes are forgotten and the limit may grow."""
    if gate.proven and not gate.strikes:
        if gate.limit < min(gate.most, PROVEN_LIMIT):
            return gate._replace(limit=gate.limit + 1)
        return gate
    limit = max(gate.limit, min(gate.start, gate.most))
    return gate._replace(proven=True, strikes=0, limit=limit)


def struck(gate: Gate, *, began: float, now: float, retry_after: float | None) -> Gate:
    """After a failure that is a fact about the endpoint. `began` is when the failed attempt began."""
    too_long = retry_after is not None and retry_after > RETRY_AFTER_MOST
    least = gate.strikes_to_down if too_long else 0
    if began < gate.cooling_until or gate.cooling(now):
        until = gate.cooling_until if retry_after is None else max(gate.cooling_until, now + retry_after)
        return gate._replace(cooling_until=until, strikes=max(gate.strikes, least))
    strikes = max(gate.strikes + 1, least)
    wait = min(COOLING_MOST, COOLING_FIRST * 2 ** (strikes - 1)) if retry_after is None else retry_after
    return gate._replace(
        strikes=strikes,
        proven=False,
        limit=max(1, gate.limit // 2),
        cooling_until=now + wait,
        since=gate.since if gate.strikes else now,
    )
