"""Batches with Globus when the service, the network or somebody else misbehaves."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from commands import Job, assert_failed, contents, remove, transfer, wait_for
from globus_jobs import Ends, ends, globus, numbered, statuses, sums
from servers.globus_service import PERSONAL, SECRET, GlobusService

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ends", "globus"]

HTML = "<html><body>502 Bad Gateway</body></html>"
POLL = r"GET /v0.10/task/[^/]*$"
STEPS = (
    "POST /v2/oauth2/token",
    "GET /v0.10/task_list",
    "GET /v0.10/submission_id",
    "POST /v0.10/transfer",
    POLL,
    "successful_transfers",
)
FAULTS: dict[str, dict[str, Any]] = {
    "html": {"status": 502, "raw": HTML},
    "html and fine": {"raw": HTML},
    "a list": {"raw": "[1, 2]", "kind": "application/json"},
    "cut before": {"hang_up": "before"},
    "cut after": {"hang_up": "after"},
    "busy": {"status": 429, "code": "TooMany", "headers": {"Retry-After": "1"}},
    "nothing": {"raw": "{}", "kind": "application/json"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_every_step_passes_and_makes_no_second_task(
    fault: str, globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill(*numbered(3))
    for step in STEPS:
        globus.rule(step, **FAULTS[fault])
    run = job.run([ends.copy(name) for name in made], "-m", "8")
    assert run.exit == 0, run.err
    assert statuses(globus) == ["SUCCEEDED"]
    assert contents(ends.b) == {f"out/{name}": content for name, content in made.items()}


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("task_list", {"DATA": "no list"}),
    ("task_list", {"DATA": [1, None]}),
    ("submission_id", {"value": {"x": 1}}),
    ("POST /v0.10/transfer", {"task_id": "../../x\x1b[2J"}),
    (POLL, {"status": "NEVER HEARD OF"}),
    (POLL, {"status": None}),
    (POLL, {"bytes_transferred": "many", "faults": []}),
    (POLL, {"fatal_error": "a text", "files_transferred": {}}),
    ("successful_transfers", {"DATA": {"a": 1}}),
    ("successful_transfers", {"DATA": [{"nothing": "known"}, "x"]}),
    ("successful_transfers", {"next_marker": {"a": 1}}),
]


@pytest.mark.parametrize("first", [0, 1, 2])
def test_answers_of_the_wrong_shape_are_asked_for_again(
    first: int, globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill("f")
    for where, fields in WRONG[first::3]:
        globus.rule(where, fields=fields)
    run = job.run([ends.copy("f")], "-m", "8")
    assert run.exit == 0, run.err
    assert statuses(globus) == ["SUCCEEDED"]
    assert contents(ends.b) == {"out/f": made["f"]}


def test_many_bad_files_do_not_spoil_the_good_ones(globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill(*numbered(24))
    bad = list(made)[::3]
    for name in bad:
        (ends.b / f"out/{name}").mkdir(parents=True)
    run = job.run([ends.copy(name) for name in made], "-m", "2")
    assert run.exit == 1, run.err
    assert [name for name in made if run.status(name) != "done"] == bad
    assert {run.request(name)["error"]["code"] for name in bad} == {"refused"}
    assert all(len(run.request(name)["attempts"]) == 1 for name in made if name not in bad)


def test_a_document_that_is_too_large_is_sent_in_halves(globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill(*numbered(10))
    globus.settings(items_most=3)
    run = job.run([ends.copy(name) for name in made])
    assert run.exit == 0, run.err
    assert contents(ends.b) == {f"out/{name}": content for name, content in made.items()}
    assert max(len(document["DATA"]) for document in globus.documents()) <= 3
    assert all(len(run.request(name)["attempts"]) == 1 for name in made)


def test_processes_share_one_task(globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill(*numbered(600), size=10)
    deadline = "2030-01-01T00:00:00+00:00"
    run = job.run([ends.copy(name) for name in made], "--processes", "3", "--deadline", deadline)
    assert run.exit == 0, run.err
    documents = globus.documents()
    assert sum(len(document["DATA"]) for document in documents) == 600
    # The first may be on its way before all have been handed over.
    assert len(documents) <= 2
    assert {document["deadline"] for document in documents} == {deadline}


ODD = ["a b", "a%20b", "100%", "a#b", "a?b=c", "ä\u2013日本", "a\nb", 'a"b\\c', "-x", "~", "..x", "a+b&c"]


def test_odd_names_are_names(globus: GlobusService, ends: Ends, job: Job) -> None:
    batch, copied, fetched = [], {}, {}
    for number, name in enumerate(ODD):
        content = name.encode() * 10
        (ends.a / name).write_bytes(content)
        (job.folder / f"local{number}").write_bytes(content)
        source, goal = f"globus://{ends.source}/{name}", f"globus://{ends.destination}"
        batch += [
            transfer(f"copy{number}", source, f"{goal}/out/{name}"),
            transfer(f"down{number}", source, job.url(f"down{number}")),
            transfer(f"up{number}", f"file://{job.folder}/local{number}", f"{goal}/up/{name}"),
        ]
        copied |= {f"out/{name}": content, f"up/{name}": content}
        fetched[f"down{number}"] = content
    run = job.run(batch)
    assert run.exit == 0, run.err
    assert contents(ends.b) == copied
    assert contents(job.out) == fetched


def test_the_home_and_double_slashes_fail_alone_too(globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill(*numbered(4))
    (ends.a / "in").mkdir()
    globus.settings(home="/home/somebody")
    a, b = f"globus://{ends.source}", f"globus://{ends.destination}"
    (ends.b / "bad").mkdir()
    batch = [
        *(transfer(name, f"{a}/~/{name}", f"{b}/~/out//{name}") for name in made),
        transfer("missing", f"{a}/~/missing", f"{b}/~/missing"),
        transfer("bad", f"{a}/~/f0000", f"{b}/~/bad"),
    ]
    run = job.run(batch, "-m", "2")
    assert run.exit == 1, run.err
    assert [run.status(name) for name in made] == ["done"] * 4, run.err
    assert_failed(run, "missing", "not-found")
    assert_failed(run, "bad", "refused")


def test_a_file_is_not_copied_to_a_name_with_a_slash_at_its_end(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    ends.fill("f")
    run = job.run([transfer("f", f"globus://{ends.source}/f", f"globus://{ends.destination}/out/")])
    assert run.exit == 1, run.err
    assert_failed(run, "f", "refused")
    assert globus.tasks() == []


def begin_slow(globus: GlobusService, ends: Ends, job: Job, *arguments: str) -> Any:
    """A run whose task is under way for a long time."""
    ends.fill("f", size=50 << 20)
    globus.rule("copy /f", slow=0.5, times=1000)
    process = job.start([ends.copy("f")], *arguments)
    wait_for(lambda: globus.tasks() and globus.tasks()[0]["status"] == "ACTIVE", "the task")
    return process


def test_a_service_that_hangs_does_not_keep_a_stopped_run(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    process = begin_slow(globus, ends, job)
    globus.rule("/cancel", delay=100.0, times=100)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    run = job.finish(process)
    assert time.monotonic() - began < 25
    assert run.exit == 75
    assert "may still be running" in run.err and globus.tasks()[0]["task_id"] in run.err


def test_a_second_signal_ends_the_run_at_once(globus: GlobusService, ends: Ends, job: Job) -> None:
    process = begin_slow(globus, ends, job)
    globus.rule("/cancel", delay=100.0, times=100)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: any("/cancel" in one for one in globus.requests()), "the attempt to cancel")
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert process.wait(20) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 5
    process.communicate()


def test_the_deadline_ends_the_task(globus: GlobusService, ends: Ends, job: Job) -> None:
    ends.fill("f", size=50 << 20)
    globus.rule("copy /f", slow=0.5, times=1000)
    run = job.run([ends.copy("f")], "--deadline", "3s")
    assert run.exit == 75, run.err
    assert statuses(globus) == ["FAILED"]


@pytest.mark.parametrize("again", ["the same journal", "another journal"])
def test_two_runs_of_one_batch_share_the_task(
    again: str, globus: GlobusService, ends: Ends, job: Job, tmp_path: Path
) -> None:
    made = ends.fill("f", size=4 << 20)
    globus.rule("copy /f", slow=0.3, times=1000)
    first = job.start([ends.copy("f")], "--journal", "one")
    wait_for(lambda: globus.tasks(), "the submission")
    other = Job(tmp_path / "other")
    other.environment.update(job.environment, HOME=other.environment["HOME"])
    name = str(job.folder / "one") if again == "the same journal" else "two"
    run = other.run([ends.copy("f")], "--journal", name)
    assert run.exit == 0, run.err
    assert job.finish(first).exit == 0
    assert statuses(globus) == ["SUCCEEDED"]
    assert contents(ends.b) == {"out/f": made["f"]}


KILLED_AT = ["task_list", "submission_id", "POST /v0.10/transfer", r"GET /v0.10/task/[^/]*$", "successful_"]


@pytest.mark.parametrize("step", KILLED_AT)
def test_a_run_that_is_killed_at_any_step_is_gone_on_with(
    step: str, globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill("f")
    globus.rule(step, answer_after=5.0)
    process = job.start([ends.copy("f")])
    wait_for(lambda: any(re.search(step, one) for one in globus.requests()), step)
    process.kill()
    process.communicate()
    run = job.run([ends.copy("f")])
    assert run.exit == 0, run.err
    assert statuses(globus) == ["SUCCEEDED"]
    assert contents(ends.b) == {"out/f": made["f"]}


def test_a_token_that_is_revoked_in_the_midst_names_the_task(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    for name in globus.login:
        del job.environment[name]
    globus.change(ends.source, needs_consent=False)
    globus.change(ends.destination, needs_consent=False)
    token = job.environment["GLOBUS_ACCESS_TOKEN"] = globus.access_token()
    process = begin_slow(globus, ends, job)
    globus.expire_tokens()
    run = job.finish(process)
    assert run.exit == 77, run.err
    assert globus.tasks()[0]["task_id"] in run.err and token not in run.err
    # A later run goes on with it.
    assert (job.folder / "result.json.journal").exists()


def test_a_service_that_wants_to_be_left_alone_for_long_does_not_hold_the_run(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    ends.fill("f")
    globus.rule(r"GET /v0.10/task/[^/]*$", status=429, headers={"Retry-After": "86000"}, times=1000)
    run = job.run([ends.copy("f")])
    assert run.exit == 75, run.err
    assert "may still be running" in run.err
    assert (job.folder / "result.json.journal").exists()


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512", "sha384"])
def test_digests_of_other_algorithms_are_compared(
    algorithm: str, globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill("good", "bad")
    right = hashlib.new(algorithm, made["good"]).hexdigest()
    batch = [ends.copy(name, checksum={"type": algorithm, "value": right}) for name in made]
    run = job.run(batch, "-m", "2")
    assert run.exit == 3, run.err
    assert run.status("good") == "done"
    assert_failed(run, "bad", "mismatch")
    assert contents(ends.b) == {"out/good": made["good"]}


@pytest.mark.parametrize("word", ["none", "size", "checksum", "digest", "read-back"])
def test_evidence_that_is_insisted_on_is_had(word: str, globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill("plain", "known")
    run = job.run(
        [ends.copy("plain"), ends.copy("known", checksum=sums(made)["known"])], "--require-evidence", word
    )
    assert run.exit == 0, run.err
    order = ["none", "size", "checksum", "digest", "read-back"]
    for name in made:
        assert order.index(run.request(name)["evidence"]) >= order.index(word), run.request(name)


def test_a_generated_checksum_and_a_remote_check_are_done(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    made = ends.fill("g", "v")
    checked = sums(made)
    batch = [
        ends.copy("g", generate_checksum=True),
        ends.copy("v", checksum=checked["v"], verify_checksum_remote=True),
    ]
    run = job.run(batch)
    assert run.exit == 0, run.err
    assert run.request("v")["evidence"] == "read-back"
    assert contents(ends.b) == {f"out/{name}": content for name, content in made.items()}


@pytest.mark.parametrize("policy", ["verify", "update", "fail"])
def test_what_is_there_already_is_looked_at(policy: str, globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill("same", "other", "new")
    (ends.b / "out").mkdir()
    (ends.b / "out/same").write_bytes(made["same"])
    (ends.b / "out/other").write_bytes(b"other")
    run = job.run([ends.copy(name) for name in made], "--existing", policy)
    told = {name: (run.request(name)["error"] or {}).get("code", "done") for name in made}
    expected = {
        "verify": {"same": "done", "other": "exists", "new": "done"},
        "update": {"same": "done", "other": "done", "new": "done"},
        "fail": {"same": "exists", "other": "exists", "new": "done"},
    }
    assert told == expected[policy], run.err


def test_removals_and_copies_keep_their_order(globus: GlobusService, ends: Ends, job: Job) -> None:
    made = ends.fill("f", "g")
    a, b = f"globus://{ends.source}", f"globus://{ends.destination}"
    (ends.b / "f").write_bytes(b"old")
    batch = [
        remove(f"{b}/f", id=1, lfn="old"),
        transfer("f", f"{a}/f", f"{b}/f", id=2, after=1),
        transfer("g", f"{b}/f", f"{a}/back", id=3, after=2),
        remove(f"{b}/f", id=4, after=3, lfn="late"),
        transfer("bad", f"{a}/missing", f"{b}/x", id=5),
        remove(f"{a}/g", id=6, after=5, lfn="kept"),
    ]
    run = job.run(batch)
    assert run.exit == 1, run.err
    assert (ends.a / "back").read_bytes() == made["f"]
    assert not (ends.b / "f").exists() and (ends.a / "g").exists()


# --- a service that means harm


def test_no_token_goes_where_the_service_points_without_tls(
    globus: GlobusService, ends: Ends, job: Job
) -> None:
    ends.fill("f")
    for https in (
        "http://127.0.0.1:9/x",
        "https://a:b@127.0.0.1:9/x",
        "https://127.0.0.1:9/x?y=",
        "https://",
    ):
        globus.rule(f"endpoint/{ends.source}", fields={"https_server": https}, times=1)
        run = job.run([transfer("down", f"globus://{ends.source}/f", job.url("down"))], "-m", "1")
        assert run.exit == 1, run.err
        assert_failed(run, "down", "unsupported")


def test_a_redirection_takes_no_token_along(
    globus: GlobusService, ends: Ends, job: Job, tmp_path: Path
) -> None:
    ends.fill("f")
    other = globus.collection(tmp_path / "x", entity_type=PERSONAL)
    target = globus.url.replace("127.0.0.1", "localhost") + f"/v0.10/endpoint/{other}"
    globus.rule("POST /v0.10/transfer", raw="", status=307, headers={"Location": target}, times=1000)
    globus.rule("task_list", raw="", status=302, headers={"Location": target}, times=1000)
    run = job.run([ends.copy("f")], "-m", "1")
    assert run.exit != 0
    assert not any(other in one for one in globus.requests()), globus.requests()


def test_what_a_service_repeats_of_a_token_is_not_shown(globus: GlobusService, ends: Ends, job: Job) -> None:
    """A client's secret, in the events of a task and the words of an administrator."""
    ends.fill("f", "g")
    globus.rule("copy /f", fatal="SOMETHING_ODD", message=f"no {SECRET}", times=100)
    globus.rule("copy /g", fault="PERMISSION_DENIED", message=f"no {SECRET}", times=100)
    run = job.run([ends.copy("f"), ends.copy("g")], "-m", "1", "-d")
    assert run.exit != 0
    left = b"".join(contents(job.folder).values()).decode("utf-8", "replace")
    assert SECRET not in run.err + run.out + left + json.dumps(globus.documents())
    assert os.path.exists(job.folder / "result.json")
