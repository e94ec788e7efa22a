"""Whatever bytes come, and in whatever pieces: an answer, or one of our errors; never another exception, never a hang."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wf.checksum.digest import Digest
from wf.protocols.connection import Connection
from wf.protocols.digest_headers import digests_of
from wf.protocols.errors import Broken, TransferError, Unsupported
from wf.protocols.exchange import Answer, Fields
from wf.protocols.heads import HEAD_MOST, Malformed, receive_head
from wf.protocols.origins import Origin, Request, origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class Pieces(Connection):
    """A double: a connection on which exactly these pieces arrive, then its end."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.peer = "double:0"
        self.secure = False
        self.served = 0
        self.heard = False
        self.closed = 0

    def receive(self, view: memoryview, least: int = 1) -> int:
        assert len(view) >= least > 0, "nothing can be received into nothing"
        got = 0
        while got < least and self._pieces:
            piece = self._pieces[0][: len(view) - got]
            view[got : got + len(piece)] = piece
            got += len(piece)
            self._pieces[0] = self._pieces[0][len(piece) :]
            if not self._pieces[0]:
                del self._pieces[0]
        return got

    def close(self) -> None:
        self.closed += 1


class Received:
    """What comes of pieces: status and body, or the error; and whether the connection can be used again."""

    def __init__(self, pieces: Sequence[bytes], *, method: str = "GET", size: int = HEAD_MOST) -> None:
        connection = Pieces(pieces)
        kept: list[Connection] = []
        self.status = 0
        self.error: TransferError | Malformed | OSError | None = None
        self.body = b""
        self.trailers: list[tuple[str, str]] = []
        view = memoryview(bytearray(size))
        try:
            head = receive_head(connection, view)
            answer = Answer(lambda: "GET", method, connection, view, head, lambda: kept.append(1))
            self.status = answer.status
            while part := answer.read():
                self.body += part
            self.trailers = answer.trailers.items()
            assert answer.drained
            assert len(kept) + connection.closed == 1, "given back or closed, and only once"
        except (TransferError, Malformed, OSError) as error:
            self.error = error
            assert not kept, "a connection that failed is not used again"
        self.kept = bool(kept)


def cut_up(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


without_deadline = settings(deadline=None)
CUTS = st.lists(st.integers(min_value=0), max_size=12)
BODIES = st.binary(max_size=300) | st.binary(min_size=1, max_size=40).map(lambda part: part * 3000)
TOKENS = st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20)
LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 204 No",
    b"Content-Length: 3",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"",
    b"3",
    b"abc",
    b"0",
    b"ffffffffffffffff",
    b" folded",
    b"X: y",
    b"\x00",
]
NEARLY = st.lists(st.sampled_from(LINES) | st.binary(max_size=8), max_size=16).map(b"\r\n".join)


@without_deadline
@given(st.binary(max_size=400) | NEARLY, CUTS, st.sampled_from(["GET", "HEAD", "PUT"]))
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", [], "GET")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;" + b"x" * 9000, [], "GET")
@example(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 9000, [], "GET")
@example(b"HTTP/1.1 100 C\r\n\r\n" * 9, [], "GET")
def test_any_bytes_are_an_answer_or_an_error_of_ours(data: bytes, cuts: list[int], method: str) -> None:
    Received(cut_up(data, cuts), method=method)


@without_deadline
@given(NEARLY, CUTS)
def test_pieces_make_no_difference(data: bytes, cuts: list[int]) -> None:
    one, other = Received([data]), Received(cut_up(data, cuts))
    assert (one.status, one.trailers, type(one.error)) == (other.status, other.trailers, type(other.error))
    if one.error is None:
        # What belongs to nothing may come when the connection is kept already.
        assert one.body == other.body and one.kept <= other.kept


def chunked(body: bytes, sizes: Sequence[int], extension: bytes, trailer: bytes) -> bytes:
    parts = []
    for size in sizes:
        part, body = body[:size], body[size:]
        if part:
            parts.append(b"%X%s\r\n%s\r\n" % (len(part), extension, part))
    if body:
        parts.append(b"%x\r\n%s\r\n" % (len(body), body))
    return b"".join([*parts, b"0", extension, b"\r\n", trailer, b"\r\n"])


@without_deadline
@given(
    body=BODIES,
    sizes=st.lists(st.integers(1, 70_000), max_size=20),
    extension=st.sampled_from([b"", b";a", b' ; a="b"', b";x=" + b"y" * 500]),
    trailer=st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC: d\r\n" * 100]),
    cuts=CUTS,
    size=st.sampled_from([HEAD_MOST, HEAD_MOST + 1, 1 << 17]),
)
def test_any_chunks_in_any_pieces_give_the_same_body(
    body: bytes, sizes: list[int], extension: bytes, trailer: bytes, cuts: list[int], size: int
) -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, sizes, extension, trailer)
    got = Received(cut_up(data, cuts), size=size)
    assert got.error is None
    assert got.body == body
    assert bool(got.trailers) == bool(trailer)
    assert got.kept or len(data) == 0


@without_deadline
@given(BODIES, CUTS, st.integers(0, 3), st.booleans())
def test_a_sized_body_in_any_pieces_is_the_same(
    body: bytes, cuts: list[int], interim: int, closing: bool
) -> None:
    head = (
        b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" * interim
        + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body)
    )
    data = head + (b"Connection: close\r\n" if closing else b"") + b"\r\n" + body
    got = Received(cut_up(data, cuts))
    assert (got.error, got.body, got.kept) == (None, body, not closing)


@without_deadline
@given(BODIES.filter(len), st.integers(1), st.sampled_from(["sized", "chunked"]), CUTS)
def test_a_body_that_ends_early_is_broken(body: bytes, missing: int, framing: str, cuts: list[int]) -> None:
    if framing == "sized":
        end = b"Content-Length: %d\r\n\r\n" % len(body) + body
        shorter = end[: len(end) - 1 - missing % len(body)]
    else:
        end = b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, [7, 100], b"", b"A: b\r\n")
        begin = end.index(b"\r\n\r\n") + 4
        shorter = end[: begin + missing % (len(end) - begin)]
    got = Received(cut_up(b"HTTP/1.1 200 OK\r\n" + shorter, cuts))
    assert isinstance(got.error, Broken)
    assert body.startswith(got.body)


@without_deadline
@given(st.lists(st.tuples(TOKENS, VALUES), max_size=20))
def test_fields_are_taken_as_they_came(pairs: list[tuple[str, str]]) -> None:
    fields = Fields("".join(f"{name}:  {value}\t\r\n" for name, value in pairs))
    for name, _ in pairs:
        wanted = [value.strip(" \t") for key, value in pairs if key.lower() == name.lower()]
        assert fields.getlist(name.upper()) == wanted
        assert fields.get(name) == ", ".join(wanted)


@without_deadline
@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
@example("/a HTTP/1.1\r\nX: y", "X", "y")
@example("/a", "X", "y\r\nZ: z")
@example("/a", "X: y\r\nZ", "z")
def test_no_request_is_split(target: str, name: str, value: str) -> None:
    request = Request("GET", Origin(False, "host", 80), target, [(name, value)], None)
    try:
        head = request.head(None, "")
    except Unsupported:
        return
    lines = head.decode("latin-1").split("\r\n")
    assert lines[0] == f"GET {target} HTTP/1.1"
    assert lines[1] == f"{name}: {value}"
    assert lines[-2:] == ["", ""] and lines.count("") == 2
    assert not any(control in head for control in (b"\0", b"\n\n", b"\r\r"))
    assert head.count(b"\n") == head.count(b"\r\n") == len(lines) - 1


def test_a_percent_sign_in_a_request_stands_for_itself() -> None:
    fields = [("X-%s", "%d"), ("%%", "%(x)s")]
    head = Request("GET", Origin(False, "a%25b", 80), "/%s%20", fields, None).head(None, "")
    assert head.startswith(b"GET /%s%20 HTTP/1.1\r\nX-%s: %d\r\n%%: %(x)s\r\nHost: a%25b\r\n")


@pytest.mark.parametrize("name", ["X-Host-Foo", "Ghost", "X-Forwarded-Host", "Old-User-Agent"])
def test_a_field_that_only_sounds_like_ours_does_not_take_its_place(name: str) -> None:
    head = Request("GET", Origin(False, "host", 80), "/", [(name, "x")], None).head(None, "")
    assert b"\r\nHost: host\r\n" in head and b"\r\nUser-Agent: wf-transfer\r\n" in head


@pytest.mark.parametrize("name", ["Host", "HOST", "User-Agent", "user-agent"])
def test_a_field_that_is_given_takes_the_place_of_ours(name: str) -> None:
    head = Request("GET", Origin(False, "host", 80), "/", [(name, "x")], None).head(None, "")
    assert head.lower().count(f"\r\n{name.lower()}: ".encode()) == 1


@without_deadline
@given(st.text(max_size=40) | st.from_regex(r"https?://[a-z@:/?#\[\]0-9.%-]{0,30}", fullmatch=True))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        origin, target = origin_of(text)
    except Unsupported:
        return
    assert 0 < origin.port < 65536 or text.rstrip("/").endswith(":0")
    assert target.startswith("/") and "#" not in target
    assert re.fullmatch(r"[!-~]+", origin.authority) and "@" not in origin.authority


@pytest.mark.parametrize(
    ("field", "text", "names"),
    [
        ("Repr-Digest", "sha-256=:{sha256}:, md5=:{md5}:", ["sha256", "md5"]),
        ("Repr-Digest", "sha-256=:{sha256}:;q=1,unixsum=:Ww==:", ["sha256"]),
        ("Content-Digest", "sha-512=:{sha512}:", ["sha512"]),
        ("Digest", "SHA-256={sha256},MD5={md5},unixcksum=123", ["sha256", "md5"]),
        ("Digest", "SHA={sha1}", ["sha1"]),
        ("Digest", "md5={hex}", ["md5"]),
        ("Content-MD5", "{md5}", ["md5"]),
        ("Content-MD5", "{sha256}", []),
        ("Repr-Digest", "sha-256={sha256}", []),
        ("Digest", "sha-256=:{sha256}:", []),
        ("Digest", "sha-256", []),
    ],
)
def test_digest_fields_are_read_or_left_alone(field: str, text: str, names: list[str]) -> None:
    values = {name: hashlib.new(name, b"abc").digest() for name in ("sha256", "sha512", "sha1", "md5")}
    spelled = {name: base64.b64encode(value).decode() for name, value in values.items()}
    fields = Fields(f"{field}: {text.format(hex=values['md5'].hex(), **spelled)}\r\n")
    assert digests_of(fields, whole=True) == tuple(Digest(name, values[name]) for name in names)
    covers_all = field in ("Repr-Digest", "Digest")
    assert bool(digests_of(fields, whole=False)) == (covers_all and bool(names))


@without_deadline
@given(st.sampled_from(["Repr-Digest", "Digest", "Content-MD5", "Content-Digest"]), VALUES)
def test_any_digest_field_is_read_or_left_alone(field: str, text: str) -> None:
    digests_of(Fields(f"{field}: {text}\r\n"), whole=True)
