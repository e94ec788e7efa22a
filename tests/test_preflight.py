"""The check of credentials before they are needed, offline: what is required, what is found, what it is worth."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_runs import Run, wf_transfer
from credentials_made import HOUR, certificate, private, proxy, token
from wf.credentials import standard_chain
from wf.transfer import (
    Exit,
    Plan,
    Preflight,
    Settings,
    check_credentials,
    load_batch,
    plan,
    required_credentials,
)
from wf.transfer.preflight import CODES, Standing

SITE = "site-a"
HTTPS = "https://data.example.org:8443"
OSN = "[osn]\nendpoint = https://osn.example.org\n[alice@osn]\naccess_key = AK\nsecret_key = SK\n"


def transfer(
    source: str, destination: str = "file:///tmp/x", *, site: str = SITE, **more: Any
) -> dict[str, Any]:
    return {
        "type": "transfer",
        "lfn": "f",
        "src_urls": [{"url": url, "site_label": site} for url in source.split()],
        "dest_urls": [{"url": destination, "site_label": site}],
        **more,
    }


def planned(*requests: dict[str, Any], **settings: Any) -> Plan:
    return plan(load_batch(json.dumps(requests)), Settings(**settings))


def check(made: Plan, home: Path, file: str = "", **environment: str) -> Preflight:
    whole = {"HOME": str(home), **environment}
    return check_credentials(made, credentials=standard_chain(whole, file=file), environment=whole)


def standings(found: Preflight) -> dict[str, str]:
    return {each.endpoint: each.standing.value for each in found.endpoints}


def codes(found: Preflight) -> list[tuple[str, str]]:
    return [(each.code, each.severity.value) for check in found.endpoints for each in check.findings]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return private(tmp_path / "token", token(aud=HTTPS, scope="storage.read:/x storage.create:/out"))


# --- what a plan requires


def test_ends_on_this_machine_require_nothing() -> None:
    assert required_credentials(planned(transfer("file:///a", "file:///b"))) == ()


def test_a_planner_learns_what_to_ship_and_under_which_names() -> None:
    made = planned(transfer(f"{HTTPS}/a", "s3://alice@osn/b/k"), transfer(f"{HTTPS}/b", "s3://alice@osn/b/l"))
    web, bucket = required_credentials(made)
    assert (web.scheme, web.endpoint, web.site) == ("https", "data.example.org:8443", SITE)
    assert (web.purposes, web.requests, web.required) == (("read",), 2, False)
    assert [each.variables for each in web.shipments if each.is_file] == [
        ("BEARER_TOKEN_FILE_site_a",),
        ("X509_USER_PROXY_site_a",),
        ("PEGASUS_CREDENTIALS",),
        ("BEARER_TOKEN_FILE",),
        ("X509_USER_PROXY",),
    ]
    assert (bucket.purposes, bucket.kinds, bucket.required) == (("write",), ("access-key",), True)
    assert [(each.variables, each.section) for each in bucket.shipments] == [
        (("AWS_ACCESS_KEY_ID_osn", "AWS_SECRET_ACCESS_KEY_osn"), ""),
        (("PEGASUS_CREDENTIALS",), "alice@osn"),
    ]


@pytest.mark.parametrize(
    "url", [f"{HTTPS}/x/a", "s3://alice@osn/b/k", "s3://bucket/k", "http://h/a", "ftp://h/a"]
)
def test_every_way_that_is_named_is_one_that_works(url: str, tmp_path: Path) -> None:
    """Shipped as it says, the credential is found; so the names are those that are looked at."""
    made = planned(transfer(url))
    (needed,) = required_credentials(made)
    assert needed.shipments
    for each in needed.shipments:
        environment: dict[str, str] = {"AWS_ENDPOINT_URL_osn": "https://osn.example.org"}
        content = {
            "bearer": token(),
            "x509": proxy_text(tmp_path),
            "access-key": f"[{each.section}]\naccess_key = A\nsecret_key = S\n",
            "basic": f"[{each.section}]\nusername = u\npassword = p\n",
        }[each.kinds[0]]
        for name in each.variables:
            environment[name] = str(private(tmp_path / "shipped", content)) if each.is_file else token()
        found = check(made, tmp_path, **environment)
        assert found.endpoints[0].credential is not None
        assert found.endpoints[0].credential.kind in each.kinds, each


def proxy_text(folder: Path) -> str:
    if not (folder / "proxy.pem").exists():
        certificate(folder, "alice", "/CN=Alice")
        proxy(folder, "alice", "proxy")
    return (folder / "proxy.pem").read_text()


def test_a_password_in_the_url_is_enough_and_is_shown_nowhere() -> None:
    (needed,) = required_credentials(planned(transfer("https://bob:opensesame@h/a")))
    assert needed.in_url
    assert needed.shipments == ()
    assert "opensesame" not in repr(needed)


def test_a_token_that_stands_for_a_user_is_not_shown() -> None:
    (needed,) = required_credentials(planned(transfer("https://ghp_0123456789abcdefghij@h/a")))
    assert "0123456789" not in repr(needed)


def test_a_copy_that_is_read_back_needs_to_be_read() -> None:
    made = planned(transfer("file:///a", f"{HTTPS}/a", verify_checksum_remote=True))
    assert required_credentials(made)[0].purposes == ("read", "write")


def test_a_scheme_that_nothing_speaks_is_named_with_its_problem() -> None:
    (needed,) = required_credentials(planned(transfer("hpss://h/a")))
    assert (needed.kinds, needed.shipments) == ((), ())
    assert "no protocol" in needed.problem


# --- what is found


def test_a_token_that_lasts_and_covers_the_path_is_fine(tmp_path: Path, token_file: Path) -> None:
    made = planned(transfer(f"{HTTPS}/x/a"), transfer("file:///a", f"{HTTPS}/out/a"))
    found = check(made, tmp_path, BEARER_TOKEN_FILE_site_a=str(token_file))
    assert (standings(found), codes(found), found.exit) == ({"data.example.org:8443": "fine"}, [], Exit.DONE)
    (each,) = found.endpoints
    assert each.credential is not None
    assert [(file.path, file.mode) for file in each.credential.files] == [(str(token_file), 0o600)]
    assert each.requests == 2


class Counted:
    """A chain, and how often it was asked."""

    def __init__(self, **environment: str) -> None:
        self.chain = standard_chain(environment)
        self.asked = 0

    def find(self, *question: Any, **more: Any) -> Any:
        self.asked += 1
        return self.chain.find(*question, **more)

    def name(self, *question: Any, **more: Any) -> str:
        return self.chain.name(*question, **more)


@pytest.mark.parametrize("variable", ["BEARER_TOKEN_site_a", "BEARER_TOKEN"])
def test_a_hundred_thousand_requests_are_one_line_and_few_questions(tmp_path: Path, variable: str) -> None:
    """Also where a general token is chosen by the path."""
    made = planned(*(transfer(f"{HTTPS}/x/{number}") for number in range(100_000)))
    scoped = token(aud=HTTPS, scope="storage.read:/x")
    source = Counted(HOME=str(tmp_path), **{variable: scoped})
    found = check_credentials(made, credentials=source, environment={})
    assert [(each.requests, each.standing.value) for each in found.endpoints] == [(100_000, "fine")]
    assert source.asked <= 2


def test_a_token_for_one_file_is_not_taken_for_its_neighbour(tmp_path: Path) -> None:
    made = planned(transfer(f"{HTTPS}/x/a"), transfer(f"{HTTPS}/x/b"))
    found = check(made, tmp_path, BEARER_TOKEN=token(aud=HTTPS, scope="storage.read:/x/a"))
    assert [(each.requests, each.standing.value) for each in found.endpoints] == [
        (1, "fine"),
        (1, "insufficient"),
    ]
    assert (found.blocked, found.exit) == (1, Exit.CREDENTIAL)


def test_tokens_for_different_paths_are_chosen_path_by_path(tmp_path: Path) -> None:
    creds = tmp_path / "creds"
    creds.mkdir()
    private(creds / "one.use", token(aud=HTTPS, scope="storage.read:/one", sub="first"))
    private(creds / "two.use", token(aud=HTTPS, scope="storage.read:/two", sub="second"))
    made = planned(transfer(f"{HTTPS}/one/a"), transfer(f"{HTTPS}/two/a"), transfer(f"{HTTPS}/two/b"))
    found = check(made, tmp_path, _CONDOR_CREDS=str(creds))
    told = {each.credential.subject: each.requests for each in found.endpoints if each.credential}
    assert (told, found.exit) == ({"first": 1, "second": 2}, Exit.DONE)


def test_a_missing_access_key_is_an_error_that_says_where_it_was_looked_for(tmp_path: Path) -> None:
    found = check(planned(transfer("s3://alice@osn/b/k")), tmp_path)
    assert (standings(found), found.exit) == ({"alice@osn": "missing"}, Exit.CREDENTIAL)
    (finding,) = found.endpoints[0].findings
    assert "AWS_ACCESS_KEY_ID_osn" in finding.message
    assert "[alice@osn]" in finding.remedy


def test_an_expired_token_of_the_site_is_an_error(tmp_path: Path) -> None:
    made = planned(transfer(f"{HTTPS}/x/a"))
    found = check(made, tmp_path, BEARER_TOKEN_site_a=token(lasts=-HOUR))
    assert (standings(found), found.exit) == ({"data.example.org:8443": "expired"}, Exit.CREDENTIAL)


def test_an_expired_token_that_is_passed_over_is_an_error_too(tmp_path: Path) -> None:
    """The run would go on without any: most likely that is not what somebody wanted who set one."""
    found = check(planned(transfer(f"{HTTPS}/x/a")), tmp_path, BEARER_TOKEN=token(lasts=-HOUR))
    assert (codes(found)[0], found.exit) == (("expired", "error"), Exit.CREDENTIAL)


def test_an_expired_proxy_that_is_passed_over_is_an_error_too(tmp_path: Path) -> None:
    certificate(tmp_path, "alice", "/CN=Alice")
    made = proxy(tmp_path, "alice", "proxy", days=-1)
    found = check(planned(transfer(f"{HTTPS}/x/a")), tmp_path, X509_USER_PROXY=str(made))
    assert (codes(found)[0], found.exit) == (("expired", "error"), Exit.CREDENTIAL)


def test_the_deadline_is_the_expected_end(tmp_path: Path) -> None:
    made = planned(transfer(f"{HTTPS}/x/a"), deadline=time.time() + 2 * HOUR)
    found = check(made, tmp_path, BEARER_TOKEN_site_a=token())
    assert (codes(found), found.exit) == ([("expires-early", "error")], Exit.CREDENTIAL)
    assert found.expected_end == made.settings.deadline


def test_an_expected_end_is_preferred_to_the_deadline(tmp_path: Path) -> None:
    made = planned(transfer(f"{HTTPS}/x/a"), deadline=time.time() + 2 * HOUR)
    environment = {"HOME": str(tmp_path), "BEARER_TOKEN_site_a": token()}
    found = check_credentials(made, environment=environment, expected_end=time.time() + 60)
    assert found.exit is Exit.DONE


def test_a_path_that_the_scope_does_not_cover_is_an_error_for_its_requests_alone(tmp_path: Path) -> None:
    made = planned(transfer(f"{HTTPS}/x/a"), transfer(f"{HTTPS}/y/a"), transfer(f"{HTTPS}/y/b%20c"))
    found = check(made, tmp_path, BEARER_TOKEN_site_a=token(scope="storage.read:/x"))
    assert (standings(found), found.exit) == ({"data.example.org:8443": "insufficient"}, Exit.CREDENTIAL)
    (each,) = found.endpoints
    assert (each.requests, each.blocked, found.blocked) == (3, 2, 2)
    assert "read /y/a and 1 more" in each.findings[0].message


def test_reading_is_not_writing(tmp_path: Path) -> None:
    made = planned(transfer("file:///a", f"{HTTPS}/x/a"))
    found = check(made, tmp_path, BEARER_TOKEN_site_a=token(scope="storage.read:/"))
    assert codes(found) == [("scope", "error")]


def test_a_service_may_have_a_base_folder(tmp_path: Path) -> None:
    made = planned(transfer(f"{HTTPS}/vo/x/a"))
    found = check(made, tmp_path, BEARER_TOKEN_site_a=token(scope="storage.read:/x"))
    assert (codes(found), found.exit) == ([("scope", "warning")], Exit.DONE)


def test_a_token_for_another_service_is_an_error(tmp_path: Path) -> None:
    made = planned(transfer(f"{HTTPS}/x/a"))
    found = check(made, tmp_path, BEARER_TOKEN_site_a=token(aud="https://elsewhere.example"))
    assert (codes(found), found.exit) == ([("audience", "error")], Exit.CREDENTIAL)
    assert "https://elsewhere.example" in found.endpoints[0].findings[0].message


def test_another_replica_saves_a_request(tmp_path: Path) -> None:
    made = planned(transfer("s3://alice@osn/b/k http://mirror.example/k"))
    found = check(made, tmp_path)
    assert standings(found) == {"alice@osn": "missing", "mirror.example": "anonymous"}
    assert (found.blocked, found.exit) == (0, Exit.DONE)


def test_what_is_no_credential_s_fault_is_another_exit_code(tmp_path: Path) -> None:
    found = check(planned(transfer("hpss://h/a"), transfer("s3://alice@osn/b/k")), tmp_path)
    assert standings(found) == {"h": "broken", "alice@osn": "missing"}
    assert found.exit is Exit.FAILED


def test_writing_without_a_credential_is_a_warning(tmp_path: Path) -> None:
    found = check(planned(transfer("file:///a", "http://h/a")), tmp_path)
    assert (codes(found), found.exit) == ([("anonymous-write", "warning")], Exit.DONE)


def test_authorities_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    found = check(planned(transfer(f"{HTTPS}/a")), tmp_path, SSL_CERT_FILE=str(tmp_path / "absent.pem"))
    assert found.exit is Exit.FAILED
    assert found.authorities is not None and found.authorities.finding is not None
    assert "SSL_CERT_FILE" in found.authorities.finding.message


@pytest.mark.parametrize("hashed", [True, False])
def test_a_folder_of_authorities_needs_names_by_hash(tmp_path: Path, tls_files: Any, hashed: bool) -> None:
    folder = tls_files.ca_directory if hashed else tmp_path
    if not hashed:
        (tmp_path / "ca.pem").write_bytes(tls_files.ca.read_bytes())
    found = check(planned(transfer(f"{HTTPS}/a")), tmp_path, X509_CERT_DIR=str(folder))
    assert found.exit is (Exit.DONE if hashed else Exit.FAILED)


def test_without_tls_nobody_looks_at_authorities(tmp_path: Path) -> None:
    found = check(planned(transfer("http://h/a")), tmp_path, SSL_CERT_FILE=str(tmp_path / "absent.pem"))
    assert (found.authorities, found.exit) == (None, Exit.DONE)


# --- the command


def run(folder: Path, requests: list[dict[str, Any]], *arguments: str, **environment: str) -> Run:
    (folder / "batch.json").write_text(json.dumps(requests))
    return wf_transfer(folder, "-f", "batch.json", "--check-credentials", *arguments, environment=environment)


def test_the_command_shows_one_aligned_block_for_each_endpoint(tmp_path: Path, token_file: Path) -> None:
    done = run(
        tmp_path,
        [transfer(f"{HTTPS}/x/a", "s3://alice@osn/b/k")],
        BEARER_TOKEN_FILE_site_a=str(token_file),
    )
    assert (done.code, done.err) == (77, "")
    assert done.lines()[0] == f"fine          {HTTPS} (site {SITE}): read, 1 request"
    assert done.lines()[1].startswith(
        "              bearer BEARER_TOKEN_FILE_site_a from $BEARER_TOKEN_FILE_site_a="
    )
    assert any(line.startswith("missing       s3://alice@osn") for line in done.lines())
    assert "                what to do: put access_key and secret_key" in done.out
    assert "              1 request cannot be done for want of a credential" in done.lines()
    assert done.lines()[-1].endswith("1 of 1 request cannot be done for want of a credential (exit code 77)")
    assert not any(piece in done.out for piece in token_file.read_text().split("."))


def test_a_request_with_another_replica_is_not_lost(tmp_path: Path) -> None:
    batch = [transfer(f"{HTTPS}/x/a")]
    batch[0]["src_urls"].append({"url": "s3://alice@osn/b/k"})
    done = run(tmp_path, batch)
    assert (done.code, done.err) == (0, "")
    assert "              every request has another way" in done.lines()
    assert done.lines()[-1].endswith("no server was asked (--online does) (exit code 0)")


def test_where_it_was_looked_in_vain_is_told_once(tmp_path: Path) -> None:
    done = run(tmp_path, [transfer("https://one.example.org/a"), transfer("https://two.example.org/a")])
    told = [line.strip() for line in done.lines() if "no credential: " in line]
    assert told[0].startswith("no credential: nothing in ")
    assert told[1:] == ["no credential: looked where it was for https://one.example.org"]


def test_nothing_is_transferred(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    done = run(tmp_path, [transfer(f"file://{tmp_path}/a", f"file://{tmp_path}/b")])
    assert (done.code, done.out) == (0, "only this machine's files (exit code 0)\n")
    assert not (tmp_path / "b").exists()


def test_the_credentials_file_of_the_command_line_is_looked_into(tmp_path: Path) -> None:
    file = private(tmp_path / "c.conf", OSN)
    done = run(tmp_path, [transfer("s3://alice@osn/b/k")], "--credentials", str(file))
    assert done.code == 0
    assert f"access-key alice@osn from [alice@osn] of {file} (mode 0600, yours)" in done.out
    assert "service https://osn.example.org" in done.out


def test_an_unsafe_credentials_file_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    file = private(tmp_path / "c.conf", OSN)
    file.chmod(0o644)
    done = run(tmp_path, [transfer("s3://alice@osn/b/k")], "--credentials", str(file))
    assert done.code == 77
    assert f"what to do: chmod 600 {file}" in done.out


def test_one_that_is_used_all_the_same_is_a_warning(tmp_path: Path) -> None:
    file = private(tmp_path / "c.conf", OSN)
    file.chmod(0o644)
    done = run(
        tmp_path, [transfer("s3://alice@osn/b/k")], "--credentials", str(file), "--insecure-credentials"
    )
    assert done.code == 0
    assert "warning:" in done.out and f"chmod 600 {file}" in done.out


@pytest.mark.parametrize("option", [("--online",), ("--expected-end", "2h")])
def test_its_options_alone_do_not_start_a_run(tmp_path: Path, option: tuple[str, ...]) -> None:
    (tmp_path / "batch.json").write_text(
        json.dumps([transfer(f"file://{tmp_path}/a", f"file://{tmp_path}/b")])
    )
    done = wf_transfer(tmp_path, "-f", "batch.json", *option)
    assert done.code == 2
    assert "--check-credentials" in done.err


def test_a_bad_batch_is_still_a_bad_batch(tmp_path: Path) -> None:
    (tmp_path / "batch.json").write_text("[{]")
    assert wf_transfer(tmp_path, "-f", "batch.json", "--check-credentials").code == 65


# --- the document

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
COUNT = {"type": "integer", "minimum": 0}
SECONDS = {"type": ["number", "null"]}


def exactly(**members: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [schema, {"type": "null"}]}


FINDING = exactly(
    code={"enum": list(CODES)}, severity={"enum": ["error", "warning", "note"]}, message=TEXT, remedy=TEXT
)
FINDINGS = {"type": "array", "items": FINDING}
CREDENTIAL = exactly(
    kind=TEXT,
    name=TEXT,
    origin=TEXT,
    files={
        "type": "array",
        "items": exactly(
            path=TEXT, mode=or_null({"type": "string", "pattern": "^[0-7]{4}$"}), owner=or_null(COUNT)
        ),
    },
    subject=TEXT,
    issuer=TEXT,
    audiences=TEXTS,
    scopes=TEXTS,
    not_before=or_null(TIME),
    expires=or_null(TIME),
    service=TEXT,
    renewable={"type": "boolean"},
)
ENDPOINT = exactly(
    scheme=TEXT,
    endpoint=TEXT,
    sites=TEXTS,
    accesses={"type": "array", "items": {"enum": ["read", "create", "remove"]}},
    requests=COUNT,
    blocked=COUNT,
    standing={"enum": [each.value for each in Standing]},
    credential=or_null(CREDENTIAL),
    answer=TEXT,
    clock_ahead=SECONDS,
    findings=FINDINGS,
)
DOCUMENT = exactly(
    version={"const": 1},
    tool=exactly(name={"const": "wf-transfer"}, version=TEXT),
    checked=TIME,
    expected_end=or_null(TIME),
    online={"type": "boolean"},
    exit={"enum": [0, 1, 77]},
    requests=COUNT,
    blocked=COUNT,
    authorities=or_null(exactly(origin=TEXT, findings=FINDINGS)),
    endpoints={"type": "array", "items": ENDPOINT},
)


def test_the_document_has_exactly_the_shape_of_version_1(tmp_path: Path, token_file: Path) -> None:
    done = run(
        tmp_path,
        [transfer(f"{HTTPS}/x/a", "s3://alice@osn/b/k"), transfer("http://h/a"), transfer("hpss://h/b")],
        "--json",
        "--expected-end",
        "2h",
        BEARER_TOKEN_FILE_site_a=str(token_file),
    )
    document = json.loads(done.out)
    jsonschema.validate(document, DOCUMENT)
    assert (document["exit"], done.code, document["requests"], document["blocked"]) == (1, 1, 3, 2)
    assert [each["standing"] for each in document["endpoints"]] == ["fine", "missing", "anonymous", "broken"]
    assert not any(piece in done.out for piece in token_file.read_text().split("."))


PAGE = Path(__file__).parent.parent / "docs" / "preflight.md"
in_the_tree = pytest.mark.skipif(not PAGE.is_file(), reason="the documents are not here")


@in_the_tree
def test_the_page_names_every_code_and_standing() -> None:
    page = PAGE.read_text()
    for code, (standing, meaning) in CODES.items():
        assert f"| `{code}` | `{standing}` | {meaning} |" in page
    for standing in Standing:
        assert f"`{standing}`" in page


@in_the_tree
def test_the_page_names_every_member_of_the_document() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE.read_text()))
    for schema in (DOCUMENT, ENDPOINT, CREDENTIAL, FINDING):
        assert set(schema["properties"]) <= named
