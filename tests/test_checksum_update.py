"""`wf-checksum update`: only what changed is read, and what rotted is not blessed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from checksum_tools import COMMAND, Done, run
from wf.checksum.states import settled_state

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `data` with three files, and its manifest `M`."""
    (tmp_path / "data/sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (tmp_path / "data" / name).write_text(f"this is {name}")
    manifest(tmp_path, "--json", "-r", "data")
    return tmp_path


def manifest(folder: Path, *arguments: str) -> None:
    (folder / "M").write_bytes(run(folder, *arguments).out)


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    header, *lines, trailer = (folder / "M").read_text().splitlines()
    assert json.loads(header) == {"format": "wf-checksum", "version": 1}
    assert json.loads(trailer) == {"end": "wf-checksum", "entries": len(lines)}
    return {record["path"]: record for record in map(json.loads, lines)}


def overwrite_unseen(path: Path, text: str) -> None:
    """Other content of the same length, and the time of before: what a disk does."""
    status = path.stat()
    with open(path, "r+") as file:
        file.write(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size


def test_nothing_changed_is_nothing_told(folder: Path) -> None:
    before = (folder / "M").read_bytes()
    assert run(folder, "update", "M") == (0, b"", "")
    assert (folder / "M").read_bytes() == before


def test_changed_new_and_vanished_files_are_told_and_recorded(folder: Path) -> None:
    (folder / "data/a").write_text("something else")
    (folder / "data/b").unlink()
    (folder / "data/sub/new").write_text("new")
    done = run(folder, "update", "M")
    assert (done.code, done.err) == (0, "")
    assert done.lines == ["changed   data/a", "vanished  data/b", "added     data/sub/new"]
    assert set(entries(folder)) == {"data/a", "data/sub/c", "data/sub/new"}
    assert run(folder, "-c", "--quiet", "M") == (0, b"", "")
    assert run(folder, "update", "M") == (0, b"", "")


def test_only_what_changed_is_read(folder: Path) -> None:
    overwrite_unseen(folder / "data/a", "THIS IS A")  # would be noticed if it were read
    (folder / "data/b").write_text("changed")
    assert run(folder, "update", "M").lines == ["changed   data/b"]


@pytest.mark.parametrize("change", ["time", "inode"])
def test_a_new_time_or_inode_alone_has_the_file_read(folder: Path, change: str) -> None:
    path = folder / "data/a"
    if change == "time":
        os.utime(path, ns=(1, 1))
    else:
        os.utime(path, ns=(5, 5))
        manifest(folder, "--json", "-r", "data")
        (folder / "data/copy").write_text(path.read_text())
        os.utime(folder / "data/copy", ns=(5, 5))
        os.replace(folder / "data/copy", path)
    before = entries(folder)["data/a"]
    assert run(folder, "update", "M") == (0, b"", "")
    after = entries(folder)["data/a"]
    assert after["sha256"] == before["sha256"]
    assert (after["mtime_ns"], after["inode"]) == (path.stat().st_mtime_ns, path.stat().st_ino)


def test_paranoid_finds_damage_and_keeps_the_sum_of_before(folder: Path) -> None:
    before = entries(folder)
    overwrite_unseen(folder / "data/a", "THIS IS A")
    assert run(folder, "update", "M") == (0, b"", "")
    done = run(folder, "update", "--paranoid", "M")
    assert (done.code, done.lines) == (1, ["damaged   data/a"])
    assert "data/a: is damaged" in done.err
    assert entries(folder) == before


def test_a_gnu_manifest_is_updated_by_reading(folder: Path) -> None:
    manifest(folder, "-r", "data")
    overwrite_unseen(folder / "data/a", "THIS IS A")
    (folder / "data/new").write_text("new")
    assert run(folder, "update", "M").lines == ["changed   data/a", "added     data/new"]
    check = subprocess.run(["sha256sum", "-c", "--strict", "M"], cwd=folder, capture_output=True, check=True)
    assert len(check.stdout.splitlines()) == 4


@pytest.mark.parametrize("options", [("--tag",), ("-a", "md5"), ("--tag", "-a", "sha512")])
def test_format_and_algorithm_stay(folder: Path, options: tuple[str, ...]) -> None:
    manifest(folder, *options, "-r", "data")
    (folder / "data/a").write_text("something else")
    (folder / "data/new").write_text("new")
    assert run(folder, "update", "M").code == 0
    assert sorted((folder / "M").read_bytes().splitlines()) == sorted(
        run(folder, *options, "-r", "data").out.splitlines()
    )


def test_names_without_a_folder_say_nothing_about_new_files(folder: Path) -> None:
    (folder / "x").write_text("x")
    (folder / "other").write_text("y")
    manifest(folder, "--json", "x", "data/a")
    assert run(folder, "update", "M").lines == ["added     data/b", "added     data/sub/c"]
    assert run(folder, "update", "M", ".").lines == ["added     other"]


def test_the_manifest_itself_is_never_listed(folder: Path) -> None:
    with open(folder / "M", "wb") as output:
        subprocess.run([*COMMAND, "--json", "-r", "."], cwd=folder, stdout=output, check=True, timeout=60)
    assert set(entries(folder)) == {"./data/a", "./data/b", "./data/sub/c"}
    (folder / ".wf-0123456789abcdef.part").write_text("left by a crash")
    assert run(folder, "update", "M") == (0, b"", "")


def test_what_cannot_be_read_stays_as_it_was(folder: Path) -> None:
    before = entries(folder)
    (folder / "data/a").unlink()
    (folder / "data/a").mkdir()
    done = run(folder, "update", "M")
    assert (done.code, done.lines) == (1, [])
    assert done.err == "data/a: Is a directory\n"
    assert entries(folder) == before


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    before = (folder / "M").read_bytes()
    (folder / "data/a").write_text("something else")
    assert run(folder, "update", "-n", "M").lines == ["changed   data/a"]
    assert (folder / "M").read_bytes() == before


def test_a_truncated_manifest_is_refused_and_stays(folder: Path) -> None:
    text = b"".join((folder / "M").read_bytes().splitlines(keepends=True)[:-1])
    (folder / "M").write_bytes(text)
    (folder / "data/a").write_text("something else")
    done = run(folder, "update", "M")
    assert (done.code, done.out) == (65, b"")
    assert (folder / "M").read_bytes() == text
    assert sorted(os.listdir(folder)) == ["M", "data"]


def test_permissions_and_links_to_the_manifest_stay(folder: Path) -> None:
    (folder / "M").chmod(0o640)
    (folder / "link").symlink_to("M")
    (folder / "data/a").write_text("something else")
    assert run(folder, "update", "link").code == 0
    assert (folder / "link").is_symlink()
    assert (folder / "M").stat().st_mode & 0o777 == 0o640


def test_names_do_not_lead_out_of_the_folder(folder: Path) -> None:
    (folder / "inner").mkdir()
    manifest(folder, "--json", str(folder / "data/a"))
    (folder / "data/a").write_text("something else")
    done = run(folder, "update", "M")
    assert (done.code, done.lines) == (1, [])
    assert run(folder, "update", "--allow-absolute", "M").lines == [f"changed   {folder}/data/a"]


def test_blocks_are_kept_up_to_date(folder: Path) -> None:
    (folder / "data/large").write_bytes(bytes(3 << 20))
    manifest(folder, "--json", "--blocks", "1", "-r", "data")
    assert len(entries(folder)["data/large"]["blocks"]["sha256"]) == 3
    (folder / "data/large").write_bytes(bytes(2 << 20) + b"x")
    (folder / "data/larger").write_bytes(bytes(4 << 20))
    assert run(folder, "update", "M").lines == ["changed   data/large", "added     data/larger"]
    updated = entries(folder)
    manifest(folder, "--json", "--blocks", "1", "-r", "data")
    assert entries(folder) == updated


def test_an_interrupt_keeps_what_was_done_and_the_rest_as_it_was(folder: Path) -> None:
    before = entries(folder)
    (folder / "data/a").write_text("something else")
    large = folder / "data/b"
    with open(large, "r+b") as file:
        file.truncate(64 << 30)
    command = subprocess.Popen(
        [*COMMAND, "update", "M"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    assert command.stdout.readline() == b"changed   data/a\n"  # now it reads the large one
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert (command.returncode, out) == (130, b"")
    assert b"interrupted" in err
    after = entries(folder)
    assert after["data/a"]["sha256"] != before["data/a"]["sha256"]
    assert (after["data/b"], after["data/sub/c"]) == (before["data/b"], before["data/sub/c"])


@pytest.mark.parametrize("arguments", [(), ("--bogus", "M")])
def test_wrong_usage_ends_with_2(folder: Path, arguments: tuple[str, ...]) -> None:
    assert run(folder, "update", *arguments).code == 2


def test_a_meta_file_is_not_updated_in_place(folder: Path) -> None:
    (folder / "m.meta").write_text("[]")
    done: Done = run(folder, "update", "m.meta")
    assert done.code == 2
    assert "generate --meta" in done.err


def test_no_later_write_hides_behind_the_time_of_before(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for _ in range(20):
        path.write_text("one")
        state = settled_state(path)
        path.write_text("two")  # as early as can be after it was read
        assert path.stat().st_mtime_ns > state.st_mtime_ns


def test_a_bag_is_updated_where_it_lies(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    (bag / "data").mkdir(parents=True)
    (bag / "bagit.txt").write_text("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    (bag / "data/a").write_text("a")
    (bag / "manifest-sha256.txt").write_bytes(run(bag, "data/a").out)
    (bag / "data/a").write_text("changed")
    (bag / "data/b").write_text("b")
    assert run(tmp_path, "update", "bag/manifest-sha256.txt").lines == [
        "changed   data/a",
        "added     data/b",
    ]
    assert run(tmp_path, "-c", "bag/manifest-sha256.txt").lines == ["data/a: OK", "data/b: OK"]
    assert sorted((bag / "manifest-sha256.txt").read_bytes().splitlines()) == sorted(
        run(bag, "data/a", "data/b").out.splitlines()
    )


def test_many_files_are_told_in_order_whoever_reads_them(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for number in range(3000):
        (tmp_path / f"d/{number:04}").write_text(str(number))
    manifest(tmp_path, "--json", "-r", "d")
    changed = [7, 8, 1500, 2999]
    for number in changed:
        (tmp_path / f"d/{number:04}").write_text("changed")
    (tmp_path / "d/0009").unlink()
    (tmp_path / "d/2000").unlink()
    expected = [
        (7, "changed"),
        (8, "changed"),
        (9, "vanished"),
        (1500, "changed"),
        (2000, "vanished"),
        (2999, "changed"),
    ]
    done = run(tmp_path, "update", "-j", "3", "M")
    assert done.lines == [f"{word:<9} d/{number:04}" for number, word in expected]
    assert list(entries(tmp_path)) == [f"d/{number:04}" for number in range(3000) if number not in (9, 2000)]
    assert run(tmp_path, "-c", "--quiet", "M") == (0, b"", "")
