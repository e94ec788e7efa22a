"""Hosts that refuse, are silent or overloaded, among good ones: the good ones do not wait for them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from commands import Job, assert_failed, contents, transfer
from servers.faults import REFUSE, SILENT, closed_port, fault_proxy
from servers.scripted import answer, scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.nginx import Nginx

GOOD = 30
BAD = 6
OVERLOADED = answer(status="503 Service Unavailable")


@pytest.fixture
def hosts(web: Nginx) -> Iterator[dict[str, str]]:
    """Base URLs by what is wrong with them."""
    with ExitStack() as stack:
        port = stack.enter_context(closed_port())
        yield {
            "closed": f"http://127.0.0.1:{port}",
            "refusing": stack.enter_context(fault_proxy(web.port, REFUSE)).url,
            "silent": stack.enter_context(fault_proxy(web.port, SILENT)).url,
            "overloaded": stack.enter_context(scripted(OVERLOADED)).url,
        }


@pytest.fixture
def files(web: Nginx) -> dict[str, bytes]:
    data = {f"good-{number}": f"{number}".encode() * 500 for number in range(GOOD)}
    for name, content in data.items():
        (web.root / name).write_bytes(content)
    return data


def test_good_hosts_do_not_wait_for_bad_ones(
    hosts: dict[str, str], files: dict[str, bytes], web: Nginx, job: Job
) -> None:
    good = [transfer(name, f"{web.url}/{name}", job.url(name)) for name in files]
    bad = [
        transfer(f"{kind}-{number}", f"{url}/file", job.url(f"{kind}-{number}"))
        for number in range(BAD)
        for kind, url in hosts.items()
    ]
    run = job.run([*bad, *good], "--stall-seconds", "1", "-n", "8")
    assert run.exit == 75
    assert contents(job.out) == files
    finished = [event["lfn"] for event in run.events if event["event"] == "request-finished"]
    assert set(finished[:GOOD]) == set(files), "a good file waited for a bad host"
    for request in bad:
        assert_failed(run, request["lfn"], run.request(request["lfn"])["error"]["code"], end="source")
        expected = {"busy", "unreachable"} if "overloaded" in request["lfn"] else {"unreachable"}
        assert run.request(request["lfn"])["error"]["code"] in expected


def test_every_bad_host_is_left_for_the_next_replica(
    hosts: dict[str, str], files: dict[str, bytes], web: Nginx, job: Job
) -> None:
    batch = [
        transfer(name, [*(f"{url}/{name}" for url in hosts.values()), f"{web.url}/{name}"], job.url(name))
        for name in files
    ]
    run = job.run(batch, "--stall-seconds", "1")
    assert (run.exit, contents(job.out)) == (0, files)
    assert {request["source"].rpartition("/")[0] for request in run.document["requests"]} == {web.url}


def test_a_dead_destination_is_left_for_the_next_one(
    hosts: dict[str, str], files: dict[str, bytes], web: Nginx, job: Job
) -> None:
    batch = [
        transfer(
            name,
            f"file://{web.root}/{name}",
            [f"{hosts['closed']}/{name}", f"{hosts['overloaded']}/{name}", f"{web.url}/put/{name}"],
        )
        for name in files
    ]
    run = job.run(batch, "--stall-seconds", "1")
    assert (run.exit, contents(web.root / "put")) == (0, files)


def test_a_host_that_nobody_knows_fails_alone(web: Nginx, job: Job, files: dict[str, bytes]) -> None:
    good = [transfer(name, f"{web.url}/{name}", job.url(name)) for name in files]
    run = job.run([transfer("bad", "http://no-such-host.invalid/f", job.url("bad")), *good], "-m", "1")
    assert_failed(run, "bad", "unreachable", end="source")
    assert "no-such-host.invalid" in run.told("bad")
    assert (run.exit, contents(job.out)) == (75, files)
