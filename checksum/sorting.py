"""Any number of byte strings in order, in bounded memory: sorted runs go to temporary files and are merged."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

RUN_BYTES = 24 << 20
"""Of the strings themselves; with Python's objects about three times that in memory."""

_OBJECT_BYTES = 50
_MOST_FILES = 64
"""Runs that are merged at once: each is an open file with a buffer."""


def in_order(
    records: Iterable[bytes], *, run_bytes: int = RUN_BYTES, folder: bytes | None = None
) -> Iterator[bytes]:
    """The records in byte order, equal ones next to each other. `records` is read whole before the first comes out.

    Temporary files, in `folder` or `$TMPDIR`, have no names and vanish with the iterator. Raises OSError where they
    cannot be written.
    """
    runs: list[IO[bytes]] = []
    run: list[bytes] = []
    room = run_bytes
    try:
        for record in records:
            run.append(record)
            room -= len(record) + _OBJECT_BYTES
            if room < 0:
                runs.append(_spilled(sorted(run), folder))
                run, room = [], run_bytes
                if len(runs) == _MOST_FILES:
                    runs = [_merged_file(runs, folder)]
        run.sort()
        yield from _merged([*(_read_back(one) for one in runs), iter(run)]) if runs else run
    finally:
        for one in runs:
            one.close()


def _merged(parts: list[Iterator[bytes]]) -> Iterator[bytes]:
    from heapq import merge

    return iter(merge(*parts))


def _merged_file(runs: list[IO[bytes]], folder: bytes | None) -> IO[bytes]:
    try:
        return _spilled(_merged([_read_back(one) for one in runs]), folder)
    finally:
        for one in runs:
            one.close()


def _spilled(records: Iterable[bytes], folder: bytes | None) -> IO[bytes]:
    from tempfile import TemporaryFile

    file = TemporaryFile(prefix=b".wf-sort-", dir=folder)  # noqa: SIM115 - closed by who merges it
    try:
        for record in records:
            file.write(len(record).to_bytes(4, "little"))
            file.write(record)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _read_back(file: IO[bytes]) -> Iterator[bytes]:
    while head := file.read(4):
        yield file.read(int.from_bytes(head, "little"))
