"""The batch: what a workflow wants moved, made and removed, read from its document.

This is the only way from text to requests. A document that is wrong anywhere raises one BatchError and moves no byte.
It may be a JSON array, JSON Lines, or the old text form; `docs/batch.md` describes them. JSON is decoded request by
request, so that no tree of the whole document is ever in memory.
"""

from __future__ import annotations

from .batch_errors import BatchError, Fault, path_text
from .batch_requests import RequestReader
from .batch_window import Window
from .requests import Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from json import JSONDecoder
    from typing import Any, Final, NoReturn

    from .batch_window import Pieces
    from .requests import Request

    Elements = Iterator[tuple[int, int, object]]
    """Where each request begins and ends in the window's text, and what it decodes to."""

__all__ = ["BatchError", "load_batch"]

_BLANKS: Final = " \t\r\n"
_BLANKS_IN_LINE: Final = " \t\r"
_ARRAY: Final = "a JSON array of requests"
_ARRAY_HINT: Final = "a batch is [ {request}, ... ], or one {request} a line"


class _Refused(ValueError):
    """JSON that Python would take and we do not: a key twice in one object, NaN, Infinity."""


def load_batch(
    document: str | bytes | Pieces, *, environment: Mapping[str, str] | None = None, name: str = "batch"
) -> Batch:
    """The batch that a document describes. Raises BatchError.

    A binary file is read piece by piece, and never whole in memory. `environment` supplies the variables of local paths; a planner,
    who does not know the worker's, gives none. `name` is what errors call the document. Bytes are UTF-8, whatever the locale.
    """
    window = Window(document, name)
    del document  # where the caller keeps nothing of it either, it is not twice in memory
    reader = RequestReader(environment)
    requests: list[Request] = []
    waiting: dict[int, tuple[int, int, str]] = {}
    start = 0
    try:
        for start, end, item in _elements(window):
            number = len(requests)
            requests.append(reader.request(number, item))
            if number in reader.waiting:
                waiting[number] = (*window.place(start), window.text[start:end])
    except Fault as fault:
        fault.path = fault.path if fault.whole else (len(requests), *fault.path)
        raise _error(window, name, fault, start) from None
    if waiting:
        _order(name, requests, reader, waiting)
    return Batch(tuple(requests), tuple(reader.warnings))


def _order(
    name: str,
    requests: list[Request],
    reader: RequestReader,
    waiting: Mapping[int, tuple[int, int, str]],
) -> None:
    """Fills in `after` of the requests that have one. `waiting` has the place and the text of each."""
    from .batch_order import resolved

    try:
        for number, others in resolved(requests, reader.waiting).items():
            requests[number] = requests[number]._replace(after=others)
    except Fault as fault:
        assert isinstance(fault.path[0], int)
        line, column, text = waiting[fault.path[0]]
        raise _error(Window(text, name, line, column), name, fault, 0) from None


def _elements(window: Window) -> Elements:
    """Every request of a document of any form."""
    begin = _blank(window, 0)
    text = window.text
    first = text[begin : begin + 1]
    if first == "[":
        return _array(window, begin)
    if first == "{":
        return _lines(window, begin)
    if first == "#":
        from . import batch_legacy

        if batch_legacy.is_legacy(window.whole()):
            return batch_legacy.transfers(window.text)
    if not first:
        raise Fault(
            (),
            "the batch is empty",
            expected=_ARRAY,
            hint="a batch without requests is []",
            offset=begin,
            whole=True,
        )
    raise _misplaced(window, begin, _ARRAY, _ARRAY_HINT)


def _array(window: Window, begin: int) -> Elements:
    at = _blank(window, begin + 1)
    mark = "]" if window.text[at : at + 1] == "]" else ","
    while mark == ",":
        item, end = _decode(window, at)
        yield at, end, item
        if window.let_go(end):
            end = 0
        if window.text.startswith(", {", end):  # as most programs write it
            at = end + 2
            continue
        at = _blank(window, end)
        mark = window.text[at : at + 1]
        if mark == ",":
            at = _blank(window, at + 1)
    if mark != "]":
        raise _misplaced(window, at, "a comma or the closing bracket of the array")
    at = _blank(window, at + 1)
    if at < len(window.text):
        raise _misplaced(window, at, "nothing after the array")


def _lines(window: Window, begin: int) -> Elements:
    """JSON Lines. What looks like it and is one object in several lines, or none that is a request, is a Fault."""
    at, first = begin, True
    while at < len(window.text):
        item, end = _decode(window, at)
        if window.text.find("\n", at, end) >= 0 or (first and isinstance(item, dict) and "type" not in item):
            raise _object_instead(at, first=first)
        yield at, end, item
        first = False
        if window.let_go(end):
            end = 0
        at = _after_line(window, end)


def _after_line(window: Window, end: int) -> int:
    """Where the next line that is not blank begins, after an object that ended at `end`."""
    at = _blank(window, end, _BLANKS_IN_LINE)
    if at < len(window.text) and window.text[at] != "\n":
        raise _misplaced(
            window,
            at,
            "one object a line",
            "JSON Lines has no commas between objects; an array begins with [",
        )
    return _blank(window, at)


def _blank(window: Window, at: int, blanks: str = _BLANKS) -> int:
    """Where the first character that is not blank stands."""
    while True:
        text = window.text
        end = len(text)
        while at < end and text[at] in blanks:
            at += 1
        if at < end or not window.extend():
            return at


def _object_instead(at: int, *, first: bool) -> Fault:
    if first:
        return Fault(
            (),
            f"expected {_ARRAY}, found an object",
            expected=_ARRAY,
            hint=_ARRAY_HINT,
            offset=at,
            whole=True,
        )
    expected = "one object a line"
    return Fault((), f"expected {expected}, found one in several lines", expected=expected, offset=at)


def _misplaced(window: Window, at: int, expected: str, hint: str = "") -> Fault:
    from .batch_positions import found_at

    message = f"expected {expected}, found {found_at(window.text, at)}"
    return Fault((), message, expected=expected, hint=hint, offset=at, whole=True)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("a key occurs twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is no JSON number")


def _decoder() -> JSONDecoder:
    from json import JSONDecoder

    return JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _scanner() -> Callable[[str, int], tuple[object, int]]:
    """The decoder's own scanner, without the module `json`, which compiles patterns when it is imported."""
    try:
        from _json import make_scanner
    except ImportError:
        return _decoder().raw_decode
    from types import SimpleNamespace

    asked = SimpleNamespace(strict=True, object_hook=None, object_pairs_hook=_object)
    asked.parse_float, asked.parse_int, asked.parse_constant = float, int, _constant
    return make_scanner(asked)  # type: ignore[arg-type]


_scan: Final = _scanner()


def _decode(window: Window, at: int) -> tuple[object, int]:
    """The JSON value that begins at `at`, and where it ends."""
    while True:
        try:
            item, end = _scan(window.text, at)
        except (ValueError, RecursionError, StopIteration, SystemError):
            if window.extend():
                continue  # it may have been cut by the end of what has been read
            # Without its module the scanner cannot say what is wrong.
            return _decode_slowly(window.text, at)
        if end < len(window.text) or not window.extend():
            return item, end


def _decode_slowly(text: str, at: int) -> tuple[object, int]:
    try:
        return _decoder().raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        from .batch_positions import fault_of_scan

        raise fault_of_scan(text, at, error) from None


def _error(window: Window, name: str, fault: Fault, start: int) -> BatchError:
    """The fault with its line and column. `start` is where the request begins that it is about."""
    offset = fault.offset
    if offset is None:
        from . import batch_legacy, batch_positions

        inside = fault.path[1:]
        if batch_legacy.is_legacy(window.text):
            offset = batch_legacy.offset_of(window.text, start, inside)
        else:
            offset = batch_positions.offset_of(window.text, start, inside, at_key=fault.at_key)
    line, column = window.place(offset)
    return BatchError(
        fault.message,
        path=path_text(fault.path),
        line=line,
        column=column,
        expected=fault.expected,
        hint=fault.hint,
        name=name,
    )
