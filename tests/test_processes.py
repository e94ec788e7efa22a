"""Several processes share one run: one report, one set of limits, and a killed one's work is done by the others."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, at, execute, leftovers, mkdir, remove, sha256, transfer
from wf.protocols import errors
from wf.protocols.locations import parse_location
from wf.protocols.registry import HTTP
from wf.transfer.forked import processes_of, share_of
from wf.transfer.outcomes import Outcome, Status
from wf.transfer.planning import plan
from wf.transfer.requests import Batch
from wf.transfer.settings import Settings
from wf.transfer.sinks import NullSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.nginx import Nginx

TWO = QUICK._replace(processes=2)


def children() -> set[int]:
    """Process ids of those that this process has started."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found.update(int(pid) for pid in (task / "children").read_text().split())
    return found


@pytest.fixture(autouse=True)
def servers() -> Iterator[set[int]]:
    """Processes that are none of the run's: servers of other tests."""
    before = children()
    yield before
    assert children() <= before, "a process was left behind"


def files(folder: Path, count: int, size: int = 10) -> list[Path]:
    folder.mkdir()
    made = [folder / str(number) for number in range(count)]
    for number, path in enumerate(made):
        path.write_bytes(str(number).encode() * size)
    return made


def test_every_request_is_done_once_and_reported_once(tmp_path: Path) -> None:
    sources = files(tmp_path / "in", 600)

    done = execute([transfer(n, path, tmp_path / f"out/{n}") for n, path in enumerate(sources)], settings=TWO)

    assert done.exit == 0
    assert done.report.ending.totals.bytes == sum(path.stat().st_size for path in sources)
    for number, path in enumerate(sources):
        data = path.read_bytes()
        assert (tmp_path / f"out/{number}").read_bytes() == data
        assert done[number].digest == sha256(data)
    assert leftovers(tmp_path) == []


def test_more_than_one_process_works(servers: set[int], tmp_path: Path) -> None:
    sources = files(tmp_path / "in", 600)
    seen: set[int] = set()

    class Watch(NullSink):
        def take(self, outcome: Outcome) -> None:
            seen.update(children() - servers)

    execute(
        [transfer(n, path, tmp_path / f"out/{n}") for n, path in enumerate(sources)],
        settings=TWO._replace(processes=3),
        sinks=[Watch()],
    )

    assert len(seen) == 3


def test_order_holds_over_processes(tmp_path: Path) -> None:
    sources = files(tmp_path / "in", 60)
    requests = [mkdir(0, tmp_path / "out")]
    requests += [transfer(1 + n, path, tmp_path / f"out/{n}") for n, path in enumerate(sources)]
    requests += [remove(61 + n, path) for n, path in enumerate(sources)]

    done = execute(requests, settings=TWO)

    assert done.exit == 0
    assert done.order[0] == 0
    assert {number // 61 for number in done.order[:61]} == {0}
    assert not any(path.exists() for path in sources)


def test_errors_and_attempts_come_back_whole(tmp_path: Path) -> None:
    good = files(tmp_path / "in", 1)[0]

    done = execute(
        [
            transfer(0, [tmp_path / "missing", good], tmp_path / "out0"),
            transfer(1, tmp_path / "missing", tmp_path / "out1"),
            transfer(2, good, tmp_path / "out2", expected=sha256(b"other")),
        ],
        settings=TWO,
    )

    assert done.statuses == ["done", "failed", "failed"]
    assert done.exit == 3
    assert [type(attempt.error) for attempt in done[0].attempts] == [errors.NotFound, type(None)]
    assert isinstance(done[1].error, errors.NotFound)
    assert done[1].error.end == "source" and done[1].error.step
    assert isinstance(done[2].error, errors.Mismatch)


def test_what_a_killed_process_had_not_finished_is_done_by_the_others(
    servers: set[int], tmp_path: Path
) -> None:
    sources = files(tmp_path / "in", 3000)
    killed: list[int] = []

    class Kill(NullSink):
        def take(self, outcome: Outcome) -> None:
            if not killed:
                killed.extend(sorted(children() - servers)[:1])
                os.kill(killed[0], signal.SIGKILL)

    done = execute(
        [transfer(n, path, tmp_path / f"out/{n}") for n, path in enumerate(sources)],
        settings=TWO,
        sinks=[Kill()],
    )

    assert killed
    assert done.exit == 0
    assert len(list((tmp_path / "out").glob("[0-9]*"))) == 3000


def test_a_run_whose_processes_are_all_killed_ends_and_says_so(servers: set[int], tmp_path: Path) -> None:
    sources = files(tmp_path / "in", 3000)
    killed: list[int] = []

    class Kill(NullSink):
        def take(self, outcome: Outcome) -> None:
            if not killed:
                killed.extend(children() - servers)
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)

    done = execute(
        [transfer(n, path, tmp_path / f"out/{n}") for n, path in enumerate(sources)],
        settings=TWO,
        sinks=[Kill()],
    )

    assert done.exit == 70
    assert Status.STOPPED in {outcome.status for outcome in done.recorded.outcomes}


def test_a_stop_reaches_all_processes(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    stop = threading.Event()
    holder = os.open(fifo, os.O_RDWR)
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    try:
        done = execute([transfer(n, fifo, tmp_path / f"out{n}") for n in range(4)], settings=TWO, stop=stop)
    finally:
        timer.join()
        os.close(holder)

    assert done.exit == 75
    assert set(done.statuses) == {"stopped"}


def test_each_process_gets_its_share_of_what_is_divided() -> None:
    made = plan(Batch(()), Settings(processes=4, workers=10, bandwidth=1000, journal="j"))

    shares = [share_of(made, index).settings for index in range(4)]

    assert all(4 * share.workers <= 10 and share.bandwidth == 250 for share in shares)
    assert [share.journal for share in shares] == ["j", "", "", ""]


def test_there_are_no_more_processes_than_requests_may_be_in_progress() -> None:
    assert processes_of(Settings(processes=8, workers=3)) == 3
    assert processes_of(Settings(processes=8)) == 8


def test_processes_fetch_from_a_server(web: Nginx, tmp_path: Path) -> None:
    (web.root / "many").mkdir()
    for number in range(200):
        (web.root / f"many/{number}").write_bytes(os.urandom(1000))
    requests = [
        transfer(n, at(parse_location(f"{web.url}/many/{n}")), tmp_path / f"out/{n}") for n in range(200)
    ]

    done = execute(requests, HTTP, settings=TWO)

    assert done.exit == 0
    for number in range(200):
        assert (tmp_path / f"out/{number}").read_bytes() == (web.root / f"many/{number}").read_bytes()
