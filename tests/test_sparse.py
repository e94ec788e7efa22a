"""Files that are larger than 32 bits count, most of them holes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, Recorder, execute, transfer
from wf.checksum.digest import parse_hex
from wf.transfer.execution import run
from wf.transfer.planning import plan
from wf.transfer.requests import Batch

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
MIB = 1 << 20
TWENTY_GIBIBYTES = parse_hex("sha256", "65e82e3da59bc83eddfa5d009ddcf5e65318f23cc5325106e60689f67413b20b")
"""Of the file below, as sha256sum has it."""


def sparse(path: Path, size: int, pieces: dict[int, bytes]) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in pieces.items():
            file.seek(offset)
            file.write(data)


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize(
    "pieces",
    [{}, {0: b"begin"}, {5 * MIB: b"m" * 10, 9 * MIB: b"n" * MIB}, {12 * MIB - 3: b"end"}],
    ids=["a hole", "at the beginning", "in the middle", "at the end"],
)
def test_holes_of_local_files_stay_holes(pieces: dict[int, bytes], tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    sparse(source, 12 * MIB, pieces)
    done = execute([transfer(0, source, copy)])
    assert done.exit == 0, done[0].error
    assert copy.read_bytes() == source.read_bytes()
    assert on_disk(copy) <= on_disk(source) + MIB


def test_twenty_gibibytes_of_holes_are_copied_without_being_written(tmp_path: Path) -> None:
    """Every byte is hashed all the same, which is what takes its time."""
    size = 20 * GIB + 3
    pieces = {0: b"begin", 5 * GIB + 1: b"x" * 5000, size - 3: b"end"}
    source, copy = tmp_path / "source", tmp_path / "copy"
    sparse(source, size, pieces)
    recorded = Recorder()
    report = run(plan(Batch((transfer(0, source, copy),)), QUICK), sinks=[recorded])
    assert report.ok, report.failures
    (outcome,) = recorded.outcomes
    assert copy.stat().st_size == size
    assert on_disk(copy) < 100 * MIB
    with copy.open("rb") as file:
        for offset, data in pieces.items():
            assert os.pread(file.fileno(), len(data), offset) == data
    assert outcome.bytes == size
    assert outcome.digest == TWENTY_GIBIBYTES
