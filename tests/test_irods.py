"""iRODS: what is read only when it is good, what writing leaves behind, and what the server's codes come to."""

from __future__ import annotations

import base64
import hashlib
import threading
from typing import TYPE_CHECKING

import pytest
from irods_tools import at, credential, planted_replicas, presenting, store, stores_closed
from runs import execute, transfer
from servers.irods_server import PASSWORD, USER, ZONE, IrodsZone, irods_zone
from sftp_tools import Credentials
from wf.protocols.conformance_tools import digest_of, drained, refused, written
from wf.protocols.errors import (
    Broken,
    Changed,
    Denied,
    LocalRefused,
    Misconfigured,
    Mismatch,
    MissingCredential,
    NoSpace,
    NotFound,
    ServerFault,
    Stopped,
    TurnedAway,
    Unreachable,
    Unsupported,
)
from wf.protocols.irods import IrodsStore
from wf.protocols.locations import parse_location
from wf.protocols.registry import IRODS
from wf.protocols.values import Incoming

__all__ = ["stores_closed"]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wf.protocols.errors import TransferError

MIB = 1 << 20
DATA = hashlib.sha256(b"irods").digest() * (3 * MIB // 32 + 1)
"""Larger than a buffer: it is streamed."""
OPEN, READ, WRITE, CLOSE, QUERY, UNLINK, REMOVE_COLLECTION = 602, 675, 676, 673, 702, 615, 679


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[IrodsZone]:
    with irods_zone(tmp_path / "zone") as server:
        yield server


@pytest.fixture
def alice(zone: IrodsZone, tmp_path: Path) -> Iterator[IrodsStore]:
    made = store(zone, tmp_path)
    yield made
    made.close()


def whole(data: bytes) -> Incoming:
    return Incoming(len(data), hashlib.sha256(data).digest())


def put_whole(alice: IrodsStore, zone: IrodsZone, name: str, data: bytes) -> None:
    """As the engine does it with a small file."""
    writer = alice.open_write(at(zone, name), whole(data))
    try:
        writer.write(memoryview(data))
        writer.commit(())
    except BaseException:
        writer.abort()
        raise


def names(zone: IrodsZone) -> list[str]:
    """All objects of the zone, the trash included."""
    with zone.catalogue.lock:
        return sorted(zone.catalogue.objects)


# --- reading


def test_a_stale_object_is_not_read(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("partial", b"half of it").replicas[0].status = "0"
    error = refused(lambda: alice.open_read(at(zone, "partial")), NotFound)
    assert "no good replica (status 0: stale" in error.what and f"{zone.home}/partial" in error.what
    refused(lambda: alice.stat(at(zone, "partial")), NotFound)


def test_an_object_that_is_being_written_is_not_read(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("partial", b"half of it").replicas[0].status = "2"
    assert "being written" in refused(lambda: alice.open_read(at(zone, "partial")), NotFound).what


def test_the_good_one_of_two_replicas_is_read(alice: IrodsStore, zone: IrodsZone) -> None:
    planted_replicas(zone, "two", stale=b"old", good=b"the new content")
    reader = alice.open_read(at(zone, "two"))
    assert (reader.size, drained(reader)) == (15, b"the new content")
    assert alice.stat(at(zone, "two")).size == 15
    (entry,) = alice.list(parse_location(f"{zone.url}"), recursive=False)
    assert (entry.path, entry.size) == ("two", 15)


def test_the_replica_on_the_resource_of_the_url_is_preferred(zone: IrodsZone, tmp_path: Path) -> None:
    found = zone.plant("both", b"content")
    with zone.catalogue.lock:
        other = zone.catalogue.new_replica(found, "archive")
        other.file.write_bytes(b"CONTENT")
        other.size, other.status = 7, "1"
        found.replicas.append(other)
    alice = store(zone, tmp_path)
    assert drained(alice.open_read(parse_location(f"irods://archive{zone.home}/both"))) == b"CONTENT"
    assert drained(alice.open_read(parse_location(f"irods://elsewhere{zone.home}/both"))) == b"content"
    alice.close()


def test_bytes_that_changed_in_the_storage_are_found(zone: IrodsZone, tmp_path: Path) -> None:
    """The server hands them out without a word; the checksum of the catalogue tells."""
    planted = zone.plant("f", b"right content")
    planted.replicas[0].file.write_bytes(b"wrong content")
    run = execute([transfer(0, f"{zone.url}/f", tmp_path / "out")], IRODS, credentials=given(zone, tmp_path))
    assert run[0].error is not None and run[0].error.code == "mismatch"
    assert not (tmp_path / "out").exists()


def given(zone: IrodsZone, folder: Path) -> Credentials:
    return Credentials({"irods": credential(zone, folder)})


def test_bytes_that_change_on_the_way_are_found(zone: IrodsZone, tmp_path: Path) -> None:
    zone.plant("f", DATA)
    zone.inject(READ, times=1, corrupt=True)
    run = execute([transfer(0, f"{zone.url}/f", tmp_path / "out")], IRODS, credentials=given(zone, tmp_path))
    assert run[0].error is not None and run[0].error.code == "mismatch"


def test_an_md5_of_the_catalogue_counts_too(alice: IrodsStore, zone: IrodsZone) -> None:
    planted = zone.plant("f", b"content")
    planted.replicas[0].checksum = hashlib.md5(b"content").hexdigest()
    reader = alice.open_read(at(zone, "f"))
    reader.close()
    assert [str(one) for one in reader.digests] == [f"md5:{hashlib.md5(b'content').hexdigest()}"]


def test_in_a_zone_of_md5_that_is_what_is_compared(zone: IrodsZone, tmp_path: Path) -> None:
    """The zone registers it of what is streamed. Small files are given their SHA-256, and keep it."""
    zone.catalogue.md5 = True
    zone.plant("beside", b"content")
    (tmp_path / "in").write_bytes(DATA * 14)
    (tmp_path / "small").write_bytes(b"small")
    batch = [transfer(0, tmp_path / "in", f"{zone.url}/f"), transfer(1, tmp_path / "small", f"{zone.url}/g")]
    run = execute(batch, IRODS, credentials=given(zone, tmp_path))
    assert run.exit == 0, run[0].error
    assert [str(run[number].evidence) for number in (0, 1)] == ["checksum", "digest"]
    assert zone.content(f"{zone.home}/f") == DATA * 14
    assert zone.catalogue.objects[f"{zone.home}/f"].replicas[0].checksum == hashlib.md5(DATA * 14).hexdigest()


def test_what_is_spoiled_on_the_way_to_a_zone_of_md5_is_found(zone: IrodsZone, tmp_path: Path) -> None:
    zone.catalogue.md5 = True
    zone.plant("beside", b"content")
    (tmp_path / "in").write_bytes(DATA)
    zone.inject(WRITE, corrupt=True)
    run = execute([transfer(0, tmp_path / "in", f"{zone.url}/f")], IRODS, credentials=given(zone, tmp_path))
    assert run[0].error is not None and run[0].error.code == "mismatch"
    assert names(zone) == [f"{zone.home}/beside"]


def test_a_checksum_of_an_unknown_kind_is_no_checksum(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"content").replicas[0].checksum = "blake9:AAAA"
    reader = alice.open_read(at(zone, "f"))
    assert (drained(reader), reader.digests) == (b"content", ())


def test_an_object_that_is_shorter_than_the_catalogue_says_is_broken(
    alice: IrodsStore, zone: IrodsZone
) -> None:
    zone.plant("f", DATA).replicas[0].file.write_bytes(DATA[:100])
    error = refused(lambda: drained(alice.open_read(at(zone, "f"))), Broken)
    assert "bytes too early" in error.what


def test_answers_with_fewer_bytes_than_asked_for_are_put_together(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", DATA)
    zone.inject(READ, times=2, short=True)
    reader = alice.open_read(at(zone, "f"))
    first = bytes(reader.read())
    assert first == DATA[:MIB]
    # The server is ahead of what was received: the rest comes from where it is, and the size tells.
    refused(lambda: drained(reader), Broken)


def test_a_collection_is_not_read(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("folder/f", b"")
    assert "is a collection" in refused(lambda: alice.open_read(at(zone, "folder")), LocalRefused).what


def test_an_object_that_was_written_anew_is_another_version(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"one")
    version = alice.stat(at(zone, "f")).version
    zone.plant("f", b"two")
    refused(lambda: alice.open_read(at(zone, "f"), version=version), Changed)


# --- writing


def test_a_small_file_that_was_never_committed_touches_nothing(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"old")
    writer = alice.open_write(at(zone, "f"), whole(b"new"))
    writer.write(memoryview(b"new"))
    writer.abort()
    assert zone.content(f"{zone.home}/f") == b"old"


@pytest.mark.parametrize("data", [b"small", DATA], ids=["small", "large"])
def test_what_is_spoiled_on_the_way_is_not_left(data: bytes, zone: IrodsZone, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(data)
    zone.inject(WRITE, corrupt=True)
    run = execute([transfer(0, tmp_path / "in", f"{zone.url}/f")], IRODS, credentials=given(zone, tmp_path))
    assert run[0].error is not None and run[0].error.code in ("broken", "mismatch"), run[0].error
    assert names(zone) == []


def test_the_server_compares_a_small_file_itself(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.inject(WRITE, corrupt=True)
    error = refused(lambda: put_whole(alice, zone, "f", b"content"), Broken)
    assert "USER_CHKSUM_MISMATCH (-314000)" in error.what
    assert names(zone) == []


@pytest.mark.parametrize("number", [WRITE, CLOSE])
def test_a_connection_that_breaks_leaves_nothing(number: int, alice: IrodsStore, zone: IrodsZone) -> None:
    zone.inject(number, times=1, hang_up=True)
    refused(lambda: written(alice, at(zone, "f"), DATA), Broken)
    assert names(zone) == []
    written(alice, at(zone, "f"), DATA)
    assert zone.content(f"{zone.home}/f") == DATA


def test_a_lost_answer_to_the_close_does_not_cost_the_object(alice: IrodsStore, zone: IrodsZone) -> None:
    """It is whole, and its checksum says so."""
    zone.inject(CLOSE, times=1, unanswered=True)
    refused(lambda: written(alice, at(zone, "f"), DATA), Broken)
    assert zone.content(f"{zone.home}/f") == DATA


def test_a_lost_answer_to_the_close_does_not_cost_the_object_where_md5_is_used_either(
    alice: IrodsStore, zone: IrodsZone
) -> None:
    zone.catalogue.md5 = True
    zone.plant("beside", b"content")
    zone.inject(CLOSE, times=1, unanswered=True)
    writer = alice.open_write(at(zone, "f"), Incoming(len(DATA)))
    writer.write(memoryview(DATA))
    refused(lambda: writer.commit((digest_of("sha256", DATA), digest_of("md5", DATA))), Broken)
    writer.abort()
    assert zone.content(f"{zone.home}/f") == DATA


def test_what_the_server_still_believes_to_be_written_is_removed_when_it_notices(
    alice: IrodsStore, zone: IrodsZone
) -> None:
    zone.inject(UNLINK, times=3, code=-406000)
    writer = alice.open_write(at(zone, "f"), Incoming(len(DATA)))
    writer.write(memoryview(DATA)[:MIB])
    writer.abort()
    assert names(zone) == []


def test_what_another_client_wrote_after_a_connection_broke_is_not_removed(
    alice: IrodsStore, zone: IrodsZone, tmp_path: Path
) -> None:
    writer = alice.open_write(at(zone, "f"), Incoming(len(DATA)))
    writer.write(memoryview(DATA)[:MIB])
    zone.cut_all()
    zone.await_no_writer(f"{zone.home}/f")
    put_whole(store(zone, tmp_path), zone, "f", b"by another client")
    writer.abort()
    assert zone.content(f"{zone.home}/f") == b"by another client"


def test_what_another_client_completes_while_a_removal_waits_for_it_is_not_removed(
    alice: IrodsStore, zone: IrodsZone, tmp_path: Path
) -> None:
    writer = alice.open_write(at(zone, "f"), Incoming(len(DATA)))
    zone.cut_all()
    zone.await_no_writer(f"{zone.home}/f")
    other = store(zone, tmp_path).open_write(at(zone, "f"), Incoming(3))
    other.write(memoryview(b"abc"))
    removal = threading.Thread(target=writer.abort)
    removal.start()
    while UNLINK not in zone.calls:
        removal.join(0.005)
        assert removal.is_alive()
    other.commit(())
    removal.join()
    assert zone.content(f"{zone.home}/f") == b"abc"


def test_a_good_replica_elsewhere_survives_a_writer_that_breaks(alice: IrodsStore, zone: IrodsZone) -> None:
    planted_replicas(zone, "f", stale=b"older", good=b"what there was")
    writer = alice.open_write(parse_location(f"irods://demoResc{zone.home}/f"), Incoming(len(DATA)))
    writer.write(memoryview(DATA)[:MIB])
    writer.abort()
    zone.await_no_writer(f"{zone.home}/f")
    assert drained(alice.open_read(at(zone, "f"))) == b"what there was"


@pytest.mark.parametrize("number", [CLOSE, QUERY])
def test_a_small_file_is_not_removed_for_a_lost_answer(
    number: int, alice: IrodsStore, zone: IrodsZone
) -> None:
    """The server compared its SHA-256, and metadata of what was overwritten would go with it."""
    zone.plant("f", b"old").metadata.append(("project", "x"))
    zone.inject(number, times=1, unanswered=True)
    refused(lambda: put_whole(alice, zone, "f", b"content"), Broken)
    assert zone.content(f"{zone.home}/f") == b"content"
    assert zone.catalogue.objects[f"{zone.home}/f"].metadata == [("project", "x")]


def test_an_object_without_a_good_replica_afterwards_is_no_success(
    alice: IrodsStore, zone: IrodsZone
) -> None:
    writer = alice.open_write(at(zone, "f"), Incoming(3))
    writer.write(memoryview(b"abc"))
    with zone.catalogue.lock:
        finish, zone.catalogue.finish = zone.catalogue.finish, lambda *_, **__: None  # type: ignore[method-assign]
    assert "no replica is good (status 2)" in refused(lambda: writer.commit(()), Broken).what
    zone.catalogue.finish = finish  # type: ignore[method-assign]
    writer.abort()
    assert names(zone) == []


def test_an_object_that_is_overwritten_keeps_its_metadata(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"old").metadata.append(("project", "x"))
    put_whole(alice, zone, "f", b"new")
    assert zone.catalogue.objects[f"{zone.home}/f"].metadata == [("project", "x")]
    assert zone.content(f"{zone.home}/f") == b"new"


def test_an_object_on_another_resource_than_the_usual_one_is_overwritten_there(
    zone: IrodsZone, tmp_path: Path
) -> None:
    zone.plant("f", b"old").replicas[0].resource = "archive"
    alice = store(zone, tmp_path, irods_default_resource="demoResc")
    put_whole(alice, zone, "f", b"new")
    alice.close()
    assert zone.content(f"{zone.home}/f") == b"new"


def test_an_object_goes_to_the_resource_of_the_url(alice: IrodsStore, zone: IrodsZone) -> None:
    writer = alice.open_write(parse_location(f"irods://archive{zone.home}/f"), whole(b"x"))
    writer.write(memoryview(b"x"))
    writer.commit(())
    assert zone.catalogue.objects[f"{zone.home}/f"].replicas[0].resource == "archive"


def test_an_unknown_resource_is_named_so(alice: IrodsStore, zone: IrodsZone) -> None:
    location = parse_location(f"irods://nosuch{zone.home}/f")
    error = refused(lambda: written(alice, location, DATA), LocalRefused)
    assert "SYS_RESC_DOES_NOT_EXIST (-78000)" in error.what and "ilsresc" in error.remedy


@pytest.mark.parametrize("quota", [0, MIB])
def test_a_full_quota_is_no_space(quota: int, alice: IrodsStore, zone: IrodsZone) -> None:
    """It may show when the object is opened, or while it is written."""
    zone.catalogue.quota = quota
    error = refused(lambda: written(alice, at(zone, "f"), DATA, size=None), NoSpace)
    assert "SYS_RESC_QUOTA_EXCEEDED (-110000)" in error.what
    assert names(zone) == []


def test_two_writers_of_one_object_do_not_mix(alice: IrodsStore, zone: IrodsZone, tmp_path: Path) -> None:
    other = store(zone, tmp_path)
    first = alice.open_write(at(zone, "f"), Incoming(3))
    error = refused(lambda: other.open_write(at(zone, "f"), Incoming(3)), ServerFault)
    assert "HIERARCHY_ERROR (-1803000)" in error.what and "another client" in error.remedy
    first.write(memoryview(b"abc"))
    first.commit(())
    other.close()
    assert zone.content(f"{zone.home}/f") == b"abc"


# --- what codes come to


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (-818000, Denied, "CAT_NO_ACCESS_PERMISSION (-818000)"),
        (-110000, NoSpace, "SYS_RESC_QUOTA_EXCEEDED (-110000)"),
        (-513028, NoSpace, "UNIX_FILE_WRITE_ERR (-513028): No space left on device"),
        (-511013, Denied, "UNIX_FILE_CREATE_ERR (-511013): Permission denied"),
        (-600005, ServerFault, "error -600005: Input/output error"),
        (-9000, TurnedAway, "SYS_EXCEED_CONNECT_CNT (-9000)"),
        (-105000, ServerFault, "SYS_RESC_IS_DOWN (-105000)"),
        (-1827000, ServerFault, "error -1827000"),
        (-99999000, ServerFault, "error -99999000"),
        (-12000, Unsupported, "(-12000)"),
    ],
)
def test_a_code_has_its_error_and_is_named_with_the_path(
    code: int, kind: type[TransferError], text: str, alice: IrodsStore, zone: IrodsZone
) -> None:
    zone.inject(OPEN, code=code, text="said\nthe server")
    error = refused(lambda: alice.open_write(at(zone, "f\n"), Incoming(1)), kind)
    assert text in error.what and "said the server" in error.what
    assert f"{zone.home}/f\\n" in error.what
    assert type(error) is kind


# --- names


def test_nothing_goes_to_the_trash(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"")
    zone.plant("folder/deep/g", b"")
    alice.remove(at(zone, "f"), recursive=False)
    alice.remove(at(zone, "folder"), recursive=True)
    assert names(zone) == []


def test_a_zone_is_not_removed(alice: IrodsStore, zone: IrodsZone) -> None:
    location = parse_location(f"irods://{USER}@127.0.0.1:{zone.port}/{ZONE}")
    assert "it is a zone" in refused(lambda: alice.remove(location, recursive=True), LocalRefused).what


def test_a_file_where_a_collection_is_meant_is_told(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"")
    assert (
        "is a data object"
        in refused(lambda: list(alice.list(at(zone, "f"), recursive=False)), LocalRefused).what
    )
    error = refused(lambda: alice.make_directory(at(zone, "f")), LocalRefused)
    assert "a data object has this name" in error.what
    refused(lambda: alice.make_directory(at(zone, "f/below")), LocalRefused, NotFound)


def test_a_long_collection_is_listed_page_by_page(alice: IrodsStore, zone: IrodsZone) -> None:
    for number in range(1203):
        zone.plant(f"many/{number:04d}", b"", checksum=False)
    found = [entry.path for entry in alice.list(at(zone, "many"), recursive=False)]
    assert sorted(found) == [f"{number:04d}" for number in range(1203)]


def test_names_that_look_like_patterns_are_listed_alone(alice: IrodsStore, zone: IrodsZone) -> None:
    for name in ("a_b/x", "a_b/in/y", "aXb/z", "aXb/in/z", "a%/x", "back\\slash/in/x", "it's/in/x"):
        zone.plant(name, b"")
    for folder in ("a_b", "a%", "back\\slash", "it's"):
        found = {entry.path for entry in alice.list(at(zone, folder), recursive=True)}
        assert found <= {"x", "in", "in/y", "in/x"} and len(found) in (1, 2, 3), folder
    assert {e.path for e in alice.list(at(zone, "a_b"), recursive=True)} == {"x", "in", "in/y"}


def test_a_stale_object_is_listed_without_a_size(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"half").replicas[0].status = "0"
    (entry,) = alice.list(parse_location(zone.url), recursive=False)
    assert (entry.path, entry.size, entry.digests) == ("f", None, ())
    alice.remove(at(zone, "f"), recursive=False)
    assert names(zone) == []


@pytest.mark.parametrize(
    "url",
    [
        "irods://demoResc",
        "irods:///",
        "irods:///zone/a/../b",
        "irods:///zone/./b",
        "irods:///zone",
        "irods:///zone/a/",
    ],
)
def test_what_is_no_path_there_is_refused(url: str, alice: IrodsStore) -> None:
    error = refused(lambda: alice.open_read(parse_location(url)), LocalRefused)
    assert "irods://[resource]/zone" in error.remedy


@pytest.mark.parametrize(
    "host", ["alice@demoResc", "host:", "host:0", "host:70000", "a:b@host:1247", "[::1", "a:1:2"]
)
def test_an_authority_that_is_neither_server_nor_resource_is_told(host: str, alice: IrodsStore) -> None:
    error = refused(lambda: alice.stat(parse_location(f"irods://{host}/zone/f")), Misconfigured)
    assert ":b@" not in error.what


def test_empty_parts_of_a_path_mean_nothing(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"content")
    location = parse_location(f"irods:///{zone.home.replace('/home/', '//home//')}//f")
    assert drained(alice.open_read(location)) == b"content"


@pytest.mark.parametrize(
    "name",
    ["bell\x07", "return\r", "return\r\nand line", "tab\t ", "'", "`", "<&amp;>", "noncharacter\uffff"],
)
@pytest.mark.parametrize("version", ["rods5.0.2", "rods4.2.8"])
def test_a_name_that_xml_cannot_hold_is_the_same_in_all_that_is_done_with_it(
    name: str, version: str, tmp_path: Path
) -> None:
    with irods_zone(tmp_path / "zone", version=version) as zone:
        alice = store(zone, tmp_path)
        written(alice, at(zone, f"folder {name}/{name}"), DATA)
        assert drained(alice.open_read(at(zone, f"folder {name}/{name}"))) == DATA
        listed = [each.path for each in alice.list(parse_location(zone.url), recursive=True)]
        assert listed == [f"folder {name}", f"folder {name}/{name}"]
        alice.remove(at(zone, f"folder {name}"), recursive=True)
        assert names(zone) == []


def test_a_name_that_is_not_utf_8_is_refused(alice: IrodsStore, zone: IrodsZone) -> None:
    location = at(zone, "caf\udce9")
    for act in (lambda: alice.open_read(location), lambda: written(alice, location, b"x")):
        error = refused(act, LocalRefused)
        assert "UTF-8" in error.what and "\udce9" not in error.what
    assert names(zone) == []


@pytest.mark.parametrize(
    "answer",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]><GenQueryOut_PI>&b;</GenQueryOut_PI>',
        "<GenQueryOut_PI><rowCnt>",
        "<GenQueryOut_PI><rowCnt>two</rowCnt></GenQueryOut_PI>",
        "<GenQueryOut_PI><rowCnt>1</rowCnt><attriCnt>1</attriCnt></GenQueryOut_PI>",
        "\x07",
        "<Another_PI></Another_PI>",
        "",
    ],
)
def test_an_answer_of_the_catalogue_that_makes_no_sense_is_told(
    answer: str, alice: IrodsStore, zone: IrodsZone
) -> None:
    zone.plant("f", b"content")
    zone.inject(QUERY, times=1, answer=answer)
    error = refused(lambda: alice.stat(at(zone, "f")), ServerFault)
    assert "makes no sense" in error.what and f"{zone.home}/f" in error.what
    assert alice.stat(at(zone, "f")).size == 7
    assert zone.greeted == 2


# --- the zone's own work


def test_a_replica_is_made_of_an_object_on_another_resource(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"content")
    here, there = (parse_location(f"irods://{name}{zone.home}/f") for name in ("demoResc", "archive"))
    step = alice.copy(here, there, "")
    assert step.receipt is not None and step.receipt.size == 7
    found = zone.catalogue.objects[f"{zone.home}/f"].replicas
    assert [(one.resource, one.status) for one in found] == [("demoResc", "1"), ("archive", "1")]


def test_a_copy_of_a_stale_object_is_refused(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"half").replicas[0].status = "0"
    refused(lambda: alice.copy(at(zone, "f"), at(zone, "g"), ""), NotFound)
    assert names(zone) == [f"{zone.home}/f"]


def test_a_copy_that_differs_is_removed(alice: IrodsStore, zone: IrodsZone) -> None:
    planted = zone.plant("f", b"right")
    planted.replicas[0].file.write_bytes(b"wrong")
    refused(lambda: alice.copy(at(zone, "f"), at(zone, "g"), ""), Broken)
    assert names(zone) == [f"{zone.home}/f"]


def test_a_copy_between_two_zones_is_left_to_streams(
    alice: IrodsStore, zone: IrodsZone, tmp_path: Path
) -> None:
    elsewhere = parse_location(f"irods://alice@127.0.0.1:1{zone.home}/g")
    refused(lambda: alice.copy(at(zone, "f"), elsewhere, ""), Unsupported, MissingCredential)


def test_a_checksum_that_no_longer_holds_is_told_and_not_replaced(alice: IrodsStore, zone: IrodsZone) -> None:
    planted = zone.plant("f", b"right")
    before = planted.replicas[0].checksum
    planted.replicas[0].file.write_bytes(b"wrong")
    assert "-407000" in refused(lambda: alice.digest(at(zone, "f"), "sha256"), Mismatch).what
    assert planted.replicas[0].checksum == before


def test_a_checksum_that_is_not_there_yet_is_computed(alice: IrodsStore, zone: IrodsZone) -> None:
    planted = zone.plant("f", b"content", checksum=False)
    digest = alice.digest(at(zone, "f"), "sha256")
    assert digest is not None and digest.value == hashlib.sha256(b"content").digest()
    assert planted.replicas[0].checksum == "sha2:" + base64.b64encode(digest.value).decode()


# --- connections


def test_many_objects_go_over_one_connection(alice: IrodsStore, zone: IrodsZone) -> None:
    for number in range(20):
        put_whole(alice, zone, f"f{number}", b"content")
        assert drained(alice.open_read(at(zone, f"f{number}"))) == b"content"
    assert zone.greeted == 1


def test_a_connection_that_the_server_has_ended_is_replaced(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", b"content")
    assert alice.stat(at(zone, "f")).size == 7
    zone.cut_all()
    zone.await_nobody()
    assert alice.stat(at(zone, "f")).size == 7
    assert zone.greeted == 2


def test_a_connection_that_broke_is_not_used_again(alice: IrodsStore, zone: IrodsZone) -> None:
    zone.plant("f", DATA)
    zone.inject(READ, times=1, hang_up=True)
    refused(lambda: drained(alice.open_read(at(zone, "f"))), Broken)
    assert drained(alice.open_read(at(zone, "f"))) == DATA
    assert zone.greeted == 2


def test_a_connection_that_is_used_again_has_the_same_limits(zone: IrodsZone, tmp_path: Path) -> None:
    alice = presenting(credential(zone, tmp_path), stall=0.2)
    zone.plant("f", b"content")
    assert alice.stat(at(zone, "f")).size == 7
    zone.inject(QUERY, times=1, stall=True)
    assert "no byte for" in refused(lambda: alice.stat(at(zone, "f")), Unreachable, Broken).what
    assert alice.stat(at(zone, "f")).size == 7
    assert zone.greeted == 2


def test_the_end_of_the_run_is_seen_in_what_the_library_asks(zone: IrodsZone, tmp_path: Path) -> None:
    stop = threading.Event()
    alice = presenting(credential(zone, tmp_path), stop=stop, stall=1000)
    zone.plant("folder/f", b"content")
    zone.inject(REMOVE_COLLECTION, stall=True)
    threading.Timer(0.1, stop.set).start()
    refused(lambda: alice.remove(at(zone, "folder"), recursive=True), Stopped)


def test_a_collection_that_was_made_need_not_be_found_at_once(alice: IrodsStore, zone: IrodsZone) -> None:
    """As in a zone that is not the login's own, where the library does not look."""
    zone.inject(QUERY, times=2, code=-808000)
    alice.make_directory(at(zone, "new/one"))
    assert f"{zone.home}/new/one" in zone.catalogue.collections
    assert zone.greeted == 1


def test_a_removal_that_takes_long_is_waited_for(zone: IrodsZone, tmp_path: Path) -> None:
    """The server tells how far it is, and goes on only when that was answered."""
    zone.plant("folder/f", b"")
    alice = presenting(credential(zone, tmp_path), stall=0.05)
    alice.remove(at(zone, "folder"), recursive=True)
    alice.close()
    assert REMOVE_COLLECTION in zone.calls and names(zone) == []


def test_no_secret_is_in_a_refusal(zone: IrodsZone, tmp_path: Path) -> None:
    alice = store(zone, tmp_path)
    zone.catalogue.users[USER] = "changed"
    error = refused(lambda: alice.stat(at(zone, "f")), Denied)
    assert (
        "CAT_INVALID_AUTHENTICATION (-826000)" in error.what and PASSWORD not in f"{error.what}{error.remedy}"
    )
    assert "alice from the test" in error.what


def test_a_close_that_is_never_answered_is_given_up(zone: IrodsZone, tmp_path: Path) -> None:
    """A server that computes a checksum is given time for the bytes that it has, and not more."""
    alice = presenting(credential(zone, tmp_path), stall=0.2)
    zone.inject(CLOSE, times=1, stall=True)
    error = refused(lambda: written(alice, at(zone, "f"), DATA), Broken)
    assert "no answer for" in error.what
    assert names(zone) == []


def test_a_close_that_takes_long_does_not_hold_up_the_end_of_the_run(zone: IrodsZone, tmp_path: Path) -> None:
    stop = threading.Event()
    alice = presenting(credential(zone, tmp_path), stop=stop, stall=1000)
    zone.inject(CLOSE, times=1, stall=True)
    threading.Timer(0.1, stop.set).start()
    refused(lambda: written(alice, at(zone, "f"), DATA), Stopped)
    assert names(zone) == []
