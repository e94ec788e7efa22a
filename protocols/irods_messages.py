"""iRODS messages as bytes: what requests say, and what is looked for in answers.

The protocol's packing instructions (rodsPackInstruct.h) fix names and order of the elements. It looks like XML, but names may
hold what XML forbids, control characters and bytes that are not UTF-8, so answers are read by patterns.
"""

from __future__ import annotations

import re

from ..checksum.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Final

_HEADER: Final = re.compile(
    rb"<type>([A-Z_0-9]+)</type>\s*<msgLen>(\d+)</msgLen>\s*<errorLen>(\d+)</errorLen>"
    rb"\s*<bsLen>(\d+)</bsLen>\s*<intInfo>(-?\d+)</intInfo>"
)
_COLUMN: Final = re.compile(rb"<SqlResult_PI>\s*<attriInx>(\d+)</attriInx>(.*?)</SqlResult_PI>", re.DOTALL)
_VALUE: Final = re.compile(rb"<value>(.*?)</value>", re.DOTALL)
_NEXT: Final = re.compile(rb"<continueInx>(\d+)</continueInx>")
_ERROR_TEXT: Final = re.compile(rb"<msg>(.*?)</msg>", re.DOTALL)

READ_ONLY, WRITE_ONLY, READ_WRITE, CREATE, TRUNCATE = 0, 1, 2, 64, 512
"""Of open: Linux's numbers, whatever this system's are."""


class Header(NamedTuple):
    kind: bytes
    message: int
    error: int
    bytes: int
    """Lengths of the three parts."""
    number: int


def header(kind: bytes, message: int, data: int, number: int, error: int = 0) -> bytes:
    text = (
        b"<MsgHeader_PI><type>%b</type><msgLen>%d</msgLen><errorLen>%d</errorLen><bsLen>%d</bsLen>"
        b"<intInfo>%d</intInfo></MsgHeader_PI>" % (kind, message, error, data, number)
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


def unescaped(data: bytes, quote: bytes = b"'") -> str:
    """`quote` is what `&apos;` stands for: servers before 4.2.9 write it for a grave accent."""
    if b"&" in data:
        for name, meant in (
            (b"&lt;", b"<"),
            (b"&gt;", b">"),
            (b"&quot;", b'"'),
            (b"&apos;", quote),
            (b"&amp;", b"&"),
        ):
            data = data.replace(name, meant)
    return data.decode("utf-8", "surrogateescape")


def field(data: bytes, name: bytes, quote: bytes = b"'") -> str:
    """The text of the first element of that name; empty if there is none."""
    match = re.search(rb"<%b>(.*?)</%b>" % (name, name), data, re.DOTALL)
    return unescaped(match[1], quote) if match else ""


def error_text(data: bytes) -> str:
    match = _ERROR_TEXT.search(data)
    return unescaped(match[1]) if match else ""


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


def collection_input(path: str, keywords: Mapping[str, str]) -> bytes:
    return b"<CollInpNew_PI><collName>%b</collName><flags>0</flags><oprType>0</oprType>%b</CollInpNew_PI>" % (
        escaped(path),
        _pairs(keywords),
    )


def copy_input(source: bytes, destination: bytes) -> bytes:
    return b"<DataObjCopyInp_PI>%b%b</DataObjCopyInp_PI>" % (source, destination)


def texts_input(name: bytes, first: int, count: int, texts: Iterable[str]) -> bytes:
    """A message of `count` numbered texts (`arg0`, `arg1`, ...), empty where `texts` ends before."""
    given = list(texts)
    given += [""] * (count - len(given))
    inner = b"".join(
        b"<arg%d>%b</arg%d>" % (first + at, escaped(text), first + at) for at, text in enumerate(given)
    )
    return b"<%b>%b%b</%b>" % (name, inner, _pairs({}), name)


def query_input(
    columns: Iterable[int], conditions: Mapping[int, str], *, rows: int, next_page: int = 0, zone: str = ""
) -> bytes:
    """GenQueryInp_PI: the conditions are spelled `= 'value'`. Quotes inside a value are not doubled: what counts is
    the first and the last one."""
    wanted = list(columns)
    selected = b"".join(b"<inx>%d</inx>" % column for column in wanted) + b"<ivalue>1</ivalue>" * len(wanted)
    where = b"".join(b"<inx>%d</inx>" % column for column in conditions)
    where += b"".join(b"<svalue>%b</svalue>" % escaped(text) for text in conditions.values())
    return (
        b"<GenQueryInp_PI><maxRows>%d</maxRows><continueInx>%d</continueInx><partialStartIndex>0</partialStartIndex>"
        b"<options>0</options>%b<InxIvalPair_PI><iiLen>%d</iiLen>%b</InxIvalPair_PI>"
        b"<InxValPair_PI><isLen>%d</isLen>%b</InxValPair_PI></GenQueryInp_PI>"
        % (
            rows,
            next_page,
            _pairs({"zone": zone} if zone else {}),
            len(wanted),
            selected,
            len(conditions),
            where,
        )
    )


def query_rows(message: bytes, quote: bytes = b"'") -> tuple[list[tuple[str, ...]], int]:
    """The rows of an answer to a query, and the number that its next page is asked for with; 0 at the end."""
    columns = [
        [unescaped(value, quote) for value in _VALUE.findall(each[2])] for each in _COLUMN.finditer(message)
    ]
    match = _NEXT.search(message)
    return list(zip(*columns, strict=True)), int(match[1]) if match else 0


def json_input(value: object, *, plain: bool = False) -> bytes:
    """A message that holds JSON; `plain` for servers before 4.2.9, which do not want it in base64."""
    import binascii
    import json

    data = json.dumps(value).encode("ascii")
    if plain:
        return b"<BytesBuf_PI><buflen>%d</buflen><buf>%b</buf></BytesBuf_PI>" % (
            len(data),
            escaped(data.decode()),
        )
    return b"<BinBytesBuf_PI><buflen>%d</buflen><buf>%b</buf></BinBytesBuf_PI>" % (
        len(data),
        binascii.b2a_base64(data, newline=False),
    )


def json_output(message: bytes) -> dict[str, Any]:
    """What such an answer holds. Raises ValueError."""
    import binascii
    import json

    text = field(message, b"buf").encode("utf-8", "surrogateescape")
    if b"<BinBytesBuf_PI>" in message:
        text = binascii.a2b_base64(text)
    value = json.loads(text.rstrip(b"\0") or b"{}")
    if not isinstance(value, dict):
        raise ValueError("the answer holds no JSON object")  # noqa: TRY004 - it is about the value
    return value
