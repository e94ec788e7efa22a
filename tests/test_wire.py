"""The lean HTTP client against real nginx, and against a double for answers that nginx never gives."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from servers.faults import SILENT, closed_port, cut, fault_proxy, reset, stall
from servers.scripted import BODY, CLOSE, RESET, STALL, Script, Scripted, answer, scripted
from wf.protocols.conformance_tools import content, make_context
from wf.protocols.errors import Broken, ServerFault, Stopped, TransferError, Unreachable, Unsupported
from wf.protocols.wire import Answer, Origin, Wire, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.nginx import Nginx
    from wf.protocols.context import Context

MIB = 1 << 20


@pytest.fixture
def context() -> Context:
    return make_context()


@pytest.fixture
def wire(context: Context) -> Iterator[Wire]:
    wire = Wire(context)
    yield wire
    wire.close()


def ask(
    wire: Wire, server: Scripted | Nginx, target: str = "/", method: str = "GET", **more: object
) -> Answer:
    return wire.exchange(method, origin_of(server.url)[0], target, **more)  # type: ignore[arg-type]


def status(answer: Answer) -> int:
    """The answer's status; its body is read."""
    answer.read_all()
    return answer.status


def whole(answer: Answer) -> bytes:
    pieces = []
    while view := answer.read():
        pieces.append(bytes(view))
    answer.close()
    return b"".join(pieces)


class TestOrigins:
    @pytest.mark.parametrize(
        ("url", "origin", "target"),
        [
            ("http://host/a?b=c#d", Origin(False, "host", 80), "/a?b=c"),
            ("https://Host:8443", Origin(True, "host", 8443), "/"),
            ("http://[::1]:81/x", Origin(False, "::1", 81), "/x"),
            ("http://user:pa@ss@host?q", Origin(False, "host", 80), "/?q"),
            ("HTTPS://host:/x", Origin(True, "host", 443), "/x"),
            ("http://host?next=@other/a", Origin(False, "host", 80), "/?next=@other/a"),
            ("http://host#@other/a", Origin(False, "host", 80), "/"),
        ],
    )
    def test_a_url_is_taken_apart(self, url: str, origin: Origin, target: str) -> None:
        assert origin_of(url) == (origin, target)

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://host/",
            "http:/host",
            "http://",
            "http:///@host/a",
            "http://?@host/a",
            "http://a b:c/",
            "http://host:99999/",
            "http://[::1/",
            "http://a..b/",
            f"http://{'a' * 64}/",
            f"http://{'a.' * 200}b/",
        ],
    )
    def test_what_is_no_http_url_is_refused(self, url: str) -> None:
        with pytest.raises(Unsupported):
            origin_of(url)

    def test_the_host_field_names_only_unusual_ports(self) -> None:
        assert Origin(False, "::1", 80).authority == "[::1]"
        assert Origin(True, "host", 80).authority == "host:80"


class TestBodies:
    def test_a_small_body_comes_in_one_view(self, wire: Wire, web: Nginx, context: Context) -> None:
        (web.root / "a").write_bytes(content(65536))
        got = ask(wire, web, "/a", into=context.view)
        assert bytes(got.read()) == content(65536)
        assert got.drained and not got.read()

    def test_a_body_that_just_fits_the_buffer_comes_in_one_view(
        self, wire: Wire, web: Nginx, context: Context
    ) -> None:
        (web.root / "a").write_bytes(content(MIB))
        assert bytes(ask(wire, web, "/a", into=context.view).read()) == content(MIB)

    @pytest.mark.parametrize("place", ["/a", "/chunked/a", "/noreuse/a"])
    def test_a_large_body_is_read_whole(self, wire: Wire, web: Nginx, context: Context, place: str) -> None:
        (web.root / "a").write_bytes(content(5 * MIB + 13))
        assert whole(ask(wire, web, place, into=context.view)) == content(5 * MIB + 13)
        assert whole(ask(wire, web, place)) == content(5 * MIB + 13)

    def test_a_trailer_comes_with_the_end(self, wire: Wire, web: Nginx) -> None:
        (web.root / "a").write_bytes(b"text")
        got = ask(wire, web, "/chunked/a")
        assert got.length is None
        assert got.read_all() == b"text"
        assert got.trailers.get("x-trailer") == "yes"

    def test_a_body_without_length_ends_with_the_connection(self, wire: Wire) -> None:
        with scripted([b"HTTP/1.0 200 OK\r\n\r\nall of it", CLOSE]) as server:
            assert ask(wire, server).read_all() == b"all of it"

    @pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
    def test_some_statuses_have_no_body(self, wire: Wire, status: str) -> None:
        with scripted(f"HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\n".encode()) as server:
            assert ask(wire, server).read_all() == b""
            assert ask(wire, server).read_all() == b""
            assert server.connections == 1

    def test_a_head_announces_a_length_and_sends_nothing(self, wire: Wire, web: Nginx) -> None:
        (web.root / "a").write_bytes(b"text")
        got = ask(wire, web, "/a", "HEAD")
        assert (got.length, got.read_all(), got.drained) == (4, b"", True)

    def test_chunk_extensions_are_skipped(self, wire: Wire) -> None:
        body = b'3;name="val"\r\nabc\r\n2 ; x\r\nde\r\n000\r\nA: b\r\nC: d\r\n\r\n'
        with scripted(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body) as server:
            got = ask(wire, server)
            assert got.read_all() == b"abcde"
            assert got.trailers.items() == [("a", "b"), ("c", "d")]
            assert ask(wire, server).read_all() == b"abcde"
            assert server.connections == 1

    def test_transfer_encoding_overrides_a_length_and_ends_the_connection(self, wire: Wire) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        with scripted(head + b"2\r\nab\r\n0\r\n\r\n") as server:
            assert ask(wire, server).read_all() == b"ab"
            assert ask(wire, server).read_all() == b"ab"
            assert server.connections == 2

    def test_a_large_error_page_is_not_read_to_its_end(self, wire: Wire) -> None:
        with scripted(answer(bytes(MIB))) as server:
            got = ask(wire, server)
            assert len(got.read_all(1000)) == 1000
            assert got.read() == b""

    def test_bytes_after_the_body_belong_to_no_answer(self, wire: Wire) -> None:
        with scripted(answer(b"one") + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") as server:
            assert ask(wire, server).read_all() == b"one"
            assert ask(wire, server).read_all() == b"one"
            assert server.connections == 2

    def test_the_buffer_of_the_context_stays_untouched_unless_given(
        self, wire: Wire, context: Context, web: Nginx
    ) -> None:
        context.view[:] = b"\xaa" * len(context.view)
        (web.root / "a").write_bytes(content(70_000))
        assert whole(ask(wire, web, "/chunked/a")) == content(70_000)
        assert ask(wire, web, "/put/x", "PUT", body=b"x").read_all() == b""
        upload = wire.upload("PUT", origin_of(web.url)[0], "/put/y", (), 2 * MIB)
        upload.send(bytes(2 * MIB))
        upload.finish().read_all()
        assert bytes(context.view) == b"\xaa" * len(context.view)


class TestHeads:
    def test_interim_answers_are_skipped(self, wire: Wire) -> None:
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3
        with scripted(interim + answer(b"text", "X: y")) as server:
            got = ask(wire, server)
            assert (got.status, got.headers.get("x"), got.read_all()) == (200, "y", b"text")

    def test_interim_answers_have_an_end(self, wire: Wire) -> None:
        with scripted(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100) as server, pytest.raises(ServerFault):
            ask(wire, server)

    def test_names_are_compared_without_case_and_repeated_fields_joined(self, wire: Wire) -> None:
        with scripted(answer(b"", "A-b: 1", "a-B: 2")) as server:
            headers = ask(wire, server).headers
            assert headers.get("A-B") == "1, 2"
            assert headers.getlist("a-b") == ["1", "2"]
            assert "A-B" in headers and "c" not in headers

    @pytest.mark.parametrize(
        "head",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 99 No\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nfolded: a\r\n b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nblank : a\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nnul: a\0b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n",
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nA: " + b"b" * 40_000,
        ],
    )
    def test_an_answer_that_http_does_not_allow_is_refused(self, wire: Wire, head: bytes) -> None:
        with scripted([head, STALL]) as server, pytest.raises(ServerFault):
            ask(wire, server)

    def test_another_transfer_coding_is_refused(self, wire: Wire) -> None:
        with (
            scripted(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n") as server,
            pytest.raises(Unsupported),
        ):
            ask(wire, server)

    @pytest.mark.parametrize(
        "body",
        [
            b"zz\r\n",
            b"3\r\nabcd\r\n",
            b"-3\r\nabc\r\n",
            b"1" * 5000,
            b"0\r\nno colon\r\n\r\n",
            b"0x3\r\nabc\r\n",
        ],
    )
    def test_chunks_that_make_no_sense_are_refused(self, wire: Wire, body: bytes) -> None:
        with scripted([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, STALL]) as server:
            got = ask(wire, server)
            with pytest.raises(ServerFault):
                got.read_all()

    @pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/\x7f", "/ä", ""])
    def test_a_target_that_would_split_the_request_is_not_sent(
        self, wire: Wire, web: Nginx, target: str
    ) -> None:
        with pytest.raises(Unsupported):
            ask(wire, web, target)

    @pytest.mark.parametrize(
        "field", [("X", "a\r\nY: b"), ("X", "a\nb"), ("X y", "a"), ("X:", "a"), ("", "a"), ("X", "日")]
    )
    def test_a_field_that_would_split_the_request_is_not_sent(
        self, wire: Wire, web: Nginx, field: tuple[str, str]
    ) -> None:
        with pytest.raises(Unsupported):
            ask(wire, web, headers=[field])

    def test_compression_is_not_asked_for(self, wire: Wire, web: Nginx) -> None:
        (web.root / "a").write_bytes(b"text" * 1000)
        assert whole(ask(wire, web, "/gz/a")) == b"text" * 1000
        assert [seen.accept_encoding for seen in web.requests()] == ["identity"]

    def test_a_host_that_is_given_is_the_one_sent(self, wire: Wire) -> None:
        with scripted() as server:
            ask(wire, server, headers=[("Host", "bucket.example"), ("User-Agent", "me")]).close()
            assert server.requests[0].headers["host"] == "bucket.example"
            assert server.requests[0].headers["user-agent"] == "me"


class TestConnections:
    def test_one_connection_serves_many_requests(self, wire: Wire, web: Nginx, context: Context) -> None:
        (web.root / "a").write_bytes(b"text")
        for _ in range(5):
            assert whole(ask(wire, web, "/a", into=context.view)) == b"text"
            assert ask(wire, web, "/absent").read_all()
            assert status(ask(wire, web, "/put/a", "PUT", body=b"x")) in (201, 204)
        assert web.connections() == 1

    def test_a_body_that_is_left_costs_the_connection(self, wire: Wire, web: Nginx) -> None:
        (web.root / "a").write_bytes(content(3 * MIB))
        ask(wire, web, "/a").close()
        assert status(ask(wire, web, "/absent")) == 404
        assert web.connections() == 2

    def test_a_stale_connection_is_replaced(self, wire: Wire, web: Nginx) -> None:
        (web.root / "a").write_bytes(b"text")
        with fault_proxy(web.port) as proxy:
            origin = origin_of(proxy.url)[0]
            for end in (proxy.cut_all, proxy.reset_all):
                assert wire.exchange("GET", origin, "/a").read_all() == b"text"
                end()
                assert wire.exchange("PUT", origin, "/put/b", body=b"text").read_all() == b""
                end()
                upload = wire.upload("PUT", origin, "/put/c", (), 3)
                assert upload.send(b"abc")
                assert status(upload.finish()) in (201, 204)
                end()
                assert status(wire.exchange("POST", origin, "/status/418", body=b"x")) == 418

    def test_a_request_that_may_have_been_carried_out_is_not_repeated(self, wire: Wire) -> None:
        scripts: list[Script] = [answer(), [BODY, CLOSE]]
        with scripted(*scripts) as server:
            ask(wire, server).close()
            with pytest.raises(TransferError):
                ask(wire, server, "/", "POST", body=b"once")
            assert [request.line.split()[0] for request in server.requests] == ["GET", "POST"]

    def test_a_fresh_connection_that_is_closed_is_not_tried_again(self, wire: Wire) -> None:
        with scripted([CLOSE]) as server:
            with pytest.raises(Unreachable, match="closed before any answer"):
                ask(wire, server)
            assert server.connections == 1

    def test_a_repeated_request_that_fails_again_is_a_failure(self, wire: Wire) -> None:
        with scripted(answer(), [CLOSE]) as server:
            ask(wire, server).close()
            with pytest.raises(Unreachable):
                ask(wire, server)
            assert server.connections == 2

    def test_few_idle_connections_are_kept(self, wire: Wire) -> None:
        with ExitStack() as servers:
            for _ in range(20):
                assert status(ask(wire, servers.enter_context(scripted()))) == 200
            assert sum(map(len, wire._pool._idle.values())) == 16

    def test_a_refused_connection_is_about_the_host(self, wire: Wire) -> None:
        with closed_port() as port, pytest.raises(Unreachable, match="connection refused") as caught:
            wire.exchange("GET", Origin(False, "127.0.0.1", port), "/")
        assert caught.value.host == f"127.0.0.1:{port}"

    def test_an_unknown_host_is_about_the_host(self, wire: Wire) -> None:
        with pytest.raises(Unreachable, match="cannot be resolved"):
            wire.exchange("GET", Origin(False, "no-such-host.invalid", 80), "/")

    def test_the_second_address_is_used_when_the_first_refuses(self, wire: Wire, web: Nginx) -> None:
        """`localhost` is ::1 too on many machines, where this server does not listen."""
        assert status(wire.exchange("GET", Origin(False, "localhost", web.port), "/x")) == 404


class TestFaults:
    @pytest.fixture
    def short(self) -> Context:
        return make_context(stall=0.2, connect=0.2)

    def test_a_connection_cut_in_the_body_is_broken(self, wire: Wire, web: Nginx) -> None:
        (web.root / "a").write_bytes(content(100_000))
        for fault in (cut(50_000, body=True), reset(50_000, body=True)):
            with fault_proxy(web.port, fault) as proxy, pytest.raises(Broken, match=r"127\.0\.0\.1"):
                whole(wire.exchange("GET", origin_of(proxy.url)[0], "/a"))

    @pytest.mark.parametrize("place", ["/a", "/chunked/a"])
    @pytest.mark.parametrize("at", [0, 5, 99, 100, 2000])
    def test_a_cut_is_noticed_wherever_it_is(self, wire: Wire, web: Nginx, at: int, place: str) -> None:
        (web.root / "a").write_bytes(content(2001))
        with fault_proxy(web.port, cut(at, body=True)) as proxy, pytest.raises(Broken):
            whole(wire.exchange("GET", origin_of(proxy.url)[0], place))

    def test_a_connection_cut_in_the_head_is_broken(self, wire: Wire, web: Nginx) -> None:
        with fault_proxy(web.port, cut(20)) as proxy, pytest.raises(Broken, match="head of the answer"):
            wire.exchange("GET", origin_of(proxy.url)[0], "/a")

    def test_a_silent_host_is_unreachable(self, short: Context, web: Nginx) -> None:
        with fault_proxy(web.port, SILENT) as proxy, pytest.raises(Unreachable, match=r"no byte for 0\.2 s"):
            Wire(short).exchange("GET", origin_of(proxy.url)[0], "/a")

    def test_a_stall_in_the_body_is_broken(self, short: Context, web: Nginx) -> None:
        (web.root / "a").write_bytes(content(100_000))
        with fault_proxy(web.port, stall(5000, body=True)) as proxy:
            got = Wire(short).exchange("GET", origin_of(proxy.url)[0], "/a")
            with pytest.raises(Broken, match="no byte for"):
                whole(got)

    def test_a_stall_while_sending_is_broken(self, short: Context, web: Nginx) -> None:
        with fault_proxy(web.port, stall(MIB, upward=True)) as proxy:
            upload = Wire(short).upload("PUT", origin_of(proxy.url)[0], "/put/a", (), 64 * MIB)
            with pytest.raises(Broken, match="no byte for"):
                for _ in range(64):
                    upload.send(bytes(MIB))

    def test_the_end_of_the_run_ends_a_wait(self, web: Nginx) -> None:
        stop = threading.Event()
        with fault_proxy(web.port, SILENT) as proxy:
            threading.Timer(0.1, stop.set).start()
            with pytest.raises(Stopped):
                Wire(make_context(stop=stop, stall=1000)).exchange("GET", origin_of(proxy.url)[0], "/a")

    def test_a_connection_lost_while_a_body_was_sent_is_broken(self, wire: Wire) -> None:
        with scripted([b"", RESET]) as server, pytest.raises(Broken):
            ask(wire, server, "/", "PUT", body=bytes(10 * MIB))
