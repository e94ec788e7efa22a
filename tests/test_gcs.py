"""Cloud Storage against two emulators; Google's own client looks at what we wrote, and we at what it wrote.

`checking` is gcp-storage-emulator, for checksums and uploads that go on after a cut; `versioned` is fake-gcs-server, for
generations and pages.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import threading
import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from gcs_tools import at, checking, gcs_store, nobody, versioned
from servers.faults import cut, fault_proxy, flip
from wf.checksum.digest import Digest
from wf.protocols.conformance_tools import BUFFER, begun, content, digest_of, digests_for, drained, written
from wf.protocols.errors import (
    Broken,
    Changed,
    LocalRefused,
    Misconfigured,
    NotFound,
    Stopped,
    Unreachable,
    Unsupported,
)
from wf.protocols.gcs_writer import CHUNK_BYTES
from wf.protocols.values import Incoming

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.gcs import GcsEmulator
    from wf.protocols.gcs import GcsStore

__all__ = ["checking", "versioned"]

_numbers = itertools.count(1)


@pytest.fixture(params=["checking", "versioned"])
def emulator(request: pytest.FixtureRequest) -> GcsEmulator:
    """Each of the two."""
    found: GcsEmulator = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store(emulator: GcsEmulator) -> Iterator[GcsStore]:
    store = gcs_store(nobody(emulator.endpoint))
    yield store
    store.close()


@pytest.fixture
def place(emulator: GcsEmulator) -> str:
    """A new bucket of the emulator and a prefix: `bucket/number`."""
    return f"{emulator.new_bucket()}/{next(_numbers)}"


def blob(emulator: GcsEmulator, path: str) -> Any:
    bucket, _, key = path.partition("/")
    return emulator.client().bucket(bucket).blob(key)


def got(emulator: GcsEmulator, path: str) -> bytes:
    return bytes(blob(emulator, path).download_as_bytes(raw_download=True))


def keys_below(emulator: GcsEmulator, path: str) -> set[str]:
    bucket, _, prefix = path.partition("/")
    return {each.name[len(prefix) :] for each in emulator.client().list_blobs(bucket, prefix=prefix)}


# Reading and writing


@pytest.mark.parametrize("size", (0, 1, BUFFER, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 77))
@pytest.mark.parametrize("said", (True, False), ids=("size known", "size unknown"))
def test_googles_client_reads_what_we_wrote(
    emulator: GcsEmulator, store: GcsStore, place: str, size: int, said: bool
) -> None:
    data = content(size)
    receipt = written(store, at(f"{place}/x"), data, size=size if said else None)
    assert got(emulator, f"{place}/x") == data
    there = emulator.client().bucket(place.partition("/")[0]).get_blob(f"{place.partition('/')[2]}/x")
    assert (receipt.size, receipt.version) == (size, str(there.generation))
    assert set(receipt.digests) == {digest_of("crc32c", data), digest_of("md5", data)}


@pytest.mark.parametrize("size", (0, 5, 3 * BUFFER + 5))
def test_we_read_what_googles_client_wrote(
    emulator: GcsEmulator, store: GcsStore, place: str, size: int
) -> None:
    data = content(size)
    blob(emulator, f"{place}/x").upload_from_string(data)
    reader = store.open_read(at(f"{place}/x"))
    assert (drained(reader), reader.size, reader.digests) == (data, size, (digest_of("crc32c", data),))
    entry = store.stat(at(f"{place}/x"))
    assert (entry.size, set(entry.digests)) == (size, {digest_of("crc32c", data), digest_of("md5", data)})
    assert entry.modified is not None
    assert store.digest(at(f"{place}/x"), "md5") == Digest("md5", hashlib.md5(data).digest())
    assert store.digest(at(f"{place}/x"), "sha256") is None


def test_we_read_what_googles_client_wrote_in_chunks(
    emulator: GcsEmulator, store: GcsStore, place: str
) -> None:
    data = content(5 << 18)
    there = blob(emulator, f"{place}/x")
    there.chunk_size = 1 << 18
    there.upload_from_string(data)
    assert drained(store.open_read(at(f"{place}/x"))) == data


def test_what_is_stored_compressed_comes_as_it_is_stored(
    emulator: GcsEmulator, store: GcsStore, place: str
) -> None:
    there, packed = blob(emulator, f"{place}/x.txt"), gzip.compress(b"content " * 100)
    there.content_encoding = "gzip"
    there.upload_from_string(packed, checksum="crc32c")
    reader = store.open_read(at(f"{place}/x.txt"))
    assert (reader.size, reader.digests, drained(reader)) == (
        len(packed),
        (digest_of("crc32c", packed),),
        packed,
    )


def test_without_a_fast_crc32c_objects_are_compared_by_md5(
    checking: GcsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wf.protocols.gcs_writer.is_fast", lambda algorithm: False)
    place = f"{checking.new_bucket()}/x"
    for size in (1000, CHUNK_BYTES + 1):
        data = content(size)
        with closing(gcs_store(nobody(checking.endpoint))) as store:
            writer = begun(store, at(place), data)
            assert writer.algorithms == ("md5",)
            assert digest_of("md5", data) in writer.commit(digests_for(writer, data)).digests
            reader = store.open_read(at(place))
            assert (reader.digests, drained(reader)) == ((digest_of("md5", data),), data)


ODD_KEYS = (
    "blank in name",
    "100%25 %zz",
    "a+b&c=d;e",
    "what?ever#top",
    "umläut-空-🎈",
    "quote'\"`$(x)",
    "<tag>&amp;",
    "~tilde!()*",
    " leading",
    "a//b",
)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_the_same_for_googles_client(checking: GcsEmulator, key: str) -> None:
    place, emulator = f"{checking.new_bucket()}/odd", checking
    with closing(gcs_store(nobody(emulator.endpoint))) as store:
        written(store, at(f"{place}/{key}"), b"ours")
        assert got(emulator, f"{place}/{key}") == b"ours"
        blob(emulator, f"{place}/{key}").upload_from_string(b"theirs")
        assert drained(store.open_read(at(f"{place}/{key}"))) == b"theirs"
        assert [entry.path for entry in store.list(at(place), recursive=True) if not entry.is_directory] == [
            key
        ]
        store.copy(at(f"{place}/{key}"), at(f"{place}/copy of/{key}"), "")
        assert got(emulator, f"{place}/copy of/{key}") == b"theirs"
        store.remove(at(place), recursive=True)
        assert keys_below(emulator, f"{place}/") == set()


@pytest.mark.parametrize("key", ("new\nline", "carriage\rreturn", "x" * 1025, "\udcff", ".", ".."))
def test_names_that_the_service_forbids_are_refused_before_it_is_asked(key: str) -> None:
    with closing(gcs_store(nobody("http://127.0.0.1:1"))) as store:
        for call in (
            lambda: store.open_read(at(f"b/{key}")),
            lambda: store.open_write(at(f"b/{key}"), Incoming()),
            lambda: store.stat(at(f"b/{key}")),
            lambda: store.remove(at(f"b/{key}"), recursive=False),
        ):
            with pytest.raises(Unsupported, match="the key"):
                call()


def test_memory_stays_flat_however_long_the_object(versioned: GcsEmulator) -> None:
    piece, bucket = content(BUFFER), versioned.new_bucket()
    with closing(gcs_store(nobody(versioned.endpoint))) as store:
        tracemalloc.start()
        try:
            writer = store.open_write(at(f"{bucket}/x"), Incoming())
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(4 * CHUNK_BYTES // BUFFER + 1):
                writer.write(memoryview(piece))
            receipt = writer.commit(())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert receipt.size == 4 * CHUNK_BYTES + BUFFER
    assert peak - before < 2 * BUFFER


# What goes wrong on the way


@pytest.mark.parametrize("size", (70_000, CHUNK_BYTES - 1))
def test_a_byte_that_was_altered_on_the_way_is_refused(checking: GcsEmulator, size: int) -> None:
    bucket = checking.new_bucket()
    with (
        fault_proxy(checking.port, flip(50_000, upward=True)) as faulty,
        closing(gcs_store(nobody(faulty.url))) as store,
        pytest.raises(Broken, match="other bytes"),
    ):
        written(store, at(f"{bucket}/x"), content(size))
    assert keys_below(checking, f"{bucket}/") == set()


def test_an_altered_byte_of_a_long_object_is_seen_in_the_answer(checking: GcsEmulator) -> None:
    """The emulator does not compare the checksum of a last chunk, as the service does: the receipt is the truth."""
    bucket, data = checking.new_bucket(), content(CHUNK_BYTES + 70_000)
    with (
        fault_proxy(checking.port, flip(50_000, upward=True)) as faulty,
        closing(gcs_store(nobody(faulty.url))) as store,
    ):
        receipt = written(store, at(f"{bucket}/x"), data)
    assert digest_of("crc32c", data) not in receipt.digests
    assert receipt.digests


def test_an_upload_that_is_cut_goes_on_where_the_service_is(checking: GcsEmulator) -> None:
    """The emulator keeps nothing of a chunk that broke: it is asked, and sent the whole chunk again."""
    bucket, data = checking.new_bucket(), content(2 * CHUNK_BYTES + 77)
    with fault_proxy(checking.port) as faulty, closing(gcs_store(nobody(faulty.url))) as store:
        writer = begun(store, at(f"{bucket}/x"), data[: CHUNK_BYTES + 1])
        faulty.inject(cut(CHUNK_BYTES // 2, upward=True), first=1)
        for first in range(CHUNK_BYTES + 1, len(data), BUFFER):
            writer.write(memoryview(data)[first : first + BUFFER])
        receipt = writer.commit(digests_for(writer, data))
    assert digest_of("crc32c", data) in receipt.digests
    assert got(checking, f"{bucket}/x") == data


def test_an_upload_that_was_stopped_shows_nothing(checking: GcsEmulator) -> None:
    bucket, stop = checking.new_bucket(), threading.Event()
    with closing(gcs_store(nobody(checking.endpoint), stop=stop)) as store:
        writer = begun(store, at(f"{bucket}/x"), content(CHUNK_BYTES + 1))
        stop.set()
        with pytest.raises(Stopped):
            writer.commit(())
        writer.abort()
        writer.abort()
    assert keys_below(checking, f"{bucket}/") == set()


def test_abort_never_raises(checking: GcsEmulator) -> None:
    bucket = checking.new_bucket()
    with fault_proxy(checking.port) as faulty:
        store = gcs_store(nobody(faulty.url), connect=1.0)
        writer = begun(store, at(f"{bucket}/x"), content(CHUNK_BYTES + 1))
    writer.abort()
    store.close()


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with closing(gcs_store(nobody("http://127.0.0.1:1"))) as store, pytest.raises(Unreachable):
        store.stat(at("b/x"))


# Generations


def test_a_range_is_of_the_generation_that_was_asked_for(versioned: GcsEmulator) -> None:
    place = f"{versioned.new_bucket()}/x"
    blob(versioned, place).upload_from_string(b"0123456789")
    with closing(gcs_store(nobody(versioned.endpoint))) as store:
        version = store.stat(at(place)).version
        reader = store.open_read(at(place), start=3, length=4, version=version)
        assert (drained(reader), reader.size, reader.version) == (b"3456", 10, version)
        blob(versioned, place).upload_from_string(b"9876543210")
        with pytest.raises(Changed):
            store.open_read(at(place), start=3, version=version)


# Names


def test_a_listing_of_many_pages_is_whole(versioned: GcsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = versioned.new_bucket()
    names = {f"d{number % 3}/{number}" for number in range(11)} | {"top"}
    for name in names:
        blob(versioned, f"{bucket}/{name}").upload_from_string(name)
    monkeypatch.setattr("wf.protocols.gcs_list._PAGE", "4")
    with closing(gcs_store(nobody(versioned.endpoint))) as store:
        entries = list(store.list(at(bucket), recursive=True))
        assert {entry.path for entry in entries if not entry.is_directory} == names
        assert [entry.path for entry in entries if entry.is_directory] == ["d0", "d1", "d2"]
        flat = list(store.list(at(bucket), recursive=False))
        assert sorted(entry.path for entry in flat) == ["d0", "d1", "d2", "top"]
        store.remove(at(f"{bucket}/d0"), recursive=True)
    assert keys_below(versioned, f"{bucket}/") == {name for name in names if not name.startswith("d0/")}


def test_a_folder_and_a_bucket_are_looked_at(emulator: GcsEmulator, store: GcsStore, place: str) -> None:
    bucket = place.partition("/")[0]
    assert store.stat(at(bucket)).is_directory
    written(store, at(f"{place}/a"), b"x")
    assert store.stat(at(f"{place}/")).is_directory
    for absent in (f"{place}/b/", place, "no-such-bucket-here"):
        with pytest.raises(NotFound):
            store.stat(at(absent))
    with pytest.raises(NotFound):
        list(store.list(at("no-such-bucket-here/x"), recursive=True))


def test_a_bucket_is_made_and_removed(emulator: GcsEmulator, store: GcsStore) -> None:
    bucket = f"{emulator.new_bucket()}-made"
    store.make_directory(at(f"{bucket}/folder"))
    store.make_directory(at(bucket))
    assert emulator.client().bucket(bucket).exists()
    store.remove(at(bucket), recursive=False)
    store.remove(at(bucket), recursive=False)
    assert not emulator.client().bucket(bucket).exists()


def test_a_bucket_is_made_only_in_a_project_that_somebody_names(checking: GcsEmulator) -> None:
    with closing(gcs_store(nobody(checking.endpoint, project=""))) as store:
        store.make_directory(at(checking.new_bucket()))
        with pytest.raises(Misconfigured) as caught:
            store.make_directory(at("not-there-yet"))
    assert "GOOGLE_CLOUD_PROJECT" in caught.value.remedy


def test_a_folder_with_objects_is_removed_on_request_only(
    emulator: GcsEmulator, store: GcsStore, place: str
) -> None:
    written(store, at(f"{place}/d/a"), b"x")
    with pytest.raises(LocalRefused):
        store.remove(at(f"{place}/d/"), recursive=False)
    store.remove(at(f"{place}/d/"), recursive=True)
    assert keys_below(emulator, place) == set()


def test_many_objects_are_removed_in_few_requests(checking: GcsEmulator) -> None:
    place = f"{checking.new_bucket()}/d"
    names = [f"{number} %?&#/ü" for number in range(230)]
    with fault_proxy(checking.port) as counted, closing(gcs_store(nobody(counted.url))) as store:
        for name in names:
            written(store, at(f"{place}/{name}"), b"x")
        before = counted.connections  # this emulator takes one request each
        store.remove(at(place), recursive=True)
        assert counted.connections - before == 6, "the key itself, a page, three batches, an empty page"
    assert keys_below(checking, place) == set()


def test_removing_from_no_bucket_is_success(store: GcsStore) -> None:
    for recursive in (False, True):
        store.remove(at("no-such-bucket-here/x"), recursive=recursive)


def test_what_is_no_object_is_neither_read_nor_written(store: GcsStore) -> None:
    with pytest.raises(LocalRefused, match="is a bucket"):
        store.open_read(at("bucket"))
    with pytest.raises(LocalRefused, match="ends in /"):
        store.open_write(at("bucket/folder/"), Incoming())


# Copies


def test_the_service_copies_between_buckets(emulator: GcsEmulator, store: GcsStore, place: str) -> None:
    other, data = emulator.new_bucket(), content(100_000)
    blob(emulator, f"{place}/x").upload_from_string(data)
    step = store.copy(at(f"{place}/x"), at(f"{other}/to/y"), "")
    assert step.receipt is not None
    assert (step.receipt.size, step.bytes) == (len(data), len(data))
    assert digest_of("crc32c", data) in step.receipt.digests
    assert got(emulator, f"{other}/to/y") == data


def test_two_services_do_not_copy(versioned: GcsEmulator, checking: GcsEmulator) -> None:
    from wf.protocols.conformance_tools import make_context
    from wf.protocols.gcs import GcsStore

    context = make_context(credential=lambda location, _: nobody(f"http://127.0.0.1:{location.site}"))
    with closing(GcsStore(context)) as store, pytest.raises(Unsupported, match="different services"):
        here, there = (
            at("a/x")._replace(site=str(versioned.port)),
            at("b/x")._replace(site=str(checking.port)),
        )
        store.copy(here, there, "")
