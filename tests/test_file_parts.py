"""Local files in parts: whatever ended a process, what it left never claims bytes that are not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from wf.protocols.conformance_tools import content, make_context
from wf.protocols.errors import NoSpace
from wf.protocols.file import FileStore
from wf.protocols.file_parts import TRAILER_HEAD, token_in_parts
from wf.protocols.locations import Location, parse_location
from wf.protocols.values import MARK_DIGITS, Incoming, Token

PART = 5000
SIZE = 3 * PART + 7
DATA = content(SIZE)
TOKEN = "0123456789abcdef"
INCOMING = Incoming(SIZE, token=TOKEN, resume=True)
NO_DIGESTS = ()

_WRITES_AND_IS_KILLED = """
import os, signal, sys
from wf.protocols.conformance_tools import content, make_context
from wf.protocols.file import FileStore
from wf.protocols.locations import parse_location
from wf.protocols.values import Incoming

folder, size, part, token, left = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4], int(sys.argv[5])

def counted(call):
    def instead(*arguments):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*arguments)
    return instead

for name in ("pwrite", "ftruncate", "rename"):
    setattr(os, name, counted(getattr(os, name)))
store, data = FileStore(make_context()), memoryview(content(size))
parts = store.open_parts(parse_location(f"file://{folder}/a"), Incoming(size, token=token, resume=True), part)
for number in (2, 0, 3, 1):
    first, length = parts.span(number)
    store.put_part(parts, number, first, data[first : first + length])
store.commit_parts(parts, tuple(store.list_parts(parts)), ())
"""


@pytest.fixture
def store() -> FileStore:
    return FileStore(make_context())


@pytest.fixture
def location(tmp_path: Path) -> Location:
    return parse_location(f"file://{tmp_path}/a")


@pytest.fixture
def limited_files() -> Iterator[None]:
    """No file may become longer than `SIZE`: as on a disk that is full, a write behind that fails."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def put(store: FileStore, token: Token, *numbers: int) -> None:
    for number in numbers:
        first, length = token.span(number)
        store.put_part(token, number, first, memoryview(DATA)[first : first + length])


def claimed(store: FileStore, location: Location) -> list[int]:
    """The parts that are said to be there, all of which are."""
    token = store.open_parts(location, INCOMING, PART)
    numbers = [part.number for part in store.list_parts(token)]
    for number in numbers:
        first, length = token.span(number)
        view = memoryview(bytearray(length))
        assert store.read_back(token, first, view) == length
        assert view == DATA[first : first + length]
    assert token.found == bool(numbers)
    store.abort_parts(token, keep=True)
    return numbers


def partial_in(folder: Path) -> Path:
    (found,) = folder.glob(".wf-*.part")
    return found


@pytest.mark.usefixtures("limited_files")
def test_a_disk_on_which_no_trailer_fits_keeps_nothing(store: FileStore, location: Location) -> None:
    with pytest.raises(NoSpace):
        store.open_parts(location, INCOMING, PART)
    assert os.listdir(Path(location.path).parent) == []


def test_wherever_a_process_is_killed_the_parts_it_claims_are_there(tmp_path: Path) -> None:
    """Before every one of the calls that change the partial."""
    counts = []
    for calls in range(100):
        folder = tmp_path / str(calls)
        folder.mkdir()
        command = [sys.executable, "-c", _WRITES_AND_IS_KILLED, folder, SIZE, PART, TOKEN, calls]
        subprocess.run([str(word) for word in command], check=False, timeout=60)
        if (folder / "a").exists():
            break
        another = shutil.copytree(folder, tmp_path / f"{calls} in one piece")
        writer = FileStore(make_context()).open_write(parse_location(f"file://{another}/a"), INCOMING)
        assert writer.held == 0, "a file with holes is no beginning"
        writer.abort()
        counts.append(len(claimed(FileStore(make_context()), parse_location(f"file://{folder}/a"))))
    assert (folder / "a").read_bytes() == DATA
    assert max(counts) == 4, "it was killed when all was there"


@pytest.mark.parametrize("length", [0, 3 * PART, SIZE - 1, SIZE, SIZE + 1, SIZE + TRAILER_HEAD, SIZE + 19])
def test_a_partial_that_lost_of_its_trailer_holds_nothing(
    store: FileStore, location: Location, tmp_path: Path, length: int
) -> None:
    token = store.open_parts(location, INCOMING, PART)
    put(store, token, 0, 2, 3)
    store.abort_parts(token, keep=True)
    os.truncate(partial_in(tmp_path), length)

    again = store.open_parts(location, INCOMING, PART)

    assert not again.found
    assert store.list_parts(again) == ()
    assert partial_in(tmp_path).stat().st_blocks <= 16, "what it had is gone"
    put(store, again, 0, 1, 2, 3)
    store.commit_parts(again, store.list_parts(again), NO_DIGESTS)
    assert (tmp_path / "a").read_bytes() == DATA


@pytest.mark.parametrize(("part", "there"), [(PART, [0, 1, 3]), (3000, [0, 1, 2]), (2 * PART, [0])])
def test_parts_of_another_size_serve_as_far_as_there_is_no_gap(
    store: FileStore, location: Location, part: int, there: list[int]
) -> None:
    token = store.open_parts(location, INCOMING, PART)
    put(store, token, 0, 1, 3)
    store.abort_parts(token, keep=True)

    again = store.open_parts(location, INCOMING, part)

    assert again.found
    assert [item.number for item in store.list_parts(again)] == there
    store.abort_parts(again)


def test_the_copy_in_one_piece_and_the_one_in_parts_put_each_other_away(
    location: Location, tmp_path: Path
) -> None:
    """Only one of the two is ever gone on with."""
    first = FileStore(make_context())
    writer = first.open_write(location, INCOMING)
    writer.write(memoryview(DATA)[:PART])
    writer.abort(keep=True)
    second = FileStore(make_context())
    token = second.open_parts(location, INCOMING, PART)
    assert not token.found
    assert partial_in(tmp_path) == Path(token.name)
    put(second, token, 0, 1)
    second.abort_parts(token, keep=True)

    third = FileStore(make_context())
    writer = third.open_write(location, INCOMING)

    assert writer.held == 0
    assert partial_in(tmp_path).name == f".wf-{TOKEN}.part"
    writer.abort()


@pytest.mark.parametrize("token", [TOKEN, "0" * 16, "f" * 16, "0" * 15 + "f"])
def test_a_copy_in_parts_has_another_token_with_the_same_mark(token: str) -> None:
    other = token_in_parts(token)
    assert len(other) == 16 and other != token
    assert other[:MARK_DIGITS] == token[:MARK_DIGITS]
    assert token_in_parts(other) == token
