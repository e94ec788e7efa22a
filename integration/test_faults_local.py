"""What the local file system does to a batch: permissions, full disks, files that are not there."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commands import Job, Neighbours, assert_failed, contents, partials, transfer

if TYPE_CHECKING:
    from pathlib import Path

    from servers.unprivileged import Unprivileged

LARGE = os.urandom(1 << 20) * 3


def test_a_missing_source_is_told_once(job: Job, neighbours: Neighbours) -> None:
    run = job.run(neighbours.around(transfer("bad", job.url("not there"), job.url("bad"))))
    assert_failed(run, "bad", "not-found", end="source")
    assert len(run.request("bad")["attempts"]) == 1
    neighbours.assert_done(run)
    assert run.exit == 1
    assert contents(job.out).keys() == {"before", "after"}


def test_a_folder_is_no_file(job: Job, neighbours: Neighbours) -> None:
    (job.out / "folder").mkdir()
    (job.folder / "input").write_bytes(b"data")
    as_source = transfer("source", job.url("folder"), job.url("bad"))
    as_destination = transfer("destination", "input", job.url("folder"))
    run = job.run(neighbours.around(as_source, as_destination))
    for lfn in ("source", "destination"):
        assert_failed(run, lfn, "refused", end=lfn)
        assert "directory" in run.told(lfn).lower() or "folder" in run.told(lfn).lower()
    neighbours.assert_done(run)
    assert run.exit == 1
    assert contents(job.out).keys() == {"before", "after"}


def test_a_device_that_is_full_is_told(job: Job, neighbours: Neighbours) -> None:
    (job.folder / "input").write_bytes(LARGE)
    run = job.run(neighbours.around(transfer("bad", "input", "file:///dev/full")))
    assert_failed(run, "bad", "no-space", end="destination")
    assert len(run.request("bad")["attempts"]) == 1
    neighbours.assert_done(run)
    assert run.exit == 1


@pytest.mark.parametrize("source", ["file", "http"])
def test_a_file_that_may_not_grow_leaves_no_partial(source: str, job: Job, neighbours: Neighbours) -> None:
    path = neighbours.root / "large"
    path.write_bytes(LARGE)
    url = f"file://{path}" if source == "file" else f"http://127.0.0.1:{neighbours.port}/large"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    run = job.run(neighbours.around(transfer("bad", url, job.url("bad"))), preexec_fn=limit)
    assert_failed(run, "bad", "no-space", end="destination")
    neighbours.assert_done(run)
    assert run.exit == 1
    assert contents(job.out).keys() == {"before", "after"}


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root may mount")
@pytest.mark.parametrize("source", ["file", "http"])
def test_a_full_disk_is_told_and_cleaned_up(
    source: str, job: Job, neighbours: Neighbours, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    path = neighbours.root / "large"
    path.write_bytes(LARGE)
    url = f"file://{path}" if source == "file" else f"http://127.0.0.1:{neighbours.port}/large"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"this machine mounts nothing: {mounted.stderr.strip()}")
    try:
        run = job.run(neighbours.around(transfer("bad", url, f"file://{disk}/bad")))
        left = contents(disk)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert_failed(run, "bad", "no-space", end="destination")
    neighbours.assert_done(run)
    assert run.exit == 1
    assert left == {}


def _as(user: Unprivileged, batch: object, *arguments: str) -> tuple[int, str, dict]:
    done = user.run(
        [*user.command("wf-transfer"), "--result", "result.json", *arguments],
        input=json.dumps(batch).encode(),
    )
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stderr.decode(), json.loads((user.folder / "result.json").read_text())


@pytest.fixture
def room(unprivileged: Unprivileged) -> Path:
    """The user's folder with something readable, something not, and a place where nothing may be written."""
    folder = unprivileged.folder
    for name, mode in (("good", 0o600), ("secret", 0)):
        (folder / name).write_bytes(name.encode())
        unprivileged.give(folder / name).chmod(mode)
    (folder / "closed").mkdir()
    unprivileged.give(folder / "closed").chmod(0o500)
    return folder


@pytest.mark.parametrize(
    ("source", "destination", "end"),
    [("secret", "copy", "source"), ("good", "closed/copy", "destination")],
)
def test_what_is_not_permitted_fails_alone(
    source: str, destination: str, end: str, room: Path, unprivileged: Unprivileged
) -> None:
    batch = [
        transfer("bad", f"file://{room}/{source}", f"file://{room}/{destination}"),
        transfer("good", f"file://{room}/good", f"file://{room}/good copy"),
    ]
    exit_code, err, document = _as(unprivileged, batch)
    (bad,) = (request for request in document["requests"] if request["lfn"] == "bad")
    assert (exit_code, bad["error"]["code"], bad["error"]["end"]) == (1, "refused", end)
    assert "Permission denied" in err
    assert "check the permissions" in err
    assert (room / "good copy").read_bytes() == b"good"
    assert not (room / destination).exists()
    assert partials(room) == []


def test_the_next_replica_may_be_readable(room: Path, unprivileged: Unprivileged) -> None:
    batch = [transfer("f", [f"file://{room}/secret", f"file://{room}/good"], f"file://{room}/copy")]
    exit_code, _, document = _as(unprivileged, batch)
    assert (exit_code, len(document["requests"][0]["attempts"])) == (0, 2)
    assert (room / "copy").read_bytes() == b"good"


def test_the_next_destination_may_be_writable(room: Path, unprivileged: Unprivileged) -> None:
    batch = [transfer("f", f"file://{room}/good", [f"file://{room}/closed/copy", f"file://{room}/copy"])]
    exit_code, _, document = _as(unprivileged, batch)
    assert (exit_code, len(document["requests"][0]["attempts"])) == (0, 2)
    assert (room / "copy").read_bytes() == b"good"


def test_reports_that_cannot_be_written_fail_the_run(room: Path, unprivileged: Unprivileged) -> None:
    batch = [transfer("f", f"file://{room}/good", f"file://{room}/copy")]
    done = unprivileged.run(
        [*unprivileged.command("wf-transfer"), "--result", f"{room}/closed/result.json"],
        input=json.dumps(batch).encode(),
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"closed/result.json" in done.stderr
    assert (room / "copy").read_bytes() == b"good"
