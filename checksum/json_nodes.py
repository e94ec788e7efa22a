"""JSON as nodes that know their places in the text, with the attributes that PyYAML's have.

YAML's parsers do not read all of it: to them a surrogate pair, as JSON escapes a character beyond 16 bits (RFC 8259, section
7), is not one.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Final

NULL: Final = "tag:yaml.org,2002:null"
_OTHER: Final = "tag:yaml.org,2002:str"
_BLANKS = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in the text, counted from 0."""

    index: int
    line: int


class Node(NamedTuple):
    """`value` is a scalar's text, a sequence's nodes or a mapping's pairs of nodes."""

    id: str
    value: str | list[Node] | list[tuple[Node, Node]]
    start_mark: Mark
    end_mark: Mark
    tag: str = _OTHER
    style: str = ""
    flow_style: bool = True


def compose(text: str) -> Node:
    """The document's node. Raises ValueError for what is not JSON, and RecursionError for what is nested too deeply."""
    json.loads(text)
    return _Composer(text).document()


class _Composer:
    """Walks through a text that is known to be JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._decode = json.JSONDecoder().raw_decode

    def document(self) -> Node:
        return self._node(self._after(0))

    def _node(self, at: int) -> Node:
        first = self._text[at]
        if first == "{":
            return self._mapping(at)
        return self._sequence(at) if first == "[" else self._scalar(at)

    def _mapping(self, start: int) -> Node:
        pairs = []
        at = self._after(start + 1)
        while self._text[at] != "}":
            key = self._scalar(at)
            colon = self._after(key.end_mark.index)
            value = self._node(self._after(colon + 1))
            pairs.append((key, value))
            at = self._behind_comma(value)
        return Node("mapping", pairs, self._mark(start), self._mark(at + 1))

    def _sequence(self, start: int) -> Node:
        nodes = []
        at = self._after(start + 1)
        while self._text[at] != "]":
            nodes.append(self._node(at))
            at = self._behind_comma(nodes[-1])
        return Node("sequence", nodes, self._mark(start), self._mark(at + 1))

    def _scalar(self, at: int) -> Node:
        value, end = self._decode(self._text, at)
        start, stop = self._mark(at), self._mark(end)
        if isinstance(value, str):
            return Node("scalar", value, start, stop, style='"')
        return Node("scalar", self._text[at:end], start, stop, NULL if value is None else _OTHER)

    def _behind_comma(self, node: Node) -> int:
        """Where the next thing in a list begins, or the bracket that ends it is."""
        at = self._after(node.end_mark.index)
        return self._after(at + 1) if self._text[at] == "," else at

    def _after(self, at: int) -> int:
        match = _BLANKS.match(self._text, at)
        return at if match is None else match.end()

    def _mark(self, at: int) -> Mark:
        return Mark(index=at, line=bisect_right(self._newlines, at))
