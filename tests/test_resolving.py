"""Logical names: resolved before the first attempt, then places like all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from runs import QUICK, digest, execute, mkdir, remove, sha256, transfer
from wf.protocols import errors
from wf.protocols.memory import FOREVER, MemoryServer
from wf.protocols.memory_catalogue import MemoryCatalogue
from wf.transfer.retries import Replicas
from wf.transfer.settings import Existing

if TYPE_CHECKING:
    from pathlib import Path

    from runs import Run

DATA = b"the bytes of a small file"
BIG = bytes(range(256)) * 4096 * 3


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def catalogue(server: MemoryServer) -> MemoryCatalogue:
    catalogue = MemoryCatalogue(server)
    catalogue.add("/lfn", ("first", "/in/a"), ("second", "/in/a"))
    return catalogue


def fetch(catalogue: MemoryCatalogue, to: Path, **details: object) -> Run:
    request = transfer(0, catalogue.location("/lfn"), to, **details)
    return execute([request], catalogue.server.capability(), catalogue.capability())


def test_the_best_place_is_read(catalogue: MemoryCatalogue, tmp_path: Path) -> None:
    catalogue.server.put("/in/a", DATA)

    done = fetch(catalogue, tmp_path / "a")

    assert done.exit == 0
    assert (tmp_path / "a").read_bytes() == DATA
    assert catalogue.server.count("open_read", host="first") == 1
    assert catalogue.server.count("open_read", host="second") == 0


def test_the_outcome_names_the_logical_file_and_the_attempts_the_places(
    catalogue: MemoryCatalogue, tmp_path: Path
) -> None:
    catalogue.server.put("/in/a", DATA)
    catalogue.server.fail("open_read", "*", errors.NotFound("gone"), host="first")

    done = fetch(catalogue, tmp_path / "a")

    assert done[0].source == catalogue.location("/lfn")
    assert [attempt.source.url for attempt in done[0].attempts if attempt.source] == [
        "memory://first/in/a",
        "memory://second/in/a",
    ]


def test_a_dead_place_leads_to_the_next_one_in_the_middle_of_the_file(
    catalogue: MemoryCatalogue, tmp_path: Path
) -> None:
    catalogue.server.put("/in/a", BIG)
    catalogue.server.break_after("/in/a", 2 << 20)
    catalogue.server.hook(
        "read",
        lambda call: (
            catalogue.server.fail(
                "open_read", "*", errors.Unreachable("dead", retry_after=0.001), host="first", times=FOREVER
            )
            if call.offset >= 1 << 20
            else None
        ),
    )

    done = fetch(catalogue, tmp_path / "a")

    assert done.exit == 0
    assert (tmp_path / "a").read_bytes() == BIG
    assert len(done[0].attempts) == 1, "the same attempt went on at the other place"
    assert catalogue.server.count("open_read", host="second") == 1


def test_a_name_that_nobody_knows_fails_at_the_source(catalogue: MemoryCatalogue, tmp_path: Path) -> None:
    request = transfer(0, catalogue.location("/unknown"), tmp_path / "a")

    done = execute([request], catalogue.server.capability(), catalogue.capability())

    error = done[0].error
    assert error is not None
    assert (error.code, error.end, error.step) == ("not-found", "source", "resolve")


def test_a_director_that_is_busy_is_asked_again(catalogue: MemoryCatalogue, tmp_path: Path) -> None:
    catalogue.server.put("/in/a", DATA)
    catalogue.server.fail("resolve", "*", errors.Busy("rebooting", retry_after=0.001))

    done = fetch(catalogue, tmp_path / "a")

    assert done.exit == 0
    assert catalogue.server.count("resolve") == 2


def test_what_the_catalogue_says_is_expected(catalogue: MemoryCatalogue, tmp_path: Path) -> None:
    catalogue.server.put("/in/a", DATA)
    catalogue.digests["/lfn"] = (digest("md5", b"other bytes"),)

    done = fetch(catalogue, tmp_path / "a")

    assert done.exit == 3
    assert not (tmp_path / "a").exists()


def test_a_size_other_than_the_catalogues_is_a_mismatch(catalogue: MemoryCatalogue, tmp_path: Path) -> None:
    catalogue.server.put("/in/a", DATA)
    catalogue.sizes["/lfn"] = 5

    assert fetch(catalogue, tmp_path / "a").exit == 3


def test_the_batchs_word_outweighs_the_catalogues(catalogue: MemoryCatalogue, tmp_path: Path) -> None:
    catalogue.server.put("/in/a", DATA)
    catalogue.digests["/lfn"] = (digest("md5", b"other bytes"),)

    assert fetch(catalogue, tmp_path / "a", expected=sha256(DATA)).exit == 0


def test_a_logical_destination_is_written_where_it_belongs(
    catalogue: MemoryCatalogue, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(DATA)
    catalogue.add("/new", ("origin", "/out/a"))

    done = execute(
        [transfer(0, tmp_path / "a", catalogue.location("/new"))],
        catalogue.server.capability(),
        catalogue.capability(),
    )

    assert done.exit == 0
    assert catalogue.server.get("/out/a") == DATA
    assert done[0].destination == catalogue.location("/new")


def test_an_existing_copy_is_recognised_behind_its_logical_name(
    catalogue: MemoryCatalogue, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(DATA)
    catalogue.server.put("/out/a", DATA)
    catalogue.add("/new", ("origin", "/out/a"))

    done = execute(
        [transfer(0, tmp_path / "a", catalogue.location("/new"))],
        catalogue.server.capability(),
        catalogue.capability(),
        settings=QUICK._replace(existing=Existing.VERIFY),
    )

    assert (done.exit, done[0].route) == (0, "present")


def test_folders_and_removals_go_to_the_place_too(catalogue: MemoryCatalogue) -> None:
    catalogue.server.put("/out/a", DATA)
    catalogue.add("/old", ("origin", "/out/a"))
    catalogue.add("/folder", ("origin", "/out/folder"))

    done = execute(
        [mkdir(0, catalogue.location("/folder")), remove(1, catalogue.location("/old"))],
        catalogue.server.capability(),
        catalogue.capability(),
    )

    assert done.exit == 0
    assert "/out/folder" in catalogue.server.folders
    assert catalogue.server.names() == []


def test_a_logical_name_among_replicas_keeps_its_rank(catalogue: MemoryCatalogue, tmp_path: Path) -> None:
    server = catalogue.server
    server.put("/in/a", DATA)
    server.put("/plain", DATA)
    for host in ("first", "second"):
        server.fail("open_read", "*", errors.NotFound("gone"), host=host, times=FOREVER)

    done = execute(
        [transfer(0, [catalogue.location("/lfn"), server.location("/plain", "third")], tmp_path / "a")],
        server.capability(),
        catalogue.capability(),
    )

    assert done.exit == 0
    hosts = [call.host for call in server.calls("open_read")]
    assert hosts == ["first", "second", "third"]


@pytest.mark.parametrize("index", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_was_struck_off_stays_so_when_a_replica_becomes_several(index: int, count: int) -> None:
    struck = [bit for bit in (0, 2) if bit != index]
    replicas = Replicas(4, sum(1 << bit for bit in struck))

    spread = replicas.expanded(index, count)

    assert spread.total == 3 + count
    assert spread.struck_off == sum(1 << (bit if bit < index else bit + count - 1) for bit in struck)
