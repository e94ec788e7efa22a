"""One small value per endpoint decides how many requests may be there at a time and when it is left alone.

Pure: every transition returns a new value. `now` and all times are seconds of one monotonic clock.

The limit follows three rules. It starts low: near by, two connections are as many as the processor can use. The first
answer of a far endpoint tells how many are worth it: a request costs about a millisecond of work here, so as many as
milliseconds were waited keep this machine busy (Little's law). And while processor and endpoint have room it doubles.
But more than twice of what answers at the rate that was seen and in the shortest time that was seen is never there:
those would only queue at the endpoint.

A strike halves it; from then on it grows by one at a time, for the endpoint has said what it bears.

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
FAR = 0.01
"""Seconds of waiting for an answer from which on an endpoint is far; below them other things take as long."""
WORK_PER_REQUEST = 0.001
"""Seconds that a small request keeps this machine busy, at most."""
PROBE_AFTER = 2.0
"""Seconds between two steps beyond a limit that an endpoint once refused."""


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
    nearest: float = 0.0
    """The shortest time, in seconds, that a small request waited; 0: there was none."""
    busy: bool = False
    """What last struck it was an answer: it is there, and wants to be left alone."""
    borne: int = 0
    """What the limit was halved to by the last strike; 0: there was none."""
    probed: float = 0.0
    """When the limit was last raised to or beyond `borne`."""
    senders: int = 1
    """Processes of the run, each of which can keep itself busy."""

    @property
    def down(self) -> bool:
        return self.strikes >= self.strikes_to_down

    def cooling(self, now: float) -> bool:
        return now < self.cooling_until


def fresh(start: int, most: int, rounds: int, senders: int = 1) -> Gate:
    """The gate of an endpoint nobody has asked yet. More rounds than usual keep it from counting as down sooner."""
    start = min(most, max(start, senders))
    return Gate(limit=start, start=start, most=most, strikes_to_down=max(DOWN_AFTER, rounds), senders=senders)


def succeeded(gate: Gate, waited: float = 0.0) -> Gate:
    """After an answer: strikes are forgotten, and the very first tells how far away the endpoint is.

    `waited` is how many seconds a small request took without working.
    """
    if waited > 0 and (not gate.nearest or waited < gate.nearest):
        gate = gate._replace(nearest=waited)
    if gate.proven and not gate.strikes:
        return gate
    limit = gate.limit
    if not gate.borne:
        far = int(waited / WORK_PER_REQUEST) * gate.senders if waited >= FAR else 0
        limit = max(limit, min(gate.most, max(gate.start, far)))
    return gate._replace(proven=True, strikes=0, limit=limit)


def crowded(gate: Gate) -> bool:
    """It has answered, and has said how little it bears. One that never answered is down, and nobody has a connection to it."""
    return gate.borne > 0 and gate.nearest > 0


def in_the_way(gate: Gate, now: float) -> bool:
    """Whether an idle connection may take the place of one that is needed: at a crowded endpoint that wants to be left alone, or
    bears fewer than there are processes which take turns there."""
    return crowded(gate) and (gate.cooling(now) or gate.limit < gate.senders)


def narrowed(gate: Gate) -> Gate:
    """After a small request that was announced: near by, a line of requests keeps a process busy alone.

    Its second worker would only wait for the interpreter lock, and take it away.
    """
    near = gate.proven and not gate.borne and gate.limit <= gate.start and gate.nearest < FAR
    return gate._replace(limit=min(gate.senders, gate.most)) if near else gate


def widened(gate: Gate) -> Gate:
    """After a large request, during which others can work: as many at a time as in the beginning."""
    return gate._replace(limit=gate.start) if gate.limit < gate.start and not gate.borne else gate


def useful(gate: Gate, rate: float) -> int:
    """How many requests at a time are worth it when `rate` are answered in a second."""
    if not gate.nearest:
        return gate.most
    return min(gate.most, gate.start + int(2 * rate * gate.nearest))


def shrunk(gate: Gate, rate: float) -> Gate:
    """When all places were taken, and `rate` requests were answered in a second: without those that only queue."""
    enough = useful(gate, rate)
    return gate._replace(limit=enough) if gate.limit > 2 * enough else gate


def grown(gate: Gate, now: float, rate: float) -> Gate:
    """When all places are taken, more requests wait, `rate` are answered in a second, and the processor has time."""
    most = useful(gate, rate)
    if not gate.proven or gate.strikes or gate.cooling(now) or gate.limit >= most:
        return gate
    if not gate.borne or gate.limit * 2 <= gate.borne:
        return gate._replace(limit=min(gate.limit * 2, most))
    if now < gate.probed + PROBE_AFTER:
        return gate
    return gate._replace(limit=gate.limit + 1, probed=now)


def struck(
    gate: Gate,
    *,
    began: float,
    now: float,
    retry_after: float | None,
    pause: float | None = None,
    busy: bool = False,
) -> Gate:
    """After a failure that is a fact about the endpoint. `began` is when the failed attempt began.

    With a `pause`, in seconds, it let nobody in just now: it is left alone for so long, and does not come to count as down.
    """
    if pause is not None:
        retry_after = pause
    too_long = retry_after is not None and retry_after > RETRY_AFTER_MOST
    least = gate.strikes_to_down if too_long else 0
    if began < gate.cooling_until or gate.cooling(now):
        until = gate.cooling_until if retry_after is None else max(gate.cooling_until, now + retry_after)
        return gate._replace(cooling_until=until, strikes=max(gate.strikes, least), busy=busy)
    strikes = max(gate.strikes + 1, least)
    if pause is not None:
        strikes = max(gate.strikes, min(strikes, gate.strikes_to_down - 1))
    wait = min(COOLING_MOST, COOLING_FIRST * 2 ** (strikes - 1)) if retry_after is None else retry_after
    return gate._replace(
        strikes=strikes,
        proven=False,
        limit=max(1, gate.limit // 2),
        borne=max(1, gate.limit // 2),
        probed=now,
        cooling_until=now + wait,
        since=gate.since if gate.strikes else now,
        busy=busy,
    )
