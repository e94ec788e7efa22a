"""What a copy's evidence is, and whether it is the right copy. Pure."""

from __future__ import annotations

from ..protocols.errors import End, Mismatch, Reach
from .settings import Evidence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..checksum.digest import Digest
    from ..protocols.locations import Location
    from ..protocols.values import Receipt

STRONG = frozenset({"sha256", "sha384", "sha512"})
"""Algorithms whose equality counts as a digest; others are checksums."""


def strongest(digests: Sequence[Digest]) -> tuple[Digest, ...]:
    """The one digest that says most: what a source tells of itself is compared once, not in every algorithm it knows."""
    if not digests:
        return ()
    return (min(digests, key=lambda digest: (digest.algorithm not in STRONG, -len(digest.value))),)


def compare_size(expected: int | None, found: int | None, where: Location) -> None:
    """Raises `Mismatch` at the source if both sizes are known and differ."""
    if expected is not None and found is not None and expected != found:
        error = Mismatch(
            f"{where.shown} has {found} bytes where {expected} are expected", end=End.SOURCE, step="verify"
        )
        error.of_digest = False
        raise error


def compare_digests(expected: Iterable[Digest], computed: Iterable[Digest], where: Location) -> bool:
    """True if at least one expected digest was compared; raises `Mismatch` at the source if one differs."""
    found = {digest.algorithm: digest for digest in computed}
    compared = False
    for digest in expected:
        mine = found.get(digest.algorithm)
        if mine is None:
            continue
        if mine.value != digest.value:
            raise Mismatch(
                f"{where.shown} has {mine.algorithm} {mine.hex}, expected {digest.hex}",
                end=End.SOURCE,
                step="verify",
            )
        compared = True
    return compared


def judge_receipt(receipt: Receipt, size: int, computed: Iterable[Digest], where: Location) -> Evidence:
    """The evidence that the destination's own words give.

    Raises `Mismatch` at the destination, worth another attempt there, if they contradict what was written.
    """
    if receipt.size is not None and receipt.size != size:
        raise _differs(f"{where.shown} holds {receipt.size} bytes after {size} were written")
    evidence = Evidence.NONE if receipt.size is None else Evidence.SIZE
    if receipt.compared:
        evidence = Evidence.CHECKSUM
    mine = {digest.algorithm: digest.value for digest in computed}
    for digest in receipt.digests:
        if digest.algorithm not in mine:
            continue
        if mine[digest.algorithm] != digest.value:
            raise _differs(f"{where.shown} reports {digest} where {mine[digest.algorithm].hex()} was written")
        found = Evidence.DIGEST if digest.algorithm in STRONG else Evidence.CHECKSUM
        evidence = max(evidence, found, key=lambda item: item.strength)
    return evidence


def stored_differs(where: Location, stored: Digest, expected: Digest) -> Mismatch:
    """The error for a stored copy whose digest is not the one that was written."""
    return _differs(f"{where.shown} holds {stored} where {expected} is expected")


def _differs(what: str) -> Mismatch:
    error = Mismatch(what, end=End.DESTINATION, step="verify")
    error.reach = Reach.ATTEMPT
    error.remedy = "the destination damaged or replaced what was written: tell its operator"
    return error
