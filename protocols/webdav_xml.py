"""Answers of status 207, Multi-Status (RFC 4918 section 13), read while they arrive.

A folder of a million names is never held as a document: each response is handed on when its end was seen. A document type
is refused, for no server needs one and entities can explode; so are elements nested deeper than any property is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

_TEXT_MOST: Final = 64 << 10
"""Characters of one element's text."""
_DEEPEST: Final = 64

ASK: Final = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/>'
    b"<D:getcontentlength/><D:getetag/><D:getlastmodified/></D:prop></D:propfind>"
)
"""The body of a PROPFIND for what a `Found` holds."""

_PROPERTIES: Final = frozenset({"DAV: getcontentlength", "DAV: getetag", "DAV: getlastmodified"})
_TEXTS: Final = frozenset({"DAV: href", "DAV: status"}) | _PROPERTIES


class NotMultistatus(ValueError):
    """The body is not the document that was expected; the text says why."""


class Found(NamedTuple):
    """One response element. Texts are empty where the server does not tell."""

    href: str
    """As the server spells it: a path or a URL, of whatever host."""
    status: int = 200
    folder: bool = False
    length: str = ""
    etag: str = ""
    modified: str = ""


def responses(pieces: Iterable[memoryview | bytes]) -> Iterator[Found]:
    """The responses in a body, in its order. Raises NotMultistatus."""
    from xml.parsers.expat import ExpatError, ParserCreate

    reading = _Reading()
    parser = ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reading.document_type
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    try:
        for piece in pieces:
            parser.Parse(bytes(piece), False)
            yield from reading.taken()
        parser.Parse(b"", True)
    except ExpatError as error:
        raise NotMultistatus(f"the answer is not well-formed XML ({error})") from None
    except (LookupError, ValueError) as error:
        if isinstance(error, NotMultistatus):
            raise
        raise NotMultistatus("the answer is in an encoding that cannot be read") from None
    yield from reading.taken()


class _Reading:
    """What the parser tells, gathered to responses."""

    def __init__(self) -> None:
        self._done: list[Found] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._href = ""
        self._status = 0
        self._kept: dict[str, str] = {}
        """Of the response: what its property groups of status 200 held."""
        self._group: dict[str, str] = {}
        self._group_status = 200

    def taken(self) -> list[Found]:
        done, self._done = self._done, []
        return done

    def document_type(self, *_: object) -> None:
        raise NotMultistatus("the answer has a document type")

    def start(self, name: str, _: object) -> None:
        if not self._open and name != "DAV: multistatus":
            raise NotMultistatus(f"the answer is a document of another kind ({name[:60]})")
        if len(self._open) >= _DEEPEST:
            raise NotMultistatus("the answer is nested too deeply")
        self._open.append(name)
        self._text, self._length = [], 0
        if name == "DAV: response":
            self._href, self._status, self._kept = "", 0, {}
        elif name == "DAV: propstat":
            self._group, self._group_status = {}, 200
        elif name == "DAV: collection" and "DAV: resourcetype" in self._open:
            self._group[name] = "yes"

    def text(self, data: str) -> None:
        self._length += len(data)
        if self._length > _TEXT_MOST:
            raise NotMultistatus("the answer has an overlong text")
        self._text.append(data)

    def end(self, name: str) -> None:
        self._open.pop()
        if name in _TEXTS:
            self._take(name, "".join(self._text).strip())
        elif name == "DAV: propstat" and self._group_status // 100 == 2:
            self._kept.update(self._group)
        elif name == "DAV: response":
            self._done.append(self._response())
        self._text, self._length = [], 0

    def _take(self, name: str, value: str) -> None:
        above = self._open[-1] if self._open else ""
        if name in _PROPERTIES:
            self._group[name] = value
        elif name == "DAV: status" and above == "DAV: propstat":
            self._group_status = _status(value)
        elif above == "DAV: response":
            if name == "DAV: status":
                self._status = _status(value)
            elif not self._href:
                self._href = value

    def _response(self) -> Found:
        kept = self._kept
        return Found(
            self._href,
            self._status or 200,
            "DAV: collection" in kept,
            kept.get("DAV: getcontentlength", ""),
            kept.get("DAV: getetag", ""),
            kept.get("DAV: getlastmodified", ""),
        )


def _status(line: str) -> int:
    """The number in `HTTP/1.1 404 Not Found`. Raises NotMultistatus."""
    number = (line.split() or [""])[1:2]
    if not number or not (number[0].isascii() and number[0].isdigit()):
        raise NotMultistatus(f"the answer has a malformed status {line[:60]!r}")
    return int(number[0][:3])
