"""Managed tasks: many requests as one task of a service, each with an outcome of its own."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, execute, mkdir, remove, sha256, transfer
from wf.credentials.kinds import Anonymous
from wf.protocols import errors
from wf.protocols.memory import FOREVER, MemoryServer
from wf.protocols.memory_tasks import MemoryService
from wf.protocols.registry import FILE, Registry
from wf.transfer import managing
from wf.transfer.explanation import as_text, print_plan
from wf.transfer.outcomes import Status
from wf.transfer.planning import explain, plan
from wf.transfer.requests import Batch
from wf.transfer.settings import Evidence, Existing

if TYPE_CHECKING:
    from pathlib import Path

    from runs import Run
    from wf.transfer.requests import Request, Transfer


class NoCredentials:
    def find(self, *_: object, **__: object) -> Anonymous:
        return Anonymous()

    def name(self, *_: object, **__: object) -> str:
        return "anonymous"


DATA = b"the bytes of a small file"


@pytest.fixture
def service() -> MemoryService:
    return MemoryService(MemoryServer("managed"))


def copies(service: MemoryService, count: int, **details: object) -> list[Transfer]:
    """Copies between two hosts of the service, whose sources are there."""
    server = service.server
    for number in range(count):
        server.put(f"/in/{number}", DATA)
    return [
        transfer(n, server.location(f"/in/{n}", "left"), server.location(f"/out/{n}", "right"), **details)
        for n in range(count)
    ]


def go(service: MemoryService, requests: list[Request] | list[Transfer], **more: object) -> Run:
    return execute(requests, service.capability(), **more)  # type: ignore[arg-type]


def test_many_requests_are_one_task(service: MemoryService) -> None:
    done = go(service, copies(service, 500))

    assert done.exit == 0
    assert [len(task.group.items) for task in service.tasks] == [500]
    assert service.server.get("/out/499") == DATA
    assert {outcome.route for outcome in done.recorded.outcomes} == {"managed"}
    assert service.server.count("open_read") == 0, "no byte passed through here"


def test_a_task_holds_no_more_items_than_the_service_takes(service: MemoryService) -> None:
    done = execute(copies(service, 25), service.capability(task_items_most=10))

    assert done.exit == 0
    assert sorted(len(task.group.items) for task in service.tasks) == [5, 10, 10]


def test_one_bad_item_fails_alone(service: MemoryService) -> None:
    requests = copies(service, 20)
    del service.server.objects["/in/7"]

    done = go(service, requests)

    assert [n for n in range(20) if done[n].status is not Status.DONE] == [7]
    error = done[7].error
    assert error is not None
    assert (error.code, error.end) == ("not-found", "source")
    assert len(service.tasks) == 1


def test_an_item_that_failed_is_tried_again_in_a_new_task(service: MemoryService) -> None:
    requests = copies(service, 5)
    service.server.fail("item", "/in/3", errors.Broken("cut"))

    done = go(service, requests)

    assert done.exit == 0
    assert [len(task.group.items) for task in service.tasks] == [5, 1]
    assert [attempt.error and attempt.error.code for attempt in done[3].attempts] == ["broken", None]


def test_items_that_failed_together_are_tried_again_together(service: MemoryService) -> None:
    requests = copies(service, 50)
    service.server.fail("item", "*", errors.Broken("cut"), times=50)

    done = go(service, requests, settings=QUICK._replace(back_off=0.2, back_off_most=0.4))

    assert done.exit == 0
    assert [len(task.group.items) for task in service.tasks] == [50, 50]


def test_what_was_wrong_before_does_not_hide_what_is_wrong_in_the_end(service: MemoryService) -> None:
    requests = copies(service, 1)
    service.server.fail("item", "*", errors.Broken("cut"))
    service.server.fail("item", "*", errors.Denied("not for you"), times=FOREVER)

    done = go(service, requests)

    error = done[0].error
    assert error is not None
    assert (error.code, done.exit) == ("denied", 77)


def test_an_item_the_service_refuses_by_name_never_reaches_the_task(service: MemoryService) -> None:
    requests = copies(service, 3)
    server = service.server
    requests[1] = transfer(1, server.location("/in/1", "left"), server.location("/refused/1", "right"))

    done = go(service, requests)

    assert done.statuses == ["done", "failed", "done"]
    assert [len(task.group.items) for task in service.tasks] == [2]


def test_an_item_the_service_cannot_do_streams_instead(service: MemoryService) -> None:
    requests = copies(service, 3)
    service.server.fail("item", "/in/1", errors.Unsupported("not this one"))

    done = go(service, requests)

    assert done.exit == 0
    assert [done[n].route for n in range(3)] == ["managed", "streamed", "managed"]


def test_a_damaged_copy_is_a_mismatch_and_does_not_stay(service: MemoryService) -> None:
    requests = copies(service, 2, expected=sha256(DATA))
    service.server.flip("/out/1", 3, written=True)

    done = go(service, requests)

    assert done.exit == 3
    assert done.statuses == ["done", "failed"]
    assert service.server.get("/out/1") is None
    assert done[0].checked


def test_what_the_service_compared_itself_is_evidence(service: MemoryService) -> None:
    done = go(service, copies(service, 1))

    assert done[0].evidence is Evidence.CHECKSUM


def test_a_checksum_to_be_generated_lets_the_bytes_pass_through_here(service: MemoryService) -> None:
    done = go(service, copies(service, 1, generate_checksum=True))

    assert done[0].digest == sha256(DATA)
    assert service.tasks == []


def test_removals_are_a_task_too(service: MemoryService) -> None:
    server = service.server
    for number in range(10):
        server.put(f"/old/{number}", DATA)

    done = go(service, [remove(n, server.location(f"/old/{n}", "left")) for n in range(10)])

    assert done.exit == 0
    assert server.names() == []
    assert [len(task.group.items) for task in service.tasks] == [10]


def test_a_dangerous_removal_is_refused_before_the_task(service: MemoryService) -> None:
    done = go(service, [remove(0, service.server.location("/", "left"), recursive=True)])

    assert done[0].status is Status.FAILED
    assert service.tasks == []


def test_folders_are_made_before_the_task(service: MemoryService) -> None:
    requests: list[Request] = [mkdir(0, service.server.location("/out", "right"))]
    server = service.server
    server.put("/in/a", DATA)
    requests.append(transfer(1, server.location("/in/a", "left"), server.location("/out/a", "right")))

    assert go(service, requests).exit == 0


def test_a_local_file_that_the_service_reaches_itself_is_an_end_of_a_task(
    service: MemoryService, tmp_path: Path
) -> None:
    service.local_folder = str(tmp_path)
    service.server.put(f"{tmp_path}/a", DATA)  # what the service sees of this folder
    (tmp_path / "a").write_bytes(DATA)

    done = go(service, [transfer(0, tmp_path / "a", service.server.location("/out/a", "right"))])

    assert (done.exit, done[0].route) == (0, "managed")


def test_a_local_file_that_it_does_not_reach_goes_directly(service: MemoryService, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)

    done = go(service, [transfer(0, tmp_path / "a", service.server.location("/out/a", "right"))])

    assert (done.exit, done[0].route) == (0, "direct")


def test_what_is_there_already_is_not_in_the_task(service: MemoryService) -> None:
    requests = copies(service, 3, expected=sha256(DATA))
    service.server.put("/out/1", DATA)

    done = go(service, requests, settings=QUICK._replace(existing=Existing.VERIFY))

    assert done.exit == 0
    assert [done[n].route for n in range(3)] == ["managed", "present", "managed"]
    assert [len(task.group.items) for task in service.tasks] == [2]


# --- trouble


def test_a_lost_answer_to_the_submission_does_not_double_the_task(service: MemoryService) -> None:
    requests = copies(service, 5)
    service.server.fail("submit", "*", errors.Broken("cut"), after=True)

    done = go(service, requests)

    assert done.exit == 0
    assert len(service.tasks) == 1


def test_a_service_that_cannot_be_reached_when_asked_does_not_fail_the_task(service: MemoryService) -> None:
    requests = copies(service, 5)
    service.server.fail("poll", "*", errors.Unreachable("refused", retry_after=0.001), times=5)

    done = go(service, requests)

    assert done.exit == 0
    assert all(len(outcome.attempts) == 1 for outcome in done.recorded.outcomes)


def test_a_submission_that_is_refused_fails_every_item_with_its_reason(service: MemoryService) -> None:
    requests = copies(service, 5)
    service.server.fail("submit", "*", errors.Denied("no consent", remedy="log in"), times=FOREVER)

    done = go(service, requests)

    assert done.exit == 77
    assert all(outcome.error and outcome.error.what == "no consent" for outcome in done.recorded.outcomes)


def test_a_defect_of_the_protocol_fails_the_items_and_not_the_run(service: MemoryService) -> None:
    requests = copies(service, 3)
    service.server.fail("poll", "*", ValueError("oops"), times=FOREVER)

    done = go(service, requests)

    assert done.exit == 1
    assert {outcome.error.code for outcome in done.recorded.outcomes if outcome.error} == {"defect"}


def test_a_task_that_is_too_large_is_done_in_halves(service: MemoryService) -> None:
    service.items_most = 3

    done = go(service, copies(service, 10))

    assert done.exit == 0
    assert sorted(len(task.group.items) for task in service.tasks) == [2, 2, 3, 3]
    assert all(len(outcome.attempts) == 1 for outcome in done.recorded.outcomes)


def test_a_single_item_that_is_too_large_fails(service: MemoryService) -> None:
    service.items_most = 0

    done = go(service, copies(service, 3))

    assert done.exit == 1
    assert {outcome.error.code for outcome in done.recorded.outcomes if outcome.error} == {"unsupported"}


def test_what_was_undone_because_of_another_item_has_had_no_attempt(service: MemoryService) -> None:
    requests = copies(service, 6)
    del service.server.objects["/in/0"]
    for number in range(1, 6):
        service.server.fail("item", f"/in/{number}", errors.Undone("cut short"), times=20)

    done = go(service, requests)

    assert [len(done[number].attempts) for number in range(1, 6)] == [1] * 5
    assert done.statuses.count("done") == 5


def test_what_a_service_copied_wrongly_does_not_stay(service: MemoryService) -> None:
    requests = copies(service, 2)
    service.server.put("/out/1", b"what the service wrote before it compared")
    service.server.fail("item", "/in/1", errors.Mismatch("it compared"), times=FOREVER)

    done = go(service, requests)

    assert done.exit == 3
    assert "/out/1" not in service.server.objects
    error = done[1].error
    assert error is not None
    assert error.left_behind == ""


@pytest.mark.parametrize("after", [True, False])
def test_a_service_that_wants_to_be_left_alone_for_long_is_not_waited_for(
    after: bool, service: MemoryService, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    step = "poll" if after else "submit"
    service.server.fail(step, "*", errors.Busy("later", retry_after=80_000.0), times=FOREVER)

    done = go(service, copies(service, 2), settings=QUICK._replace(journal=str(journal)))

    assert done.exit == 75
    # A later run asks for the same task.
    assert "submission-1" in journal.read_text() and "settled" not in journal.read_text()


# --- stopping, and going on


def test_a_stop_cancels_the_task_and_keeps_what_was_done(service: MemoryService) -> None:
    service.pace, service.pause = 1, 0.05
    stop = threading.Event()
    requests = copies(service, 50)
    service.server.hook("poll", lambda call: stop.set() if service.server.count("poll") > 3 else None)

    done = go(service, requests, stop=stop)

    assert done.exit == 75
    assert service.tasks[0].cancelled
    statuses = done.statuses
    finished = len(service.tasks[0].results)
    assert statuses.count("done") == finished > 0
    assert statuses.count("stopped") == 50 - finished


def test_a_task_that_cannot_be_cancelled_is_named(service: MemoryService) -> None:
    service.pace, service.pause = 1, 0.05
    stop = threading.Event()
    requests = copies(service, 20)
    service.server.hook("poll", lambda call: stop.set())
    service.server.fail("cancel", "*", errors.Unreachable("refused"), times=FOREVER)

    done = go(service, requests, stop=stop)

    told = [outcome.error.what for outcome in done.recorded.outcomes if outcome.error]
    assert told
    assert all("task 0 could not be cancelled" in what for what in told)


def test_tasks_of_a_service_that_hangs_are_not_cancelled_one_after_the_other_for_ever(
    service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managing, "LAST_WORDS", -1.0)
    service.pace, service.pause = 1, 0.05
    stop = threading.Event()
    requests = copies(service, 20)
    service.server.hook("poll", lambda call: stop.set())

    done = go(service, requests, stop=stop)

    told = [outcome.error.what for outcome in done.recorded.outcomes if outcome.error]
    assert told
    assert all("no time left: it may still be running" in what for what in told)
    assert service.server.count("cancel") == 0


def test_a_later_run_goes_on_with_the_task_of_a_killed_one(service: MemoryService, tmp_path: Path) -> None:
    """The journal holds the submission, which is there before the service hears of it."""
    journal = tmp_path / "journal"
    seen: list[str] = []
    service.server.hook("submit", lambda call: seen.append(journal.read_text()))
    requests = copies(service, 4)
    settings = QUICK._replace(journal=str(journal))
    go(service, requests, settings=settings)
    record = json.loads(seen[0].splitlines()[0])
    assert record["submission"] == "submission-1"

    service.tasks[0].results.clear()  # as if it were still running when the process was killed
    journal.write_text(seen[0])
    done = go(service, requests, settings=settings)

    assert done.exit == 0
    assert len(service.tasks) == 1
    assert service.prepared == 1
    assert not journal.exists()


def test_without_a_journal_the_running_task_is_found_by_its_items(service: MemoryService) -> None:
    requests = copies(service, 4)
    go(service, requests)
    service.tasks[0].results.clear()

    done = go(service, requests)

    assert done.exit == 0
    assert len(service.tasks) == 1


def test_tasks_shared_between_processes_end_well(service: MemoryService) -> None:
    """Each process has a server of its own after the fork, so only the outcomes can be looked at."""
    done = go(service, copies(service, 40), settings=QUICK._replace(processes=2))

    assert done.exit == 0


def test_the_plan_says_that_it_is_a_managed_task(service: MemoryService) -> None:
    requests = copies(service, 2)
    made = plan(
        Batch(tuple(requests)), QUICK, registry=Registry((FILE, service.capability()), entry_points=False)
    )

    text = io.StringIO()
    print_plan(made, NoCredentials(), text, as_json=False)

    assert as_text(explain(made, requests[0])).count("route: managed") == 1
    assert text.getvalue().count("task: one of 2 items") == 2
