"""Bodies that are sent piece by piece, to servers that answer when they like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from servers.faults import cut, fault_proxy
from servers.scripted import BODY, CLOSE, answer, scripted
from wf.protocols.conformance_tools import content, make_context
from wf.protocols.errors import Broken, ServerFault, Unreachable
from wf.protocols.wire import Upload, Wire, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.nginx import Nginx

MIB = 1 << 20
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire(make_context())
    yield wire
    wire.close()


def send(upload: Upload, data: bytes) -> bool:
    return all(upload.send(data[start : start + MIB]) for start in range(0, len(data), MIB))


@pytest.mark.parametrize("count", [0, 1, MIB, 5 * MIB + 3])
@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("expect", [None, True, False])
def test_a_body_arrives_as_it_was_sent(
    wire: Wire, web: Nginx, count: int, sized: bool, expect: bool | None
) -> None:
    size = count if sized else None
    for _ in range(2):
        upload = wire.upload("PUT", origin_of(web.url)[0], "/put/a", (), size, expect=expect)
        assert send(upload, content(count))
        got = upload.finish()
        assert got.status in (201, 204)
        got.read_all()
        assert (web.root / "put/a").read_bytes() == content(count)
    assert web.connections() == 1


@pytest.mark.parametrize("size", [100, None])
def test_a_cut_body_is_not_stored(wire: Wire, web: Nginx, size: int | None) -> None:
    upload = wire.upload("PUT", origin_of(web.url)[0], "/put/a", (), size)
    assert upload.send(bytes(99))
    upload.cut()
    upload.cut()
    assert wire.exchange("GET", origin_of(web.url)[0], "/put/a").read_all()
    assert not (web.root / "put/a").exists()


def test_a_large_body_is_not_sent_to_a_server_that_refuses_it(wire: Wire, web: Nginx) -> None:
    upload = wire.upload("PUT", origin_of(web.url)[0], "/status/403", (), 1 << 40)
    assert upload.answered
    assert not upload.send(bytes(10))
    got = upload.finish()
    got.read_all()
    assert got.status == 403
    assert [seen.expect for seen in web.requests()] == ["100-continue"]


def test_an_answer_in_the_middle_of_the_body_is_reported_as_it_is(wire: Wire, web: Nginx) -> None:
    upload = wire.upload("PUT", origin_of(web.url)[0], "/status/507", (), 1 << 40, expect=False)
    while upload.send(bytes(MIB)):
        pass
    got = upload.finish()
    got.close()
    assert got.status == 507


def test_an_early_answer_to_a_body_at_hand_is_reported_as_it_is(wire: Wire) -> None:
    with scripted([answer(b"too large", status="413 Too Large"), CLOSE]) as server:
        got = wire.exchange("PUT", origin_of(server.url)[0], "/", (), bytes(20 * MIB))
        assert (got.status, got.read_all()) == (413, b"too large")


def test_success_before_the_whole_body_came_is_no_success(wire: Wire) -> None:
    with scripted([answer(), CLOSE]) as server:
        upload = wire.upload("PUT", origin_of(server.url)[0], "/", (), 1 << 40, expect=False)
        while upload.send(bytes(MIB)):
            pass
        with pytest.raises((ServerFault, Broken)):
            upload.finish()


def test_an_expectation_that_fails_is_dropped(wire: Wire) -> None:
    with scripted([answer(status="417 No"), CLOSE], [BODY, answer()]) as server:
        for _ in range(2):
            upload = wire.upload("PUT", origin_of(server.url)[0], "/", (), 3, expect=True)
            assert upload.send(b"abc")
            assert upload.finish().status == 200
        assert [request.body for request in server.requests[1:]] == [b"abc", b"abc"]
        assert ["expect" in request.headers for request in server.requests] == [True, False, False]


def test_a_server_that_ignores_the_expectation_gets_the_body(wire: Wire) -> None:
    with scripted([BODY, answer()]) as server:
        for _ in range(2):
            upload = wire.upload("PUT", origin_of(server.url)[0], "/", (), 3, expect=True)
            assert upload.send(b"abc")
            assert upload.finish().status == 200
        assert [request.body for request in server.requests] == [b"abc", b"abc"]
        assert ["expect" in request.headers for request in server.requests] == [True, False]


def test_a_late_permission_to_continue_is_skipped(wire: Wire) -> None:
    with scripted([BODY, CONTINUE + answer(b"done")]) as server:
        upload = wire.upload("PUT", origin_of(server.url)[0], "/", (), 3, expect=False)
        assert upload.send(b"abc")
        assert upload.finish().read_all() == b"done"


def test_interim_answers_in_the_middle_do_not_end_a_body(wire: Wire) -> None:
    processing = b"HTTP/1.1 102 Processing\r\n\r\n"
    with scripted([CONTINUE + processing, BODY, answer(b"done")]) as server:
        origin = origin_of(server.url)[0]
        assert wire.exchange("PUT", origin, "/", (), bytes(20 * MIB)).read_all() == b"done"
        for size in (20 * MIB, None):
            upload = wire.upload("PUT", origin, "/", (), size, expect=False)
            assert send(upload, bytes(20 * MIB))
            assert upload.finish().read_all() == b"done"
        assert [len(request.body) for request in server.requests] == [20 * MIB] * 3
        assert server.connections == 1


def test_permission_and_refusal_at_once_is_a_refusal(wire: Wire) -> None:
    with scripted([CONTINUE + answer(b"no", status="403 No"), CLOSE]) as server:
        upload = wire.upload("PUT", origin_of(server.url)[0], "/", (), 3, expect=True)
        upload.send(b"abc")
        got = upload.finish()
        assert (got.status, got.read_all()) == (403, b"no")


def test_a_stale_connection_is_replaced_before_the_body_is_sent(wire: Wire) -> None:
    with scripted(answer(), [CLOSE], [CONTINUE, BODY, answer()]) as server:
        origin = origin_of(server.url)[0]
        wire.exchange("GET", origin, "/").close()
        upload = wire.upload("PUT", origin, "/", (), 3, expect=True)
        assert upload.send(b"abc")
        assert upload.finish().status == 200
        assert server.connections == 2


def test_a_connection_lost_in_the_body_is_broken(wire: Wire, web: Nginx) -> None:
    with fault_proxy(web.port, cut(2 * MIB, upward=True)) as proxy:
        upload = wire.upload("PUT", origin_of(proxy.url)[0], "/put/a", (), 1 << 40)
        with pytest.raises(Broken):
            while upload.send(bytes(MIB)):
                pass
            upload.finish()


def test_a_server_that_hangs_up_on_the_question_is_unreachable(wire: Wire) -> None:
    with scripted([CLOSE]) as server, pytest.raises(Unreachable):
        wire.upload("PUT", origin_of(server.url)[0], "/", (), 1 << 40).finish()


def test_more_or_fewer_bytes_than_announced_are_a_mistake(wire: Wire, web: Nginx) -> None:
    origin = origin_of(web.url)[0]
    upload = wire.upload("PUT", origin, "/put/a", (), 3)
    with pytest.raises(ValueError, match="4 bytes"):
        upload.send(b"abcd")
    assert upload.send(b"ab")
    with pytest.raises(ValueError, match="1 bytes of the body are missing"):
        upload.finish()
    assert not (web.root / "put/a").exists()
