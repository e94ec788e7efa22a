"""A run that is told to stop, by a signal or by its deadline, ends in order: with a report, and ready to go on."""

from __future__ import annotations

import hashlib
import os
import signal
from typing import TYPE_CHECKING

import pytest
from commands import (
    Job,
    Run,
    contents,
    keys_in,
    partials,
    site_sections,
    stored,
    transfer,
    uploads_in,
    wait_for,
)
from servers.faults import fault_proxy, stall

if TYPE_CHECKING:
    import subprocess

    from servers.nginx import Nginx
    from servers.seaweed import Seaweed

LARGE = os.urandom(1 << 20) * 20
STOPS = ["SIGTERM", "SIGINT", "deadline"]


def stop(name: str, process: subprocess.Popen[bytes]) -> None:
    if name != "deadline":
        process.send_signal(getattr(signal, name))


def arguments(name: str) -> list[str]:
    return ["--deadline", "2"] if name == "deadline" else []


def assert_stopped(run: Run, lfn: str) -> None:
    assert run.exit == 75
    request = run.request(lfn)
    assert (request["status"], request["error"]["code"]) == ("stopped", "stopped")
    assert "what to do: run the batch again" in run.told(lfn)
    assert run.events[-1]["totals"]["stopped"] == 1


@pytest.mark.parametrize("how", STOPS)
def test_a_stopped_download_is_finished_by_the_next_run(how: str, web: Nginx, job: Job) -> None:
    (web.root / "f").write_bytes(LARGE)
    os.utime(web.root / "f", (1_000_000_000, 1_000_000_000))  # or its ETag is not believed yet
    checksum = {"value": hashlib.sha256(LARGE).hexdigest()}
    with fault_proxy(web.port, stall(5_000_000, body=True), first=1) as stalling:
        batch = [
            transfer("before", f"{web.url}/f", job.url("before"), id=1),
            transfer("f", f"{stalling.url}/f", job.url("f"), checksum=checksum, id=2, after=1),
            transfer("later", f"{web.url}/f", job.url("later"), id=3, after=2),
        ]
        process = job.start(batch, *arguments(how))
        wait_for(lambda: stalling.bytes_down >= 5_000_000, "the stall")
        stop(how, process)
        run = job.finish(process)
        assert_stopped(run, "f")
        assert (run.status("before"), run.status("later")) == ("done", "skipped")
        assert not (job.out / "f").exists()
        assert len(partials(job.out)) <= 1
        run = job.run(batch)
    assert run.exit == 0
    assert {name: len(data) for name, data in contents(job.out).items()} == dict.fromkeys(
        ("before", "f", "later"), len(LARGE)
    )
    assert (job.out / "f").read_bytes() == LARGE


@pytest.mark.parametrize("how", STOPS)
def test_a_stopped_upload_to_s3_leaves_nothing_that_costs(
    how: str, web: Nginx, s3: Seaweed, bucket: str, job: Job
) -> None:
    with fault_proxy(s3.port, stall(12_000_000, upward=True), first=1) as stalling:
        job.credentials(site_sections(stalling.url, s3.admin))
        (web.root / "f").write_bytes(LARGE)
        # What has no version cannot be gone on with; `test_resume.py` has what can.
        batch = [transfer("f", f"{web.url}/novalidator/f", f"s3://alice@store/{bucket}/f")]
        process = job.start(batch, *arguments(how))
        wait_for(lambda: stalling.bytes_up >= 12_000_000, "the stall")
        stop(how, process)
        run = job.finish(process)
        assert_stopped(run, "f")
        assert (keys_in(s3, bucket), uploads_in(s3, bucket)) == ([], [])
        run = job.run(batch)
    assert (run.exit, stored(s3, bucket, "f")) == (0, LARGE)


@pytest.mark.parametrize("how", STOPS)
def test_a_stopped_upload_over_http_leaves_nothing(how: str, web: Nginx, job: Job) -> None:
    (job.folder / "input").write_bytes(LARGE)
    with fault_proxy(web.port, stall(5_000_000, upward=True), first=1) as stalling:
        batch = [transfer("f", "input", f"{stalling.url}/put/f")]
        process = job.start(batch, *arguments(how))
        wait_for(lambda: stalling.bytes_up >= 5_000_000, "the stall")
        stop(how, process)
        run = job.finish(process)
        assert_stopped(run, "f")
        assert contents(web.root / "put") == {}
        run = job.run(batch)
    assert (run.exit, contents(web.root / "put")) == (0, {"f": LARGE})


def test_a_deadline_that_has_passed_starts_nothing(web: Nginx, job: Job) -> None:
    (web.root / "f").write_bytes(LARGE)
    run = job.run([transfer("f", f"{web.url}/f", job.url("f"))], "--deadline", "2020-01-01T00:00")
    assert_stopped(run, "f")
    assert "the deadline passed" in run.told("f")
    assert web.requests() == []
    assert contents(job.out) == {}


def test_the_end_of_a_batch_system_s_job_is_a_deadline(web: Nginx, job: Job) -> None:
    (web.root / "f").write_bytes(LARGE)
    batch = [transfer("f", f"{web.url}/f", job.url("f"))]
    run = job.run(batch, environment={"SLURM_JOB_END_TIME": "1600000000"})
    assert_stopped(run, "f")


def test_a_second_signal_ends_the_run_at_once(web: Nginx, job: Job) -> None:
    (web.root / "f").write_bytes(LARGE)
    with fault_proxy(web.port, stall(5_000_000, body=True)) as stalling:
        process = job.start([transfer("f", f"{stalling.url}/f", job.url("f"))])
        wait_for(lambda: stalling.bytes_down >= 5_000_000, "the stall")
        # Both may be seen as one, or the run may have ended in order between them; it never goes on.
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode in (75, 128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert b"Traceback" not in err
    assert not (job.out / "f").exists()
