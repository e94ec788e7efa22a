"""Large files of servers that tell a strong version and give no ranges: begun again as a whole, never stuck.

The server is a double: no real one has a strong ETag and ignores ranges, but applications behind proxies do.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, execute, leftovers, sha256, transfer
from wf.protocols.memory import MemoryServer
from wf.protocols.registry import HTTP
from wf.transfer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
DATA = b"".join(bytes([number]) * 65_536 for number in range(7 * 16)) + b"the end"
PARTS = QUICK._replace(part_bytes=MIB)
ALONE = PARTS._replace(streams=1, workers=1)
TOGETHER = PARTS._replace(streams=4, workers=4)


class Rangeless(ThreadingHTTPServer):
    """Serves `data` under every name. `refuses` is the status of the answer to a range; 200 is one that ignores it."""

    def __init__(self, refuses: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.refuses = refuses
        self.data = DATA
        self.version = '"v1"'
        self.cuts = 0
        """Whole answers that end in the middle."""
        self.stop: threading.Event | None = None
        """Set in the middle of an answer, which then waits for the client to go away."""
        self.ranges: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/f"
        self.gate: threading.Event | None = None
        """What a whole answer waits for in the middle of its third part: that somebody else got no range."""

    def handle_error(self, request: object, client_address: object) -> None:
        """The client may go away whenever it likes."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Rangeless

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if asked and server.refuses != 200:
            self._head(server.refuses, 0)
            self._open_gate()
            return
        self._head(200, len(server.data))
        if asked:
            with suppress(ConnectionError):
                self.wfile.write(server.data[:MIB])
            self._wait_until_nobody_listens()
            self._open_gate()
            return
        half = len(server.data) // 2
        if server.gate is not None and not server.gate.is_set():
            gate = 5 * MIB // 2
            self.wfile.write(server.data[:gate])
            server.gate.wait(20)
            self.wfile.write(server.data[gate:half])
        else:
            self.wfile.write(server.data[:half])
        if server.stop is not None:
            server.stop.set()
            self._wait_until_nobody_listens()
        elif server.cuts:
            server.cuts -= 1
            self.close_connection = True
        else:
            self.wfile.write(server.data[half:])

    def _open_gate(self) -> None:
        if self.server.gate is not None:
            self.server.gate.set()

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", self.server.version)
        self.end_headers()

    def _wait_until_nobody_listens(self) -> None:
        self.close_connection = True
        self.connection.settimeout(20)
        with suppress(ConnectionResetError):
            while self.connection.recv(1 << 16):
                pass

    def log_message(self, format: str, *arguments: object) -> None:
        """Not here."""


@pytest.fixture(params=[200, 412, 416])
def server(request: pytest.FixtureRequest) -> Iterator[Rangeless]:
    server = Rangeless(request.param)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def stopped_in_the_middle(server: Rangeless, request: object) -> None:
    """A run that leaves what it has."""
    server.stop = threading.Event()
    assert execute([request], HTTP, settings=ALONE, stop=server.stop).exit == 75  # type: ignore[list-item]
    server.stop = None
    server.ranges.clear()


@pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])
def test_a_cut_answer_is_asked_for_again_as_a_whole(
    server: Rangeless, tmp_path: Path, settings: Settings
) -> None:
    server.cuts = 1
    done = execute([transfer(0, server.url, tmp_path / "out")], HTTP, settings=settings)

    assert done.exit == 0, done[0].error
    assert (tmp_path / "out").read_bytes() == DATA
    assert done[0].digest == sha256(DATA)
    assert [attempt.error.code for attempt in done[0].attempts if attempt.error] == ["changed"]
    assert server.ranges[-1] is None
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("expected", [None, sha256(DATA)], ids=["no digest", "a digest"])
def test_what_a_stopped_run_left_does_not_stand_in_the_way(
    server: Rangeless, tmp_path: Path, expected: object
) -> None:
    """Not even where there is one attempt only."""
    request = transfer(0, server.url, tmp_path / "out", expected=expected)
    stopped_in_the_middle(server, request)
    assert leftovers(tmp_path)

    done = execute([request], HTTP, settings=ALONE._replace(rounds=1))

    assert done.exit == 0, done[0].error
    assert (tmp_path / "out").read_bytes() == DATA
    assert done[0].digest == sha256(DATA)
    assert not done[0].note
    assert server.ranges.count(None) == 1
    assert not leftovers(tmp_path)


def test_a_file_that_changed_in_between_is_begun_again(server: Rangeless, tmp_path: Path) -> None:
    request = transfer(0, server.url, tmp_path / "out")
    stopped_in_the_middle(server, request)
    server.data, server.version = DATA[::-1], '"v2"'

    done = execute([request], HTTP, settings=ALONE._replace(rounds=1))

    assert done.exit == 0, done[0].error
    assert (tmp_path / "out").read_bytes() == DATA[::-1]
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("how", ["any offset", "ordered"])
def test_others_that_get_no_ranges_leave_the_file_to_the_first(
    server: Rangeless, tmp_path: Path, how: str
) -> None:
    server.gate, memory = threading.Event(), MemoryServer()
    place = tmp_path / "out" if how == "any offset" else memory.location("/out")
    done = execute([transfer(0, server.url, place)], HTTP, memory, settings=TOGETHER)

    assert server.gate.is_set(), "somebody helped"
    assert done.exit == 0, done[0].error
    assert (memory.get("/out") or (tmp_path / "out").read_bytes()) == DATA
    assert memory.uploads == {}
    assert not leftovers(tmp_path)
