"""Our signatures against those of botocore, and against the worked example of Amazon's documentation."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wf.credentials.kinds import Secret
from wf.protocols.sigv4 import EMPTY, UNSIGNED, Signer, quote_key, quote_query

ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = 1_700_000_000

KEYS = [
    "plain/key.txt",
    "/leading",
    "a//b///c",
    "a/./b/../c",
    "..",
    "trailing/",
    "blank in name",
    " both ends ",
    "percent%20already%",
    "plus+and&equal=",
    "question?mark#hash",
    "tilde~dash-dot.under_score",
    "quotes'\"`$(x);|<>",
    "umläut/空/🎈",
    "new\nline\ttab\r",
    "star*paren()!:@,[]{}^\\",
    "not-utf8-\udcff\udc80",
]

QUERIES: list[list[tuple[str, str]]] = [
    [],
    [("uploads", "")],
    [("uploadId", "a/b+c=="), ("partNumber", "7")],
    [("list-type", "2"), ("prefix", "a b/ü~*"), ("continuation-token", "1/=+&"), ("delimiter", "/")],
    [("a", "2"), ("a-b", "1"), ("A", "0"), ("a", "1")],
]


def signer(token: str | None = None, at: float = NOW) -> Signer:
    return Signer(ACCESS, Secret(SECRET), Secret(token) if token else None, "eu-west-1", clock=lambda: at)


def reference(
    method: str, path: str, query: str, payload: str, fields: dict[str, str], token: str | None
) -> str:
    """What botocore puts into Authorization for the same request."""
    auth = pytest.importorskip("botocore.auth")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method, f"https://bucket.example.org:8443{path}{'?' + query if query else ''}")
    for name, value in fields.items():
        request.headers[name] = value
    request.headers["X-Amz-Content-SHA256"] = payload
    request.headers["X-Amz-Date"] = datetime.fromtimestamp(NOW, UTC).strftime("%Y%m%dT%H%M%SZ")
    if token:
        request.headers["X-Amz-Security-Token"] = token
    request.context["timestamp"] = request.headers["X-Amz-Date"]
    request.context["payload_signing_enabled"] = True
    theirs = auth.S3SigV4Auth(Credentials(ACCESS, SECRET, token), "s3", "eu-west-1")
    canonical = theirs.canonical_request(request)
    signature = theirs.signature(theirs.string_to_sign(request, canonical), request)
    return str(theirs._inject_signature_to_request(request, signature).headers["Authorization"])


def ours(method: str, path: str, query: str, payload: str, fields: dict[str, str], token: str | None) -> str:
    sent = signer(token).sign(method, "bucket.example.org:8443", path, query, payload, tuple(fields.items()))
    return dict(sent)["Authorization"].replace(", ", ",")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("query", QUERIES, ids=lambda query: "-".join(name for name, _ in query) or "none")
def test_signatures_are_those_of_botocore(key: str, query: list[tuple[str, str]]) -> None:
    path, text = "/bucket/" + quote_key(key), quote_query(query)
    for method, payload, fields, token in (
        ("GET", EMPTY, {"x-amz-checksum-mode": "ENABLED"}, None),
        ("PUT", UNSIGNED, {"x-amz-checksum-sha256": "q83v=", "content-md5": "ab=="}, "se/ss+ion=="),
        ("PUT", hashlib.sha256(b"x").hexdigest(), {"x-amz-copy-source": "/b/" + quote_key(key)}, None),
    ):
        arguments = (method, path, text, payload, fields, token)
        assert ours(*arguments) == reference(*arguments).replace(", ", ",")


@given(
    st.text(max_size=30),
    st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(max_size=9)), max_size=3),
)
def test_any_key_and_query_is_signed_as_botocore_does(key: str, query: list[tuple[str, str]]) -> None:
    key, query = key.replace("\0", ""), [(name, value) for name, value in query]
    arguments = ("GET", "/b/" + quote_key(key), quote_query(query), EMPTY, {}, None)
    assert ours(*arguments) == reference(*arguments).replace(", ", ",")


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_encoded_once_and_completely(key: str) -> None:
    assert quote_key(key) == quote(key, safe="/~", errors="surrogateescape")


def test_amazons_own_example_is_reproduced() -> None:
    # "GET Object" of "Signature Calculations for the Authorization Header", Amazon S3 API reference.
    at = datetime(2013, 5, 24, tzinfo=UTC).timestamp()
    secret = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    mine = Signer("AKIAIOSFODNN7EXAMPLE", secret, None, "us-east-1", clock=lambda: at)
    host = "examplebucket.s3.amazonaws.com"
    sent = dict(mine.sign("GET", host, "/test.txt", "", EMPTY, (("range", "bytes=0-9"),)))
    assert sent["Authorization"].endswith(
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_a_new_day_and_a_new_second_are_noticed() -> None:
    times = iter([NOW, NOW + 0.5, NOW + 1, NOW + 86400])
    mine = Signer(ACCESS, Secret(SECRET), None, "eu-west-1", clock=lambda: next(times))
    dates = [dict(mine.sign("GET", "h", "/", "", EMPTY))["x-amz-date"] for _ in range(2)]
    assert dates == ["20231114T221320Z", "20231114T221320Z"]
    for at in (NOW + 1, NOW + 86400):
        assert mine.sign("GET", "h", "/", "", EMPTY) == signer(at=at).sign("GET", "h", "/", "", EMPTY)
