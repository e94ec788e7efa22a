"""Digests of a large file's blocks: a range can be checked alone, and damage has a place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from .digest import Hashes, new_hash
from .entries import BlockDigests, ManifestEntry
from .errors import ChangedWhileRead, Interrupted
from .files import NOT_WAITING, expected_size, new_buffer, opened, refuse_change

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator
    from typing import Self

    from .digest import Digest
    from .paths import Path

BLOCK_BYTES = 8 << 20
SMALLEST_BLOCK = 64 << 10
"""Smaller ones cost more than they tell."""


class BlockedDigest(NamedTuple):
    """The whole file's size and digests, and those of its blocks, from one pass over it."""

    size: int
    digests: tuple[Digest, ...]
    blocks: BlockDigests


class Range(NamedTuple):
    """Bytes of a file, `end` excluded."""

    start: int
    end: int


def digest_blocks(
    path: Path,
    size: int = BLOCK_BYTES,
    *,
    algorithm: str = "sha256",
    whole: Iterable[str] = ("sha256",),
    stop: threading.Event | None = None,
) -> BlockedDigest:
    """The digests of the file in blocks of `size` bytes, by `algorithm`, and those of the whole file by `whole`.

    Raises as `digest_file` does, and ValueError for a size below 64 KiB.
    """
    if size < SMALLEST_BLOCK:
        raise ValueError(f"a block has at least {SMALLEST_BLOCK} bytes")
    total = Hashes(whole)
    values = []
    with _Opened(path) as file:
        for start in range(0, file.size, size):
            values.append(file.digest(Range(start, min(start + size, file.size)), algorithm, total, stop))
        file.refuse_change()
    return BlockedDigest(file.size, total.digests(), BlockDigests(size, algorithm, tuple(values)))


def verify_range(
    path: Path,
    blocks: BlockDigests,
    start: int = 0,
    length: int | None = None,
    *,
    stop: threading.Event | None = None,
) -> tuple[Range, ...]:
    """The damaged parts of a range; none if all is well. Only the blocks that the range touches are read, whole.

    Without `length` to the end. Neighbouring damaged blocks are one Range. A block that the file lacks, in part or
    altogether, is damaged; of a file that is longer than its blocks the rest is. Raises as `digest_file` does, and ValueError
    for a range that is none.
    """
    if start < 0 or (length is not None and length < 0):
        raise ValueError("a range does not begin or end before the file")
    with _Opened(path) as file:
        end = file.size if length is None else start + length
        found = tuple(_joined(_damaged(file, blocks, start, max(end, start), length is None, stop)))
        file.refuse_change()
    return found


def entry_of(name: bytes, found: BlockedDigest) -> ManifestEntry:
    """The manifest entry that says all this."""
    return ManifestEntry(name, found.digests, found.size, blocks=found.blocks)


def _damaged(
    file: _Opened, blocks: BlockDigests, start: int, end: int, to_the_end: bool, stop: threading.Event | None
) -> Iterator[Range]:
    size, algorithm, values = blocks
    if end == start and not to_the_end:
        return
    last = len(values) if to_the_end else min(len(values), -(-end // size))
    for number in range(start // size, last):
        block = Range(number * size, (number + 1) * size)
        there = Range(block.start, min(block.end, file.size))
        is_last = number == len(values) - 1
        if there.start >= there.end or (there.end < block.end and not is_last):
            yield Range(block.start, block.end)
        elif file.digest(there, algorithm, None, stop) != values[number]:
            yield there
    past = len(values) * size
    if past < file.size and past < end:
        yield Range(past, file.size)


def _joined(ranges: Iterable[Range]) -> Iterator[Range]:
    current: Range | None = None
    for one in ranges:
        if current is not None and current.end == one.start:
            current = Range(current.start, one.end)
        else:
            if current is not None:
                yield current
            current = one
    if current is not None:
        yield current


class _Opened:
    """A regular file whose ranges are digested, and that must not change meanwhile."""

    def __init__(self, path: Path) -> None:
        self._descriptor = opened(path, NOT_WAITING)
        try:
            self._before = os.fstat(self._descriptor)
            self.size = expected_size(self._before, path)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._buffer = new_buffer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def digest(
        self, place: Range, algorithm: str, total: Hashes | None, stop: threading.Event | None
    ) -> bytes:
        """The digest of a range, which is fed to `total` as well. Raises ChangedWhileRead if it is not all there."""
        one = new_hash(algorithm)
        at = place.start
        while at < place.end:
            if stop is not None and stop.is_set():
                raise Interrupted("reading was interrupted")
            count = os.preadv(self._descriptor, [self._buffer[: place.end - at]], at)
            if not count:
                raise ChangedWhileRead(f"ended after {at} of {self.size} bytes")
            piece = self._buffer[:count]
            one.update(piece)
            if total is not None:
                total.update(piece)
            at += count
        return one.digest()

    def refuse_change(self) -> None:
        refuse_change(self._before, os.fstat(self._descriptor), self.size)
