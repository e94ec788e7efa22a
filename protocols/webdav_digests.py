"""How a server is asked for digests: RFC 9530 and, for most servers that tell any, RFC 3230."""

from __future__ import annotations

from ..checksum.codecs import format_instance_digests, format_structured
from ..checksum.digest import SIZES, Digest


def want(*algorithms: str) -> tuple[tuple[str, str], ...]:
    """The fields that ask for these digests, the best first; those that have no name there are left out."""
    asked = [names for names in map(_names, algorithms) if names is not None]
    if not asked:
        return ()
    best = len(asked)
    structured = ", ".join(f"{names[0]}={best - index}" for index, names in enumerate(asked))
    instance = ",".join(
        names[1] + (f";q={1 - index / 10:g}" if index else "") for index, names in enumerate(asked)
    )
    return (("Want-Repr-Digest", structured), ("Want-Digest", instance))


def _names(algorithm: str) -> tuple[str, str] | None:
    """What an algorithm is called in the two registries: as a digest of it would be spelled."""
    if algorithm not in SIZES:
        return None
    some = (Digest(algorithm, bytes(SIZES[algorithm])),)
    try:
        return format_structured(some).partition("=")[0], format_instance_digests(some).partition("=")[0]
    except ValueError:
        return None
