"""Counters and the exit code, in the order that is frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcomes_made import done, failed, made_directory, skipped, transfer
from wf.protocols import errors
from wf.transfer.accounting import Accounts
from wf.transfer.outcomes import Outcome, Status
from wf.transfer.settings import Exit

if TYPE_CHECKING:
    from random import Random

ERRORS = [
    errors.Broken,
    errors.Busy,
    errors.NotFound,
    errors.Mismatch,
    errors.Denied,
    errors.MissingCredential,
    errors.MissingExtra,
    errors.Misconfigured,
    errors.Defect,
]


def code_of(*outcomes: Outcome, stopped: bool = False, engine_failed: bool = False) -> Exit:
    accounts = Accounts()
    for outcome in outcomes:
        accounts.add(outcome)
    return accounts.exit_code(stopped, engine_failed)


def test_an_empty_run_is_done() -> None:
    assert code_of() is Exit.DONE


def test_all_done_is_zero() -> None:
    assert code_of(done(), made_directory()) is Exit.DONE


def test_a_failed_engine_wins_over_everything() -> None:
    outcomes = [failed(errors.Mismatch("x")), Outcome(transfer(), Status.STOPPED)]
    assert code_of(*outcomes, stopped=True, engine_failed=True) is Exit.DEFECT


def test_a_stopped_run_wins_over_a_mismatch() -> None:
    assert code_of(failed(errors.Mismatch("x")), stopped=True) is Exit.LATER


def test_a_request_left_unfinished_means_stopped() -> None:
    assert code_of(failed(errors.NotFound("x")), Outcome(transfer(), Status.STOPPED)) is Exit.LATER


def test_a_mismatch_wins_over_other_failures() -> None:
    assert code_of(failed(errors.Denied("x")), failed(errors.Mismatch("x")), done()) is Exit.MISMATCH


def test_a_mismatch_that_another_replica_healed_is_no_failure() -> None:
    first = failed(errors.Mismatch("x")).attempts
    assert code_of(done(attempts=(*first, *done().attempts))) is Exit.DONE


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([errors.Broken, errors.Busy, errors.Unreachable], Exit.LATER),
        ([errors.Denied, errors.MissingCredential], Exit.CREDENTIAL),
        ([errors.MissingExtra, errors.Misconfigured], Exit.CONFIGURATION),
        ([errors.NotFound], Exit.FAILED),
        ([errors.Defect], Exit.FAILED),
        ([errors.Broken, errors.Denied], Exit.FAILED),
        ([errors.Denied, errors.Misconfigured], Exit.FAILED),
        ([errors.Busy, errors.NotFound], Exit.FAILED),
    ],
)
def test_the_kind_that_all_failures_share_decides(
    kinds: list[type[errors.TransferError]], expected: Exit
) -> None:
    assert code_of(done(), *(failed(kind("x")) for kind in kinds)) is expected


def test_a_skipped_request_has_the_kind_of_what_it_waited_for() -> None:
    waited_for = errors.Denied("x")
    assert code_of(failed(waited_for), skipped(waited_for)) is Exit.CREDENTIAL
    assert code_of(failed(errors.Busy("x")), skipped(waited_for)) is Exit.FAILED


def test_totals_count_each_status_and_only_the_bytes_of_what_arrived() -> None:
    accounts = Accounts()
    for outcome in (
        done(bytes=10),
        failed(errors.Broken("x"), bytes=5),
        skipped(errors.Broken("x")),
        Outcome(transfer(), Status.STOPPED),
        made_directory(),
    ):
        accounts.add(outcome)
    totals = accounts.totals()
    assert (totals.requests, totals.done, totals.failed, totals.skipped, totals.stopped) == (5, 2, 1, 1, 1)
    assert (totals.bytes, totals.attempts) == (10, 2)


def test_integrity_is_counted_by_linkage() -> None:
    accounts = Accounts()
    accounts.add(done(transfer(linkage="output"), checked=True, check_seconds=0.5))
    accounts.add(done(transfer(linkage="input"), checked=True))
    accounts.add(failed(errors.Mismatch("x"), transfer(linkage="input"), checked=True, check_seconds=0.25))
    accounts.add(done(transfer(linkage="none")))
    assert [tuple(checks) for checks in accounts.integrity()] == [
        ("input", 2, 1, 0.25),
        ("output", 1, 0, 0.5),
    ]


@given(st.lists(st.sampled_from([None, *ERRORS]), max_size=8), st.randoms())
def test_the_order_of_outcomes_changes_nothing(
    kinds: list[type[errors.TransferError] | None], random: Random
) -> None:
    outcomes = [done() if kind is None else failed(kind("x")) for kind in kinds]
    code = code_of(*outcomes)
    random.shuffle(outcomes)
    assert code_of(*outcomes) is code
    assert (code is Exit.DONE) == all(kind is None for kind in kinds)
