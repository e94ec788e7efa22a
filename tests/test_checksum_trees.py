"""The files below a folder: in one order, in bounded memory, and links not followed."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wf.checksum.sorting import in_order
from wf.checksum.trees import Found, Kind, walk

if TYPE_CHECKING:
    from pathlib import Path

    from servers.unprivileged import Unprivileged


def make(folder: Path, *names: str | bytes) -> None:
    for name in names:
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"abc")


def names(folder: Path, run_bytes: int | None = None) -> list[bytes]:
    prefix = os.path.join(os.fsencode(folder), b"")
    return [one.path.removeprefix(prefix) for one in walk(folder, run_bytes=run_bytes)]


PARTS = st.lists(
    st.sampled_from([b"a", b"b", b"-", b"0", b"~", b"\n", b"\xff", b" ", b"."]), min_size=1, max_size=3
).map(b"".join)
PATHS = st.lists(PARTS.filter(lambda one: one not in (b".", b"..")), min_size=1, max_size=3).map(b"/".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(PATHS, max_size=12, unique=True), st.sampled_from([None, 100]))
def test_any_tree_is_told_in_the_order_of_the_paths_bytes(
    tmp_path_factory: pytest.TempPathFactory, paths: list[bytes], run_bytes: int | None
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    made = []
    for path in paths:
        try:
            make(folder, path)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # a file stands where a folder should be
        made.append(path)
    assert names(folder, run_bytes) == sorted(made)


def test_links_and_special_files_are_told_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "dir/file")
    (tmp_path / "dir" / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "to-file").symlink_to("dir/file")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        found = {one.path: one.kind for one in walk(".")}
    assert found == {
        b"./dangling": Kind.LINK,
        b"./dir/file": Kind.FILE,
        b"./dir/loop": Kind.LINK,
        b"./fifo": Kind.SPECIAL,
        b"./self": Kind.LINK,
        b"./socket": Kind.SPECIAL,
        b"./to-file": Kind.LINK,
    }


def test_a_file_a_link_to_a_folder_and_what_is_missing_may_be_the_start(tmp_path: Path) -> None:
    make(tmp_path, "dir/file")
    (tmp_path / "link").symlink_to("dir")
    (tmp_path / "loop").symlink_to("loop")
    top = os.fsencode(tmp_path)
    assert list(walk(tmp_path / "dir" / "file")) == [Found(top + b"/dir/file", Kind.FILE)]
    inode = (tmp_path / "dir" / "file").stat().st_ino
    assert list(walk(tmp_path / "link")) == [Found(top + b"/link/file", Kind.FILE, None, inode)]
    assert list(walk("/dev/null")) == [Found(b"/dev/null", Kind.SPECIAL)]
    for bad, error in (("missing", FileNotFoundError), ("loop", OSError)):
        (one,) = walk(tmp_path / bad)
        assert one.kind is Kind.UNREADABLE
        assert isinstance(one.error, error)


def test_a_tree_deeper_than_pythons_stack_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depth = 1500
    monkeypatch.chdir(tmp_path)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    with open("file", "wb"):
        pass
    os.chdir(tmp_path)
    try:
        assert [one.path for one in walk(b".")] == [b"./" + b"d/" * depth + b"file"]
    finally:
        subprocess.run(["rm", "-r", "d"], check=True, timeout=60)  # too deep for who removes tmp_path


def test_a_path_too_long_for_the_system_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(before)
    make(tmp_path, "z")
    deep, last = walk(tmp_path)
    assert (deep.kind, last.path) == (Kind.UNREADABLE, os.fsencode(tmp_path / "z"))


def test_a_folder_that_nobody_may_list_is_told_and_the_rest_goes_on(unprivileged: Unprivileged) -> None:
    make(unprivileged.folder, "a", "closed/b", "z")
    closed = unprivileged.folder / "closed"
    closed.chmod(0)
    code = "from wf.checksum import walk\nfor one in walk(b'.'): print(one.path, one.kind, one.error)"
    done = unprivileged.run([unprivileged.python, "-c", code])
    closed.chmod(0o755)
    assert done.stdout.decode().splitlines() == [
        "b'./a' file None",
        "b'./closed' unreadable [Errno 13] Permission denied: b'./closed'",
        "b'./z' file None",
    ]


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "tree/a", "tree/b/file", "secret/file")
    steps = walk(tmp_path / "tree")
    assert next(steps).path.endswith(b"tree/a")
    (tmp_path / "tree" / "b" / "file").unlink()
    (tmp_path / "tree" / "b").rmdir()
    (tmp_path / "tree" / "b").symlink_to(tmp_path / "secret")
    (only,) = steps
    assert only.kind is Kind.UNREADABLE


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert list(walk(tmp_path)) == []


# --- sorting


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20)), st.integers(1, 400))
def test_any_records_come_in_order_whatever_fits_in_memory(records: list[bytes], run_bytes: int) -> None:
    assert list(in_order(iter(records), run_bytes=run_bytes)) == sorted(records)


def test_more_runs_than_files_may_be_open_are_merged_in_steps(tmp_path: Path) -> None:
    records = [b"%06d" % (number * 7919 % 5000) for number in range(5000)]
    before = len(os.listdir("/proc/self/fd"))
    merged = in_order(records, run_bytes=500, folder=os.fsencode(tmp_path))
    assert next(merged) == b"000000"
    assert len(os.listdir("/proc/self/fd")) - before <= 64
    assert os.listdir(tmp_path) == []  # the files have no names
    assert list(merged) == sorted(records)[1:]
    assert len(os.listdir("/proc/self/fd")) == before


def test_temporary_files_are_gone_when_the_iteration_is_given_up(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    merged = in_order((b"%d" % number for number in range(1000)), run_bytes=500)
    next(merged)
    merged.close()
    assert len(os.listdir("/proc/self/fd")) == before
