"""Manifests of `hashdeep` (md5deep 4): a header that names the columns, then lines with commas, the name last.

::

    %%%% HASHDEEP-1.0
    %%%% size,md5,sha256,filename
    ## Invoked from: /data
    ## $ hashdeep -c md5,sha256 a
    ##
    3,900150983cd24fb0d6963f7d28e17f72,ba78...,/data/a

Nothing is escaped: a name with a newline breaks the format, and such lines are malformed. Names are absolute unless
`-l` was given. Columns of algorithms that are not known (tiger, whirlpool) are passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .digest import Digest, canonical_algorithm, value_of
from .entries import ManifestEntry, ManifestLine
from .errors import ManifestError, TruncatedManifest
from .gnu import LONGEST_LINE, split_at_newline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO


MAGIC = b"%%%% HASHDEEP-"
_COLUMNS = {"md5": "md5", "sha1": "sha1", "sha256": "sha256"}


def read_lines(stream: BinaryIO) -> Iterator[ManifestLine]:
    """The entries as they are read. Raises ManifestError if the header is not one, TruncatedManifest for half a line."""
    lines = enumerate(split_at_newline(stream), start=1)
    columns = _columns(lines)
    for number, line in lines:
        if line.startswith(MAGIC):
            raise ManifestError(
                f"a second header begins at line {number}; are these two manifests in one file?"
            )
        if line.startswith(b"##") or not line.rstrip(b"\r\n"):
            continue
        yield _line(number, line, columns)


def _columns(lines: Iterator[tuple[int, bytes]]) -> list[str]:
    first, second = next(lines, (1, b""))[1], next(lines, (2, b""))[1]
    if not first.startswith(MAGIC + b"1."):
        raise ManifestError("is not a manifest of hashdeep 1.0: its first line does not say so")
    names = second.removeprefix(b"%%%% ").decode("ascii", "replace").strip().split(",")
    if not second.startswith(b"%%%% ") or names[0] != "size" or names[-1] != "filename":
        raise ManifestError("its second line does not name the columns of a hashdeep manifest")
    return names[1:-1]


def _line(number: int, line: bytes, columns: Sequence[str]) -> ManifestLine:
    if len(line) > LONGEST_LINE:
        return ManifestLine(number, None, "is longer than any name can be")
    if not line.endswith(b"\n"):
        raise TruncatedManifest.in_line(number)
    size, *values = line.rstrip(b"\n").split(b",", len(columns) + 1)
    if len(values) != len(columns) + 1 or not _is_size(size) or not values[-1] or b"\0" in values[-1]:
        return ManifestLine(number, None, "is not a line of hashdeep; a name with a newline makes such lines")
    try:
        digests = tuple(_digests(columns, values))
    except ValueError:
        return ManifestLine(number, None, "holds a digest that is none")
    if not digests:
        return ManifestLine(number, None, "no digest of a known algorithm")
    return ManifestLine(number, ManifestEntry(values[-1], digests, int(size)))


def _is_size(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 18


def _digests(columns: Sequence[str], values: Sequence[bytes]) -> Iterator[Digest]:
    for column, text in zip(columns, values, strict=False):
        algorithm = canonical_algorithm(column)
        if algorithm is not None:
            value = value_of(algorithm, text)
            if value is None:
                raise ValueError
            yield Digest(algorithm, value)


def header(algorithms: Sequence[str]) -> bytes:
    """The first lines of a manifest with these columns. Raises ValueError for an algorithm that hashdeep lacks."""
    unknown = [name for name in algorithms if name not in _COLUMNS]
    if unknown or not algorithms:
        raise ValueError(f"hashdeep knows {', '.join(_COLUMNS)}, not {', '.join(unknown) or 'nothing'}")
    return b"%%%% HASHDEEP-1.0\n%%%% size," + ",".join(algorithms).encode() + b",filename\n"


def entry_line(entry: ManifestEntry, algorithms: Sequence[str]) -> bytes:
    """The line of an entry. Raises ValueError if it lacks the size or a digest, or its name has a newline."""
    if entry.size is None or b"\n" in entry.name or not entry.name:
        raise ValueError("hashdeep needs a size, and a name without a newline")
    digests: list[Digest | None] = [entry.digest(name) for name in algorithms]
    values = [str(entry.size), *(one.hex for one in digests if one is not None)]
    if len(values) != len(algorithms) + 1:
        raise ValueError("the digest of a column is missing")
    return ",".join(values).encode() + b"," + entry.name + b"\n"
