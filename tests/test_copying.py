"""What arrives is what was meant: mismatches, cuts, resumption, damage on the way, over the memory protocol."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, digest, execute, leftovers, sha256, streaming, transfer
from wf.protocols import errors
from wf.protocols.errors import End, Reach
from wf.protocols.memory import FOREVER, Manners, MemoryServer
from wf.transfer.settings import Evidence

if TYPE_CHECKING:
    from pathlib import Path

    from wf.protocols.memory import Call

SMALL = b"the bytes of a small file"
MIB = 1 << 20
BIG = bytes(range(256)) * 4096 * 3 + b"and some more"
"""Three buffers and a bit."""


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.mark.parametrize("data", [b"", b"x", SMALL, BIG, BIG[:MIB], BIG[: MIB + 1]], ids=len)
@pytest.mark.parametrize("tells_size", [True, False], ids=["size told", "size untold"])
def test_every_byte_arrives_and_is_hashed_on_the_way(data: bytes, tells_size: bool, tmp_path: Path) -> None:
    server = MemoryServer(manners=Manners(tells_size=tells_size))
    server.put("/a", data)

    done = execute(
        [
            transfer(0, server.location("/a"), server.location("/out"), expected=sha256(data)),
            transfer(1, server.location("/a"), tmp_path / "x/y/out", expected=digest("md5", data)),
        ],
        server,
    )

    assert done.exit == 0
    assert server.get("/out") == data
    assert (tmp_path / "x/y/out").read_bytes() == data
    assert done[0].digest == done[1].digest == sha256(data)
    assert (done[0].bytes, done[0].checked, done[1].checked) == (len(data), True, True)
    assert done[1].digests == (digest("md5", data),)
    assert (done[0].route, done[1].route) == ("streamed", "direct")
    assert not leftovers(tmp_path)


def test_the_destination_is_told_size_and_digest_of_a_small_file(server: MemoryServer) -> None:
    server.put("/a", SMALL)

    execute([transfer(0, server.location("/a"), server.location("/out"))], server)

    (_, incoming), *more = server.incoming
    assert not more
    assert (incoming.size, incoming.sha256) == (len(SMALL), hashlib.sha256(SMALL).digest())


# --- mismatch


@pytest.mark.parametrize("data", [SMALL, BIG], ids=["small", "big"])
def test_after_a_damaged_replica_a_good_one_is_taken(server: MemoryServer, data: bytes) -> None:
    server.put("/bad", data[:-1] + b"?")
    server.put("/good", data)

    done = execute(
        [
            transfer(
                0,
                [server.location("/bad"), server.location("/good")],
                server.location("/out"),
                expected=sha256(data),
            )
        ],
        server,
    )

    assert done.exit == 0
    assert server.get("/out") == data
    assert done[0].attempts[0].error.code == "mismatch"
    assert done[0].attempts[0].error.end is End.SOURCE


@pytest.mark.parametrize("data", [SMALL, BIG], ids=["small", "big"])
def test_damaged_everywhere_leaves_nothing_and_is_told(
    server: MemoryServer, tmp_path: Path, data: bytes
) -> None:
    server.put("/a", data)

    done = execute(
        [
            transfer(
                number,
                [server.location("/a", "one"), server.location("/a", "two")],
                destination,
                expected=sha256(b"other"),
            )
            for number, destination in enumerate([server.location("/out"), tmp_path / "out"])
        ],
        server,
    )

    assert done.exit == 3
    assert server.names() == ["/a"]
    assert not list(tmp_path.iterdir())
    assert len(done[0].attempts) == 2, "what cannot change is not tried again"
    assert hashlib.sha256(b"other").hexdigest() in done[0].error.what
    assert hashlib.sha256(data).hexdigest() in done[0].error.what
    assert done[0].checked
    assert done.report.ending.integrity[0].failed == 2


def test_a_wrong_size_is_a_mismatch_before_a_byte_is_read(server: MemoryServer) -> None:
    server.put("/a", BIG)

    done = execute([transfer(0, server.location("/a"), server.location("/out"), size=len(BIG) + 1)], server)

    assert (done.exit, done[0].error.code) == (3, "mismatch")
    assert server.count("read") == 0
    assert "/out" not in server.names()


def test_a_wrong_size_is_found_where_the_source_does_not_tell_it(tmp_path: Path) -> None:
    server = MemoryServer(manners=Manners(tells_size=False))
    server.put("/a", BIG)

    done = execute([transfer(0, server.location("/a"), tmp_path / "out", size=len(BIG) + 1)], server)

    assert done.exit == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", [SMALL, BIG], ids=["small", "big"])
def test_a_flipped_byte_is_caught_where_a_digest_is_expected(
    server: MemoryServer, tmp_path: Path, data: bytes
) -> None:
    server.put("/a", data)
    server.flip("/a", len(data) // 2, times=1)

    done = execute(
        [
            transfer(
                0,
                [server.location("/a", "one"), server.location("/a", "two")],
                tmp_path / "out",
                expected=sha256(data),
            )
        ],
        server,
    )

    assert done.exit == 0
    assert (tmp_path / "out").read_bytes() == data
    assert len(done[0].attempts) == 2


def test_a_flipped_byte_is_caught_by_what_the_source_itself_says(tmp_path: Path) -> None:
    server = MemoryServer(manners=Manners(gives=("md5",)))
    server.put("/a", BIG)
    server.flip("/a", 5, times=FOREVER)

    done = execute([transfer(0, server.location("/a"), tmp_path / "out")], server)

    assert (done.exit, done[0].error.code) == (3, "mismatch")
    assert not list(tmp_path.iterdir())


def test_without_any_expectation_the_report_shows_what_arrived(server: MemoryServer, tmp_path: Path) -> None:
    server.put("/a", SMALL)
    server.flip("/a", 0, times=FOREVER)

    done = execute([transfer(0, server.location("/a"), tmp_path / "out")], server)

    assert done.exit == 0
    assert not done[0].checked
    assert done[0].digest == sha256((tmp_path / "out").read_bytes()) != sha256(SMALL)


def test_a_source_that_lies_about_its_digest_is_not_believed(tmp_path: Path) -> None:
    liar, honest = MemoryServer("liar", Manners(gives=("sha256",), lies=True)), MemoryServer("honest")
    for server in (liar, honest):
        server.put("/a", SMALL)

    done = execute(
        [transfer(0, [liar.location("/a"), honest.location("/a")], tmp_path / "out")], liar, honest
    )

    assert done.exit == 0
    assert done[0].attempts[0].error.code == "mismatch"


def test_the_batchs_word_outweighs_what_the_source_says(tmp_path: Path) -> None:
    server = MemoryServer(manners=Manners(gives=("sha256",), lies=True))
    server.put("/a", SMALL)

    done = execute([transfer(0, server.location("/a"), tmp_path / "out", expected=sha256(SMALL))], server)

    assert done.exit == 0


# --- cuts


def test_a_source_that_breaks_in_the_middle_is_gone_on_with(server: MemoryServer, tmp_path: Path) -> None:
    server.put("/a", BIG)
    server.break_after("/a", 2 * MIB)

    done = execute([transfer(0, server.location("/a"), tmp_path / "out", expected=sha256(BIG))], server)

    assert done.exit == 0
    assert (tmp_path / "out").read_bytes() == BIG
    assert len(done[0].attempts) == 1, "the same attempt went on"
    assert server.count("open_read") == 2
    assert len([call for call in server.calls("read") if call.offset == 0]) == 1, "nothing was fetched twice"


def test_a_resumed_read_that_breaks_at_once_goes_on_with_the_next_source(
    server: MemoryServer, tmp_path: Path
) -> None:
    server.put("/a", BIG)
    server.truncate("/a", MIB, times=2)

    done = execute(
        [
            transfer(
                0,
                [server.location("/a", "one"), server.location("/a", "two")],
                tmp_path / "out",
                expected=sha256(BIG),
            )
        ],
        server,
    )

    assert done.exit == 0
    assert len(done[0].attempts) == 1
    assert [call.host for call in server.calls("open_read")] == ["one", "one", "two"]
    assert (tmp_path / "out").read_bytes() == BIG


def test_two_different_sources_are_joined_only_where_a_digest_is_expected(
    server: MemoryServer, tmp_path: Path
) -> None:
    server.put("/a", BIG)
    server.truncate("/a", MIB, times=2)
    sources = [server.location("/a", "one"), server.location("/a", "two")]

    done = execute([transfer(0, sources, tmp_path / "out")], server)

    assert done.exit == 0
    assert len(done[0].attempts) == 2, "the second source began at its beginning"
    assert (tmp_path / "out").read_bytes() == BIG
    assert next(call.offset for call in server.calls("read", host="two")) == 0


def test_joined_sources_that_do_not_fit_are_not_blamed_and_a_whole_one_is_taken(
    server: MemoryServer, tmp_path: Path
) -> None:
    server.put("/a", BIG)
    server.put("/b", BIG[:-1] + b"?")
    server.truncate("/a", MIB, times=2)

    done = execute(
        [
            transfer(
                0,
                [server.location("/a"), server.location("/b")],
                tmp_path / "out",
                expected=sha256(BIG),
            )
        ],
        server,
    )

    assert done.exit == 0
    assert (tmp_path / "out").read_bytes() == BIG
    first = done[0].attempts[0].error
    assert (first.code, first.reach) == ("broken", Reach.ATTEMPT)


def test_a_replica_known_to_be_damaged_is_not_joined(server: MemoryServer, tmp_path: Path) -> None:
    """The first source breaks at once; the second is damaged; then the first breaks in its middle."""
    server.put("/a", BIG)
    server.put("/b", BIG[:-1] + b"?")
    server.fail("open_read", "/a", errors.ServerFault("500"))
    server.truncate("/a", MIB, times=2)

    done = execute(
        [transfer(0, [server.location("/a"), server.location("/b")], tmp_path / "out", expected=sha256(BIG))],
        server,
    )

    assert done.exit == 0
    assert server.count("open_read", "/b") == 1
    assert (tmp_path / "out").read_bytes() == BIG


def test_a_source_that_changed_before_it_was_gone_on_with_is_fetched_anew(
    server: MemoryServer, tmp_path: Path
) -> None:
    other = bytes(reversed(BIG))
    server.put("/a", BIG)
    server.change_between("/a", other)
    server.break_after("/a", MIB)

    done = execute([transfer(0, server.location("/a"), tmp_path / "out")], server)

    assert done.exit == 0
    assert (tmp_path / "out").read_bytes() == other
    assert done[0].digest == sha256(other)
    assert len(done[0].attempts) == 2


def test_a_source_that_always_ends_early_is_never_published(server: MemoryServer, tmp_path: Path) -> None:
    server.put("/a", BIG)
    server.truncate("/a", MIB)

    done = execute([transfer(0, server.location("/a"), tmp_path / "out")], server)

    assert (done.exit, done[0].error.code, done[0].error.end) == (75, "broken", End.SOURCE)
    assert not list(tmp_path.iterdir())


def test_a_body_that_ends_quietly_too_soon_is_not_published(tmp_path: Path) -> None:
    """A reader that breaks its word: it promised more bytes than it brought, and says nothing."""
    server = MemoryServer()
    server.put("/a", BIG)
    from wf.protocols.memory_store import MemoryStore

    class Quiet(MemoryStore):
        def open_read(self, *arguments: object, **options: object):  # type: ignore[no-untyped-def]
            reader = super().open_read(*arguments, **options)  # type: ignore[arg-type]
            reader._data = reader._data[:MIB]
            return reader

    declared = streaming(server)
    quiet = declared._replace(implementation=lambda context: Quiet(server, declared, context))

    done = execute([transfer(0, server.location("/a"), tmp_path / "out")], quiet)

    assert done.exit != 0
    assert not list(tmp_path.iterdir())


def test_a_quiet_end_of_a_source_without_a_size_is_caught_by_the_digest(tmp_path: Path) -> None:
    server = MemoryServer(manners=Manners(tells_size=False))
    server.put("/a", BIG)
    server.truncate("/a", MIB)

    done = execute([transfer(0, server.location("/a"), tmp_path / "out", expected=sha256(BIG))], server)

    assert done.exit == 3
    assert not list(tmp_path.iterdir())


def test_a_destination_that_breaks_in_the_middle_gets_the_whole_file_again(server: MemoryServer) -> None:
    server.put("/a", BIG)
    failed = []

    def second_write(call: Call) -> None:
        if call.offset == 2 * MIB and not failed:
            failed.append(call)
            server.fail("write", "/out")

    server.hook("write", second_write)

    done = execute([transfer(0, server.location("/a", "src"), server.location("/out", "dst"))], server)

    assert done.exit == 0
    assert server.get("/out") == BIG
    assert (done[0].attempts[0].error.end, done[0].attempts[0].error.step) == (End.DESTINATION, "write")
    assert done[0].digest == sha256(BIG)


# --- limits of a stream


def test_a_stream_that_is_too_slow_for_too_long_is_a_failed_attempt(
    server: MemoryServer, tmp_path: Path
) -> None:
    """A limit that nothing can meet stands for a slow source."""
    server.put("/a", BIG)

    done = execute(
        [transfer(0, server.location("/a"), tmp_path / "out")],
        server,
        settings=QUICK._replace(stall=0.0, slow_bytes=1 << 60, rounds=1),
    )

    assert (done.exit, done[0].error.code) == (75, "broken")
    assert "bytes per second" in done[0].error.what
    assert not list(tmp_path.iterdir())


def test_a_source_that_stalls_is_gone_on_with(server: MemoryServer, tmp_path: Path) -> None:
    server.put("/a", BIG)
    stalled: list[Call] = []

    def once(call: Call) -> None:
        if call.offset == MIB and not stalled:
            stalled.append(call)
            server.stall("read", "/a")

    server.hook("read", once)

    done = execute(
        [transfer(0, server.location("/a"), tmp_path / "out")], server, settings=QUICK._replace(stall=0.1)
    )

    assert done.exit == 0
    assert (tmp_path / "out").read_bytes() == BIG
    assert stalled


def test_the_bandwidth_limit_is_asked_for_every_byte(
    server: MemoryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wf.transfer.throttle import Throttle

    taken: list[int] = []
    monkeypatch.setattr(Throttle, "take", lambda self, count: taken.append(count))
    server.put("/a", BIG)
    server.put("/b", SMALL)
    (tmp_path / "c").write_bytes(BIG)

    done = execute(
        [
            transfer(0, server.location("/a"), tmp_path / "a"),
            transfer(1, server.location("/b"), tmp_path / "b"),
            transfer(2, tmp_path / "c", tmp_path / "d"),
        ],
        server,
        settings=QUICK._replace(bandwidth=1000),
    )

    assert done.exit == 0
    assert sum(taken) == 2 * len(BIG) + len(SMALL)


def test_the_throttle_spaces_the_bytes_by_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock of ours: 100 bytes per second, in views of 50."""
    from wf.transfer import throttle

    now, waited = [1000.0], []
    monkeypatch.setattr(throttle.time, "monotonic", lambda: now[0])

    class Clocked(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(round(timeout or 0, 6))
            now[0] += timeout or 0
            return False

    limit = throttle.Throttle(100, Clocked())
    for _ in range(4):
        limit.take(50)

    assert waited == [0.5, 0.5, 0.5]
    now[0] += 100
    limit.take(50)
    assert waited == [0.5, 0.5, 0.5], "what was not used is not saved up, and nothing is waited for"


# --- verification that the batch asks for


def test_verify_remote_without_an_expectation_fails_and_moves_nothing(server: MemoryServer) -> None:
    server.put("/a", SMALL)

    done = execute(
        [
            transfer(
                0,
                [server.location("/a", "x"), server.location("/a", "y")],
                server.location("/out"),
                verify_remote=True,
            )
        ],
        server,
    )

    assert (done.exit, done[0].error.code) == (1, "unverified")
    assert len(done[0].attempts) == 1, "another replica would not help"
    assert server.count("open_read") == 0


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_verify_remote_compares_what_is_stored(server: MemoryServer, algorithm: str) -> None:
    """By the server's digest where it computes that algorithm, else by reading back."""
    server.put("/a", BIG)

    done = execute(
        [
            transfer(
                0,
                server.location("/a", "src"),
                server.location("/out", "dst"),
                expected=digest(algorithm, BIG),
                verify_remote=True,
            )
        ],
        server,
    )

    assert done.exit == 0
    by_server = algorithm == "sha256"
    assert server.count("digest", "/out") == by_server
    assert server.count("open_read", "/out") == (not by_server)
    assert done[0].evidence is (Evidence.DIGEST if by_server else Evidence.READ_BACK)
    assert done[0].checked


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_what_the_destination_damaged_is_found_removed_and_written_again(
    server: MemoryServer, algorithm: str
) -> None:
    server.put("/a", SMALL)
    server.flip("/out", 3, times=1, written=True)

    done = execute(
        [
            transfer(
                0,
                server.location("/a"),
                server.location("/out"),
                expected=digest(algorithm, SMALL),
                verify_remote=True,
            )
        ],
        server,
    )

    assert done.exit == 0
    assert server.get("/out") == SMALL
    error = done[0].attempts[0].error
    assert (error.code, error.end, error.step) == ("mismatch", End.DESTINATION, "verify")
    assert server.count("remove", "/out") == 1


def test_a_destination_that_always_damages_ends_with_nothing_there(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.flip("/out", 3, written=True)

    done = execute(
        [
            transfer(
                0, server.location("/a"), server.location("/out"), expected=sha256(SMALL), verify_remote=True
            )
        ],
        server,
    )

    assert done.exit == 3
    assert "/out" not in server.names()
    assert not done[0].left_behind


def test_what_can_be_neither_removed_nor_verified_is_named(server: MemoryServer) -> None:
    server.put("/a", SMALL)
    server.flip("/out", 3, written=True)
    capability = streaming(server, remove=False)

    done = execute(
        [
            transfer(
                0, server.location("/a"), server.location("/out"), expected=sha256(SMALL), verify_remote=True
            )
        ],
        capability,
    )

    assert done.exit == 3
    assert done[0].left_behind == server.location("/out").url


def test_verify_remote_where_nothing_can_be_read_back_fails(tmp_path: Path) -> None:
    server = MemoryServer()
    (tmp_path / "a").write_bytes(SMALL)
    capability = streaming(server, read=False, read_range=False, digest=())

    done = execute(
        [transfer(0, tmp_path / "a", server.location("/out"), expected=sha256(SMALL), verify_remote=True)],
        capability,
    )

    assert (done.exit, done[0].error.code) == (1, "unverified")
    assert "/out" not in server.names()


@pytest.mark.parametrize(
    ("required", "manners", "found"),
    [
        (Evidence.NONE, Manners(receipt_size=False), Evidence.NONE),
        (Evidence.NONE, Manners(), Evidence.SIZE),
        (Evidence.SIZE, Manners(), Evidence.SIZE),
        (Evidence.NONE, Manners(echoes=("md5",), speaks=("md5",)), Evidence.CHECKSUM),
        (Evidence.NONE, Manners(echoes=("md5",)), Evidence.SIZE),
        (Evidence.NONE, Manners(echoes=("sha256",)), Evidence.DIGEST),
        (Evidence.CHECKSUM, Manners(), Evidence.DIGEST),
        (Evidence.DIGEST, Manners(), Evidence.DIGEST),
        (Evidence.DIGEST, Manners(echoes=("md5",), speaks=("md5",)), Evidence.DIGEST),
        (Evidence.READ_BACK, Manners(echoes=("sha256",)), Evidence.READ_BACK),
    ],
    ids=str,
)
@pytest.mark.parametrize("data", [SMALL, BIG], ids=["small", "big"])
def test_evidence_is_what_was_insisted_on_and_never_more_than_was_found(
    required: Evidence, manners: Manners, found: Evidence, data: bytes
) -> None:
    server = MemoryServer(manners=manners)
    server.put("/a", data)

    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))],
        server,
        settings=QUICK._replace(require_evidence=required),
    )

    assert done.exit == 0
    assert done[0].evidence is found
    assert (server.count("open_read", "/out") > 0) == (found is Evidence.READ_BACK)


def test_evidence_that_cannot_be_had_fails_the_request_and_leaves_nothing(tmp_path: Path) -> None:
    server = MemoryServer()
    (tmp_path / "a").write_bytes(SMALL)
    capability = streaming(server, read=False, read_range=False, digest=())

    done = execute(
        [transfer(0, tmp_path / "a", server.location("/out"))],
        capability,
        settings=QUICK._replace(require_evidence=Evidence.DIGEST),
    )

    assert (done.exit, done[0].error.code) == (1, "unverified")
    assert not server.names()


def test_a_checksum_to_be_recorded_is_in_the_outcome(server: MemoryServer, tmp_path: Path) -> None:
    server.put("/a", SMALL)

    done = execute([transfer(0, server.location("/a"), tmp_path / "a", generate_checksum=True)], server)

    assert done.exit == 0
    assert done[0].digest == sha256(SMALL)
