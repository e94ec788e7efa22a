"""Small files that are sent behind one another, seen from the engine: each request has its own outcome, whatever the others do."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from runs import GUARD_SECONDS, QUICK, execute, sha256, streaming, transfer
from wf.protocols.errors import Broken, Denied, Undone
from wf.protocols.locations import parse_location
from wf.protocols.memory import Manners, MemoryServer
from wf.transfer.requests import Remove
from wf.transfer.settings import Evidence

if TYPE_CHECKING:
    from pathlib import Path

    from runs import Run
    from wf.protocols.memory import Call
    from wf.transfer.requests import Request, Transfer
    from wf.transfer.settings import Settings

BEHIND = 8
COUNT = 30


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


def data_of(number: int) -> bytes:
    return f"the bytes of file {number}".encode() * (number + 1)


def uploads(folder: Path, count: int = COUNT) -> list[Request]:
    requests: list[Request] = []
    for number in range(count):
        source = folder / f"in-{number}"
        source.write_bytes(data_of(number))
        requests.append(upload(number, source))
    return requests


def upload(number: int, source: Path) -> Transfer:
    expected = sha256(source.read_bytes())
    return transfer(number, f"file://{source}", f"memory://there/{number}", expected=expected)


def run(requests: list[Request], server: MemoryServer, settings: Settings = QUICK, **more: object) -> Run:
    declared = streaming(server, behind=BEHIND, connections_start=1, connections_most=1, **more)
    done = execute(requests, declared, settings=settings)
    assert server.still_open() == 0
    return done


def calls(server: MemoryServer, operation: str, number: int) -> int:
    return len(server.calls(operation, f"/{number}"))


def all_there(server: MemoryServer, count: int = COUNT) -> None:
    for number in range(count):
        assert server.objects[f"/{number}"].data == data_of(number)


def test_files_are_sent_before_the_first_one_has_its_answer(server: MemoryServer, tmp_path: Path) -> None:
    done = run(uploads(tmp_path), server)
    assert done.exit == 0
    all_there(server)
    told = [call.operation for call in server.calls("*") if call.operation in ("send", "commit")]
    assert told[: 2 * BEHIND] == ["send"] * BEHIND + ["commit"] * BEHIND
    assert len(told) == 2 * COUNT
    assert all(outcome.attempts[0].route == "direct" for outcome in done.recorded.outcomes)
    assert all(outcome.checked for outcome in done.recorded.outcomes)


def test_one_that_is_refused_is_the_only_one_that_fails(server: MemoryServer, tmp_path: Path) -> None:
    server.fail("commit", "/5", Denied("not this one"), times=99)
    done = run(uploads(tmp_path), server)
    assert [number for number in range(COUNT) if done[number].status != "done"] == [5]
    assert done[5].error is not None
    assert done[5].error.code == "denied"
    assert done[5].attempts[0].bytes == len(data_of(5))


def test_what_was_undone_is_written_by_itself_without_that_being_an_attempt(
    server: MemoryServer, tmp_path: Path
) -> None:
    for number in (3, 4):
        server.fail("commit", f"/{number}", Undone("nothing certain came back"))
    done = run(uploads(tmp_path), server)
    assert done.exit == 0
    all_there(server)
    for number in (3, 4):
        assert len(done[number].attempts) == 1
        assert calls(server, "send", number) == 1
        assert calls(server, "open_write", number) == 2, "once below send, once by itself"


def test_an_answer_that_was_lost_is_looked_for(server: MemoryServer, tmp_path: Path) -> None:
    server.manners = Manners(gives=("sha256",))
    server.fail("commit", "/7", Broken("the answer was lost"), after=True)
    done = run(uploads(tmp_path), server)
    assert done.exit == 0
    assert done[7].note == "confirmed by the destination"


def test_a_failure_that_may_pass_is_tried_again(server: MemoryServer, tmp_path: Path) -> None:
    server.fail("commit", "/7", Broken("cut"))
    done = run(uploads(tmp_path), server)
    assert done.exit == 0
    assert [attempt.error is None for attempt in done[7].attempts] == [False, True]
    all_there(server)


def test_what_differs_from_its_digest_is_not_sent(server: MemoryServer, tmp_path: Path) -> None:
    requests = uploads(tmp_path)
    (tmp_path / "in-6").write_bytes(b"other bytes")
    done = run(requests, server)
    assert done.exit == 3
    assert "/6" not in server.objects
    assert calls(server, "send", 6) == 0
    assert sum(outcome.status == "done" for outcome in done.recorded.outcomes) == COUNT - 1


def test_a_receipt_that_contradicts_is_that_files_failure(server: MemoryServer, tmp_path: Path) -> None:
    server.manners = Manners(receipt_extra=1)
    done = run(uploads(tmp_path, 3), server)
    assert all(outcome.status == "failed" for outcome in done.recorded.outcomes)
    assert not server.objects


def test_a_large_file_does_not_keep_the_answers_of_small_ones_waiting(
    server: MemoryServer, tmp_path: Path
) -> None:
    requests = uploads(tmp_path, 3)
    large = tmp_path / "large"
    large.write_bytes(bytes(9 << 20))
    done = run([*requests, upload(3, large)], server)
    assert done.exit == 0
    order = [(call.operation, call.path) for call in server.calls("*")]
    assert order.index(("commit", "/2")) < order.index(("open_write", "/3"))


def test_who_helps_with_a_large_file_hears_of_its_small_ones_first(
    server: MemoryServer, tmp_path: Path
) -> None:
    """The small ones are sent when the other worker has asked for help, and it waits for that before it goes on."""
    invited, helped = threading.Event(), threading.Event()
    first: list[str] = []
    answered: list[int] = []

    def part(call: Call) -> None:
        first.append(call.thread)
        if call.thread != first[0]:
            answered.append(server.count("commit"))
            helped.set()
        elif len(first) > 1:
            invited.set()
            helped.wait(GUARD_SECONDS / 2)

    server.hook("put_part", part)
    server.hook("send", lambda call: invited.wait(GUARD_SECONDS / 2))
    large = tmp_path / "large"
    large.write_bytes(bytes(9 << 20))
    requests = [upload(3, large), *uploads(tmp_path, 3)]
    numbered = [request._replace(number=number) for number, request in enumerate(requests)]
    declared = streaming(server, behind=BEHIND, write_parts=True, connections_start=2, connections_most=2)
    done = execute(numbered, declared, settings=QUICK._replace(workers=2, streams=2, part_bytes=1 << 20))
    assert done.exit == 0
    assert answered[0] == 3


def test_a_remove_waits_for_the_answer(server: MemoryServer, tmp_path: Path) -> None:
    requests = uploads(tmp_path, 4)
    server.fail("commit", "/1", Denied("no"), times=99)
    sources = [request.sources[0] for request in requests if not isinstance(request, Remove)]  # type: ignore[union-attr]
    removes = [Remove(4 + number, f"r{number}", source) for number, source in enumerate(sources)]
    done = run([*requests, *removes], server)
    assert [(tmp_path / f"in-{number}").exists() for number in range(4)] == [False, True, False, False]
    assert done[5].status == "skipped"


def test_two_files_for_one_name_do_not_meet(server: MemoryServer, tmp_path: Path) -> None:
    first, second = uploads(tmp_path, 2)
    second = second._replace(destinations=first.destinations)  # type: ignore[union-attr]
    done = run([first, second], server)
    assert done.exit == 0
    told = [call.operation for call in server.calls("*") if call.operation in ("send", "commit")]
    assert told == ["send", "commit", "send", "commit"]
    assert server.objects["/0"].data == data_of(1)


def test_more_evidence_is_asked_for_after_the_answer(server: MemoryServer, tmp_path: Path) -> None:
    done = run(uploads(tmp_path), server, QUICK._replace(require_evidence=Evidence.READ_BACK))
    assert done.exit == 0
    assert all(outcome.evidence is Evidence.READ_BACK for outcome in done.recorded.outcomes)


def test_a_stop_gives_every_request_one_outcome(server: MemoryServer, tmp_path: Path) -> None:
    stop = threading.Event()

    def stopping(call: Call) -> None:
        if call.path == "/11":
            stop.set()

    server.hook("commit", stopping)
    server.stall("commit", "/11")
    declared = streaming(server, behind=BEHIND, connections_start=1, connections_most=1)
    done = execute(uploads(tmp_path), declared, stop=stop)
    assert done.exit == 75
    assert sorted(done.order) == list(range(COUNT))
    assert done[11].status == "stopped"
    for outcome in done.recorded.outcomes:
        number = outcome.request.number
        if outcome.status == "done":
            assert server.objects[f"/{number}"].data == data_of(number)


def test_a_defect_in_the_store_is_that_files_failure(server: MemoryServer, tmp_path: Path) -> None:
    server.fail("commit", "/2", ZeroDivisionError("oops"), times=99)
    done = run(uploads(tmp_path), server)
    assert [number for number in range(COUNT) if done[number].status != "done"] == [2]
    assert done[2].error is not None
    assert done[2].error.code == "defect"


def test_what_comes_from_a_network_is_not_sent_behind_others(server: MemoryServer) -> None:
    server.put("/in", b"data")
    declared = streaming(server, behind=BEHIND)
    done = execute([transfer(0, "memory://here/in", "memory://there/out")], declared)
    assert done.exit == 0
    assert not server.calls("send")


def test_names_are_those_of_the_batch(server: MemoryServer, tmp_path: Path) -> None:
    done = run(uploads(tmp_path, 2), server)
    assert done[1].destination == parse_location("memory://there/1")


def test_nothing_waits_for_its_answer_while_bytes_are_held_back(server: MemoryServer, tmp_path: Path) -> None:
    done = run(uploads(tmp_path), server, QUICK._replace(bandwidth=1 << 30))
    assert done.exit == 0
    assert not server.calls("send")


def test_nothing_waits_for_its_answer_while_a_stream_says_nothing(
    server: MemoryServer, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    requests = [*uploads(tmp_path, 4), transfer(4, f"file://{fifo}", "memory://there/4")]

    def feed() -> None:
        while len(server.calls("commit")) < 4:
            time.sleep(0.001)
        fifo.write_bytes(b"from the stream")

    feeding = threading.Thread(target=feed, daemon=True)
    feeding.start()
    done = run(requests, server)
    feeding.join()
    assert done.exit == 0
    assert server.objects["/4"].data == b"from the stream"
