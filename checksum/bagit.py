r"""Payload and tag manifests of bags (RFC 8493): `manifest-<algorithm>.txt` in the folder that holds `bagit.txt`.

::

    ba7816bf...  data/a%0Ab

Blanks separate the value from a path relative to the bag's root; in the path CR, LF and `%` are percent-encoded
(section 2.1.3). The tool bagit.py (1.9) leaves `%` as it is, both ways, so where the decoded name does not exist and the
written one does, that is meant. Older bags have the asterisk of md5sum before the path.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from .digest import Digest, canonical_algorithm, value_of
from .entries import ManifestEntry, ManifestLine
from .errors import ManifestError, TruncatedManifest
from .gnu import LONGEST_LINE, breaks_off, split_at_newline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_NAME = re.compile(rb"(?:tag)?manifest-([a-zA-Z0-9-]+)\.txt")
_LINE = re.compile(rb"([0-9a-fA-F]+)[ \t]+(.+)", re.DOTALL)
_ENCODED = re.compile(rb"%(0[aAdD]|25)")
_DECODED = {b"0a": b"\n", b"0d": b"\r", b"25": b"%"}


def algorithm_of(path: bytes) -> str | None:
    """The algorithm that the name of a bag's manifest tells; None if the path is no such manifest in a bag."""
    match = _NAME.fullmatch(os.path.basename(path))
    if match is None or not os.path.isfile(os.path.join(os.path.dirname(path), b"bagit.txt")):
        return None
    algorithm = canonical_algorithm(match[1].decode("ascii"))
    if algorithm is None:
        raise ManifestError(f"is a bag's manifest by an unknown algorithm, {match[1].decode('ascii')}")
    return algorithm


def read_lines(stream: BinaryIO, algorithm: str, root: bytes | None = None) -> Iterator[ManifestLine]:
    """The entries as they are read; names are relative to the bag's root, in which doubtful ones are looked for.

    Raises TruncatedManifest if the last line breaks off before the path.
    """
    for number, line in enumerate(split_at_newline(stream), start=1):
        text = line.rstrip(b"\r\n")
        if text:
            found = _line(number, text, algorithm, root)
            if found.entry is None and line[-1:] not in b"\r\n" and breaks_off(text):
                raise TruncatedManifest.in_line(number)
            yield found


def _line(number: int, text: bytes, algorithm: str, root: bytes | None) -> ManifestLine:
    match = _LINE.fullmatch(text) if len(text) <= LONGEST_LINE else None
    value = value_of(algorithm, match[1]) if match else None
    if match is None or value is None or b"\0" in match[2]:
        return ManifestLine(number, None, f"is not a {algorithm} value and a path")
    name = _meant(match[2].removeprefix(b"*"), root)
    return ManifestLine(number, ManifestEntry(name, (Digest(algorithm, value),)))


def _meant(text: bytes, root: bytes | None) -> bytes:
    name = decode(text)
    if root is not None and name != text and not os.path.lexists(os.path.join(root, name)):
        return text if os.path.lexists(os.path.join(root, text)) else name
    return name


def decode(text: bytes) -> bytes:
    """The path that an encoded one stands for. Any other `%` is itself."""
    return _ENCODED.sub(lambda match: _DECODED[match[1].lower()], text)


def encode(name: bytes, *, percent: bool = True) -> bytes:
    """The path as it is written in a manifest; without `percent` as bagit.py writes and reads it."""
    if percent:
        name = name.replace(b"%", b"%25")
    return name.replace(b"\n", b"%0A").replace(b"\r", b"%0D")


def encodes_percent(path: bytes) -> bool:
    """Whether a bag's manifest has `%` encoded. False if one name shows that it does not, as those of bagit.py."""
    root = os.path.dirname(path)
    with open(path, "rb") as stream:
        for line in split_at_newline(stream):
            match = _LINE.fullmatch(line.rstrip(b"\r\n"))
            if match is not None and b"%" in match[2]:
                text = match[2].removeprefix(b"*")
                if b"%" in _ENCODED.sub(b"", text) or _meant(text, root) == text:
                    return False
    return True


def entry_line(entry: ManifestEntry, algorithm: str, *, percent: bool = True) -> bytes:
    """The line of an entry. Raises ValueError if it has no digest by this algorithm, or no name."""
    digest = entry.digest(algorithm)
    if digest is None or not entry.name:
        raise ValueError(f"the entry has no {algorithm} digest, or no name")
    return b"%b  %b\n" % (digest.hex.encode(), encode(entry.name, percent=percent))
