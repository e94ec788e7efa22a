"""Between two services: streamed, staged through a spool file, and copied by the service itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from runs import GUARD_SECONDS, QUICK, digest, execute, leftovers, sha256, streaming, transfer
from wf.protocols import errors
from wf.protocols.errors import End
from wf.protocols.memory import FOREVER, Manners, MemoryServer
from wf.protocols.memory_store import MemoryStore
from wf.transfer.settings import Evidence, Settings
from wf.transfer.sinks import NullSink

if TYPE_CHECKING:
    from pathlib import Path

    from wf.protocols.locations import Location
    from wf.protocols.memory import Call
    from wf.protocols.values import CopyStep
    from wf.transfer.sinks import Progress

SMALL = b"the bytes of a small file"
BIG = bytes(range(256)) * 4096 * 3 + b"and some more"


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def staged(tmp_path: Path) -> Settings:
    return QUICK._replace(stage_through_file=True, spool_directory=str(tmp_path))


# --- staged


@pytest.mark.parametrize("data", [b"", SMALL, BIG], ids=["empty", "small", "big"])
def test_a_staged_file_arrives_and_leaves_no_spool(
    server: MemoryServer, staged: Settings, tmp_path: Path, data: bytes
) -> None:
    server.put("/a", data)

    done = execute(
        [transfer(0, server.location("/a", "src"), server.location("/out", "dst"), expected=sha256(data))],
        server,
        settings=staged,
    )

    assert done.exit == 0
    assert (done[0].route, done[0].digest, done[0].checked) == ("staged", sha256(data), True)
    assert server.get("/out") == data
    assert done[0].source == server.location("/a", "src")
    first, second = done[0].attempts
    assert (first.source, first.destination) == (server.location("/a", "src"), None)
    assert second.destination == server.location("/out", "dst")
    assert not leftovers(tmp_path)


def test_a_failure_of_the_second_leg_never_fetches_again(
    server: MemoryServer, staged: Settings, tmp_path: Path
) -> None:
    server.put("/a", BIG)
    server.fail("open_write", "/out", errors.ServerFault("500"), times=2)

    done = execute(
        [transfer(0, server.location("/a", "src"), server.location("/out", "dst"))], server, settings=staged
    )

    assert done.exit == 0
    assert server.count("open_read", "/a") == 1
    assert server.count("open_write", "/out") == 3
    assert [attempt.route for attempt in done[0].attempts] == ["staged"] * 4
    assert not leftovers(tmp_path)


def test_the_second_leg_fails_over_without_fetching_again(server: MemoryServer, staged: Settings) -> None:
    server.put("/a", SMALL)
    server.fail("open_write", "*", errors.Denied("403"), host="shut", times=FOREVER)

    done = execute(
        [transfer(0, server.location("/a", "src"), [server.location("/out", h) for h in ("shut", "open")])],
        server,
        settings=staged,
    )

    assert done.exit == 0
    assert server.count("open_read", "/a") == 1


def test_the_report_names_the_source_that_was_fetched_from(server: MemoryServer, staged: Settings) -> None:
    server.put("/a", SMALL)
    server.fail("open_read", "/a", errors.ServerFault("500"), host="ill")
    server.fail("open_write", "/out", errors.ServerFault("500"), times=2)
    sources = [server.location("/a", "ill"), server.location("/a", "well")]

    done = execute([transfer(0, sources, server.location("/out", "dst"))], server, settings=staged)

    assert done.exit == 0
    assert done[0].source.host == "well"
    assert server.count("open_read", host="ill") == 1


def test_a_second_leg_that_never_works_gives_up_and_leaves_no_spool(
    server: MemoryServer, staged: Settings, tmp_path: Path
) -> None:
    server.put("/a", BIG)
    server.fail("open_write", "/out", errors.ServerFault("500"), times=FOREVER)

    done = execute(
        [transfer(0, server.location("/a", "src"), server.location("/out", "dst"))], server, settings=staged
    )

    assert (done.exit, done[0].error.end) == (75, End.DESTINATION)
    assert server.count("open_read", "/a") == 1
    assert not leftovers(tmp_path)


def test_a_damaged_source_is_found_in_the_first_leg(
    server: MemoryServer, staged: Settings, tmp_path: Path
) -> None:
    server.put("/a", SMALL)

    done = execute(
        [transfer(0, server.location("/a", "src"), server.location("/out"), expected=sha256(b"other"))],
        server,
        settings=staged,
    )

    assert done.exit == 3
    assert server.count("open_write") == 0
    assert not leftovers(tmp_path)


def test_a_spool_file_that_was_damaged_is_fetched_again(
    server: MemoryServer, staged: Settings, tmp_path: Path
) -> None:
    server.put("/a", SMALL)

    def damage(call: Call) -> None:
        for path in tmp_path.glob("wf-spool-*/*"):
            path.write_bytes(b"?" * len(SMALL))

    server.fail("open_write", "/out", errors.ServerFault("500"))
    server.hook("open_write", lambda call: damage(call) if server.count("open_write") == 1 else None)

    done = execute(
        [transfer(0, server.location("/a", "src"), server.location("/out", "dst"))], server, settings=staged
    )

    assert done.exit == 0
    assert server.get("/out") == SMALL
    assert server.count("open_read", "/a") == 2


def test_spool_files_take_no_more_room_than_they_may(
    server: MemoryServer, staged: Settings, tmp_path: Path
) -> None:
    """Room for two files; the third is fetched when a second leg has ended."""
    for number in range(8):
        server.put(f"/a/{number}", SMALL)
    most: list[int] = []
    server.hook(
        "open_write",
        lambda call: most.append(
            len([path for path in tmp_path.glob("wf-spool-*/*") if path.name[0] != "."])
        ),
    )

    done = execute(
        [
            transfer(
                n, server.location(f"/a/{n}", "src"), server.location(f"/out/{n}", "dst"), size=len(SMALL)
            )
            for n in range(8)
        ],
        server,
        settings=staged._replace(spool_bytes=2 * len(SMALL), workers=8),
    )

    assert done.exit == 0
    assert max(most) <= 2


def test_a_file_larger_than_all_the_room_is_let_in_alone(server: MemoryServer, staged: Settings) -> None:
    server.put("/a", BIG)

    done = execute(
        [transfer(0, server.location("/a", "src"), server.location("/out"), size=len(BIG))],
        server,
        settings=staged._replace(spool_bytes=10),
    )

    assert done.exit == 0


def test_a_file_that_the_spool_cannot_hold_fails_before_it_is_fetched(
    server: MemoryServer, staged: Settings
) -> None:
    server.put("/a", SMALL)

    done = execute(
        [transfer(0, server.location("/a", "src"), server.location("/out"), size=1 << 60)],
        server,
        settings=staged,
    )

    assert (done.exit, done[0].error.code, done[0].error.step) == (1, "no-space", "spool")
    assert "TMPDIR" in done[0].error.remedy
    assert server.count("open_read") == 0


def test_a_spool_folder_that_cannot_be_made_fails_the_request(server: MemoryServer, tmp_path: Path) -> None:
    server.put("/a", SMALL)

    done = execute(
        [transfer(0, server.location("/a", "src"), server.location("/out"))],
        server,
        settings=QUICK._replace(stage_through_file=True, spool_directory=str(tmp_path / "none")),
    )

    assert (done.exit, done[0].error.step, len(done[0].attempts)) == (1, "spool", 1)


def test_a_destination_that_must_know_the_size_gets_it_from_a_spool_file(tmp_path: Path) -> None:
    source, sink = MemoryServer("source", Manners(tells_size=False)), MemoryServer("sink")
    source.put("/a", BIG)

    done = execute(
        [transfer(0, source.location("/a"), sink.location("/out"))],
        streaming(source),
        streaming(sink, write_needs_size=True),
        settings=QUICK._replace(spool_directory=str(tmp_path)),
    )

    assert (done.exit, done[0].route) == (0, "staged")
    assert sink.incoming[0][1].size == len(BIG)
    assert sink.get("/out") == BIG
    assert not leftovers(tmp_path)


def test_a_destination_that_must_know_the_size_streams_where_the_source_tells_it(
    server: MemoryServer,
) -> None:
    server.put("/a", BIG)

    done = execute(
        [transfer(0, server.location("/a", "x"), server.location("/out", "y"))],
        streaming(server, write_needs_size=True),
    )

    assert (done.exit, done[0].route) == (0, "streamed")


def test_a_stop_between_the_legs_leaves_no_spool(
    server: MemoryServer, staged: Settings, tmp_path: Path
) -> None:
    import threading

    stop = threading.Event()
    server.put("/a", BIG)
    server.hook("open_write", lambda call: stop.set())
    server.stall("open_write")

    done = execute(
        [transfer(0, server.location("/a", "src"), server.location("/out", "dst"))],
        server,
        settings=staged,
        stop=stop,
    )

    assert (done.exit, done.statuses) == (75, ["stopped"])
    assert not leftovers(tmp_path)


# --- third-party copy


@pytest.mark.parametrize("steps", [1, 4])
def test_the_service_copies_by_itself(steps: int) -> None:
    server = MemoryServer(manners=Manners(copy_steps=steps, copy_pause=0.001))
    server.put("/a", SMALL)

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server.capability())

    assert (done.exit, done[0].route) == (0, "third-party-copy")
    assert server.get("/out") == SMALL
    assert server.count("open_read") == server.count("open_write") == 0
    assert server.count("copy") == steps
    assert server.count("stat", "/a") == 1
    assert len(server.copies) == 1, "one copy, asked about until it was done"


def test_bytes_that_a_service_copies_show_while_it_does(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    shown = threading.Event()

    class Telling(MemoryStore):
        def copy(self, source: Location, destination: Location, handle: str) -> CopyStep:
            self._context.moved(3)
            assert shown.wait(GUARD_SECONDS), "nobody was told"
            return super().copy(source, destination, handle)

    class Watching(NullSink):
        def tick(self, progress: Progress) -> None:
            if progress.bytes == 3:
                shown.set()

    declared = server.capability()
    telling = declared._replace(implementation=lambda context: Telling(server, declared, context))
    done = execute([transfer(0, server.location("/a"), server.location("/out"))], telling, sinks=[Watching()])

    assert (done.exit, done[0].bytes) == (0, len(SMALL))


def test_bytes_of_a_copy_in_steps_are_counted_once() -> None:
    server = MemoryServer(manners=Manners(copy_steps=4))
    server.put("/a", BIG)
    shown = threading.Event()

    class LastStepWaits(MemoryStore):
        def copy(self, source: Location, destination: Location, handle: str) -> CopyStep:
            if handle and server.copies[handle] == 1:
                shown.wait(GUARD_SECONDS)
            return super().copy(source, destination, handle)

    class Watching(NullSink):
        seen = 0

        def tick(self, progress: Progress) -> None:
            self.seen = progress.bytes
            if progress.bytes >= len(BIG) * 3 // 4:
                shown.set()

    declared, watching = server.capability(), Watching()
    waiting = declared._replace(implementation=lambda context: LastStepWaits(server, declared, context))
    execute([transfer(0, server.location("/a"), server.location("/out"))], waiting, sinks=[watching])

    assert watching.seen in (len(BIG) * 3 // 4, len(BIG))


def test_the_digest_that_the_service_reports_satisfies_the_expectation(server: MemoryServer) -> None:
    server.put("/a", SMALL)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"), expected=sha256(SMALL))],
        server.capability(),
    )

    assert (done.exit, done[0].route, done[0].checked) == (0, "third-party-copy", True)
    assert done[0].evidence is Evidence.DIGEST


def test_an_expectation_that_the_service_cannot_meet_is_streamed(server: MemoryServer) -> None:
    server.put("/a", SMALL)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"), expected=digest("md5", SMALL))],
        server.capability(),
    )

    assert (done.exit, done[0].route, done[0].checked) == (0, "streamed", True)
    assert server.count("copy") == 0


def test_who_trusts_the_service_gets_its_copy(server: MemoryServer) -> None:
    server.put("/a", SMALL)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"), expected=digest("md5", SMALL))],
        server.capability(),
        settings=QUICK._replace(trust_server_copy=True),
    )

    assert (done.exit, done[0].route, done[0].checked) == (0, "third-party-copy", False)


def test_a_service_that_refuses_is_streamed_through_and_not_asked_again(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.fail("copy", "*", errors.Unsupported("too large to copy"), times=FOREVER)

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server.capability())

    assert (done.exit, done[0].route) == (0, "streamed")
    assert server.count("copy") == 1
    assert server.get("/out") == SMALL


def test_a_copy_that_breaks_in_the_middle_begins_anew() -> None:
    server = MemoryServer(manners=Manners(copy_steps=3))
    server.put("/a", SMALL)
    broken: list[Call] = []

    def second(call: Call) -> None:
        if server.count("copy") == 2 and not broken:
            broken.append(call)
            server.fail("copy", "*", errors.ServerFault("500"))

    server.hook("copy", second)

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server.capability())

    assert done.exit == 0
    assert len(server.copies) == 2
    assert (done[0].attempts[0].error.step, done[0].attempts[0].error.end) == ("copy", End.SOURCE)


def test_a_copy_with_another_digest_is_removed(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.flip("/out", 0, written=True)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"), expected=sha256(SMALL))],
        server.capability(),
    )

    assert done.exit == 3
    assert "/out" not in server.names()


def test_a_copy_that_damages_is_noticed_by_what_the_source_says() -> None:
    server = MemoryServer(manners=Manners(gives=("sha256",)))
    server.put("/a", SMALL)
    server.flip("/out", 0, written=True)

    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server.capability())

    assert done.exit == 3
    assert "/out" not in server.names()


def test_evidence_of_a_copy_is_never_what_the_copy_says_of_itself(server: MemoryServer) -> None:
    """The service damages what it copies, and reports the digest of what it made."""
    server.put("/a", SMALL)
    server.flip("/out", 0, written=True)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        server.capability(),
        settings=QUICK._replace(require_evidence=Evidence.DIGEST),
    )

    assert done.exit == 3
    assert "/out" not in server.names()


@pytest.mark.parametrize("required", [Evidence.DIGEST, Evidence.READ_BACK])
def test_evidence_of_a_good_copy_comes_from_both_ends(server: MemoryServer, required: Evidence) -> None:
    server.put("/a", SMALL)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        server.capability(copy_digest=()),
        settings=QUICK._replace(require_evidence=required),
    )

    assert (done.exit, done[0].route, done[0].evidence) == (0, "third-party-copy", required)


def test_a_copy_to_be_verified_is_compared_with_the_expectation(server: MemoryServer) -> None:
    server.put("/a", SMALL)

    done = execute(
        [
            transfer(
                0, server.location("/a"), server.location("/out"), expected=sha256(SMALL), verify_remote=True
            )
        ],
        server.capability(),
    )

    assert (done.exit, done[0].evidence, done[0].checked) == (0, Evidence.DIGEST, True)
    assert server.count("digest", "/out") == 1


def test_a_missing_source_of_a_copy_is_a_missing_source(server: MemoryServer) -> None:
    done = execute([transfer(0, server.location("/none"), server.location("/out"))], server.capability())

    assert (done.exit, done[0].error.code, done[0].error.end) == (1, "not-found", End.SOURCE)


def test_between_two_endpoints_the_bytes_stream(server: MemoryServer) -> None:
    server.put("/a", SMALL)

    done = execute(
        [transfer(0, server.location("/a", "x"), server.location("/out", "y"))], server.capability()
    )

    assert (done.exit, done[0].route) == (0, "streamed")
