"""Requests that have another choice do not wait for a host that cools."""

from __future__ import annotations

import pytest
from runs import QUICK, execute, transfer
from wf.protocols import errors
from wf.protocols.memory import MemoryServer
from wf.transfer.engine import CROWDED_OUT_MOST

DATA = b"the data"
FOREVER = 1_000_000


def test_requests_with_another_replica_go_there_while_a_host_cools() -> None:
    server = MemoryServer()
    for number in range(30):
        server.put(f"/a/{number}", DATA)
    server.fail("open_read", "*", errors.Busy("429", retry_after=600.0), host="busy", times=FOREVER)

    done = execute(
        [
            transfer(
                n, [server.location(f"/a/{n}", h) for h in ("busy", "idle")], server.location(f"/out/{n}")
            )
            for n in range(30)
        ],
        server,
        settings=QUICK._replace(workers=1),
    )

    assert done.exit == 0
    assert server.count("open_read", host="busy") == 1


def test_requests_without_another_choice_wait_in_their_order() -> None:
    server = MemoryServer()
    for number in range(6):
        server.put(f"/a/{number}", DATA)
    server.fail("open_read", "*", errors.Busy("429", retry_after=0.05))

    def locations(number: int) -> list[object]:
        hosts = ("busy",) if number % 2 else ("busy", "idle")
        return [server.location(f"/a/{number}", host) for host in hosts]

    done = execute(
        [transfer(n, locations(n), server.location(f"/out/{n}")) for n in range(6)],
        server,
        settings=QUICK._replace(workers=1),
    )

    assert done.exit == 0
    assert [number for number in done.order if number % 2] == [1, 3, 5]


@pytest.mark.parametrize("times", [CROWDED_OUT_MOST, FOREVER])
def test_a_lone_request_that_is_turned_away_has_more_tries_than_one_that_fails(times: int) -> None:
    server = MemoryServer()
    server.put("/a", DATA)
    server.fail("open_read", "/a", errors.TurnedAway("nobody is let in"), times=times)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        server,
        settings=QUICK._replace(rounds=1),
    )

    assert server.count("open_read", "/a") == CROWDED_OUT_MOST + 1
    assert done.exit == (0 if times == CROWDED_OUT_MOST else 75)
    assert times != FOREVER or done[0].error.code == "busy"


def test_a_lone_request_to_a_busy_server_has_its_rounds_and_no_more() -> None:
    server = MemoryServer()
    server.put("/a", DATA)
    server.fail("open_read", "/a", errors.Busy("503"), times=FOREVER)

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server, settings=QUICK)

    assert (done.exit, server.count("open_read", "/a")) == (75, QUICK.rounds)
