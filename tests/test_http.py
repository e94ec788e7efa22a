"""Files on web servers: what is read, written, looked at and removed, and what every refusal is called."""

from __future__ import annotations

import base64
import hashlib
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from servers.nginx import BASIC_PASSWORD, BASIC_USER, BEARER_TOKEN, HEADER_TOKEN
from servers.scripted import BODY, CLOSE, FOUR_BYTES, Script, Scripted, answer, scripted
from wf.checksum.digest import Digest
from wf.credentials.kinds import AccessKey, Anonymous, Basic, Bearer, Credential, Headers, Secret
from wf.protocols.conformance_tools import content, drained, make_context, written
from wf.protocols.errors import (
    Broken,
    Busy,
    Changed,
    Denied,
    Exists,
    Misconfigured,
    NoSpace,
    NotFound,
    ServerFault,
    TransferError,
    Unsupported,
)
from wf.protocols.http import HttpStore
from wf.protocols.locations import Location, parse_location
from wf.protocols.values import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.nginx import Nginx

    StoreWith = Callable[[Credential], HttpStore]

MIB = 1 << 20
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BASIC = Basic(BASIC_USER, Secret(BASIC_PASSWORD), name="alice", origin="a test")
BEARER = Bearer(Secret(BEARER_TOKEN), name="token", origin="a test")
HEADERS = Headers((("X-Token", Secret(HEADER_TOKEN)),), name="header", origin="a test")


@pytest.fixture
def store() -> Iterator[HttpStore]:
    store = HttpStore(make_context())
    yield store
    store.close()


@pytest.fixture
def store_with() -> Iterator[StoreWith]:
    """Makes stores that present a credential."""
    with ExitStack() as stores:

        def make(credential: Credential) -> HttpStore:
            store = HttpStore(make_context(credential=credential))
            stores.callback(store.close)
            return store

        yield make


def at(server: Nginx | Scripted, path: str) -> Location:
    return parse_location(server.url + path)


def old(web: Nginx, name: str, data: bytes) -> None:
    """A file that was not written within this second, so that its ETag counts."""
    (web.root / name).write_bytes(data)
    os.utime(web.root / name, (0, 1_000_000_000))


class TestReading:
    def test_a_file_has_a_size_and_a_version(self, store: HttpStore, web: Nginx) -> None:
        old(web, "a", content(3 * MIB))
        reader = store.open_read(at(web, "/a"))
        assert reader.size == 3 * MIB
        assert reader.version is not None and reader.version.startswith('"')
        assert (reader.mode, reader.descriptor, reader.digests) == (None, None, ())
        assert drained(reader) == content(3 * MIB)

    def test_the_version_of_a_file_that_is_being_written_is_not_believed(
        self, store: HttpStore, web: Nginx
    ) -> None:
        now = (
            "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
            "Date: Sun, 06 Nov 1994 08:49:37 GMT",
            'ETag: "a"',
        )
        with scripted(answer(b"", *now), answer(b"", 'ETag: W/"a"')) as server:
            for _ in range(2):
                reader = store.open_read(at(server, "/a"))
                assert reader.version is None
                reader.close()

    def test_a_range_is_resumed_only_at_the_same_version(self, store: HttpStore, web: Nginx) -> None:
        old(web, "a", b"0123456789")
        reader = store.open_read(at(web, "/a"))
        version = reader.version
        drained(reader)
        resumed = store.open_read(at(web, "/a"), start=4, length=3, version=version)
        assert (drained(resumed), resumed.size, resumed.version) == (b"456", 10, version)
        assert [(seen.range, seen.if_range) for seen in web.requests()] == [("", ""), ("bytes=4-6", version)]
        old(web, "a", b"another file")
        for start in (0, 4):
            with pytest.raises(Changed):
                store.open_read(at(web, "/a"), start=start, version=version)

    def test_a_server_without_ranges_is_never_read_from_the_wrong_byte(
        self, store: HttpStore, web: Nginx
    ) -> None:
        old(web, "a", b"0123456789")
        with pytest.raises(Changed, match="instead of byte 4"):
            store.open_read(at(web, "/norange/a"), start=4)
        assert drained(store.open_read(at(web, "/norange/a"), start=0, length=4)) == b"0123"

    def test_a_range_that_begins_at_the_end_is_empty(self, store: HttpStore, web: Nginx) -> None:
        old(web, "a", b"0123456789")
        assert drained(store.open_read(at(web, "/a"), start=10)) == b""
        with pytest.raises(Changed):
            store.open_read(at(web, "/a"), start=11)

    @pytest.mark.parametrize(
        "field", ["bytes 3-9/10", "bytes 4-8/10", "bytes 4-9/*", "bytes */10", "items 4-9/10", ""]
    )
    def test_another_range_than_the_one_asked_for_is_refused(self, store: HttpStore, field: str) -> None:
        body = b"45678" if "8" in field else b"4567"
        fields = (f"Content-Range: {field}",) if field else ()
        with (
            scripted(answer(body, *fields, status="206 Partial Content")) as server,
            pytest.raises(ServerFault),
        ):
            store.open_read(at(server, "/a"), start=4)

    def test_a_part_that_nobody_asked_for_is_refused(self, store: HttpStore) -> None:
        got = answer(b"4567", "Content-Range: bytes 4-7/10", status="206 Partial Content")
        with scripted(got) as server, pytest.raises(ServerFault):
            store.open_read(at(server, "/a")).read()

    def test_a_body_shorter_than_announced_is_broken(self, store: HttpStore) -> None:
        short = [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", CLOSE]
        with scripted(short) as server, pytest.raises(Broken, match="5 bytes before the end of 10"):
            drained(store.open_read(at(server, "/a")))

    def test_a_chunked_part_shorter_than_announced_is_broken(self, store: HttpStore) -> None:
        head = b"HTTP/1.1 206 Partial\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-9/10\r\n\r\n"
        with (
            scripted(head + b"3\r\nabc\r\n0\r\n\r\n") as server,
            pytest.raises(Broken, match="7 bytes early"),
        ):
            drained(store.open_read(at(server, "/a"), length=10))

    def test_a_file_compressed_on_the_way_is_refused(self, store: HttpStore) -> None:
        with scripted(answer(b"\x1f\x8b", "Content-Encoding: gzip")) as server:
            with pytest.raises(Unsupported, match="Content-Encoding gzip"):
                store.open_read(at(server, "/a.txt"))
            assert drained(store.open_read(at(server, "/a.tar.gz"))) == b"\x1f\x8b"

    def test_a_trailer_brings_a_digest(self, store: HttpStore) -> None:
        digest = hashlib.sha256(b"abc").digest()
        trailer = f"Repr-Digest: sha-256=:{base64.b64encode(digest).decode()}:\r\n\r\n".encode()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
        with scripted(head + trailer) as server:
            reader = store.open_read(at(server, "/a"))
            assert drained(reader) == b"abc"
            assert reader.digests == (Digest("sha256", digest),)

    def test_digests_are_those_of_the_whole_file(self, store: HttpStore) -> None:
        md5 = hashlib.md5(b"abc").digest()
        fields = (
            "Content-MD5: " + base64.b64encode(md5).decode(),
            "Digest: MD5=" + base64.b64encode(md5).decode(),
        )
        part = (*fields[:1], "Content-Range: bytes 1-2/3")
        with scripted(answer(b"abc", *fields), answer(b"bc", *part, status="206 Partial")) as server:
            whole, rest = store.open_read(at(server, "/a")), None
            assert whole.digests == (Digest("md5", md5),)
            assert drained(whole) == b"abc"
            rest = store.open_read(at(server, "/a"), start=1)
            assert rest.digests == ()
            assert drained(rest) == b"bc"


class TestStatuses:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, Unsupported),
            (401, Denied),
            (403, Denied),
            (404, NotFound),
            (410, NotFound),
            (412, Changed),
            (416, Changed),
            (418, Unsupported),
            (429, Busy),
            (451, Denied),
            (500, ServerFault),
            (501, Unsupported),
            (502, ServerFault),
            (503, Busy),
            (504, ServerFault),
            (507, NoSpace),
        ],
    )
    def test_a_status_is_an_error_that_says_so(
        self, store: HttpStore, web: Nginx, status: int, kind: type[TransferError]
    ) -> None:
        location = at(web, f"/status/{status}")
        with pytest.raises(kind) as caught:
            store.open_read(location)
        assert type(caught.value) is kind
        assert str(status) in caught.value.what and location.url in caught.value.what
        assert caught.value.retry_after == (1.0 if status in (429, 503) else None)
        writing = {409: NotFound, 412: Exists}.get(status, kind)
        with pytest.raises(writing):
            written(store, location, b"x")

    @pytest.mark.parametrize("status", ["408 Request Timeout", "425 Too Early", "599 What"])
    def test_some_statuses_are_worth_another_try(self, store: HttpStore, status: str) -> None:
        with scripted(answer(status=status)) as server, pytest.raises(ServerFault):
            store.open_read(at(server, "/a"))

    @pytest.mark.parametrize(
        ("field", "seconds"),
        [
            ("7", 7.0),
            ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
            ("Sun, 06 Nov 1994 08:40:37 GMT", 0.0),
            ("99999999999999999999", 86400.0),
            ("soon", None),
            ("-5", None),
        ],
    )
    def test_a_wait_is_told_in_seconds_or_as_a_date(
        self, store: HttpStore, field: str, seconds: float | None
    ) -> None:
        fields = (f"Retry-After: {field}", "Date: Sun, 06 Nov 1994 08:49:37 GMT")
        with scripted(answer(b"", *fields, status="503 Busy")) as server, pytest.raises(Busy) as caught:
            store.open_read(at(server, "/a"))
        assert caught.value.retry_after == seconds

    def test_an_expired_signed_url_says_what_the_server_says_and_no_signature(self, store: HttpStore) -> None:
        body = (
            b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message>'
            b"<StringToSign>AKIAEXAMPLE</StringToSign></Error>"
        )
        got = answer(body, "Content-Type: application/xml", status="403 Forbidden")
        with scripted(got) as server, pytest.raises(Denied) as caught:
            store.open_read(at(server, "/b/k?X-Amz-Signature=5ec2e7&X-Amz-Date=20260101"))
        assert "403 Forbidden: AccessDenied: Request has expired" in caught.value.what
        assert "5ec2e7" not in caught.value.what and "AKIA" not in caught.value.what

    @pytest.mark.parametrize(
        ("kind", "body", "said"),
        [
            ("text/plain", b"no \x1b[31m entry\n today", "no \\x1b[31m entry today"),
            ("application/json", b'{"error": {"message": "quota"}, "key": "hidden"}', "quota"),
            ("application/json", b"[broken", ""),
            ("text/html", b"<html><title>No entry</title><p>long</html>", "No entry"),
            ("application/octet-stream", b"\x00\x01", ""),
            ("text/plain", b"word " * 500, "word"),
        ],
    )
    def test_what_the_body_says_is_told_in_one_short_clean_line(
        self, store: HttpStore, kind: str, body: bytes, said: str
    ) -> None:
        got = answer(body, f"Content-Type: {kind}", status="404 Not Found")
        with scripted(got) as server, pytest.raises(NotFound) as caught:
            store.open_read(at(server, "/a"))
        assert caught.value.what.endswith(said) or said in caught.value.what
        assert len(caught.value.what) < 300 and caught.value.what.isprintable()
        assert "hidden" not in caught.value.what


class TestCredentials:
    @pytest.mark.parametrize(
        ("place", "credential"), [("/basic/a", BASIC), ("/bearer/a", BEARER), ("/header/a", HEADERS)]
    )
    def test_a_credential_opens_what_it_is_for(
        self, store_with: StoreWith, web: Nginx, place: str, credential: Credential
    ) -> None:
        old(web, "a", b"secret")
        assert drained(store_with(credential).open_read(at(web, place))) == b"secret"
        with pytest.raises(Denied, match="no credential"):
            store_with(Anonymous()).open_read(at(web, place))

    def test_user_and_password_of_the_url_are_presented_and_not_sent_as_part_of_it(
        self, store: HttpStore, web: Nginx
    ) -> None:
        old(web, "a", b"secret")
        url = f"http://{BASIC_USER}:{BASIC_PASSWORD.replace(':', '%3A')}@127.0.0.1:{web.port}/basic/a"
        assert drained(store.open_read(parse_location(url))) == b"secret"
        (seen,) = web.requests()
        assert (seen.target, seen.host) == ("/basic/a", f"127.0.0.1:{web.port}")

    def test_a_refused_credential_is_named_and_not_shown(self, store_with: StoreWith, web: Nginx) -> None:
        wrong = Basic("bob", Secret("hunter22"), name="bob", origin="/home/bob/.netrc")
        with pytest.raises(Denied, match=r"bob from /home/bob/\.netrc.*asks for Basic") as caught:
            store_with(wrong).open_read(at(web, "/basic/a"))
        assert "hunter22" not in caught.value.what

    def test_a_secret_that_the_server_repeats_is_not_shown(self, store_with: StoreWith) -> None:
        got = answer(f"bad token {BEARER_TOKEN}".encode(), "Content-Type: text/plain", status="401 No")
        with scripted(got) as server, pytest.raises(Denied, match=r"bad token \*\*\*") as caught:
            store_with(BEARER).open_read(at(server, "/a"))
        assert BEARER_TOKEN not in str(caught.value) + caught.value.what

    def test_a_kind_that_http_cannot_present_is_a_configuration_error(
        self, store_with: StoreWith, web: Nginx
    ) -> None:
        key = AccessKey("id", Secret("key"), name="keys", origin="a test")
        with pytest.raises(Misconfigured, match="keys from a test"):
            store_with(key).open_read(at(web, "/a"))

    @pytest.mark.parametrize("place", ["/redir-name/a", "/redir-port/a"])
    def test_a_credential_does_not_follow_to_another_server(
        self, store_with: StoreWith, web: Nginx, place: str
    ) -> None:
        old(web, "a", b"open")
        assert drained(store_with(BEARER).open_read(at(web, place))) == b"open"
        assert [bool(seen.authorization) for seen in web.requests()] == [True, False]

    def test_a_credential_stays_with_its_server(self, store_with: StoreWith, web: Nginx) -> None:
        old(web, "a", b"open")
        assert drained(store_with(BASIC).open_read(at(web, "/redir/basic/a"))) == b"open"
        assert [bool(seen.authorization) for seen in web.requests()] == [True, True]


class TestRedirects:
    @pytest.mark.parametrize("code", ["", "301", "302", "303", "308"])
    def test_a_redirect_is_followed(self, store: HttpStore, web: Nginx, code: str) -> None:
        old(web, "a b", b"there")
        assert drained(store.open_read(at(web, f"/redir{code}/a%20b"))) == b"there"
        assert web.connections() == 1

    @pytest.mark.parametrize("where", ["other", "./other", "../x/other", "?q=1", "//{host}/x/other", "/x/ä"])
    def test_a_relative_redirect_is_followed(self, store: HttpStore, where: str) -> None:
        with scripted() as server:
            server.scripts[:] = [
                answer(b"", f"Location: {where.format(host=server.url[7:])}", status="302 Found"),
                answer(b"there"),
            ]
            assert drained(store.open_read(at(server, "/x/a"))) == b"there"
            target = server.requests[1].line.split()[1]
        assert target in ("/x/other", "/x/a?q=1", "/x/%E4")

    def test_a_circle_is_noticed(self, store: HttpStore, web: Nginx) -> None:
        with pytest.raises(Unsupported, match="circle"):
            store.open_read(at(web, "/loop"))

    def test_redirects_have_an_end(self, store: HttpStore) -> None:
        hops = [answer(b"", f"Location: /{number}", status="302 Found") for number in range(30)]
        with scripted(*hops) as server:
            with pytest.raises(Unsupported, match="more than 20 redirects"):
                store.open_read(at(server, "/a"))
            assert len(server.requests) == 21

    @pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://host/a", "gopher:x", "http://[bad/"])
    def test_a_redirect_to_anything_else_is_refused(self, store: HttpStore, where: str) -> None:
        with (
            scripted(answer(b"", f"Location: {where}", status="302 Found")) as server,
            pytest.raises(Unsupported),
        ):
            store.open_read(at(server, "/a"))

    def test_a_redirect_to_nowhere_is_refused(self, store: HttpStore) -> None:
        with scripted(answer(b"", status="302 Found")) as server, pytest.raises(Unsupported, match="302"):
            store.open_read(at(server, "/a"))

    def test_a_login_page_in_place_of_a_file_is_refused(self, store: HttpStore, web: Nginx) -> None:
        with pytest.raises(Denied, match="web page"):
            store.open_read(at(web, "/html-login/a"))

    def test_a_web_page_that_was_asked_for_is_read(self, store: HttpStore, web: Nginx) -> None:
        old(web, "a.html", b"<html>")
        for place in ("/a.html", "/redir/a.html", "/redir-name/a.html"):
            assert drained(store.open_read(at(web, place))) == b"<html>"

    def test_an_upload_follows_before_its_body_is_sent(self, store: HttpStore, web: Nginx) -> None:
        data = content(3 * MIB)
        written(store, at(web, "/redir-put/a"), data)
        assert (web.root / "put/a").read_bytes() == data
        assert [seen.status for seen in web.requests()] == [307, 201]

    def test_an_upload_that_is_redirected_too_late_goes_there_in_the_next_attempt(
        self, store: HttpStore
    ) -> None:
        """The double answers when the body is there but for its last byte."""
        moved: Script = [CONTINUE, FOUR_BYTES, answer(b"", "Location: /b", status="307 Moved"), CLOSE]
        with scripted(moved, [BODY, answer()]) as server:
            writer = store.open_write(at(server, "/a"), Incoming(5))
            writer.write(memoryview(b"whole"))
            with pytest.raises(Broken, match="redirected"):
                writer.commit(())
            written(store, at(server, "/a"), b"whole")
            assert [request.line for request in server.requests] == ["PUT /a HTTP/1.1", "PUT /b HTTP/1.1"]

    def test_an_upload_that_is_at_hand_follows(self, store: HttpStore, web: Nginx) -> None:
        writer = store.open_write(at(web, "/redir-put/a"), Incoming(5, hashlib.sha256(b"small").digest()))
        writer.write(memoryview(b"small"))
        assert web.requests() == []
        writer.commit(())
        assert (web.root / "put/a").read_bytes() == b"small"

    def test_an_upload_does_not_become_something_else(self, store: HttpStore, web: Nginx) -> None:
        with pytest.raises(Unsupported, match="303"):
            written(store, at(web, "/redir303/a"), b"text")


class TestWriting:
    def test_a_refused_upload_is_refused_when_it_is_opened(self, store: HttpStore, web: Nginx) -> None:
        for place, kind in (("/a", Unsupported), ("/put-basic/a", Denied), ("/put-small/a", NoSpace)):
            with pytest.raises(kind):
                store.open_write(at(web, place), Incoming(MIB))

    def test_the_last_byte_is_held_back(self, store: HttpStore) -> None:
        with scripted([BODY, answer()]) as server:
            writer = store.open_write(at(server, "/a"), Incoming(4))
            writer.write(memoryview(b"ab"))
            writer.write(memoryview(b"cd"))
            writer.abort()
            writer.abort()
            written(store, at(server, "/a"), b"whole")
        assert [request.body for request in server.requests] == [b"abc", b"whole"]

    def test_the_end_of_a_body_of_unknown_size_is_held_back(self, store: HttpStore, web: Nginx) -> None:
        writer = store.open_write(at(web, "/put/a"), Incoming(None))
        writer.write(memoryview(b"abcd"))
        writer.abort()
        written(store, at(web, "/put/b"), b"whole", size=None)
        assert not (web.root / "put/a").exists()
        assert (web.root / "put/b").read_bytes() == b"whole"

    @pytest.mark.parametrize("pieces", [[b"abcde"], [b"ab"]])
    def test_a_source_of_another_size_than_announced_is_not_published(
        self, store: HttpStore, web: Nginx, pieces: list[bytes]
    ) -> None:
        writer = store.open_write(at(web, "/put/a"), Incoming(4))
        with pytest.raises(Changed):
            for piece in pieces:
                writer.write(memoryview(piece))
            writer.commit(())
        writer.abort()
        assert not (web.root / "put/a").exists()

    def test_a_receipt_holds_what_the_server_says_and_no_more(self, store: HttpStore) -> None:
        digest = base64.b64encode(hashlib.sha256(b"abcd").digest()).decode()
        fields = ('ETag: "v1"', f"Repr-Digest: sha-256=:{digest}:")
        with scripted(
            [BODY, answer(b"", *fields, status="201 Created")], [BODY, answer(b"body", *fields)]
        ) as server:
            receipt = written(store, at(server, "/a"), b"abcd")
            assert receipt[:3] == (None, '"v1"', (Digest("sha256", hashlib.sha256(b"abcd").digest()),))
            assert written(store, at(server, "/a"), b"abcd").digests == ()
            assert not any("digest" in name for name in server.requests[0].headers)

    @pytest.mark.parametrize("status", ["207 Multi-Status", "206 Partial", "301 Moved", "100 Continue"])
    def test_only_success_is_success(self, store: HttpStore, status: str) -> None:
        last = answer(status="500 No") if status.startswith("100") else b""
        with (
            scripted([BODY, answer(status=status) + last]) as server,
            pytest.raises((ServerFault, Unsupported)),
        ):
            written(store, at(server, "/a"), b"abcd")


class TestOtherRequests:
    def test_an_entry_has_size_version_and_time(self, store: HttpStore, web: Nginx) -> None:
        old(web, "a", b"0123456789")
        entry = store.stat(at(web, "/a"))
        assert (entry.size, entry.modified, entry.is_directory) == (10, 1_000_000_000.0, False)
        assert entry.version is not None
        with pytest.raises(NotFound):
            store.stat(at(web, "/absent"))
        assert store.stat(at(web, "/chunked/a")).size is None

    @pytest.mark.parametrize("status", ["405 No", "501 No"])
    def test_a_server_without_head_is_asked_for_a_part(self, store: HttpStore, status: str) -> None:
        part = answer(b"0", "Content-Range: bytes 0-0/10", status="206 Partial Content")
        none = answer(b"", "Content-Range: bytes */0", status="416 No")
        head = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
        with scripted(head, part, head, none, head, answer(b"0123"), head, answer(status="404 No")) as server:
            assert store.stat(at(server, "/a")).size == 10
            assert store.stat(at(server, "/a")).size == 0
            assert store.stat(at(server, "/a")).size == 4
            with pytest.raises(NotFound):
                store.stat(at(server, "/a"))

    def test_a_url_signed_for_get_is_looked_at_with_get(self, store: HttpStore) -> None:
        part = answer(b"0", "Content-Range: bytes 0-0/10", status="206 Partial Content")
        with scripted(answer(status="403 No"), part) as server:
            assert store.stat(at(server, "/a?X-Amz-Signature=abc")).size == 10
            assert [request.line.split()[0] for request in server.requests] == ["HEAD", "GET"]

    def test_a_digest_is_asked_for(self, store: HttpStore) -> None:
        digest = hashlib.sha256(b"abc").digest()
        field = f"Digest: SHA-256={base64.b64encode(digest).decode()}"
        with scripted(answer(b"", field)) as server:
            assert store.digest(at(server, "/a"), "sha256") == Digest("sha256", digest)
            assert store.digest(at(server, "/a"), "md5") is None
            assert "sha-256" in server.requests[0].headers["want-digest"]
            assert "sha-256" in server.requests[0].headers["want-repr-digest"]

    def test_a_removal_that_is_refused_is_an_error(self, store: HttpStore, web: Nginx) -> None:
        old(web, "a", b"stays")
        with pytest.raises(Unsupported):
            store.remove(at(web, "/a"), recursive=False)
        with pytest.raises(Denied):
            store.remove(at(web, "/put-basic/a"), recursive=False)
        assert (web.root / "a").exists()
