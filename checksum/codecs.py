"""The spellings of digests in protocols and documents, each read into `Digest` and written from it.

=====================  ======================================  ==================================================
spelling               defined in                              example
=====================  ======================================  ==================================================
structured field       RFC 9530 (Content-Digest, Repr-Digest)  ``sha-256=:base64:, md5=:base64:``
instance digest        RFC 3230 (Digest)                       ``SHA-256=base64,adler32=03da0195``
subresource integrity  W3C SRI, section 3.5                    ``sha384-base64 sha512-base64``
x-goog-hash            Google Cloud Storage XML API            ``crc32c=n03x6A==,md5=base64``
iRODS                  iRODS catalogue                         ``sha2:base64``; MD5 is bare hexadecimal
OCI                    OCI image specification, descriptor     ``sha256:hex``
S3 checksum            S3 API, "Checking object integrity"     ``base64``, and ``base64-N`` made of N parts'
S3 ETag                S3 API, by observation                  ``"hex"`` is MD5, ``"hex-N"`` made of N parts'
=====================  ======================================  ==================================================

Lists of several digests leave out what cannot be understood: another algorithm, a value whose length is not that of
its label. What spells a single digest raises ValueError for that. Checksums of four bytes are hexadecimal in
RFC 3230 and base64 elsewhere; the padding tells which, and a value that could be either is refused.
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from .digest import SIZES, Digest, canonical_algorithm, checked, new_hash, parse_base64, parse_hex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

_STRUCTURED_KEYS: Final = {
    "sha256": "sha-256",
    "sha512": "sha-512",
    "md5": "md5",
    "sha1": "sha",
    "adler32": "adler",
    "crc32c": "crc32c",
}
"""IANA's registry "Hash Algorithms for HTTP Digest Fields". Only the first two are active in it."""

_INSTANCE_KEYS: Final = {
    "sha256": "SHA-256",
    "sha512": "SHA-512",
    "sha1": "SHA",
    "md5": "MD5",
    "adler32": "adler32",
    "crc32c": "crc32c",
}
_CHECKSUMS: Final = ("crc32", "crc32c", "adler32")
"""Those that are numbers of four bytes."""
_SRI: Final = ("sha256", "sha384", "sha512")
_GOOGLE: Final = ("crc32c", "md5")
_IRODS: Final = {"sha2": "sha256", "sha512": "sha512", "sha1": "sha1", "md5": "md5", "adler32": "adler32"}

_STRUCTURED_ITEM = re.compile(r'[ \t]*([a-z*][a-z0-9_.*-]*)[ \t]*(?:=[ \t]*((?::[^:]*:)|"(?:\\.|[^"\\])*"|[^,;" \t]*))?'
                              r'(?:[ \t]*;[^,"]*(?:"(?:\\.|[^"\\])*"[^,"]*)*)?[ \t]*(?:,|$)', re.IGNORECASE)  # fmt: skip
"""A member of a dictionary (RFC 8941 section 3.2): a key, a byte sequence or something else, and parameters."""


# --- RFC 9530


def parse_structured(text: str) -> tuple[Digest, ...]:
    """The digests of a structured field, one an algorithm: the last, as dictionaries have it (RFC 8941 3.2).

    Keys in capitals are understood, and byte sequences without padding (4.2.7). A field that is no dictionary
    gives those before the fault.
    """
    found: dict[str, Digest] = {}
    at = 0
    while at < len(text) and (item := _STRUCTURED_ITEM.match(text, at)):
        at = item.end()
        value = item[2] or ""
        if value[:1] == ":" and (digest := _understood(item[1], value[1:-1] + "=" * (-(len(value) - 2) % 4))):
            found[digest.algorithm] = digest
    return tuple(found.values())


def format_structured(digests: Iterable[Digest]) -> str:
    """The field's value. Raises ValueError for an algorithm that has no registered key."""
    return ", ".join(f"{_key(_STRUCTURED_KEYS, one)}=:{one.base64}:" for one in digests)


def _understood(label: str, base64: str) -> Digest | None:
    algorithm = canonical_algorithm(label)
    if algorithm is None:
        return None
    try:
        return parse_base64(algorithm, base64)
    except ValueError:
        return None


# --- RFC 3230


def parse_instance_digests(text: str) -> tuple[Digest, ...]:
    """The digests of a `Digest` field, one an algorithm, the first. Leading zeros of checksums may be missing."""
    found: dict[str, Digest] = {}
    for item in text.split(","):
        label, equals, value = item.strip().partition("=")
        algorithm = canonical_algorithm(label) if equals else None
        if algorithm is not None and algorithm not in found:
            try:
                found[algorithm] = parse_either(algorithm, value)
            except ValueError:
                continue
    return tuple(found.values())


def format_instance_digests(digests: Iterable[Digest]) -> str:
    """The field's value: checksums in hexadecimal, digests in base64. Raises ValueError as `format_structured` does."""
    return ",".join(
        f"{_key(_INSTANCE_KEYS, one)}={one.hex if len(one.value) <= 8 else one.base64}" for one in digests
    )


def parse_either(algorithm: str, text: str) -> Digest:
    """The digest that `text` spells, in hexadecimal or base64: its length and padding tell which.

    A checksum of four bytes may lack its leading zeros, as some servers print numbers. Raises ValueError for
    a value of another length, so also for one under the label of another algorithm.
    """
    text = text.strip().strip('"')
    size = SIZES[algorithm]
    if len(text) == 2 * size:
        try:
            return parse_hex(algorithm, text)
        except ValueError:
            pass  # eight characters are also four bytes in base64
    if algorithm in _CHECKSUMS and 0 < len(text) < 8 and _is_hex(text):
        return parse_hex(algorithm, text.rjust(8, "0"))
    return parse_base64(algorithm, text)


# --- others


def parse_sri(text: str) -> tuple[Digest, ...]:
    """The digests of an integrity attribute; options behind `?` do not matter."""
    found = []
    for item in text.split():
        label, _, value = item.partition("?")[0].partition("-")
        if label.lower() in _SRI and (
            digest := _understood(label, value.replace("-", "+").replace("_", "/"))
        ):
            found.append(digest)
    return tuple(found)


def format_sri(digest: Digest) -> str:
    """Raises ValueError unless it is SHA-256, SHA-384 or SHA-512."""
    if digest.algorithm not in _SRI:
        raise ValueError(f"subresource integrity knows {', '.join(_SRI)}, not {digest.algorithm}")
    return f"{digest.algorithm}-{digest.base64}"


def parse_google(text: str) -> tuple[Digest, ...]:
    """The digests of an `x-goog-hash` field, or of several joined by commas."""
    pairs = (item.strip().partition("=") for item in text.split(","))
    found = (_understood(label, value) for label, _, value in pairs if label.lower() in _GOOGLE)
    return tuple(digest for digest in found if digest is not None)


def format_google(digests: Iterable[Digest]) -> str:
    return ",".join(f"{one.algorithm}={one.base64}" for one in digests if one.algorithm in _GOOGLE)


def parse_irods(text: str) -> Digest:
    """The digest of a checksum in the catalogue. Raises ValueError if it is none, so also for an empty one."""
    label, colon, value = text.strip().partition(":")
    if not colon:
        return parse_hex("md5", label)
    algorithm = _IRODS.get(label.lower())
    if algorithm is None:
        raise ValueError(f"iRODS knows no algorithm {label!r}")
    return parse_either(algorithm, value)


def format_irods(digest: Digest) -> str:
    """Raises ValueError for an algorithm that iRODS has no name for."""
    if digest.algorithm == "md5":
        return digest.hex
    label = next((name for name, algorithm in _IRODS.items() if algorithm == digest.algorithm), None)
    if label is None:
        raise ValueError(f"iRODS has no name for {digest.algorithm}")
    return f"{label}:{digest.hex if digest.algorithm == 'adler32' else digest.base64}"


def parse_oci(text: str) -> Digest:
    """The digest of a content descriptor. Raises ValueError for capitals, which OCI does not allow, and other faults."""
    label, _, value = text.partition(":")
    if label not in ("sha256", "sha384", "sha512") or value != value.lower():
        raise ValueError(f"{text!r} is no digest of an OCI descriptor")
    return parse_hex(label, value)


def format_oci(digest: Digest) -> str:
    return str(digest)


# --- S3


class Composite(NamedTuple):
    """A digest of the digests of `parts` parts, which says nothing of the object without knowing how it was cut."""

    digest: Digest
    parts: int

    def __str__(self) -> str:
        return f"{self.digest.base64}-{self.parts}"


def parse_s3(algorithm: str, text: str, *, kind: str | None = None) -> Digest | Composite:
    """What an `x-amz-checksum-*` field says; `algorithm` from its name, `kind` is `x-amz-checksum-type`.

    Raises ValueError for what is none, and for a `COMPOSITE` that does not tell its parts.
    """
    value, dash, count = text.strip().partition("-")
    digest = parse_base64(algorithm, value)
    if dash:
        return _composite(digest, count)
    if (kind or "").upper() == "COMPOSITE":
        raise ValueError("a composite checksum does not tell the number of its parts")
    return digest


def parse_etag(text: str) -> Digest | Composite:
    """The MD5 that an ETag of S3 is, if it is one: with KMS encryption, or of other services, it can be anything else.

    Raises ValueError for what cannot be one. What can be one need not be: never the only evidence.
    """
    value, dash, count = text.strip().removeprefix("W/").strip('"').partition("-")
    digest = parse_hex("md5", value)
    return _composite(digest, count) if dash else digest


def composite_of(digests: Iterable[Digest]) -> Composite:
    """What S3 makes of the parts' digests. Raises ValueError if there are none, or of several algorithms."""
    parts = list(digests)
    algorithms = {one.algorithm for one in parts}
    if len(algorithms) != 1:
        raise ValueError("a composite needs digests of one algorithm")
    (algorithm,) = algorithms
    whole = new_hash(algorithm)
    whole.update(b"".join(one.value for one in parts))
    return Composite(Digest(algorithm, whole.digest()), len(parts))


def _composite(digest: Digest, count: str) -> Composite:
    if not (count.isascii() and count.isdecimal() and int(count[:6]) > 0 and len(count) <= 5):
        raise ValueError(f"{count!r} is no number of parts")
    return Composite(digest, int(count))


# --- any of them


def parse_any(text: str) -> Digest:
    """The single digest that `text` spells in any of these ways: what a person pastes.

    Raises ValueError if it spells none, several, a composite, or one whose algorithm cannot be told: eight
    hexadecimal digits without a label are CRC-32, CRC-32C or Adler-32, and 128 are SHA-512 or BLAKE2b.
    """
    text = text.strip()
    found = set(_readings(text))
    if len(found) == 1:
        return found.pop()
    if found:
        raise ValueError(f"{text!r} spells {len(found)} digests, not one")
    if _is_hex(text):
        return _bare(text)
    raise ValueError(f"{text!r} is no digest in any known spelling")


def _readings(text: str) -> Iterator[Digest]:
    yield from parse_structured(text)
    yield from parse_sri(text)
    yield from parse_instance_digests(text)
    label, colon, value = text.partition(":")
    algorithm = canonical_algorithm(label)
    if colon and algorithm is not None:
        try:
            yield parse_either(algorithm, value)
        except ValueError:
            return


def _bare(text: str) -> Digest:
    value = binascii.unhexlify(text) if len(text) % 2 == 0 else b""
    candidates = [name for name, size in SIZES.items() if size == len(value)]
    if len(candidates) != 1:
        named = (
            f"could be {' or '.join(candidates)}: write the algorithm before it"
            if candidates
            else "fits no algorithm"
        )
        raise ValueError(f"{len(text)} hexadecimal digits: {named}")
    return checked(candidates[0], value)


def _key(keys: dict[str, str], digest: Digest) -> str:
    if digest.algorithm not in keys:
        raise ValueError(f"{digest.algorithm} has no registered name here; there are {', '.join(keys)}")
    return keys[digest.algorithm]


def _is_hex(text: str) -> bool:
    return bool(text) and all(one in "0123456789abcdefABCDEF" for one in text)
