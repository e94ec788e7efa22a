"""Multipart uploads that an earlier process left: finding them, and what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..checksum.digest import Digest, parse_base64, parse_hex
from .errors import NotFound, ServerFault, TransferError
from .s3_errors import UploadGone
from .s3_parts import start_upload
from .s3_xml import NotXml, decoded, name_of, parse, text_of
from .values import Part, Token

if TYPE_CHECKING:
    from typing import Final
    from xml.etree.ElementTree import Element

    from .exchange import Answer
    from .locations import Location
    from .s3_parts import Target
    from .values import Incoming

_ANSWER_MOST: Final = 4 << 20


def open_parts(target: Target, location: Location, incoming: Incoming, part: int) -> Token:
    """The token of the newest unfinished upload of this very key, where it may be gone on with, else of a new one."""
    size = incoming.size
    assert size
    upload = _newest_upload(target) if incoming.resume else ""
    if upload:
        return Token(location, upload, size, part, True)
    return Token(location, start_upload(target), size, part)


def _newest_upload(target: Target) -> str:
    """Empty where there is none, and where the key may not list them: that is another right than writing."""
    doing = f"looking for unfinished uploads of {target.shown}"
    query = (("uploads", ""), ("prefix", target.key), ("encoding-type", "url"))
    try:
        answer = target.service.request(doing, "GET", target.bucket, query=query)
        root = _document(answer, "ListMultipartUploadsResult", doing, target)
    except TransferError:
        return ""
    encoded = text_of(root, "EncodingType") == "url"
    found = [
        (text_of(child, "Initiated"), text_of(child, "UploadId"))
        for child in root
        if name_of(child) == "Upload" and decoded(text_of(child, "Key"), encoded) == target.key
    ]
    return max(found)[1] if found else ""


def list_parts(target: Target, token: Token) -> tuple[Part, ...]:
    """The parts that have the size which they shall have. NotFound for an upload that is no more."""
    found: dict[int, Part] = {}
    marker = ""
    while True:
        query = [("uploadId", token.name)]
        if marker:
            query.append(("part-number-marker", marker))
        doing = "listing the parts of"
        try:
            answer = target.request(doing, "GET", query)
        except UploadGone as error:
            raise NotFound(error.what, host=error.host) from error
        root = _document(answer, "ListPartsResult", f"{doing} {target.shown}", target)
        for child in root:
            part = _part(child, token) if name_of(child) == "Part" else None
            if part is not None:
                found[part.number] = part
        following = text_of(root, "NextPartNumberMarker")
        if text_of(root, "IsTruncated").lower() != "true":
            return tuple(found[number] for number in sorted(found))
        if not following.isdecimal() or len(following) > 9 or int(following) <= int(marker or 0):
            raise ServerFault(f"{doing} {target.shown}: the listing goes round", host=target.service.host)
        marker = following


def _part(element: Element, token: Token) -> Part | None:
    number, size = text_of(element, "PartNumber"), text_of(element, "Size")
    etag = text_of(element, "ETag")
    if not number.isdecimal() or not size.isdecimal() or not 0 < int(number) <= token.total or not etag:
        return None
    if int(size) != token.span(int(number) - 1)[1]:
        return None
    return Part(int(number) - 1, int(size), etag, _digests(element, etag))


def _digests(element: Element, etag: str) -> tuple[Digest, ...]:
    """The SHA-256, where the upload has one for each part; else the MD5 that most services make the ETag of."""
    try:
        return (parse_base64("sha256", text_of(element, "ChecksumSHA256")),)
    except ValueError:
        pass
    try:
        return (parse_hex("md5", etag.strip('"')),)
    except ValueError:
        return ()


def _document(answer: Answer, expected: str, doing: str, target: Target) -> Element:
    try:
        root = parse(answer.read_all(_ANSWER_MOST).strip())
    except NotXml as error:
        raise ServerFault(f"{doing}: {error}", host=target.service.host) from None
    if name_of(root) != expected:
        raise ServerFault(
            f"{doing}: the answer is a {name_of(root)[:40]!r}, not {expected}", host=target.service.host
        )
    return root
