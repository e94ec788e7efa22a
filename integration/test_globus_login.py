"""`wf-transfer globus login`, with a person at the browser, and jobs that use what it left."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from commands import PATIENCE, Job, contents, program, transfer
from servers.globus_service import GUEST, MAPPED, GlobusService, globus_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.tls import TlsFiles

APPLICATION = "99999999-8888-7777-6666-555555555555"


@pytest.fixture
def globus(tls_files: TlsFiles, job: Job) -> Iterator[GlobusService]:
    with globus_service(tls_files) as service:
        job.environment.update(service.environment, SSL_CERT_FILE=str(tls_files.ca))
        yield service


def logged_in(job: Job, *words: str) -> tuple[int, str]:
    """Exit code and what was said, after every address was opened and its code entered."""
    command = [program("wf-transfer"), "globus", "login", "--client-id", APPLICATION, *words]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=job.folder,
        env=job.environment,
    )
    assert process.stdin and process.stderr
    said = ""
    with process:
        while line := process.stderr.readline():
            said += line
            address = re.match(r"http://127\.0\.0\.1\S+", line)
            if address:
                with urlopen(address[0], timeout=PATIENCE) as response:
                    process.stdin.write(json.load(response)["code"] + "\n")
                    process.stdin.flush()
    return process.returncode, said


def kept(job: Job) -> Path:
    return job.folder.parent / "home/.config/wf-transfer/globus.json"


def test_a_login_serves_tasks_and_files_of_the_named_collections(
    globus: GlobusService, job: Job, tmp_path: Path
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    one, other = globus.collection(a, entity_type=MAPPED), globus.collection(b, entity_type=GUEST)
    (a / "f").write_bytes(b"content")
    code, said = logged_in(job, one, f"globus://{other}/some/path")
    assert code == 0, said
    assert kept(job).stat().st_mode & 0o777 == 0o600
    tokens = json.loads(kept(job).read_text())["tokens"]
    assert set(tokens) == {"transfer.api.globus.org", one, other}
    assert not [token for each in tokens.values() for token in each.values() if token in said]
    run = job.run(
        [
            transfer("task", f"globus://{one}/f", f"globus://{other}/task"),
            transfer("down", f"globus://{one}/f", job.url("down")),
        ]
    )
    assert run.exit == 0, run.err
    assert contents(b) == {"task": b"content"} and contents(job.out) == {"down": b"content"}


def test_a_refresh_token_that_is_replaced_is_written_back_into_the_login(
    globus: GlobusService, job: Job, tmp_path: Path
) -> None:
    globus.settings(rotate=True)
    a = tmp_path / "a"
    one = globus.collection(a)
    (a / "f").write_bytes(b"content")
    assert logged_in(job, one)[0] == 0
    before = json.loads(kept(job).read_text())["tokens"]
    for number in range(3):
        run = job.run([transfer("down", f"globus://{one}/f", job.url(f"down{number}"))])
        assert run.exit == 0, run.err
    after = json.loads(kept(job).read_text())["tokens"]
    assert set(after) == set(before)
    assert all(after[server] != before[server] for server in after)
    assert kept(job).stat().st_mode & 0o777 == 0o600


def test_a_collection_that_was_not_named_names_the_command(
    globus: GlobusService, job: Job, tmp_path: Path
) -> None:
    one = globus.collection(tmp_path / "a", entity_type=GUEST)
    assert logged_in(job)[0] == 0
    run = job.run([transfer("down", f"globus://{one}/f", job.url("down"))])
    assert run.exit == 77
    assert f"wf-transfer globus login {one}" in run.request("down")["error"]["remedy"]


def test_a_logout_leaves_nothing(globus: GlobusService, job: Job) -> None:
    assert logged_in(job)[0] == 0
    command = [program("wf-transfer"), "globus", "logout"]
    for said in ("logged out", "nobody was logged in"):
        found = subprocess.run(
            command,
            cwd=job.folder,
            env=job.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert found.returncode == 0 and said in found.stderr
        assert not kept(job).exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "write `login`"),
        (("logout", "x"), 2, "write `login`"),
        (("login",), 78, "register a native application"),
        (("login", "--client-id", "x", "not-a-uuid"), 1, "is not the UUID of a collection"),
    ],
)
def test_wrong_words_are_refused(words: tuple[str, ...], code: int, said: str, job: Job) -> None:
    command = [program("wf-transfer"), "globus", *words]
    found = subprocess.run(
        command,
        cwd=job.folder,
        env=job.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (found.returncode, found.stdout) == (code, "")
    assert said in found.stderr
