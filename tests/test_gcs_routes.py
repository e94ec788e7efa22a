"""Cloud Storage beside other protocols, through the engine: files, the web, S3, and itself."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from command_runs import wf_transfer
from gcs_tools import at as gs
from gcs_tools import checking, nobody, versioned
from runs import QUICK, execute, leftovers, mkdir, remove, sha256, transfer
from s3_tools import access_key
from servers.faults import cut, fault_proxy
from servers.scripted import BODY, CLOSE, answer, scripted
from wf.protocols.conformance_tools import content, digest_of
from wf.protocols.gcs_writer import CHUNK_BYTES
from wf.protocols.locations import parse_location
from wf.protocols.registry import GCS, HTTP, S3
from wf.transfer.outcomes import Status
from wf.transfer.overlapping import LEAST
from wf.transfer.routes import Route
from wf.transfer.settings import Evidence

if TYPE_CHECKING:
    from pathlib import Path

    from servers.gcs import GcsEmulator
    from servers.nginx import Nginx
    from servers.seaweed import Seaweed
    from wf.credentials.kinds import Credential

__all__ = ["checking", "versioned"]

_numbers = itertools.count(1)
LARGE = CHUNK_BYTES + 4321


class Source(NamedTuple):
    """Credentials by scheme and, for gs, by a site that is a port."""

    gcs: GcsEmulator | None
    s3: Seaweed | None = None

    def find(self, scheme: str, host: str, site: str = "", **about: str) -> Credential:
        from wf.credentials.kinds import Anonymous

        if scheme == "gs":
            return nobody(f"http://127.0.0.1:{site or (self.gcs and self.gcs.port)}")
        if scheme == "s3" and self.s3 is not None:
            return access_key(self.s3.endpoint, self.s3.admin)
        return Anonymous()

    def name(self, scheme: str, host: str, site: str = "", **about: str) -> str:
        return "test"


@pytest.fixture
def place(checking: GcsEmulator) -> str:
    return f"{checking.new_bucket()}/{next(_numbers)}"


def got(emulator: GcsEmulator, path: str) -> bytes:
    bucket, _, key = path.partition("/")
    return bytes(emulator.client().bucket(bucket).blob(key).download_as_bytes(raw_download=True))


@pytest.mark.parametrize("size", (0, 1000, LARGE))
def test_a_file_goes_there_and_back(checking: GcsEmulator, place: str, tmp_path: Path, size: int) -> None:
    data = content(size)
    (tmp_path / "from").write_bytes(data)
    out = execute(
        [transfer(0, tmp_path / "from", gs(f"{place}/x"), expected=sha256(data))],
        GCS,
        credentials=Source(checking),
    )
    assert (out[0].status, out[0].route, out[0].evidence) == (Status.DONE, Route.DIRECT, Evidence.CHECKSUM)
    back = execute(
        [transfer(0, gs(f"{place}/x"), tmp_path / "to", expected=sha256(data))],
        GCS,
        credentials=Source(checking),
    )
    assert back[0].status == Status.DONE
    assert (tmp_path / "to").read_bytes() == data
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("size", (1000, LARGE))
def test_from_the_web_and_to_s3_and_back(
    checking: GcsEmulator, place: str, web: Nginx, s3: Seaweed, bucket: str, tmp_path: Path, size: int
) -> None:
    data, credentials = content(size), Source(checking, s3)
    (web.root / "data").write_bytes(data)
    there = parse_location(f"s3://alice@test/{bucket}/x")
    steps = (
        (parse_location(f"{web.url}/data"), gs(f"{place}/from-web")),
        (gs(f"{place}/from-web"), there),
        (there, gs(f"{place}/from-s3")),
    )
    for source, destination in steps:
        done = execute(
            [transfer(0, source, destination, expected=sha256(data))], GCS, HTTP, S3, credentials=credentials
        )
        assert (done[0].status, done[0].route) == (Status.DONE, Route.STREAMED), done[0].error
    assert got(checking, f"{place}/from-s3") == data


def test_the_service_copies_from_bucket_to_bucket(checking: GcsEmulator, place: str, tmp_path: Path) -> None:
    data, other = content(50_000), checking.new_bucket()
    bucket, _, key = place.partition("/")
    checking.client().bucket(bucket).blob(f"{key}/x").upload_from_string(data)
    for expected in (None, digest_of("crc32c", data)):
        done = execute(
            [transfer(0, gs(f"{place}/x"), gs(f"{other}/y"), expected=expected)],
            GCS,
            credentials=Source(checking),
        )
        assert (done[0].route, done[0].evidence) == (Route.THIRD_PARTY, Evidence.CHECKSUM)
    assert got(checking, f"{other}/y") == data
    done = execute(
        [transfer(0, gs(f"{place}/x"), gs(f"{other}/z"), expected=sha256(data))],
        GCS,
        credentials=Source(checking),
    )
    assert done[0].route == Route.STREAMED, "the service knows no SHA-256"


def test_two_services_meet_in_a_stream(checking: GcsEmulator, versioned: GcsEmulator, place: str) -> None:
    data, other = content(50_000), versioned.new_bucket()
    bucket, _, key = place.partition("/")
    checking.client().bucket(bucket).blob(f"{key}/x").upload_from_string(data)
    done = execute(
        [transfer(0, gs(f"{place}/x"), gs(f"{other}/y")._replace(site=str(versioned.port)))],
        GCS,
        credentials=Source(checking),
    )
    assert (done[0].status, done[0].route) == (Status.DONE, Route.STREAMED)
    assert got(versioned, f"{other}/y") == data


def test_what_does_not_match_is_not_published(checking: GcsEmulator, place: str, tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(content(LARGE))
    done = execute(
        [transfer(0, tmp_path / "from", gs(f"{place}/x"), expected=sha256(b"something else"))],
        GCS,
        credentials=Source(checking),
    )
    assert done[0].error is not None and done[0].error.code == "mismatch"
    bucket, _, key = place.partition("/")
    assert list(checking.client().list_blobs(bucket, prefix=key)) == []


def test_a_broken_download_goes_on_where_it_broke(versioned: GcsEmulator, tmp_path: Path) -> None:
    data, bucket = content(LARGE), versioned.new_bucket()
    versioned.client().bucket(bucket).blob("x").upload_from_string(data)
    with fault_proxy(versioned.port, cut(LARGE // 2, body=True), first=1) as faulty:
        done = execute(
            [transfer(0, gs(f"{bucket}/x")._replace(site=str(faulty.port)), tmp_path / "to")],
            GCS,
            credentials=Source(versioned),
        )
        assert (done[0].status, len(done[0].attempts)) == (Status.DONE, 1)
        assert faulty.bytes_down < LARGE + LARGE // 2
    assert hashlib.sha256((tmp_path / "to").read_bytes()).digest() == sha256(data).value


def test_an_upload_to_a_bucket_that_is_absent_says_so(checking: GcsEmulator, tmp_path: Path) -> None:
    for size in (10, LARGE):
        (tmp_path / "from").write_bytes(content(size))
        done = execute(
            [transfer(0, tmp_path / "from", gs("no-such-bucket/x"))], GCS, credentials=Source(checking)
        )
        assert done[0].error is not None and done[0].error.code == "not-found", done[0].error
        assert "gs://no-such-bucket/x" in done[0].error.what
        assert "create the bucket" in done[0].error.remedy


@pytest.mark.parametrize("same", (True, False))
def test_a_lost_answer_is_made_good_by_what_the_service_has(tmp_path: Path, same: bool) -> None:
    """With a double, which closes the connection instead of answering, and is asked what it has."""
    data = content(1000)
    (tmp_path / "from").write_bytes(data)
    kept = data if same else content(999)
    about = {"size": "1000", "generation": "1", "crc32c": digest_of("crc32c", kept).base64}
    resource = answer(json.dumps(about).encode())
    there = gs("b/x")
    with scripted([BODY, CLOSE], resource, [BODY, resource]) as double:
        done = execute(
            [transfer(0, tmp_path / "from", there._replace(site=str(double.port)))],
            GCS,
            settings=QUICK._replace(rounds=1),
            credentials=Source(None),
        )
    assert (done[0].status == Status.DONE) is same
    assert (done[0].note == "confirmed by the destination") is same


def test_buckets_are_made_and_trees_removed_in_a_batch(checking: GcsEmulator, tmp_path: Path) -> None:
    bucket = f"{checking.new_bucket()}-batch"
    (tmp_path / "from").write_bytes(b"content")
    done = execute([mkdir(0, gs(f"{bucket}/run"))], GCS, credentials=Source(checking))
    assert done[0].status == Status.DONE
    names = ("run/a", "run/b/c", "running")
    done = execute(
        [transfer(number, tmp_path / "from", gs(f"{bucket}/{name}")) for number, name in enumerate(names)],
        GCS,
        credentials=Source(checking),
    )
    assert done.exit == 0
    done = execute(
        [remove(0, gs(f"{bucket}/run"), recursive=True), remove(1, gs(f"{bucket}/absent"))],
        GCS,
        credentials=Source(checking),
    )
    assert done.exit == 0
    assert [each.name for each in checking.client().list_blobs(bucket)] == ["running"]


def test_what_is_in_a_folder_is_copied_without_the_folder(checking: GcsEmulator, tmp_path: Path) -> None:
    bucket = checking.new_bucket()
    environment = {"STORAGE_EMULATOR_HOST": checking.endpoint}
    (tmp_path / "x/sub").mkdir(parents=True)
    (tmp_path / "x/sub/a").write_bytes(b"abc")
    for words in (("x/.", f"gs://{bucket}/y"), (f"gs://{bucket}/y/.", "back/"), (f"gs://{bucket}/.", "all/")):
        run = wf_transfer(tmp_path, "cp", "-r", *words, environment=environment)
        assert run.code == 0, run.err
    assert (tmp_path / "back/sub/a").read_bytes() == (tmp_path / "all/y/sub/a").read_bytes() == b"abc"


def test_many_small_files_share_their_workers(checking: GcsEmulator, place: str, tmp_path: Path) -> None:
    names = [f"{number}.dat" for number in range(40)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 100)
    done = execute(
        [transfer(number, tmp_path / name, gs(f"{place}/{name}")) for number, name in enumerate(names)],
        GCS,
        settings=QUICK,
        credentials=Source(checking),
    )
    assert set(done.statuses) == {"done"}
    assert {got(checking, f"{place}/{name}") for name in names} == {name.encode() * 100 for name in names}


def test_a_large_file_is_staged_by_both_legs_at_once(
    checking: GcsEmulator, place: str, web: Nginx, tmp_path: Path
) -> None:
    data = content(LEAST + 4321)
    (web.root / "large").write_bytes(data)
    done = execute(
        [transfer(0, f"{web.url}/large", gs(f"{place}/large"), expected=sha256(data))],
        HTTP,
        GCS,
        settings=QUICK._replace(stage_through_file=True, spool_directory=str(tmp_path)),
        credentials=Source(checking),
    )
    assert done.exit == 0, done[0].error
    assert got(checking, f"{place}/large") == data
    first, second = done[0].attempts
    assert (first.route, second.route, first.began) == ("staged", "staged", second.began), "one attempt"
    assert done[0].evidence is Evidence.CHECKSUM
    assert not leftovers(tmp_path)
