"""Servers that trickle, lie about parts and sizes, or never come to an end."""

from __future__ import annotations

import itertools
import socket
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, at, execute, leftovers, transfer
from servers.scripted import answer, scripted
from wf.protocols import s3_list
from wf.protocols.conformance import make_context
from wf.protocols.errors import Broken, ServerFault, Stopped, TransferError
from wf.protocols.http import HttpStore
from wf.protocols.locations import parse_location
from wf.protocols.registry import HTTP
from wf.protocols.s3_list import _pages
from wf.protocols.s3_xml import Page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wf.protocols.http import HttpReader

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def trickling() -> Iterator[str]:
    """A server that sends a head and then a byte every 20 ms, until the client goes away."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(HEAD)
                while not over.wait(0.02):
                    connection.sendall(b"x")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/f"
    finally:
        over.set()
        listening.close()
        thread.join(30)


def test_a_body_that_trickles_is_given_up() -> None:
    with trickling() as url:
        context = make_context(stall=0.3)
        context.slow_bytes = 1 << 20
        with closing(HttpStore(context)) as store:
            reader = store.open_read(parse_location(url))
            with pytest.raises(Broken, match=r"only \d+ bytes came"):
                drained(reader)


def test_a_stop_is_seen_while_a_body_trickles() -> None:
    with trickling() as url:
        context = make_context(stop=threading.Event())
        with closing(HttpStore(context)) as store:
            reader = store.open_read(parse_location(url))
            context.stop.set()
            with pytest.raises(Stopped):
                drained(reader)


def drained(reader: HttpReader) -> None:
    while reader.read():
        pass


def test_a_part_where_the_whole_was_asked_for_is_refused(tmp_path: Path) -> None:
    part = answer(b"0123456789", "Content-Range: bytes 0-9/*", status="206 Partial Content")
    with scripted(part) as server:
        done = execute(
            [transfer(0, f"{server.url}/f", tmp_path / "out")], HTTP, settings=QUICK._replace(rounds=1)
        )
    assert (done.exit, done[0].error.code) == (75, "server-error")
    assert leftovers(tmp_path) == []


def test_a_source_that_never_ends_stops_at_the_size_that_is_expected(tmp_path: Path) -> None:
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    endless = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *itertools.repeat(chunk, 4000)]
    with scripted(endless) as server:
        done = execute(
            [transfer(0, at(f"{server.url}/f"), tmp_path / "out", size=10)],
            HTTP,
            settings=QUICK._replace(rounds=1),
        )
        assert sum(attempt.bytes for attempt in done[0].attempts) < 10 << 20
    assert done.exit == 3
    assert leftovers(tmp_path) == []


class _Target:
    shown = "s3://bucket/prefix"

    class service:
        host = "service"


@pytest.mark.parametrize("tokens", [["T", "T", "T"], ["A", "B", "A", "B"], [str(n) for n in range(1000)]])
def test_a_listing_that_goes_round_or_never_ends_is_refused(
    monkeypatch: pytest.MonkeyPatch, tokens: list[str]
) -> None:
    pages = iter(tokens)
    monkeypatch.setattr(s3_list, "_page", lambda *_: Page((), (), next(pages)))
    with pytest.raises(ServerFault, match="goes round"):
        list(_pages(_Target(), "", ""))  # type: ignore[arg-type]


def test_errors_keep_no_frames(tmp_path: Path) -> None:
    """The frames of a million failures would be a gigabyte."""
    done = execute([transfer(0, tmp_path / "missing", tmp_path / "out")])
    error: BaseException | None = done[0].error
    assert isinstance(error, TransferError)
    while error is not None:
        assert error.__traceback__ is None
        error = error.__cause__ or error.__context__
