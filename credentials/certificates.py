"""What X.509 certificates in PEM files say: whose they are, of whom, and from when to when (RFC 5280, RFC 3820).

A reader of the few fields that matter, so that looking at a proxy needs no library. It verifies nothing.
"""

from __future__ import annotations

import binascii
import re

from .records import NamedTuple
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----\s*(Proc-Type: 4,ENCRYPTED)?")
_UTC_TIME: Final = 0x17
_EXTENSIONS: Final = 0xA3
_PROXY: Final = bytes.fromhex("2b0601050507010e")
"""proxyCertInfo, 1.3.6.1.5.5.7.1.14."""
_LEGACY_PROXIES: Final = ("/CN=proxy", "/CN=limited proxy")
_ENCODINGS: Final = {0x14: "latin-1", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}
"""Of strings that are not UTF-8 or ASCII, by their tags."""
_NAMES: Final = {
    "550403": "CN",
    "550404": "SN",
    "550405": "serialNumber",
    "550406": "C",
    "550407": "L",
    "550408": "ST",
    "55040a": "O",
    "55040b": "OU",
    "55042a": "GN",
    "0992268993f22c640101": "UID",
    "0992268993f22c640119": "DC",
    "2a864886f70d010901": "emailAddress",
}


class Described(NamedTuple):
    """One certificate. Names are as the grid writes them: `/DC=org/CN=Alice`."""

    subject: str
    issuer: str
    not_before: float
    expires: float
    """Seconds since 1970."""
    is_proxy: bool


class _Element(NamedTuple):
    tag: int
    content: bytes


def certificates_in(pem: bytes) -> tuple[Described, ...]:
    """The certificates of a PEM file in their order. Raises ValueError for one that cannot be read."""
    return tuple(_described(binascii.a2b_base64(match[1])) for match in _BLOCK.finditer(pem))


def key_in(pem: bytes) -> str:
    """`plain` or `encrypted` for the first private key of a PEM file; empty if there is none."""
    match = _KEY.search(pem)
    if match is None:
        return ""
    return "encrypted" if match[2] or b"ENCRYPTED" in match[1] else "plain"


def _described(der: bytes) -> Described:
    try:
        (certificate,) = _elements(der)
        fields = list(_elements(next(_elements(certificate.content)).content))
        # The version is left out of version 1 (RFC 5280, 4.1): serial number and algorithm come before the issuer.
        at = 3 if fields[0].tag == 0xA0 else 2
        issuer, subject = _name(fields[at].content), _name(fields[at + 2].content)
        begin, end = _elements(fields[at + 1].content)
        is_proxy = _has_proxy_extension(fields) or _is_legacy_proxy(subject, issuer)
        return Described(subject, issuer, _seconds(begin), _seconds(end), is_proxy)
    except (IndexError, StopIteration, UnicodeDecodeError) as error:
        raise ValueError("the certificate is damaged") from error


def _elements(der: bytes) -> Iterator[_Element]:
    """The elements that follow each other (X.690, definite lengths, tags of one byte). Raises ValueError."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(der[at : at + count]), at + count
        if at + length > len(der):
            raise ValueError("the certificate is cut off")
        yield _Element(tag, der[at : at + length])
        at += length


def _name(der: bytes) -> str:
    parts = []
    for several in _elements(der):
        pairs = (list(_elements(pair.content)) for pair in _elements(several.content))
        parts.append("+".join(f"{_kind(kind.content)}={_text(value)}" for kind, value in pairs))
    return "".join(f"/{part}" for part in parts)


def _kind(oid: bytes) -> str:
    known = _NAMES.get(oid.hex())
    if known is not None:
        return known
    # X.690, 8.19: seven bits a byte, the first two numbers in one.
    numbers, value = [], 0
    for byte in oid:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _text(value: _Element) -> str:
    return printable(value.content.decode(_ENCODINGS.get(value.tag, "utf-8"), "replace"))


def _seconds(value: _Element) -> float:
    """A UTCTime or GeneralizedTime (RFC 5280, 4.1.2.5). Raises ValueError."""
    from calendar import timegm
    from time import strptime

    text = value.content.decode("ascii")
    if value.tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return float(timegm(strptime(text, "%Y%m%d%H%M%SZ")))


def _has_proxy_extension(fields: list[_Element]) -> bool:
    for field in fields:
        if field.tag == _EXTENSIONS:
            extensions = next(_elements(field.content))
            return any(
                next(_elements(each.content)).content == _PROXY for each in _elements(extensions.content)
            )
    return False


def _is_legacy_proxy(subject: str, issuer: str) -> bool:
    return any(subject == issuer + ending for ending in _LEGACY_PROXIES)
