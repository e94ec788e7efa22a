"""Digests in HTTP header fields.

============  =================  =======================  ==========================================
field         defined in         covers                   spelled
============  =================  =======================  ==========================================
Repr-Digest   RFC 9530           the whole object         ``sha-256=:base64:, md5=:base64:``
Content-Digest  RFC 9530         the body of this answer  the same
Digest        RFC 3230           the whole object         ``SHA-256=base64,md5=base64``
Content-MD5   RFC 1864           the body of this answer  ``base64``
============  =================  =======================  ==========================================

What cannot be read is left out, never guessed: a digest that is not understood is no evidence.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..checksum.digest import Digest
    from .exchange import Fields

WANT_FIELDS = (
    ("Want-Repr-Digest", "sha-256=9, sha-512=5, md5=1"),
    ("Want-Digest", "sha-256;q=1, sha-512;q=0.5, md5;q=0.1"),
)
"""What asks a server for them."""
_NAMES = frozenset({"repr-digest", "content-digest", "digest", "content-md5"})


def digests_of(fields: Fields, *, whole: bool) -> tuple[Digest, ...]:
    """The digests of the object that an answer's fields carry, at most one an algorithm.

    `whole` says that the answer's body is the object: then those that cover the body count too.
    """
    if _NAMES.isdisjoint(fields.values):
        return ()
    found: dict[str, Digest] = {}
    for digest in _told(fields, whole):
        found.setdefault(digest.algorithm, digest)
    return tuple(found.values())


def _told(fields: Fields, whole: bool) -> Iterator[Digest]:
    from ..checksum import codecs

    names = ("repr-digest", "content-digest") if whole else ("repr-digest",)
    for name in names:
        if text := fields.get(name):
            yield from codecs.parse_structured(text)
    if text := fields.get("digest"):
        yield from codecs.parse_instance_digests(text)
    if whole and (text := fields.get("content-md5")):
        try:
            yield codecs.parse_either("md5", text)
        except ValueError:
            return
