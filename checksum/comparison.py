"""Two manifests compared with each other, without looking at the files, in bounded memory."""

from __future__ import annotations

from marshal import dumps, loads
from typing import TYPE_CHECKING, NamedTuple

from .digest import Digest
from .entries import BlockDigests, ManifestEntry
from .records import StrEnum
from .sorting import RUN_BYTES, in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Change(StrEnum):
    CHANGED = "changed"
    UNKNOWN = "unknown"
    """Both sides list it, without a digest by the same algorithm, and the sizes tell no difference."""
    CONFLICT = "conflict"
    """One of the manifests itself lists it twice, with different content."""
    MOVED = "moved"
    """The same content under another name: one was removed, one was added, their digests are equal."""
    REMOVED = "removed"
    ADDED = "added"


class Difference(NamedTuple):
    """`before` is None for ADDED, `after` for REMOVED. They have different names for MOVED only."""

    change: Change
    before: ManifestEntry | None = None
    after: ManifestEntry | None = None

    @property
    def name(self) -> bytes:
        """The name in the first manifest, or in the second if it is not in the first."""
        one = self.before or self.after
        return b"" if one is None else one.name


def compare(
    before: Iterable[ManifestEntry],
    after: Iterable[ManifestEntry],
    *,
    moves: bool = True,
    run_bytes: int = RUN_BYTES,
    folder: bytes | None = None,
) -> Iterator[Difference]:
    """What differs, in the order of the names; nothing if both list the same content under the same names.

    A file that MOVED stands at its old name; without `moves` it is REMOVED and ADDED. Both manifests are read to
    their end before the first difference comes, in whatever order they are; of either no more than `run_bytes` stays
    in memory, the rest goes to temporary files in `folder` or `$TMPDIR`. Raises what reading them raises, and OSError.
    """
    found = _joined(_ordered(before, run_bytes, folder), _ordered(after, run_bytes, folder))
    if moves:
        # Moves are found by sorting what is on one side only by content, and everything by name again.
        found = _with_moves(found, run_bytes, folder)
    return found


def content_of(entry: ManifestEntry) -> Digest | None:
    """The digest that tells content apart; None where there are only checksums, which prove no equality."""
    strong = next((one for name in _STRONG if (one := entry.digest(name)) is not None), None)
    return strong or next((one for one in entry.digests if _is_long_blake2b(one)), None)


_STRONG = ("sha256", "sha512", "sha384", "blake2b", "sha1", "md5")


def _is_long_blake2b(one: Digest) -> bool:
    """Whether it is one of `b2sum -l` that is no shorter than MD5."""
    return one.algorithm.startswith("blake2b-") and len(one.value) >= 16


# --- names


def _ordered(
    entries: Iterable[ManifestEntry], run_bytes: int, folder: bytes | None
) -> Iterator[tuple[ManifestEntry, bool]]:
    """One entry a name, in the order of names, and whether it contradicts itself."""
    records = in_order(
        (one.name + b"\0" + _packed(one) for one in entries), run_bytes=run_bytes, folder=folder
    )
    current: ManifestEntry | None = None
    conflict = False
    for record in records:
        entry = _unpacked(record.partition(b"\0")[2])
        if current is None or entry.name != current.name:
            if current is not None:
                yield current, conflict
            current, conflict = entry, False
        else:
            conflict = conflict or _differ(current, entry) is True
            current = _united(current, entry)
    if current is not None:
        yield current, conflict


def _united(one: ManifestEntry, other: ManifestEntry) -> ManifestEntry:
    """Two lines for one file, as manifests with several algorithms have them, in one."""
    new = tuple(digest for digest in other.digests if one.digest(digest.algorithm) is None)
    return one._replace(digests=one.digests + new, size=other.size if one.size is None else one.size)


def _joined(
    left: Iterator[tuple[ManifestEntry, bool]], right: Iterator[tuple[ManifestEntry, bool]]
) -> Iterator[Difference]:
    ours, theirs = next(left, None), next(right, None)
    while ours or theirs:
        if theirs is None or (ours is not None and ours[0].name < theirs[0].name):
            assert ours is not None
            yield Difference(Change.CONFLICT if ours[1] else Change.REMOVED, ours[0])
            ours = next(left, None)
        elif ours is None or theirs[0].name < ours[0].name:
            yield Difference(Change.CONFLICT if theirs[1] else Change.ADDED, None, theirs[0])
            theirs = next(right, None)
        else:
            change = Change.CONFLICT if ours[1] or theirs[1] else _change(ours[0], theirs[0])
            if change is not None:
                yield Difference(change, ours[0], theirs[0])
            ours, theirs = next(left, None), next(right, None)


def _change(before: ManifestEntry, after: ManifestEntry) -> Change | None:
    differ = _differ(before, after)
    if differ is None:
        return Change.UNKNOWN
    return Change.CHANGED if differ else None


def _differ(one: ManifestEntry, other: ManifestEntry) -> bool | None:
    """Whether the content differs; None if that cannot be told."""
    if one.size is not None and other.size is not None and one.size != other.size:
        return True
    told = {digest.algorithm: digest.value for digest in one.digests}
    shared = [told[name] == value for name, value in other.digests if name in told]
    return not all(shared) if shared else None


# --- moves


def _with_moves(found: Iterator[Difference], run_bytes: int, folder: bytes | None) -> Iterator[Difference]:
    """Three passes in bounded memory: equal content together, the n-th removal beside the n-th addition, by name."""
    together = in_order(map(_by_content, found), run_bytes=run_bytes, folder=folder)
    beside = in_order(_ranked(map(_difference, together)), run_bytes=run_bytes, folder=folder)
    by_name = in_order(map(_by_name, _paired(map(_difference, beside))), run_bytes=run_bytes, folder=folder)
    return map(_difference, by_name)


def _content(one: Difference) -> bytes:
    """What a removal and an addition must share to be a move; empty for what cannot be one."""
    entry = one.before if one.change is Change.REMOVED else one.after if one.change is Change.ADDED else None
    content = None if entry is None else content_of(entry)
    return b"" if content is None else content.algorithm.encode() + content.value


def _by_content(one: Difference) -> bytes:
    return _keyed(_content(one) + one.change.encode() + one.name, one)


def _ranked(found: Iterator[Difference]) -> Iterator[bytes]:
    group, rank = (b"", Change.CHANGED), 0
    for one in found:
        content = _content(one)
        rank = rank + 1 if group == (content, one.change) else 0
        group = (content, one.change)
        yield _keyed(content + rank.to_bytes(8, "big") + one.change.encode(), one)


def _paired(found: Iterator[Difference]) -> Iterator[Difference]:
    waiting: Difference | None = None
    for one in found:
        if waiting is None:
            waiting = one
        elif _content(one) and _content(one) == _content(waiting) and one.change is not waiting.change:
            yield Difference(Change.MOVED, waiting.before or one.before, waiting.after or one.after)
            waiting = None
        else:
            yield waiting
            waiting = one
    if waiting is not None:
        yield waiting


def _by_name(one: Difference) -> bytes:
    return _keyed(one.name, one)


# --- records


def _keyed(key: bytes, one: Difference) -> bytes:
    """A record that sorts by its key, and from whose end the difference can be read back."""
    sides = [None if side is None else _packed(side) for side in (one.before, one.after)]
    packed: bytes = dumps((one.change.value, *sides))
    return key + b"\0" + packed + len(packed).to_bytes(4, "little")


def _difference(record: bytes) -> Difference:
    size = int.from_bytes(record[-4:], "little")
    change, before, after = loads(record[-4 - size : -4])
    return Difference(
        Change(change),
        None if before is None else _unpacked(before),
        None if after is None else _unpacked(after),
    )


def _packed(entry: ManifestEntry) -> bytes:
    told = entry.blocks
    blocks = None if told is None else (told.size, told.algorithm, told.values)
    digests = tuple([(one.algorithm, one.value) for one in entry.digests])
    packed: bytes = dumps(
        (entry.name, digests, entry.size, entry.mtime_ns, entry.inode, blocks, entry.guessed)
    )
    return packed


def _unpacked(packed: bytes) -> ManifestEntry:
    name, digests, size, mtime_ns, inode, blocks, guessed = loads(packed)
    made = tuple([Digest(*one) for one in digests])
    return ManifestEntry(
        name, made, size, mtime_ns, inode, None if blocks is None else BlockDigests(*blocks), guessed
    )
