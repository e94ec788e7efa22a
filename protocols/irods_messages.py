"""The iRODS messages of the byte path: frames, and the requests that open, read, write, seek and close.

The protocol's packing instructions (rodsPackInstruct.h) fix names and order of the elements. All other messages are made and
read by python-irodsclient (`irods_calls`).
"""

from __future__ import annotations

import re

from ..checksum.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_HEADER: Final = re.compile(
    rb"<type>([A-Z_0-9]+)</type>\s*<msgLen>(\d+)</msgLen>\s*<errorLen>(\d+)</errorLen>"
    rb"\s*<bsLen>(\d+)</bsLen>\s*<intInfo>(-?\d+)</intInfo>"
)
READ_ONLY, WRITE_ONLY, CREATE, TRUNCATE = 0, 1, 64, 512
"""Of open: Linux's numbers, whatever this system's are."""


class Header(NamedTuple):
    kind: bytes
    message: int
    error: int
    bytes: int
    """Lengths of the three parts."""
    number: int


def header(kind: bytes, message: int, data: int, number: int) -> bytes:
    text = (
        b"<MsgHeader_PI><type>%b</type><msgLen>%d</msgLen><errorLen>0</errorLen><bsLen>%d</bsLen>"
        b"<intInfo>%d</intInfo></MsgHeader_PI>" % (kind, message, data, number)
    )
    return len(text).to_bytes(4, "big") + text


def parse_header(data: bytes) -> Header:
    """Raises ValueError for what is no header."""
    match = _HEADER.search(data)
    if match is None:
        raise ValueError("the answer has no iRODS header")
    return Header(match[1], int(match[2]), int(match[3]), int(match[4]), int(match[5]))


def escaped(text: str) -> bytes:
    if "&" in text or "<" in text or ">" in text:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.encode("utf-8", "surrogateescape")


# --- requests


def _pairs(keywords: Mapping[str, str]) -> bytes:
    if not keywords:
        return b"<KeyValPair_PI><ssLen>0</ssLen></KeyValPair_PI>"
    names = b"".join(b"<keyWord>%b</keyWord>" % escaped(name) for name in keywords)
    values = b"".join(b"<svalue>%b</svalue>" % escaped(value) for value in keywords.values())
    return b"<KeyValPair_PI><ssLen>%d</ssLen>%b%b</KeyValPair_PI>" % (len(keywords), names, values)


def object_input(
    path: str, keywords: Mapping[str, str], *, flags: int = 0, size: int = -1, operation: int = 0
) -> bytes:
    """DataObjInp_PI: what to do with an object that is named by its path."""
    return (
        b"<DataObjInp_PI><objPath>%b</objPath><createMode>0</createMode><openFlags>%d</openFlags>"
        b"<offset>0</offset><dataSize>%d</dataSize><numThreads>0</numThreads><oprType>%d</oprType>%b</DataObjInp_PI>"
        % (escaped(path), flags, size, operation, _pairs(keywords))
    )


def opened_input(
    descriptor: int, *, length: int = 0, offset: int = 0, keywords: Mapping[str, str] | None = None
) -> bytes:
    """OpenedDataObjInp_PI: what to do with an object that is open."""
    return (
        b"<OpenedDataObjInp_PI><l1descInx>%d</l1descInx><len>%d</len><whence>0</whence><oprType>0</oprType>"
        b"<offset>%d</offset><bytesWritten>0</bytesWritten>%b</OpenedDataObjInp_PI>"
        % (descriptor, length, offset, _pairs(keywords or {}))
    )
