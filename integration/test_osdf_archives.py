"""Archives of federations that mean harm or are damaged, and folders that are stored twice, or are odd."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import resource
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from commands import Job, assert_failed, contents, transfer
from osdf_jobs import fed, federation_service, job

if TYPE_CHECKING:
    from pathlib import Path

    from servers.federation import Federation

__all__ = ["fed", "federation_service", "job"]


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def link(name: str, target: str) -> tarfile.TarInfo:
    return entry(name, tarfile.SYMTYPE, target)


def tarred(*entries: tarfile.TarInfo) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as made:
        for info in entries:
            made.addfile(info, io.BytesIO(b"x" * info.size))
    return data.getvalue()


def zip_link(target: bytes) -> bytes:
    data = io.BytesIO()
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(data, "w") as made:
        made.writestr(info, target)
    return data.getvalue()


def encrypted_zip() -> bytes:
    """One that says of itself that it has a password."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        made.writestr("x", b"data")
    found = bytearray(data.getvalue())
    found[6] |= 1
    found[found.find(b"PK\x01\x02") + 8] |= 1
    return bytes(found)


_NUMBERS = itertools.count(1)


def served(fed: Federation, data: bytes) -> str:
    """The URL of the object; each has a name of its own, since caches keep what they have seen."""
    path = f"/open/archives/{next(_NUMBERS)}"
    fed.put(path, data)
    return fed.url(f"{path}?pack")


def strays(folder: Path) -> list[str]:
    """The links below the folder that lead out of it."""
    links = (path for path in folder.rglob("*") if path.is_symlink())
    return [path.name for path in links if not path.resolve().is_relative_to(folder.resolve())]


class TestUnpacking:
    @pytest.mark.parametrize(
        "links",
        [
            (("p/q/down", "../.."), ("out", "p/q/down/../z")),
            (("out", "p/q/down/../z"), ("p/q/down", "../..")),
            (("a/b", ".."), ("a/b/out", "../z")),
        ],
    )
    def test_links_lead_out_by_no_other_link(
        self, fed: Federation, job: Job, links: tuple[tuple[str, str], ...]
    ) -> None:
        url = served(fed, tarred(*(link(*one) for one in links)))
        run = job.run([transfer("p", url, job.url("p"))])
        assert_failed(run, "p", "refused", end="source")
        assert strays(job.out / "p") == []

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("a link to itself", tarred(link("a", "a"), entry("b", tarfile.LNKTYPE, "a"))),
            ("a password", encrypted_zip()),
            ("another name of nothing", tarred(entry("b", tarfile.LNKTYPE, "a"))),
            ("a file that is a folder", tarred(entry("a", tarfile.DIRTYPE), entry("a", size=1))),
            ("a file in place of the folder", tarred(entry(".", size=1))),
        ],
    )
    def test_what_cannot_be_taken_out_is_refused(
        self, fed: Federation, job: Job, name: str, data: bytes
    ) -> None:
        run = job.run([transfer("p", served(fed, data), job.url("p"))])
        assert_failed(run, "p", "refused")

    def test_a_few_bytes_do_not_fill_the_memory(self, fed: Federation, job: Job) -> None:
        size = 256 << 20
        header = entry("p", tarfile.XHDTYPE, size=size).tobuf()
        bombs = {"names": gzip.compress(header + bytes(size), 1), "link": zip_link(bytes(size))}
        batch = [transfer(name, served(fed, data), job.url(name)) for name, data in bombs.items()]
        run = job.finish(job.start(batch, preexec_fn=_with_little_memory))
        for name in bombs:
            assert_failed(run, name, "refused", end="source")

    def test_a_file_that_claims_more_than_the_disk_has_is_not_begun(self, fed: Federation, job: Job) -> None:
        url = served(fed, entry("huge", size=1 << 60).tobuf(tarfile.GNU_FORMAT) + bytes(4096))
        run = job.run([transfer("p", url, job.url("p"))])
        assert_failed(run, "p", "no-space", end="destination")
        assert contents(job.out) == {}

    @pytest.mark.parametrize("less", [1, 4, 8, 9])
    def test_the_end_of_the_compression_must_be_there(self, fed: Federation, job: Job, less: int) -> None:
        url = served(fed, gzip.compress(tarred(entry("a", size=5000)))[:-less])
        run = job.run([transfer("p", url, job.url("p"))])
        assert_failed(run, "p", "refused", end="source")

    @pytest.mark.parametrize("data", [tarred(), b"PK\x05\x06" + bytes(18)], ids=["tar", "zip"])
    def test_an_empty_archive_is_an_empty_folder(self, fed: Federation, job: Job, data: bytes) -> None:
        run = job.run([transfer("p", served(fed, data), job.url("p"))])
        assert run.exit == 0, run.err
        assert (job.out / "p").is_dir()


def _with_little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))


class TestPacking:
    @pytest.fixture(autouse=True)
    def token(self, fed: Federation, job: Job) -> None:
        job.environment["BEARER_TOKEN"] = fed.token()

    @pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
    def test_the_same_folder_is_the_same_object_the_next_time(
        self, fed: Federation, job: Job, kind: str
    ) -> None:
        folder = job.out / "d"
        (folder / "e").mkdir(parents=True)
        (folder / "e" / "f").write_bytes(b"content")
        os.utime(folder / "e" / "f", (0, 0))  # no zip knows the year 1970
        (folder / "link").symlink_to("e/f")
        (folder / "nowhere").symlink_to("absent")
        url = fed.url(f"/open/again/{kind}?pack={kind}")
        first = job.run([transfer("p", job.url("d"), url)])
        assert first.exit == 0, first.err
        data = fed.stored(f"/open/again/{kind}").read_bytes()
        again = job.run([transfer("p", job.url("d"), url)])
        assert again.exit == 0, again.err
        assert fed.stored(f"/open/again/{kind}").read_bytes() == data
        back = job.run([transfer("p", url, job.url("back"))])
        assert back.exit == 0, back.err
        assert os.readlink(job.out / "back" / "link") == "e/f"
        assert os.readlink(job.out / "back" / "nowhere") == "absent"
        assert (job.out / "back" / "e" / "f").read_bytes() == b"content"

    def test_a_name_that_no_zip_can_hold_is_refused(self, fed: Federation, job: Job) -> None:
        (job.out / "d").mkdir()
        (job.out / "d" / os.fsdecode(b"\xff")).write_bytes(b"x")
        run = job.run(
            [
                transfer("zip", job.url("d"), fed.url("/open/odd-zip?pack=zip")),
                transfer("tar", job.url("d"), fed.url("/open/odd-tar?pack=tar")),
            ]
        )
        assert_failed(run, "zip", "refused", end="source")
        assert run.status("tar") == "done", run.err
        assert not fed.stored("/open/odd-zip").exists()


def test_an_empty_tree_is_an_empty_folder(fed: Federation, job: Job) -> None:
    fed.servers.make_folder("/open/empty-tree")
    run = job.run([transfer("t", fed.url("/open/empty-tree?recursive"), job.url("t"))])
    assert run.exit == 0, run.err
    assert (job.out / "t").is_dir()
