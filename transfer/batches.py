"""The batch: what a workflow wants moved, made and removed, read from its document.

This is the only way from text to requests. A document that is wrong anywhere raises one BatchError and moves no byte.
It may be a JSON array, JSON Lines, or the old text form; `docs/batch.md` describes them. JSON is decoded request by
request, so that no tree of the whole document is ever in memory.
"""

from __future__ import annotations

from .batch_errors import BatchError, Fault, line_and_column, path_text
from .batch_requests import RequestReader
from .requests import Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from json import JSONDecoder
    from typing import Any, Final, NoReturn

    from .requests import Request

    Elements = Iterator[tuple[int, object]]
    """Where each request begins in the text, and what it decodes to."""

__all__ = ["BatchError", "load_batch"]

_BLANKS: Final = " \t\r\n"
_BLANKS_IN_LINE: Final = " \t\r"
_ARRAY: Final = "a JSON array of requests"
_ARRAY_HINT: Final = "a batch is [ {request}, ... ], or one {request} a line"


class _Refused(ValueError):
    """JSON that Python would take and we do not: a key twice in one object, NaN, Infinity."""


def load_batch(
    text: str | bytes, *, environment: Mapping[str, str] | None = None, name: str = "batch"
) -> Batch:
    """The batch that a document describes. Raises BatchError.

    `environment` supplies the variables of local paths; a planner, who does not know the worker's, gives none. `name`
    is what errors call the document. Bytes are UTF-8, whatever the locale.
    """
    document = text.removeprefix("\ufeff") if isinstance(text, str) else _decoded(text, name)
    del text  # where the caller keeps nothing of it either, it is not twice in memory
    reader = RequestReader(environment)
    requests: list[Request] = []
    starts: dict[int, int] = {}
    start = 0
    try:
        for start, item in _elements(document):
            number = len(requests)
            requests.append(reader.request(number, item))
            if number in reader.waiting:
                starts[number] = start
    except Fault as fault:
        fault.path = fault.path if fault.whole else (len(requests), *fault.path)
        raise _error(document, name, fault, start) from None
    if reader.waiting:
        _order(document, name, requests, reader, starts)
    return Batch(tuple(requests), tuple(reader.warnings))


def _order(
    document: str, name: str, requests: list[Request], reader: RequestReader, starts: Mapping[int, int]
) -> None:
    """Fills in `after` of the requests that have one."""
    from .batch_order import resolved

    try:
        for number, others in resolved(requests, reader.waiting).items():
            requests[number] = requests[number]._replace(after=others)
    except Fault as fault:
        assert isinstance(fault.path[0], int)
        raise _error(document, name, fault, starts[fault.path[0]]) from None


def _decoded(data: bytes, name: str) -> str:
    """The text that UTF-8 bytes spell, without a byte order mark."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").removeprefix("\ufeff")
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        line, column = line_and_column(before, len(before))
        raise BatchError(
            f"not UTF-8: the byte 0x{data[error.start]:02x} makes no sense here",
            line=line,
            column=column,
            expected="UTF-8",
            hint="this looks like UTF-16"
            if wide
            else r'write a byte of a file name that is not UTF-8 as "\udcXX"',
            name=name,
        ) from None


def _elements(text: str) -> Elements:
    """Every request of a document of any form."""
    begin = _blank(text, 0)
    first = text[begin : begin + 1]
    if first == "[":
        return _array(text, begin)
    if first == "{":
        return _lines(text, begin)
    if first == "#":
        from . import batch_legacy

        if batch_legacy.is_legacy(text):
            return batch_legacy.transfers(text)
    if not first:
        raise Fault(
            (),
            "the batch is empty",
            expected=_ARRAY,
            hint="a batch without requests is []",
            offset=begin,
            whole=True,
        )
    raise _misplaced(text, begin, _ARRAY, _ARRAY_HINT)


def _array(text: str, begin: int) -> Elements:
    at = _blank(text, begin + 1)
    mark = "]" if text[at : at + 1] == "]" else ","
    while mark == ",":
        item, end = _decode(text, at)
        yield at, item
        at = _blank(text, end)
        mark = text[at : at + 1]
        if mark == ",":
            at = _blank(text, at + 1)
    if mark != "]":
        raise _misplaced(text, at, "a comma or the closing bracket of the array")
    at = _blank(text, at + 1)
    if at < len(text):
        raise _misplaced(text, at, "nothing after the array")


def _lines(text: str, begin: int) -> Elements:
    """JSON Lines. What looks like it and is one object in several lines, or none that is a request, is a Fault."""
    at = begin
    while at < len(text):
        item, end = _decode(text, at)
        if text.find("\n", at, end) >= 0 or (at == begin and isinstance(item, dict) and "type" not in item):
            raise _object_instead(at, first=at == begin)
        yield at, item
        at = _after_line(text, end)


def _after_line(text: str, end: int) -> int:
    """Where the next line that is not blank begins, after an object that ended at `end`."""
    at = _blank(text, end, _BLANKS_IN_LINE)
    if at < len(text) and text[at] != "\n":
        raise _misplaced(
            text, at, "one object a line", "JSON Lines has no commas between objects; an array begins with ["
        )
    return _blank(text, at)


def _blank(text: str, at: int, blanks: str = _BLANKS) -> int:
    """Where the first character that is not blank stands."""
    end = len(text)
    while at < end and text[at] in blanks:
        at += 1
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


def _misplaced(text: str, at: int, expected: str, hint: str = "") -> Fault:
    from .batch_positions import found_at

    message = f"expected {expected}, found {found_at(text, at)}"
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


def _decode(text: str, at: int) -> tuple[object, int]:
    """The JSON value that begins at `at`, and where it ends."""
    try:
        return _scan(text, at)
    except (ValueError, RecursionError, StopIteration, SystemError):
        # Without its module the scanner cannot say what is wrong.
        return _decode_slowly(text, at)


def _decode_slowly(text: str, at: int) -> tuple[object, int]:
    try:
        return _decoder().raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        from .batch_positions import fault_of_scan

        raise fault_of_scan(text, at, error) from None


def _error(text: str, name: str, fault: Fault, start: int) -> BatchError:
    """The fault with its line and column. `start` is where the request begins that it is about."""
    offset = fault.offset
    if offset is None:
        from . import batch_legacy, batch_positions

        inside = fault.path[1:]
        if batch_legacy.is_legacy(text):
            offset = batch_legacy.offset_of(text, start, inside)
        else:
            offset = batch_positions.offset_of(text, start, inside, at_key=fault.at_key)
    line, column = line_and_column(text, offset)
    return BatchError(
        fault.message,
        path=path_text(fault.path),
        line=line,
        column=column,
        expected=fault.expected,
        hint=fault.hint,
        name=name,
    )
