"""Both legs of a large staged transfer at once: the destination is written while the source is still being read."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from runs import GUARD_SECONDS, QUICK, digest, execute, leftovers, sha256, streaming, transfer
from wf.protocols.capability import Publish
from wf.protocols.errors import Broken, Denied, End, ServerFault
from wf.protocols.memory import FOREVER, Manners, MemoryServer
from wf.transfer.overlapping import LEAST
from wf.transfer.settings import Evidence, Settings
from wf.transfer.sinks import NullSink

if TYPE_CHECKING:
    from pathlib import Path

    from runs import Run
    from wf.protocols.capability import Capability
    from wf.protocols.memory import Call
    from wf.transfer.sinks import Progress

MIB = 1 << 20
DATA = b"".join(bytes([number]) * MIB for number in range(LEAST // MIB)) + b"the end"
HALF = len(DATA) // 2 // MIB * MIB
SECONDS = 20.0
"""Against hanging only."""


class Server(MemoryServer):
    """A server that has `/a`. It takes files in one stream only, or by `sends`: the operation that brings bytes."""

    def __init__(self, sends: str, manners: Manners | None = None) -> None:
        super().__init__(manners=manners)
        self.put("/a", DATA)
        self.sends = sends
        self.commits = "commit" if sends == "write" else "commit_parts"
        self.opens = "open_write" if sends == "write" else "open_parts"

    def takes(self, **overrides: object) -> Capability:
        return streaming(self, **{"write_parts": self.sends == "put_part", **overrides})


@pytest.fixture(params=["write", "put_part"], ids=["one stream", "parts"])
def sends(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(sends: str) -> Server:
    return Server(sends)


@pytest.fixture
def staged(tmp_path: Path) -> Settings:
    return QUICK._replace(stage_through_file=True, spool_directory=str(tmp_path))


def run(
    server: Server,
    settings: Settings,
    *,
    capability: Capability | None = None,
    stop: threading.Event | None = None,
    **details: object,
) -> Run:
    """One transfer from `/a` at `src` to `/out` at `dst`."""
    request = transfer(0, server.location("/a", "src"), server.location("/out", "dst"), **details)
    return execute([request], capability or server.takes(), settings=settings, stop=stop)


def both_at_once(server: Server) -> threading.Event:
    """From half of the source on it is read only when the destination has been written to: set when that was so."""
    written, overlapped = threading.Event(), threading.Event()

    def wait(call: Call) -> None:
        if call.offset >= HALF and written.wait(SECONDS):
            overlapped.set()

    server.hook(server.sends, lambda call: written.set())
    server.hook("read", wait)
    return overlapped


def written_before_the_source_ended(server: Server) -> bool:
    calls = server.calls()
    opened = next(
        number for number, call in enumerate(calls) if call.operation in ("open_write", "open_parts")
    )
    return any(call.operation == "read" for call in calls[opened:])


def test_the_second_leg_writes_while_the_first_one_reads(
    server: Server, staged: Settings, tmp_path: Path
) -> None:
    overlapped = both_at_once(server)
    done = run(server, staged, expected=digest("md5", DATA))

    assert done.exit == 0, done[0].error
    assert overlapped.is_set()
    assert server.get("/out") == DATA
    assert (done[0].route, done[0].bytes, done[0].checked) == ("staged", len(DATA), True)
    assert (done[0].digest, done[0].digests) == (sha256(DATA), (digest("md5", DATA),))
    first, second = done[0].attempts
    assert (first.source, first.destination) == (server.location("/a", "src"), None)
    assert second.destination == server.location("/out", "dst")
    assert [(each.route, each.bytes, each.error) for each in (first, second)] == [
        ("staged", len(DATA), None)
    ] * 2
    assert first.seconds <= second.seconds
    assert not leftovers(tmp_path)


def test_the_end_is_written_only_when_the_whole_is_verified(server: Server, staged: Settings) -> None:
    """What the service sees of a file until its last byte was read is not all of it."""
    seen: list[int] = []
    server.hook("read", lambda call: seen.extend(call.offset for call in server.calls(server.sends, "/out")))
    done = run(server, staged, expected=sha256(DATA))
    assert done.exit == 0
    assert max(seen, default=0) < len(DATA) - MIB


def test_digests_that_the_destination_speaks_are_computed_and_compared(staged: Settings) -> None:
    server = Server("write", Manners(speaks=("md5",), echoes=("md5",)))
    done = run(server, staged)
    assert done.exit == 0
    assert written_before_the_source_ended(server)
    assert done[0].evidence is Evidence.CHECKSUM
    assert (done[0].digest, done[0].digests) == (sha256(DATA), (digest("md5", DATA),))


@pytest.mark.parametrize(
    ("size", "overrides"),
    [
        (LEAST - 1, {}),
        (len(DATA), {"publish": Publish.HELD}),
        (len(DATA), {"publish": Publish.AFTER}),
        (len(DATA), {"write_parts": False, "write_resume": False}),
    ],
    ids=["small", "held", "visible at once", "one request"],
)
def test_one_leg_follows_the_other(
    size: int, overrides: dict[str, object], server: Server, staged: Settings
) -> None:
    server.put("/a", DATA[:size])
    done = run(server, staged, capability=server.takes(**overrides))
    assert done.exit == 0
    assert not written_before_the_source_ended(server)
    assert len(done[0].attempts) == 2
    assert server.get("/out") == DATA[:size]


def test_a_source_that_tells_no_size_is_read_first(sends: str, staged: Settings) -> None:
    server = Server(sends, Manners(tells_size=False))
    done = run(server, staged)
    assert done.exit == 0
    assert not written_before_the_source_ended(server)
    assert server.get("/out") == DATA


@pytest.mark.parametrize("workers", [1, 4])
def test_many_large_files_share_what_there_is(workers: int, server: Server, staged: Settings) -> None:
    """One of them is refused; the connections of its second leg serve the next one all the same."""
    bad = 1
    requests = [
        transfer(
            number,
            server.location("/a", "src"),
            server.location(f"/out/{number}", "dst"),
            expected=sha256(b"" if number == bad else DATA),
        )
        for number in range(4)
    ]
    done = execute(requests, server.takes(), settings=staged._replace(workers=workers))
    assert done.statuses == ["done", "failed", "done", "done"]
    assert [server.get(f"/out/{number}") == DATA for number in range(4)] == [True, False, True, True]


def test_parts_that_wait_in_the_spool_are_sent_by_others(staged: Settings) -> None:
    """Two of them have to be on the way at the same time, or the run would stall; the one that fails is sent again."""
    server = Server("put_part")
    both = threading.Barrier(2, timeout=SECONDS)
    much_is_there = threading.Event()
    waited: set[str] = set()
    parts: list[Call] = []

    def note(call: Call) -> None:
        if call.offset >= HALF:
            much_is_there.set()

    def meet(call: Call) -> None:
        parts.append(call)
        if len(parts) == 1:
            # Others are invited to parts that wait when the next one begins.
            assert much_is_there.wait(SECONDS)
        elif call.thread not in waited and len(waited) < 2:
            waited.add(call.thread)
            both.wait()
            if len(waited) == 2:
                raise ServerFault("ordered by the test")

    server.hook("read", note)
    server.hook("put_part", meet)
    done = run(server, staged._replace(streams=2, part_bytes=MIB))
    assert done.exit == 0
    assert server.get("/out") == DATA
    assert len(waited) == 2
    assert len(done[0].attempts) == 2


# --- the source fails


def test_a_mismatch_publishes_nothing(server: Server, staged: Settings, tmp_path: Path) -> None:
    overlapped = both_at_once(server)
    done = run(server, staged, expected=sha256(b"other"))
    assert overlapped.is_set()
    assert (done.exit, done[0].error.code, done[0].error.end) == (3, "mismatch", End.SOURCE)
    assert server.names() == ["/a"]
    assert server.uploads == {} and server.kept == {}
    assert not leftovers(tmp_path)


def test_a_source_that_breaks_is_gone_on_with(server: Server, staged: Settings) -> None:
    server.break_after("/a", HALF)
    done = run(server, staged, expected=sha256(DATA))
    assert done.exit == 0
    assert (server.count("open_read", "/a"), server.count(server.opens, "/out")) == (2, 1)
    assert server.get("/out") == DATA


def test_another_source_begins_both_legs_again(server: Server, staged: Settings) -> None:
    """The first ends for good when the destination holds half of it; the second one holds something else."""
    other = bytes(reversed(DATA))
    server.put("/b", other)
    server.break_after("/a", HALF, times=FOREVER)
    both_at_once(server)
    sources = [server.location("/a", "one"), server.location("/b", "two")]
    done = execute([transfer(0, sources, server.location("/out", "dst"))], server.takes(), settings=staged)

    assert done.exit == 0
    assert server.get("/out") == other
    assert done[0].source.host == "two"
    assert [(attempt.error is None, attempt.destination is None) for attempt in done[0].attempts] == [
        (False, False),
        (True, True),
        (True, False),
    ]
    assert done[0].attempts[0].error.end is End.SOURCE


def test_the_source_is_blamed_although_the_destination_hangs(
    server: Server, staged: Settings, tmp_path: Path
) -> None:
    """It would hang for as long as the guard of the run waits."""
    both_at_once(server)
    server.stall(server.sends, "/out")

    def deny(call: Call) -> None:
        if call.offset >= HALF:
            raise Denied("no more of this")

    server.hook("read", deny)
    done = run(server, staged)
    assert (done.exit, done[0].error.code, done[0].error.end) == (77, "denied", End.SOURCE)
    assert server.names() == ["/a"]
    assert not leftovers(tmp_path)


# --- the destination fails


def fail_at_half(server: Server, times: int) -> None:
    """So many attempts fail. A part is tried three times in one; what repeats the second leg is one stream."""
    left = [times if server.sends == "write" else times + 2]

    def fail(call: Call) -> None:
        if call.offset >= HALF and left[0] > 0:
            left[0] -= 1
            raise ServerFault("ordered by the test")

    server.hook("put_part", fail)
    server.hook("write", fail)


@pytest.mark.parametrize("times", [1, 2])
def test_a_second_leg_that_fails_leaves_the_first_one_alone(
    times: int, server: Server, staged: Settings, tmp_path: Path
) -> None:
    fail_at_half(server, times)
    done = run(server, staged, expected=sha256(DATA))
    assert done.exit == 0
    assert server.get("/out") == DATA
    opened = server.count("open_write", "/out") + server.count("open_parts", "/out")
    assert (server.count("open_read", "/a"), opened) == (1, 1 + times)
    first, *failed, last = done[0].attempts
    assert (first.error, first.destination, first.bytes) == (None, None, len(DATA))
    assert [attempt.error.end for attempt in failed] == [End.DESTINATION] * times
    assert [attempt.bytes for attempt in failed] == [HALF] * times
    assert (last.error, last.bytes) == (None, len(DATA))
    assert not leftovers(tmp_path)


def test_a_destination_that_never_works_is_given_up(server: Server, staged: Settings, tmp_path: Path) -> None:
    fail_at_half(server, FOREVER)
    done = run(server, staged)
    assert (done.exit, done[0].error.end, len(done[0].attempts)) == (75, End.DESTINATION, 4)
    assert server.count("open_read", "/a") == 1
    assert server.names() == ["/a"]
    assert not leftovers(tmp_path)


def test_the_second_leg_fails_over_without_fetching_again(server: Server, staged: Settings) -> None:
    server.fail("open_write", "/out", Denied("403"), host="shut", times=FOREVER)
    places = [server.location("/out", host) for host in ("shut", "open")]
    done = execute([transfer(0, server.location("/a", "src"), places)], server.takes(), settings=staged)
    assert done.exit == 0
    assert server.count("open_read", "/a") == 1
    assert server.get("/out") == DATA


def test_a_defect_of_a_protocol_is_its_requests_own(server: Server, staged: Settings, tmp_path: Path) -> None:
    server.fail(server.sends, "/out", ValueError("nobody expected this"), times=FOREVER)
    done = run(server, staged)
    assert done[0].error.code == "defect"
    assert server.names() == ["/a"]
    assert not leftovers(tmp_path)


def test_a_commit_whose_answer_is_lost_is_confirmed(sends: str, staged: Settings) -> None:
    server = Server(sends, Manners(echoes=("sha256",)))
    server.fail(server.commits, "/out", Broken("the answer was lost"), after=True)
    done = run(server, staged)
    assert (done.exit, done[0].note) == (0, "confirmed by the destination")


# --- the run


def test_a_stop_in_the_middle_leaves_nothing(server: Server, staged: Settings, tmp_path: Path) -> None:
    """The destination does not take another byte until it is over."""
    stop = threading.Event()

    def hang(call: Call) -> None:
        if call.offset == HALF:
            server.stall(server.sends, "/out")
            stop.set()

    server.hook(server.sends, hang)
    both_at_once(server)
    done = run(server, staged, stop=stop)
    assert (done.exit, done.statuses) == (75, ["stopped"])
    assert server.names() == ["/a"]
    assert not leftovers(tmp_path)


def test_a_stop_while_only_the_second_leg_runs_ends_it(
    server: Server, staged: Settings, tmp_path: Path
) -> None:
    stop = threading.Event()
    server.hook(server.commits, lambda call: stop.set())
    server.stall(server.commits)
    done = run(server, staged, stop=stop)
    assert (done.exit, done.statuses) == (75, ["stopped"])
    assert server.names() == ["/a"]
    assert not leftovers(tmp_path)


def test_a_source_that_pauses_is_no_stall_of_the_second_leg(server: Server, staged: Settings) -> None:
    """The second leg waits much longer than anything may stall; the store of the source keeps its own time."""
    pause = threading.Event()
    server.hook("read", lambda call: pause.wait(0.2) if call.offset == HALF else None)
    done = run(server, staged._replace(stall=0.02, slow_bytes=1))
    assert done.exit == 0
    assert len(done[0].attempts) == 2


def test_progress_counts_the_bytes_of_both_legs(server: Server, staged: Settings) -> None:
    """The destination does not answer before both have been shown."""
    shown = threading.Event()

    class Watching(NullSink):
        def tick(self, progress: Progress) -> None:
            if progress.bytes == 2 * len(DATA) and progress.active == 1:
                shown.set()

    waited: list[bool] = []
    server.hook(server.commits, lambda call: waited.append(shown.wait(GUARD_SECONDS / 2)))
    places = server.location("/a", "src"), server.location("/out", "dst")
    done = execute([transfer(0, *places)], server.takes(), settings=staged, sinks=[Watching()])
    assert (done.exit, waited) == (0, [True])
