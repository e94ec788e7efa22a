"""Why a file is not what its manifest says: the kind of damage, its place, and the evidence kept."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from .blocks import Range, verify_range
from .digest import Digest, new_hash
from .disguises import PIECE, disguise_of, is_trailer, matches
from .files import digest_file
from .findings import Damage, Finding

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from .entries import BlockDigests, ManifestEntry
    from .files import FileDigest
    from .paths import Path


class Explanation(NamedTuple):
    """`ranges` differ, as far as block digests or a reference tell; the file may match by now, then nothing is found."""

    expected_size: int | None
    expected: tuple[Digest, ...]
    found: FileDigest
    ranges: tuple[Range, ...] = ()
    findings: tuple[Finding, ...] = ()

    def sentences(self) -> list[str]:
        """What people read, the certain first."""
        told = []
        if self.expected_size is not None and self.expected_size != self.found.size:
            more = self.found.size - self.expected_size
            word = f"{more} more" if more > 0 else f"{-more} fewer"
            told.append(f"{self.found.size} bytes, {word} than the expected {self.expected_size}")
        told += [one.text for one in sorted(self.findings, key=lambda one: not one.proved)]
        if self.ranges:
            told.append(f"differs in {_places(self.ranges)}")
        return told


SHOWN_RANGES = 8


def _places(ranges: Iterable[Range]) -> str:
    places = [f"bytes {one.start}-{one.end - 1}" for one in ranges]
    more = f" and {len(places) - SHOWN_RANGES} more ranges" if len(places) > SHOWN_RANGES else ""
    return ", ".join(places[:SHOWN_RANGES]) + more


def explain(
    path: Path,
    entry: ManifestEntry,
    *,
    found: FileDigest | None = None,
    reference: Path | None = None,
    stop: threading.Event | None = None,
) -> Explanation:
    """What is known about the damage of a file that does not match its entry. It is read several times.

    `found` spares one of them; `reference` is a good copy, if there is one. Raises as `digest_file` does.
    """
    if found is None:
        found = digest_file(path, [one.algorithm for one in entry.digests], stop=stop)
    with open(path, "rb") as file:
        findings = list(_whole(file, found.size, entry))
        ranges: tuple[Range, ...] = ()
        if reference is not None:
            from .differences import differences

            compared = differences(file, reference, stop=stop)
            ranges = compared.ranges
            findings += compared.findings
        elif entry.blocks is not None:
            ranges = _within(verify_range(path, entry.blocks, stop=stop), found.size, entry.size)
            findings += _by_blocks(file, found.size, entry, entry.blocks, ranges)
        findings += _zeros(file, found.size, ranges)
    return Explanation(entry.size, entry.digests, found, ranges, tuple(findings))


def _within(ranges: tuple[Range, ...], size: int, expected: int | None) -> tuple[Range, ...]:
    """The ranges without what lies behind the end of both: whole blocks may reach further."""
    if expected is None or not ranges:
        return ranges
    *others, last = ranges
    return (*others, Range(last.start, min(last.end, max(size, expected))))


# --- the file as a whole


def _whole(file: BinaryIO, size: int, entry: ManifestEntry) -> Iterator[Finding]:
    if size == 0:
        yield Finding(Damage.EMPTY, "it is empty", proved=True)
        return
    if (disguise := disguise_of(file, size, entry)) is not None:
        yield disguise
    elif entry.size is not None and entry.size < size:
        yield from _appended(file, size, entry, entry.size)


def _appended(file: BinaryIO, size: int, entry: ManifestEntry, expected: int) -> Iterator[Finding]:
    file.seek(max(0, size - 1024))
    if is_trailer(tail := file.read(1024)):
        text = "the trailer of an aws-chunked upload is at its end"
        yield Finding(Damage.AWS_CHUNKED, text, Range(max(expected, size - len(tail)), size))
    if matches(_read(file, 0, expected), entry):
        text = f"the first {expected} bytes are right, and {size - expected} follow that do not belong to it"
        yield Finding(Damage.APPENDED, text, Range(expected, size), proved=True)


def _read(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    while start < end and (piece := file.read(min(PIECE, end - start))):
        start += len(piece)
        yield piece


# --- zeros


_PAGE = 4096


def _zeros(file: BinaryIO, size: int, ranges: tuple[Range, ...]) -> Iterator[Finding]:
    """Runs of zeros in what differs; where that is not known, at the end of the file."""
    if ranges:
        runs = [run for place in ranges for run in _zero_runs(file, place.start, min(place.end, size))]
        text = "zeros instead of data in {}"
    else:
        start = _trailing_zeros(file, size)
        runs = [Range(start, size)] if size - start >= _PAGE else []
        text = "all zeros" if runs and not start else "ends in zeros, in {}"
    if runs:
        place = Range(runs[0].start, runs[-1].end)
        yield Finding(Damage.ZERO_FILLED, text.format(_places(runs)), place, proved=bool(ranges))


def _zero_runs(file: BinaryIO, start: int, end: int) -> Iterator[Range]:
    """Pages of zeros, neighbours joined; a shorter last one counts if it follows a page, or is all there is."""
    begun = -1
    at = start
    empty = bytes(_PAGE)
    for piece in _read(file, start, end):
        for offset in range(0, len(piece), _PAGE):
            page = piece[offset : offset + _PAGE]
            zero = page == empty[: len(page)] and (len(page) == _PAGE or begun >= 0 or at == start)
            if zero and begun < 0:
                begun = at
            elif not zero and begun >= 0:
                yield Range(begun, at)
                begun = -1
            at += len(page)
    if begun >= 0:
        yield Range(begun, at)


def _trailing_zeros(file: BinaryIO, size: int) -> int:
    """Where the zeros at the end begin."""
    end = size
    while end:
        start = max(0, end - PIECE)
        file.seek(start)
        piece = file.read(end - start).rstrip(b"\0")
        if piece:
            return start + len(piece)
        end = start
    return 0


# --- block digests


_SHIFTS = (*range(1, 65), *(1 << bits for bits in range(7, 17)))
"""Bytes that get lost or in between: few, or a block of some layer."""


def _by_blocks(
    file: BinaryIO, size: int, entry: ManifestEntry, blocks: BlockDigests, ranges: tuple[Range, ...]
) -> Iterator[Finding]:
    expected = entry.size
    # Without a right block before it nothing speaks for the beginning of the right content.
    if (
        expected is not None
        and size < expected
        and ranges
        and 0 < ranges[0].start >= size - size % blocks.size
    ):
        text = f"it was cut: all blocks before byte {ranges[0].start} are right"
        yield Finding(Damage.TRUNCATED, text, Range(size, expected), proved=True)
        return
    if (shift := _shift(file, size, expected, blocks, ranges)) is not None:
        yield shift
    else:
        yield from _misplaced(file, size, blocks, ranges)


def _shift(
    file: BinaryIO, size: int, expected: int | None, blocks: BlockDigests, ranges: tuple[Range, ...]
) -> Finding | None:
    """Looks for a damaged whole block some bytes away from its place."""
    damaged = _known_blocks(blocks, ranges, expected)
    if not damaged:
        return None
    number = damaged[1] if len(damaged) > 1 else damaged[0]
    home = number * blocks.size
    end = home + blocks.size if expected is None else min(home + blocks.size, expected)
    candidates = [] if expected in (None, size) else [size - (expected or 0)]
    candidates += [sign * one for one in _SHIFTS for sign in (1, -1)]
    for shift in dict.fromkeys(candidates):
        start = home + shift
        there = Range(start, end + shift)
        if start >= 0 and there.end <= size and _block_value(file, blocks, there) == blocks.values[number]:
            word = "late: bytes came in between" if shift > 0 else "early: bytes were lost"
            text = f"what belongs at byte {home} is {abs(shift)} bytes too {word} before it"
            return Finding(Damage.SHIFTED, text, Range(ranges[0].start, size), proved=True)
    return None


def _known_blocks(blocks: BlockDigests, ranges: tuple[Range, ...], expected: int | None) -> list[int]:
    """The numbers of damaged blocks whose size is known: without that of the file the last one's is not.

    The one in which the damage begins is the first.
    """
    count = len(blocks.values) - (expected is None)
    return [
        number for place in ranges for number in range(place.start // blocks.size, -(-place.end // blocks.size)) if number < count
    ]  # fmt: skip


def _misplaced(
    file: BinaryIO, size: int, blocks: BlockDigests, ranges: tuple[Range, ...]
) -> Iterator[Finding]:
    places = {value: number for number, value in reversed(list(enumerate(blocks.values)))}
    for number in _known_blocks(blocks, ranges, None):
        start = number * blocks.size
        if start + blocks.size <= size:
            home = places.get(_block_value(file, blocks, Range(start, start + blocks.size)))
            if home is not None and home != number:
                text = f"the block at byte {start} holds what belongs at byte {home * blocks.size}"
                yield Finding(Damage.MISPLACED, text, Range(start, start + blocks.size), proved=True)


def _block_value(file: BinaryIO, blocks: BlockDigests, place: Range) -> bytes:
    one = new_hash(blocks.algorithm)
    for piece in _read(file, place.start, place.end):
        one.update(piece)
    return one.digest()


# --- quarantine


def quarantine(path: Path, folder: Path, *, name: bytes | None = None) -> bytes:
    """Moves the bad file into the folder and returns its new path: `name`, else its own, with `.bad-` and eight digits.

    Folders in `name` are made below the folder, and are, as that itself if it is missing, for their owner only.
    Between file systems the file is copied, whole and onto the disk, before it is removed. A link is moved as a link.
    Raises OSError; then the file is where it was.
    """
    source = os.fsencode(path)
    parts = [part for part in (name or source).split(b"/") if part not in (b"", b".", b"..")]
    *above, last = parts if name is not None else parts[-1:]
    home = os.path.join(os.fsencode(folder), *above)
    os.makedirs(home, mode=0o700, exist_ok=True)
    target = os.path.join(home, last[:200] + b".bad-" + os.urandom(4).hex().encode())
    # The empty file takes the name, so that nothing of that name can be replaced.
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        _move(source, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(target)
        raise
    return target


def _move(source: bytes, target: bytes) -> None:
    import errno

    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if os.path.islink(source):
            os.unlink(target)
            os.symlink(os.readlink(source), target)
            os.unlink(source)
            return
        with open(source, "rb") as old, open(target, "wb") as new:
            while piece := old.read(PIECE):
                new.write(piece)
            new.flush()
            os.fsync(new.fileno())
        os.unlink(source)
