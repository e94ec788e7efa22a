"""Checksums that XRootD servers compute: which one a file is compared by, and what it is."""

from __future__ import annotations

from ..checksum.digest import canonical_algorithm, parse_hex
from .xrootd_errors import ABSENT, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .xrootd_link import Link
    from .xrootd_names import Place

_LARGE: Final = 16 << 20
"""Bytes from which it is worth loading a faster checksum than adler32."""
_SLOWEST: Final = 10e6
"""Bytes per second that a server reads and sums at least."""


def cheapest(there: tuple[str, ...], size: int) -> tuple[str, ...]:
    """The one of `there` that a file of `size` bytes is compared by; none where there is none that costs little."""
    if "crc32c" in there and size >= _LARGE:
        from ..checksum.crc import is_fast

        if is_fast("crc32c"):
            return ("crc32c",)
    return ("adler32",) if "adler32" in there else there[:1]


def checksum(link: Link, place: Place, algorithm: str, size: int) -> Digest | None:
    """The server's digest of a file of `size` bytes; None where it tells none. Raises Status where there is no such file."""
    try:
        target = place.with_opaque(f"cks.type={algorithm}")
        text: str = link.call("checksum", place.server, target, seconds=size / _SLOWEST)
    except Status as status:
        if status.number == ABSENT:
            raise
        return None
    name, _, value = text.partition(" ")
    if canonical_algorithm(name) != algorithm:
        return None
    try:
        return parse_hex(algorithm, value.strip())
    except ValueError:
        return None
