"""What WebDAV servers say, taken apart: Multi-Status documents, hrefs of every kind, and challenges."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.scripted import answer, scripted
from wf.protocols.conformance_tools import make_context, refused
from wf.protocols.errors import ServerFault
from wf.protocols.locations import parse_location
from wf.protocols.webdav import WebdavStore
from wf.protocols.webdav_login import Challenge, Pair, challenge_of, pair_of
from wf.protocols.webdav_names import (
    above,
    as_folder,
    beside,
    href_parts,
    over_http,
    parts_of,
    spelled,
    split,
)
from wf.protocols.webdav_xml import Found, NotMultistatus, responses

HEAD = b'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">'
TAIL = b"</d:multistatus>"
FOLDER = b"<d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop></d:propstat>"


def entry(href: str, inner: bytes = b"") -> bytes:
    return b"<d:response><d:href>%s</d:href>%s</d:response>" % (href.encode(), inner)


def document(*entries: bytes) -> bytes:
    return HEAD + b"".join(entries) + TAIL


# --- the document


def test_properties_count_where_their_status_is_good() -> None:
    text = document(
        entry(
            "/a",
            b'<d:propstat><d:prop><d:getcontentlength> 5 </d:getcontentlength><d:getetag>"x"</d:getetag>'
            b"<d:resourcetype/></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
            b"<d:propstat><d:prop><d:getlastmodified>never</d:getlastmodified></d:prop>"
            b"<d:status>HTTP/1.1 404 Not Found</d:status></d:propstat>",
        ),
        entry("/b/", FOLDER),
        entry("/c", b"<d:status>HTTP/1.1 423 Locked</d:status>"),
    )

    assert list(responses([text])) == [
        Found("/a", 200, False, "5", '"x"', ""),
        Found("/b/", 200, True),
        Found("/c", 423),
    ]


@given(st.integers(1, 40))
def test_a_document_may_come_in_pieces_of_any_size(size: int) -> None:
    text = document(*(entry(f"/folder/{number}", FOLDER) for number in range(5)))

    pieces = [text[first : first + size] for first in range(0, len(text), size)]

    assert list(responses(pieces)) == list(responses([text]))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html></html>",
        HEAD,
        document(entry("/a"))[:-3],
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + document(entry("/&b;")),
        document(b"<x>" * 100 + b"</x>" * 100),
        document(entry("/" + "a" * 70_000)),
        document(entry("/a", b"<d:status>fine</d:status>")),
        b'<?xml version="1.0" encoding="klingon"?><d:multistatus xmlns:d="DAV:"/>',
    ],
    ids=["empty", "html", "open", "short", "entities", "deep", "overlong", "status", "encoding"],
)
def test_what_is_no_such_document_is_refused(text: bytes) -> None:
    with pytest.raises(NotMultistatus):
        list(responses([text]))


# --- names


@given(st.binary(min_size=1).filter(lambda name: b"/" not in name))
def test_any_name_survives_being_spelled(name: bytes) -> None:
    assert parts_of(f"/folder/{spelled(name)}") == (b"folder", name)


@pytest.mark.parametrize(
    ("href", "parts"),
    [
        ("/a/b%20c/", (b"a", b"b c")),
        ("http://other.example:81/a/b", (b"a", b"b")),
        ("HTTPS://other.example/a", (b"a",)),
        ("//other.example/a", (b"a",)),
        ("/a//b", (b"a", b"b")),
        ("/a/\u00e4 b", (b"a", "\u00e4 b".encode())),
        ("/a/%E4", (b"a", b"\xe4")),
        ("/a/x?y#z", (b"a", b"x?y#z")),
        ("/", ()),
        ("", ()),
    ],
)
def test_the_names_in_an_href(href: str, parts: tuple[bytes, ...]) -> None:
    assert href_parts(href) == parts


def test_a_location_keeps_its_query_and_its_scheme_whatever_is_done_to_its_path() -> None:
    location = over_http(parse_location("davs://user@host:8443/a/b%20c?authz=x"))

    assert (location.url, location.scheme) == ("https://user@host:8443/a/b%20c?authz=x", "davs")
    assert split(location) == ("/a/b%20c", "?authz=x")
    assert beside(location, "x").path == "/a/x?authz=x"
    assert as_folder(location).path == "/a/b%20c/?authz=x"
    folder = above(location)
    assert folder is not None
    assert folder.path == "/a/?authz=x"
    top = above(folder)
    assert top is not None
    assert (top.path, above(top)) == ("/?authz=x", None)


def listed(*entries: bytes) -> set[str]:
    with scripted(answer(document(*entries), status="207 Multi-Status")) as server:
        store = WebdavStore(make_context())
        place = parse_location(f"dav://127.0.0.1:{server.port}/dav/folder")
        try:
            found = {entry.path for entry in store.list(place, recursive=False)}
        finally:
            store.close()
        assert server.connections == 1
        return found


def test_names_are_those_directly_below_the_folder_wherever_the_hrefs_point() -> None:
    found = listed(
        entry("http://internal.example/dav/folder/", FOLDER),
        entry("http://internal.example/dav/folder/absolute"),
        entry("//elsewhere.example/dav/folder/other%20host"),
        entry("/dav/folder/plain"),
        entry("/dav/folder/sub/deeper"),
        entry("/etc/passwd"),
        entry("/dav/folder2/x"),
        entry("/dav/folder/gone", b"<d:status>HTTP/1.1 404 Not Found</d:status>"),
    )

    assert found == {"absolute", "other%20host", "plain"}


@pytest.mark.parametrize("name", ["..", "%2e%2e", ".", "a%2Fb", "..%2f..%2fetc", "a%00"])
def test_a_name_that_leads_elsewhere_spoils_the_listing(name: str) -> None:
    refused(lambda: listed(entry("/dav/folder/", FOLDER), entry(f"/dav/folder/{name}")), ServerFault)


def test_an_answer_about_other_places_is_no_empty_folder() -> None:
    refused(lambda: listed(entry("/somewhere/else/", FOLDER)), ServerFault)


# --- challenges


def test_the_example_of_rfc_7616_is_answered_as_it_stands_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 3.9.1."""
    own = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    monkeypatch.setattr("os.urandom", lambda _: _Fixed(own))
    line = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=%s, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    lines = [line % "MD5", line % "SHA-256"]
    pair = Pair(b"Mufasa", b"Circle of Life")
    best, weak = challenge_of(lines), challenge_of(lines[:1])
    assert best is not None and weak is not None

    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in best.answer(
        pair, "GET", "/dir/index.html"
    )
    assert 'response="8ca523f5e9506fed4657c9700eebdbec"' in weak.answer(pair, "GET", "/dir/index.html")


class _Fixed:
    def __init__(self, text: str) -> None:
        self._text = text

    def hex(self) -> str:
        return self._text


def test_each_answer_to_a_challenge_counts() -> None:
    challenge = Challenge({"realm": "r", "nonce": "n", "qop": "auth"})
    pair = Pair(b"u", b"p")

    assert "nc=00000001" in challenge.answer(pair, "GET", "/")
    assert "nc=00000002" in challenge.answer(pair, "GET", "/")


def test_an_old_server_without_qop_is_answered_as_rfc_2069_has_it() -> None:
    text = Challenge({"realm": "r", "nonce": "n"}).answer(Pair(b"u", b"p"), "PUT", "/x")

    inner = [hashlib.md5(part).hexdigest() for part in (b"u:r:p", b"PUT:/x")]
    assert f'response="{hashlib.md5(f"{inner[0]}:n:{inner[1]}".encode()).hexdigest()}"' in text
    assert "nc=" not in text


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], None),
        (['Basic realm="x"'], None),
        (['Basic realm="x, Digest y", Digest realm="r", nonce="n", qop="auth"'], "MD5"),
        (['Digest realm="r", nonce="n", qop="auth", Basic realm="x"'], "MD5"),
        (['Digest realm="r", nonce="n", qop="auth-int"'], None),
        (['Digest realm="r", nonce="n", algorithm=MD4'], None),
        (['Digest realm="r"'], None),
        (['Digest realm="r", nonce="n", algorithm=SHA-256-sess, qop=auth'], "SHA-256"),
        (["Bearer", "Negotiate"], None),
    ],
)
def test_the_challenges_that_can_be_answered(lines: list[str], found: str | None) -> None:
    challenge = challenge_of(lines)

    assert (challenge and challenge.algorithm) == found


@pytest.mark.parametrize("field", ["Bearer abc", "Basic !!!", "Basic YWxpY2U=", ""])
def test_only_a_user_and_password_can_answer(field: str) -> None:
    assert pair_of(field) is None
    assert pair_of("Basic YWxpY2U6b3BlbjpzZXNhbWU=") == Pair(b"alice", b"open:sesame")
