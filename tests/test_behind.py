"""Uploads that are sent behind one another: only where that was earned, and whatever happens each has its own outcome."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from servers.scripted import BODY, CLOSE, MORE, RESET, STALL, Script, Scripted, answer, scripted
from wf.credentials.kinds import AccessKey, Secret
from wf.protocols import behind
from wf.protocols.conformance_tools import content, digest_of, digests_for, make_context
from wf.protocols.errors import Busy, Stopped, TransferError, Undone
from wf.protocols.locations import parse_location
from wf.protocols.origins import Request, Route, origin_of
from wf.protocols.proxies import Proxies, Proxy
from wf.protocols.registry import S3
from wf.protocols.s3 import S3Store
from wf.protocols.tolerance import DEPTH, SMALL
from wf.protocols.values import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wf.protocols.contract import Writer

ETAG = 'ETag: "0123456789abcdef"'
GOOD = answer(b"", ETAG)
DENIED = answer(b"<Error><Code>AccessDenied</Code></Error>", status="403 Forbidden")

Result = bytes | str


def key_of(server: Scripted) -> AccessKey:
    return AccessKey(
        name="AK",
        origin="test",
        access_key="AK",
        secret_key=Secret("secret"),
        endpoint=server.url,
        addressing="path",
    )


def store_at(server: Scripted, **more: Any) -> S3Store:
    return S3Store(make_context(credential=lambda location, purpose: key_of(server), **more))


def put(store: S3Store, name: str, data: bytes) -> None:
    location = parse_location(f"s3://bucket/{name}")
    writer = store.open_write(location, Incoming(len(data), digest_of("sha256", data).value))
    writer.write(memoryview(data))
    writer.commit(digests_for(writer, data))


def send(store: S3Store, name: str, data: bytes) -> Writer | None:
    view = memoryview(bytearray(data))
    location = parse_location(f"s3://bucket/{name}")
    writer = store.send(location, Incoming(len(data), digest_of("sha256", data).value), view)
    view[:] = bytes(len(view))
    return writer


def outcome(writer: Writer | None, data: bytes) -> str:
    """What became of it: `ok`, the name of its error, or `singly` where the store wants to be asked in the other way."""
    if writer is None:
        return "singly"
    try:
        writer.commit((digest_of("sha256", data),))
    except TransferError as error:
        return type(error).__name__
    return "ok"


def bodies(count: int) -> list[bytes]:
    return [content(number * 500 + 1) for number in range(count)]


def earned(server: Scripted, **more: Any) -> S3Store:
    """A store with a connection that has carried a good upload."""
    store = store_at(server, **more)
    put(store, "first", b"first")
    return store


def sent_together(store: S3Store, datas: list[bytes]) -> list[str]:
    writers = [send(store, f"n{number}", data) for number, data in enumerate(datas)]
    return [outcome(writer, data) for writer, data in zip(writers, datas, strict=True)]


def by_place(
    scripts: dict[tuple[int, int], Script], other: Script = GOOD
) -> Callable[[str, int, int], Script]:
    """A script for connection and number of the request on it; both count from 1 and 0."""
    return lambda target, connection, count: scripts.get((connection, count), other)


def test_several_uploads_are_on_the_way_at_once() -> None:
    # Bodies are read first, so that they have been noted when the answers come.
    waits = by_place({(1, 1): [BODY, MORE, GOOD], (1, 2): [BODY, MORE, GOOD]}, [BODY, GOOD])
    with scripted(choose=waits) as server:
        store = earned(server)
        datas = bodies(5)
        assert sent_together(store, datas) == ["ok"] * 5
        assert [request.body for request in server.requests[1:]] == datas
        assert server.connections == 1
        store.close()


def test_nothing_is_sent_behind_others_before_a_connection_has_earned_it() -> None:
    with scripted(GOOD) as server:
        store = store_at(server)
        assert send(store, "first", b"data") is None
        assert not server.requests
        store.close()


def test_nothing_is_sent_behind_others_through_a_proxy() -> None:
    with scripted(GOOD) as server:
        proxy = Proxy("127.0.0.1", server.port)
        context = make_context(credential=lambda location, purpose: key_of(server))
        context._proxies = lambda: Proxies(http=proxy)
        store = S3Store(context)
        put(store, "first", b"first")
        assert send(store, "second", b"data") is None
        store.close()


def test_only_what_is_small_is_sent_behind_others() -> None:
    with scripted(GOOD) as server:
        store = earned(server)
        assert sent_together(store, [bytes(SMALL), bytes(SMALL + 1)]) == ["ok", "singly"]
        store.close()


def test_as_many_are_on_the_way_as_the_capability_says() -> None:
    assert S3.behind == DEPTH


def test_no_more_are_on_the_way_than_the_depth() -> None:
    with scripted(GOOD) as server:
        store = earned(server)
        writers = [send(store, f"n{number}", b"data") for number in range(DEPTH + 1)]
        assert all(writers[:DEPTH])
        assert writers[DEPTH] is None
        assert [outcome(writer, b"data") for writer in writers[:DEPTH]] == ["ok"] * DEPTH
        store.close()


def test_the_connection_serves_on_after_its_uploads_were_answered() -> None:
    with scripted(GOOD) as server:
        store = earned(server)
        for _ in range(3):
            assert sent_together(store, bodies(4)) == ["ok"] * 4
            put(store, "between", b"data")
        assert server.connections == 1
        store.close()


@pytest.mark.parametrize(
    "status", ["403 Forbidden", "404 Not Found", "400 Bad Request", "500 Oops", "503 Busy"]
)
def test_no_upload_fails_for_a_refusal_that_may_be_another_ones(status: str) -> None:
    refusal = answer(b"<Error><Code>No</Code></Error>", status=status)
    with scripted(choose=by_place({(1, 3): [BODY, refusal]})) as server:
        store = earned(server)
        assert sent_together(store, bodies(5)) == ["Undone"] * 5
        store.close()


def test_answers_before_a_refusal_count_where_they_name_what_they_answer() -> None:
    datas = bodies(4)
    sums = [digest_of("sha256", data).base64 for data in datas]

    def choose(target: str, connection: int, count: int) -> Script:
        if connection == 1 and count == 3:
            return [BODY, DENIED]
        return [BODY, answer(b"", ETAG, f"x-amz-checksum-sha256: {sums[count - 1]}")] if count else GOOD

    with scripted(choose=choose) as server:
        store = earned(server)
        assert sent_together(store, datas) == ["ok", "ok", "Undone", "Undone"]
        store.close()


def test_an_answer_that_names_other_bytes_is_no_success() -> None:
    other = digest_of("sha256", b"other").base64
    with scripted(choose=by_place({(1, 2): answer(b"", ETAG, f"x-amz-checksum-sha256: {other}")})) as server:
        store = earned(server)
        assert sent_together(store, bodies(3)) == ["ok", "Broken", "ok"]
        store.close()


@pytest.mark.parametrize(
    "script",
    [
        [BODY, CLOSE],
        [BODY, RESET],
        [BODY, b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE],
        [BODY, b"nonsense\r\n\r\n", CLOSE],
        [BODY, answer(b"", ETAG, status="307 Temporary Redirect")],
        [BODY, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        [BODY, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"],
        [BODY, b"HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nshort", CLOSE],
    ],
    ids=["closed", "reset", "half a head", "nonsense", "redirect", "chunked", "coded", "cut reason"],
)
def test_a_line_that_breaks_is_nobodys_failure(script: Script) -> None:
    with scripted(choose=by_place({(1, 2): script})) as server:
        store = earned(server)
        results = sent_together(store, bodies(4))
        assert set(results) <= {"Undone", "singly"}
        put(store, "again", b"data")
        store.close()


def test_an_answer_that_ends_the_connection_undoes_what_is_behind_it() -> None:
    last = answer(b"", ETAG, "Connection: close")
    with scripted(choose=by_place({(1, 2): [BODY, last, CLOSE]})) as server:
        store = earned(server)
        results = sent_together(store, bodies(4))
        assert "ok" not in results[2:]
        assert set(results) <= {"Undone", "singly"}
        store.close()


def test_an_answer_that_ends_the_connection_behind_the_last_upload_is_good() -> None:
    last = answer(b"", ETAG, "Connection: close")
    with scripted(choose=by_place({(1, 3): [BODY, last, CLOSE]})) as server:
        store = earned(server)
        assert sent_together(store, bodies(3)) == ["ok"] * 3
        put(store, "again", b"data")
        assert server.connections == 2
        store.close()


def test_a_server_that_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "_PATIENCE", 1.0)
    with scripted(choose=by_place({(1, 2): [BODY, STALL]})) as server:
        store = earned(server)
        assert sent_together(store, bodies(3)) == ["Undone"] * 3
        store.close()


def test_a_server_that_breaks_lines_gets_no_more_of_them() -> None:
    def choose(target: str, connection: int, count: int) -> Script:
        return [BODY, CLOSE] if count == 2 else GOOD

    with scripted(choose=choose) as server:
        store = store_at(server)
        tried = 0
        for _ in range(6):
            put(store, "single", b"data")
            tried += sent_together(store, bodies(3)) != ["singly"] * 3
        assert tried == 3
        store.close()


def test_what_one_worker_learnt_of_a_server_the_others_know() -> None:
    with scripted(choose=lambda target, connection, count: [BODY, CLOSE] if count == 2 else GOOD) as server:
        context = make_context(credential=lambda location, purpose: key_of(server))
        first, second = S3Store(context), S3Store(context.for_another_thread(context.stop))
        for _ in range(3):
            put(first, "single", b"data")
            assert sent_together(first, bodies(3)) != ["singly"] * 3
        put(second, "single", b"data")
        assert sent_together(second, bodies(3)) == ["singly"] * 3
        first.close()
        second.close()


@pytest.mark.parametrize("fields", [(), ("Retry-After: 7",)])
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Slow Down"])
def test_a_server_that_refuses_for_being_asked_too_much_gets_no_more_lines(
    status: str, fields: tuple[str, ...]
) -> None:
    busy = answer(b"<Error><Code>SlowDown</Code></Error>", *fields, status=status)
    with scripted(choose=by_place({(1, 2): [BODY, busy]})) as server:
        store = earned(server)
        sent_together(store, bodies(3))
        put(store, "again", b"data")
        assert sent_together(store, bodies(3)) == ["singly"] * 3
        store.close()


class Ended:
    """A wire, and its only connection, which has just ended without anybody having noticed."""

    def __init__(self) -> None:
        self.closed = False

    def idle(self, route: Route) -> Ended | None:
        return None if self.closed else self

    def hurry(self, seconds: float | None) -> None: ...

    def send(self, pieces: list[bytes | memoryview]) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def test_an_upload_that_cannot_be_sent_at_all_goes_by_itself() -> None:
    wire: Any = Ended()
    request = Request("PUT", origin_of("http://a.example")[0], "/a", (), None)
    assert behind.Behind(make_context(), wire).send(request, memoryview(b"data")) is None
    assert wire.closed


def test_a_wish_to_wait_is_told_with_the_refusal() -> None:
    busy = answer(b"<Error><Code>SlowDown</Code></Error>", "Retry-After: 7", status="503 Slow Down")
    with scripted(choose=by_place({(1, 1): [BODY, busy]})) as server:
        store = earned(server)
        writers = [send(store, f"n{number}", b"data") for number in range(2)]
        assert writers[0] is not None and writers[1] is not None
        with pytest.raises(Busy) as caught:
            writers[0].commit(())
        assert caught.value.retry_after == 7
        assert "secret" not in str(caught.value)
        with pytest.raises(Undone):
            writers[1].commit(())
        store.close()


def test_a_stop_ends_the_wait_for_answers() -> None:
    stop = threading.Event()
    with scripted(choose=by_place({(1, 1): [BODY, MORE, STALL]})) as server:
        store = earned(server, stop=stop)
        first, second = send(store, "a", b"data"), send(store, "b", b"data")
        assert first is not None and second is not None
        stop.set()
        with pytest.raises(Stopped):
            first.commit(())
        with pytest.raises(Undone):
            second.commit(())
        store.close()
