"""What the credentials file says reaches the right server and nothing else: no other host, no output, no record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import Job, Run, assert_failed, contents, site_sections, stored, transfer
from servers.nginx import BASIC_PASSWORD, BASIC_USER, BEARER_TOKEN, HEADER_TOKEN
from servers.scripted import answer, scripted
from servers.seaweed import WRONG_SECRET

if TYPE_CHECKING:
    from servers.nginx import Nginx
    from servers.seaweed import Seaweed
    from servers.tls import TlsFiles

DATA = b"for those who may read it"
RECORDS = ("--metrics-file", "metrics.prom", "--manifest", "sums", "-d")


@pytest.fixture
def served(web: Nginx, job: Job, tls_files: TlsFiles) -> Nginx:
    (web.root / "f").write_bytes(DATA)
    job.environment["SSL_CERT_FILE"] = str(tls_files.ca)
    (job.folder / "records").mkdir()
    job.environment["PEGASUS_MULTIPART_DIR"] = "records"
    job.environment["KICKSTART_INTEGRITY_DATA"] = "integrity.yml"
    return web


def authority(url: str) -> str:
    return url.partition("://")[2]


def assert_told_nowhere(job: Job, run: Run, *secrets: str) -> None:
    """No output and no file that the run left holds a secret; the credentials file, of course, does."""
    texts = {"stderr": run.err, "stdout": run.out}
    for folder in (job.folder, job.out):
        for name, content in contents(folder).items():
            if name not in ("credentials.conf", "batch.json"):
                texts[name] = content.decode(errors="replace")
    assert len(texts) >= 5
    for name, text in texts.items():
        for secret in secrets:
            assert secret not in text, f"{secret} is in {name}"


def test_a_host_gets_its_user_and_password(served: Nginx, job: Job) -> None:
    job.credentials(f"[{authority(served.url)}]\nusername = {BASIC_USER}\npassword = {BASIC_PASSWORD}\n")
    (job.folder / "input").write_bytes(DATA)
    batch = [
        transfer("in", f"{served.url}/basic/f", job.url("f"), generate_checksum=True),
        transfer("out", "input", f"{served.url}/put-basic/f"),
    ]
    run = job.run(batch, *RECORDS)
    assert run.exit == 0, run.err
    assert (job.out / "f").read_bytes() == DATA
    assert (served.root / "put-basic" / "f").read_bytes() == DATA
    assert_told_nowhere(job, run, BASIC_PASSWORD)


def test_a_host_and_scheme_get_their_own_header_fields(served: Nginx, job: Job) -> None:
    plain, encrypted = authority(served.url), authority(served.tls_url)
    job.credentials(
        f"[http://{plain}]\nheader.X-Token = {HEADER_TOKEN}\n"
        f"[https://{encrypted}]\nheader.Authorization = Bearer {BEARER_TOKEN}\n"
        f"[https://{plain}]\nheader.X-Token = canary-of-another-scheme\n"
    )
    batch = [
        transfer("header", f"{served.url}/header/f", job.url("header")),
        transfer("bearer", f"{served.tls_url}/bearer/f", job.url("bearer")),
    ]
    run = job.run(batch, *RECORDS)
    assert run.exit == 0, run.err
    assert contents(job.out) == {"header": DATA, "bearer": DATA}
    assert_told_nowhere(job, run, HEADER_TOKEN, BEARER_TOKEN, "canary")


def test_a_section_without_a_port_is_not_about_another_port(job: Job) -> None:
    """There may be somebody else's server."""
    with scripted(answer(DATA)) as server:
        job.credentials("[127.0.0.1]\nheader.X-Token = canary-header\n")
        run = job.run([transfer("f", f"{server.url}/f", job.url("f"))])
        assert "x-token" not in server.requests[0].headers
    assert (run.exit, contents(job.out)) == (0, {"f": DATA})


def test_a_user_at_a_site_signs_for_it(served: Nginx, s3: Seaweed, bucket: str, job: Job) -> None:
    job.credentials(
        site_sections(s3.endpoint, s3.admin)
        + site_sections(s3.endpoint, WRONG_SECRET, site="elsewhere", user="bob")
    )
    batch = [
        transfer("up", f"{served.url}/f", f"s3://alice@store/{bucket}/f"),
        transfer("wrong", f"{served.url}/f", f"s3://bob@elsewhere/{bucket}/g"),
    ]
    run = job.run(batch, *RECORDS)
    assert run.exit == 77
    assert stored(s3, bucket, "f") == DATA
    assert_failed(run, "wrong", "denied", end="destination")
    assert "bob@elsewhere" in run.told("wrong")
    assert_told_nowhere(job, run, s3.admin.secret, WRONG_SECRET.secret)


def test_an_open_credentials_file_is_refused(served: Nginx, job: Job) -> None:
    path = job.credentials(
        f"[{authority(served.url)}]\nusername = {BASIC_USER}\npassword = {BASIC_PASSWORD}\n", mode=0o644
    )
    batch = [
        transfer("bad", f"{served.url}/basic/f", job.url("bad")),
        transfer("local", f"file://{served.root}/f", job.url("local")),
    ]
    run = job.run(batch, *RECORDS)
    assert run.status("local") == "done"
    assert run.status("bad") == "failed"
    assert "mode 0644" in run.told("bad")
    assert f"chmod 600 {path}" in run.told("bad")
    assert run.exit == 77
    assert served.requests() == []
    assert_told_nowhere(job, run, BASIC_PASSWORD)


def test_a_credentials_file_that_is_not_there_is_told(served: Nginx, job: Job) -> None:
    job.environment["PEGASUS_CREDENTIALS"] = "never-shipped.conf"
    run = job.run([transfer("bad", f"{served.url}/f", job.url("bad"))])
    assert_failed(run, "bad", "missing-credential")
    assert "never-shipped.conf" in run.told("bad")
    assert run.exit == 77


def test_a_refused_password_is_named_by_its_section_only(served: Nginx, job: Job) -> None:
    section = authority(served.url)
    job.credentials(f"[{section}]\nusername = {BASIC_USER}\npassword = canary/password\n")
    run = job.run([transfer("bad", f"{served.url}/basic/f", job.url("bad"))], *RECORDS)
    assert_failed(run, "bad", "denied", end="source")
    assert f"[{section}]" in run.told("bad")
    assert run.exit == 77
    assert_told_nowhere(job, run, "canary")


def test_secrets_in_urls_are_told_nowhere(served: Nginx, job: Job) -> None:
    host = authority(served.url)
    batch = [
        transfer("password", f"http://someone:canary-password@{host}/basic/f", job.url("a")),
        transfer("query", f"{served.url}/status/403?X-Amz-Signature=canary-signature", job.url("b")),
        transfer("token", f"{served.url}/status/404?access_token=canary-token", job.url("c")),
        transfer("gone", "http://me:canary-elsewhere@127.0.0.1:1/f", job.url("d")),
    ]
    run = job.run(batch, *RECORDS, "-m", "1")
    assert {request["status"] for request in run.document["requests"]} == {"failed"}
    assert_told_nowhere(job, run, "canary")


def test_a_redirect_takes_no_credential_along(served: Nginx, job: Job) -> None:
    with scripted(answer(DATA)) as other:
        moved = answer(b"", f"Location: {other.url}/f", status="302 Found")
        with scripted(moved) as first:
            job.credentials(f"[{authority(first.url)}]\nheader.X-Token = canary-header\n")
            run = job.run([transfer("f", f"{first.url}/f", job.url("f"))], *RECORDS)
            assert first.requests[0].headers["x-token"] == "canary-header"
        assert "x-token" not in other.requests[0].headers
    assert (run.exit, contents(job.out)) == (0, {"f": DATA})
    assert_told_nowhere(job, run, "canary")


def test_an_error_page_that_repeats_a_secret_is_not_believed(job: Job) -> None:
    refused = answer(
        b"you sent canary-header, and that is wrong", "Content-Type: text/plain", status="403 Forbidden"
    )
    with scripted(refused) as server:
        job.credentials(f"[{authority(server.url)}]\nheader.X-Token = canary-header\n")
        run = job.run([transfer("bad", f"{server.url}/f", job.url("f"))], *RECORDS)
    assert_failed(run, "bad", "denied", end="source")
    assert_told_nowhere(job, run, "canary")


def test_no_secret_is_in_the_arguments_of_a_process(served: Nginx, job: Job) -> None:
    job.credentials(f"[{authority(served.url)}]\nusername = {BASIC_USER}\npassword = {BASIC_PASSWORD}\n")
    process = job.start([transfer("f", f"{served.url}/basic/f", job.url("f"))])
    try:
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    finally:
        run = job.finish(process)
    assert run.exit == 0
    assert os.fsencode(BASIC_PASSWORD) not in arguments
