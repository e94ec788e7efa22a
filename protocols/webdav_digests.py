"""How a server is asked for digests: RFC 9530 and, for most servers that tell any, RFC 3230."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

_STRUCTURED: Final = {
    "sha256": "sha-256",
    "sha512": "sha-512",
    "sha1": "sha",
    "md5": "md5",
    "adler32": "adler",
    "crc32c": "crc32c",
}
"""Keys of RFC 9530's registry."""
_INSTANCE: Final = {
    "sha256": "sha-256",
    "sha512": "sha-512",
    "sha1": "sha",
    "md5": "md5",
    "adler32": "adler32",
    "crc32c": "crc32c",
}
"""Values of RFC 3230's registry."""

TOLD: Final = tuple(_INSTANCE)
"""Algorithms that a server can be asked for."""


def want(*algorithms: str) -> tuple[tuple[str, str], ...]:
    """The fields that ask for these digests, the best first; those that have no name there are left out."""
    asked = [name for name in algorithms if name in _INSTANCE]
    if not asked:
        return ()
    best = len(asked)
    structured = ", ".join(f"{_STRUCTURED[name]}={best - index}" for index, name in enumerate(asked))
    instance = ",".join(
        _INSTANCE[name] + (f";q={1 - index / 10:g}" if index else "") for index, name in enumerate(asked)
    )
    return (("Want-Repr-Digest", structured), ("Want-Digest", instance))
