"""How many connections a run makes where each of them is logged in."""

from __future__ import annotations

import threading
import time

import pytest
from runs import QUICK, transfer
from wf.transfer.dispatch import Dispatcher
from wf.transfer.lanes import key_of
from wf.transfer.planning import plan
from wf.transfer.requests import Batch
from wf.transfer.work import Work

GATE = "sftp://far.example"


def limit_after(left: int, *, login: float, waited: float = 0.009, seconds: float = 1.0) -> int:
    """How many requests may be at the host at a time when 200 a second were answered, `left` wait, and the processor is
    idle."""
    answers = round(200 * seconds)
    requests = [transfer(number, f"{GATE}/{number}", f"/tmp/{number}") for number in range(left + 1)]
    dispatcher = Dispatcher(plan(Batch(tuple(requests)), QUICK), threading.Event())
    dispatcher.feed(requests)
    entry = dispatcher.enter()
    assert entry is not None
    work = dispatcher.next(entry)
    assert isinstance(work, Work)
    key = key_of(work)
    if login:
        dispatcher.logged_in(key, login)
    began = time.monotonic()
    dispatcher.adapt(began, idle=True)
    dispatcher._answers[GATE], dispatcher._looked[GATE] = 0, began
    for _ in range(answers):
        dispatcher.answered(key, waited)
    dispatcher.adapt(began + seconds, idle=True)
    return dispatcher.gate(GATE).limit


@pytest.mark.parametrize("login", [0.0, 0.2])
def test_there_are_more_connections_where_much_is_left_to_do(login: float) -> None:
    assert limit_after(1000, login=login) == 2


def test_nobody_logs_in_again_for_what_is_done_as_soon() -> None:
    assert limit_after(190, login=0.2) == 1
    assert limit_after(190, login=0.0) == 2


def test_nobody_judges_the_rate_before_a_login_could_have_been_over() -> None:
    assert limit_after(1000, login=0.5, seconds=0.4) == 1


def test_a_first_answer_that_was_long_in_coming_is_no_reason_to_log_in_again() -> None:
    assert limit_after(100, login=1.0, waited=0.5) == 1
    assert limit_after(100, login=0.0, waited=0.5) == 4
