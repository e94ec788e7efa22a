r"""Lines of checksum manifests as GNU coreutils writes and reads them.

::

    <hex>  name             text; a `*` in place of the second blank: binary
    \<hex>  a\nname         newline, carriage return and backslash escaped, marked by the first byte
    SHA256 (name) = <hex>   the BSD form of `--tag`; it may be marked too
    BLAKE2b-160 (name) = .. that of `b2sum -l 160`; in the other form the length of the value tells the same
    <hex>  any name<NUL>    the form of `-z`: nothing is escaped

Names are bytes. What is malformed follows coreutils 9 (`split_3` in src/digest.c): leading blanks are allowed,
so is a carriage return at the end of a line and the reversed BSD form with one blank, but not a mixture of that
one with the usual form, in which names with a leading blank would change their meaning.
"""

from __future__ import annotations

import binascii
import os

from .digest import KNOWN, SIZES, Digest, canonical_algorithm, value_of
from .errors import TruncatedManifest
from .names import escape, needs_escape, unescape
from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

LONGEST_LINE = 64 << 10
"""Bytes; several times what the longest path needs when all of it is escaped. Longer lines are malformed."""

_BY_HEX_LENGTH = {2 * size: name for name, size in SIZES.items() if size > 8 and name != "blake2b"}
"""The algorithm of an untagged value. Those of four and eight bytes look alike and must be named."""

_BLAKE2B = {2 * SIZES[name]: name for name in KNOWN if name.startswith("blake2b")}
"""The one of an untagged value where it is known to be by BLAKE2b."""

_SHARED_LENGTHS = frozenset((128,))
"""What b2sum prints looks like what sha512sum prints."""

_BLANKS = b" \t"


class Entry(NamedTuple):
    """What one line of a manifest says. `guessed`: another algorithm has values of that length too."""

    digest: Digest
    name: bytes
    binary: bool = False
    guessed: bool = False


class Line(NamedTuple):
    """A line that is neither blank nor a comment; without `entry` it is malformed. Numbers count from 1."""

    number: int
    entry: Entry | None


def write_manifest_line(
    digest: Digest, name: bytes | str, *, binary: bool = False, tag: bool = False, zero: bool = False
) -> bytes:
    """The manifest's line for a file, with its terminator.

    Raises ValueError for what cannot be a name: an empty one, one with a NUL.
    """
    raw = os.fsencode(name) if isinstance(name, str) else name
    if not raw or b"\0" in raw:
        raise ValueError("a file name is not empty and holds no NUL")
    algorithm, value = digest
    digits = binascii.hexlify(value)
    mark = b""
    if not zero and needs_escape(raw):
        mark, raw = b"\\", escape(raw)
    end = b"\0" if zero else b"\n"
    if tag:
        return b"%b%b (%b) = %b%b" % (mark, _label(algorithm), raw, digits, end)
    return b"%b%b%b%b%b" % (mark, digits, b" *" if binary else b"  ", raw, end)


def _label(algorithm: str) -> bytes:
    family, kind, bits = algorithm.partition("blake2b")
    return (f"BLAKE2b{bits}" if kind else family.upper()).encode()  # b2sum takes no other spelling


def parse_line(line: bytes, algorithm: str | None = None, *, zero: bool = False) -> Entry | None:
    """What a single line says, or None if it is malformed, blank or a comment; see `LineParser`."""
    return LineParser(algorithm, zero=zero).parse(line)


def read_lines(stream: BinaryIO, algorithm: str | None = None, *, zero: bool = False) -> Iterator[Line]:
    """The lines of a manifest as they are read, comments and blank lines left out; see `LineParser`.

    Raises TruncatedManifest if, behind well-formed lines, the last one breaks off before the name or in a tagged form.
    """
    parser = LineParser(algorithm, zero=zero)
    pieces = _split_at_nul(stream) if zero else split_at_newline(stream)
    end = b"\0" if zero else b"\n"
    well_formed = False
    for number, piece in enumerate(pieces, start=1):
        if not _is_comment(piece, zero):
            entry = parser.parse(piece)
            if entry is None and well_formed and not piece.endswith(end) and breaks_off(piece):
                raise TruncatedManifest.in_line(number)
            well_formed = well_formed or entry is not None
            yield Line(number, entry)


def breaks_off(text: bytes) -> bool:
    """Whether a malformed last line without an end is the beginning of a well-formed one."""
    text = text.strip(_BLANKS).removeprefix(b"\\")
    value = text.removesuffix(b"*").rstrip(_BLANKS)
    if _looks_tagged(text):
        return parse_line(text) is None  # else it is whole, and by an algorithm that is not wanted
    # Fewer digits may be a word.
    return len(value) >= 8 and not value.strip(b"0123456789abcdefABCDEF")


class LineParser:
    """Parses the lines of one manifest, in order.

    With `algorithm` (a canonical name) all other algorithms' lines are malformed; `blake2b` is that of any length, as for
    b2sum. Without it tagged lines name their own, and the length of the value tells that of the others.
    """

    __slots__ = ("_algorithm", "_reversed", "_zero")

    def __init__(self, algorithm: str | None = None, *, zero: bool = False) -> None:
        self._algorithm = algorithm
        self._zero = zero
        self._reversed: bool | None = None

    def parse(self, line: bytes) -> Entry | None:
        if len(line) > LONGEST_LINE or _is_comment(line, self._zero):
            return None
        text = _without_end(line, self._zero).lstrip(_BLANKS)
        marked = not self._zero and text[:1] == b"\\"
        if marked:
            text = text[1:]
        entry = self._tagged(text, marked) if _looks_tagged(text) else self._untagged(text, marked)
        return entry if entry and entry.name and b"\0" not in entry.name else None

    def _tagged(self, text: bytes, marked: bool) -> Entry | None:
        label, _, rest = text.partition(b"(")
        name, closing, after = rest.rpartition(b")")
        after = after.lstrip(_BLANKS)
        algorithm = canonical_algorithm(label.decode("ascii", "replace"))
        if not closing or after[:1] != b"=" or algorithm is None or not self._wants(algorithm):
            return None
        value = value_of(algorithm, after[1:].lstrip(_BLANKS))
        plain = unescape(name) if marked else name
        return None if value is None or plain is None else Entry(Digest(algorithm, value), plain)

    def _wants(self, algorithm: str) -> bool:
        wanted = self._algorithm
        return wanted in (None, algorithm) or (wanted == "blake2b" and algorithm.startswith(wanted))

    def _untagged(self, text: bytes, marked: bool) -> Entry | None:
        width = _word_length(text)
        algorithm = self._told_by_length(width) if width > 0 else None
        name = text[width + 1 :]
        if algorithm is None or not name or (value := value_of(algorithm, text[:width])) is None:
            return None
        binary = False
        if len(name) == 1 or name[:1] not in (b" ", b"*"):
            if self._reversed is False:
                return None
            self._reversed = True
        elif not self._reversed:
            self._reversed = False
            binary, name = name[:1] == b"*", name[1:]
        plain = unescape(name) if marked else name
        if plain is None:
            return None
        return Entry(
            Digest(algorithm, value), plain, binary, self._algorithm is None and width in _SHARED_LENGTHS
        )

    def _told_by_length(self, digits: int) -> str | None:
        """The algorithm of a value without a label; None if there can be none."""
        if self._algorithm is None:
            return _BY_HEX_LENGTH.get(digits)
        return _BLAKE2B.get(digits) if self._algorithm == "blake2b" else self._algorithm


def _looks_tagged(text: bytes) -> bool:
    """No label of a known algorithm is hexadecimal throughout, so what follows a value is never looked at."""
    label, opening, _ = text[:16].partition(b"(")
    label = label.removesuffix(b" ")
    return (
        bool(opening)
        and b" " not in label
        and canonical_algorithm(label.decode("ascii", "replace")) is not None
    )


def _word_length(text: bytes) -> int:
    blank, tab = text.find(b" "), text.find(b"\t")
    return blank if tab < 0 or 0 <= blank < tab else tab


def _is_comment(line: bytes, zero: bool) -> bool:
    return line[:1] == b"#" or not _without_end(line, zero)


def _without_end(line: bytes, zero: bool) -> bytes:
    return line.removesuffix(b"\0") if zero else line.removesuffix(b"\n").removesuffix(b"\r")


def split_at_newline(stream: BinaryIO) -> Iterator[bytes]:
    """Lines with their ends. Of one that is too long only so much is kept that it can be seen to be."""
    while line := stream.readline(LONGEST_LINE + 1):
        rest = line
        while len(rest) > LONGEST_LINE and rest[-1:] != b"\n":
            rest = stream.readline(LONGEST_LINE + 1)
        yield line


def _split_at_nul(stream: BinaryIO) -> Iterator[bytes]:
    """Records with their ends, long ones cut as lines are."""
    open_end = b""
    while block := stream.read(LONGEST_LINE):
        *whole, open_end = (open_end + block).split(b"\0")
        for one in whole:
            yield one + b"\0"
        open_end = open_end[: LONGEST_LINE + 1]
    if open_end:
        yield open_end
