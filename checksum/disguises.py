"""What data turns into on its way: framing left in the body, another line end, a compressed form, somebody's error page.

Each guess that can be proved is: the bytes without the disguise are digested and compared with what was expected.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from .digest import Hashes
from .findings import Damage, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from .entries import ManifestEntry

PIECE = 256 << 10
_PAGE_BYTES = 1 << 20
"""A page that takes the place of data is short."""


def disguise_of(file: BinaryIO, size: int, entry: ManifestEntry) -> Finding | None:
    """What the file looks like instead of the entry's content, or None. The file is read from its beginning."""
    file.seek(0)
    head = file.read(4096)
    return (
        _chunked(file, head, entry)
        or _compressed(file, head, entry)
        or _line_ends(file, size, entry)
        or (_page(head) if size <= _PAGE_BYTES else None)
    )


def matches(pieces: Iterable[bytes], entry: ManifestEntry) -> bool:
    """Whether these bytes are the entry's content: all digests, and the size if it is told."""
    hashes = Hashes(digest.algorithm for digest in entry.digests)
    size = 0
    for piece in pieces:
        hashes.update(piece)
        size += len(piece)
    return bool(entry.digests) and hashes.digests() == entry.digests and entry.size in (None, size)


# --- pages


_XML_ERROR = re.compile(rb"<Error>.{0,300}?<Code>\s*([A-Za-z0-9._-]{1,64})\s*</Code>", re.DOTALL)
_TITLE = re.compile(rb"<title[^>]{0,200}>\s*([^<]{1,120})", re.IGNORECASE)


def _page(head: bytes) -> Finding | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if match := _XML_ERROR.search(head):
        return Finding(Damage.XML_ERROR, f"it is an XML error, {match[1].decode('ascii')}, instead of data")
    if text[:100].lower().startswith((b"<!doctype html", b"<html")):
        match = _TITLE.search(head)
        title = f" ({_plain(match[1])})" if match else ""
        return Finding(Damage.HTML, f"it is an HTML page{title} instead of data")
    if re.match(rb'\{\s*"(?:error|errors|fault|message|detail)"\s*:', text):
        return Finding(Damage.JSON_ERROR, "it is an error in JSON instead of data")
    return None


def _plain(text: bytes) -> str:
    words = " ".join(text.decode("utf-8", "replace").split())
    return "".join(one if one.isprintable() else "?" for one in words)


# --- aws-chunked


_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})(?:;chunk-signature=[0-9a-f]{64})?\r\n")


def _chunked(file: BinaryIO, head: bytes, entry: ManifestEntry) -> Finding | None:
    """The framing that S3 clients put around the body of an upload, stored by a server that does not know it."""
    match = _CHUNK.match(head)
    if match is None:
        return None
    signed = b"chunk-signature" in match[0]
    file.seek(0)
    try:
        proved = matches(_unchunked(file), entry)
    except ValueError:
        proved = False
    if proved:
        text = "the aws-chunked framing of the upload is part of it; inside is the right content"
        return Finding(Damage.AWS_CHUNKED, text, proved=True)
    if signed:
        return Finding(Damage.AWS_CHUNKED, "it begins with the aws-chunked framing of an upload")
    return None


def _unchunked(file: BinaryIO) -> Iterator[bytes]:
    while match := _CHUNK.fullmatch(file.readline(200)):
        left = int(match[1], 16)
        if not left:
            return
        while left:
            piece = file.read(min(left, PIECE))
            if not piece:
                raise ValueError("the framing breaks off")
            yield piece
            left -= len(piece)
        if file.read(2) != b"\r\n":
            raise ValueError("a chunk does not end where it says")
    raise ValueError("the framing breaks off")


_TRAILER = re.compile(
    rb"\r\n0(?:;chunk-signature=[0-9a-f]{64})?\r\n(?:x-amz-[a-z0-9-]+:[^\r\n]*\r\n)*(?:\r\n)?$"
)


def is_trailer(tail: bytes) -> bool:
    """Whether these last bytes of a file are the end of an aws-chunked body: last chunk and checksum."""
    return b"x-amz-" in tail[-400:] and _TRAILER.search(tail[-600:]) is not None


# --- gzip and line ends


def _compressed(file: BinaryIO, head: bytes, entry: ManifestEntry) -> Finding | None:
    if not head.startswith(b"\x1f\x8b\x08"):
        return None
    file.seek(0)
    try:
        proved = matches(_inflated(file, entry.size), entry)
    except (zlib.error, ValueError):
        return None
    text = "it is the gzip-compressed form; inside is the right content"
    return Finding(Damage.GZIP, text, proved=True) if proved else None


def _inflated(file: BinaryIO, most: int | None) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    size = 0
    for piece in _pieces(file):
        while piece and not inflate.eof:
            found = inflate.decompress(piece, PIECE)
            piece = inflate.unconsumed_tail
            size += len(found)
            if most is not None and size > most:
                raise ValueError("more than the expected size comes out")
            yield found


def _line_ends(file: BinaryIO, size: int, entry: ManifestEntry) -> Finding | None:
    """A text mode somewhere on the way. Only looked for where the size speaks for it, or nothing is known of it."""
    if entry.size == size or not size:
        return None
    tries: tuple[tuple[Damage, bool, Callable[[BinaryIO], Iterator[bytes]], str], ...] = (
        (
            Damage.CRLF,
            entry.size is None or entry.size < size,
            _without_returns,
            "LF became CR LF: a transfer in text mode",
        ),
        (
            Damage.LF,
            entry.size is None or entry.size > size,
            _with_returns,
            "CR LF became LF: a transfer in text mode",
        ),
    )
    for damage, possible, changed, text in tries:
        file.seek(0)
        if possible and matches(changed(file), entry):
            return Finding(damage, text, proved=True)
    return None


def _without_returns(file: BinaryIO) -> Iterator[bytes]:
    held = b""
    for piece in _pieces(file):
        piece = held + piece
        held = piece[-1:] if piece.endswith(b"\r") else b""
        yield piece[: len(piece) - len(held)].replace(b"\r\n", b"\n")
    yield held


def _with_returns(file: BinaryIO) -> Iterator[bytes]:
    return (piece.replace(b"\n", b"\r\n") for piece in _pieces(file))


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece
