"""GenQuery of the iRODS test server: the columns that clients ask for, conditions, and pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .irods_catalogue import NO_ROWS, Refusal, parent
from .irods_frames import xml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .irods_catalogue import Catalogue, Collection, DataObject, Replica, Ticket
    from .irods_frames import Element

Row = dict[int, object]

_TIMES = frozenset({419, 420, 424, 508, 509})
_ORDER, _DESCENDING = 0x400, 0x800
_AGGREGATES = {2: min, 3: max, 4: sum, 6: len}
_CONDITION = re.compile(
    r"\s*(not like|like|not in|in|between|=|<>|!=|>=|<=|>|<)\s*(.*)", re.IGNORECASE | re.DOTALL
)


class Queries:
    """Those of one connection: what is left of a long answer waits here for its next page."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._waiting: dict[int, tuple[list[int], list[tuple[str, ...]]]] = {}

    def answer(self, message: Element, user: str, ticket: Ticket | None) -> str:
        most, going_on = message.number("maxRows"), message.number("continueInx")
        if going_on:
            columns, rows = self._waiting.pop(going_on, ([], []))
            if most <= 0:
                return ""
        else:
            columns, rows = self._asked(message, user, ticket)
        if not rows:
            raise Refusal(NO_ROWS)
        page, rest = rows[:most], rows[most:]
        number = 0
        if rest:
            number = max(self._waiting, default=0) + 1
            self._waiting[number] = columns, rest
        results = [
            xml(
                "SqlResult_PI",
                attriInx=column,
                reslen=max(len(row[at]) for row in page) + 1,
                value=[row[at] for row in page],
            )
            for at, column in enumerate(columns)
        ]
        head = {"rowCnt": len(page), "attriCnt": len(columns), "continueInx": number, "totalRowCount": 0}
        return xml("GenQueryOut_PI", *results, **head)

    def _asked(
        self, message: Element, user: str, ticket: Ticket | None
    ) -> tuple[list[int], list[tuple[str, ...]]]:
        selected, conditions = message.child("InxIvalPair_PI"), message.child("InxValPair_PI")
        assert selected is not None and conditions is not None
        columns = [int(text) for text in selected.all("inx")]
        options = [int(text) for text in selected.all("ivalue")]
        wanted = list(
            zip((int(text) for text in conditions.all("inx")), conditions.all("svalue"), strict=True)
        )
        found = [
            row
            for row in self._rows({*columns, *(column for column, _ in wanted)}, dict(wanted), user, ticket)
            if all(holds(str(row.get(column, "")), condition) for column, condition in wanted)
        ]
        for column, option in zip(columns, options, strict=True):
            if option & (_ORDER | _DESCENDING):
                found.sort(key=lambda row: row.get(column, ""), reverse=bool(option & _DESCENDING))
        if any(option in _AGGREGATES for option in options):
            return columns, _aggregated(columns, options, found)
        texts = (tuple(_text(row, column) for column in columns) for row in found)
        return columns, list(dict.fromkeys(texts))[message.number("partialStartIndex") :]

    def _rows(
        self, columns: set[int], wanted: dict[int, str], user: str, ticket: Ticket | None
    ) -> Iterator[Row]:
        catalogue = self._catalogue
        collection, number = _exactly(wanted.get(501)), _exactly(wanted.get(402))
        if number is not None:
            collection = catalogue.path_of(number)
        places = collection, _exactly(wanted.get(403))
        if any(400 <= column < 500 or 600 <= column < 603 for column in columns):
            for collection, found in catalogue.visible(user, ticket, *places):
                if found is not None:
                    yield from self._of_object(collection, found)
        elif any(500 <= column < 600 for column in columns):
            for collection, found in catalogue.visible(user, ticket, *places):
                if found is None:
                    yield self._of_collection(collection)
        elif any(300 <= column < 400 for column in columns):
            for number, name in enumerate(catalogue.resources):
                yield {
                    301: 10_014 + number,
                    302: name,
                    303: catalogue.zone,
                    304: "unixfilesystem",
                    305: "cache",
                    306: "localhost",
                }
        elif any(200 <= column < 300 for column in columns):
            for number, name in enumerate(catalogue.users):
                yield {201: number, 202: name, 203: "rodsuser", 204: catalogue.zone}
        elif any(100 <= column < 200 for column in columns):
            yield {101: 9000, 102: catalogue.zone, 103: "local"}

    def _of_collection(self, each: Collection) -> Row:
        times = {508: each.created, 509: each.created}
        return {
            500: each.id,
            501: each.path,
            502: parent(each.path),
            503: each.owner,
            504: self._catalogue.zone,
            **times,
        }

    def _of_object(self, collection: Collection, each: DataObject) -> Iterator[Row]:
        for replica in each.replicas:
            row = {**self._of_collection(collection), **_of_replica(each, replica, self._catalogue.zone)}
            for name, value in each.metadata or [("", "")]:
                yield {**row, 402: collection.id, 600: name, 601: value, 602: ""}


def _of_replica(each: DataObject, replica: Replica, zone: str) -> Row:
    return {
        401: each.id,
        403: each.name,
        404: replica.number,
        406: "generic",
        407: replica.size,
        409: replica.resource,
        410: replica.file,
        411: each.owner,
        412: zone,
        413: replica.status,
        415: replica.checksum,
        417: 0,
        419: each.created,
        420: replica.modified,
        422: replica.resource,
        423: 10_014,
        424: replica.modified,
    }


def _text(row: Row, column: int) -> str:
    """A value as the catalogue has it: times with eleven digits."""
    value = row.get(column, "")
    return f"{int(str(value)):011d}" if column in _TIMES and value != "" else str(value)


def _aggregated(columns: list[int], options: list[int], found: list[Row]) -> list[tuple[str, ...]]:
    if not found and 6 not in options:
        return []
    pairs = zip(columns, options, strict=True)
    return [
        tuple(
            str(_AGGREGATES[option]([row[column] for row in found])) if option in _AGGREGATES else ""
            for column, option in pairs
        )
    ]


def _exactly(condition: str | None) -> str | None:
    """The one value that a condition allows; None if there may be others."""
    if condition is None or not condition.startswith("= '") or "&&" in condition:
        return None
    return condition[3:-1]


def holds(value: str, condition: str) -> bool:
    """Whether a value satisfies `= 'x'`, `like 'x%'`, `in ('a','b')` and so on, and all of them where `&&` stands between."""
    return all(_one_holds(value, part) for part in re.split(r"(?<=')\s*&&\s*(?=[=<>!a-z])", condition))


def _one_holds(value: str, condition: str) -> bool:
    match = _CONDITION.match(condition)
    if match is None:
        raise Refusal(-130_000, condition)
    operator, operand = match[1].lower(), match[2].strip()
    if operator in ("in", "not in", "between"):
        literals = re.findall(r"'((?:[^']|'')*)'", operand)
    else:
        # A quote inside is not doubled: what counts is the first and the last one.
        literals = [operand[1:-1]]
    return _compared(operator, value, literals)


def _compared(operator: str, value: str, literals: list[str]) -> bool:
    first = literals[0]
    if operator in ("like", "not like"):
        return _is_like(value, first) is (operator == "like")
    if operator in ("in", "not in"):
        return (value in literals) is (operator == "in")
    if operator in ("=", "<>", "!="):
        return (value == first) is (operator == "=")
    if operator == "between":
        return _number(first) <= _number(value) <= _number(literals[1])
    left, right = _number(value), _number(first)
    return {">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right}[operator]


def _is_like(value: str, pattern: str) -> bool:
    """As PostgreSQL compares: a backslash takes the meaning from what follows."""
    parts: Iterable[str] = re.findall(r"\\.|.", pattern, re.DOTALL)
    meant = {"%": ".*", "_": "."}
    expression = "".join(meant.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _number(text: str) -> float:
    return float(text or 0)
