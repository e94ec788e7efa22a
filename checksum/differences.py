"""A file compared with a good copy, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .blocks import Range
from .errors import Interrupted
from .findings import Damage, Finding

if TYPE_CHECKING:
    import threading
    from typing import BinaryIO

    from .paths import Path

_PIECE = 64 << 10
_GRAIN = 512
"""Bytes in which differences are told: a sector."""
_FEW_BITS = 64
_WINDOW = 64
"""Bytes that are searched elsewhere; by chance so many are not equal."""
_REACH = 1 << 20
_DISTANCES = (512, 8 << 10, 128 << 10, 1 << 20)
"""From the first difference to what is searched: more than was lost there."""
MOST_RANGES = 10_000


class Differences(NamedTuple):
    """`ranges` are those that differ, in whole sectors, the last one open where there are more than can be told."""

    ranges: tuple[Range, ...]
    findings: tuple[Finding, ...]


class _Found:
    """What the comparison has come to."""

    def __init__(self) -> None:
        self.ranges: list[Range] = []
        self.bits: list[tuple[int, int]] = []
        """Offset and mask of bytes that differ in one bit each... or more; given up when there are many."""
        self.flipped = 0
        self.first = -1
        """The first byte that differs."""

    def add(self, start: int, end: int) -> None:
        if self.ranges and (self.ranges[-1].end == start or len(self.ranges) >= MOST_RANGES):
            start = self.ranges.pop().start
        self.ranges.append(Range(start, end))


def differences(file: BinaryIO, reference: Path, *, stop: threading.Event | None = None) -> Differences:
    """Where and how the file differs from the reference. Raises OSError, and Interrupted soon after `stop` is set."""
    found = _Found()
    at = 0
    file.seek(0)
    with open(reference, "rb") as good:
        while True:
            ours, theirs = file.read(_PIECE), good.read(_PIECE)
            if stop is not None and stop.is_set():
                raise Interrupted("comparing was interrupted")
            if ours != theirs:
                _compare(found, ours, theirs, at)
            if not ours and not theirs:
                break
            at += max(len(ours), len(theirs))
        return Differences(tuple(found.ranges), tuple(_findings(found, file, good)))


def _compare(found: _Found, ours: bytes, theirs: bytes, at: int) -> None:
    for start in range(0, max(len(ours), len(theirs)), _GRAIN):
        one, other = ours[start : start + _GRAIN], theirs[start : start + _GRAIN]
        if one != other:
            if found.first < 0:
                found.first = at + start + _common(one, other)
            found.add(at + start, at + start + max(len(one), len(other)))
            if len(one) == len(other) and found.flipped <= _FEW_BITS:
                _count_bits(found, one, other, at + start)
            else:
                found.flipped = _FEW_BITS + 1


def _common(one: bytes, other: bytes) -> int:
    """How many bytes at the beginning are equal."""
    return next(
        (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right),
        min(len(one), len(other)),
    )


def _count_bits(found: _Found, one: bytes, other: bytes, at: int) -> None:
    for offset, (left, right) in enumerate(zip(one, other, strict=True)):
        if left != right:
            found.flipped += (left ^ right).bit_count()
            found.bits.append((at + offset, left ^ right))


def _findings(found: _Found, file: BinaryIO, good: BinaryIO) -> list[Finding]:
    if not found.ranges:
        return []
    first = found.first
    if found.flipped <= _FEW_BITS:
        places = ", ".join(f"byte {at} mask 0x{mask:02x}" for at, mask in found.bits[:8])
        more = f" and {len(found.bits) - 8} more" if len(found.bits) > 8 else ""
        text = f"{found.flipped} bit{'s' if found.flipped > 1 else ''} flipped: {places}{more}"
        return [Finding(Damage.BITS, text, Range(found.bits[0][0], found.bits[-1][0] + 1), proved=True)]
    size, expected = file.seek(0, 2), good.seek(0, 2)
    if first >= size:
        return [
            Finding(Damage.TRUNCATED, f"it was cut after {size} bytes", Range(size, expected), proved=True)
        ]
    if first >= expected:
        text = f"{size - expected} bytes follow after the right ones"
        return [Finding(Damage.APPENDED, text, Range(expected, size), proved=True)]
    return _shift(file, good, first, found.ranges[-1].end)


def _shift(file: BinaryIO, good: BinaryIO, first: int, end: int) -> list[Finding]:
    """Looks in the file for some bytes that the reference has after the first difference."""
    for distance in _DISTANCES:
        moved = _moved(file, good, first + distance)
        if moved:
            word = "came in between" if moved > 0 else "were lost"
            text = f"{abs(moved)} bytes {word} at about byte {first}; what follows is shifted"
            return [Finding(Damage.SHIFTED, text, Range(first, end), proved=True)]
    return []


def _moved(file: BinaryIO, good: BinaryIO, at: int) -> int:
    """How far from its place the file has what the reference has at `at`; 0 for nowhere near."""
    good.seek(at)
    window = good.read(_WINDOW)
    if len(window) < _WINDOW or len(set(window)) < 8:  # too plain to be found by more than chance
        return 0
    start = max(0, at - _REACH)
    file.seek(start)
    where = file.read(2 * _REACH + _WINDOW).find(window)
    return 0 if where < 0 else start + where - at
