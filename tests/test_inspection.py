"""What a credential tells of itself, compared with what PyJWT and openssl put there."""

from __future__ import annotations

import contextlib
import time
from calendar import timegm
from pathlib import Path

import pytest
from credentials_made import HOUR, certificate, openssl, private, proxy, token
from hypothesis import given
from hypothesis import strategies as st
from wf.credentials import AccessKey, Basic, Bearer, Certificate, Headers, Secret, Severity, inspect
from wf.credentials.certificates import certificates_in, key_in
from wf.credentials.claims import Access, Claims, Granted, addresses, claims_of, granted, grants_of
from wf.credentials.inspection import Inspection, duration
from wf.credentials.private import check_private


def look(credential: object, **options: float) -> Inspection:
    return inspect(credential, **{"now": time.time(), **options})


def bearer(text: str, path: Path | None = None) -> Bearer:
    """A token from a variable, or from a file of its own."""
    if path is None:
        return Bearer(Secret(text), name="BEARER_TOKEN", origin="$BEARER_TOKEN")
    private(path, text)
    origin = f"$BEARER_TOKEN_FILE={path}"
    return Bearer(Secret(text), name="BEARER_TOKEN_FILE", origin=origin, seen=(check_private(str(path)),))


def pem(path: Path, key: Path | None = None) -> Certificate:
    return Certificate(str(path), str(key or path), name="X509_USER_PROXY", origin=f"$X509_USER_PROXY={path}")


def codes(found: Inspection) -> list[tuple[str, str]]:
    return [(each.code, each.severity.value) for each in found.findings]


# --- tokens


def test_a_token_tells_whose_it_is_of_whom_for_whom_and_for_what() -> None:
    made = token(
        aud=["https://a.example", "b.example"], scope="storage.read:/x storage.create:/y", lasts=HOUR
    )
    found = look(bearer(made))
    assert (found.subject, found.issuer) == ("alice", "https://issuer.example")
    assert found.audiences == ("https://a.example", "b.example")
    assert found.scopes == ("storage.read:/x", "storage.create:/y")
    assert found.expires == pytest.approx(time.time() + HOUR, abs=30)
    assert found.findings == ()


def test_a_token_of_another_kind_is_not_understood_and_not_refused() -> None:
    assert codes(look(bearer("ghp_0123456789"))) == [("end-unknown", "note")]


@pytest.mark.parametrize(
    "text", ["", "a.b.c", "..", "e30.e30.e30", "a.W10.c", "a.bnVsbA.c", "a.eyJleHAiOiJzb29uIn0.c", "é.é.é"]
)
def test_what_only_looks_like_a_token_is_harmless(text: str) -> None:
    found = claims_of(text)
    assert found is None or found == Claims()


@given(st.text())
def test_no_text_upsets_the_reader_of_tokens(text: str) -> None:
    claims_of(text)
    claims_of(f"a.{text}.c")


@pytest.mark.parametrize("exp", [1e300, -5, "1", True, [1], None])
def test_an_end_that_is_no_time_is_no_end(exp: object) -> None:
    assert look(bearer(_unsigned({"exp": exp}))).expires is None


def _unsigned(claims: dict[str, object]) -> str:
    import base64
    import json

    return f"x.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


def test_an_expired_token_is_an_error_that_says_since_when() -> None:
    found = look(bearer(token(lasts=-2 * HOUR)))
    assert codes(found) == [("expired", "error")]
    assert "2 h" in found.findings[0].message


def test_a_token_that_ends_before_the_expected_end_is_an_error() -> None:
    found = look(bearer(token(lasts=HOUR)), expected_end=time.time() + 2 * HOUR)
    assert codes(found) == [("expires-early", "error")]


def test_unless_it_is_in_a_file_that_somebody_renews(tmp_path: Path) -> None:
    found = look(bearer(token(lasts=HOUR), tmp_path / "token"), expected_end=time.time() + 2 * HOUR)
    assert found.renewable
    assert codes(found) == [("expires-early", "warning")]


def test_a_token_that_lasts_longer_than_the_expected_end_is_fine() -> None:
    assert codes(look(bearer(token(lasts=2 * HOUR)), expected_end=time.time() + HOUR)) == []


def test_a_token_of_tomorrow_is_not_good_yet() -> None:
    assert codes(look(bearer(token(nbf=int(time.time() + HOUR))))) == [("not-yet-valid", "error")]


def test_clocks_may_differ_by_the_leeway() -> None:
    soon = bearer(token(nbf=int(time.time()) + 30))
    assert codes(look(soon)) == []
    assert codes(look(soon, leeway=5.0)) == [("not-yet-valid", "error")]
    assert codes(look(bearer(token(lasts=40)))) == [("expires-early", "warning")]


def test_a_token_in_a_header_is_a_token() -> None:
    fields = (("X-Other", Secret("x")), ("Authorization", Secret(f"Bearer {token(lasts=-1)}")))
    found = look(Headers(fields, name="h", origin="[h] of f"))
    assert codes(found) == [("expired", "error")]


def test_nothing_of_a_secret_is_in_what_is_found(tmp_path: Path) -> None:
    made = token(aud="a")
    shown = repr(look(bearer(made, tmp_path / "token")))
    assert not any(piece in shown for piece in made.split("."))
    assert "opensesame" not in repr(look(Basic("alice", Secret("opensesame"), name="a", origin="o")))


# --- access keys


def key(session: str | None) -> AccessKey:
    token = Secret(session) if session is not None else None
    return AccessKey(
        "AK", Secret("SK"), session_token=token, endpoint="https://s3.example", name="n", origin="o"
    )


def test_a_lasting_access_key_has_no_end() -> None:
    found = look(key(None), expected_end=time.time() + 1e6)
    assert (found.expires, codes(found), found.service) == (None, [], "https://s3.example")


def test_temporary_keys_tell_their_end_where_the_service_says_it() -> None:
    assert codes(look(key("opaque"))) == [("end-unknown", "note")]
    assert codes(look(key(token(lasts=-1)))) == [("expired", "error")]


# --- scopes and audiences

YES, NO, PERHAPS, UNTOLD = Granted.YES, Granted.NO, Granted.PERHAPS, Granted.UNTOLD


@pytest.mark.parametrize(
    ("scope", "access", "path", "verdict"),
    [
        ("storage.read:/x", Access.READ, "/x", YES),
        ("storage.read:/x", Access.READ, "/x/y", YES),
        ("storage.read:/x/", Access.READ, "/x/y", YES),
        ("storage.read:/x", Access.READ, "/xy", NO),
        ("storage.read:/x", Access.READ, "/x/../y", NO),
        ("storage.read:/", Access.READ, "/anything", YES),
        ("storage.read", Access.READ, "/anything", YES),
        ("storage.read:/", Access.CREATE, "/x", NO),
        ("storage.create:/x", Access.CREATE, "/x/y", YES),
        ("storage.create:/x", Access.REMOVE, "/x/y", NO),
        ("storage.modify:/x", Access.REMOVE, "/x/y", YES),
        ("storage.stage:/x", Access.READ, "/x/y", YES),
        ("read:/x", Access.READ, "/x//y", YES),
        ("write:/x", Access.REMOVE, "/x/y", YES),
        ("write:/x", Access.READ, "/x/y", NO),
        ("storage.read:/data", Access.READ, "/vo/data/f", PERHAPS),
        ("storage.read:/data", Access.READ, "/vo/database/f", NO),
        ("openid compute.read", Access.READ, "/x", UNTOLD),
        ("openid storage.read:/a storage.read:/b", Access.READ, "/b/c", YES),
    ],
)
def test_scopes_are_compared_with_paths(scope: str, access: Access, path: str, verdict: Granted) -> None:
    assert granted(grants_of(scope.split()), access, path) is verdict


@pytest.mark.parametrize(
    ("audience", "fits"),
    [
        ("https://dav.example:8443", True),
        ("dav.example", True),
        ("https://dav.example/some/path", True),
        ("https://DAV.example:8443", True),
        ("https://wlcg.cern.ch/jwt/v1/any", True),
        ("ANY", True),
        ("my-project", True),
        ("https://other.example", False),
        ("https://dav.example:9000", False),
    ],
)
def test_audiences_are_compared_with_hosts(audience: str, fits: bool) -> None:
    assert addresses((audience,), "dav.example:8443") is fits


# --- certificates

SUBJECTS = [
    "/DC=org/DC=example/O=Grid/OU=People/CN=Alice Müller/emailAddress=alice@example.org",
    "/C=CH/ST=Genève/L=Meyrin/CN=robot: data+transfer",
    "/CN=a/CN=b/UID=alice/serialNumber=17/GN=Al/SN=Ice",
]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_certificate_says_what_openssl_says(tmp_path: Path, subject: str) -> None:
    made = certificate(tmp_path, "own", subject.replace("+", "\\+"))
    (found,) = certificates_in(made.read_bytes())
    assert (found.subject, found.issuer, found.is_proxy) == (subject, subject, False)
    told = dict(line.split("=", 1) for line in openssl("x509", "-in", made, "-noout", "-dates").splitlines())
    assert found.not_before == _seconds(told["notBefore"])
    assert found.expires == _seconds(told["notAfter"])


def _seconds(text: str) -> int:
    return timegm(time.strptime(text, "%b %d %H:%M:%S %Y %Z"))


def test_a_certificate_of_the_far_future_has_its_other_form_of_time(tmp_path: Path) -> None:
    """From 2050 on dates are GeneralizedTime."""
    made = certificate(tmp_path, "own", "/CN=long", days=30 * 365)
    assert certificates_in(made.read_bytes())[0].expires > time.time() + 29 * 365 * 86400


def test_behind_a_proxy_is_its_owner_and_it_ends_with_the_first_to_end(tmp_path: Path) -> None:
    certificate(tmp_path, "alice", "/DC=org/CN=Alice", days=1)
    made = proxy(tmp_path, "alice", "proxy", days=5)
    chain = certificates_in(made.read_bytes())
    assert [each.is_proxy for each in chain] == [True, False]
    found = look(pem(made))
    assert (found.subject, found.issuer) == ("/DC=org/CN=Alice", "/DC=org/CN=Alice")
    assert found.expires == chain[1].expires < chain[0].expires
    assert found.findings == ()


def test_a_proxy_of_a_proxy_is_followed_to_its_owner(tmp_path: Path) -> None:
    certificate(tmp_path, "alice", "/DC=org/CN=Alice")
    proxy(tmp_path, "alice", "first")
    second = proxy(tmp_path, "first", "second")
    assert look(pem(second)).subject == "/DC=org/CN=Alice"


def test_an_expired_proxy_is_an_error(tmp_path: Path) -> None:
    certificate(tmp_path, "alice", "/CN=Alice")
    assert codes(look(pem(proxy(tmp_path, "alice", "proxy", days=-1)))) == [("expired", "error")]


def test_a_certificate_apart_from_its_key_may_be_read_by_everybody(tmp_path: Path) -> None:
    made = certificate(tmp_path, "alice", "/CN=Alice")
    made.chmod(0o644)
    found = look(pem(made, tmp_path / "alice.key"))
    assert found.findings == ()
    assert [(file.path, file.mode) for file in found.files] == [
        (str(made), 0o644),
        (str(tmp_path / "alice.key"), 0o600),
    ]


def test_a_proxy_that_others_can_read_is_an_error(tmp_path: Path) -> None:
    certificate(tmp_path, "alice", "/CN=Alice")
    made = proxy(tmp_path, "alice", "proxy")
    made.chmod(0o644)
    found = look(pem(made))
    assert ("unsafe-file", "error") in codes(found)
    assert f"chmod 600 {made}" in found.findings[0].remedy


def test_a_key_of_somebody_else_is_an_error(tmp_path: Path) -> None:
    made = certificate(tmp_path, "alice", "/CN=Alice")
    certificate(tmp_path, "bob", "/CN=Bob")
    found = look(pem(made, tmp_path / "bob.key"))
    assert codes(found) == [("bad-certificate", "error")]
    assert "not the one of the certificate" in found.findings[0].message


def test_a_certificate_without_its_key_is_an_error(tmp_path: Path) -> None:
    made = private(tmp_path / "only.pem", certificate(tmp_path, "alice", "/CN=Alice").read_text())
    assert "no private key" in look(pem(made)).findings[0].message


@pytest.mark.parametrize("form", [(), ("-traditional",)])
def test_an_encrypted_key_is_an_error_and_nobody_is_asked_for_its_phrase(
    tmp_path: Path, form: tuple[str, ...]
) -> None:
    made = certificate(tmp_path, "alice", "/CN=Alice")
    locked = tmp_path / "locked.key"
    openssl(
        *("ec" if form else "pkey", "-in", tmp_path / "alice.key", "-aes256"),
        *("-passout", "pass:open sesame", "-out", locked),
    )
    locked.chmod(0o600)
    assert key_in(locked.read_bytes()) == "encrypted"
    assert codes(look(pem(made, locked))) == [("encrypted-key", "error")]
    known = Certificate(str(made), str(locked), passphrase=Secret("open sesame"), name="n", origin="o")
    assert codes(look(known)) == []


@pytest.mark.parametrize(
    "content", ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_a_file_that_holds_no_certificate_is_an_error(tmp_path: Path, content: str) -> None:
    assert ("bad-certificate", "error") in codes(look(pem(private(tmp_path / "p", content))))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    found = look(pem(tmp_path / "absent"))
    assert {each.severity for each in found.findings} == {Severity.ERROR}
    assert "is not there" in found.findings[0].message


@pytest.fixture(scope="module")
def der(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    made = certificate(tmp_path_factory.mktemp("der"), "a", "/CN=A")
    import ssl

    return ssl.PEM_cert_to_DER_cert(made.read_text())


@given(data=st.data())
def test_a_damaged_certificate_is_a_value_error_or_another_certificate(
    der: bytes, data: st.DataObject
) -> None:
    import ssl

    damaged = bytearray(der)
    for at in data.draw(st.lists(st.integers(0, len(der) - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    short = bytes(damaged)[: data.draw(st.integers(1, len(der)))]
    with contextlib.suppress(ValueError):
        certificates_in(ssl.DER_cert_to_PEM_cert(short).encode())


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3700, "1 h 1 min"), (90000, "1 d 1 h")]
)
def test_durations_are_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text
