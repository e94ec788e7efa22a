"""The engine over the memory protocol: fail-over, retries, order, limits, stopping."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, at, execute, mkdir, remove, sha256, streaming, transfer
from wf.credentials.errors import CredentialError
from wf.protocols import errors
from wf.protocols.errors import End, Reach
from wf.protocols.memory import FOREVER, Call, Manners, MemoryServer
from wf.transfer.outcomes import Status
from wf.transfer.requests import Remove
from wf.transfer.sinks import NullSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wf.protocols.locations import Location
    from wf.transfer.outcomes import Outcome

DATA = b"the bytes of a small file"
BIG = bytes(range(256)) * 4096 * 3
"""Three buffers."""


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


def brief(error: type[errors.TransferError] = errors.Unreachable) -> errors.TransferError:
    """A failure of a host that need not be left alone for long."""
    return error("ordered by the test", retry_after=0.001)


# --- replicas


@pytest.mark.parametrize(
    "error",
    [
        errors.Broken("cut"),
        errors.Changed("changed"),
        errors.ServerFault("500"),
        errors.NotFound("404"),
        errors.Mismatch("damaged"),
        errors.Unverified("cannot tell"),
        errors.Denied("403"),
        errors.Unsupported("no"),
        errors.Unreachable("refused", retry_after=0.001),
        errors.Busy("503", retry_after=0.001),
        errors.MissingCredential("none", remedy="get one"),
        errors.MissingExtra("none", remedy="install it"),
        errors.Misconfigured("wrong", remedy="mend it"),
        errors.LocalRefused("name", remedy="rename"),
    ],
    ids=lambda error: error.code,
)
def test_each_error_at_one_replica_leads_to_the_next_one(
    server: MemoryServer, error: errors.TransferError
) -> None:
    server.put("/a", DATA)
    server.fail("open_read", "/a", error, host="bad", times=FOREVER)

    done = execute(
        [transfer(0, [server.location("/a", "bad"), server.location("/a", "good")], server.location("/out"))],
        server,
    )

    assert done.exit == 0
    assert server.get("/out") == DATA
    assert done[0].source == done[0].request.sources[1]
    assert [attempt.error and attempt.error.code for attempt in done[0].attempts] == [error.code, None]


@pytest.mark.parametrize("error", [errors.NoSpace("full"), errors.Exists("there")], ids=lambda e: e.code)
def test_an_error_about_the_whole_request_is_not_tried_elsewhere(
    server: MemoryServer, error: errors.TransferError
) -> None:
    server.put("/a", DATA)
    server.fail("open_write", "*", error, times=FOREVER)

    done = execute(
        [transfer(0, [server.location("/a", h) for h in "xy"], server.location("/out"))],
        server,
    )

    assert (done.exit, done[0].error.code, len(done[0].attempts)) == (1, error.code, 1)


def test_a_missing_source_is_not_tried_again(server: MemoryServer) -> None:
    done = execute([transfer(0, server.location("/none"), server.location("/out"))], server)

    assert done.exit == 1
    assert server.count("open_read") == 1
    assert (done[0].error.code, done[0].error.end, done[0].error.step) == (
        "not-found",
        End.SOURCE,
        "open source",
    )


def test_rounds_try_every_replica_once_each_in_order_of_priority(server: MemoryServer) -> None:
    hosts = ["one", "two", "three"]
    server.put("/a", DATA)
    server.fail("open_read", "*", errors.ServerFault("500"), times=FOREVER)

    done = execute(
        [transfer(0, [server.location("/a", host) for host in hosts], server.location("/out"))],
        server,
        settings=QUICK._replace(rounds=2),
    )

    assert [call.host for call in server.calls("open_read")] == hosts * 2
    assert done.exit == 75
    assert len(done[0].attempts) == 6


def test_one_round_still_fails_over(server: MemoryServer) -> None:
    server.put("/a", DATA)
    server.fail("open_read", host="bad", times=FOREVER)

    done = execute(
        [transfer(0, [server.location("/a", h) for h in ("bad", "good")], server.location("/out"))],
        server,
        settings=QUICK._replace(rounds=1),
    )

    assert done.exit == 0


def test_a_replica_that_cannot_work_is_not_tried_in_the_next_round(server: MemoryServer) -> None:
    server.put("/a", DATA)
    server.fail("open_read", "*", errors.NotFound("404"), host="without", times=FOREVER)
    server.fail("open_read", "*", errors.ServerFault("500"), host="ill", times=FOREVER)

    execute(
        [transfer(0, [server.location("/a", h) for h in ("without", "ill")], server.location("/out"))],
        server,
    )

    assert server.count("open_read", host="without") == 1
    assert server.count("open_read", host="ill") == 3


def test_destinations_fail_over_too(server: MemoryServer) -> None:
    server.put("/a", DATA)
    server.fail("open_write", "*", errors.Denied("403"), host="full", times=FOREVER)

    done = execute(
        [transfer(0, server.location("/a"), [server.location("/out", h) for h in ("full", "free")])],
        server,
    )

    assert done.exit == 0
    assert done[0].destination.host == "free"
    assert done[0].attempts[0].error.end is End.DESTINATION


def test_a_mismatch_outweighs_what_happened_later(server: MemoryServer) -> None:
    server.put("/a", DATA)
    server.put("/b", b"other bytes")
    server.fail("open_read", "/a", errors.ServerFault("500"), times=FOREVER)

    done = execute(
        [
            transfer(
                0,
                [server.location("/b"), server.location("/a")],
                server.location("/out"),
                expected=sha256(DATA),
            )
        ],
        server,
    )

    assert done.exit == 3
    assert done[0].error.code == "mismatch"
    assert "/out" not in server.names()


def test_an_unknown_scheme_fails_that_request_alone(server: MemoryServer) -> None:
    server.put("/a", DATA)

    done = execute(
        [
            transfer(0, at("gopher://host/a"), server.location("/out/0")),
            transfer(1, server.location("/a"), server.location("/out/1")),
            transfer(2, [at("gopher://host/a"), server.location("/a")], server.location("/out/2")),
            transfer(3, server.location("/a"), at("gopher://host/a")),
        ],
        server,
    )

    assert done.statuses == ["failed", "done", "done", "failed"]
    assert done[0].error.code == "unsupported" and done[0].error.end is End.SOURCE
    assert done[3].error.end is End.DESTINATION


def test_an_unset_variable_fails_that_request_alone(server: MemoryServer, tmp_path: Path) -> None:
    server.put("/a", DATA)

    done = execute(
        [
            transfer(0, server.location("/a"), at("file:///$NO_SUCH_VARIABLE/a", environment={})),
            transfer(1, server.location("/a"), tmp_path / "a"),
        ],
        server,
    )

    assert done.statuses == ["failed", "done"]
    assert "NO_SUCH_VARIABLE" in done[0].error.what


# --- defects


@pytest.mark.parametrize("operation", ["open_read", "read", "open_write", "write", "commit"])
def test_an_unexpected_exception_in_a_protocol_fails_that_request_alone(
    server: MemoryServer, operation: str
) -> None:
    server.put("/a", DATA)
    server.put("/b", DATA)
    server.fail(operation, "*bad*", KeyError("surprise"), times=FOREVER)
    server.put("/bad", DATA)

    done = execute(
        [
            transfer(0, server.location("/bad"), server.location("/out/bad")),
            transfer(1, server.location("/a"), server.location("/out/1")),
            transfer(2, server.location("/b"), server.location("/out/2")),
        ],
        server,
        settings=QUICK._replace(workers=1),
    )

    assert done.statuses == ["failed", "done", "done"]
    assert (done[0].error.code, done.exit) == ("defect", 1)
    assert "KeyError" in done[0].error.what


def test_a_library_that_wants_to_end_the_process_fails_that_request_alone(server: MemoryServer) -> None:
    server.put("/a", DATA)
    server.fail("open_read", "/a", SystemExit(3))

    done = execute(
        [transfer(n, server.location("/a"), server.location(f"/out/{n}")) for n in range(3)],
        server,
        settings=QUICK._replace(workers=1),
    )

    assert sorted(done.statuses) == ["done", "done", "failed"]


def test_secrets_in_an_unexpected_exception_stay_secret(server: MemoryServer) -> None:
    server.put("/a", DATA)
    url = "https://host/a?X-Amz-Signature=SECRET&X-Amz-Credential=SECRET"
    server.fail("open_read", "/a", RuntimeError(f"GET {url}"))

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server)

    assert done[0].error.code == "defect"


@pytest.mark.parametrize("where", ["a worker", "the governing thread"])
def test_a_defect_of_the_engine_ends_the_run_with_its_own_exit_code(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Nothing hangs, and every request has an outcome all the same."""

    def surprise(*_: object, **__: object) -> None:
        raise RuntimeError("surprise")

    server.put("/a", DATA)
    if where == "a worker":
        server.fail("open_read", "*", times=FOREVER)
        monkeypatch.setattr("wf.transfer.engine.after_failure", surprise)
    else:
        monkeypatch.setattr("wf.transfer.ordering.Ordering.ended", surprise)

    done = execute(
        [transfer(n, server.location("/a"), server.location(f"/out/{n}")) for n in range(20)], server
    )

    assert done.exit == 70


def test_a_request_that_waits_for_its_turn_in_time_gets_it_before_a_long_queue_ends(
    server: MemoryServer,
) -> None:
    """One worker in a queue that refills itself does not forget what is due elsewhere."""
    server.put("/a", DATA)
    server.fail("open_read", "/a", errors.ServerFault("500"), host="ill")
    turn: list[float] = []

    def slowly(call: Call) -> None:
        if call.host == "well" and server.count("open_read", host="ill") < 2:
            threading.Event().wait(0.005)
            turn.append(0)

    server.hook("open_read", slowly)

    done = execute(
        [transfer(0, server.location("/a", "ill"), server.location("/out/ill"), size=len(DATA))]
        + [transfer(n, server.location("/a", "well"), server.location(f"/out/{n}")) for n in range(1, 200)],
        server,
        settings=QUICK._replace(workers=1, back_off=0.3, back_off_most=0.3),
    )

    assert done.exit == 0
    assert done.order.index(0) < 190
    assert len(turn) < 190


# --- groups


def test_two_refusals_are_enough_for_everything_with_the_same_credential(server: MemoryServer) -> None:
    for number in range(20):
        server.put(f"/a/{number}", DATA)
    server.fail("open_read", "*", errors.Denied("403"), times=FOREVER, host="shut")

    done = execute(
        [
            transfer(n, server.location(f"/a/{n}", "shut"), server.location(f"/out/{n}", "open"))
            for n in range(20)
        ],
        server,
        settings=QUICK._replace(workers=1),
    )

    assert server.count("open_read") == 2
    assert done.exit == 77
    assert {outcome.error.code for outcome in done.recorded.outcomes} == {"denied"}


def test_a_refusal_concerns_one_path_where_others_work(server: MemoryServer) -> None:
    for number in range(10):
        server.put(f"/a/{number}", DATA)
    server.fail("open_read", "/a/[3-9]", errors.Denied("403"), times=FOREVER)

    done = execute(
        [transfer(n, server.location(f"/a/{n}"), server.location(f"/out/{n}")) for n in range(10)],
        server,
        settings=QUICK._replace(workers=1),
    )

    assert done.statuses == ["done"] * 3 + ["failed"] * 7
    assert server.count("open_read") == 10


class _OneSite:
    """Credentials of the site `known`; asking for another fails."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find(
        self, scheme: str, host: str, site: str = "", *, user: str = "", purpose: str = "read"
    ) -> object:
        from wf.credentials.kinds import Anonymous

        self.asked.append(site)
        if site != "known":
            raise CredentialError("no credential for this site", remedy="add one")
        return Anonymous()

    def name(self, scheme: str, host: str, site: str = "", *, user: str = "", purpose: str = "read") -> str:
        return "anonymous"


def test_a_missing_credential_fails_only_what_needs_it() -> None:
    from wf.credentials.kinds import Anonymous

    server = MemoryServer(manners=Manners(accepts=(Anonymous().name,)))
    server.put("/a", DATA)
    known = server.location("/a")._replace(site="known")
    unknown = server.location("/a")._replace(site="unknown")
    out = server.location("/out")._replace(site="known")
    source = _OneSite()

    done = execute(
        [
            transfer(0, unknown, out.with_path("/out/0")),
            transfer(1, known, out.with_path("/out/1")),
            transfer(2, unknown, out.with_path("/out/2")),
            transfer(3, [unknown, known], out.with_path("/out/3")),
        ],
        server,
        credentials=source,
    )

    assert done.statuses == ["failed", "done", "failed", "done"]
    assert done.exit == 77
    assert done[0].error.code == "missing-credential"
    assert source.asked.count("unknown") == 1, "every question reaches its source once"


# --- hosts


def test_one_silent_host_does_not_delay_the_others(server: MemoryServer, tmp_path: Path) -> None:
    """The silent host answers only when everything else is done."""
    others_done = threading.Event()
    for number in range(30):
        server.put(f"/a/{number}", DATA)

    def wait(call: Call) -> None:
        if call.host == "silent":
            assert others_done.wait(20), "the others wait for the silent host"

    server.hook("open_read", wait)
    finished: list[int] = []

    class Count(NullSink):
        def take(self, outcome: Outcome) -> None:
            finished.append(outcome.request.number)
            if len(finished) == 20:
                others_done.set()

    done = execute(
        [
            transfer(
                n, server.location(f"/a/{n}", "silent" if n % 3 == 0 else f"host{n % 3}"), tmp_path / str(n)
            )
            for n in range(30)
        ],
        server,
        settings=QUICK._replace(workers=8),
        sinks=[Count()],
    )

    assert done.exit == 0
    assert all(number % 3 for number in finished[:20])


def test_a_host_that_is_down_fails_its_queue_without_an_attempt_each(server: MemoryServer) -> None:
    for number in range(40):
        server.put(f"/a/{number}", DATA)
    server.fail("open_read", "*", errors.Unreachable("refused"), host="down", times=FOREVER)

    done = execute(
        [
            transfer(n, server.location(f"/a/{n}", "down"), server.location(f"/out/{n}", "up"))
            for n in range(40)
        ],
        server,
        settings=QUICK._replace(workers=4),
    )

    assert done.exit == 75
    assert {outcome.error.code for outcome in done.recorded.outcomes} == {"unreachable"}
    assert server.count("open_read") < 20


def test_a_queue_of_a_host_that_is_down_goes_to_its_next_replica(server: MemoryServer) -> None:
    for number in range(40):
        server.put(f"/a/{number}", DATA)
    server.fail("open_read", "*", errors.Unreachable("refused"), host="down", times=FOREVER)

    done = execute(
        [
            transfer(
                n, [server.location(f"/a/{n}", h) for h in ("down", "up")], server.location(f"/out/{n}", "up")
            )
            for n in range(40)
        ],
        server,
    )

    assert done.exit == 0
    assert server.count("open_read", host="down") < 20


def test_a_host_that_asks_to_be_left_alone_for_a_day_is_left_alone(server: MemoryServer) -> None:
    for number in range(10):
        server.put(f"/a/{number}", DATA)
    server.fail("open_read", "*", errors.Busy("429", retry_after=86400.0), host="busy", times=FOREVER)

    done = execute(
        [transfer(0, [server.location("/a/0", h) for h in ("busy", "idle")], server.location("/out/0"))]
        + [
            transfer(n, server.location(f"/a/{n}", "busy"), server.location(f"/out/{n}"))
            for n in range(1, 10)
        ],
        server,
        settings=QUICK._replace(workers=1),
    )

    assert done.statuses == ["done"] + ["failed"] * 9
    assert server.count("open_read", host="busy") == 1
    assert done.exit == 75


def test_nobody_waits_a_day_for_the_next_round(server: MemoryServer) -> None:
    server.put("/a", DATA)
    server.fail("open_read", "*", errors.Busy("429", retry_after=86400.0), times=FOREVER)

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server)

    assert (done.exit, done[0].error.code, len(done[0].attempts)) == (75, "busy", 1)


def test_an_interrupt_of_the_caller_ends_the_workers_too(server: MemoryServer, tmp_path: Path) -> None:
    """As when somebody presses Ctrl-C in a notebook: the exception is theirs, and nothing of the run goes on."""
    server.put("/a", BIG)
    server.stall("open_write", times=FOREVER)

    class Interrupted(NullSink):
        def tick(self, _: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(
            [transfer(0, server.location("/a", "src"), server.location("/out", "dst"))],
            server,
            settings=QUICK._replace(stage_through_file=True, spool_directory=str(tmp_path)),
            sinks=[Interrupted()],
        )

    _until(lambda: server.still_open() == 0)
    assert not list(tmp_path.iterdir())


def test_all_workers_obey_retry_after(server: MemoryServer) -> None:
    """Nobody asks again before the time that one of them was told."""
    import time

    asked: list[float] = []
    told: list[float] = []
    for number in range(12):
        server.put(f"/a/{number}", DATA)

    def busy_once() -> errors.TransferError:
        told.append(time.monotonic())
        return errors.Busy("503", retry_after=0.3)

    server.fail("open_read", "*", busy_once)
    server.hook("open_read", lambda call: asked.append(time.monotonic()))

    done = execute(
        [transfer(n, server.location(f"/a/{n}"), server.location(f"/out/{n}", "else")) for n in range(12)],
        server,
        settings=QUICK._replace(workers=4),
    )

    assert done.exit == 0
    later = [moment for moment in asked if moment > told[0]]
    assert later and min(later) >= told[0] + 0.29


def test_requests_at_one_host_never_exceed_its_limit(server: MemoryServer) -> None:
    for number in range(200):
        server.put(f"/a/{number}", DATA)
    capability = streaming(server, connections_start=2, connections_most=3)

    done = execute(
        [
            transfer(n, server.location(f"/a/{n}", "src"), server.location(f"/out/{n}", "dst"))
            for n in range(200)
        ],
        capability,
        settings=QUICK._replace(workers=16),
    )

    assert done.exit == 0
    assert 1 <= server.most_at_once("open_read", "src") <= 3
    assert 1 <= server.most_at_once("open_write", "dst") <= 3


@pytest.mark.parametrize("workers", [1, 2])
def test_n_bounds_the_requests_in_progress(server: MemoryServer, workers: int) -> None:
    for number in range(60):
        server.put(f"/a/{number}", DATA)

    done = execute(
        [
            transfer(n, server.location(f"/a/{n}", f"s{n % 6}"), server.location(f"/out/{n}", f"d{n % 5}"))
            for n in range(60)
        ],
        server,
        settings=QUICK._replace(workers=workers),
    )

    assert done.exit == 0
    assert server.most_at_once("open_read") <= workers
    assert len({call.thread for call in server.calls("open_read")}) <= workers


def test_several_downloads_run_at_once_although_they_end_on_one_disk(
    server: MemoryServer, tmp_path: Path
) -> None:
    """Four hosts, one request each; each read waits until all four are under way."""
    together = threading.Barrier(4, timeout=20)
    for number in range(4):
        server.put(f"/a/{number}", DATA)
    server.hook("open_read", lambda call: together.wait() and None)

    done = execute(
        [transfer(n, server.location(f"/a/{n}", f"host{n}"), tmp_path / str(n)) for n in range(4)], server
    )

    assert done.exit == 0


# --- order


def test_directories_come_first_then_transfers_then_removes(server: MemoryServer) -> None:
    for number in range(5):
        server.put(f"/a/{number}", DATA)
    requests = [remove(0, server.location("/a/0")), remove(1, server.location("/a/1"))]
    requests += [transfer(n, server.location(f"/a/{n}"), server.location(f"/d/{n}")) for n in range(2, 5)]
    requests += [mkdir(5, server.location("/d")), mkdir(6, server.location("/e"))]

    done = execute(requests, server, settings=QUICK._replace(workers=4))

    assert done.exit == 0
    operations = [call.operation for call in server.calls() if call.operation != "read"]
    last = {name: len(operations) - 1 - operations[::-1].index(name) for name in operations}
    assert last["make_directory"] < operations.index("open_read")
    assert last["commit"] < operations.index("remove")


def test_a_failed_directory_does_not_stop_transfers(server: MemoryServer) -> None:
    server.put("/a", DATA)
    server.fail("make_directory", "*", errors.Denied("403"), times=FOREVER)

    done = execute(
        [mkdir(0, server.location("/d")), transfer(1, server.location("/a"), server.location("/out"))], server
    )

    assert done.statuses == ["failed", "done"]
    assert (done[0].error.end, done[0].error.step) == (End.DESTINATION, "mkdir")


def test_a_request_after_a_failed_one_is_skipped_with_its_kind_and_so_is_what_follows(
    server: MemoryServer,
) -> None:
    server.put("/a", DATA)
    server.fail("open_read", "/a", errors.ServerFault("500"), times=FOREVER)
    server.put("/b", DATA)

    done = execute(
        [
            transfer(0, server.location("/a"), server.location("/out/0")),
            transfer(1, server.location("/b"), server.location("/out/1"), after=(0,)),
            remove(2, server.location("/x"), after=(1,)),
            transfer(3, server.location("/b"), server.location("/out/3")),
        ],
        server,
    )

    assert done.statuses == ["failed", "skipped", "skipped", "done"]
    assert "request 0" in done[1].error.what and "request 1" in done[2].error.what
    assert done[1].error.code == done[2].error.code == "server-error"
    assert done.exit == 75
    assert not done[1].attempts


def test_after_reaches_across_phases(server: MemoryServer) -> None:
    """Fetch what is there, then remove it, then make a folder of that name, then write into it."""
    server.put("/x", DATA)
    requests = [
        transfer(0, server.location("/x"), server.location("/kept")),
        remove(1, server.location("/x"), after=(0,)),
        mkdir(2, server.location("/x"), after=(1,)),
        transfer(3, server.location("/kept"), server.location("/x/y"), after=(2,)),
        transfer(4, server.location("/kept"), server.location("/z"), after=(0,)),
    ]

    done = execute(requests, server)

    assert done.exit == 0
    assert server.get("/x/y") == DATA
    assert [number for number in done.order if number < 4] == [0, 1, 2, 3]


def test_a_wait_for_a_destination_and_a_wait_for_a_phase_do_not_wait_for_each_other(
    server: MemoryServer,
) -> None:
    """Both transfers write one name; one comes after a removal, the other after a folder."""
    server.put("/a", DATA)
    requests = [
        remove(0, server.location("/old")),
        mkdir(1, server.location("/d")),
        transfer(2, server.location("/a"), server.location("/out"), after=(0,)),
        transfer(3, server.location("/a"), server.location("/out"), after=(1,)),
    ]

    assert execute(requests, server).exit == 0


def test_two_requests_with_one_destination_run_one_after_the_other(server: MemoryServer) -> None:
    for number in range(6):
        server.put(f"/a/{number}", bytes([number]) * 10)

    done = execute(
        [transfer(n, server.location(f"/a/{n}", f"h{n}"), server.location("/out")) for n in range(6)],
        server,
        settings=QUICK._replace(workers=6),
    )

    assert done.order == list(range(6))
    assert server.most_at_once("open_write") == 1
    assert server.get("/out") == bytes([5]) * 10


def test_several_spellings_of_one_local_destination_are_one_destination(
    server: MemoryServer, tmp_path: Path
) -> None:
    server.put("/a", DATA)
    spellings = [
        f"file://{tmp_path}/x",
        f"file:{tmp_path}/x",
        f"file://{tmp_path}//./x",
        f"{tmp_path}/y/../x",
    ]
    events: list[tuple[str, int]] = []
    server.hook("open_read", lambda call: events.append((call.host, 0)))

    done = execute(
        [transfer(n, server.location("/a", f"h{n}"), at(url)) for n, url in enumerate(spellings)], server
    )

    assert done.order == [0, 1, 2, 3]
    assert [host for host, _ in events] == ["h0", "h1", "h2", "h3"]


@pytest.mark.parametrize(
    ("target", "recursive"),
    [("/a/1", False), ("/a/1/", False), ("/a", True), ("/out/1", False), ("/out", True), ("/out/", True)],
)
def test_what_a_failed_transfer_uses_is_not_removed(
    server: MemoryServer, target: str, recursive: bool
) -> None:
    for number in range(2):
        server.put(f"/a/{number}", DATA)
    server.put("/out/1", b"from an earlier run")
    server.fail("open_read", "/a/1", errors.ServerFault("500"), times=FOREVER)

    done = execute(
        [
            transfer(0, server.location("/a/0"), server.location("/out/0")),
            transfer(1, server.location("/a/1"), server.location("/out/1")),
            remove(2, server.location(target), recursive=recursive),
            remove(3, server.location("/a/0")),
        ],
        server,
    )

    assert done.statuses == ["done", "failed", "skipped", "done"]
    assert server.get("/a/1") == DATA
    assert server.get("/out/1") == b"from an earlier run"
    assert "request 1" in done[2].error.what
    assert server.count("remove") == 1


def test_what_a_failed_local_transfer_uses_is_not_removed_under_any_spelling(
    server: MemoryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_bytes(DATA)
    server.fail("open_write", "*", errors.Denied("403"), times=FOREVER)
    spellings = [
        f"file://{tmp_path}/in/a",
        "file:in/a",
        "in//a",
        f"file:///{tmp_path}/./in/a",
        "./in/../in/a",
    ]

    done = execute(
        [transfer(0, at("file:./in/a"), server.location("/out"))]
        + [remove(n, at(url)) for n, url in enumerate(spellings, 1)]
        + [remove(6, at("in"), recursive=True)],
        server,
    )

    assert done.statuses == ["failed"] + ["skipped"] * 6
    assert (tmp_path / "in/a").read_bytes() == DATA


# --- sinks


class _Broken(NullSink):
    def __init__(self, call: str, error: Exception) -> None:
        def fail(_: object) -> None:
            raise error

        setattr(self, call, fail)


@pytest.mark.parametrize("call", ["begin", "take", "tick", "end"])
def test_a_sink_that_fails_is_given_up_and_the_run_goes_on(server: MemoryServer, call: str) -> None:
    server.put("/a", DATA)
    if call == "tick":
        ticked = threading.Event()
        server.hook("open_read", lambda _: ticked.wait(20) and None)
        broken: NullSink = NullSink()

        def tick(_: object) -> None:
            ticked.set()
            raise OSError("disk full")

        broken.tick = tick  # type: ignore[method-assign]
    else:
        broken = _Broken(call, OSError("disk full"))

    done = execute(
        [transfer(n, server.location("/a"), server.location(f"/out/{n}")) for n in range(3)],
        server,
        sinks=[broken],
    )

    assert done.statuses == ["done"] * 3
    assert done.exit == 1, "what was to be written is missing"


def test_what_the_other_sinks_are_told_at_the_end_is_the_exit_code_of_the_run(server: MemoryServer) -> None:
    server.put("/a", DATA)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        server,
        sinks=[_Broken("begin", OSError("disk full"))],
    )

    assert [int(ending.exit) for ending in done.recorded.endings] == [done.exit] == [1]


class _Recording(NullSink):
    records_checksums = True

    def __init__(self, error: Exception, call: str = "take") -> None:
        self._error = error
        self._call = call

    def begin(self, start: object) -> None:
        if self._call == "begin":
            raise self._error

    def take(self, outcome: Outcome) -> None:
        if self._call == "take":
            raise self._error


@pytest.mark.parametrize("call", ["begin", "take"])
@pytest.mark.parametrize(
    "error", [errors.NoSpace("disk full"), OSError("disk full")], ids=["known", "unknown"]
)
def test_a_checksum_that_cannot_be_recorded_fails_the_request(
    server: MemoryServer, call: str, error: Exception
) -> None:
    server.put("/a", DATA)

    done = execute(
        [
            transfer(n, server.location("/a"), server.location(f"/out/{n}"), generate_checksum=True)
            for n in range(3)
        ]
        + [remove(3, server.location("/out/0"))],
        server,
        sinks=[_Recording(error, call)],
    )

    assert done.statuses == ["failed"] * 3 + ["skipped"]
    assert done[0].error.step == "record checksum" or done[0].error.code == "defect"
    assert done.exit == 1


# --- stopping


def test_a_stop_gives_every_request_an_outcome_and_keeps_the_partial(server: MemoryServer) -> None:
    stop = threading.Event()
    for number in range(20):
        server.put(f"/a/{number}", BIG)

    def stop_in_the_middle(call: Call) -> None:
        if call.offset and call.path == "/a/3":
            stop.set()
            _until(lambda: server.count("read", "/a/3") == 1 or stop.is_set())

    server.hook("read", stop_in_the_middle)

    done = execute(
        [transfer(n, server.location(f"/a/{n}"), server.location(f"/out/{n}")) for n in range(20)],
        server,
        settings=QUICK._replace(workers=1),
        stop=stop,
    )

    assert done.exit == 75
    assert set(done.statuses) <= {"done", "stopped"}
    stopped = [outcome for outcome in done.recorded.outcomes if outcome.status is Status.STOPPED]
    assert stopped and all(outcome.error.code == "stopped" for outcome in stopped)
    for outcome in done.recorded.outcomes:
        path = outcome.request.destinations[0].path
        assert server.get(path) == (BIG if outcome.status is Status.DONE else None)


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        threading.Event().wait(0.001)


def test_a_stop_ends_a_stalled_read_and_keeps_what_came(server: MemoryServer) -> None:
    stop = threading.Event()
    server.put("/a", BIG)
    server.stall("read", "/a")  # the first read is at offset 0

    def during() -> None:
        _until(lambda: server.count("read") > 0)
        stop.set()

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))], server, stop=stop, during=during
    )

    assert (done.exit, done.statuses) == (75, ["stopped"])
    assert done[0].attempts[0].error.code == "stopped"


def test_a_stop_in_the_middle_of_a_file_keeps_the_partial(server: MemoryServer) -> None:
    stop = threading.Event()
    server.put("/a", BIG)

    def stall_second(call: Call) -> None:
        if call.offset:
            server.stall("read", "/a")

    server.hook("read", stall_second)

    def during() -> None:
        _until(lambda: server.count("read") > 1)
        stop.set()

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))], server, stop=stop, during=during
    )

    assert done.statuses == ["stopped"]
    assert [len(data) for data in server.kept.values()] == [1 << 20]
    assert "/out" not in server.names()


def test_a_stop_before_the_run_stops_everything(server: MemoryServer) -> None:
    stop = threading.Event()
    stop.set()
    server.put("/a", DATA)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out")), remove(1, server.location("/a"))],
        server,
        stop=stop,
    )

    assert done.exit == 75
    assert "/a" in server.names()


def test_the_deadline_stops_the_run_and_not_the_callers_event(server: MemoryServer) -> None:
    import time

    stop = threading.Event()
    server.put("/a", DATA)
    server.stall("open_read", times=FOREVER)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        server,
        settings=QUICK._replace(deadline=time.time() + 0.2),
        stop=stop,
    )

    assert (done.exit, done.statuses) == (75, ["stopped"])
    assert not stop.is_set(), "a second run with the same event must be possible"


def test_what_waits_for_a_stopped_request_is_not_run(server: MemoryServer) -> None:
    stop = threading.Event()
    server.put("/a", DATA)
    server.hook("open_read", lambda call: stop.set())
    server.stall("open_read")

    done = execute(
        [
            transfer(0, server.location("/a"), server.location("/out")),
            transfer(1, server.location("/a"), server.location("/out/1"), after=(0,)),
            remove(2, server.location("/a")),
        ],
        server,
        stop=stop,
    )

    assert done.exit == 75
    assert done[0].status is Status.STOPPED
    assert {done[1].status, done[2].status} <= {Status.STOPPED, Status.SKIPPED}
    assert "/a" in server.names()


def test_an_error_that_is_due_to_the_stop_is_not_a_failure(server: MemoryServer) -> None:
    """A connection that breaks because everything ends, with another replica left to try."""
    stop = threading.Event()
    server.put("/a", DATA)
    server.hook("open_read", lambda call: stop.set())
    stopped_for_the_engine = threading.Event()

    def gone() -> errors.TransferError:
        stopped_for_the_engine.wait(0.2)  # the governing thread hands the stop on
        return errors.NotFound("404")

    server.fail("open_read", "*", gone)

    done = execute(
        [transfer(0, [server.location("/a", h) for h in "xy"], server.location("/out"))], server, stop=stop
    )

    assert done.exit in (0, 75)
    assert done.statuses != ["failed"]


def test_what_failed_for_good_while_the_run_was_being_stopped_is_a_failure(server: MemoryServer) -> None:
    stop = threading.Event()
    server.hook("open_read", lambda call: stop.set())

    def gone() -> errors.TransferError:
        threading.Event().wait(0.2)  # the governing thread hands the stop on
        return errors.NotFound("404")

    server.fail("open_read", "*", gone)

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server, stop=stop)

    assert (done.exit, done.statuses) == (1, ["failed"])


# --- many


def test_five_thousand_tiny_requests_end_once_each(server: MemoryServer) -> None:
    for number in range(5000):
        server.put(f"/a/{number}", b"x")
    requests: list[object] = [
        transfer(n, server.location(f"/a/{n}", f"h{n % 3}"), server.location(f"/out/{n}"))
        for n in range(4000)
    ]
    requests += [remove(n, server.location(f"/a/{n}")) for n in range(4000, 5000)]

    done = execute(requests, server)  # type: ignore[arg-type]

    assert done.exit == 0
    assert len([name for name in server.names() if name.startswith("/out/")]) == 4000


def test_a_second_run_in_the_same_process_is_like_the_first(server: MemoryServer) -> None:
    server.put("/a", DATA)
    requests = [transfer(0, server.location("/a"), server.location("/out"))]

    first, second = execute(requests, server), execute(requests, server)

    assert (first.exit, second.exit) == (0, 0)
    assert len(second[0].attempts) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker-")]


def test_several_runs_in_parallel_threads_do_not_disturb_each_other() -> None:
    ends: list[int] = []

    def one(number: int) -> None:
        server = MemoryServer()
        for name in range(50):
            server.put(f"/a/{name}", DATA)
        if number == 0:
            server.fail("open_read", "*", errors.NotFound("404"), times=FOREVER)
        done = execute(
            [transfer(n, server.location(f"/a/{n}"), server.location(f"/out/{n}")) for n in range(50)], server
        )
        ends.append(done.exit)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(ends) == [0, 0, 0, 1]


def test_an_empty_batch_is_done() -> None:
    assert execute([]).exit == 0


# --- removal


def test_a_dangerous_removal_fails_that_request_alone(server: MemoryServer, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)

    done = execute(
        [
            remove(0, at("file:///"), recursive=True),
            remove(1, server.location("/"), recursive=True),
            remove(2, tmp_path / "x"),
        ],
        server,
    )

    assert done.statuses == ["failed", "failed", "done"]
    assert done[0].error.code == "refused" and done[0].error.end is End.DESTINATION
    assert server.count("remove") == 0


def test_what_is_absent_counts_as_removed(server: MemoryServer, tmp_path: Path) -> None:
    done = execute([remove(0, server.location("/none")), remove(1, tmp_path / "none")], server)

    assert done.exit == 0


def test_a_directory_is_not_removed_without_being_told_so(server: MemoryServer, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()

    done = execute([remove(0, tmp_path / "d")], server)

    assert (done.exit, done[0].error.code) == (1, "refused")
    assert isinstance(done[0].request, Remove)


# --- back-off


def test_waits_between_rounds_are_not_spent_by_a_worker(server: MemoryServer) -> None:
    """One worker: what waits for its next round lets the others pass."""
    server.put("/a", DATA)
    server.fail("open_read", "/a", errors.ServerFault("500"), host="ill")

    done = execute(
        [transfer(0, server.location("/a", "ill"), server.location("/out/ill"))]
        + [transfer(n, server.location("/a", "well"), server.location(f"/out/{n}")) for n in range(1, 5)],
        server,
        settings=QUICK._replace(workers=1, back_off=0.3, back_off_most=0.3),
    )

    assert done.exit == 0
    assert done.order[-1] == 0


def test_attempts_are_told_in_their_order_with_the_route_and_the_offset_reached(server: MemoryServer) -> None:
    server.put("/a", BIG)
    server.truncate("/a", 1 << 20, times=2)
    capability = streaming(server, read_version=False)

    done = execute([transfer(0, server.location("/a"), server.location("/out", "other"))], capability)

    assert done.exit == 0
    attempts = done[0].attempts
    assert [attempt.bytes for attempt in attempts] == [1 << 20, 1 << 20, len(BIG)]
    assert {attempt.route for attempt in attempts} == {"streamed"}
    assert all(before.began <= after.began for before, after in pairwise(attempts))


def test_the_location_that_is_blamed_names_its_host(server: MemoryServer) -> None:
    server.put("/a", DATA)
    server.fail("open_write", "*", errors.ServerFault("500"), times=FOREVER)
    destination: Location = server.location("/out", "dst")

    done = execute([transfer(0, server.location("/a", "src"), destination)], server)

    assert done[0].error.host == "dst"
    assert done[0].error.reach is Reach.ATTEMPT
