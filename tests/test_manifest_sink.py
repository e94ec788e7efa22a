"""The manifest that a run leaves: read by the tool it is made for."""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from outcomes_made import done, empty_ending, failed, location, start, transfer
from wf.checksum.digest import Digest
from wf.protocols import errors
from wf.transfer.manifest_sink import ManifestSink
from wf.transfer.outcomes import Outcome, Status
from wf.transfer.requests import Remove

if TYPE_CHECKING:
    from pathlib import Path


def digest_of(content: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(content).digest())


def arrived(path: str | Path, content: bytes = b"content", **changes: object) -> Outcome:
    """The outcome of a transfer after which `path` really is there."""
    path = os.fspath(path)
    with open(path, "wb") as file:
        file.write(content)
    request = transfer(destinations=(location("file://" + path if path[0] == "/" else path),))
    return done(request, digest=digest_of(content), **changes)


def written(path: Path, *outcomes: Outcome) -> list[bytes]:
    sink = ManifestSink(str(path))
    sink.begin(start())
    for outcome in outcomes:
        sink.take(outcome)
    sink.end(empty_ending())
    return path.read_bytes().splitlines()


def gnu_says(manifest: Path) -> bytes:
    """What `sha256sum -c` prints; fails if it finds anything wrong."""
    command = ["sha256sum", "-c", "--strict", manifest.name]
    return subprocess.run(command, cwd=manifest.parent, capture_output=True, check=True).stdout


def test_sha256sum_accepts_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    odd = os.fsencode(tmp_path) + b"/new\nline back\\slash \xff*"
    lines = written(
        tmp_path / "SUMS",
        arrived(tmp_path / "below" / "b"),
        arrived(os.fsdecode(odd)),
        arrived(tmp_path / "a", b""),
    )
    assert [line.split(b"  ", 1)[1] for line in lines] == [
        b"a",
        b"below/b",
        b"new\\nline back\\\\slash \xff*",
    ]
    assert gnu_says(tmp_path / "SUMS").count(b": OK\n") == 3
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_a_file_outside_the_manifests_folder_has_its_absolute_name(tmp_path: Path) -> None:
    (tmp_path / "sums").mkdir()
    lines = written(tmp_path / "sums" / "SUMS", arrived(tmp_path / "f"))
    assert lines[0].endswith(b"  " + os.fsencode(tmp_path / "f"))
    gnu_says(tmp_path / "sums" / "SUMS")


def test_a_relative_destination_is_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    lines = written(tmp_path / "SUMS", arrived("f"))
    assert lines[0].endswith(b"  work/f")


def test_only_what_arrived_locally_is_listed(tmp_path: Path) -> None:
    remote = transfer(destinations=(location("s3://bucket/key"),), generate_checksum=True)
    lines = written(
        tmp_path / "SUMS",
        done(remote, digest=digest_of(b"x")),
        done(remote),
        failed(errors.Mismatch("differs"), digest=digest_of(b"x")),
        arrived(tmp_path / "f"),
    )
    assert len(lines) == 1


def test_a_file_that_was_written_twice_is_listed_as_it_is(tmp_path: Path) -> None:
    first = arrived(tmp_path / "f", b"first")
    written(tmp_path / "SUMS", first, arrived(tmp_path / "f", b"second"))
    assert gnu_says(tmp_path / "SUMS") == b"f: OK\n"


def test_what_the_run_removed_or_moved_on_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    outcomes = [arrived(tmp_path / name) for name in ("kept", "gone", "moved", "d/below", "d.txt")]
    gone = Remove(8, "", location(f"file://{tmp_path}/gone"))
    folder = Remove(9, "", location(f"file://{tmp_path}/d/"), recursive=True)
    moved = transfer(
        sources=(location(f"file://{tmp_path}/moved"),), destinations=(location(f"moveto://{tmp_path}/new"),)
    )
    (tmp_path / "moved").rename(tmp_path / "new")
    (tmp_path / "gone").unlink()
    (tmp_path / "d" / "below").unlink()
    written(
        tmp_path / "SUMS",
        *outcomes,
        done(moved, route="move", digest=digest_of(b"content")),
        Outcome(gone, Status.DONE),
        Outcome(folder, Status.DONE),
    )
    assert gnu_says(tmp_path / "SUMS") == b"d.txt: OK\nkept: OK\nnew: OK\n"


def test_a_link_without_a_digest_is_left_out_unless_one_was_asked_for(tmp_path: Path) -> None:
    sink = ManifestSink(str(tmp_path / "SUMS"))
    sink.begin(start())
    destinations = (location(f"symlink://{tmp_path}/link"),)
    sink.take(done(transfer(destinations=destinations), route="link"))
    with pytest.raises(errors.Unverified, match="generate_checksum"):
        sink.take(done(transfer(destinations=destinations, generate_checksum=True), route="link"))
    sink.end(empty_ending())
    assert (tmp_path / "SUMS").read_bytes() == b""


def test_the_old_manifest_stays_until_the_end(tmp_path: Path) -> None:
    (tmp_path / "SUMS").write_text("old")
    sink = ManifestSink(str(tmp_path / "SUMS"))
    sink.begin(start())
    sink.take(arrived(tmp_path / "f"))
    assert (tmp_path / "SUMS").read_text() == "old"
    sink.end(empty_ending())
    gnu_says(tmp_path / "SUMS")


def test_a_manifest_that_cannot_be_written_fails_what_asked_for_it_and_the_end(tmp_path: Path) -> None:
    sink = ManifestSink(str(tmp_path / "no" / "SUMS"))
    sink.begin(start())
    wanted = transfer(destinations=(location(f"file://{tmp_path}/f"),), generate_checksum=True)
    sink.take(arrived(tmp_path / "f"))
    for call in (
        lambda: sink.take(done(wanted, digest=digest_of(b"content"))),
        lambda: sink.end(empty_ending()),
    ):
        with pytest.raises(errors.NotFound, match="writing the manifest") as caught:
            call()
        assert "folder exists" in caught.value.remedy


def test_a_full_disk_fails_the_end(tmp_path: Path) -> None:
    sink = ManifestSink("/dev/full")
    sink.begin(start())
    sink.take(arrived(tmp_path / "f"))
    with pytest.raises(errors.NoSpace):
        sink.end(empty_ending())


def test_it_is_a_place_where_checksums_are_recorded() -> None:
    assert ManifestSink("SUMS").records_checksums
