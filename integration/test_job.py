"""Whole jobs: a wrapper's shell script with real servers and a real program, and the same through the Python API."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from commands import (
    Job,
    changed_directory,
    contents,
    keys_in,
    mkdir,
    program,
    remove,
    run_program,
    site_sections,
    stored,
    transfer,
)
from servers.faults import closed_port, fault_proxy, flip
from wf.credentials.chain import standard_chain
from wf.transfer import Exit, NullSink, Settings, Status, load_batch, plan, run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from servers.nginx import Nginx
    from servers.seaweed import Seaweed
    from wf.transfer import Outcome, Report

EVENTS = "muon electron muon\ttau\n" * 5000
LOCAL = "photon\n" * 300
STORED = "gluon muon\n" * 70
COUNTS = Counter((EVENTS + LOCAL + STORED).split())


class Site:
    """What the job finds outside: a web archive, a file, an object store; and the environment that it gets."""

    def __init__(self, web: Nginx, service: Seaweed, bucket: str, job: Job) -> None:
        self.web, self.service, self.bucket, self.job = web, service, bucket, job
        (web.root / "events.txt").write_text(EVENTS)
        (job.folder / "local file.txt").write_text(LOCAL)
        service.client().put_object(Bucket=bucket, Key="in/stored.txt", Body=STORED.encode())
        job.credentials(site_sections(service.endpoint, service.admin))
        (job.folder / "records").mkdir()
        (job.folder / "start").mkdir()
        self.start = job.folder / "start"
        self.environment = {
            **job.environment,
            "PEGASUS_MULTIPART_DIR": str(job.folder / "records"),
            "KICKSTART_INTEGRITY_DATA": str(job.folder / "integrity.yml"),
            "INPUT_URL": f"{web.url}/events.txt",
            "INPUT_SUM": hashlib.sha256(EVENTS.encode()).hexdigest(),
            "INPUT_SIZE": str(len(EVENTS)),
            "REPLICA_URL": f"{web.url}/not-there/events.txt",
            "LOCAL_INPUT": str(job.folder / "local file.txt"),
            "S3_INPUT": f"s3://alice@store/{bucket}/in/stored.txt",
            "S3_PREFIX": f"s3://alice@store/{bucket}/out",
            "HTTP_OUTPUT": f"{web.url}/put/results",
        }

    def wrap(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs the wrapper in `start` to its end."""
        script = str(Path(__file__).with_name("job.sh"))
        return run_program(["sh", script], folder=self.start, environment={**self.environment, **environment})

    def document(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.start / name).read_text()))

    def records(self, kind: str) -> list[Any]:
        """The parsed records of one kind, in order of their names."""
        paths = sorted(path for path in (self.job.folder / "records").iterdir() if kind in path.name)
        return [yaml.safe_load(path.read_text()) for path in paths]


@pytest.fixture
def site(web: Nginx, s3: Seaweed, bucket: str, job: Job) -> Site:
    return Site(web, s3, bucket, job)


def counts_in(text: str) -> dict[str, int]:
    return {word: int(count) for word, count in (line.split() for line in text.splitlines())}


def test_a_wrapped_job_stages_in_computes_and_stages_out(site: Site) -> None:
    done = site.wrap()
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    counts = stored(site.service, site.bucket, "out/counts.txt")
    assert counts is not None
    assert counts_in(counts.decode()) == COUNTS
    assert (site.web.root / "put/results/counts.txt").read_bytes() == counts
    assert stored(site.service, site.bucket, "out/events.txt") == EVENTS.encode()
    assert keys_in(site.service, site.bucket) == ["out/counts.txt", "out/events.txt"]
    assert not (site.start / "work").exists()
    assert (site.job.folder / "local file.txt").read_text() == LOCAL


def test_a_wrapped_job_s_documents_tell_what_happened(site: Site) -> None:
    assert site.wrap().returncode == 0
    by_lfn = {request["lfn"]: request for request in site.document("stage-in.json")["requests"]}
    events = by_lfn["events.txt"]
    assert [attempt["error"] and attempt["error"]["code"] for attempt in events["attempts"]] == [
        "not-found",
        None,
    ]
    assert events["digest"] == "sha256:" + site.environment["INPUT_SUM"]
    assert by_lfn["local.txt"]["route"] == "local-copy"
    assert by_lfn["stored.txt"]["route"] == "direct"
    out = {request["lfn"]: request for request in site.document("stage-out.json")["requests"]}
    assert out["events.txt"]["route"] == "streamed"
    assert out["counts.txt"]["evidence"] in ("digest", "read-back")
    assert site.document("stage-out.json")["integrity"]["output"]["failed"] == 0
    cleanup = site.document("cleanup.json")
    assert [request["status"] for request in cleanup["requests"]] == ["done", "done"]


def test_a_wrapped_job_s_records_are_what_pegasus_reads(site: Site) -> None:
    done = site.wrap()
    assert done.returncode == 0
    assert done.stdout.count("---------------pegasus-multipart") == len(
        list((site.job.folder / "records").iterdir())
    )
    attempts = [
        attempt for record in site.records("transfer") for attempt in record[0]["transfer_attempts"] or ()
    ]
    told = [(attempt["lfn"], attempt["success"]) for attempt in attempts]
    assert Counter(told) == {
        ("events.txt", True): 2,
        ("events.txt", False): 1,
        ("local.txt", True): 1,
        ("stored.txt", True): 1,
        ("counts.txt", True): 2,
    }
    (verified,) = site.records("integrity")
    (check,) = verified[0]["integrity_verification_attempts"]
    assert (check["lfn"], check["success"]) == ("counts.txt", True)
    text = (site.job.folder / "integrity.yml").read_text()
    sums = yaml.safe_load(text)
    assert sums["local.txt"]["sha256"] == hashlib.sha256(LOCAL.encode()).hexdigest()
    assert sums["stored.txt"]["sha256"] == hashlib.sha256(STORED.encode()).hexdigest()
    counts = stored(site.service, site.bucket, "out/counts.txt")
    assert counts is not None
    assert sums["counts.txt"]["sha256"] == hashlib.sha256(counts).hexdigest()
    payloads = re.findall(r"@@@MONITORING_PAYLOAD - START@@@(.*?)@@@MONITORING_PAYLOAD - END@@@", done.stderr)
    told = [payload for text in payloads for payload in json.loads(text)["payload"]]
    assert [(each["file_type"], each["succeeded"], each["failed"]) for each in told] == [("output", 1, 0)]


def test_a_wrapped_job_ends_where_its_input_is_damaged(site: Site) -> None:
    with fault_proxy(site.web.port, flip(5000, body=True)) as corrupting:
        done = site.wrap(INPUT_URL=f"{corrupting.url}/events.txt")
    assert done.returncode == 3
    assert "events.txt" in done.stderr
    assert "mismatch" in done.stderr
    assert not (site.start / "work/counts.txt").exists()
    assert contents(site.start / "work/inputs").keys() == {"deep/local.txt", "stored.txt"}
    assert keys_in(site.service, site.bucket) == ["in/stored.txt"]
    (record,) = site.records("transfer")
    assert [attempt["success"] for attempt in record[0]["transfer_attempts"]].count(False) == 2


def test_a_wrapped_job_may_be_tried_again_when_the_archive_is_down(site: Site) -> None:
    with closed_port() as port:
        gone = f"http://127.0.0.1:{port}/events.txt"
        done = site.wrap(INPUT_URL=gone, REPLICA_URL=gone)
    assert done.returncode == 75
    assert "what to do" in done.stderr
    assert keys_in(site.service, site.bucket) == ["in/stored.txt"]


# --- the same, from Python


class Kept(NullSink):
    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}

    def take(self, outcome: Outcome) -> None:
        name = getattr(outcome.request, "lfn", "") or type(outcome.request).__name__
        self.outcomes[name] = outcome


@pytest.fixture
def working(site: Site) -> Iterator[Path]:
    """The working folder of the job, which is this process's while the test runs."""
    folder = site.start / "work"
    folder.mkdir()
    with changed_directory(folder):
        yield folder


def perform(site: Site, requests: list[dict[str, Any]], **settings: Any) -> tuple[Report, Kept]:
    kept = Kept()
    batch = load_batch(json.dumps(requests), environment=site.environment)
    report = run(
        plan(batch, Settings(**settings)),
        sinks=[kept],
        environment=site.environment,
        credentials=standard_chain(site.environment),
    )
    return report, kept


def test_the_same_job_through_the_api_in_one_process(site: Site, working: Path) -> None:
    threads = threading.active_count()
    environment = site.environment
    known = {"type": "sha256", "value": environment["INPUT_SUM"]}
    sources = [environment["REPLICA_URL"], environment["INPUT_URL"]]
    report, kept = perform(
        site,
        [
            mkdir("inputs"),
            transfer("events.txt", sources, "file://$LFN_FOLDER/events.txt", checksum=known),
            transfer("events.txt again", environment["INPUT_URL"], "inputs/events.txt", checksum=known),
            transfer("local.txt", f"file://{environment['LOCAL_INPUT']}", "inputs/local.txt"),
            transfer("stored.txt", environment["S3_INPUT"], "inputs/stored.txt"),
        ],
    )
    assert report.exit is Exit.FAILED
    assert [outcome.request.lfn for outcome in report.failures] == ["events.txt"]
    assert "LFN_FOLDER" in str(report.failures[0].error)
    assert kept.outcomes["stored.txt"].status is Status.DONE

    words = Counter(" ".join(path.read_text() for path in Path("inputs").iterdir()).split())
    assert words == COUNTS
    Path("counts.txt").write_text("".join(f"{word} {count}\n" for word, count in words.items()))

    report, kept = perform(
        site,
        [
            transfer("counts.txt", "counts.txt", f"{environment['S3_PREFIX']}/counts.txt", id="stored"),
            transfer("events.txt", environment["INPUT_URL"], f"{environment['S3_PREFIX']}/events.txt"),
            transfer(
                "published",
                f"{environment['S3_PREFIX']}/counts.txt",
                f"{environment['HTTP_OUTPUT']}/counts.txt",
                after="stored",
            ),
        ],
    )
    assert report.ok, report.failures
    assert kept.outcomes["published"].route == "streamed"
    assert counts_in((site.web.root / "put/results/counts.txt").read_text()) == COUNTS

    report, _ = perform(
        site,
        [
            transfer("staged", environment["INPUT_URL"], f"{environment['S3_PREFIX']}/staged.txt"),
            remove(f"{environment['S3_PREFIX']}/counts.txt"),
            remove(f"file://{working}/inputs", recursive=True),
        ],
        stage_through_file=True,
    )
    assert report.ok, report.failures
    assert keys_in(site.service, site.bucket) == ["in/stored.txt", "out/events.txt", "out/staged.txt"]
    assert contents(working).keys() == {"counts.txt"}
    assert threading.active_count() == threads


def test_runs_in_one_process_share_nothing(site: Site, working: Path) -> None:
    """What one run learnt, a refused credential or a dead host, is not held against the next one."""
    request = transfer("f", site.environment["S3_INPUT"], "f")
    credentials = Path(site.environment["PEGASUS_CREDENTIALS"])
    right = credentials.read_text()
    credentials.write_text(right.replace(site.service.admin.secret, "not-the-secret"))
    report, _ = perform(site, [request, transfer("g", site.environment["S3_INPUT"], "g")])
    assert report.exit is Exit.CREDENTIAL
    credentials.write_text(right)
    report, _ = perform(site, [request])
    assert report.ok, report.failures
    assert (working / "f").read_text() == STORED


def test_a_run_can_be_stopped_from_outside(site: Site, working: Path) -> None:
    stop = threading.Event()
    stop.set()
    batch = load_batch(json.dumps([transfer("f", site.environment["INPUT_URL"], "f")]))
    report = run(plan(batch, Settings()), environment=site.environment, stop=stop)
    assert report.exit is Exit.LATER
    assert [outcome.status for outcome in report.failures] == [Status.STOPPED]
    assert contents(working) == {}


def test_a_planner_sees_the_same_routes_without_any_server(site: Site) -> None:
    batch = json.dumps(
        [
            transfer("in", site.environment["INPUT_URL"], "file://$PWD/in"),
            transfer("through", site.environment["INPUT_URL"], f"{site.environment['S3_PREFIX']}/f"),
        ]
    )
    (site.start / "batch.json").write_text(batch)
    done = run_program(
        [program("wf-transfer"), "--dry-run", "--json", "-f", "batch.json"],
        folder=site.start,
        environment={**site.environment, "PWD": str(site.start)},
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["route"] for line in lines] == ["direct", "streamed"]
    assert site.web.requests() == []
