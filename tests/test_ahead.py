"""Announced reads: pipelined where that was earned, and whatever happens the same as one by one."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.scripted import CLOSE, MORE, RESET, STALL, Script, Scripted, answer, scripted
from wf.credentials.kinds import AccessKey, Basic, Bearer, Secret
from wf.protocols import ahead
from wf.protocols.conformance_tools import content, drained, make_context
from wf.protocols.errors import Busy, Denied, NotFound, Stopped, TransferError
from wf.protocols.http import HttpStore
from wf.protocols.locations import parse_location
from wf.protocols.origins import Origin, origin_of
from wf.protocols.proxies import Proxies, Proxy
from wf.protocols.s3 import S3Store
from wf.protocols.tolerance import DEPTH, SMALL, Tolerance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wf.protocols.contract import Store
    from wf.protocols.locations import Location

    Result = bytes | type[TransferError]

GUARD = 20.0
"""Seconds against hanging only."""


@pytest.fixture
def store() -> Iterator[HttpStore]:
    store = HttpStore(make_context())
    yield store
    store.close()


def body_of(target: str) -> bytes:
    return content(len(target) * 700 + 1) + target.encode()


def plain(target: str, connection: int, count: int) -> Script:
    return answer(body_of(target))


def files(server: Scripted, count: int, first: int = 0) -> list[Location]:
    return [parse_location(f"{server.url}/{number:05d}") for number in range(first, first + count)]


def result(store: Store, location: Location) -> Result:
    try:
        return drained(store.open_read(location))
    except TransferError as error:
        return type(error)


def read_announced(store: HttpStore | S3Store, locations: list[Location], run: int = DEPTH) -> list[Result]:
    """What the engine does: it announces a run, and lengthens it when half of it is read."""
    results = []
    for number, location in enumerate(locations):
        if number % (run // 2 or 1) == 0:
            store.announce(locations[number : number + run])
        results.append(result(store, location))
    return results


def read_compared(store: HttpStore | S3Store, locations: list[Location]) -> list[Result]:
    """What the engine does where digests are expected: what is wrong is told to the store, and read once more."""
    results = []
    for number, location in enumerate(locations):
        if number % (DEPTH // 2) == 0:
            store.announce(locations[number : number + DEPTH])
        found = result(store, location)
        if isinstance(found, bytes) and not found.endswith(location.path.encode()):
            store.announce(())
            found = result(store, location)
        results.append(found)
    return results


def wrong_on_lines(target: str, store: HttpStore) -> Script:
    """The file itself only to who asks singly."""
    on_line = store._ahead is not None and store._ahead._line is not None
    return answer(body_of("/another" if on_line else target))


def two_workers() -> tuple[HttpStore, HttpStore]:
    context = make_context(stall=GUARD)
    return HttpStore(context), HttpStore(context.for_another_thread(context.stop))


@contextmanager
def reading(
    protocol: str, server: Scripted, count: int = 30
) -> Iterator[tuple[HttpStore | S3Store, list[Location]]]:
    store: HttpStore | S3Store
    if protocol == "http":
        store, locations = HttpStore(make_context(stall=GUARD)), files(server, count)
    else:
        key = AccessKey("AK", Secret("s"), endpoint=server.url, name="k", origin="a test")
        store = S3Store(make_context(credential=key, stall=GUARD))
        locations = [parse_location(f"s3://bucket/{number:05d}") for number in range(count)]
    try:
        yield store, locations
    finally:
        store.close()


def targets(server: Scripted) -> list[str]:
    return [request.line.split()[1] for request in server.requests]


# --- what is gained


def test_several_requests_are_on_the_way_at_once_once_the_server_has_kept_a_connection(
    store: HttpStore,
) -> None:
    def waits(target: str, connection: int, count: int) -> Script:
        return [MORE, MORE, MORE, answer(body_of(target))] if count == 1 else answer(body_of(target))

    with scripted(choose=waits) as server:
        locations = files(server, 40)
        assert read_announced(store, locations) == [body_of(f"/{number:05d}") for number in range(40)]
        assert server.connections == 1
        assert targets(server) == [f"/{number:05d}" for number in range(40)], "each once, and in order"


def test_the_line_is_filled_again_before_it_is_empty(store: HttpStore) -> None:
    def waits(target: str, connection: int, count: int) -> Script:
        # What comes in the second half of a run is announced with the next one.
        return [MORE, answer(body_of(target))] if 1 <= count < 30 else answer(body_of(target))

    with scripted(choose=waits) as server:
        assert len(read_announced(store, files(server, 40))) == 40
        assert server.connections == 1


def test_nothing_is_asked_for_before_its_turn_on_a_new_connection(store: HttpStore) -> None:
    with scripted(choose=plain) as server:
        locations = files(server, 3)
        store.announce(locations)
        assert server.connections == 0
        result(store, locations[0])
        assert targets(server) == ["/00000"]


def test_what_was_announced_and_is_not_read_disturbs_nothing(store: HttpStore) -> None:
    with scripted(choose=plain) as server:
        locations = files(server, 10)
        store.announce(locations)
        order = [0, 1, 2, 7, 3, 0, 9, 8, 2]
        assert [result(store, locations[at]) for at in order] == [body_of(f"/{at:05d}") for at in order]
        store.announce(locations[4:])
        assert [result(store, one) for one in locations[4:]] == [body_of(f"/{at:05d}") for at in range(4, 10)]


def test_a_range_is_asked_for_singly(store: HttpStore) -> None:
    with scripted(choose=plain) as server:
        locations = files(server, 6)
        store.announce(locations)
        results = [result(store, location) for location in locations[:3]]
        reader = store.open_read(locations[3], length=5)
        assert drained(reader) == body_of("/00003")[:5]
        assert results == [body_of(f"/{at:05d}") for at in range(3)]
        assert result(store, locations[4]) == body_of("/00004")


def test_a_reader_that_is_closed_early_costs_only_its_own_bytes(store: HttpStore) -> None:
    with scripted(choose=plain) as server:
        locations = files(server, 12)
        store.announce(locations)
        for number, location in enumerate(locations):
            reader = store.open_read(location)
            if number % 3:
                assert drained(reader) == body_of(f"/{number:05d}")
            reader.close()


# --- what ends a line


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
ODD_ANSWERS: dict[str, Callable[[str], Script]] = {
    "plain": lambda target: answer(body_of(target)),
    "empty": lambda target: answer(b""),
    "closing": lambda target: [answer(body_of(target), "Connection: close"), CLOSE],
    "closed after it": lambda target: [answer(body_of(target)), CLOSE],
    "until the end": lambda target: [b"HTTP/1.1 200 OK\r\n\r\nuntil the end", CLOSE],
    "old": lambda target: [b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", CLOSE],
    "chunked": lambda target: CHUNKED,
    "with news": lambda target: b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + answer(body_of(target)),
    "large": lambda target: answer(content(SMALL + 1)),
    "larger than the buffer": lambda target: answer(content(3 << 20)),
    "no content": lambda target: b"HTTP/1.1 204 No Content\r\n\r\n",
    "redirected": lambda target: answer(b"moved", "Location: /elsewhere", status="302 Found"),
    "refused": lambda target: answer(b"who?", 'WWW-Authenticate: Basic realm="a"', status="401 Unauthorized"),
    "forbidden": lambda target: answer(b"no", status="403 Forbidden"),
    "absent": lambda target: answer(
        b"<title>none</title>", "Content-Type: text/html", status="404 Not Found"
    ),
    "absent, not told why": lambda target: answer(b"\0\1\2", status="404 Not Found"),
    "busy": lambda target: answer(b"later", "Retry-After: 7", status="429 Too Many Requests"),
    "overloaded": lambda target: answer(b"", "Retry-After: 7", status="503 Service Unavailable"),
    "failed": lambda target: answer(b"oh", status="500 Internal Server Error"),
    "short": lambda target: [answer(body_of(target))[:-9], CLOSE],
    "cut": lambda target: [answer(body_of(target))[:-9], RESET],
    "cut in its head": lambda target: [b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE],
    "no answer": lambda target: [CLOSE],
    "reset": lambda target: [RESET],
    "not HTTP": lambda target: [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", CLOSE],
    "two lengths": lambda target: answer(b"body", "Content-Length: 5"),
    "more than its length": lambda target: answer(body_of(target)) + b"more",
    "a long head": lambda target: answer(body_of(target), *[f"X-{n}: {'x' * 90}" for n in range(60)]),
    "an endless head": lambda target: [answer(b"", f"X: {'x' * 40_000}"), CLOSE],
    "compressed": lambda target: answer(b"gz", "Content-Encoding: gzip"),
}


def by_kind(kinds: list[str]) -> Callable[[str, int, int], Script]:
    def choose(target: str, connection: int, count: int) -> Script:
        number = int(target[1:]) if target[1:].isdigit() else -1
        return ODD_ANSWERS[kinds[number] if number >= 0 else "plain"](target)

    return choose


def read_singly(server: Scripted, count: int) -> list[Result]:
    store = HttpStore(make_context(stall=GUARD))
    try:
        return [result(store, location) for location in files(server, count)]
    finally:
        store.close()


@pytest.mark.parametrize("kind", ODD_ANSWERS)
def test_an_odd_answer_in_the_midst_is_what_it_would_be_singly(store: HttpStore, kind: str) -> None:
    kinds = ["plain"] * 5 + [kind] + ["plain"] * 20 + [kind] + ["plain"] * 4
    with scripted(choose=by_kind(kinds)) as server:
        assert read_announced(store, files(server, len(kinds))) == read_singly(server, len(kinds))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from(["plain"] * 40 + sorted(ODD_ANSWERS)), min_size=1, max_size=40),
    run=st.integers(1, 20),
)
def test_any_answers_in_any_order_are_what_they_would_be_singly(kinds: list[str], run: int) -> None:
    with scripted(choose=by_kind(kinds)) as server:
        store = HttpStore(make_context(stall=GUARD))
        try:
            announced = read_announced(store, files(server, len(kinds)), run)
        finally:
            store.close()
        assert announced == read_singly(server, len(kinds))


@pytest.mark.parametrize("most", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("last", [CLOSE, RESET])
def test_a_server_that_closes_after_so_many_answers(store: HttpStore, most: int, last: str) -> None:
    def choose(target: str, connection: int, count: int) -> Script:
        return answer(body_of(target)) if count < most else [last]

    with scripted(choose=choose) as server:
        wanted = [body_of(f"/{number:05d}") for number in range(150)]
        assert read_announced(store, files(server, 150)) == wanted


def test_a_server_that_breaks_lines_early_gets_no_more_of_them(store: HttpStore) -> None:
    sent_for_nothing = 0

    def choose(target: str, connection: int, count: int) -> Script:
        return answer(body_of(target)) if count < 3 else [CLOSE]

    with scripted(choose=choose) as server:
        assert len(read_announced(store, files(server, 200))) == 200
        sent_for_nothing = len(server.requests) - 200
        assert store._ahead is not None and store._ahead._line is None
    # Also a single request finds its connection closed, and comes once more.
    assert sent_for_nothing <= 200 // 3 + 1


def test_a_server_that_swallows_requests_is_asked_singly(
    store: HttpStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_PATIENCE", 1.0)
    swallowing = threading.Event()

    def choose(target: str, connection: int, count: int) -> Script:
        if connection == 1 and count == 2:
            swallowing.set()
            return [STALL]
        return answer(body_of(target))

    with scripted(choose=choose) as server:
        assert read_announced(store, files(server, 12)) == [body_of(f"/{at:05d}") for at in range(12)]
        assert swallowing.is_set()


def test_a_refusal_for_being_many_is_told_and_the_rest_is_forgotten(store: HttpStore) -> None:
    kinds = ["plain"] * 4 + ["busy"] + ["plain"] * 11
    with scripted(choose=by_kind(kinds)) as server:
        locations = files(server, 16)
        store.announce(locations)
        assert [type(result(store, one)) for one in locations[:4]] == [bytes] * 4
        with pytest.raises(Busy) as caught:
            store.open_read(locations[4])
        assert caught.value.retry_after == 7
        assert targets(server).count("/00004") == 1, "it was not asked again at once"


def test_what_is_absent_costs_one_request_more_and_nothing_of_what_is_on_the_way(store: HttpStore) -> None:
    kinds = ["plain"] * 4 + ["absent"] + ["plain"] * 15 + ["absent"] * 3 + ["plain"] * 8
    with scripted(choose=by_kind(kinds)) as server:
        results = read_announced(store, files(server, len(kinds)))
        assert [number for number, one in enumerate(results) if one is NotFound] == [4, 20, 21, 22]
        asked = targets(server)
        assert [asked.count(f"/{number:05d}") for number in range(len(kinds))] == [
            2 if kind == "absent" else 1 for kind in kinds
        ]


def test_another_order_than_announced_is_served_also_after_something_was_absent(store: HttpStore) -> None:
    kinds = ["plain"] * 4 + ["absent"] + ["plain"] * 15
    with scripted(choose=by_kind(kinds)) as server:
        locations = files(server, 20)
        store.announce(locations)
        for number in (0, 1, 2, 3, 4, 9, 6, 5):
            assert result(store, locations[number]) == (
                NotFound if number == 4 else body_of(f"/{number:05d}")
            )
        store.announce(locations[:8])
        read_announced(store, locations[:5])
        store.announce(locations[12:])
        results = [result(store, one) for one in locations[12:]]
        assert results == [body_of(one.path) for one in locations[12:]]


def test_where_most_is_absent_it_is_soon_asked_for_once_only(store: HttpStore) -> None:
    kinds = (["plain"] * 2 + ["absent"] * 8) * 40
    with scripted(choose=by_kind(kinds)) as server:
        results = read_announced(store, files(server, len(kinds)))
        assert results.count(NotFound) == kinds.count("absent")
        assert len(server.requests) < len(kinds) + 4 * DEPTH


# --- whose answer it is


REFUSED = {
    "absent": answer(b"none", status="404 Not Found"),
    "gone": answer(b"none", status="410 Gone"),
    "forbidden": answer(b"no", status="403 Forbidden"),
    "who are you": answer(b"who?", 'WWW-Authenticate: Basic realm="a"', status="401 Unauthorized"),
    "failed": answer(b"oh", status="500 Internal Server Error"),
    "overloaded": answer(b"", status="503 Service Unavailable"),
    "elsewhere": answer(b"", "Location: /elsewhere", status="302 Found"),
    "compressed": answer(b"gz", "Content-Encoding: gzip"),
    "a part": answer(b"a", "Content-Range: bytes 5-5/9", status="206 Partial Content"),
}


def once(scripts: dict[str, Script]) -> Callable[[str, int, int], Script]:
    """Each script for the first request of its target, and the file itself ever after."""
    left = dict(scripts)

    def choose(target: str, connection: int, count: int) -> Script:
        return left.pop(target[-5:], None) or answer(body_of(target))

    return choose


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("protocol", ["http", "s3"])
def test_no_file_fails_for_an_answer_that_may_be_another_files(protocol: str, kind: str) -> None:
    with (
        scripted(choose=once({"00005": REFUSED[kind]})) as server,
        reading(protocol, server) as (store, locations),
    ):
        results = read_announced(store, locations)
        assert all(isinstance(one, bytes) for one in results)


@pytest.mark.parametrize("kind", ["absent", "forbidden"])
@pytest.mark.parametrize("protocol", ["http", "s3"])
def test_a_refusal_that_comes_twice_is_that_of_one_file(protocol: str, kind: str) -> None:
    twice = once({"00005": [MORE, REFUSED[kind] * 2]})

    def choose(target: str, connection: int, count: int) -> Script:
        script = twice(target, connection, count)
        single = target.endswith("00005") and isinstance(script, bytes)
        return REFUSED[kind] if single else script

    with scripted(choose=choose) as server, reading(protocol, server) as (store, locations):
        results = read_compared(store, locations)
        assert [number for number, one in enumerate(results) if isinstance(one, type)] == [5]
        assert store._ahead is not None
        assert store._ahead._tolerance.lasts(origin_of(server.url)[0]), "it is no more than one line"


@pytest.mark.parametrize("protocol", ["http", "s3"])
def test_answers_that_were_exchanged_are_told_apart(protocol: str) -> None:
    prefix = "/bucket/" if protocol == "s3" else "/"
    exchanged = once(
        {
            "00005": [MORE, answer(body_of(f"{prefix}00006"))],
            "00006": REFUSED["absent"],
        }
    )

    def choose(target: str, connection: int, count: int) -> Script:
        script = exchanged(target, connection, count)
        single = target.endswith("00005") and isinstance(script, bytes)
        return REFUSED["absent"] if single else script

    with scripted(choose=choose) as server, reading(protocol, server) as (store, locations):
        results = read_compared(store, locations)
        assert [number for number, one in enumerate(results) if isinstance(one, type)] == [5]
        assert store._ahead is not None
        assert store._ahead._tolerance.lasts(origin_of(server.url)[0]), "it is no more than one line"


@pytest.mark.parametrize("kind", ["plain", "absent"])
def test_an_answer_that_comes_late_on_a_line_is_not_taken_for_that_to_a_single_request(
    store: HttpStore, kind: str
) -> None:
    def choose(target: str, connection: int, count: int) -> Script:
        body = answer(body_of(target))
        if connection > 1 or not count:
            return body
        first = REFUSED.get(kind, body)
        # What was answered twice is followed by answers of which each comes with the next request.
        return [MORE, first * 2] if count == 1 else [MORE, body]

    with scripted(choose=choose) as server:
        locations = files(server, 5)
        results = read_compared(store, locations[:3]) + [result(store, one) for one in locations[3:]]
        assert results == [body_of(f"/{number:05d}") for number in range(5)]


# --- what is learnt


def test_a_server_that_mixes_answers_up_gets_a_few_lines_only(store: HttpStore) -> None:
    with scripted(choose=lambda target, *_: wrong_on_lines(target, store)) as server:
        results = read_compared(store, files(server, 400))
        assert results == [body_of(f"/{number:05d}") for number in range(400)]
        assert 400 < len(server.requests) <= 400 + 3 * DEPTH


def test_what_one_worker_learnt_of_a_server_the_others_know() -> None:
    first, second = two_workers()
    with scripted(choose=lambda target, *_: wrong_on_lines(target, first)) as server:
        read_compared(first, files(server, 200))
        before = len(server.requests)
        for number, location in enumerate(locations := files(server, 40)):
            second.announce(locations[number:])
            assert result(second, location) == body_of(location.path)
            assert len(server.requests) == before + number + 1
        first.close()
        second.close()


def test_a_server_that_leads_many_reads_elsewhere_gets_a_few_lines_only(store: HttpStore) -> None:
    kinds = (["plain"] * 4 + ["redirected"]) * 60
    with scripted(choose=by_kind(kinds)) as server:
        assert read_announced(store, files(server, 300))[4] == body_of("/elsewhere")
        assert len(server.requests) <= 300 + 60 + 3 * DEPTH


@pytest.mark.parametrize("protocol", ["http", "s3"])
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Slow Down"])
def test_a_server_that_refuses_for_being_asked_too_much_gets_no_more_lines(
    protocol: str, status: str
) -> None:
    seen: list[tuple[str, bool]] = []
    refuse = once({"00005": answer(b"", status=status)})

    def choose(target: str, connection: int, count: int) -> Script:
        seen.append((target[-5:], store._ahead is not None and store._ahead._line is not None))
        return refuse(target, connection, count)

    with scripted(choose=choose) as server, reading(protocol, server, 200) as (store, locations):
        assert all(isinstance(one, bytes) for one in read_announced(store, locations))
        assert ("00005", True) in seen
        assert not any(on_line for _, on_line in seen[seen.index(("00005", False)) :])
        assert len(server.requests) <= 200 + DEPTH


def test_a_refusal_to_one_ends_the_lines_of_all() -> None:
    first, second = two_workers()
    on_line: list[str] = []

    def choose(target: str, connection: int, count: int) -> Script:
        if second._ahead is not None and second._ahead._line is not None and target > "/00100":
            on_line.append(target)
        return ODD_ANSWERS["overloaded" if target == "/00005" else "plain"](target)

    with scripted(choose=choose) as server:
        locations = files(server, 50, first=101)
        second.announce(locations)
        results = [result(second, one) for one in locations[:2]]
        assert Busy in read_announced(first, files(server, 8))
        results += [result(second, one) for one in locations[2:]]
        assert results == [body_of(one.path) for one in locations]
        assert on_line == [one.path for one in locations[1 : 1 + DEPTH]]
        assert len(server.requests) <= 50 + 5 + DEPTH
    first.close()
    second.close()


def test_three_spoiled_lines_are_forgiven_and_one_more_for_many_good_answers() -> None:
    here, there = Origin(False, "a.example", 80), Origin(False, "b.example", 80)
    tolerance = Tolerance()
    for _ in range(3):
        assert tolerance.lasts(here)
        tolerance.take_notice(here, 2, spoiled=1)
    assert not tolerance.lasts(here)
    assert tolerance.lasts(there)
    for _ in range(1000):
        tolerance.take_notice(there, 100, spoiled=1)
    assert tolerance.lasts(there), "as servers do that end each connection after a hundred answers"


def test_a_refusal_is_not_forgotten_for_any_number_of_good_answers() -> None:
    origin, tolerance = Origin(False, "a.example", 80), Tolerance()
    tolerance.note_status(origin, 404)
    assert tolerance.lasts(origin)
    tolerance.note_status(origin, 503)
    tolerance.take_notice(origin, 1_000_000, spoiled=0)
    assert not tolerance.lasts(origin)


def test_a_stop_ends_the_wait_for_an_announced_answer() -> None:
    stop = threading.Event()

    def choose(target: str, connection: int, count: int) -> Script:
        if count < 2:
            return answer(body_of(target))
        stop.set()
        return [STALL]

    store = HttpStore(make_context(stop=stop, stall=GUARD))
    with scripted(choose=choose) as server:
        locations = files(server, 10)
        store.announce(locations)
        with pytest.raises(Stopped):
            for location in locations:
                drained(store.open_read(location))
        store.close()


def test_closing_the_store_ends_the_line() -> None:
    store = HttpStore(make_context())
    with scripted(choose=plain) as server:
        locations = files(server, 10)
        store.announce(locations)
        for location in locations[:3]:
            drained(store.open_read(location))
        line = store._ahead._line if store._ahead is not None else None
        assert line is not None and line.due
        store.close()
        assert store._ahead is not None and store._ahead._line is None
        assert line.released() is None


# --- to whom


def test_each_server_is_shown_only_its_own_credential() -> None:
    def choose_credential(location: Location, purpose: str) -> Basic | Bearer:
        if location.url.startswith(first.url):
            return Basic("alice", Secret("pw"), name="a", origin="a test")
        return Bearer(Secret("token"), name="b", origin="a test")

    with ExitStack() as stack:
        first = stack.enter_context(scripted(choose=plain))
        second = stack.enter_context(scripted(choose=plain))
        store = HttpStore(make_context(credential=choose_credential))
        stack.callback(store.close)
        mixed = [one for pair in zip(files(first, 20), files(second, 20), strict=True) for one in pair]
        in_turn = [*files(first, 20, 20), *files(second, 20, 20)]
        results = read_announced(store, [*mixed, *in_turn])
        assert results == [body_of(one.path) for one in (*mixed, *in_turn)]
        assert {request.headers["authorization"].split()[0] for request in first.requests} == {"Basic"}
        assert {request.headers["authorization"].split()[0] for request in second.requests} == {"Bearer"}


def test_a_credential_that_is_missing_fails_its_own_request_only() -> None:
    def choose_credential(location: Location, purpose: str) -> Basic:
        if location.url.endswith("/00005"):
            raise Denied("none for this one")
        return Basic("alice", Secret("pw"), name="a", origin="a test")

    store = HttpStore(make_context(credential=choose_credential))
    with scripted(choose=plain) as server:
        results = read_announced(store, files(server, 10))
        assert [one for one in results if not isinstance(one, bytes)] == [Denied]
        assert results[5] is Denied
        store.close()


def test_through_a_proxy_requests_go_one_by_one() -> None:
    with scripted(choose=lambda target, *_: answer(target.encode())) as proxy:
        context = make_context()
        context._proxies = lambda: Proxies(http=Proxy("127.0.0.1", proxy.port))
        store = HttpStore(context)
        locations = [parse_location(f"http://far.example/{number}") for number in range(20)]
        store.announce(locations)
        for number, location in enumerate(locations):
            assert result(store, location) == f"http://far.example/{number}".encode()
            assert len(proxy.requests) == number + 1
        store.close()


# --- S3


def test_objects_are_announced_and_signed_like_others() -> None:
    def waits(target: str, connection: int, count: int) -> Script:
        return [MORE, MORE, answer(body_of(target))] if count == 1 else answer(body_of(target))

    with scripted(choose=waits) as server:
        key = AccessKey("AK", Secret("s"), endpoint=server.url, name="k", origin="a test")
        store = S3Store(make_context(credential=key))
        locations = [parse_location(f"s3://bucket/{number:05d}") for number in range(40)]
        assert read_announced(store, locations) == [body_of(f"/bucket/{at:05d}") for at in range(40)]
        assert (server.connections, len(server.requests)) == (1, 40)
        assert all("SignedHeaders=" in request.headers["authorization"] for request in server.requests)
        store.close()


S3_ODD = ["absent", "busy", "overloaded", "forbidden", "closing", "short", "chunked", "large", "failed"]


@pytest.mark.parametrize("kind", S3_ODD)
def test_an_odd_answer_of_s3_in_the_midst_is_what_it_would_be_singly(kind: str) -> None:
    def choose(target: str, connection: int, count: int) -> Script:
        return ODD_ANSWERS[kind if int(target[-5:]) in (5, 25) else "plain"](target)

    with scripted(choose=choose) as server:
        key = AccessKey("AK", Secret("s"), endpoint=server.url, name="k", origin="a test")
        locations = [parse_location(f"s3://bucket/{number:05d}") for number in range(30)]
        store, other = S3Store(make_context(credential=key)), S3Store(make_context(credential=key))
        announced = read_announced(store, locations)
        assert announced == [result(other, location) for location in locations]
        store.close()
        other.close()


def test_a_credential_that_ends_just_now_is_told_singly() -> None:
    asked: list[str] = []

    def choose_credential(location: Location, purpose: str) -> Basic:
        asked.append(location.url[-5:])
        if location.url.endswith("/00001") and asked.count("00001") == 2:
            raise Denied("it has ended meanwhile")
        return Basic("alice", Secret("pw"), name="a", origin="a test")

    store = HttpStore(make_context(credential=choose_credential))
    with scripted(choose=plain) as server:
        assert all(isinstance(one, bytes) for one in read_announced(store, files(server, 10)))
        store.close()
    assert asked.count("00001") > 2
