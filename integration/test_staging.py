"""Large files from a web server to S3 by way of a spool file, both legs at once, with proxies that break either of them."""

from __future__ import annotations

import hashlib
import os
import signal
from typing import TYPE_CHECKING, NamedTuple

import pytest
from commands import Job, Run, assert_failed, keys_in, site_sections, stored, transfer, uploads_in, wait_for
from servers.faults import Fault, FaultProxy, cut, fault_proxy, flip, reset, stall
from servers.seaweed import ADMIN, Seaweed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from servers.nginx import Nginx

LARGE = os.urandom(1 << 20) * 40
HALF = len(LARGE) // 2
STAGED = ("--stage", "file", "-m", "2")


class Site(NamedTuple):
    """Both servers, each behind a proxy."""

    web: Nginx
    service: Seaweed
    bucket: str
    source: FaultProxy
    destination: FaultProxy
    job: Job

    def batch(self, data: bytes = LARGE, **more: object) -> list[dict]:
        checksum = {"type": "sha256", "value": hashlib.sha256(data).hexdigest()}
        return [
            transfer(
                "f",
                f"{self.source.url}/large",
                f"s3://alice@store/{self.bucket}/f",
                checksum=checksum,
                **more,
            )
        ]

    def fetched(self) -> list[str]:
        return [seen.method for seen in self.web.requests() if seen.target == "/large"]

    def assert_arrived(self, run: Run) -> None:
        assert run.exit == 0, run.err
        assert stored(self.service, self.bucket, "f") == LARGE
        self.assert_clean()

    def assert_clean(self) -> None:
        assert uploads_in(self.service, self.bucket) == []
        assert not list(self.job.folder.parent.glob("wf-spool-*"))


@pytest.fixture
def site(web: Nginx, s3: Seaweed, bucket: str, job: Job) -> Iterator[Site]:
    (web.root / "large").write_bytes(LARGE)
    os.utime(web.root / "large", (1_000_000_000, 1_000_000_000))  # or its ETag is not believed yet
    with fault_proxy(web.port) as source, fault_proxy(s3.port) as destination:
        job.credentials(site_sections(destination.url, ADMIN))
        yield Site(web, s3, bucket, source, destination, job)


def half_way(site: Site, *options: str) -> subprocess.Popen[bytes]:
    """A run of which both legs have come to half: the source has stopped there, and the destination has what there is."""
    site.source.inject(stall(HALF, body=True), first=1)
    process = site.job.start(site.batch(), *STAGED, *options)
    wait_for(lambda: site.destination.bytes_up > HALF * 3 // 4, "the second leg")
    return process


def test_the_destination_is_sent_to_while_the_source_still_comes(site: Site) -> None:
    """The source stops at half until the destination has more than a part; then the connection is cut, and gone on with."""
    process = half_way(site)
    assert site.source.bytes_down < HALF + 10_000
    assert keys_in(site.service, site.bucket) == []
    site.source.cut_all()
    run = site.job.finish(process)
    site.assert_arrived(run)
    first, second = run.request("f")["attempts"]
    assert (first["route"], first["destination"], first["bytes"]) == ("staged", None, len(LARGE))
    assert (second["route"], second["bytes"], second["error"]) == ("staged", len(LARGE), None)
    assert site.fetched() == ["GET", "GET"]


def test_a_mismatch_at_the_source_publishes_nothing(site: Site) -> None:
    process = half_way(site)
    site.source.inject(flip(HALF // 2, body=True))
    site.source.cut_all()
    run = site.job.finish(process)
    assert_failed(run, "f", "mismatch", end="source")
    assert run.exit == 3
    assert keys_in(site.service, site.bucket) == []
    site.assert_clean()


@pytest.mark.parametrize("fault", [cut(HALF, body=True), reset(HALF, body=True)], ids=["cut", "reset"])
def test_a_source_that_breaks_once_is_gone_on_with(fault: Fault, site: Site) -> None:
    site.source.inject(fault, first=1)
    run = site.job.run(site.batch(), *STAGED)
    site.assert_arrived(run)
    assert site.fetched() == ["GET", "GET"]
    assert len(run.request("f")["attempts"]) == 2


def test_a_source_that_always_breaks_leaves_no_upload(site: Site) -> None:
    site.source.inject(cut(HALF // 2, body=True))
    run = site.job.run(site.batch(), *STAGED)
    assert_failed(run, "f", "broken", end="source")
    assert run.exit == 75
    assert keys_in(site.service, site.bucket) == []
    site.assert_clean()


@pytest.mark.parametrize("times", [1, 3])
def test_a_destination_that_breaks_at_half_costs_no_second_fetch(times: int, site: Site) -> None:
    """A part is tried three times; then the second leg is done again, from the finished spool file."""
    process = half_way(site, "-n", "1")
    site.destination.inject(reset(5_000, upward=True), first=times)
    site.destination.reset_all()
    site.source.cut_all()
    run = site.job.finish(process)
    site.assert_arrived(run)
    assert site.fetched() == ["GET", "GET"], "the second one for the other half"
    first, *failed, last = run.request("f")["attempts"]
    assert (first["error"], first["bytes"]) == (None, len(LARGE))
    assert [attempt["error"]["end"] for attempt in failed] == ["destination"] * (times // 3)
    assert (last["error"], last["bytes"]) == (None, len(LARGE))


def test_a_destination_that_breaks_again_is_given_up(site: Site) -> None:
    """No part of any size gets through; what ends the uploads is small."""
    site.destination.inject(reset(100_000, upward=True))
    run = site.job.run(site.batch(), *STAGED)
    assert_failed(run, "f", "broken", end="destination")
    assert len(run.request("f")["attempts"]) == 3
    assert site.fetched() == ["GET"]
    assert keys_in(site.service, site.bucket) == []
    site.assert_clean()


def test_a_stop_in_the_middle_leaves_nothing(site: Site) -> None:
    process = half_way(site)
    process.send_signal(signal.SIGTERM)
    run = site.job.finish(process)
    assert (run.exit, run.status("f")) == (75, "stopped")
    assert keys_in(site.service, site.bucket) == []
    site.assert_clean()


def test_a_killed_run_is_done_by_the_next_one(site: Site) -> None:
    process = half_way(site)
    process.kill()
    process.communicate()
    assert keys_in(site.service, site.bucket) == []
    run = site.job.run(site.batch(), *STAGED)
    assert run.exit == 0
    assert stored(site.service, site.bucket, "f") == LARGE


def test_a_rate_that_was_asked_for_holds_for_both_legs_together(site: Site) -> None:
    """Each byte counts twice, as it passes this machine twice."""
    run = site.job.run(site.batch(), *STAGED, "--bwlimit", "40M")
    site.assert_arrived(run)
    assert run.request("f")["seconds"] >= 2 * len(LARGE) / (40 * 1024 * 1024) * 0.9
