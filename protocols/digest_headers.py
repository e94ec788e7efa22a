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

import re
from typing import TYPE_CHECKING

from ..checksum.digest import SIZES, Digest, canonical_algorithm

if TYPE_CHECKING:
    from .exchange import Fields

WANT_FIELDS = (
    ("Want-Repr-Digest", "sha-256=9, sha-512=5, md5=1"),
    ("Want-Digest", "sha-256;q=1, sha-512;q=0.5, md5;q=0.1"),
)
"""What asks a server for them."""

_STRUCTURED = re.compile(r"\s*([a-zA-Z0-9-]+)\s*=\s*:([A-Za-z0-9+/=]*):")


def digests_of(fields: Fields, *, whole: bool) -> tuple[Digest, ...]:
    """The digests of the object that an answer's fields carry, at most one an algorithm.

    `whole` says that the answer's body is the object: then those that cover the body count too.
    """
    found: dict[str, Digest] = {}
    names = ("repr-digest", "content-digest") if whole else ("repr-digest",)
    for name in names:
        text = fields.get(name)
        if text:
            for algorithm, value in _STRUCTURED.findall(text):
                _add(found, algorithm, value)
    text = fields.get("digest")
    if text:
        for item in text.split(","):
            algorithm, _, value = item.strip().partition("=")
            _add(found, algorithm, value)
    text = fields.get("content-md5") if whole else None
    if text:
        _add(found, "md5", text)
    return tuple(found.values())


def _add(found: dict[str, Digest], algorithm: str, text: str) -> None:
    name = canonical_algorithm(algorithm)
    if name is not None and name not in found:
        value = _value(text.strip(), SIZES[name])
        if value is not None:
            found[name] = Digest(name, value)


def _value(text: str, size: int) -> bytes | None:
    """The bytes that `text` spells in base64, or in hexadecimal as some servers have it; None if neither."""
    from binascii import Error, a2b_base64

    try:
        if len(text) == 2 * size:
            return bytes.fromhex(text)
        value = a2b_base64(text, strict_mode=True)
    except (Error, ValueError):
        return None
    return value if len(value) == size else None
