"""A large object over several connections: what the engine makes of it, and what faults on the way cost."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from irods_tools import at, credential, store, stores_closed
from runs import execute, transfer
from servers.irods_server import USER, IrodsZone, irods_zone
from sftp_tools import Credentials
from wf.protocols.conformance_tools import digest_of, refused
from wf.protocols.errors import Broken, NotFound, TransferError
from wf.protocols.registry import IRODS
from wf.protocols.values import Incoming

__all__ = ["stores_closed"]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runs import Run
    from wf.protocols.irods import IrodsStore
    from wf.protocols.values import Part, Token

PART = 16 << 20
LARGE = hashlib.sha256(b"irods").digest() * ((3 * PART + 4096) // 32)
DATA = LARGE[:1000] * 3
OPEN, WRITE, CLOSE, NOTE = 602, 676, 673, 706


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[IrodsZone]:
    with irods_zone(tmp_path / "zone") as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


def put(zone: IrodsZone, source: Path) -> Run:
    given = Credentials({"irods": credential(zone, source.parent)})
    return execute([transfer(0, source, f"irods://{zone.home}/f")], IRODS, credentials=given)


def stored(zone: IrodsZone) -> bytes | None:
    return zone.content(f"{zone.home}/f")


def test_a_large_file_goes_in_parts(zone: IrodsZone, source: Path) -> None:
    run = put(zone, source)
    assert run.exit == 0, run[0].error
    assert stored(zone) == LARGE
    assert zone.calls.count(WRITE) == 4
    found = zone.catalogue.objects[f"{zone.home}/f"]
    assert found.metadata == [], "nothing is noted any more"
    assert found.replicas[0].checksum.startswith("sha2:")


@pytest.mark.parametrize("number", [OPEN, WRITE])
def test_a_connection_that_breaks_costs_one_part(number: int, zone: IrodsZone, source: Path) -> None:
    zone.inject(number, times=1, after=2, hang_up=True)
    run = put(zone, source)
    assert run.exit == 0, run[0].error
    assert stored(zone) == LARGE


def test_the_connection_that_holds_it_open_is_not_needed_twice(zone: IrodsZone, source: Path) -> None:
    """All connections end before the close: what was noted is gone on with."""
    zone.inject(CLOSE, times=1, hang_up=True)
    run = put(zone, source)
    assert run.exit == 0, run[0].error
    assert stored(zone) == LARGE


def test_where_nothing_can_be_noted_it_is_written_all_the_same(zone: IrodsZone, source: Path) -> None:
    zone.inject(NOTE, code=-818000)
    run = put(zone, source)
    assert run.exit == 0, run[0].error
    assert stored(zone) == LARGE


def test_a_part_that_is_spoiled_on_the_way_is_found_at_the_end(zone: IrodsZone, source: Path) -> None:
    zone.inject(WRITE, after=1, times=100, corrupt=True)
    run = put(zone, source)
    assert run[0].error is not None and run[0].error.code in ("mismatch", "broken")
    assert zone.catalogue.objects == {}


def opened(alice: IrodsStore, zone: IrodsZone, *, resume: bool = False) -> Token:
    return alice.open_parts(at(zone, "f"), Incoming(len(DATA), token="0123456789abcdef", resume=resume), 1000)


def put_part(alice: IrodsStore, token: Token, number: int) -> Part:
    first, length = token.span(number)
    view = memoryview(DATA)[first : first + length]
    return alice.put_part(token, number, first, view, hashlib.sha256(view).digest())


def test_what_could_not_be_noted_is_not_kept(zone: IrodsZone, tmp_path: Path) -> None:
    alice = store(zone, tmp_path)
    zone.inject(NOTE, code=-818000)
    token = opened(alice, zone)
    put_part(alice, token, 0)
    alice.abort_parts(token, keep=True)
    assert zone.catalogue.objects == {}


def test_what_became_good_meanwhile_is_nobody_s_to_go_on_with(zone: IrodsZone, tmp_path: Path) -> None:
    alice = store(zone, tmp_path)
    token = opened(alice, zone)
    put_part(alice, token, 0)
    alice.abort_parts(token, keep=True)
    zone.await_no_writer(f"{zone.home}/f")
    zone.plant("f", b"by another client")
    refused(lambda: alice.list_parts(token), NotFound)
    alice.abort_parts(token)
    assert stored(zone) == b"by another client"


def test_a_lost_answer_to_the_close_does_not_cost_the_object(zone: IrodsZone, tmp_path: Path) -> None:
    alice = store(zone, tmp_path)
    token = opened(alice, zone)
    parts = tuple(put_part(alice, token, number) for number in range(3))
    zone.inject(CLOSE, times=1, unanswered=True)
    refused(lambda: alice.commit_parts(token, parts, (digest_of("sha256", DATA),)), Broken)
    alice.abort_parts(token)
    assert stored(zone) == DATA
    assert zone.catalogue.objects[f"{zone.home}/f"].metadata == [], "nothing is noted any more"


def test_an_object_that_was_given_up_takes_no_further_part(zone: IrodsZone, tmp_path: Path) -> None:
    alice, other = store(zone, tmp_path), store(zone, tmp_path)
    token = opened(alice, zone)
    put_part(other, token, 1)
    alice.abort_parts(token)
    refused(lambda: put_part(other, token, 2), TransferError)
    assert f"/tempZone/home/{USER}/f" not in zone.catalogue.objects


def test_what_another_client_wrote_while_parts_were_written_is_not_removed(
    zone: IrodsZone, tmp_path: Path
) -> None:
    alice = store(zone, tmp_path)
    token = opened(alice, zone)
    put_part(alice, token, 0)
    zone.cut_all()
    zone.await_no_writer(f"{zone.home}/f")
    zone.plant("f", b"by another client")
    alice.abort_parts(token)
    assert stored(zone) == b"by another client"
