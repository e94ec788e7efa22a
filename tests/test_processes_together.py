"""What the processes of one run know together of an endpoint: what it bears, when it wants to be left alone, who has gone."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, at, execute, transfer
from test_processes import children
from wf.protocols import errors
from wf.protocols.locations import parse_location
from wf.protocols.registry import FILE, HTTP, Registry
from wf.transfer import gates
from wf.transfer.commons import Commons
from wf.transfer.engine import Engine
from wf.transfer.execution import Staff
from wf.transfer.outcomes import Outcome, Status
from wf.transfer.planning import plan
from wf.transfer.requests import Batch
from wf.transfer.settings import Existing
from wf.transfer.sinks import NullSink
from wf.transfer.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runs import Run
    from wf.transfer.requests import Request

LASTS = 0.02
"""Seconds that the server takes for an answer, so that all processes have requests there."""
FEW = 2
"""Connections to an endpoint that bears few."""
NAME = "http://far.example"


class Web:
    """An HTTP server in threads that answers every GET with its path, unless `refuses` gives it fields to refuse with."""

    def __init__(self) -> None:
        self.refuses: Callable[[], str | None] = lambda: None
        self.lock = threading.Lock()
        self.lasts = LASTS
        self.asked: list[float] = []
        self.lines: list[list[int]] = []
        """What each connection was asked for."""
        self.now = 0
        """Requests that are being answered."""
        self.most_connected = 0
        self._connected: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            self._connected = [each for each in self._connected if not _has_gone(each)]
            self._connected.append(connection)
            self.most_connected = max(self.most_connected, len(self._connected))
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        asked: list[int] = []
        self.lines.append(asked)
        with connection, connection.makefile("rb") as lines:
            try:
                while words := lines.readline().split():
                    asked.append(int(words[1][1:]))
                    while lines.readline().strip():
                        pass
                    connection.sendall(self._answer(words[1]))
            except ConnectionError:
                return

    def _answer(self, path: bytes) -> bytes:
        with self.lock:
            self.asked.append(time.monotonic())
            self.now += 1
            fields = self.refuses()
        time.sleep(self.lasts if fields is None else 0.0)
        with self.lock:
            self.now -= 1
        if fields is not None:
            return f"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n{fields}\r\n".encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path)


def _has_gone(connection: socket.socket) -> bool:
    """Its client has closed it, or has died."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


def fetched(
    web: Web, count: int, folder: Path, *, most: int = 128, processes: int = 4, workers: int = 4
) -> Run:
    requests = [transfer(n, at(parse_location(f"{web.url}/{n}")), folder / str(n)) for n in range(count)]
    settings = QUICK._replace(processes=processes, workers=workers * processes)
    return execute(requests, HTTP._replace(connections_most=most), settings=settings)


def test_retry_after_is_obeyed_by_all_processes(web: Web, tmp_path: Path) -> None:
    refused: list[float] = []

    def once() -> str | None:
        if len(web.asked) != 60:
            return None
        refused.append(web.asked[-1])
        return "Retry-After: 2\r\n"

    web.refuses = once

    assert fetched(web, 1200, tmp_path).exit == 0
    # Those that were on their way when the answer came had been begun before.
    assert [when for when in web.asked if refused[0] + 0.3 <= when < refused[0] + 1.9] == []
    assert [when for when in web.asked if when >= refused[0] + 1.9]


def test_a_server_that_bears_fewer_than_the_processes_send_fails_nothing(web: Web, tmp_path: Path) -> None:
    refused: list[float] = []

    def one_too_many() -> str | None:
        if web.now == 1:
            return None
        refused.append(web.asked[-1])
        return ""

    web.refuses = one_too_many

    assert fetched(web, 250, tmp_path).exit == 0
    assert refused, "the server was never asked for more than it bears: nothing was tested"


def test_what_a_killed_process_had_does_not_go_to_more_than_an_endpoint_bears(
    web: Web, tmp_path: Path
) -> None:
    before, killed = children(), []

    def kill_one() -> None:
        if len(web.asked) == 20:
            killed.extend(sorted(children() - before)[:1])
            os.kill(killed[0], signal.SIGKILL)

    web.refuses = kill_one

    assert fetched(web, 60, tmp_path, most=FEW).exit == 0
    assert killed
    assert web.most_connected <= FEW


def test_what_a_killed_process_had_done_is_not_taken_for_what_was_there_before(tmp_path: Path) -> None:
    source, before, seen = tmp_path / "in", children(), []
    source.write_bytes(b"x")

    class Kill(NullSink):
        def take(self, outcome: Outcome) -> None:
            seen.append(outcome.request.number)
            if len(seen) == 500:
                os.kill(min(children() - before), signal.SIGKILL)

    done = execute(
        [transfer(n, source, tmp_path / f"out/{n}") for n in range(3000)],
        settings=QUICK._replace(processes=2, existing=Existing.FAIL),
        sinks=[Kill()],
    )

    assert done.exit == 0
    assert set(done.statuses) == {"done"}


@pytest.mark.parametrize(
    ("there", "status"), [(b"same", Status.DONE), (b"other", Status.FAILED), (None, Status.DONE)]
)
def test_a_request_that_is_done_once_more_succeeds_if_its_content_is_there(
    there: bytes | None, status: Status, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(b"same")
    if there is not None:
        (tmp_path / "out").write_bytes(there)

    outcome = done_once_more(transfer(0, tmp_path / "in", tmp_path / "out"))

    assert outcome.status is status
    assert ("killed" in outcome.note) == (there == b"same")
    assert isinstance(outcome.error, errors.Exists) == (there == b"other")


def done_once_more(request: Request) -> Outcome:
    """What becomes of a request that a killed process had, where nothing may be replaced."""
    stop = threading.Event()
    made = plan(Batch((request,)), QUICK._replace(existing=Existing.FAIL), registry=Registry((FILE,)))
    engine = Engine(made, None, None, stop)
    work = Work(request, "", time.monotonic())
    work.once_more = True
    engine.dispatcher.again(work)
    staff = Staff(engine, 1)
    staff.fit()
    while not engine.finished:
        engine.nudge.wait()
        engine.nudge.clear()
    engine.dispatcher.finish()
    staff.join(None)
    engine.close()
    return engine.finished.popleft()


def test_each_process_does_requests_that_are_neighbours(web: Web, tmp_path: Path) -> None:
    """They lie on the same pages of memory, of which whoever reads them gets a copy."""
    web.lasts = LASTS / 10

    assert fetched(web, 800, tmp_path, processes=2, workers=1).exit == 0

    assert sorted(number for line in web.lines for number in line) == list(range(800))
    leaps = sum(after != before + 1 for line in web.lines for before, after in pairwise(line))
    assert leaps < 25


# --- the table


def in_another(commons: Commons, seat: int, act: Callable[[Commons], object]) -> None:
    """Does something in another process of the run, which is then killed."""
    pid = os.fork()
    if not pid:
        try:
            act(commons.seated(seat))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.fixture
def commons() -> Iterator[Commons]:
    made = Commons(4)
    yield made
    made.close()


def test_a_strike_in_one_process_is_one_for_all(commons: Commons) -> None:
    first = gates.fresh(8, 64, 3, 4)
    struck = gates.struck(first, began=100.0, now=100.0, retry_after=17.0)

    def strike(other: Commons) -> None:
        with other:
            assert other.gates.setdefault(NAME, first) == first
            other.gates[NAME] = struck
            other.struck[NAME] = "HTTP 429\udcff" + 300 * "ü"

    in_another(commons, 1, strike)
    here = commons.seated(0)

    assert here.gates.setdefault(NAME, first) == struck
    assert here.gates[NAME].cooling(116.0) and not here.gates[NAME].cooling(117.0)
    assert here.struck.get(NAME, "unknown").startswith("HTTP 429?ü")


def test_what_a_killed_process_had_at_an_endpoint_is_forgotten(commons: Commons) -> None:
    def enter(other: Commons) -> None:
        with other:
            other.gates.setdefault(NAME, gates.fresh(8, 64, 3, 4))
            other.active[NAME] = other.active.get(NAME, 0) + 3

    in_another(commons, 1, enter)
    here = commons.seated(0)
    here.gates.setdefault(NAME, gates.fresh(8, 64, 3, 4))
    here.active[NAME] = 1

    assert (here.here(NAME), here.room(NAME, here.gates[NAME])) == (4, 4)
    commons.bury(1)
    assert (here.here(NAME), here.room(NAME, here.gates[NAME])) == (1, 7)


def test_who_has_no_requests_for_an_endpoint_has_no_share_of_it(commons: Commons) -> None:
    gate = gates.fresh(8, 64, 3, 4)
    here = commons.seated(0)
    here.gates.setdefault(NAME, gate)
    assert here.room(NAME, gate) == 8

    def want(other: Commons) -> None:
        other.gates.setdefault(NAME, gate)
        other.wants(NAME)

    in_another(commons, 1, want)

    assert here.room(NAME, gate) == 4


def test_connections_are_divided_whoever_has_requests(commons: Commons) -> None:
    gate = gates.fresh(8, 9, 3, 4)
    here = commons.seated(0)
    here.gates.setdefault(NAME, gate)

    assert here.room(NAME, gate) == 2


def test_a_process_that_dies_with_the_lock_does_not_keep_it(commons: Commons) -> None:
    in_another(commons, 1, Commons.__enter__)

    with commons.seated(0):
        assert commons.gates.get(NAME) is None


@pytest.mark.parametrize("name", ["", "http://" + "far." * 100, "http://\udcff"])
def test_what_is_not_shared_is_known_to_each_process(name: str, commons: Commons) -> None:
    gate = gates.fresh(2, 9, 3)
    in_another(commons, 1, lambda other: other.gates.setdefault(name, gate._replace(limit=1)))
    here = commons.seated(0)

    assert here.gates.setdefault(name, gate) == gate
    here.active[name] = 1
    here.looked[name] = 1.5
    here.struck[name] = "broke"

    assert (here.gates[name], here.active[name], here.here(name), here.room(name, gate)) == (gate, 1, 1, 1)
    assert here.looked.setdefault(name, 2.0) == 1.5
    assert here.struck.get(name, "unknown") == "broke"


def test_numbers_of_endpoints_begin_at_nothing(commons: Commons) -> None:
    here = commons.seated(2)
    here.gates.setdefault(NAME, gates.fresh(2, 9, 3))

    assert here.answers.get(NAME, 0) == 0
    assert here.looked.setdefault(NAME, 12.5) == 12.5
    assert here.looked.setdefault(NAME, 99.0) == 12.5
    assert here.struck.get(NAME, "unknown") == "unknown"


def test_near_by_a_line_of_requests_keeps_each_process_busy() -> None:
    near = gates.succeeded(gates.fresh(2, 128, 3, 4), 0.0005)
    assert (near.limit, gates.narrowed(near).limit) == (4, 4)

    far = gates.succeeded(gates.fresh(2, 128, 3, 4), 0.020)
    assert far.limit == 80
