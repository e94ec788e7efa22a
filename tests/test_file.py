"""Local files: what is published, what is refused, and what is left alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from wf.protocols.conformance_tools import content, digests_for, drained, make_context, refused, written
from wf.protocols.context import BUFFER_BYTES, Context
from wf.protocols.errors import Broken, Changed, LocalRefused, NoSpace, NotFound, Stopped
from wf.protocols.file import FileStore
from wf.protocols.locations import Location, parse_location
from wf.protocols.values import Incoming

TOKEN = "0123456789abcdef"
LARGE = content(2 * BUFFER_BYTES + 3)
STREAM, WHOLE = Incoming(), Incoming(1, b"\0" * 32)
"""What a writer is told of bytes that are still to come, and of a small file that is here."""


@pytest.fixture
def context() -> Context:
    return make_context(stall=0.3)


@pytest.fixture
def store(context: Context) -> FileStore:
    return FileStore(context)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def at(path: Path | str) -> Location:
    return parse_location(f"file://{path}")


def partials(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".wf-"))


# Partials


def test_a_partial_of_the_tokens_name_is_renamed(store: FileStore, tmp_path: Path) -> None:
    writer = store.open_write(at(tmp_path / "a"), Incoming(token=TOKEN))
    writer.write(memoryview(b"abc"))
    assert partials(tmp_path) == [f".wf-{TOKEN}.part"]
    assert not (tmp_path / "a").exists()
    assert writer.commit(()).size == 3
    assert os.listdir(tmp_path) == ["a"]


def test_two_writers_of_the_same_copy_do_not_share_a_partial(store: FileStore, tmp_path: Path) -> None:
    incoming = Incoming(token=TOKEN)
    one = store.open_write(at(tmp_path / "a"), incoming)
    other = store.open_write(at(tmp_path / "a"), incoming)
    one.write(memoryview(b"from one"))
    other.write(memoryview(b"from the other"))
    assert len(partials(tmp_path)) == 2
    one.commit(())
    assert (tmp_path / "a").read_bytes() == b"from one"
    other.commit(())
    assert (tmp_path / "a").read_bytes() == b"from the other"
    assert os.listdir(tmp_path) == ["a"]


def test_what_a_killed_process_left_is_written_anew(store: FileStore, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from wf.protocols.conformance_tools import make_context\n"
        "from wf.protocols.file import FileStore\n"
        "from wf.protocols.locations import parse_location\n"
        "from wf.protocols.values import Incoming\n"
        "store = FileStore(make_context())\n"
        "writer = store.open_write(parse_location('file://' + sys.argv[1]), Incoming(token=sys.argv[2]))\n"
        "writer.write(memoryview(b'much longer than what comes later'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a"), TOKEN], check=False, timeout=30
    )
    assert ended.returncode == -9
    assert os.listdir(tmp_path) == [f".wf-{TOKEN}.part"]
    writer = store.open_write(at(tmp_path / "a"), Incoming(token=TOKEN))
    writer.write(memoryview(b"short"))
    writer.commit(())
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"short"


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "folder"])
def test_what_somebody_put_under_the_partials_name_is_left_alone(
    store: FileStore, tmp_path: Path, kind: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    planted = tmp_path / f".wf-{TOKEN}.part"
    if kind == "link":
        planted.symlink_to(victim)
    elif kind == "hard link":
        planted.hardlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(planted)
    else:
        planted.mkdir()
    before = os.lstat(planted)
    writer = store.open_write(at(tmp_path / "a"), Incoming(token=TOKEN))
    writer.write(memoryview(b"new"))
    writer.commit(())
    assert victim.read_bytes() == b"precious"
    assert os.path.samestat(os.lstat(planted), before)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert not (tmp_path / "a").is_symlink()


def test_a_partial_is_kept_when_asked_for(store: FileStore, tmp_path: Path) -> None:
    writer = store.open_write(at(tmp_path / "a"), Incoming(token=TOKEN))
    writer.write(memoryview(b"half"))
    writer.abort(keep=True)
    writer.abort()
    assert (tmp_path / f".wf-{TOKEN}.part").read_bytes() == b"half"


def test_giving_up_after_commit_takes_nothing_back(store: FileStore, tmp_path: Path) -> None:
    writer = store.open_write(at(tmp_path / "a"), Incoming(token=TOKEN))
    writer.commit(())
    writer.abort()
    assert os.listdir(tmp_path) == ["a"]


def test_a_commit_that_fails_leaves_no_partial(store: FileStore, tmp_path: Path) -> None:
    writer = store.open_write(at(tmp_path / "a"), Incoming(token=TOKEN))
    writer.write(memoryview(b"abc"))
    (tmp_path / "a").mkdir()
    error = refused(lambda: writer.commit(()), LocalRefused)
    assert "a folder is in its place" in error.what
    writer.abort()
    assert os.listdir(tmp_path) == ["a"]


# Modes and names


def test_a_new_file_has_the_source_mode_under_the_umask(
    store: FileStore, tmp_path: Path, umask: None
) -> None:
    for name, mode, wanted in (("plain", None, 0o640), ("tool", 0o4755, 0o750), ("read-only", 0o444, 0o440)):
        writer = store.open_write(at(tmp_path / "made" / name), Incoming(mode=mode))
        writer.write(memoryview(b"x"))
        writer.commit(())
        assert os.stat(tmp_path / "made" / name).st_mode & 0o7777 == wanted, name
    assert os.stat(tmp_path / "made").st_mode & 0o777 == 0o750


def test_a_reader_tells_the_permission_bits(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0o4751)
    reader = store.open_read(at(tmp_path / "a"))
    assert reader.mode == 0o751
    reader.close()


@pytest.mark.parametrize("incoming", [STREAM, WHOLE])
def test_the_longest_possible_name_is_written(store: FileStore, tmp_path: Path, incoming: Incoming) -> None:
    def write(name: str) -> None:
        writer = store.open_write(at(tmp_path / name), incoming)
        try:
            writer.write(memoryview(b"x"))
            writer.commit(())
        finally:
            writer.abort()

    write("n" * 255)
    assert os.listdir(tmp_path) == ["n" * 255]
    refused(lambda: write("n" * 256), LocalRefused)
    assert os.listdir(tmp_path) == ["n" * 255]


def test_names_are_bytes(store: FileStore, tmp_path: Path) -> None:
    name = os.fsdecode(b"not\xffutf-8\n'")
    written(store, at(tmp_path / name), b"x")
    assert os.listdir(os.fsencode(tmp_path)) == [b"not\xffutf-8\n'"]
    assert [entry.path for entry in store.list(at(tmp_path), recursive=False)] == [name]


def test_a_name_that_no_file_can_have_is_refused(store: FileStore, tmp_path: Path) -> None:
    location = at(tmp_path).below("lone-\ud800-surrogate")
    refused(lambda: store.open_read(location), LocalRefused)
    refused(lambda: store.open_write(location, STREAM), LocalRefused)
    refused(lambda: store.open_write(location, WHOLE), LocalRefused)
    refused(lambda: store.stat(location), LocalRefused)
    refused(lambda: store.remove(location, recursive=False), LocalRefused)
    refused(lambda: store.make_directory(location), LocalRefused)


def test_an_error_says_what_was_done_to_which_file(store: FileStore, tmp_path: Path) -> None:
    error = refused(lambda: store.open_read(at(tmp_path / "two\nlines")), NotFound)
    assert error.what == f"cannot read {tmp_path}/two\\nlines: No such file or directory"


def test_relative_paths_are_relative_to_the_working_directory(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(store, parse_location("a"), b"x")
    assert drained(store.open_read(parse_location("file:a"))) == b"x"
    assert os.listdir(tmp_path) == ["a"]


# Destinations that are no plain files


@pytest.mark.parametrize("incoming", [STREAM, WHOLE])
def test_a_link_at_the_destination_is_replaced(store: FileStore, tmp_path: Path, incoming: Incoming) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    for name, target in (("link", "target"), ("dangling", "absent")):
        (tmp_path / name).symlink_to(target)
        store.open_write(at(tmp_path / name), incoming).commit(())
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("incoming", [STREAM, WHOLE])
def test_a_folder_or_what_looks_like_one_is_no_destination(
    store: FileStore, tmp_path: Path, incoming: Incoming
) -> None:
    (tmp_path / "folder").mkdir()
    for path in ("folder", "folder/", "absent/", "folder/..", "folder/."):
        refused(lambda path=path: store.open_write(at(f"{tmp_path}/{path}"), incoming), LocalRefused)
    assert sorted(os.listdir(tmp_path)) == ["folder"]


@pytest.mark.parametrize("incoming", [STREAM, WHOLE])
def test_below_a_file_nothing_can_be_written(store: FileStore, tmp_path: Path, incoming: Incoming) -> None:
    (tmp_path / "file").write_bytes(b"x")
    refused(lambda: store.open_write(at(tmp_path / "file" / "below"), incoming), LocalRefused)


def test_a_small_file_does_not_take_the_place_of_a_device(store: FileStore) -> None:
    store.open_write(at("/dev/null"), WHOLE).commit(())
    assert Path("/dev/null").is_char_device()


def test_a_device_is_written_and_stays_one(store: FileStore) -> None:
    receipt = written(store, at("/dev/null"), LARGE)
    assert receipt.size is None
    assert Path("/dev/null").is_char_device()


def test_a_full_device_is_no_space(store: FileStore) -> None:
    refused(lambda: written(store, at("/dev/full"), b"x"), NoSpace)


def test_a_fifo_is_written_and_read_as_a_stream(store: FileStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    received: list[bytes] = []
    other = FileStore(make_context())
    thread = threading.Thread(
        target=lambda: received.append(drained(other.open_read(at(tmp_path / "fifo")))), daemon=True
    )
    thread.start()
    written(FileStore(make_context()), at(tmp_path / "fifo"), LARGE)
    thread.join(30)
    assert received == [LARGE]
    assert (tmp_path / "fifo").is_fifo()


def test_a_fifo_that_nobody_reads_is_given_up(store: FileStore, context: Context, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    refused(lambda: store.open_write(at(tmp_path / "fifo"), Incoming()), Broken)
    context.stop.set()
    refused(lambda: store.open_write(at(tmp_path / "fifo"), Incoming()), Stopped)


def test_a_fifo_whose_reader_does_not_read_is_given_up(
    store: FileStore, context: Context, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    refused(lambda: written(store, at(tmp_path / "fifo"), LARGE), Broken)
    os.close(reader)


def test_a_fifo_whose_reader_went_away_is_broken(store: FileStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = store.open_write(at(tmp_path / "fifo"), Incoming())
    os.close(reader)
    refused(lambda: writer.write(memoryview(b"x")), Broken)
    writer.abort()
    writer.abort()


# Sources


def test_what_is_no_file_is_no_source(store: FileStore, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path in (tmp_path, tmp_path / "socket"):
            error = refused(lambda path=path: store.open_read(at(path)), LocalRefused)
            assert error.remedy
        refused(lambda: store.open_write(at(tmp_path / "socket"), Incoming()), LocalRefused)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
def test_a_file_whose_size_is_computed_is_read_to_its_end(store: FileStore) -> None:
    reader = store.open_read(at("/proc/self/status"))
    assert reader.size is None
    assert b"Pid:" in drained(reader)


@pytest.mark.parametrize("size", [100, len(LARGE)])
@pytest.mark.parametrize("change", ["grown", "shrunk", "rewritten"])
def test_a_source_that_changes_while_it_is_read_is_noticed(
    store: FileStore, tmp_path: Path, size: int, change: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(LARGE[:size])
    reader = store.open_read(at(path))
    if size > BUFFER_BYTES:
        assert bytes(reader.read()) == LARGE[:BUFFER_BYTES]
    if change == "grown":
        with path.open("ab") as file:
            file.write(b"more")
    elif change == "shrunk":
        os.truncate(path, size - 5)
    else:
        path.write_bytes(LARGE[:size])
        os.utime(path, ns=(1, 1))
    error = refused(lambda: drained(reader), Changed)
    assert "was written while it was read" in error.what


def test_a_source_that_is_replaced_while_it_is_read_is_read_as_it_was(
    store: FileStore, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(LARGE)
    reader = store.open_read(at(tmp_path / "a"))
    written(store, at(tmp_path / "a"), b"the next version")
    assert drained(reader) == LARGE


def test_the_kernel_may_copy_from_descriptor_to_descriptor(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(LARGE)
    reader = store.open_read(at(tmp_path / "a"))
    writer = store.open_write(at(tmp_path / "b"), Incoming(len(LARGE)))
    writer.write(reader.read())
    assert reader.descriptor is not None and writer.descriptor is not None
    assert os.lseek(writer.descriptor, 0, os.SEEK_CUR) == BUFFER_BYTES
    while piece := os.read(reader.descriptor, BUFFER_BYTES):
        os.write(writer.descriptor, piece)
    assert not reader.read()
    assert writer.commit(digests_for(writer, LARGE)).size == len(LARGE)
    reader.close()
    assert (tmp_path / "b").read_bytes() == LARGE


def test_a_change_behind_the_kernels_copy_is_noticed(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(LARGE)
    reader = store.open_read(at(tmp_path / "a"))
    assert reader.descriptor is not None
    with (tmp_path / "a").open("ab") as file:
        file.write(b"more")
    while os.read(reader.descriptor, BUFFER_BYTES):
        pass
    refused(reader.read, Changed)
    reader.close()


def test_no_descriptor_is_left_open(store: FileStore, tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    (tmp_path / "a").write_bytes(b"x")
    os.mkfifo(tmp_path / "fifo")
    location = at(tmp_path / "a")
    drained(store.open_read(location))
    written(store, at(tmp_path / "b"), b"x")
    store.open_write(at(tmp_path / "b"), Incoming()).abort()
    refused(lambda: store.open_read(at(tmp_path)), LocalRefused)
    refused(lambda: store.open_read(location, version="another"), Changed)
    refused(lambda: store.open_read(location, start=10), Changed)
    refused(lambda: drained(store.open_read(at(tmp_path / "fifo"))), Broken)
    store.link(location, at(tmp_path / "link"), check=True)
    store.remove(at(tmp_path), recursive=True)
    assert len(os.listdir("/dev/fd")) == before
