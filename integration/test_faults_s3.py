"""What S3 services and networks do to a batch, with SeaweedFS behind proxies that break things."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from commands import (
    Job,
    Neighbours,
    Run,
    assert_failed,
    contents,
    keys_in,
    partials,
    site_sections,
    stored,
    transfer,
    uploads_in,
    wait_for,
)
from servers.faults import Fault, FaultProxy, cut, fault_proxy, flip, reset, stall
from servers.scripted import answer, scripted
from servers.seaweed import ADMIN, UNKNOWN, WRONG_SECRET, Keys, Seaweed

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = bytes(range(256)) * 40
LARGE = os.urandom(1 << 20) * 20
"""More than one part."""
DATA = {"small": SMALL, "large": LARGE}
STALL_SECONDS = ("--stall-seconds", "0.7")


def sha256(data: bytes) -> dict[str, str]:
    return {"type": "sha256", "value": hashlib.sha256(data).hexdigest()}


class Store:
    """A bucket behind a site of the job's credentials file; `proxy` breaks what the test injects into it."""

    def __init__(self, service: Seaweed, bucket: str, proxy: FaultProxy, job: Job) -> None:
        self.service, self.bucket, self.proxy, self.job = service, bucket, proxy, job
        self.use()

    def use(self, keys: Keys = ADMIN, endpoint: str = "") -> None:
        self.job.credentials(site_sections(endpoint or self.proxy.url, keys))

    def url(self, key: str) -> str:
        return f"s3://alice@store/{self.bucket}/{key}"

    def put(self, key: str, data: bytes) -> str:
        self.service.client().put_object(Bucket=self.bucket, Key=key, Body=data)
        return self.url(key)

    def holds(self, key: str) -> bytes | None:
        return stored(self.service, self.bucket, key)

    def assert_untouched(self) -> None:
        assert keys_in(self.service, self.bucket) == []
        assert uploads_in(self.service, self.bucket) == []


@pytest.fixture
def store(s3: Seaweed, bucket: str, job: Job) -> Iterator[Store]:
    with fault_proxy(s3.port) as proxy:
        yield Store(s3, bucket, proxy, job)


def upload(job: Job, store: Store, data: bytes, key: str = "bad") -> dict:
    (job.folder / "input").write_bytes(data)
    return transfer(key, f"file://{job.folder}/input", store.url(key))


# --- refusals


@pytest.mark.parametrize("keys", [WRONG_SECRET, UNKNOWN], ids=["wrong secret", "unknown key"])
@pytest.mark.parametrize("writing", [False, True], ids=["read", "write"])
def test_wrong_keys_are_told_and_end_with_77(
    keys: Keys, writing: bool, store: Store, job: Job, neighbours: Neighbours
) -> None:
    there = store.put("there", SMALL)
    store.use(keys)
    bad = upload(job, store, SMALL) if writing else transfer("bad", there, job.url("bad"))
    run = job.run(neighbours.around(bad))
    assert_failed(run, "bad", "denied", end="destination" if writing else "source")
    assert "alice@store" in run.told("bad")
    assert keys.secret not in run.err
    neighbours.assert_done(run)
    assert run.exit == 77
    assert contents(job.out).keys() == {"before", "after"}
    assert store.holds("bad") is None


def test_keys_that_may_only_read_do_not_write(store: Store, job: Job, neighbours: Neighbours) -> None:
    store.use(store.service.read_only)
    run = job.run(neighbours.around(upload(job, store, SMALL)))
    assert_failed(run, "bad", "denied", end="destination")
    neighbours.assert_done(run)
    assert run.exit == 77
    store.assert_untouched()


def test_missing_keys_are_told_with_every_place_that_was_looked_at(
    store: Store, job: Job, neighbours: Neighbours
) -> None:
    job.credentials(f"[store]\nendpoint = {store.service.endpoint}\n")
    run = job.run(neighbours.around(upload(job, store, SMALL)))
    assert_failed(run, "bad", "missing-credential", end="destination")
    assert "[alice@store]" in run.told("bad")
    neighbours.assert_done(run)
    assert run.exit == 77


@pytest.mark.parametrize("bucket_there", [True, False], ids=["no such key", "no such bucket"])
def test_a_missing_object_is_not_asked_for_twice(
    bucket_there: bool, store: Store, job: Job, neighbours: Neighbours
) -> None:
    url = store.url("nothing") if bucket_there else "s3://alice@store/no-such-bucket/nothing"
    run = job.run(neighbours.around(transfer("bad", url, job.url("bad"))))
    assert_failed(run, "bad", "not-found", end="source")
    assert len(run.request("bad")["attempts"]) == 1
    neighbours.assert_done(run)
    assert run.exit == 1
    assert contents(job.out).keys() == {"before", "after"}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_a_bucket_that_is_not_there_gets_nothing(
    data: bytes, store: Store, job: Job, neighbours: Neighbours
) -> None:
    (job.folder / "input").write_bytes(data)
    bad = transfer("bad", f"file://{job.folder}/input", "s3://alice@store/no-such-bucket/key")
    run = job.run(neighbours.around(bad))
    assert_failed(run, "bad", "not-found", end="destination")
    neighbours.assert_done(run)
    assert run.exit == 1


def test_a_presigned_url_that_expired_is_refused_and_not_shown(
    store: Store, job: Job, neighbours: Neighbours
) -> None:
    store.put("f", SMALL)
    url = store.service.client().generate_presigned_url(
        "get_object", Params={"Bucket": store.bucket, "Key": "f"}, ExpiresIn=1
    )
    wait_for(lambda: _status(url) == 403, "the URL's expiry")
    run = job.run(neighbours.around(transfer("bad", url, job.url("bad"))))
    assert_failed(run, "bad", "denied", end="source")
    assert "expired" in run.told("bad").lower()
    signature = url.partition("Signature=")[2].partition("&")[0]
    assert signature not in run.err + str(run.document) + str(run.events)
    neighbours.assert_done(run)
    assert run.exit == 77
    assert contents(job.out).keys() == {"before", "after"}


def _status(url: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=30) as got:
            return int(got.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_presigned_url_works_as_it_is(store: Store, job: Job) -> None:
    store.put("it's 100% +ü", SMALL)
    url = store.service.client().generate_presigned_url(
        "get_object", Params={"Bucket": store.bucket, "Key": "it's 100% +ü"}
    )
    run = job.run([transfer("f", url, job.url("f"))])
    assert (run.exit, contents(job.out)) == (0, {"f": SMALL})


S3_ERROR = b'<?xml version="1.0"?><Error><Code>%s</Code><Message>said so</Message></Error>'
STATUSES = [
    ("403 Forbidden", "AccessDenied", "denied", 77),
    ("404 Not Found", "NoSuchKey", "not-found", 1),
    ("429 Too Many Requests", "SlowDown", "busy", 75),
    ("500 Internal Server Error", "InternalError", "server-error", 75),
    ("503 Service Unavailable", "SlowDown", "busy", 75),
]


@pytest.mark.parametrize("writing", [False, True], ids=["read", "write"])
@pytest.mark.parametrize(("status", "name", "code", "exit_code"), STATUSES)
def test_what_a_service_answers_is_told_by_its_own_name(
    status: str,
    name: str,
    code: str,
    exit_code: int,
    writing: bool,
    store: Store,
    job: Job,
    neighbours: Neighbours,
) -> None:
    refusal = answer(S3_ERROR % name.encode(), "Content-Type: application/xml", status=status)
    with scripted(refusal) as service:
        store.use(endpoint=service.url)
        bad = upload(job, store, SMALL) if writing else transfer("bad", store.url("bad"), job.url("bad"))
        run = job.run(neighbours.around(bad), "-m", "1")
    assert_failed(run, "bad", code, end="destination" if writing else "source")
    assert name in run.told("bad")
    neighbours.assert_done(run)
    assert run.exit == exit_code
    assert contents(job.out).keys() == {"before", "after"}


def test_an_error_inside_a_success_is_no_success(store: Store, job: Job, neighbours: Neighbours) -> None:
    """CompleteMultipartUpload may answer 200 and tell in its body that it failed."""
    kind = "Content-Type: application/xml"
    begun = answer(
        b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>", kind
    )
    part = answer(b"", 'ETag: "no-md5"')
    failed = answer(S3_ERROR % b"InternalError", kind)
    none = answer(b"<ListMultipartUploadsResult></ListMultipartUploadsResult>", kind)
    with scripted(none, begun, part, part, part, failed) as service:
        store.use(endpoint=service.url)
        run = job.run(neighbours.around(upload(job, store, LARGE)), "-m", "1", "-n", "1")
        lines = [request.line for request in service.requests[:6]]
    assert [line.partition(" ")[0] for line in lines] == ["GET", "POST", "PUT", "PUT", "PUT", "POST"]
    assert_failed(run, "bad", "server-error", end="destination")
    assert "InternalError" in run.told("bad")
    neighbours.assert_done(run)
    assert run.exit == 75


# --- corruption


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_a_corrupted_byte_of_a_download_is_never_published(
    data: bytes, store: Store, job: Job, neighbours: Neighbours
) -> None:
    url = store.put("f", data)
    store.proxy.inject(flip(5000, body=True))
    run = job.run(neighbours.around(transfer("bad", url, job.url("bad"), checksum=sha256(data))))
    assert_failed(run, "bad", "mismatch", end="source")
    neighbours.assert_done(run)
    assert run.exit == 3
    assert contents(job.out).keys() == {"before", "after"}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_a_corrupted_byte_of_an_upload_is_never_stored(
    data: bytes, store: Store, job: Job, neighbours: Neighbours
) -> None:
    store.proxy.inject(flip(5000, body=True, upward=True))
    run = job.run(neighbours.around(upload(job, store, data)), "-m", "1")
    neighbours.assert_done(run)
    if data is LARGE:
        # A part that was refused is sent again within the attempt.
        assert (run.exit, store.holds("bad")) == (0, data)
        return
    assert_failed(run, "bad", "broken", end="destination")
    assert "BadDigest" in run.told("bad")
    assert run.exit == 75
    store.assert_untouched()


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_a_corrupted_byte_of_an_upload_is_healed_by_another_attempt(
    data: bytes, store: Store, job: Job
) -> None:
    store.proxy.inject(flip(5000, body=True, upward=True), first=1)
    run = job.run([upload(job, store, data, "f")])
    assert run.exit == 0, run.err
    assert store.holds("f") == data
    assert uploads_in(store.service, store.bucket) == []


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_a_corrupted_source_is_not_stored(
    data: bytes, store: Store, job: Job, neighbours: Neighbours
) -> None:
    (neighbours.root / "f").write_bytes(data)
    with fault_proxy(neighbours.port, flip(5000, body=True)) as corrupting:
        bad = transfer("bad", f"{corrupting.url}/f", store.url("bad"), checksum=sha256(data))
        run = job.run(neighbours.around(bad))
    assert_failed(run, "bad", "mismatch", end="source")
    neighbours.assert_done(run)
    assert run.exit == 3
    store.assert_untouched()


# --- connections that end

BREAKS = {
    "cut": cut(1_000_000, body=True),
    "reset": reset(1_000_000, body=True),
    "stalled": stall(1_000_000, body=True),
}
UPLOAD_BREAKS = {
    "cut": cut(1_000_000, upward=True),
    "reset": reset(1_000_000, upward=True),
    "stalled": stall(1_000_000, upward=True),
}


def _broken(run: Run, end: str, neighbours: Neighbours) -> None:
    code = run.request("bad")["error"]["code"]
    assert code in ("broken", "unreachable")
    assert_failed(run, "bad", code, end=end)
    neighbours.assert_done(run)
    assert run.exit == 75


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
def test_a_download_that_always_breaks_ends_in_an_error(
    fault: Fault, store: Store, job: Job, neighbours: Neighbours
) -> None:
    url = store.put("f", LARGE)
    store.proxy.inject(fault)
    run = job.run(neighbours.around(transfer("bad", url, job.url("bad"))), *STALL_SECONDS, "-m", "2")
    _broken(run, "source", neighbours)
    assert contents(job.out).keys() == {"before", "after"}


@pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)
def test_a_download_that_breaks_once_goes_on(fault: Fault, store: Store, job: Job) -> None:
    url = store.put("f", LARGE)
    store.proxy.inject(fault, first=1)
    run = job.run([transfer("f", url, job.url("f"))], *STALL_SECONDS)
    assert (run.exit, contents(job.out)) == (0, {"f": LARGE})


@pytest.mark.parametrize("fault", UPLOAD_BREAKS.values(), ids=UPLOAD_BREAKS)
def test_an_upload_that_always_breaks_leaves_nothing(
    fault: Fault, store: Store, job: Job, neighbours: Neighbours
) -> None:
    store.proxy.inject(fault)
    run = job.run(neighbours.around(upload(job, store, LARGE)), *STALL_SECONDS, "-m", "2")
    _broken(run, "destination", neighbours)
    store.assert_untouched()


@pytest.mark.parametrize("fault", UPLOAD_BREAKS.values(), ids=UPLOAD_BREAKS)
def test_an_upload_that_breaks_once_is_done_again(fault: Fault, store: Store, job: Job) -> None:
    store.proxy.inject(fault, first=1)
    run = job.run([upload(job, store, LARGE, "f")], *STALL_SECONDS)
    assert run.exit == 0, run.err
    assert store.holds("f") == LARGE
    assert uploads_in(store.service, store.bucket) == []


def test_an_object_that_changes_in_the_middle_is_never_mixed(store: Store, job: Job) -> None:
    url, other = store.put("f", LARGE), os.urandom(len(LARGE))
    store.proxy.inject(stall(1_000_000, body=True), first=1)
    process = job.start([transfer("f", url, job.url("f"))], "--stall-seconds", "1.5")
    wait_for(lambda: store.proxy.bytes_down > 1_000_000, "the first part's arrival")
    store.put("f", other)
    run = job.finish(process)
    assert (run.exit, contents(job.out)) == (0, {"f": other})


def test_a_killed_download_is_done_right_by_the_next_run(store: Store, job: Job) -> None:
    url = store.put("f", LARGE)
    store.proxy.inject(stall(5_000_000, body=True), first=1)
    batch = [transfer("f", url, job.url("f"), checksum=sha256(LARGE))]
    process = job.start(batch)
    wait_for(lambda: any(path.stat().st_size > 0 for path in partials(job.out)), "the partial")
    process.kill()
    process.communicate()
    assert not (job.out / "f").exists()
    run = job.run(batch)
    assert (run.exit, contents(job.out)) == (0, {"f": LARGE})


def test_a_killed_upload_is_done_right_by_the_next_run(store: Store, job: Job) -> None:
    batch = [upload(job, store, LARGE, "f")]
    store.proxy.inject(stall(9_000_000, upward=True), first=1)
    process = job.start(batch)
    wait_for(lambda: store.proxy.bytes_up >= 9_000_000, "the first part's departure")
    process.kill()
    process.communicate()
    assert store.holds("f") is None
    run = job.run(batch)
    assert (run.exit, store.holds("f")) == (0, LARGE)
