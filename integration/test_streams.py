"""Standard streams as schedulers hand them out: closed, full, or with nobody at the other end."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from commands import Job, contents, transfer

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"moved all the same"


@pytest.fixture
def batch(job: Job) -> Path:
    (job.folder / "input").write_bytes(DATA)
    path = job.folder / "batch.json"
    path.write_text(json.dumps([transfer("f", "input", job.url("f"))]))
    return path


def shell(job: Job, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command],
        cwd=job.folder,
        env=job.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("streams", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full"])
@pytest.mark.usefixtures("batch")
def test_streams_that_take_nothing_stop_no_transfer(streams: str, job: Job) -> None:
    done = shell(job, f"wf-transfer -f batch.json {streams}")
    assert (done.returncode, done.stdout, contents(job.out)) == (0, "", {"f": DATA})


@pytest.mark.usefixtures("batch")
def test_a_batch_from_a_closed_stream_is_empty(job: Job) -> None:
    done = shell(job, "wf-transfer <&-")
    assert done.returncode == 65
    assert "empty" in done.stderr


@pytest.mark.usefixtures("batch")
def test_a_result_that_nobody_can_read_fails_the_run(job: Job) -> None:
    done = shell(job, "wf-transfer -f batch.json --result - >/dev/full")
    assert (done.returncode, contents(job.out)) == (1, {"f": DATA})
    assert "No space left on device" in done.stderr


@pytest.mark.usefixtures("batch")
def test_a_result_on_standard_output_is_alone_there(job: Job) -> None:
    done = shell(job, "wf-transfer -f batch.json --result -")
    assert done.returncode == 0
    assert json.loads(done.stdout)["totals"]["done"] == 1
