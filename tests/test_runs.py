"""Runs of small files: what a worker takes from a lane at once, and what it gives back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from runs import execute, sha256, transfer
from servers.scripted import MORE, Script, answer, scripted
from wf.protocols.errors import Busy
from wf.protocols.registry import HTTP
from wf.transfer.dispatch import Dispatcher
from wf.transfer.lanes import Entry
from wf.transfer.planning import plan
from wf.transfer.requests import Batch, Transfer
from wf.transfer.settings import Existing, Settings
from wf.transfer.work import Work

if TYPE_CHECKING:
    from pathlib import Path

    from servers.scripted import Scripted
    from wf.transfer.requests import Request

KEY = ("http://far.example", "")


def fetch(number: int, size: int | None = None, *, compared: bool = True) -> Transfer:
    expected = sha256(b"") if compared else None
    return transfer(
        number, f"http://far.example/{number}", f"file:///out/{number}", size=size, expected=expected
    )


def entered(requests: list[Request], settings: Settings = Settings()) -> tuple[Dispatcher, Entry]:  # noqa: B008
    dispatcher = Dispatcher(plan(Batch(tuple(requests)), settings), threading.Event())
    dispatcher.feed(requests)
    entry = dispatcher.enter()
    assert entry is not None
    return dispatcher, entry


def taken(dispatcher: Dispatcher, entry: Entry) -> Work:
    work = dispatcher.next(entry)
    assert isinstance(work, Work)
    return work


def files_of(server: Scripted, count: int, folder: Path) -> list[Request]:
    """Files that hold a hundred times their target."""
    return [
        transfer(
            number,
            f"{server.url}/{number}",
            folder / str(number),
            expected=sha256(f"/{number}".encode() * 100),
        )
        for number in range(count)
    ]


def left(entry: Entry) -> list[int]:
    items = [item.request if isinstance(item, Work) else item for item in entry.lane.queue]
    return [item.number for item in items if isinstance(item, Transfer)]


def test_nothing_is_announced_to_a_host_that_has_not_answered() -> None:
    dispatcher, entry = entered([fetch(number) for number in range(100)])
    assert [taken(dispatcher, entry).ahead for _ in range(3)] == [()] * 3


def test_a_run_is_announced_and_lengthened_before_it_ends() -> None:
    dispatcher, entry = entered([fetch(number) for number in range(100)])
    taken(dispatcher, entry)
    dispatcher.answered(KEY, 0.0001)
    works = [taken(dispatcher, entry) for _ in range(40)]
    assert [work.request.number for work in works] == list(range(1, 41)), "in order"
    announced = [work for work in works if work.ahead]
    assert 4 <= len(announced) <= 8, "not every time"
    for work in announced:
        numbers = [int(location.path.rpartition("/")[2]) for location in work.ahead]
        assert numbers == list(range(work.request.number, work.request.number + len(numbers)))
        assert 8 < len(numbers) <= 17


def test_what_is_left_is_shared_between_those_who_are_there() -> None:
    dispatcher, entry = entered([fetch(number) for number in range(20)])
    taken(dispatcher, entry)
    dispatcher.answered(KEY, 0.0001)
    while dispatcher.next(entry) is not None:
        assert len(entry.run) <= len(entry.lane.queue) + 9
    assert not entry.run


def test_a_run_goes_back_in_its_order_when_the_host_is_to_be_left_alone() -> None:
    dispatcher, entry = entered([fetch(number) for number in range(100)])
    taken(dispatcher, entry)
    dispatcher.answered(KEY, 0.0001)
    taken(dispatcher, entry)
    assert entry.run
    dispatcher.strike(KEY[0], Busy("too many", retry_after=60), began=1e12)
    assert dispatcher.next(entry) is None
    dispatcher.leave(entry)
    assert left(entry) == list(range(2, 100))


def test_large_files_are_not_announced() -> None:
    sizes = [None, 1000, 1000, 1000, None, None] + [1 << 30] * 30
    requests = [fetch(number, size) for number, size in enumerate(sizes)]
    dispatcher, entry = entered(requests)
    taken(dispatcher, entry)
    dispatcher.answered(KEY, 0.0001)
    works = [taken(dispatcher, entry) for _ in range(len(requests) - 1)]
    announced = {location.path for work in works for location in work.ahead}
    large = {request.sources[0].path for request in requests if request.size == 1 << 30}
    assert not announced & large


@pytest.mark.parametrize("existing", [one for one in Existing if one is not Existing.OVERWRITE])
def test_where_it_depends_on_the_destination_what_is_read_nothing_is_announced(existing: Existing) -> None:
    dispatcher, entry = entered([fetch(number) for number in range(50)], Settings(existing=existing))
    taken(dispatcher, entry)
    dispatcher.answered(KEY, 0.0001)
    assert [taken(dispatcher, entry).ahead for _ in range(20)] == [()] * 20


def test_a_batch_comes_over_one_connection_with_requests_sent_ahead(tmp_path: Path) -> None:
    def choose(target: str, connection: int, count: int) -> Script:
        body = answer(target.encode() * 100)
        return [MORE, MORE, body] if (connection, count) == (1, 5) else body

    with scripted(choose=choose) as server:
        requests = files_of(server, 60, tmp_path)
        done = execute(requests, HTTP)
        assert done.statuses == ["done"] * 60
        assert len(server.requests) == 60
    assert [(tmp_path / str(n)).read_bytes() for n in range(60)] == [
        f"/{n}".encode() * 100 for n in range(60)
    ]


def test_a_batch_whose_server_has_too_much_to_do_in_the_midst(tmp_path: Path) -> None:
    refused: set[str] = set()

    def choose(target: str, connection: int, count: int) -> Script:
        if target[-1] == "7" and target not in refused:
            refused.add(target)
            return answer(b"", "Retry-After: 0", status="429 Too Many Requests")
        return answer(target.encode() * 100)

    with scripted(choose=choose) as server:
        requests = files_of(server, 60, tmp_path)
        done = execute(requests, HTTP)
        assert done.statuses == ["done"] * 60
        assert len(refused) == 6
    assert [(tmp_path / str(n)).read_bytes() for n in range(60)] == [
        f"/{n}".encode() * 100 for n in range(60)
    ]


def test_what_no_digest_is_expected_of_is_not_announced_where_only_order_tells_answers_apart() -> None:
    dispatcher, entry = entered([fetch(number, compared=False) for number in range(50)])
    taken(dispatcher, entry)
    dispatcher.answered(KEY, 0.0001)
    assert [taken(dispatcher, entry).ahead for _ in range(20)] == [()] * 20


def test_a_server_that_mixes_its_answers_up_is_asked_again_singly(tmp_path: Path) -> None:
    twice: list[str] = []

    def choose(target: str, connection: int, count: int) -> Script:
        body = answer(target.encode() * 100)
        if (connection, count) != (1, 9):
            return body
        twice.append(target)
        return [MORE, body + body]

    with scripted(choose=choose) as server:
        requests = files_of(server, 60, tmp_path)
        done = execute(requests, HTTP)
    assert done.statuses == ["done"] * 60
    assert twice, "it did mix them up"
    assert [len(done[number].attempts) for number in range(60)] == [1] * 60
    assert [(tmp_path / str(n)).read_bytes() for n in range(60)] == [
        f"/{n}".encode() * 100 for n in range(60)
    ]


def test_a_file_is_not_missing_because_its_neighbour_is(tmp_path: Path) -> None:
    none, twice = answer(b"none", status="404 Not Found"), False

    def choose(target: str, connection: int, count: int) -> Script:
        nonlocal twice
        if (connection, count) == (1, 9):
            twice = target == "/9"
            return [MORE, none + none]
        return none if target == "/9" else answer(target.encode() * 100)

    with scripted(choose=choose) as server:
        requests = files_of(server, 60, tmp_path)
        done = execute(requests, HTTP)
    assert twice, "it did answer twice"
    assert [number for number in range(60) if done.statuses[number] != "done"] == [9]
    assert [len(done[number].attempts) for number in range(60)] == [1] * 60


def test_a_second_worker_comes_once_a_large_file_has_begun() -> None:
    dispatcher, entry = entered([fetch(number) for number in range(10)])
    taken(dispatcher, entry)
    assert dispatcher.wanted() == 0, "the first one finds out how far away the host is"
    dispatcher.answered((KEY[0], ""))
    assert dispatcher.wanted() == 1
