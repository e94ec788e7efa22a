"""How many requests a server gets at once: many where it is far and bears them, few where it says that it does not."""

from __future__ import annotations

import socketserver
import threading
import time
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, Run, execute, streaming, transfer
from wf.protocols import errors
from wf.protocols.memory import FOREVER, Call, MemoryServer
from wf.protocols.registry import HTTP

if TYPE_CHECKING:
    from pathlib import Path

FAR = 0.03
"""Seconds that an answer takes."""


def server_with(files: int, answer_after: float = 0.0) -> MemoryServer:
    server = MemoryServer()
    for number in range(files):
        server.put(f"/a/{number}", b"x" * 100)
    if answer_after:
        server.hook("open_read", lambda call: time.sleep(answer_after))
    return server


def fetched(server: MemoryServer, files: int, folder: Path, *, most: int = 128, workers: int = 0) -> Run:
    requests = [transfer(n, server.location(f"/a/{n}"), folder / str(n)) for n in range(files)]
    capability = streaming(server, connections_start=2, connections_most=most)
    return execute(requests, capability, settings=QUICK._replace(workers=workers))


def at_once(server: MemoryServer) -> int:
    return server.most_at_once("open_read")


def test_a_far_server_gets_many_requests_at_once(tmp_path: Path) -> None:
    server = server_with(150, FAR)

    assert fetched(server, 150, tmp_path).exit == 0

    assert at_once(server) >= 16


def test_nobody_gets_more_than_one_or_two_requests_before_its_first_answer(tmp_path: Path) -> None:
    server, answered, before = server_with(50), threading.Event(), []

    def first_answers_are_slow(call: Call) -> None:
        before.append(answered.is_set())
        if len(before) <= 2:
            time.sleep(0.1)
            answered.set()

    server.hook("open_read", first_answers_are_slow)

    assert fetched(server, 50, tmp_path).exit == 0
    assert before.count(False) <= 2


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_asked_for_are_in_progress(workers: int, tmp_path: Path) -> None:
    server = server_with(40, FAR / 3)

    assert fetched(server, 40, tmp_path, workers=workers).exit == 0

    assert at_once(server) <= workers


def test_no_more_than_the_protocol_bears_are_in_progress(tmp_path: Path) -> None:
    server = server_with(60, FAR)

    assert fetched(server, 60, tmp_path, most=4).exit == 0

    assert 2 < at_once(server) <= 4


def test_a_server_that_bears_few_at_once_gets_few_and_nothing_fails(tmp_path: Path) -> None:
    server, bears, refused = server_with(200), 6, []

    def refuse_the_seventh(call: Call) -> None:
        if server._active[("open_read", "*")] > bears:
            refused.append(time.monotonic())
            raise errors.Busy("503 too many connections")
        time.sleep(FAR)

    server.hook("open_read", refuse_the_seventh)
    done = fetched(server, 200, tmp_path)

    assert done.exit == 0
    assert refused, "the server was never asked for more than it bears: nothing was tested"
    assert len(refused) < 200, "it went on asking for more than the server bears"


def test_retry_after_is_obeyed_by_all_workers(tmp_path: Path) -> None:
    server, lock, asked, refused = server_with(100), threading.Lock(), [], []
    wait = 0.4

    def refuse_once(call: Call) -> None:
        with lock:
            asked.append(time.monotonic())
            refuse = len(asked) == 30
            if refuse:
                refused.append(asked[-1])
        if refuse:
            raise errors.Busy("429", retry_after=wait)
        time.sleep(FAR / 3)

    server.hook("open_read", refuse_once)

    assert fetched(server, 100, tmp_path).exit == 0
    # Those that were on their way when the answer came had been begun before.
    during = [at for at in asked if refused[0] + FAR <= at < refused[0] + wait]
    assert during == []
    assert [at for at in asked if at >= refused[0] + wait]


def test_a_refusal_of_one_that_is_alone_counts_as_its_own_failure(tmp_path: Path) -> None:
    server = server_with(1)
    server.fail("open_read", "*", errors.Busy("503"), times=FOREVER)

    done = fetched(server, 1, tmp_path)

    assert done.exit == 75
    assert len(done[0].attempts) == QUICK.rounds


def test_a_server_that_refuses_everything_is_given_up(tmp_path: Path) -> None:
    server = server_with(20)
    server.fail("open_read", "*", errors.Busy("503", retry_after=0.01), times=FOREVER)

    done = fetched(server, 20, tmp_path)

    assert done.exit == 75
    assert server.count("open_read") <= 20 * QUICK.rounds


class _Crowd(socketserver.StreamRequestHandler):
    """Serves so many connections, idle ones included, and turns further ones away."""

    server: _Club

    def handle(self) -> None:
        club = self.server
        with club.lock:
            club.inside += 1
            admitted = club.inside <= club.most
        try:
            while self._asked():
                if not admitted:
                    club.turned_away += 1
                    self.wfile.write(
                        b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )
                    return
                time.sleep(FAR)
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndata")
        finally:
            with club.lock:
                club.inside -= 1

    def _asked(self) -> bool:
        line = self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return bool(line)


class _Club(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, most: int) -> None:
        super().__init__(("127.0.0.1", 0), _Crowd)
        self.most = most
        self.lock = threading.Lock()
        self.inside = self.turned_away = 0


@pytest.mark.parametrize("most", [1, 4])
def test_idle_connections_are_given_up_where_connections_are_counted(most: int, tmp_path: Path) -> None:
    with _Club(most) as club:
        serving = threading.Thread(target=club.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            url = f"http://127.0.0.1:{club.server_address[1]}"
            requests = [transfer(n, f"{url}/{n}", tmp_path / str(n)) for n in range(80)]
            done = execute(requests, HTTP, settings=QUICK)
        finally:
            club.shutdown()
            serving.join()
    assert done.exit == 0
    assert club.turned_away, "the server was never asked for more than it bears: nothing was tested"


def test_a_refusal_after_answers_to_others_is_about_the_pace_and_no_failure(tmp_path: Path) -> None:
    """With one worker nobody else is there at the time; the last rounds come when nothing else is left."""
    server = server_with(6)
    server.fail("open_read", "/a/3", errors.Busy("429", retry_after=0.001), times=QUICK.rounds)
    done = fetched(server, 6, tmp_path, workers=1)
    assert done.exit == 0


def test_an_endpoint_that_wants_to_be_left_alone_for_long_is_busy_and_not_unreachable(tmp_path: Path) -> None:
    server = server_with(10)
    server.fail("open_read", "*", errors.Busy("503", retry_after=3600), times=FOREVER)
    done = fetched(server, 10, tmp_path, workers=1)
    assert done.exit == 75
    assert {outcome.error.code for outcome in done.recorded.outcomes if outcome.error} == {"busy"}
    assert "left alone for 3600 s more" in str(done[9].error)
