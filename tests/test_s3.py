"""S3 against SeaweedFS; boto3 looks at what we wrote, and we at what boto3 wrote."""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from s3_tools import access_key, at, s3_store
from servers.faults import PASS, cut, fault_proxy, flip
from servers.seaweed import READ_ONLY, UNKNOWN, WRONG_SECRET
from wf.checksum.digest import Digest
from wf.protocols.conformance_tools import BUFFER, begun, content, digests_for, drained, make_context, written
from wf.protocols.errors import (
    Broken,
    Changed,
    Denied,
    LocalRefused,
    Misconfigured,
    NotFound,
    Stopped,
    TransferError,
    Unreachable,
    Unsupported,
)
from wf.protocols.proxies import Proxies, Proxy
from wf.protocols.s3 import S3Store
from wf.protocols.s3_copy import copy_step
from wf.protocols.s3_parts import PART_BYTES, PARTS_MOST, part_bytes
from wf.protocols.tls import tls_context
from wf.protocols.values import Incoming

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.seaweed import Keys, Seaweed
    from servers.tls import TlsFiles

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shared_bucket(seaweed_service: Seaweed) -> str:
    return seaweed_service.new_bucket()


@pytest.fixture
def place(shared_bucket: str) -> str:
    """A bucket and a prefix of this test's own: `bucket/number`."""
    return f"{shared_bucket}/{next(_numbers)}"


@pytest.fixture
def store(s3: Seaweed) -> Iterator[S3Store]:
    store = s3_store(access_key(s3.endpoint, s3.admin))
    yield store
    store.close()


@pytest.fixture
def tls_store(s3: Seaweed, tls_files: TlsFiles) -> Iterator[S3Store]:
    trust = tls_context({"SSL_CERT_FILE": str(tls_files.ca)})
    store = s3_store(access_key(s3.tls_endpoint, s3.admin), tls=trust)
    yield store
    store.close()


def split(path: str) -> dict[str, str]:
    bucket, _, key = path.partition("/")
    return {"Bucket": bucket, "Key": key}


def put(s3: Seaweed, path: str, data: bytes) -> None:
    s3.client().put_object(**split(path), Body=data)


def got(s3: Seaweed, path: str) -> bytes:
    return bytes(s3.client().get_object(**split(path))["Body"].read())


def keys_below(s3: Seaweed, path: str) -> set[str]:
    where = split(path)
    pages = s3.client().get_paginator("list_objects_v2").paginate(Bucket=where["Bucket"], Prefix=where["Key"])
    return {item["Key"][len(where["Key"]) :] for page in pages for item in page.get("Contents", ())}


def uploads(s3: Seaweed, path: str) -> list[str]:
    where = split(path)
    answer = s3.client().list_multipart_uploads(Bucket=where["Bucket"], Prefix=where["Key"])
    return [upload["Key"] for upload in answer.get("Uploads", ())]


# Reading and writing


@pytest.mark.parametrize(
    "size", (0, 1, BUFFER, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 77)
)
@pytest.mark.parametrize("said", (True, False), ids=("size known", "size unknown"))
def test_boto3_reads_what_we_wrote(s3: Seaweed, store: S3Store, place: str, size: int, said: bool) -> None:
    data = content(size)
    receipt = written(store, at(f"{place}/x"), data, size=size if said else None)
    assert got(s3, f"{place}/x") == data
    assert receipt.version == s3.client().head_object(**split(f"{place}/x"))["ETag"]
    assert uploads(s3, f"{place}/x") == []


@pytest.mark.parametrize("size", (0, 5, PART_BYTES + 5))
def test_over_tls_too(s3: Seaweed, tls_store: S3Store, place: str, size: int) -> None:
    data = content(size)
    receipt = written(tls_store, at(f"{place}/x", "s3s"), data)
    assert got(s3, f"{place}/x") == data
    assert receipt.size in (None, size)
    assert drained(tls_store.open_read(at(f"{place}/x", "s3s"))) == data


def test_we_read_what_boto3_wrote_in_parts(s3: Seaweed, store: S3Store, place: str) -> None:
    from boto3.s3.transfer import TransferConfig

    data = content(3 * PART_BYTES + 1)
    import io

    config = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
    s3.client().upload_fileobj(io.BytesIO(data), *split(f"{place}/x").values(), Config=config)
    reader = store.open_read(at(f"{place}/x"))
    assert reader.digests == (), "the checksum of the parts' checksums is not one of the object"
    assert drained(reader) == data


def test_a_digest_that_was_stored_is_known_to_the_reader(s3: Seaweed, store: S3Store, place: str) -> None:
    s3.client().put_object(**split(f"{place}/x"), Body=b"content", ChecksumAlgorithm="SHA256")
    wanted = Digest("sha256", hashlib.sha256(b"content").digest())
    reader = store.open_read(at(f"{place}/x"))
    assert reader.digests == (wanted,)
    assert drained(reader) == b"content"
    ranged = store.open_read(at(f"{place}/x"), start=2)
    assert (ranged.digests, drained(ranged)) == ((), b"ntent")
    assert store.digest(at(f"{place}/x"), "sha256") == wanted
    assert store.stat(at(f"{place}/x")).digests == (wanted,)
    assert store.digest(at(f"{place}/x"), "md5") is None


def test_the_receipt_of_one_put_is_what_the_service_checked(s3: Seaweed, store: S3Store, place: str) -> None:
    data = content(1000)
    writer = store.open_write(at(f"{place}/x"), Incoming(1000, hashlib.sha256(data).digest()))
    writer.write(memoryview(data))
    md5 = Digest("md5", hashlib.md5(data).digest())
    receipt = writer.commit((*digests_for(writer, data), md5))
    assert set(receipt.digests) == {Digest("sha256", hashlib.sha256(data).digest()), md5}
    answer = s3.client().head_object(**split(f"{place}/x"), ChecksumMode="ENABLED")
    assert answer["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(data).digest()).decode()


def test_the_receipt_of_an_upload_in_parts_has_the_size_the_service_sees(store: S3Store, place: str) -> None:
    receipt = written(store, at(f"{place}/x"), content(PART_BYTES + 9), size=None)
    assert (receipt.size, receipt.digests) == (PART_BYTES + 9, ())


def test_a_range_is_of_the_version_that_was_asked_for(s3: Seaweed, store: S3Store, place: str) -> None:
    put(s3, f"{place}/x", b"0123456789")
    whole = store.open_read(at(f"{place}/x"))
    version = whole.version
    whole.close()
    reader = store.open_read(at(f"{place}/x"), start=3, length=4, version=version)
    assert (drained(reader), reader.size, reader.version) == (b"3456", 10, version)
    put(s3, f"{place}/x", b"9876543210")
    with pytest.raises(Changed):
        store.open_read(at(f"{place}/x"), start=3, version=version)


ODD_KEYS = (
    "blank in name",
    "100%25 %zz",
    "a+b&c=d;e",
    "what?ever#top",
    "umläut-空-🎈",
    "new\nline",
    "quote'\"`$(x)",
    "<tag>&amp;",
    "~tilde!()*",
    " leading",
    "trailing ",
    "carriage\rreturn",
)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_the_same_for_boto3(s3: Seaweed, store: S3Store, place: str, key: str) -> None:
    written(store, at(f"{place}/{key}"), b"ours")
    assert got(s3, f"{place}/{key}") == b"ours"
    put(s3, f"{place}/{key}", b"theirs")
    assert drained(store.open_read(at(f"{place}/{key}"))) == b"theirs"
    assert [entry.path for entry in store.list(at(place), recursive=True)] == [key]
    store.copy(at(f"{place}/{key}"), at(f"{place}/copy of/{key}"), "")
    assert got(s3, f"{place}/copy of/{key}") == b"theirs"
    store.remove(at(place), recursive=True)
    assert keys_below(s3, f"{place}/") == set()


def test_two_slashes_in_a_key_are_kept(store: S3Store, place: str) -> None:
    written(store, at(f"{place}/a//b"), b"two")
    assert drained(store.open_read(at(f"{place}/a//b"))) == b"two"


def test_memory_stays_flat_however_long_the_object(store: S3Store, place: str) -> None:
    piece = content(BUFFER)
    tracemalloc.start()
    try:
        writer = store.open_write(at(f"{place}/x"), Incoming())
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(5 * PART_BYTES // BUFFER + 1):
            writer.write(memoryview(piece))
        receipt = writer.commit(())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert receipt.size == 5 * PART_BYTES + BUFFER
    assert peak - before < 2 * BUFFER


def test_ten_thousand_parts_hold_the_largest_object() -> None:
    assert part_bytes(None, 0) == part_bytes(10 * PARTS_MOST, 0) == PART_BYTES
    assert sum(part_bytes(None, number) for number in range(PARTS_MOST)) >= 5 << 40
    for size in (80 << 30, (80 << 30) + 1, 5 << 40):
        part = part_bytes(size, 0)
        assert part * PARTS_MOST >= size
        assert part <= 5 << 30 and part % (1 << 20) == 0


# What goes wrong on the way


@pytest.mark.parametrize("size", (70_000, PART_BYTES + 70_000))
def test_a_byte_that_was_altered_on_the_way_is_refused(s3: Seaweed, place: str, size: int) -> None:
    with fault_proxy(s3.port, flip(50_000, upward=True)) as faulty:
        store = s3_store(access_key(faulty.url, s3.admin))
        with pytest.raises(Broken) as caught:
            written(store, at(f"{place}/x"), content(size))
        store.close()
    assert "BadDigest" in caught.value.what
    assert keys_below(s3, place) == set()
    assert uploads(s3, place) == []


def test_an_upload_that_breaks_leaves_nothing(s3: Seaweed, place: str) -> None:
    with fault_proxy(s3.port, cut(PART_BYTES // 2, upward=True)) as faulty:
        store = s3_store(access_key(faulty.url, s3.admin))
        writer = begun(store, at(f"{place}/x"), content(PART_BYTES))
        with pytest.raises(Broken):
            writer.write(memoryview(b"one more"))
        assert uploads(s3, place) != []
        faulty.inject(PASS)
        writer.abort()
        writer.abort()
        store.close()
    assert uploads(s3, place) == []
    assert keys_below(s3, place) == set()


def test_an_upload_is_abandoned_although_the_run_was_stopped(s3: Seaweed, place: str) -> None:
    stop = threading.Event()
    store = s3_store(access_key(s3.endpoint, s3.admin), stop=stop)
    writer = begun(store, at(f"{place}/x"), content(PART_BYTES + 1))
    assert uploads(s3, place) != []
    stop.set()
    store.close()
    with pytest.raises(Stopped):
        store.stat(at(f"{place}/x"))
    writer.abort()
    assert uploads(s3, place) == []


def test_abort_never_raises(s3: Seaweed, place: str) -> None:
    with fault_proxy(s3.port) as faulty:
        store = s3_store(access_key(faulty.url, s3.admin), connect=1.0)
        writer = begun(store, at(f"{place}/x"), content(PART_BYTES + 1))
    writer.abort()
    store.close()


def test_a_server_that_is_not_there_is_unreachable(place: str) -> None:
    store = s3_store(access_key("http://127.0.0.1:1"))
    with pytest.raises(Unreachable):
        store.stat(at(f"{place}/x"))


# Who may do what


@pytest.mark.parametrize(
    ("keys", "code", "remedy"),
    [
        (WRONG_SECRET, "SignatureDoesNotMatch", "secret_key"),
        (UNKNOWN, "InvalidAccessKeyId", "access_key and endpoint"),
    ],
)
def test_a_wrong_key_is_named_with_its_origin_and_a_remedy(
    s3: Seaweed, place: str, keys: Keys, code: str, remedy: str
) -> None:
    put(s3, f"{place}/x", b"x")
    store = s3_store(access_key(s3.endpoint, keys))
    with pytest.raises(Denied) as caught:
        store.open_read(at(f"{place}/x"))
    assert code in caught.value.what
    assert "(access key alice@test, from [alice@test] of a file)" in caught.value.what
    assert remedy in caught.value.remedy
    assert keys.secret not in caught.value.what
    with pytest.raises(Denied):
        written(store, at(f"{place}/y"), b"y")
    store.close()


def test_a_user_who_may_only_read_reads(s3: Seaweed, place: str) -> None:
    put(s3, f"{place}/x", b"x")
    store = s3_store(access_key(s3.endpoint, READ_ONLY))
    assert drained(store.open_read(at(f"{place}/x"))) == b"x"
    assert [entry.path for entry in store.list(at(place), recursive=False)] == ["x"]
    store.make_directory(at(place))
    with pytest.raises(Denied):
        written(store, at(f"{place}/y"), b"y")
    with pytest.raises(Denied):
        written(store, at(f"{place}/y"), content(PART_BYTES + 1))
    for recursive in (False, True):
        with pytest.raises(Denied):
            store.remove(at(f"{place}/x"), recursive=recursive)
    with pytest.raises(Denied):
        store.copy(at(f"{place}/x"), at(f"{place}/y"), "")
    assert keys_below(s3, f"{place}/") == {"x"}
    store.close()


def test_a_private_object_is_not_for_everybody(s3: Seaweed, place: str) -> None:
    put(s3, f"{place}/x", b"x")
    store = s3_store(access_key(s3.endpoint, ("", "")))
    with pytest.raises(Denied):
        store.open_read(at(f"{place}/x"))
    store.close()


def test_a_missing_bucket_is_told(s3: Seaweed, store: S3Store) -> None:
    for call in (
        lambda: store.open_read(at("no-such-bucket/x")),
        lambda: written(store, at("no-such-bucket/x"), b"x"),
        lambda: written(store, at("no-such-bucket/x"), content(PART_BYTES + 1)),
        lambda: list(store.list(at("no-such-bucket/x"), recursive=False)),
        lambda: store.stat(at("no-such-bucket")),
    ):
        with pytest.raises(NotFound):
            call()
    store.remove(at("no-such-bucket/x"), recursive=False)
    store.remove(at("no-such-bucket/x"), recursive=True)


def test_s3s_insists_on_tls(store: S3Store, place: str) -> None:
    with pytest.raises(Misconfigured, match="wants TLS, but the endpoint"):
        store.open_read(at(f"{place}/x", "s3s"))


def test_a_certificate_that_nobody_vouches_for_is_refused(
    s3: Seaweed, tls_files: TlsFiles, place: str
) -> None:
    trust = tls_context({"SSL_CERT_FILE": str(tls_files.wrong_ca)})
    store = s3_store(access_key(s3.tls_endpoint, s3.admin), tls=trust)
    with pytest.raises(Misconfigured, match="certificate"):
        store.open_read(at(f"{place}/x", "s3s"))


def test_buckets_as_host_names(s3: Seaweed, place: str) -> None:
    put(s3, f"{place}/a b", b"virtual")
    # Nobody resolves these names here, so the service is asked as if it were a proxy.
    through = Proxies(http=Proxy("127.0.0.1", s3.port))
    context = make_context(
        credential=access_key(f"http://localhost:{s3.port}", s3.admin, addressing="virtual")
    )
    context._proxies = lambda: through
    store = S3Store(context)
    assert drained(store.open_read(at(f"{place}/a b"))) == b"virtual"
    assert store.stat(at(place.partition("/")[0])).is_directory
    assert [entry.path for entry in store.list(at(place), recursive=False)] == ["a b"]
    store.close()


def test_something_else_than_an_access_key_is_a_configuration_error(place: str) -> None:
    store = S3Store(make_context())
    with pytest.raises(Misconfigured, match="needs an access key, not anonymous"):
        store.stat(at(f"{place}/x"))


# Buckets and folders


def test_a_folder_is_its_bucket(s3: Seaweed, store: S3Store) -> None:
    bucket = f"made-{time.time_ns()}"
    for _ in range(2):
        store.make_directory(at(f"{bucket}/some/folder"))
    assert s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert store.stat(at(bucket)).is_directory
    with pytest.raises(NotFound):
        store.stat(at(f"{bucket}/some/folder"))
    written(store, at(f"{bucket}/some/folder/x"), b"x")
    assert store.stat(at(f"{bucket}/some/folder/")).is_directory
    with pytest.raises(LocalRefused):
        store.remove(at(f"{bucket}/some/folder/"), recursive=False)
    with pytest.raises(LocalRefused, match="BucketNotEmpty"):
        store.remove(at(bucket), recursive=False)
    store.remove(at(bucket), recursive=True)
    with pytest.raises(NotFound):
        store.stat(at(bucket))


def test_an_object_needs_a_key(store: S3Store, place: str) -> None:
    bucket = place.partition("/")[0]
    for path in (bucket, f"{bucket}/"):
        with pytest.raises(LocalRefused, match="is a bucket"):
            store.open_read(at(path))
        with pytest.raises(LocalRefused, match="is a bucket"):
            store.open_write(at(path), Incoming())
    with pytest.raises(LocalRefused, match="ends in /"):
        store.open_write(at(f"{place}/folder/"), Incoming())


def test_more_than_a_page_is_listed_and_removed_and_nothing_beside_it(
    s3: Seaweed, store: S3Store, place: str
) -> None:
    names = {f"many/{number % 7}/file {number:04}" for number in range(1205)}
    for name in names:
        written(store, at(f"{place}/{name}"), b"")
    beside = {"many", "many-more/x", "many.txt", "manyfold/y"}
    for name in beside - {"many"}:
        written(store, at(f"{place}/{name}"), b"stays")
    found = list(store.list(at(place), recursive=True))
    assert {entry.path for entry in found if not entry.is_directory} == names | (beside - {"many"})
    folders = [entry.path for entry in found if entry.is_directory]
    assert sorted(folders) == ["many", "many-more", *(f"many/{n}" for n in range(7)), "manyfold"]
    assert {entry.path for entry in store.list(at(f"{place}/many"), recursive=False)} == set("0123456")
    store.remove(at(f"{place}/many"), recursive=True)
    assert keys_below(s3, f"{place}/") == beside - {"many"}


def test_an_entry_tells_size_version_and_time(s3: Seaweed, store: S3Store, place: str) -> None:
    put(s3, f"{place}/x", b"12345")
    [entry] = store.list(at(place), recursive=False)
    seen = store.stat(at(f"{place}/x"))
    assert (entry.size, entry.version) == (seen.size, seen.version) == (5, seen.version)
    assert entry.modified is not None and seen.modified is not None
    assert abs(entry.modified - seen.modified) < 2
    assert abs(seen.modified - time.time()) < 600


# Copies


def test_a_copy_in_parts(s3: Seaweed, store: S3Store, place: str) -> None:
    part = 5 << 20
    data = content(2 * part + 3)
    put(s3, f"{place}/from", data)
    source, destination = (store._object(at(f"{place}/{name}"), "write") for name in ("from", "to"))
    handle, offsets = "", []
    while True:
        step = copy_step(source, destination, handle, most=part, part=part)
        offsets.append(step.bytes)
        if step.receipt is not None:
            break
        handle = step.handle
    assert offsets == [0, part, 2 * part, len(data), len(data)]
    assert step.receipt.size == len(data)
    assert got(s3, f"{place}/to") == data


def test_a_source_that_changes_between_parts_ends_the_copy(s3: Seaweed, store: S3Store, place: str) -> None:
    part = 5 << 20
    put(s3, f"{place}/from", content(2 * part))
    source, destination = (store._object(at(f"{place}/{name}"), "write") for name in ("from", "to"))
    step = copy_step(source, destination, "", most=part, part=part)
    put(s3, f"{place}/from", content(2 * part)[::-1])
    with pytest.raises(TransferError) as caught:
        copy_step(source, destination, step.handle, most=part, part=part)
    assert isinstance(caught.value, Changed)
    assert uploads(s3, f"{place}/to") == []


def test_a_copy_between_users_is_left_to_the_engine(s3: Seaweed, place: str) -> None:
    put(s3, f"{place}/from", b"x")
    store = S3Store(
        make_context(
            credential=lambda location, purpose: access_key(
                s3.endpoint, READ_ONLY if purpose == "read" else s3.admin
            )
        )
    )
    with pytest.raises(Unsupported, match="different"):
        store.copy(at(f"{place}/from"), at(f"{place}/to"), "")
    store.close()
