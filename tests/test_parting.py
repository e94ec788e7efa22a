"""Large files in parts, by one worker or several: every byte once, the digest of the whole, and nothing left behind."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, digest, execute, leftovers, sha256, streaming, transfer
from wf.protocols.errors import Broken, Busy, Changed, Denied, NotFound
from wf.protocols.memory import FOREVER, Manners, MemoryServer
from wf.protocols.values import Token
from wf.transfer.pump import Hashing
from wf.transfer.segments import Pace, Segments, more_streams

if TYPE_CHECKING:
    from pathlib import Path

    from wf.protocols.memory import Call

MIB = 1 << 20
DATA = b"".join(bytes([number]) * 65_536 for number in range(7 * 16)) + b"the end"
"""Seven parts and a bit, no two alike."""
PARTS = QUICK._replace(part_bytes=MIB)
ALONE = PARTS._replace(streams=1)
TOGETHER = PARTS._replace(streams=4, workers=4)


@pytest.fixture
def server() -> MemoryServer:
    server = MemoryServer()
    server.put("/a", DATA)
    return server


@pytest.fixture(params=["ordered parts", "pieces at any offset", "a local file"])
def destination(request: pytest.FixtureRequest, server: MemoryServer, tmp_path: Path) -> Destination:
    return Destination(request.param, server, tmp_path)


class Destination:
    """Where the file goes, and what is there in the end."""

    def __init__(self, kind: str, server: MemoryServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.local = kind == "a local file"
        self.place = folder / "out" if self.local else server.location("/out")
        capability = streaming(server)
        self.capability = capability._replace(
            implementation=server.capability(
                shapes=capability.shapes, write_parts_any_offset=kind == "pieces at any offset"
            ).implementation,
            write_parts_any_offset=kind == "pieces at any offset",
        )

    @property
    def content(self) -> bytes | None:
        if not self.local:
            return self.server.get("/out")
        return self.place.read_bytes() if self.place.exists() else None

    def assert_clean(self) -> None:
        assert self.server.uploads == {}
        assert self.server.still_open() == 0
        assert not leftovers(self.folder)


@pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])
@pytest.mark.parametrize("size", [2 * MIB, 2 * MIB + 1, len(DATA)])
def test_every_byte_arrives_once_and_is_hashed(
    destination: Destination, server: MemoryServer, settings: object, size: int
) -> None:
    data = DATA[:size]
    server.put("/a", data)

    done = execute(
        [transfer(0, server.location("/a"), destination.place, expected=digest("md5", data))],
        destination.capability,
        settings=settings,
    )

    assert done.exit == 0, done[0].error
    assert destination.content == data
    assert (done[0].digest, done[0].digests) == (sha256(data), (digest("md5", data),))
    assert (done[0].bytes, done[0].checked) == (size, True)
    assert len(done[0].attempts) == 1
    destination.assert_clean()


def test_several_workers_move_one_file_at_once(server: MemoryServer) -> None:
    """Two streams have to be open at the same time, or the run would stall."""
    both = threading.Barrier(2, timeout=20)
    waited: set[str] = set()

    def meet(call: Call) -> None:
        if call.thread not in waited and len(waited) < 2:
            waited.add(call.thread)
            both.wait()

    server.hook("put_part", meet)
    capability = streaming(server)
    done = execute(
        [transfer(0, server.location("/a"), server.location("/out"))], capability, settings=TOGETHER
    )
    assert done.exit == 0
    assert server.get("/out") == DATA
    assert server.most_at_once("put_part") >= 2
    assert len(waited) == 2


def test_one_worker_reads_one_stream(destination: Destination, server: MemoryServer) -> None:
    settings = ALONE._replace(workers=1)
    execute(
        [transfer(0, server.location("/a"), destination.place)], destination.capability, settings=settings
    )
    assert server.count("open_read", "/a") == 1
    assert destination.content == DATA


def test_a_file_of_less_than_two_parts_goes_as_one(server: MemoryServer) -> None:
    server.put("/a", DATA[: 2 * MIB - 1])
    execute([transfer(0, server.location("/a"), server.location("/out"))], server, settings=TOGETHER)
    assert server.count("put_part") == 0
    assert server.get("/out") == DATA[: 2 * MIB - 1]


@pytest.mark.parametrize("missing", [{"read_range": False}, {"read_version": False}])
def test_a_source_that_cannot_be_read_from_its_middle_goes_as_one(
    server: MemoryServer, missing: dict[str, bool]
) -> None:
    capability = server.capability(shapes=streaming(server).shapes, **missing)
    execute([transfer(0, server.location("/a"), server.location("/out"))], capability, settings=TOGETHER)
    assert server.count("put_part") == 0
    assert server.get("/out") == DATA


@pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])
@pytest.mark.parametrize("operation", ["read", "put_part"])
def test_a_part_that_failed_is_taken_again(
    destination: Destination, server: MemoryServer, settings: object, operation: str
) -> None:
    server.fail(operation, error=lambda: Broken("cut"), times=2)
    done = execute(
        [transfer(0, server.location("/a"), destination.place, expected=sha256(DATA))],
        destination.capability,
        settings=settings,
    )
    assert done.exit == 0, done[0].error
    assert destination.content == DATA
    assert done[0].digest == sha256(DATA)
    destination.assert_clean()


@pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])
def test_what_arrived_in_one_attempt_serves_the_next(
    destination: Destination, server: MemoryServer, settings: object
) -> None:
    server.truncate("/a", 5 * MIB + 7, times=3)
    done = execute(
        [transfer(0, server.location("/a"), destination.place)], destination.capability, settings=settings
    )
    assert done.exit == 0, done[0].error
    assert destination.content == DATA
    if settings is ALONE:  # several readers use the three cuts up in another order
        assert [attempt.error is None for attempt in done[0].attempts] == [False, True]
    if not destination.local:
        sent = [call.offset for call in server.calls("put_part") if call.offset < 4 * MIB]
        assert len(sent) == len(set(sent)), "what was there was not sent again"
    destination.assert_clean()


@pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])
def test_a_source_that_breaks_for_good_leaves_nothing(
    destination: Destination, server: MemoryServer, settings: object
) -> None:
    server.truncate("/a", 5 * MIB, times=FOREVER)
    done = execute(
        [transfer(0, server.location("/a"), destination.place)], destination.capability, settings=settings
    )
    assert done.exit == 75
    assert done[0].error.code == "broken"
    assert destination.content is None
    destination.assert_clean()


@pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])
def test_a_wrong_digest_is_never_published(
    destination: Destination, server: MemoryServer, settings: object
) -> None:
    done = execute(
        [transfer(0, server.location("/a"), destination.place, expected=sha256(b"other"))],
        destination.capability,
        settings=settings,
    )
    assert done.exit == 3
    assert len(done[0].attempts) == 1
    assert destination.content is None
    destination.assert_clean()


@pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])
def test_another_replica_brings_the_rest(
    destination: Destination, server: MemoryServer, settings: object
) -> None:
    server.put("/b", DATA)
    server.truncate("/a", 3 * MIB + 5, times=FOREVER)
    done = execute(
        [
            transfer(
                0, [server.location("/a"), server.location("/b")], destination.place, expected=sha256(DATA)
            )
        ],
        destination.capability,
        settings=settings,
    )
    assert done.exit == 0, done[0].error
    assert destination.content == DATA
    assert len(done[0].attempts) == 1, "what was there was not moved twice"
    destination.assert_clean()


def test_without_a_digest_replicas_are_never_joined(destination: Destination, server: MemoryServer) -> None:
    server.put("/b", DATA[::-1])
    server.truncate("/a", 3 * MIB, times=FOREVER)
    done = execute(
        [transfer(0, [server.location("/a"), server.location("/b")], destination.place)],
        destination.capability,
        settings=TOGETHER,
    )
    assert done.exit == 0, done[0].error
    assert destination.content == DATA[::-1]
    destination.assert_clean()


@pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])
def test_a_source_that_changes_is_read_anew(
    destination: Destination, server: MemoryServer, settings: object
) -> None:
    other = DATA[::-1]
    server.fail("read", "/a", lambda: Broken("cut"), times=1)
    server.change_between("/a", other)
    done = execute(
        [transfer(0, server.location("/a"), destination.place)], destination.capability, settings=settings
    )
    assert done.exit == 0, done[0].error
    assert destination.content == other
    assert done[0].digest == sha256(other)
    destination.assert_clean()


@pytest.mark.parametrize("error", [NotFound, Denied, Busy], ids=lambda kind: kind.__name__)
def test_a_helper_that_is_refused_leaves_the_file_to_the_others(
    destination: Destination, server: MemoryServer, error: type
) -> None:
    """Only the first stream can be opened."""
    opened = []

    def refuse(call: Call) -> None:
        opened.append(call.thread)
        if call.thread != opened[0]:
            raise error("one stream is enough")

    server.hook("open_read", refuse)
    done = execute(
        [transfer(0, server.location("/a"), destination.place)], destination.capability, settings=TOGETHER
    )
    assert done.exit == 0, done[0].error
    assert destination.content == DATA
    destination.assert_clean()


@pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])
def test_a_defect_of_a_protocol_ends_the_file_and_not_the_run(
    destination: Destination, server: MemoryServer, settings: object
) -> None:
    server.put("/small", b"small")
    server.fail("read", "/a", lambda: KeyError("nobody expected this"), times=FOREVER)
    done = execute(
        [
            transfer(0, server.location("/a"), destination.place),
            transfer(1, server.location("/small"), server.location("/copy")),
        ],
        destination.capability,
        settings=settings,
    )
    assert done.statuses == ["failed", "done"]
    assert done[0].error.code == "defect"
    assert destination.content is None


def stop_at(server: MemoryServer, offset: int, stop: threading.Event) -> None:
    """The first read there stops the run, and hangs until the run has noticed."""

    def end(call: Call) -> None:
        if call.offset >= offset and not stop.is_set():
            server.stall("read", "/a", times=1)
            stop.set()

    server.hook("read", end)


@pytest.mark.parametrize("settings", [ALONE, TOGETHER], ids=["alone", "together"])
def test_a_stop_in_the_middle_leaves_what_the_next_run_goes_on_with(
    destination: Destination, server: MemoryServer, settings: object
) -> None:
    stop = threading.Event()

    stop_at(server, 4 * MIB, stop)
    request = transfer(0, server.location("/a"), destination.place, expected=sha256(DATA))
    first = execute([request], destination.capability, settings=settings, stop=stop)
    assert first.exit == 75
    assert first.statuses == ["stopped"]
    assert destination.content is None
    assert server.still_open() == 0
    already = len(server.calls("put_part"))

    second = execute([request], destination.capability, settings=settings)

    assert second.exit == 0, second[0].error
    assert destination.content == DATA
    assert second[0].digest == sha256(DATA)
    assert "earlier run" in second[0].note
    if not destination.local:
        pieces = [call.offset // MIB for call in server.calls("put_part")]
        again = set(pieces[:already]) & set(pieces[already:])
        assert len(again) <= 4, "each worker repeats the part that it had in hand, at most"
    destination.assert_clean()


def test_damage_in_what_was_left_is_found_and_begun_anew(server: MemoryServer, tmp_path: Path) -> None:
    stop = threading.Event()
    stop_at(server, 4 * MIB, stop)
    request = transfer(0, server.location("/a"), tmp_path / "out", expected=sha256(DATA))
    execute([request], server, settings=ALONE, stop=stop)
    (partial,) = tmp_path.iterdir()
    with partial.open("r+b") as file:
        file.seek(MIB)
        file.write(b"damage")

    done = execute([request], server, settings=ALONE)

    assert done.exit == 0, done[0].error
    assert (tmp_path / "out").read_bytes() == DATA
    assert [attempt.error.code for attempt in done[0].attempts if attempt.error] == ["broken"]
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("length", [len(DATA), len(DATA) - 1, 5 * MIB, len(DATA) + 3])
def test_a_partial_that_was_cut_off_is_not_published_with_its_holes(
    server: MemoryServer, tmp_path: Path, length: int
) -> None:
    """Nobody knows a digest that would tell."""
    stop = threading.Event()
    stop_at(server, 4 * MIB, stop)
    request = transfer(0, server.location("/a"), tmp_path / "out")
    execute([request], server, settings=ALONE, stop=stop)
    (partial,) = tmp_path.iterdir()
    os.truncate(partial, length)

    done = execute([request], server, settings=ALONE)

    assert done.exit == 0, done[0].error
    assert (tmp_path / "out").read_bytes() == DATA
    assert not leftovers(tmp_path)


def test_a_journal_that_tells_another_size_does_not_cut_the_file_short(
    server: MemoryServer, tmp_path: Path
) -> None:
    stop, journal = threading.Event(), tmp_path / "journal"
    stop_at(server, 4 * MIB, stop)
    request = transfer(0, server.location("/a"), server.location("/out"))
    settings = ALONE._replace(journal=str(journal))
    execute([request], streaming(server), settings=settings, stop=stop)
    told = journal.read_text()
    assert f'"size":{len(DATA)},' in told
    journal.write_text(told.replace(f'"size":{len(DATA)},', f'"size":{3 * MIB},'))

    done = execute([request], streaming(server), settings=settings)

    assert done.exit == 0, done[0].error
    assert server.get("/out") == DATA


def test_what_is_left_of_another_version_is_removed(server: MemoryServer, tmp_path: Path) -> None:
    stop = threading.Event()
    stop_at(server, 4 * MIB, stop)
    request = transfer(0, server.location("/a"), tmp_path / "out")
    execute([request], server, settings=ALONE, stop=stop)
    assert leftovers(tmp_path)
    server.put("/a", DATA[::-1])

    done = execute([request], server, settings=ALONE)

    assert done.exit == 0
    assert (tmp_path / "out").read_bytes() == DATA[::-1]
    assert not leftovers(tmp_path)


def test_partials_of_failed_requests_stay_when_people_want_them(server: MemoryServer, tmp_path: Path) -> None:
    server.truncate("/a", 5 * MIB, times=FOREVER)
    request = transfer(0, server.location("/a"), tmp_path / "out")
    done = execute([request], server, settings=ALONE._replace(keep_partials=True))
    assert done.exit == 75
    assert len(leftovers(tmp_path)) == 1


def test_a_receipt_that_contradicts_is_noticed(tmp_path: Path) -> None:
    server = MemoryServer(manners=Manners(receipt_extra=1))
    server.put("/a", DATA)
    done = execute([transfer(0, server.location("/a"), server.location("/out"))], server, settings=ALONE)
    assert done.exit == 3
    assert server.get("/out") is None


def test_a_file_that_everybody_leaves_to_the_others_fails_for_their_reason(server: MemoryServer) -> None:
    """Two find at the same moment that only the other could go on."""
    token = Token(server.location("/out"), "upload", len(DATA), MIB)
    segments = Segments(token, Hashing(()), ordered=False, found=(), tries=1)
    errors = [NotFound("the first"), Changed("the second")]
    numbers = [segments.take() for _ in errors if segments.enter()]
    for number, error in zip(numbers, errors, strict=True):
        assert not segments.failed(number, error)
    assert segments.error is None
    assert [segments.leave() for _ in errors] == [False, True]
    assert segments.error is errors[1]


# --- how many streams


def pace(at: float, *, cpu: float = 0.0, moved: int = 0, streams: int = 1, rate: float = 0.0) -> Pace:
    return Pace(at, cpu, moved, streams, rate)


def test_streams_double_while_the_processor_is_idle() -> None:
    grown = more_streams(pace(0), pace(1, moved=MIB), left=100 * MIB, part=MIB, most=16)
    assert grown == 1
    assert more_streams(pace(0), pace(1, moved=MIB, streams=4), left=100 * MIB, part=MIB, most=16) == 4


def test_a_busy_processor_needs_no_more_streams() -> None:
    assert more_streams(pace(0), pace(1, cpu=0.7, moved=MIB), left=100 * MIB, part=MIB, most=16) == 0


def test_a_machine_that_others_use_gets_no_more_streams() -> None:
    before, now = pace(0)._replace(idle=10.0), pace(1, moved=MIB)
    assert more_streams(before, now._replace(idle=10.4), left=100 * MIB, part=MIB, most=16) == 0
    assert more_streams(before, now._replace(idle=11.4), left=100 * MIB, part=MIB, most=16) == 1


def test_what_is_nearly_done_needs_no_more_streams() -> None:
    assert more_streams(pace(0), pace(1, moved=10 * MIB), left=9 * MIB, part=MIB, most=16) == 0


def test_streams_that_made_nothing_faster_are_the_last() -> None:
    before = pace(1, moved=MIB, streams=1, rate=MIB)
    assert more_streams(before, pace(2, moved=2 * MIB, streams=2), left=100 * MIB, part=MIB, most=16) == 0
    assert more_streams(before, pace(2, moved=3 * MIB, streams=2), left=100 * MIB, part=MIB, most=16) == 2


def test_there_are_never_more_streams_than_allowed_or_parts() -> None:
    now = pace(1, moved=100, streams=4)
    assert more_streams(pace(0), now, left=100 * MIB, part=MIB, most=5) == 1
    assert more_streams(pace(0), now, left=5 * MIB, part=MIB, most=16) == 1
    assert more_streams(pace(0), now, left=2 * MIB, part=MIB, most=16) == 0
