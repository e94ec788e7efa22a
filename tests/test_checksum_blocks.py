"""Digests of blocks: damage has a place, and a range can be checked without the rest."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wf.checksum import blocks as blocks_module
from wf.checksum.blocks import BlockedDigest, Range, digest_blocks, entry_of, verify_range
from wf.checksum.errors import ChangedWhileRead, Interrupted, NotRegular
from wf.checksum.jsonl import HEADER, entry_line, trailer
from wf.checksum.manifests import write_manifest
from wf.checksum.verification import Verdict, verify_files

if TYPE_CHECKING:
    from pathlib import Path

K = 64 << 10


def made(path: Path, size: int) -> BlockedDigest:
    path.write_bytes(os.urandom(size))
    return digest_blocks(path, K, whole=("sha256", "md5"))


def change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("size", [0, 1, K - 1, K, K + 1, 3 * K, 5 * K + 17])
def test_blocks_and_the_whole_come_from_one_pass(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    found = made(path, size)
    data = path.read_bytes()
    assert found.size == size
    assert [one.value for one in found.digests] == [
        hashlib.sha256(data).digest(),
        hashlib.md5(data, usedforsecurity=False).digest(),
    ]
    assert found.blocks.values == tuple(
        hashlib.sha256(data[at : at + K]).digest() for at in range(0, size, K)
    )
    assert verify_range(path, found.blocks) == ()


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 4 * K),
    at=st.integers(0, 4 * K),
    start=st.integers(0, 5 * K),
    length=st.integers(0, 5 * K),
)
def test_a_changed_byte_is_found_exactly_in_the_ranges_whose_blocks_it_is_in(
    tmp_path_factory: pytest.TempPathFactory, size: int, at: int, start: int, length: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    found = made(path, size)
    at %= size
    change(path, at, bytes([path.read_bytes()[at] ^ 1]))
    block = Range(at // K * K, min((at // K + 1) * K, size))
    assert verify_range(path, found.blocks) == (block,)
    touched = length > 0 and start < block.start + K and start + length > block.start
    assert verify_range(path, found.blocks, start, length) == ((block,) if touched else ())


def test_neighbouring_damaged_blocks_are_one_range(tmp_path: Path) -> None:
    path = tmp_path / "file"
    found = made(path, 6 * K)
    for at in (K, 2 * K, 5 * K):
        change(path, at + 5, b"damage")
    assert verify_range(path, found.blocks) == (Range(K, 3 * K), Range(5 * K, 6 * K))


def test_what_is_missing_or_too_much_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "file"
    found = made(path, 4 * K)
    os.truncate(path, 2 * K + 5)
    assert verify_range(path, found.blocks) == (Range(2 * K, 4 * K),)
    assert verify_range(path, found.blocks, 0, 2 * K) == ()
    os.truncate(path, 2 * K)
    assert verify_range(path, found.blocks, 2 * K, 1) == (Range(2 * K, 3 * K),)
    found = made(path, 2 * K)
    with path.open("ab") as file:
        file.write(b"more")
    assert verify_range(path, found.blocks) == (Range(2 * K, 2 * K + 4),)
    assert verify_range(path, found.blocks, 0, 2 * K) == ()


def test_a_range_is_checked_without_reading_the_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    found = made(path, 3 * K)
    change(path, 0, b"x" * K)
    assert verify_range(path, found.blocks, K + 10, 5) == ()
    with pytest.raises(ValueError, match="before the file"):
        verify_range(path, found.blocks, -1)


def test_blocks_go_through_a_manifest(tmp_path: Path) -> None:
    found = made(tmp_path / "file", 3 * K + 1)
    entry = entry_of(b"file", found)
    write_manifest(tmp_path / "m.jsonl", [entry])
    assert (tmp_path / "m.jsonl").read_bytes() == HEADER + entry_line(entry) + trailer(1)
    (checked,) = verify_files(tmp_path / "m.jsonl", folder=tmp_path)
    assert (checked.verdict, checked.entry) == (Verdict.MATCH, entry)


def test_what_cannot_be_read_so_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotRegular):
        digest_blocks(tmp_path / "fifo")
    with pytest.raises(IsADirectoryError):
        digest_blocks(tmp_path)
    with pytest.raises(FileNotFoundError):
        digest_blocks(tmp_path / "missing")
    with pytest.raises(ValueError, match="at least"):
        digest_blocks(tmp_path / "missing", 1000)


class AtFirstLook:
    """A stop event that is never set, and does something when it is looked at for the first time."""

    def __init__(self, path: Path) -> None:
        self._path: Path | None = path

    def is_set(self) -> bool:
        path, self._path = self._path, None
        if path:
            os.truncate(path, 10)
        return False


def test_a_file_that_shrinks_meanwhile_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    found = made(path, 2 * K)
    with pytest.raises(ChangedWhileRead):
        digest_blocks(path, K, stop=AtFirstLook(path))
    path.write_bytes(bytes(2 * K))
    with pytest.raises(ChangedWhileRead):
        verify_range(path, found.blocks, stop=AtFirstLook(path))


def test_a_set_stop_event_ends_it_and_nothing_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    found = made(path, 2 * K)
    stop = threading.Event()
    stop.set()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Interrupted):
        digest_blocks(path, stop=stop)
    with pytest.raises(Interrupted):
        verify_range(path, found.blocks, stop=stop)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_usual_block_is_as_large_as_a_part_of_an_upload() -> None:
    assert 8 << 20 <= blocks_module.BLOCK_BYTES <= 64 << 20
