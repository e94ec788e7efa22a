"""What people may see of URLs, messages and names."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wf.credentials.redaction import printable, redact, redact_known, redact_url

CANARY = "c4n4ry-hunter2"

SECRET_URLS = [
    f"https://user:{CANARY}@host/x",
    f"https://user:{CANARY}@more@host/x",
    f"https://user:pa/{CANARY}@host/x",
    f"https://:{CANARY}@host/",
    f"https://{CANARY}{CANARY}@host/x",
    f"ftp://anonymous:{CANARY}@host:2121/x",
    f"scp://u:{CANARY}@host:22//abs",
    f"https://h/b/k?X-Amz-Algorithm=AWS4&X-Amz-Credential={CANARY}&X-Amz-Date=1",
    f"https://h/b/k?X-Amz-Signature={CANARY}",
    f"https://h/b/k?x-amz-security-token={CANARY}&x=1",
    f"https://h/b/k?AWSAccessKeyId=AK&Signature={CANARY}&Expires=1",
    f"https://h/b/k?sv=2020&sig={CANARY}",
    f"https://h/x?token={CANARY}",
    f"https://h/x?access_token={CANARY}#top",
    f"https://h/x?authz=Bearer%20{CANARY}",
    f"https://h/x?a=1;password={CANARY};b",
    f"https://h/x#access_token={CANARY}&state=1",
    f"https://h/x?key={CANARY}",
    f"https://h/x?api-key={CANARY}",
    f"https://h/x?X%2DAmz%2DSignature={CANARY}",
    f"https://h/x?%73ig={CANARY}",
    f"root://h//store/f?authz={CANARY}",
    f"https://h/x\x1b[2J?TOKEN={CANARY}",
]

SECRET_TEXTS = [
    f"Authorization: Bearer {CANARY}",
    f"proxy-authorization: Basic {CANARY}=",
    f"request headers {{'Authorization': 'Bearer {CANARY}'}}",
    f"sent Bearer {CANARY} and got 401",
    f"X-Auth-Token: {CANARY}",
    f"x-amz-security-token:{CANARY}",
    f"Cookie: session={CANARY}",
    f'{{"refresh_token": "{CANARY}", "expires": 1}}',
    f"password={CANARY}",
    f"aws_secret_access_key = {CANARY}",
    f"<SecretAccessKey>{CANARY}</SecretAccessKey>",
    f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----\n",
    f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    f"token eyJhbGciOiJub25lIn0.eyJ{CANARY}.x is bad",
    f"a token ghp_{'a' * 20}{CANARY.replace('-', '')}",
    f"AWS4-HMAC-SHA256 Credential=AK/20200101/x, SignedHeaders=host, Signature={CANARY}",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_a_secret_in_a_url_is_hidden_wherever_the_url_appears(url: str) -> None:
    assert CANARY not in redact_url(url)
    assert "***" in redact_url(url)
    assert CANARY not in redact(f"GET {url} gave 403\nsecond line {url}")


@pytest.mark.parametrize("text", SECRET_TEXTS)
def test_a_secret_in_free_text_is_hidden(text: str) -> None:
    assert CANARY not in redact(text)
    assert CANARY.replace("-", "") not in redact(text)


@pytest.mark.parametrize(
    "url",
    [
        "s3://alice@osn/bucket/some key=1",
        "http://host:80/a@b",
        "http://[::1]:8080/a@b",
        "scp://user@host/x",
        "https://host/x?versionId=3&page=2",
        "/plain/path@home",
    ],
)
def test_a_url_without_secrets_stays_as_it_is(url: str) -> None:
    assert redact_url(url) == url


@pytest.mark.parametrize(
    "text",
    [
        "Basic authentication required",
        "the token is expired: ask for another",
        "exit code=1, status=403",
        "NoSuchKey: the key 'data' is not there",
        "sha256 digest mismatch: expected 00ff, got ff00",
    ],
)
def test_ordinary_sentences_are_not_mutilated(text: str) -> None:
    assert redact(text) == text


def test_what_identifies_a_url_stays_readable() -> None:
    shown = redact_url(f"https://alice:{CANARY}@host:8443/data/f?X-Amz-Signature={CANARY}&versionId=7")
    assert shown == "https://alice:***@host:8443/data/f?X-Amz-Signature=***&versionId=7"


def test_control_characters_and_odd_bytes_are_escaped_for_people() -> None:
    assert printable("a\nb\x1b[31m\udcff\u202e\x9b") == "a\\nb\\x1b[31m\\xff\\u202e\\x9b"
    assert printable("\ud800") == "\\ud800"
    assert printable("grün 空") == "grün 空"
    assert redact_url("s3://b/a\x1b]0;x\x07") == "s3://b/a\\x1b]0;x\\x07"


@given(st.text(st.characters(), max_size=60))
def test_printable_text_is_printable(name: str) -> None:
    assert printable(name).isprintable()


@given(st.text("ab/:@?&;#=% \n.-", max_size=80))
def test_redaction_is_stable(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "unit", ["a", "=", "?", "&token", "://", "@", "://a:", "?a", "-", "%", "<", "key ", '"', "eyJ", "a."]
)
def test_hostile_text_is_redacted_in_linear_time(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    began = time.process_time()
    redact(text)
    redact_url(text)
    assert time.process_time() - began < 20


def test_a_known_secret_is_hidden_in_any_prose_and_where_it_is_cut_off() -> None:
    assert redact_known(f"wrong password {CANARY} for u", [CANARY, "u"]) == "wrong password *** for u"
    for length in range(4, len(CANARY)):
        assert redact_known(f"you said {CANARY[:length]}...", [CANARY]) == "you said ***..."
        assert redact_known(f"you said {CANARY[:length]}", [CANARY]) == "you said ***"
    assert redact_known("nothing of it", [CANARY, ""]) == "nothing of it"
    assert redact_known(f"{CANARY}{CANARY}-long", [CANARY, f"{CANARY}-long"]) == "******"
