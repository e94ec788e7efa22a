"""The XML that S3 speaks ("Amazon S3 API reference"), read leniently: names without their namespace.

The parser is imported when a body must be read; getting an object or putting a small one needs none.
"""

from __future__ import annotations

import re

from ..checksum.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final
    from xml.etree.ElementTree import Element

_NOT_IN_XML: Final = r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
"""Compiled, which takes milliseconds, when the first key is asked about."""
_TO_ESCAPE: Final = {ord(letter): f"&#{ord(letter)};" for letter in "&<>\"'\t\n\r"}


class Fault(NamedTuple):
    """An error as the service tells it; empty where it tells nothing."""

    code: str = ""
    message: str = ""
    region: str = ""
    """The region that the request should have been signed for."""
    endpoint: str = ""
    """The host that the request should have gone to."""


class Item(NamedTuple):
    key: str
    size: int
    etag: str
    modified: str


class Page(NamedTuple):
    """One page of a listing. `token` leads to the next one and is empty on the last."""

    items: tuple[Item, ...]
    prefixes: tuple[str, ...]
    token: str


class NotXml(ValueError):
    """The body is not the document that was expected."""


def parse(body: bytes) -> Element:
    """The root element. Raises NotXml, also for a document type: no answer of S3 has one, and entities can explode."""
    from xml.etree.ElementTree import ParseError, fromstring

    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise NotXml("the answer has a document type")
    try:
        return fromstring(body)
    except (ParseError, ValueError, LookupError):
        raise NotXml("the answer is not well-formed XML") from None


def name_of(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def text_of(element: Element, name: str) -> str:
    """The text of the first child of that name; empty if there is none."""
    for child in element:
        if name_of(child) == name:
            return child.text or ""
    return ""


def parse_fault(body: bytes) -> Fault:
    """The error in an answer; an empty one when the body holds none."""
    if b"<" not in body:
        return Fault()
    try:
        root = parse(body)
    except NotXml:
        return Fault()
    return fault_in(root)


def fault_in(root: Element) -> Fault:
    """The error that this element is, or that an ErrorResponse around it holds; an empty one for anything else."""
    if name_of(root) == "ErrorResponse":
        root = next((child for child in root if name_of(child) == "Error"), root)
    if name_of(root) != "Error":
        return Fault()
    return Fault(
        text_of(root, "Code") or "Error",
        text_of(root, "Message"),
        text_of(root, "Region"),
        text_of(root, "Endpoint"),
    )


def parse_page(body: bytes) -> Page:
    """One answer to ListObjectsV2. Raises NotXml."""
    root = parse(body)
    if name_of(root) != "ListBucketResult":
        raise NotXml(f"the answer to a listing is a {name_of(root)[:40]!r}")
    encoded = text_of(root, "EncodingType") == "url"
    items, prefixes = [], []
    for child in root:
        kind = name_of(child)
        if kind == "Contents":
            items.append(_item(child, encoded))
        elif kind == "CommonPrefixes":
            prefixes.append(decoded(text_of(child, "Prefix"), encoded))
    more = text_of(root, "IsTruncated").strip().lower() == "true"
    token = text_of(root, "NextContinuationToken") if more else ""
    if more and not token:
        raise NotXml("a listing that goes on without saying where")
    return Page(tuple(items), tuple(prefixes), token)


def _item(element: Element, encoded: bool) -> Item:
    size = text_of(element, "Size").strip()
    if not (size.isascii() and size.isdecimal()) or len(size) > 18:
        raise NotXml("a listed object has no size")
    key = decoded(text_of(element, "Key"), encoded)
    return Item(key, int(size), text_of(element, "ETag"), text_of(element, "LastModified"))


def decoded(text: str, encoded: bool) -> str:
    """A key out of a listing that was asked for with `encoding-type=url`; a blank may come as `+`."""
    if not encoded or ("%" not in text and "+" not in text):
        return text
    from urllib.parse import unquote

    return unquote(text.replace("+", " "), errors="surrogateescape")


def complete_upload(parts: Sequence[tuple[str, str]]) -> bytes:
    """The body of CompleteMultipartUpload: ETag and base64 SHA-256, which may be empty, of each part in order."""
    lines = []
    for number, (etag, checksum) in enumerate(parts, 1):
        digest = f"<ChecksumSHA256>{checksum}</ChecksumSHA256>" if checksum else ""
        lines.append(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag.translate(_TO_ESCAPE)}</ETag>{digest}</Part>"
        )
    return _document("CompleteMultipartUpload", "".join(lines))


def delete_objects(keys: Iterable[str]) -> bytes:
    """The body of DeleteObjects, which answers with failures only. Every key must be `writable`."""
    lines = (f"<Object><Key>{key.translate(_TO_ESCAPE)}</Key></Object>" for key in keys)
    return _document("Delete", "<Quiet>true</Quiet>" + "".join(lines))


def create_bucket(region: str) -> bytes:
    """The body of CreateBucket; empty for the region that must not be named."""
    if region in ("", "us-east-1"):
        return b""
    text = region.translate(_TO_ESCAPE)
    return _document("CreateBucketConfiguration", f"<LocationConstraint>{text}</LocationConstraint>")


def writable(key: str) -> bool:
    """Whether XML 1.0 can spell the key: it has no character for most control codes and for bytes that are not UTF-8."""
    return re.search(_NOT_IN_XML, key) is None


def _document(name: str, content: str) -> bytes:
    return f'<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{content}</{name}>'.encode()
