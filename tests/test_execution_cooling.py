"""Requests that have another choice do not wait for a host that cools."""

from __future__ import annotations

from runs import QUICK, execute, transfer
from wf.protocols import errors
from wf.protocols.memory import MemoryServer

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
