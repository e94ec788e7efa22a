r"""Our own manifest: JSON Lines (RFC 8259 values, one a line, UTF-8) with a header and a trailer.

::

    {"format":"wf-checksum","version":1}
    {"path":"data/a","size":3,"sha256":"ba78...","mtime_ns":1700000000000000000,"inode":12}
    {"path":"data/b","size":9,"sha256":"...","md5":"...","blocks":{"size":8388608,"sha256":["...","..."]}}
    {"end":"wf-checksum","entries":2}

`path` and at least one digest in hexadecimal, under its algorithm's name, are required. Bytes of a name that are not
UTF-8 are written as `\udc80` to `\udcff` (PEP 383). Unknown keys are left to later versions. The trailer makes
a manifest that was cut, even between two lines, recognisable; after it nothing but blank lines may follow.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from .digest import KNOWN, SIZES, Digest, value_of
from .entries import BlockDigests, ManifestEntry, ManifestLine
from .errors import ManifestError, TruncatedManifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO, Final

VERSION: Final = 1
HEADER: Final = b'{"format":"wf-checksum","version":1}\n'

LONGEST_LINE: Final = 64 << 20
"""Bytes; room for the block digests of a file of several TiB."""


def entry_line(entry: ManifestEntry) -> bytes:
    """The line of an entry. Raises ValueError for a name that cannot be one and for an entry without a digest."""
    if not entry.name or b"\0" in entry.name:
        raise ValueError("a file name is not empty and holds no NUL")
    if not entry.digests:
        raise ValueError("an entry needs a digest")
    record: dict[str, object] = {"path": os.fsdecode(entry.name)}
    if entry.size is not None:
        record["size"] = entry.size
    for digest in entry.digests:
        record[digest.algorithm] = digest.value.hex()
    if entry.mtime_ns is not None:
        record["mtime_ns"] = entry.mtime_ns
    if entry.inode is not None:
        record["inode"] = entry.inode
    if (blocks := entry.blocks) is not None:
        record["blocks"] = {"size": blocks.size, blocks.algorithm: [one.hex() for one in blocks.values]}
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def trailer(entries: int) -> bytes:
    """The last line of a manifest of so many entries."""
    return b'{"end":"wf-checksum","entries":%d}\n' % entries


def read_lines(stream: BinaryIO) -> Iterator[ManifestLine]:
    """The entries as they are read; malformed lines among them.

    Raises ManifestError for another version or no header, and TruncatedManifest where the trailer is missing or
    counts other than what was read: so an iteration that ends has seen all of it.
    """
    lines = _numbered(stream)
    _check_header(next(lines, (1, b""))[1])
    count = 0
    for number, line in lines:
        record = _object(line)
        if record is not None and "end" in record and "path" not in record:
            _check_end(record, count, lines)
            return
        count += 1
        yield _line(number, record)
    raise TruncatedManifest(
        f"ends after {count} entries without its last line; it was cut, or is still being written"
    )


def _numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise ManifestError(f"line {number} is longer than {LONGEST_LINE} bytes")
        if line.strip():
            yield number, line


def _check_header(line: bytes) -> None:
    header = _object(line.removeprefix(b"\xef\xbb\xbf"))
    if header is None or header.get("format") != "wf-checksum":
        raise ManifestError("is not a manifest of wf-checksum: its first line does not say so")
    if header.get("version") != VERSION:
        raise ManifestError(
            f"is version {header.get('version')!r} of the format; this program reads {VERSION}"
        )


def _check_end(record: dict[str, object], count: int, lines: Iterable[tuple[int, bytes]]) -> None:
    if record.get("entries") != count:
        raise TruncatedManifest(f"holds {count} entries, and its last line counts {record.get('entries')!r}")
    for number, _ in lines:
        raise ManifestError(f"goes on after its end, at line {number}; are these two manifests in one file?")


def _object(line: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _line(number: int, record: dict[str, object] | None) -> ManifestLine:
    if record is None:
        return ManifestLine(number, None, "is not a JSON object")
    try:
        return ManifestLine(number, _entry(record))
    except ValueError as error:
        return ManifestLine(number, None, str(error))


def _entry(record: dict[str, object]) -> ManifestEntry:
    digests = tuple(_digest(name, text) for name, text in record.items() if name in KNOWN)
    if not digests:
        raise ValueError("no digest of a known algorithm")
    blocks = record.get("blocks")
    return ManifestEntry(
        _name(record.get("path")),
        digests,
        _count(record, "size"),
        _count(record, "mtime_ns"),
        _count(record, "inode"),
        None if blocks is None else _blocks(blocks),
    )


def _name(path: object) -> bytes:
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError("no path")
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:
        raise ValueError("the path holds half a surrogate pair that stands for no byte") from None


def _digest(algorithm: str, text: object) -> Digest:
    value = value_of(algorithm, text) if isinstance(text, str) else None
    if value is None:
        raise ValueError(f"{algorithm} is not {2 * SIZES[algorithm]} hexadecimal digits")
    return Digest(algorithm, value)


def _count(record: dict[str, object], key: str) -> int | None:
    value = record.get(key)
    if value is None:
        return None
    if type(value) is not int or (value < 0 and key != "mtime_ns"):
        raise ValueError(f"{key} is not a whole number")
    return value


def _blocks(found: object) -> BlockDigests:
    record = found if isinstance(found, dict) else {}
    size = _count(record, "size")
    algorithm = next((name for name in record if name in KNOWN), None)
    values = record.get(algorithm)
    if not size or algorithm is None or not isinstance(values, list):
        raise ValueError("blocks needs a size and a list of digests")
    return BlockDigests(size, algorithm, tuple(_digest(algorithm, one).value for one in values))
