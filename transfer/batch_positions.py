"""Where in a JSON text a value stands. Slow and exact: used only when something is wrong.

The fast scanner of the standard library tells what is there, not where. This one walks the text of one request
again, without recursion, and knows the path and the place of every value in it.
"""

from __future__ import annotations

import re
from json import JSONDecodeError, dumps, loads
from typing import TYPE_CHECKING, NamedTuple

from .batch_errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .batch_errors import Path

DEEPEST: Final = 100
"""Levels after which a request that overwhelmed the scanner is called nested too deeply."""

_TOKEN: Final = re.compile(r'[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^ \t\r\n{}\[\],:"]+)', re.DOTALL)
_CONSTANTS: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_LONGEST_NUMBER: Final = 4300
"""Digits that Python converts to an integer at most, unless somebody changed that."""

# What json says -> what people expect there, and what helps.
_SYNTAX: Final = (
    ("Expecting property name", "a key in double quotes", "JSON has no single quotes and no comma before }"),
    ("Expecting ':'", "a colon after the key", ""),
    ("Expecting ','", "a comma or the closing bracket", r"a quote inside a string is written \""),
    ("Expecting value", "a value", "JSON has no comments, no single quotes and no comma before ]"),
    ("Invalid control character", "the string to go on", r"inside a string a newline is written \n"),
    ("Invalid \\escape", "a known escape", r"a backslash inside a string is written \\"),
    ("Invalid \\uXXXX", "four hexadecimal digits after \\u", ""),
    ("Unterminated string", "a closing quote", "the batch may have been cut short"),
    ("Illegal trailing comma", "a key in double quotes", "JSON has no comma before }"),
)


class Spot(NamedTuple):
    """A value. `key` is where its key begins; in an array, and for the outermost, where the value itself does."""

    path: Path
    key: int
    value: int
    token: str


def spots(text: str, start: int, *, depth: int = DEEPEST) -> Iterator[Spot]:
    """Every value of the JSON value at `start`, in the order of the text, down to `depth` levels.

    Ends quietly where the text makes no sense.
    """
    path: list[str | int] = []
    key, key_comes, at = start, False, start
    while match := _TOKEN.match(text, at):
        token, begin, at = match[1], match.start(1), match.end()
        if token in ("}", "]"):
            if not path:
                return
            path.pop()
        elif token == ",":
            if not path:
                return
            step = path[-1]
            key_comes = isinstance(step, str)
            if isinstance(step, int):
                path[-1] = step + 1
        elif key_comes and token[0] == '"':
            path[-1], key, key_comes = _decoded(token), begin, False
        elif token != ":":
            named = bool(path) and isinstance(path[-1], str)
            if len(path) <= depth:
                yield Spot(tuple(path), key if named else begin, begin, token)
            if token in ("{", "["):
                key_comes = token == "{"
                path.append("" if key_comes else 0)
        if not path:
            return


def _decoded(token: str) -> str:
    try:
        text: str = loads(token, strict=False)
    except JSONDecodeError:
        return token
    return text


def offset_of(text: str, start: int, path: Path, *, at_key: bool = False) -> int:
    """Where the value of `path` begins, or its key; else, for one that is absent, the nearest object around it."""
    best, length = start, -1
    for spot in spots(text, start, depth=len(path)):
        if spot.path == path:
            return spot.key if at_key else spot.value
        if len(spot.path) > length and spot.path == path[: len(spot.path)]:
            best, length = spot.value, len(spot.path)
    return best


def fault_of_scan(text: str, start: int, error: Exception) -> Fault:
    """What the scanner stumbled over in the value at `start`, with its place."""
    if isinstance(error, JSONDecodeError):
        return _syntax(text, start, error)
    if isinstance(error, RecursionError):
        return _too_deep(text, start)
    return _refused(text, start) or Fault((), f"not JSON: {error}", expected="JSON", offset=start)


def _syntax(text: str, start: int, error: JSONDecodeError) -> Fault:
    path: Path = ()
    for spot in spots(text, start):
        if spot.value >= error.pos:
            break
        path = spot.path
    expected, hint = next(
        ((words, help_) for begin, words, help_ in _SYNTAX if error.msg.startswith(begin)), ("JSON", "")
    )
    return Fault(
        path,
        f"not JSON: expected {expected}, found {found_at(text, error.pos)}",
        expected=expected,
        hint=hint,
        offset=error.pos,
    )


def found_at(text: str, offset: int) -> str:
    """The character at `offset`, for people."""
    if offset >= len(text):
        return "the end of the batch"
    return dumps(text[offset]) if text[offset] != '"' else "a quote"


def _too_deep(text: str, start: int) -> Fault:
    offset = start
    for spot in spots(text, start, depth=DEEPEST):
        if len(spot.path) == DEEPEST:
            offset = spot.value
            break
    return Fault((), "values are nested too deeply", expected="less nesting", offset=offset)


def _refused(text: str, start: int) -> Fault | None:
    """The first key that an object has twice, number that is none, or number that is too long."""
    taken: set[Path] = set()
    for spot in spots(text, start, depth=len(text)):
        if spot.path in taken:
            return Fault(
                spot.path, "the key occurs twice in this object", expected="each key once", offset=spot.key
            )
        if spot.path and isinstance(spot.path[-1], str):
            taken.add(spot.path)
        if spot.token in _CONSTANTS:
            return Fault(
                spot.path,
                f"expected a number, found {spot.token}",
                expected="a number",
                hint="JSON has no NaN and no Infinity",
                offset=spot.value,
            )
        if len(spot.token) > _LONGEST_NUMBER and spot.token[-1].isdigit():
            return Fault(spot.path, "the number is too long", expected="a shorter number", offset=spot.value)
    return None
