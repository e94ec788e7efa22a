"""A run that was killed is finished by the next one, which sends again next to nothing of what had arrived."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
from commands import (
    Job,
    keys_in,
    partials,
    site_sections,
    stored,
    transfer,
    uploads_in,
    wait_for,
)
from servers.faults import Fault, FaultProxy, fault_proxy, stall
from wf.protocols.file_parts import TRAILER_HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.nginx import Nginx
    from servers.seaweed import Seaweed

MIB = 1 << 20
PART = 8 * MIB
SIZE = 8 * PART + 12_345
HALF = 4 * PART + 200_000
"""Just behind the middle, and little of a part."""
OVERHEAD = 1.05
LONG_AGO = (1_000_000_000, 1_000_000_000)
"""What was just written may change once more within its second, so its ETag is not believed."""
DATA = os.urandom(MIB) * (SIZE // MIB) + os.urandom(SIZE % MIB)
CHECKSUM = {"type": "sha256", "value": hashlib.sha256(DATA).hexdigest()}


@pytest.fixture
def to_web(web: Nginx) -> Iterator[FaultProxy]:
    (web.root / "f").write_bytes(DATA)
    os.utime(web.root / "f", LONG_AGO)
    with fault_proxy(web.port) as proxy:
        yield proxy


@pytest.fixture
def to_s3(s3: Seaweed, job: Job) -> Iterator[FaultProxy]:
    with fault_proxy(s3.port) as proxy:
        job.credentials(site_sections(proxy.url, s3.admin))
        yield proxy


def kill_at(
    job: Job, batch: list[dict], proxy: FaultProxy, fault: Fault, *, how: int = signal.SIGKILL
) -> None:
    """Runs until the first connection has stalled, and ends the process there."""
    upward = fault == stall(HALF, upward=True)
    proxy.inject(fault, first=1)
    process = job.start(batch, "-n", "1")
    if upward:
        wait_for(lambda: proxy.bytes_up >= HALF, "the stall")
    else:
        wait_for(lambda: parts_in(job.out) == 4, "the fourth part")
    process.send_signal(how)
    process.communicate(timeout=60)
    proxy.cut_all()


def parts_in(folder: Path) -> int:
    """How many parts the one partial says it has; the server may be further than the client."""
    for partial in partials(folder):
        tail = partial.read_bytes()[SIZE:]
        return sum(tail[TRAILER_HEAD:])
    return 0


def journal_of(job: Job) -> Path:
    return job.folder / "result.json.journal"


def test_a_download_over_http(to_web: FaultProxy, job: Job) -> None:
    batch = [transfer("f", f"{to_web.url}/f", job.url("f"), checksum=CHECKSUM)]
    kill_at(job, batch, to_web, stall(HALF, body=True))
    assert len(partials(job.out)) == 1
    assert not (job.out / "f").exists()

    run = job.run(batch, "-n", "1")

    assert (run.exit, (job.out / "f").read_bytes()) == (0, DATA)
    assert run.request("f")["digest"] == f"sha256:{CHECKSUM['value']}"
    assert to_web.bytes_down <= SIZE * OVERHEAD
    assert partials(job.out) == []


def test_a_download_from_s3(to_s3: FaultProxy, s3: Seaweed, bucket: str, job: Job) -> None:
    s3.client().put_object(Bucket=bucket, Key="f", Body=DATA)
    batch = [transfer("f", f"s3://alice@store/{bucket}/f", job.url("f"))]
    kill_at(job, batch, to_s3, stall(HALF, body=True))

    run = job.run(batch, "-n", "1")

    assert (run.exit, (job.out / "f").read_bytes()) == (0, DATA)
    assert to_s3.bytes_down <= SIZE * OVERHEAD
    assert partials(job.out) == []


@pytest.mark.parametrize("known_by", ["the journal", "a torn journal", "the service"])
def test_an_upload_to_s3(known_by: str, to_s3: FaultProxy, s3: Seaweed, bucket: str, job: Job) -> None:
    (job.folder / "f").write_bytes(DATA)
    batch = [transfer("f", "f", f"s3://alice@store/{bucket}/f")]
    kill_at(job, batch, to_s3, stall(HALF, upward=True))
    assert uploads_in(s3, bucket) == ["f"]
    if known_by == "a torn journal":
        with journal_of(job).open("ab") as file:
            file.write(b'{"part":77,"na')
    elif known_by == "the service":
        journal_of(job).unlink()

    run = job.run(batch, "-n", "1")

    assert (run.exit, stored(s3, bucket, "f")) == (0, DATA)
    assert run.request("f")["digest"] == f"sha256:{CHECKSUM['value']}"
    assert to_s3.bytes_up <= SIZE * OVERHEAD
    assert uploads_in(s3, bucket) == []
    assert not journal_of(job).exists()


def test_an_upload_that_was_stopped_by_a_signal(
    to_s3: FaultProxy, s3: Seaweed, bucket: str, job: Job
) -> None:
    (job.folder / "f").write_bytes(DATA)
    batch = [transfer("f", "f", f"s3://alice@store/{bucket}/f")]
    kill_at(job, batch, to_s3, stall(HALF, upward=True), how=signal.SIGTERM)
    assert uploads_in(s3, bucket) == ["f"]
    assert "begun" in json.loads(journal_of(job).read_text().splitlines()[0])

    run = job.run(batch, "-n", "1")

    assert (run.exit, stored(s3, bucket, "f")) == (0, DATA)
    assert to_s3.bytes_up <= SIZE * OVERHEAD
    assert uploads_in(s3, bucket) == []
    assert not journal_of(job).exists()


def test_from_one_service_to_another(
    to_s3: FaultProxy, web: Nginx, to_web: FaultProxy, s3: Seaweed, bucket: str, job: Job
) -> None:
    batch = [transfer("f", f"{to_web.url}/f", f"s3://alice@store/{bucket}/f", checksum=CHECKSUM)]
    kill_at(job, batch, to_s3, stall(HALF, upward=True))
    before = to_s3.bytes_up

    run = job.run(batch, "-n", "1")

    assert (run.exit, stored(s3, bucket, "f")) == (0, DATA)
    assert to_s3.bytes_up - before < SIZE - 2 * PART
    assert uploads_in(s3, bucket) == []


@pytest.mark.parametrize("known_by", ["the journal", "the service"])
def test_an_upload_of_another_version_is_begun_anew(
    known_by: str, to_s3: FaultProxy, s3: Seaweed, bucket: str, job: Job
) -> None:
    (job.folder / "f").write_bytes(DATA)
    batch = [transfer("f", "f", f"s3://alice@store/{bucket}/f")]
    kill_at(job, batch, to_s3, stall(HALF, upward=True))
    if known_by == "the service":
        journal_of(job).unlink()
    other = DATA[::-1]
    (job.folder / "f").write_bytes(other)

    run = job.run(batch, "-n", "1")

    assert (run.exit, stored(s3, bucket, "f")) == (0, other)
    # A stranger's upload is nobody's to remove; our own is.
    assert uploads_in(s3, bucket) == ([] if known_by == "the journal" else ["f"])


def test_a_download_of_another_version_is_begun_anew(to_web: FaultProxy, web: Nginx, job: Job) -> None:
    batch = [transfer("f", f"{to_web.url}/f", job.url("f"))]
    kill_at(job, batch, to_web, stall(HALF, body=True))
    (web.root / "f").write_bytes(DATA[::-1])
    os.utime(web.root / "f", (1_000_000_001, 1_000_000_001))

    run = job.run(batch, "-n", "1")

    assert (run.exit, (job.out / "f").read_bytes()) == (0, DATA[::-1])
    assert partials(job.out) == [], "what was left of the other version is gone"


def test_nothing_is_left_to_go_on_with_after_a_failure(
    to_s3: FaultProxy, s3: Seaweed, bucket: str, job: Job
) -> None:
    """A request that failed in a finished run leaves no parts."""
    (job.folder / "f").write_bytes(DATA)
    checksum = {"type": "sha256", "value": hashlib.sha256(b"other").hexdigest()}
    run = job.run([transfer("f", "f", f"s3://alice@store/{bucket}/f", checksum=checksum)])
    assert run.exit == 3
    assert (keys_in(s3, bucket), uploads_in(s3, bucket)) == ([], [])
    assert not journal_of(job).exists()
