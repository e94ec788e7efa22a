"""Files under logical names, `lfn=path`, read and held against what `.meta` files say of them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from .errors import ChangedWhileRead, ChecksumError, Interrupted
from .files import digest_file, new_buffer
from .meta import Described
from .records import StrEnum

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .digest import Digest
    from .meta import Expectation, Expectations

SEPARATOR = ";;;"


class Item(NamedTuple):
    """`named` tells whether the logical name was given, or is only the path again."""

    lfn: str
    path: str
    named: bool = True


def parse_item(text: str) -> Item:
    """The item that `lfn=path` means, cut at the first `=`; without one the path is the logical name too.

    Raises ValueError where one of them is empty.
    """
    lfn, equals, path = text.partition("=")
    if not equals:
        path = lfn
    if not lfn or not path:
        raise ValueError(f"{text!r} names no file" if text else "an empty item names no file")
    return Item(lfn, path, bool(equals))


def parse_items(text: str) -> list[Item]:
    """The items of a list joined by `;;;`. Raises ValueError as `parse_item` does, also for an empty list."""
    return [parse_item(one) for one in text.split(SEPARATOR)]


# --- reading


def described(item: Item, *, algorithm: str = "sha256", buffer: memoryview | None = None) -> Described:
    """The file's digest and the state it was in. Raises as `digest_file` does."""
    started = time.monotonic()
    before = os.stat(item.path)
    found = digest_file(item.path, (algorithm,), buffer=buffer)
    after = os.stat(item.path)
    if _identity(before) != _identity(after):
        raise ChangedWhileRead("was replaced while it was read")
    return Described(item.lfn, found.digests[0], after, time.monotonic() - started)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


# --- checking


class Outcome(StrEnum):
    MATCH = "match"
    MISMATCH = "mismatch"
    """The digest is another one."""
    WRONG_SIZE = "wrong-size"
    """The digest is the expected one, and the size is not: what is recorded contradicts itself."""
    UNKNOWN = "unknown"
    """Nothing usable is said about the file: there is no entry, none with a checksum, or they contradict."""
    MISSING = "missing"
    UNREADABLE = "unreadable"


class Examined(NamedTuple):
    """What became of one item. `digest` is in the expected algorithm; `sha256` is there whenever the file was read."""

    item: Item
    outcome: Outcome
    expected: Expectation | None = None
    size: int | None = None
    digest: Digest | None = None
    sha256: Digest | None = None
    seconds: float = 0.0
    error: OSError | ChecksumError | None = None


def examine(items: Iterable[Item], expectations: Expectations) -> Iterator[Examined]:
    """One result an item, in order. A file about which nothing is said is not read."""
    buffer = new_buffer()
    for item in items:
        expected = expectations.get(item.lfn)
        if expected is None or expected.digest is None:
            yield Examined(item, Outcome.UNKNOWN, expected)
        else:
            yield _examined(item, expected, expected.digest, buffer)


def _examined(item: Item, expected: Expectation, digest: Digest, buffer: memoryview) -> Examined:
    started = time.monotonic()
    algorithms = dict.fromkeys((digest.algorithm, "sha256"))
    try:
        found = digest_file(item.path, algorithms, buffer=buffer)
    except Interrupted:
        raise
    except (OSError, ChecksumError) as error:
        outcome = Outcome.MISSING if isinstance(error, FileNotFoundError) else Outcome.UNREADABLE
        return Examined(item, outcome, expected, seconds=time.monotonic() - started, error=error)
    seconds = time.monotonic() - started
    outcome = Outcome.MATCH
    if found.digests[0] != digest:
        outcome = Outcome.MISMATCH
    elif expected.size not in (None, found.size):
        outcome = Outcome.WRONG_SIZE
    return Examined(item, outcome, expected, found.size, found.digests[0], found.digests[-1], seconds)
