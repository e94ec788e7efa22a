"""What follows a failed attempt: the next source or destination, the next round, or the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wf.protocols import errors
from wf.protocols.errors import End, Reach, TransferError
from wf.transfer.retries import Move, Position, Replicas, after_failure, telling
from wf.transfer.waits import BackOff


def failure(reach: Reach, end: End = End.SOURCE, retry_after: float | None = None) -> TransferError:
    error = TransferError("it failed", end=end, retry_after=retry_after)
    error.reach = reach
    return error


def at_start(sources: int = 1, destinations: int = 1) -> Position:
    return Position(Replicas(sources), Replicas(destinations))


def follow(position: Position, error: TransferError, rounds: int = 3) -> Move | None:
    return after_failure(position, error, rounds=rounds, wait=float)


ALWAYS = [Reach.ATTEMPT, Reach.REPLICA, Reach.HOST, Reach.GROUP]


@pytest.mark.parametrize("reach", ALWAYS)
def test_the_next_source_is_tried_at_once(reach: Reach) -> None:
    move = follow(at_start(sources=2), failure(reach))

    assert move is not None
    assert (move.position.source, move.position.round, move.delay) == (1, 1, 0.0)


@pytest.mark.parametrize("reach", ALWAYS)
def test_the_next_destination_is_tried_at_once_with_the_same_source(reach: Reach) -> None:
    start = at_start(sources=2, destinations=2)

    move = follow(start, failure(reach, End.DESTINATION))

    assert move is not None
    assert (move.position.source, move.position.destination, move.delay) == (0, 1, 0.0)


def test_an_error_of_the_whole_request_ends_it() -> None:
    assert follow(at_start(sources=3, destinations=3), failure(Reach.REQUEST)) is None


@pytest.mark.parametrize("reach", [Reach.REPLICA, Reach.GROUP])
@pytest.mark.parametrize("end", [End.SOURCE, End.DESTINATION])
def test_the_last_one_struck_off_ends_the_request(reach: Reach, end: End) -> None:
    assert follow(at_start(), failure(reach, end)) is None


@pytest.mark.parametrize("reach", [Reach.ATTEMPT, Reach.HOST])
def test_a_new_round_begins_after_a_wait_with_everything_that_is_not_struck_off(reach: Reach) -> None:
    position = at_start(sources=3)
    for error in (failure(Reach.REPLICA), failure(reach)):
        move = follow(position, error)
        assert move is not None and move.delay == 0
        position = move.position

    move = follow(position, failure(reach))

    assert move is not None
    assert (move.position.round, move.position.source, move.delay) == (2, 1, 1.0)


def test_the_last_round_ends_the_request() -> None:
    position: Position | None = at_start(sources=2)
    tried = []
    while position is not None:
        tried.append((position.round, position.source))
        move = follow(position, failure(Reach.ATTEMPT), rounds=3)
        position = move.position if move else None

    assert tried == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]


def test_retry_after_is_waited_for_and_a_longer_back_off_too() -> None:
    longer = follow(at_start(), failure(Reach.HOST, retry_after=7.0))
    shorter = follow(at_start(), failure(Reach.HOST, retry_after=0.1))

    assert longer is not None and longer.delay == 7.0
    assert shorter is not None and shorter.delay == 1.0


@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(
        st.tuples(st.sampled_from(ALWAYS), st.sampled_from([End.SOURCE, End.DESTINATION])),
        min_size=100,
        max_size=100,
    ),
)
def test_whatever_fails_it_ends_and_nothing_is_tried_twice_a_round_or_once_struck_off(
    sources: int, destinations: int, rounds: int, failures: list[tuple[Reach, End]]
) -> None:
    position: Position | None = at_start(sources, destinations)
    struck: set[tuple[End, int]] = set()
    failed: set[tuple[int, End, int]] = set()
    for reach, end in failures:
        assert position is not None
        for side, index in ((End.SOURCE, position.source), (End.DESTINATION, position.destination)):
            assert (side, index) not in struck
            assert (position.round, side, index) not in failed
        assert position.round <= rounds
        index = position.source if end is End.SOURCE else position.destination
        failed.add((position.round, end, index))
        if reach in (Reach.REPLICA, Reach.GROUP):
            struck.add((end, index))
        move = follow(position, failure(reach, end), rounds)
        position = move.position if move else None
        if position is None:
            break

    assert position is None, "a hundred failures are more than any request survives here"


@given(st.integers(1, 60), st.floats(0.001, 5), st.floats(5, 60))
def test_a_back_off_stays_within_its_bounds(round: int, first: float, most: float) -> None:
    seconds = BackOff(first, most)(round)

    assert first / 2 <= seconds <= most


def test_a_back_off_doubles_and_is_spread() -> None:
    back_off = BackOff(1.0, 1000.0)
    firsts = [back_off(1) for _ in range(200)]
    fourths = [back_off(4) for _ in range(200)]

    assert min(firsts) >= 0.5 and max(firsts) <= 1.0
    assert max(fourths) <= 8.0 and max(fourths) > 2.0
    assert len(set(firsts)) > 100


# --- what people are told


def test_a_mismatch_is_told_before_anything_else() -> None:
    mismatch, missing = errors.Mismatch("damaged"), errors.NotFound("gone")

    assert telling([mismatch, errors.Broken("cut"), missing]) is mismatch


def test_what_a_later_run_may_cure_is_told_before_what_it_may_not() -> None:
    broken = errors.Broken("cut")

    assert telling([errors.NotFound("gone"), broken, errors.Denied("no")]) is broken


def test_the_last_of_equals_is_told() -> None:
    last = errors.Denied("no")

    assert telling([errors.NotFound("gone"), last]) is last
    assert telling([]) is None
