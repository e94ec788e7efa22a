"""Local names: links, moves, removals and listings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from wf.protocols.conformance_tools import make_context, refused
from wf.protocols.context import Context
from wf.protocols.errors import LocalRefused, NotFound, Stopped, Unsupported
from wf.protocols.file import FileStore
from wf.protocols.locations import Location, parse_location


@pytest.fixture
def context() -> Context:
    return make_context()


@pytest.fixture
def store(context: Context) -> FileStore:
    return FileStore(context)


def at(path: Path | str, scheme: str = "file") -> Location:
    return parse_location(f"{scheme}://{path}")


# Links


def test_a_link_points_to_the_absolute_source(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(b"abc")
    receipt = store.link(parse_location("a"), at(tmp_path / "deep" / "link", "symlink"), check=True)
    assert receipt.size == 3
    assert os.readlink(tmp_path / "deep" / "link") == str(tmp_path / "a")


def test_a_link_replaces_a_file_or_link_and_not_what_it_points_to(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "file").write_bytes(b"file")
    for name in ("link", "file"):
        store.link(at(tmp_path / "a"), at(tmp_path / name), check=True)
        assert os.readlink(tmp_path / name) == str(tmp_path / "a")
    assert (tmp_path / "old").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["a", "file", "link", "old"]


def test_linking_a_file_to_itself_changes_nothing(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "same").hardlink_to(tmp_path / "a")
    assert store.link(at(tmp_path / "a"), at(tmp_path / "a"), check=True).size == 3
    assert store.link(at(tmp_path / "a"), at(tmp_path / "same"), check=True).size == 3
    assert not (tmp_path / "a").is_symlink()
    assert not (tmp_path / "same").is_symlink()


def test_a_dangling_link_is_made_only_unchecked(store: FileStore, tmp_path: Path) -> None:
    source, link = at(tmp_path / "absent"), at(tmp_path / "link")
    refused(lambda: store.link(source, link, check=True), NotFound)
    assert os.listdir(tmp_path) == []
    assert store.link(source, link, check=False).size is None
    assert os.readlink(tmp_path / "link") == str(tmp_path / "absent")
    refused(lambda: store.link(source, source, check=False), LocalRefused)


def test_a_folder_can_be_linked(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert store.link(at(tmp_path / "folder"), at(tmp_path / "link"), check=True).size is None
    assert os.readlink(tmp_path / "link") == str(tmp_path / "folder")


@pytest.mark.parametrize("kind", ["link", "move"])
def test_a_folder_in_the_way_stays(store: FileStore, tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "folder").mkdir()
    source, folder = at(tmp_path / "a"), at(tmp_path / "folder")
    if kind == "link":
        refused(lambda: store.link(source, folder, check=True), LocalRefused)
    else:
        refused(lambda: store.move(source, folder), LocalRefused)
    assert sorted(os.listdir(tmp_path)) == ["a", "folder"]


# Moves


def test_a_move_replaces_what_is_there(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    assert store.move(at(tmp_path / "a"), at(tmp_path / "b", "moveto")).size == 3
    assert (tmp_path / "b").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["b"]


def test_moving_a_file_to_itself_loses_nothing(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    store.move(at(tmp_path / "a"), at(tmp_path / "a"))
    store.move(at(tmp_path / "a"), at(tmp_path / "link"))
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_a_relative_link_is_not_moved_to_where_it_would_dangle(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("a")
    refused(lambda: store.move(at(tmp_path / "link"), at(tmp_path / "deep" / "to")), Unsupported)
    assert (tmp_path / "link").is_symlink()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is only one file system")
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


def test_a_move_to_another_file_system_is_left_to_the_engine(
    store: FileStore, tmp_path: Path, elsewhere: Path
) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    refused(lambda: store.move(at(tmp_path / "a"), at(elsewhere / "a")), Unsupported)
    assert (tmp_path / "a").read_bytes() == b"abc"


# Removal


def test_removing_a_link_leaves_what_it_points_to(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"stays")
    for path in ("link", "link/"):
        (tmp_path / "link").symlink_to("folder")
        store.remove(at(f"{tmp_path}/{path}"), recursive=True)
        assert os.listdir(tmp_path) == ["folder"]
    assert (tmp_path / "folder" / "a").read_bytes() == b"stays"


def test_links_inside_a_removed_tree_are_not_followed(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "a").write_bytes(b"stays")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "link").symlink_to(tmp_path / "victim")
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "sub" / "fifo")
    store.remove(at(tree), recursive=True)
    assert os.listdir(tmp_path) == ["victim"]
    assert os.listdir(tmp_path / "victim") == ["a"]


class Saboteur:
    """A stop event that is never set, and acts when it is looked at for the `when`th time."""

    def __init__(self, when: int, act: Callable[[], None]) -> None:
        self.left = when
        self.act = act

    def is_set(self) -> bool:
        self.left -= 1
        if self.left == 0:
            self.act()
        return False


@pytest.mark.parametrize("when", [1, 2])
def test_a_folder_swapped_for_a_link_during_removal_is_not_followed(
    context: Context, tmp_path: Path, when: int
) -> None:
    """The first look comes before the tree is opened, the second when its content has been read."""
    victim, tree = tmp_path / "victim", tmp_path / "tree"
    victim.mkdir()
    (victim / "a").write_bytes(b"stays")
    (tree / "sub").mkdir(parents=True)
    swapped = tree if when == 1 else tree / "sub"

    def swap() -> None:
        shutil.rmtree(swapped)
        swapped.symlink_to(victim)

    saboteur = Saboteur(when, swap)
    context.stop = cast("object", saboteur)  # type: ignore[assignment]
    FileStore(context).remove(at(tree), recursive=True)
    assert saboteur.left <= 0
    assert os.listdir(tmp_path) == ["victim"]
    assert os.listdir(victim) == ["a"]


def test_a_deep_tree_is_removed(store: FileStore, tmp_path: Path) -> None:
    deep = tmp_path / "tree" / "/".join(["d"] * 300)
    deep.mkdir(parents=True)
    (deep / "a").write_bytes(b"x")
    store.remove(at(tmp_path / "tree"), recursive=True)
    assert os.listdir(tmp_path) == []


def test_a_tree_deeper_than_a_process_has_descriptors_is_removed(tmp_path: Path) -> None:
    """In a process of its own, whose limit is low. A tree beside each level, so that something is left to be found."""
    top = os.open(tmp_path, os.O_RDONLY)
    folder = top
    for _ in range(500):
        os.mkdir("inner", dir_fd=folder)
        os.mkdir("beside", dir_fd=folder)
        inner = os.open("inner", os.O_RDONLY, dir_fd=folder)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=inner))
        os.close(folder)
        folder = inner
    os.close(folder)
    program = (
        "import resource, sys, threading; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64));"
        "from wf.protocols.tree import remove; remove(sys.argv[1], True, threading.Event())"
    )

    subprocess.run([sys.executable, "-c", program, str(tmp_path / "inner")], check=True)

    assert os.listdir(tmp_path) == ["beside"]


def test_a_removal_ends_with_the_run(store: FileStore, context: Context, tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    context.stop.set()
    refused(lambda: store.remove(at(tmp_path / "tree"), recursive=True), Stopped)
    refused(lambda: list(store.list(at(tmp_path), recursive=True)), Stopped)


def test_a_name_must_be_left_to_remove(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for path in ("/", "//", f"{tmp_path}/sub/.", f"{tmp_path}/sub/.."):
        refused(lambda path=path: store.remove(at(path), recursive=True), LocalRefused)
    assert os.listdir(tmp_path) == ["sub"]


def test_what_cannot_exist_is_absent(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    store.remove(at(tmp_path / "file" / "below"), recursive=True)
    refused(lambda: store.stat(at(tmp_path / "file" / "below")), NotFound)
    assert (tmp_path / "file").exists()


# Listings and folders


def test_a_listing_does_not_follow_links(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"abc")
    (tmp_path / "sub" / "loop").symlink_to("..")
    (tmp_path / "link").symlink_to("sub/a")
    entries = {entry.path: entry for entry in store.list(at(tmp_path), recursive=True)}
    assert sorted(entries) == ["link", "sub", "sub/a", "sub/loop"]
    assert entries["sub/a"].size == 3
    assert entries["sub"].is_directory
    assert not entries["sub/loop"].is_directory
    assert entries["link"].size is None


def test_a_link_to_a_folder_is_listed_as_that_folder(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("sub")
    assert [entry.path for entry in store.list(at(tmp_path / "link"), recursive=False)] == ["a"]


def test_a_file_is_not_listed(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    refused(lambda: list(store.list(at(tmp_path / "file"), recursive=False)), LocalRefused)
    refused(lambda: list(store.list(at(tmp_path / "file" / "below"), recursive=False)), NotFound)


def test_looking_at_a_link_shows_the_file(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert store.stat(at(tmp_path / "link")) == store.stat(at(tmp_path / "file"))
    (tmp_path / "dangling").symlink_to("absent")
    refused(lambda: store.stat(at(tmp_path / "dangling")), NotFound)


def test_a_folder_is_not_made_through_a_dangling_link(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("absent")
    refused(lambda: store.make_directory(at(tmp_path / "link")), LocalRefused)
    assert not (tmp_path / "absent").exists()


def test_nobody_but_us_would_compute_a_digest(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert store.digest(at(tmp_path / "file"), "sha256") is None
