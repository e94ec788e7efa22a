"""iRODS messages as the test server reads and writes them: frames, and the XML inside them.

A frame is a length of four bytes, a header, and up to three parts: the message, the error stack, and raw bytes. Names may hold
control characters and bytes that are not UTF-8, which no XML parser takes, so elements are found by a pattern.
"""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket
    from typing import Any

_TOKEN = re.compile(r"<(/?)([A-Za-z0-9_]+)>|([^<]+)")


class Element:
    """One element: either text, or other elements."""

    def __init__(self, name: str) -> None:
        self.name, self.children, self.text = name, [], ""
        self.children: list[Element]

    def child(self, name: str) -> Element | None:
        return next((each for each in self.children if each.name == name), None)

    def get(self, name: str, default: str = "") -> str:
        found = self.child(name)
        return default if found is None else found.text

    def number(self, name: str) -> int:
        return int(self.get(name) or 0)

    def all(self, name: str) -> list[str]:
        return [each.text for each in self.children if each.name == name]

    def keywords(self) -> dict[str, str]:
        """The KeyValPair_PI of this message."""
        pairs = self.child("KeyValPair_PI")
        return dict(zip(pairs.all("keyWord"), pairs.all("svalue"), strict=True)) if pairs else {}

    def json(self) -> dict[str, Any]:
        """What a BinBytesBuf_PI holds."""
        return dict(json.loads(base64.b64decode(self.get("buf")).rstrip(b"\0")))


def parsed(data: bytes) -> Element:
    """The one element that a message is. An empty message is an element without a name."""
    top = Element("")
    open_ones = [top]
    for closing, name, text in _TOKEN.findall(data.decode("utf-8", "surrogateescape").replace("\0", "")):
        if text:
            open_ones[-1].text += html.unescape(text)
        elif closing:
            assert open_ones.pop().name == name, f"</{name}> closes another element"
        else:
            element = Element(name)
            open_ones[-1].children.append(element)
            open_ones.append(element)
    assert len(open_ones) == 1, "an element is not closed"
    return top.children[0] if top.children else top


def xml(name: str, *parts: str, **fields: object) -> str:
    """An element with `fields` in it, a list as many elements of one name, and behind them `parts` as they are."""
    inner = []
    for key, value in fields.items():
        for each in value if isinstance(value, list) else [value]:
            inner.append(f"<{key}>{html.escape(str(each), quote=False)}</{key}>")
    return f"<{name}>{''.join(inner)}{''.join(parts)}</{name}>"


def packed_json(value: object) -> str:
    data = json.dumps(value).encode()
    return xml("BinBytesBuf_PI", buflen=len(data), buf=base64.b64encode(data).decode())


class Frame(NamedTuple):
    kind: str
    message: Element
    bytes: bytes
    number: int
    """The API's number in a request, the result in a reply."""


class Stream:
    """Frames over a connected socket. Raises ConnectionError at its end."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected

    def exactly(self, count: int) -> bytes:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            got = self.socket.recv_into(view)
            if not got:
                raise ConnectionError("the client has gone")
            view = view[got:]
        return bytes(data)

    def header(self) -> Element:
        return parsed(self.exactly(int.from_bytes(self.exactly(4), "big")))

    def receive(self) -> Frame:
        header = self.header()
        message, _, data = (self.exactly(header.number(name)) for name in ("msgLen", "errorLen", "bsLen"))
        return Frame(header.get("type"), parsed(message), data, header.number("intInfo"))

    def send(
        self, kind: str, message: str = "", *, error: str = "", data: bytes = b"", number: int = 0
    ) -> None:
        body, errors = (text.encode("utf-8", "surrogateescape") for text in (message, error))
        header = xml(
            "MsgHeader_PI",
            type=kind,
            msgLen=len(body),
            errorLen=len(errors),
            bsLen=len(data),
            intInfo=number,
        ).encode()
        self.socket.sendall(len(header).to_bytes(4, "big") + header + body + errors + data)
