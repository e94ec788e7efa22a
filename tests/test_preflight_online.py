"""The check of credentials that asks real servers: one question each, and nothing is written."""

from __future__ import annotations

import email.utils
import json
import time
from pathlib import Path
from typing import Any

import pytest
from credentials_made import private, token
from servers.nginx import BASIC_PASSWORD, BASIC_USER, BEARER_TOKEN, HEADER_TOKEN, Nginx
from servers.scripted import CLOSE, answer, scripted
from servers.seaweed import WRONG_SECRET, Keys, Seaweed
from servers.tls import TlsFiles
from wf.credentials import standard_chain
from wf.transfer import EndpointCheck, Exit, Preflight, Settings, check_credentials, load_batch, plan


def check(home: Path, *pairs: tuple[str, str], sections: str = "", **environment: str) -> Preflight:
    """The check of transfers, each a source and a destination."""
    batch = json.dumps(
        [
            {
                "type": "transfer",
                "lfn": "f",
                "src_urls": [{"url": source, "site_label": "here"}],
                "dest_urls": [{"url": destination, "site_label": "here"}],
            }
            for source, destination in pairs
        ]
    )
    whole = {"HOME": str(home), **environment}
    file = str(private(home / "c.conf", sections)) if sections else ""
    return check_credentials(
        plan(load_batch(batch), Settings(connect=5.0, stall=5.0)),
        online=True,
        credentials=standard_chain(whole, file=file),
        environment=whole,
    )


def one(found: Preflight) -> EndpointCheck:
    (only,) = found.endpoints
    return only


def codes(found: Preflight) -> list[tuple[str, str]]:
    return [(each.code, each.severity.value) for check in found.endpoints for each in check.findings]


def sections_for(web: Nginx, keys: str) -> str:
    return f"[127.0.0.1:{web.port}]\n{keys}\n"


LOCAL = "file:///tmp/wf-never-written"

# --- over HTTP


@pytest.mark.parametrize(
    ("place", "keys"),
    [
        ("basic", f"username = {BASIC_USER}\npassword = {BASIC_PASSWORD}"),
        ("bearer", f"token = {BEARER_TOKEN}"),
        ("header", f"header.X-Token = {HEADER_TOKEN}"),
    ],
)
def test_a_credential_that_the_server_takes_is_fine(
    web: Nginx, tmp_path: Path, place: str, keys: str
) -> None:
    (web.root / "a").write_text("a")
    found = check(tmp_path, (f"{web.url}/{place}/a", LOCAL), sections=sections_for(web, keys))
    assert (one(found).answer, one(found).standing, found.exit) == ("there", "fine", Exit.DONE)
    assert abs(one(found).clock_ahead or 0) <= 1


@pytest.mark.parametrize(
    ("place", "keys"),
    [
        ("basic", f"username = {BASIC_USER}\npassword = wrong-password"),
        ("bearer", "token = wrong-password"),
        ("header", "header.X-Token = wrong-password"),
    ],
)
def test_one_that_the_server_refuses_is_an_error(web: Nginx, tmp_path: Path, place: str, keys: str) -> None:
    (web.root / "a").write_text("a")
    found = check(tmp_path, (f"{web.url}/{place}/a", LOCAL), sections=sections_for(web, keys))
    assert (one(found).answer, one(found).standing, found.exit) == ("denied", "refused", Exit.CREDENTIAL)
    assert "wrong-password" not in repr(found)


def test_a_server_that_wants_a_credential_is_an_error_where_there_is_none(web: Nginx, tmp_path: Path) -> None:
    found = check(tmp_path, (f"{web.url}/basic/a", LOCAL))
    assert (one(found).standing, found.exit) == ("refused", Exit.CREDENTIAL)
    assert "looked for it" in one(found).findings[0].remedy


def test_a_server_that_lets_anybody_in_is_fine_without_a_credential(web: Nginx, tmp_path: Path) -> None:
    (web.root / "a").write_text("a")
    found = check(tmp_path, (f"{web.url}/a", LOCAL))
    assert (one(found).standing, found.exit, codes(found)) == ("anonymous", Exit.DONE, [])


def test_an_expired_token_is_a_warning_where_none_is_wanted(
    web: Nginx, tmp_path: Path, tls_files: TlsFiles
) -> None:
    (web.root / "a").write_text("a")
    environment = {"SSL_CERT_FILE": str(tls_files.ca), "BEARER_TOKEN": token(lasts=-60)}
    found = check(tmp_path, (f"{web.tls_url}/a", LOCAL), **environment)
    assert (codes(found), found.exit) == ([("expired", "warning")], Exit.DONE)


def test_what_is_not_there_yet_is_no_fault_of_the_credential(web: Nginx, tmp_path: Path) -> None:
    found = check(tmp_path, (f"{web.url}/later", LOCAL))
    assert (one(found).answer, codes(found), found.exit) == (
        "not-found",
        [("nothing-there", "note")],
        Exit.DONE,
    )


def test_however_many_requests_it_is_one_question_that_writes_nothing(web: Nginx, tmp_path: Path) -> None:
    (web.root / "a").write_text("a")
    pairs = [(f"{web.url}/a?{number}", f"{web.url}/put/{number}") for number in range(50)]
    found = check(tmp_path, *pairs)
    assert one(found).requests == 50
    assert [(seen.method, seen.status) for seen in web.requests()] == [("HEAD", 200)]
    assert list((web.root / "put").iterdir()) == []


def test_where_nothing_is_read_the_destination_is_looked_at(web: Nginx, tmp_path: Path) -> None:
    found = check(tmp_path, (LOCAL, f"{web.url}/put/a"))
    assert [(seen.method, seen.target) for seen in web.requests()] == [("HEAD", "/put/a")]
    assert found.exit is Exit.DONE


def test_offline_nobody_is_asked(web: Nginx, tmp_path: Path) -> None:
    batch = [{"type": "remove", "target": {"url": f"{web.url}/a", "site_label": "here"}}]
    found = check_credentials(plan(load_batch(json.dumps(batch))), environment={"HOME": str(tmp_path)})
    assert one(found).answer == ""
    assert web.requests() == []


def test_an_unknown_authority_has_to_be_put_right_first(web: Nginx, tmp_path: Path) -> None:
    found = check(tmp_path, (f"{web.tls_url}/a", LOCAL))
    assert (one(found).standing, found.exit) == ("broken", Exit.FAILED)


def test_a_client_certificate_is_shown(web: Nginx, tmp_path: Path, tls_files: TlsFiles) -> None:
    (web.root / "a").write_text("a")
    environment = {"SSL_CERT_FILE": str(tls_files.ca), "X509_USER_PROXY_here": str(tls_files.client_bundle)}
    found = check(tmp_path, (f"{web.tls_url}/client/a", LOCAL), **environment)
    assert (one(found).standing, one(found).answer) == ("fine", "there")
    assert one(found).credential is not None and one(found).credential.subject == "/CN=wf test client"


def test_a_host_that_does_not_answer_is_no_fault_of_the_credential(tmp_path: Path) -> None:
    with scripted([CLOSE]) as server:
        found = check(tmp_path, (f"{server.url}/a", LOCAL))
    assert (one(found).standing, found.exit) == ("unreachable", Exit.FAILED)


# --- clocks


@pytest.mark.parametrize(("ahead", "words"), [(900, "ahead of"), (-900, "behind")])
def test_a_server_whose_clock_differs_is_a_warning(tmp_path: Path, ahead: int, words: str) -> None:
    date = email.utils.formatdate(time.time() + ahead, usegmt=True)
    with scripted(answer(b"", f"Date: {date}")) as server:
        found = check(tmp_path, (f"{server.url}/a", LOCAL))
    assert one(found).clock_ahead == pytest.approx(ahead, abs=30)
    (finding,) = one(found).findings
    assert (finding.code, finding.severity.value) == ("clock-skew", "warning")
    assert words in finding.message


def test_a_token_is_judged_by_the_server_s_clock(tmp_path: Path) -> None:
    date = email.utils.formatdate(time.time() + 900, usegmt=True)
    with scripted(answer(b"", f"Date: {date}")) as server:
        sections = f"[127.0.0.1:{server.port}]\ntoken = {token(lasts=600)}\n"
        found = check(tmp_path, (f"{server.url}/a", LOCAL), sections=sections)
    assert ("expired", "error") in codes(found)


# --- S3


def s3_sections(service: Seaweed, keys: Keys) -> str:
    return (
        f"[osn]\nendpoint = {service.endpoint}\n[alice@osn]\n"
        f"access_key = {keys.access}\nsecret_key = {keys.secret}\n"
    )


def test_an_access_key_that_the_service_knows_is_fine(s3: Seaweed, bucket: str, tmp_path: Path) -> None:
    s3.client().put_object(Bucket=bucket, Key="a", Body=b"a")
    found = check(tmp_path, (f"s3://alice@osn/{bucket}/a", LOCAL), sections=s3_sections(s3, s3.admin))
    assert (one(found).answer, one(found).standing, found.exit) == ("there", "fine", Exit.DONE)


@pytest.mark.parametrize("end", ["source", "destination"])
def test_a_wrong_secret_key_is_refused(s3: Seaweed, bucket: str, tmp_path: Path, end: str) -> None:
    s3.client().put_object(Bucket=bucket, Key="a", Body=b"a")
    url = f"s3://alice@osn/{bucket}/a"
    pair: Any = (url, LOCAL) if end == "source" else (LOCAL, url)
    found = check(tmp_path, pair, sections=s3_sections(s3, WRONG_SECRET))
    assert (one(found).standing, found.exit) == ("refused", Exit.CREDENTIAL)
    assert WRONG_SECRET.secret not in repr(found)
