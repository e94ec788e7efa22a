"""One value per endpoint: how many may be there at a time, when it is left alone, and when it counts as down."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wf.transfer import gates
from wf.transfer.gates import (
    COOLING_FIRST,
    COOLING_MOST,
    DOWN_AFTER,
    FAR,
    PROBE_AFTER,
    RETRY_AFTER_MOST,
    Gate,
    fresh,
    grown,
    shrunk,
    struck,
    succeeded,
    useful,
)


def strike(gate: Gate, now: float, *, began: float | None = None, retry_after: float | None = None) -> Gate:
    return struck(gate, began=now if began is None else began, now=now, retry_after=retry_after)


def test_a_strike_cools_and_halves() -> None:
    gate = strike(fresh(8, 64, 3), 100.0)

    assert (gate.strikes, gate.limit, gate.proven) == (1, 4, False)
    assert gate.cooling(100.0) and gate.cooling(100.0 + COOLING_FIRST - 0.01)
    assert not gate.cooling(100.0 + COOLING_FIRST)


def test_who_is_turned_away_at_the_door_comes_again_and_the_endpoint_is_never_down() -> None:
    gate, now = fresh(8, 64, 3), 100.0
    for _ in range(20):
        gate = struck(gate, began=now, now=now, retry_after=None, pause=0.25)
        assert gate.cooling(now + 0.24) and not gate.cooling(now + 0.25) and not gate.down
        now += 0.25
    assert strike(gate, now).down, "another failure on top counts as ever"


def test_a_limit_is_never_halved_to_nothing() -> None:
    assert strike(fresh(1, 64, 3), 1.0).limit == 1


def test_workers_that_fail_together_make_one_discovery() -> None:
    gate = fresh(8, 64, 3)
    for worker in range(8):
        gate = strike(gate, 100.0 + worker / 1000, began=99.0)

    assert (gate.strikes, gate.limit) == (1, 4)


def test_an_attempt_that_began_before_the_last_strike_does_not_count_when_it_fails_late() -> None:
    gate = strike(fresh(8, 64, 3), 100.0)

    late = strike(gate, 200.0, began=99.0)

    assert (late.strikes, late.limit) == (1, 4)


def test_each_further_strike_cools_twice_as_long_up_to_a_bound() -> None:
    gate, now, periods = fresh(8, 64, 3), 0.0, []
    for _ in range(12):
        now = gate.cooling_until + 1
        gate = strike(gate, now)
        periods.append(gate.cooling_until - now)

    assert periods[:3] == pytest.approx([COOLING_FIRST, 2 * COOLING_FIRST, 4 * COOLING_FIRST])
    assert max(periods) == pytest.approx(COOLING_MOST)


def test_an_endpoint_is_down_after_four_strikes_in_a_row() -> None:
    gate = fresh(2, 8, 3)
    for number in range(DOWN_AFTER):
        assert not gate.down
        gate = strike(gate, 100.0 * (number + 1))

    assert gate.down
    assert gate.since == 100.0
    assert not succeeded(gate).down


def test_more_rounds_than_usual_mean_more_patience() -> None:
    gate = fresh(2, 8, 10)
    for number in range(9):
        gate = strike(gate, 100.0 * (number + 1))

    assert not gate.down
    assert strike(gate, 5000.0).down


def test_retry_after_is_the_cooling_period() -> None:
    gate = strike(fresh(2, 8, 3), 100.0, retry_after=17.0)

    assert gate.cooling(116.9) and not gate.cooling(117.0)


def test_retry_after_of_a_second_answer_may_only_lengthen_the_period() -> None:
    gate = strike(fresh(2, 8, 3), 100.0, retry_after=17.0)

    assert strike(gate, 101.0, began=99.0, retry_after=1.0).cooling_until == 117.0
    assert strike(gate, 101.0, began=99.0, retry_after=30.0).cooling_until == 131.0


@pytest.mark.parametrize("already_cooling", [False, True])
def test_an_endpoint_that_asks_for_too_much_patience_is_down(already_cooling: bool) -> None:
    gate = fresh(2, 8, 3)
    if already_cooling:
        gate = strike(gate, 100.0)

    assert strike(gate, 100.1, retry_after=RETRY_AFTER_MOST + 1).down


def test_success_forgets_strikes_but_not_what_the_endpoint_bears() -> None:
    gate = succeeded(strike(fresh(4, 8, 3), 1.0))

    assert (gate.strikes, gate.proven, gate.limit) == (0, True, 2)


def test_an_endpoint_that_bears_one_request_is_not_given_two_after_each_answer() -> None:
    gate, limits = fresh(2, 8, 3), []
    for number in range(5):
        gate = succeeded(strike(gate, 100.0 * number), 0.001)
        limits.append(gate.limit)

    assert limits == [1] * 5


def test_the_first_answer_of_a_far_endpoint_lets_as_many_go_as_milliseconds_were_waited() -> None:
    assert succeeded(fresh(2, 128, 3), 0.050).limit == 50
    assert succeeded(fresh(2, 128, 3), 0.100).limit == 100
    assert succeeded(fresh(2, 128, 3), 3.0).limit == 128
    assert succeeded(fresh(1, 4, 3), 0.100).limit == 4


def test_an_endpoint_near_by_stays_at_its_start() -> None:
    assert succeeded(fresh(2, 128, 3), FAR / 2).limit == 2


def test_only_the_first_answer_says_how_far_away_an_endpoint_is() -> None:
    gate = succeeded(fresh(2, 128, 3), 0.001)

    assert succeeded(gate, 0.100) == gate


def test_after_a_strike_the_next_answer_is_no_reason_to_send_many_again() -> None:
    gate = strike(succeeded(fresh(2, 128, 3), 0.100), 1.0)
    assert gate.limit == 50

    assert succeeded(gate, 0.100).limit == 50


def test_a_proven_endpoint_with_room_gets_twice_as_many_up_to_its_most() -> None:
    gate, limits = succeeded(fresh(2, 12, 3)), []
    for tick in range(4):
        gate = grown(gate, 1.0 + tick, 1000.0)
        limits.append(gate.limit)

    assert limits == [4, 8, 12, 12]


def test_nothing_grows_before_an_answer_or_while_it_cools() -> None:
    unproven = fresh(2, 128, 3)
    struck_once = strike(succeeded(fresh(8, 128, 3)), 100.0)

    assert grown(unproven, 1.0, 1000.0) is unproven
    assert grown(struck_once, 100.1, 1000.0) is struck_once
    late_answer = succeeded(struck_once)
    assert grown(late_answer, 100.1, 1000.0) is late_answer


def test_what_an_endpoint_refused_is_tried_again_one_by_one_and_slowly() -> None:
    gate = succeeded(strike(succeeded(fresh(2, 128, 3), 0.064), 100.0))
    assert gate.limit == 32

    now, steps = 100.0 + COOLING_FIRST, []
    for _ in range(81):
        now += PROBE_AFTER / 8
        gate = grown(gate, now, 1000.0)
        steps.append(gate.limit)

    assert 32 + 9 <= gate.limit <= 32 + 11
    assert all(after - before in (0, 1) for before, after in pairwise(steps))


def test_below_what_an_endpoint_bore_it_grows_fast_again() -> None:
    gate = succeeded(strike(succeeded(fresh(2, 128, 3), 0.128), 100.0))._replace(limit=8)

    assert [grown(gate, 200.0, 1000.0).limit, grown(grown(gate, 200.0, 1000.0), 200.1, 1000.0).limit] == [
        16,
        32,
    ]


def test_what_would_only_queue_is_not_asked_for() -> None:
    near = succeeded(fresh(2, 128, 3), 0.002)

    assert useful(near, 500.0) == 4
    assert grown(near, 1.0, 500.0).limit == 4
    assert grown(near._replace(limit=4), 1.0, 500.0).limit == 4
    assert useful(fresh(2, 128, 3), 500.0) == 128, "nothing is known of it"


def test_an_endpoint_that_looked_far_and_is_only_slow_gets_few_again() -> None:
    gate = succeeded(fresh(2, 128, 3), 0.100)
    assert gate.limit == 100

    assert shrunk(gate, 1000.0).limit == 100, "it answers as many as fit into its distance"
    assert shrunk(gate, 30.0).limit == 8


def test_the_shortest_wait_is_remembered() -> None:
    gate = succeeded(fresh(2, 128, 3), 0.008)

    assert succeeded(gate, 0.020).nearest == 0.008
    assert succeeded(gate, 0.004).nearest == 0.004
    assert succeeded(gate, 0.0).nearest == 0.008


@given(
    st.integers(1, 16),
    st.integers(1, 64),
    st.lists(
        st.tuples(st.booleans(), st.floats(0, 100), st.floats(0, 50), st.none() | st.floats(0, 2000)),
        max_size=40,
    ),
)
def test_whatever_happens_the_limit_stays_between_one_and_the_most(
    start: int, more: int, events: list[tuple[bool, float, float, float | None]]
) -> None:
    gate, now = fresh(start, start + more, 3), 0.0
    for good, passed, lasted, retry_after in events:
        now += passed
        before = gate
        if good:
            gate = grown(succeeded(gate, lasted), now, 1000.0)
        else:
            gate = strike(gate, now, began=now - lasted, retry_after=retry_after)
        assert 1 <= gate.limit <= start + more
        assert gate.cooling_until >= before.cooling_until or not before.cooling(now)


class TestLines:
    """Requests that are announced go over one connection where that keeps this machine busy."""

    def test_near_by_one_worker_is_enough(self) -> None:
        gate = gates.succeeded(gates.fresh(2, 128, 3), 0.0005)
        assert gates.narrowed(gate).limit == 1

    def test_far_away_it_is_not(self) -> None:
        gate = gates.succeeded(gates.fresh(2, 128, 3), 0.05)
        assert gates.narrowed(gate) == gate

    def test_what_was_refused_or_has_grown_keeps_its_limit(self) -> None:
        gate = gates.succeeded(gates.fresh(2, 128, 3), 0.0005)
        struck = gates.succeeded(gates.struck(gate, began=1.0, now=2.0, retry_after=None), 0.0005)
        grown = gate._replace(limit=8)
        assert (gates.narrowed(struck), gates.narrowed(grown)) == (struck, grown)

    def test_large_files_get_the_workers_back(self) -> None:
        gate = gates.succeeded(gates.fresh(2, 128, 3), 0.0005)
        assert gates.widened(gates.narrowed(gate)).limit == 2
        struck = gates.struck(gate, began=1.0, now=2.0, retry_after=None)
        assert gates.widened(struck) == struck

    def test_an_endpoint_that_answers_slowly_gets_more_all_the_same(self) -> None:
        gate = gates.narrowed(gates.succeeded(gates.fresh(2, 128, 3), 0.005))
        assert gates.grown(gate, 10.0, rate=190.0).limit == 2
