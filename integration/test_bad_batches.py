"""Batches that are wrong: as a whole, when nothing starts; or in one request, when the others are done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from commands import Job, Neighbours, assert_failed, contents, mkdir, remove, run_program, transfer

if TYPE_CHECKING:
    from pathlib import Path

GOOD = transfer("good", "file:///etc/hostname", "file:///nowhere/good")

WRONG = {
    "nothing": (b"", "1:1"),
    "not json": (b"these are not the files", "1:1"),
    "cut off": (b'[\n  {"type": "transfer",\n', "3:1"),
    "a text": (b'"transfer"', "array of requests"),
    "not utf-8": (b'[{"type": "mkdir", "target": {"url": "\xff"}}]', "UTF-8"),
    "unknown type": ([{"type": "transfre"}], '"transfer" was probably meant'),
    "no sources": ([{**GOOD, "src_urls": []}], "[0].src_urls"),
    "missing key": ([{"type": "mkdir"}], "target"),
    "wrong type": ([GOOD, {**GOOD, "size": []}], "[1].size"),
    "misspelt key": ([{**GOOD, "generate_cheksum": True}], "generate_checksum"),
    "misspelt url key": ([{"type": "remove", "target": {"url": "a", "recursiv": True}}], "recursive"),
    "short digest": ([{**GOOD, "checksum": {"type": "sha256", "value": "abc"}}], "checksum"),
    "unknown digest": ([{**GOOD, "checksum": {"type": "sha257", "value": "00"}}], "sha256"),
    "no such id": ([{**GOOD, "after": "first"}], "first"),
    "circle": ([{**GOOD, "id": 1, "after": 2}, {**GOOD, "id": 2, "after": 1}], "after"),
    "url without host": ([transfer("f", "http:///a", "b")], "src_urls"),
    "another host's file": ([transfer("f", "file://elsewhere/a", "b")], "another host"),
}


@pytest.mark.parametrize(("document", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_batch_moves_nothing(document: object, hint: str, job: Job) -> None:
    (job.folder / "input").write_bytes(b"data")
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    run = job.run(text)
    assert run.exit == 65
    assert hint in run.err
    assert run.err.startswith("wf-transfer: standard input:")
    assert (run.document, run.events) == ({}, [])
    assert contents(job.out) == {}


def test_the_good_part_of_a_wrong_batch_is_not_begun(job: Job) -> None:
    (job.folder / "input").write_bytes(b"data")
    good = transfer("good", "input", job.url("good"))
    run = job.run([good, good, {**good, "dest_urls": "nowhere"}])
    assert (run.exit, contents(job.out)) == (65, {})
    assert "[2].dest_urls" in run.err


@pytest.mark.parametrize("name", ["not-there.json", "."])
def test_a_batch_that_cannot_be_read_is_a_usage_error(name: str, job: Job) -> None:
    run = job.run([], "-f", name)
    assert run.exit == 2
    assert f"{name}: " in run.err


@pytest.mark.parametrize(
    "arguments", [["-n", "-1"], ["-m", "0"], ["--unknown"], ["--deadline", "soon"], ["--bwlimit", "lots"]]
)
def test_a_wrong_command_line_moves_nothing(arguments: list[str], job: Job) -> None:
    (job.folder / "input").write_bytes(b"data")
    run = job.run([transfer("f", "input", job.url("f"))], *arguments)
    assert (run.exit, contents(job.out)) == (2, {})
    assert run.err.startswith("wf-transfer: ") and run.err.endswith("(wf-transfer --help)\n")


def test_an_unknown_scheme_fails_its_request_alone(job: Job, neighbours: Neighbours) -> None:
    bad = transfer("bad", "quux://host/file", job.url("bad"))
    planned = transfer("planned", "gsiftp://host/file", job.url("planned"))
    run = job.run(neighbours.around(bad, planned))
    assert_failed(run, "bad", "unsupported")
    assert_failed(run, "planned", "unsupported")
    assert "'quux'" in run.told("bad")
    assert "yet" in run.told("planned")
    neighbours.assert_done(run)
    assert run.exit == 1


PLUG_IN = """\
from wf.protocols.capability import Capability

TAPE = Capability(
    "tape", ("tape",), "tape_plug_in:Nothing", read=True, requires=("tape_robot",), extra="tape",
)
"""


@pytest.fixture
def plug_in(job: Job) -> Path:
    """A distribution with a protocol whose library is not installed, on the commands' path."""
    folder = job.folder / "plug-ins"
    metadata = folder / "tape_plug_in-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tape-plug-in\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[wf.protocols]\ntape = tape_plug_in:TAPE\n")
    (folder / "tape_plug_in.py").write_text(PLUG_IN)
    job.environment["PYTHONPATH"] = str(folder)
    return folder


def test_a_missing_extra_says_what_to_install(plug_in: Path, job: Job, neighbours: Neighbours) -> None:
    bad = transfer("bad", "tape://robot/file", job.url("bad"))
    run = job.run(neighbours.around(bad))
    assert_failed(run, "bad", "missing-extra", end="source")
    assert "tape_robot" in run.told("bad")
    assert "pip install 'wf-transfer[tape]'" in run.told("bad")
    neighbours.assert_done(run)
    assert run.exit == 78


def test_a_variable_that_is_not_set_fails_its_request_alone(job: Job, neighbours: Neighbours) -> None:
    bad = transfer("bad", "file://$NOT_SET_ANYWHERE/file", job.url("bad"))
    run = job.run(neighbours.around(bad))
    assert_failed(run, "bad", "refused", end="source")
    assert "$NOT_SET_ANYWHERE" in run.told("bad")
    neighbours.assert_done(run)
    assert run.exit == 1


def test_a_dangerous_remove_fails_alone(job: Job, neighbours: Neighbours) -> None:
    (job.folder / "precious").write_bytes(b"precious")
    run = job.run(neighbours.around(remove(".", recursive=True), remove("/", recursive=True)))
    assert run.exit == 1
    refused = [request for request in run.document["requests"] if request["type"] == "remove"]
    assert [request["error"]["code"] for request in refused] == ["refused", "refused"]
    assert run.err.count("is not removed") == 2
    assert (job.folder / "precious").exists()
    neighbours.assert_done(run)


def test_a_failed_folder_stops_no_transfer(job: Job, neighbours: Neighbours) -> None:
    (job.out / "file").write_bytes(b"in the way")
    run = job.run([*neighbours.around(mkdir(job.url("file/below")))])
    assert run.exit == 1
    assert [request["status"] for request in run.document["requests"]].count("done") == 2
    neighbours.assert_done(run)


def test_a_remove_does_not_run_when_its_transfer_failed(job: Job) -> None:
    (job.out / "kept").write_bytes(b"the only copy")
    batch = [
        transfer("out", job.url("kept"), "http://127.0.0.1:9/kept"),
        remove(job.url("kept")),
    ]
    run = job.run(batch, "-m", "1")
    assert (job.out / "kept").read_bytes() == b"the only copy"
    (removal,) = (request for request in run.document["requests"] if request["type"] == "remove")
    assert removal["status"] == "skipped"
    assert run.exit == 75


def test_dry_run_touches_nothing(job: Job) -> None:
    (job.folder / "input").write_bytes(b"data")
    (job.folder / "batch.json").write_text(
        json.dumps([transfer("f", "input", job.url("f")), remove("input"), mkdir(job.url("d"))])
    )
    done = run_program(
        ["wf-transfer", "--dry-run", "-f", "batch.json"], folder=job.folder, environment=job.environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "local-copy" in done.stdout
    assert contents(job.out) == {}
    assert (job.folder / "input").exists()
