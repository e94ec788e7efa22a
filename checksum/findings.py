"""What can have happened to a file that is not what it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .records import StrEnum

if TYPE_CHECKING:
    from .blocks import Range


class Damage(StrEnum):
    EMPTY = "empty"
    TRUNCATED = "truncated"
    APPENDED = "appended"
    """What was expected is there, and more follows."""
    ZERO_FILLED = "zero-filled"
    SHIFTED = "shifted"
    MISPLACED = "misplaced"
    """A block holds what belongs in another."""
    BITS = "bits"
    """A few bits are the other way round; told only with a reference."""
    HTML = "html"
    XML_ERROR = "xml-error"
    JSON_ERROR = "json-error"
    AWS_CHUNKED = "aws-chunked"
    CRLF = "crlf"
    LF = "lf"
    GZIP = "gzip"


class Finding(NamedTuple):
    """One thing that is wrong. `proved` tells a fact from what it looks like; the text is for people."""

    damage: Damage
    text: str
    place: Range | None = None
    proved: bool = False
