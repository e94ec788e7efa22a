"""What HTTP servers and networks do to a batch: each fault ends one request, in words, and nothing else."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from commands import Job, Neighbours, assert_failed, contents, partials, transfer, wait_for
from servers.faults import Fault, cut, fault_proxy, flip, reset, stall
from servers.scripted import CLOSE, RESET, STALL, answer, scripted

if TYPE_CHECKING:
    from servers.nginx import Nginx

SMALL = bytes(range(256)) * 40
LARGE = os.urandom(1 << 20) * 3
STALL_SECONDS = ("--stall-seconds", "0.5")


def sha256(data: bytes) -> dict[str, str]:
    return {"type": "sha256", "value": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def served(web: Nginx) -> Nginx:
    (web.root / "small").write_bytes(SMALL)
    (web.root / "large").write_bytes(LARGE)
    # An ETag proves nothing about a file that was changed a moment ago.
    for name in ("small", "large"):
        os.utime(web.root / name, (1_000_000_000, 1_000_000_000))
    return web


REFUSALS = [
    ("status/403", "denied", 77),
    ("status/404", "not-found", 1),
    ("status/410", "not-found", 1),
    ("status/416", "changed", 75),
    ("status/429", "busy", 75),
    ("status/500", "server-error", 75),
    ("status/503", "busy", 75),
    ("loop", "unsupported", 1),
    ("redir-file/small", "unsupported", 1),
    ("html-login/small", "denied", 77),
    ("drop", "unreachable", 75),
]


@pytest.mark.parametrize(("path", "code", "exit_code"), REFUSALS)
def test_a_source_that_is_refused_fails_its_request_alone(
    path: str, code: str, exit_code: int, served: Nginx, job: Job, neighbours: Neighbours
) -> None:
    bad = transfer("bad", f"{served.url}/{path}", job.url("bad"))
    run = job.run(neighbours.around(bad), "-m", "1")
    assert_failed(run, "bad", code, end="source")
    assert f"{served.url}/{path}" in run.told("bad")
    neighbours.assert_done(run)
    assert run.exit == exit_code
    assert contents(job.out).keys() == {"before", "after"}


PUT_REFUSALS = [
    ("status/403", "denied", 77),
    ("status/404", "not-found", 1),
    ("status/429", "busy", 75),
    ("status/500", "server-error", 75),
    ("status/503", "busy", 75),
    ("status/507", "no-space", 1),
    ("put-small/large", "no-space", 1),
    ("no-put-here", "unsupported", 1),
    ("loop", "unsupported", 1),
]


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("path", "code", "exit_code"), PUT_REFUSALS)
def test_a_destination_that_is_refused_fails_its_request_alone(
    path: str, code: str, exit_code: int, data: bytes, served: Nginx, job: Job, neighbours: Neighbours
) -> None:
    (job.folder / "input").write_bytes(data)
    bad = transfer("bad", f"file://{job.folder}/input", f"{served.url}/{path}")
    run = job.run(neighbours.around(bad), "-m", "1")
    assert_failed(run, "bad", code, end="destination")
    neighbours.assert_done(run)
    assert run.exit == exit_code


def test_a_busy_server_is_asked_again_when_it_said(job: Job) -> None:
    with scripted(
        answer(status="429 Too Many Requests"),
        answer(b"", "Retry-After: 1", status="503 Service Unavailable"),
        answer(b"at last"),
    ) as server:
        run = job.run([transfer("f", f"{server.url}/f", job.url("f"))])
    assert (run.exit, (job.out / "f").read_bytes()) == (0, b"at last")
    assert [attempt["error"] and attempt["error"]["code"] for attempt in run.request("f")["attempts"]] == [
        "busy",
        "busy",
        None,
    ]


# --- bodies that are not what they should be

SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"
UNTOLD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nshort"


def test_a_short_body_is_not_published(job: Job, neighbours: Neighbours) -> None:
    with scripted([SHORT, CLOSE]) as server:
        run = job.run(neighbours.around(transfer("bad", f"{server.url}/f", job.url("bad"))))
    assert_failed(run, "bad", "broken", end="source")
    neighbours.assert_done(run)
    assert run.exit == 75
    assert contents(job.out).keys() == {"before", "after"}


def test_a_short_body_is_fetched_again(job: Job) -> None:
    with scripted([SHORT, CLOSE], answer(b"shortened")) as server:
        run = job.run([transfer("f", f"{server.url}/f", job.url("f"))])
    assert (run.exit, (job.out / "f").read_bytes()) == (0, b"shortened")


def test_a_short_body_of_untold_length_is_caught_by_the_expected_size(
    job: Job, neighbours: Neighbours
) -> None:
    with scripted([UNTOLD, CLOSE]) as server:
        run = job.run(neighbours.around(transfer("bad", f"{server.url}/f", job.url("bad"), size=9)))
    assert_failed(run, "bad", "mismatch", end="source")
    neighbours.assert_done(run)
    assert run.exit == 3
    assert contents(job.out).keys() == {"before", "after"}


@pytest.mark.parametrize("name", ["small", "large"])
@pytest.mark.parametrize("destination", ["file", "http"])
def test_a_corrupted_byte_is_never_published(
    name: str, destination: str, served: Nginx, job: Job, neighbours: Neighbours
) -> None:
    data = (served.root / name).read_bytes()
    url = {"file": job.url("bad"), "http": f"{served.url}/put/bad"}[destination]
    with fault_proxy(served.port, flip(5000, body=True)) as corrupting:
        bad = transfer("bad", f"{corrupting.url}/{name}", url, checksum=sha256(data))
        run = job.run(neighbours.around(bad))
    assert_failed(run, "bad", "mismatch", end="source")
    assert sha256(data)["value"] in run.request("bad")["error"]["message"]
    neighbours.assert_done(run)
    assert run.exit == 3
    assert contents(job.out).keys() == {"before", "after"}
    assert contents(served.root / "put") == {}


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_corrupted_byte_is_healed_by_the_next_replica(name: str, served: Nginx, job: Job) -> None:
    data = (served.root / name).read_bytes()
    with fault_proxy(served.port, flip(5000, body=True)) as corrupting:
        sources = [f"{corrupting.url}/{name}", f"{served.url}/{name}"]
        run = job.run([transfer("f", sources, job.url("f"), checksum=sha256(data))])
    request = run.request("f")
    assert (run.exit, request["source"]) == (0, sources[1])
    assert [attempt["error"] and attempt["error"]["code"] for attempt in request["attempts"]] == [
        "mismatch",
        None,
    ]
    assert contents(job.out) == {"f": data}


def test_a_corrupted_copy_leaves_the_older_good_one(served: Nginx, job: Job) -> None:
    (job.out / "f").write_bytes(b"of the run before")
    with fault_proxy(served.port, flip(5000, body=True)) as corrupting:
        run = job.run([transfer("f", f"{corrupting.url}/large", job.url("f"), checksum=sha256(LARGE))])
    assert run.exit == 3
    assert contents(job.out) == {"f": b"of the run before"}


# --- connections that end

BREAKS = {
    "cut": cut(1_000_000, body=True),
    "reset": reset(1_000_000, body=True),
    "stalled": stall(1_000_000, body=True),
    "cut in the head": cut(20),
    "stalled in the head": stall(20),
    "cut before the answer": cut(0),
    "stalled before the answer": stall(0),
}


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
def test_a_connection_that_always_breaks_ends_in_an_error(
    fault: Fault, served: Nginx, job: Job, neighbours: Neighbours
) -> None:
    with fault_proxy(served.port, fault) as breaking:
        bad = transfer("bad", f"{breaking.url}/large", job.url("bad"))
        run = job.run(neighbours.around(bad), *STALL_SECONDS, "-m", "2")
    assert_failed(run, "bad", "broken" if fault.at else "unreachable", end="source")
    neighbours.assert_done(run)
    assert run.exit == 75
    assert contents(job.out).keys() == {"before", "after"}


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
def test_a_connection_that_breaks_once_harms_nothing(fault: Fault, served: Nginx, job: Job) -> None:
    with fault_proxy(served.port, fault, first=1) as breaking:
        run = job.run([transfer("f", f"{breaking.url}/large", job.url("f"))], *STALL_SECONDS)
    assert (run.exit, contents(job.out)) == (0, {"f": LARGE})
    if fault.body:
        resumed = served.requests()[-1]
        assert (resumed.status, resumed.range[:6], resumed.if_range[:1]) == (206, "bytes=", '"')


UPLOAD_BREAKS = {
    "cut": cut(1_000_000, body=True, upward=True),
    "reset": reset(1_000_000, body=True, upward=True),
    "stalled": stall(1_000_000, body=True, upward=True),
}


@pytest.mark.parametrize("fault", UPLOAD_BREAKS.values(), ids=UPLOAD_BREAKS)
def test_an_upload_that_always_breaks_leaves_nothing(
    fault: Fault, served: Nginx, job: Job, neighbours: Neighbours
) -> None:
    (job.folder / "input").write_bytes(LARGE)
    with fault_proxy(served.port, fault) as breaking:
        bad = transfer("bad", f"file://{job.folder}/input", f"{breaking.url}/put/bad")
        run = job.run(neighbours.around(bad), *STALL_SECONDS, "-m", "2")
    assert_failed(run, "bad", "broken", end="destination")
    neighbours.assert_done(run)
    assert run.exit == 75
    assert contents(served.root / "put") == {}


@pytest.mark.parametrize("fault", UPLOAD_BREAKS.values(), ids=UPLOAD_BREAKS)
def test_an_upload_that_breaks_once_is_done_again(fault: Fault, served: Nginx, job: Job) -> None:
    (job.folder / "input").write_bytes(LARGE)
    with fault_proxy(served.port, fault, first=1) as breaking:
        batch = [transfer("f", f"file://{job.folder}/input", f"{breaking.url}/put/f")]
        run = job.run(batch, *STALL_SECONDS)
    assert (run.exit, contents(served.root / "put")) == (0, {"f": LARGE})


@pytest.mark.parametrize("name", ["small", "large"])
@pytest.mark.parametrize("evidence", ["the batch", "the command line"])
def test_a_corrupted_upload_is_found_and_removed(name: str, evidence: str, served: Nginx, job: Job) -> None:
    """HTTP itself says nothing of what arrived; who wants to know has it read back."""
    data = (served.root / name).read_bytes()
    (job.folder / "input").write_bytes(data)
    more = {"checksum": sha256(data), "verify_checksum_remote": True} if evidence == "the batch" else {}
    options = () if more else ("--require-evidence", "digest")
    with fault_proxy(served.port, flip(5000, body=True, upward=True)) as corrupting:
        run = job.run([transfer("bad", "input", f"{corrupting.url}/put/bad", **more)], "-m", "1", *options)
    assert_failed(run, "bad", "mismatch", end="destination")
    assert run.exit == 3
    assert run.request("bad")["left_behind"] is None
    assert contents(served.root / "put") == {}


def test_a_second_leg_that_fails_fetches_nothing_again(served: Nginx, job: Job) -> None:
    with fault_proxy(served.port, cut(1_000_000, body=True, upward=True), first=1) as breaking:
        batch = [transfer("f", f"{served.url}/large", f"{breaking.url}/put/f")]
        run = job.run(batch, "--stage", "file")
    assert (run.exit, contents(served.root / "put")) == (0, {"f": LARGE})
    assert [seen.method for seen in served.requests() if seen.target == "/large"] == ["GET"]


def test_a_connection_that_the_server_tired_of_costs_no_attempt(job: Job) -> None:
    with scripted(answer(b"one"), [RESET], answer(b"two")) as server:
        first = transfer("one", f"{server.url}/one", job.url("one"), id="first")
        second = transfer("two", f"{server.url}/two", job.url("two"), after="first")
        run = job.run([first, second], "-n", "1", "-m", "1")
        assert server.connections == 2
    assert run.exit == 0
    assert contents(job.out) == {"one": b"one", "two": b"two"}
    assert len(run.request("two")["attempts"]) == 1


def test_a_source_that_changes_in_the_middle_is_never_mixed(served: Nginx, job: Job) -> None:
    other = os.urandom(len(LARGE))
    with fault_proxy(served.port, stall(1_000_000, body=True), first=1) as stalling:
        process = job.start([transfer("f", f"{stalling.url}/large", job.url("f"))], "--stall-seconds", "1.5")
        wait_for(lambda: stalling.bytes_down > 1_000_000, "the first part's arrival")
        (served.root / "new").write_bytes(other)
        (served.root / "new").rename(served.root / "large")
        run = job.finish(process)
    assert (run.exit, contents(job.out)) == (0, {"f": other})


def test_a_source_that_changes_all_the_time_is_refused(job: Job, neighbours: Neighbours) -> None:
    def version(number: int) -> list[bytes | str]:
        whole = answer(bytes([number]) * len(LARGE), f'ETag: "{number}"')
        return [whole[:-100_000], CLOSE]

    with scripted(*(version(number) for number in range(20))) as server:
        run = job.run(neighbours.around(transfer("bad", f"{server.url}/f", job.url("bad"))))
        resumptions = [
            request.headers["if-range"] for request in server.requests if "range" in request.headers
        ]
    assert_failed(run, "bad", "changed", end="source")
    neighbours.assert_done(run)
    assert run.exit == 75
    assert len(resumptions) == len(run.request("bad")["attempts"]) == 3
    assert contents(job.out).keys() == {"before", "after"}


def test_a_server_that_never_answers_is_given_up(job: Job, neighbours: Neighbours) -> None:
    with scripted([STALL]) as server:
        batch = neighbours.around(transfer("bad", f"{server.url}/f", job.url("bad")))
        run = job.run(batch, *STALL_SECONDS, "-m", "1")
    assert_failed(run, "bad", "unreachable", end="source")
    neighbours.assert_done(run)
    assert run.exit == 75


def test_a_killed_run_is_done_right_by_the_next_one(served: Nginx, job: Job) -> None:
    with fault_proxy(served.port, stall(2_000_000, body=True), first=1) as stalling:
        batch = [transfer("f", f"{stalling.url}/large", job.url("f"), checksum=sha256(LARGE))]
        process = job.start(batch)
        wait_for(lambda: any(path.stat().st_size > 0 for path in partials(job.out)), "the partial")
        process.kill()
        process.communicate()
        assert len(partials(job.out)) == 1
        assert not (job.out / "f").exists()
        run = job.run(batch)
    assert (run.exit, contents(job.out)) == (0, {"f": LARGE})
