"""One decoded JSON object becomes one request, or a Fault that says what is wrong with it.

This runs once for every request of a batch of millions: it looks at each key once, and builds no text unless
something is wrong.
"""

from __future__ import annotations

from sys import intern

from ..protocols.locations import parse_location
from . import batch_schema
from .batch_errors import Fault, mistaken, path_text, shown
from .batch_values import (
    absent_or_mistaken,
    after,
    digest,
    flag,
    identity,
    missing,
    priority,
    size,
    text,
    with_attributes,
)
from .requests import MakeDirectory, Remove, Transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    from ..checksum.digest import Digest
    from ..protocols.locations import Location
    from .batch_errors import Path
    from .requests import Request

    Item = dict[str, Any]

_KNOWN: Final = {sort: batch_schema.names(sort) for sort in batch_schema.OBJECTS}
_TRANSFER, _MKDIR, _REMOVE = _KNOWN["transfer"], _KNOWN["mkdir"], _KNOWN["remove"]
_URL, _TARGET, _CHECKSUM = _KNOWN["url"], _KNOWN["target"], _KNOWN["checksum"]

_SHORTEST_SUSPECT: Final = 5
"""Letters that an unknown key has at least to be taken for a misspelt one."""
_MOST_WARNINGS: Final = 50


class RequestReader:
    """Makes requests of one batch, and remembers what was odd (`warnings`) and who waits for whom (`waiting`)."""

    __slots__ = ("_environment", "_suspects", "_warned", "waiting", "warnings")

    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self._environment = environment
        self._suspects: dict[tuple[str, str], tuple[str, ...]] = {}
        self._warned: set[tuple[str, str]] = set()
        self.warnings: list[str] = []
        self.waiting: dict[int, tuple[str, ...]] = {}
        """Number of a request -> the ids in its `after`."""

    def request(self, number: int, item: object) -> Request:
        """The request that a JSON value means. Raises Fault, with a path inside the value."""
        if type(item) is not dict:
            raise mistaken((), "an object", item)
        sort = item.get("type")
        if sort == "transfer":
            return self._transfer(number, item)
        if sort == "mkdir":
            return self._make_directory(number, item)
        if sort == "remove":
            return self._remove(number, item)
        raise _wrong_type(item)

    def _transfer(self, number: int, item: Item) -> Transfer:
        if not item.keys() <= _TRANSFER:
            self._unknown(number, "transfer", item, ())
        if "after" in item:
            self.waiting[number] = after(item["after"])
        bytes_, expected = None, None
        if "attributes" in item or "checksum" in item or "size" in item:
            bytes_, expected = self._expectation(number, item)
        return Transfer(
            number,
            identity(item) if "id" in item else "",
            text(item, "lfn", ()) if "lfn" in item else "",
            self._places(number, item, "src_urls"),
            self._places(number, item, "dest_urls"),
            bytes_,
            expected,
            intern(text(item, "linkage", ())) if "linkage" in item else "unknown",
            "generate_checksum" in item and flag(item, "generate_checksum", ()),
            "verify_checksum_remote" in item and flag(item, "verify_checksum_remote", ()),
            "verify_symlink_source" not in item or flag(item, "verify_symlink_source", ()),
        )

    def _make_directory(self, number: int, item: Item) -> MakeDirectory:
        if not item.keys() <= _MKDIR:
            self._unknown(number, "mkdir", item, ())
        if "after" in item:
            self.waiting[number] = after(item["after"])
        target, _ = self._target(number, item)
        return MakeDirectory(number, identity(item) if "id" in item else "", target)

    def _remove(self, number: int, item: Item) -> Remove:
        if not item.keys() <= _REMOVE:
            self._unknown(number, "remove", item, ())
        if "after" in item:
            self.waiting[number] = after(item["after"])
        target, inside = self._target(number, item)
        recursive = flag(item, "recursive", ()) if "recursive" in item else inside or False
        if inside is not None and recursive != inside:
            raise Fault(
                ("recursive",),
                "recursive is another one than inside target",
                expected="one value",
                hint="write it once",
            )
        return Remove(number, identity(item) if "id" in item else "", target, recursive)

    def _places(self, number: int, item: Item, key: str) -> tuple[Location, ...]:
        found = item.get(key)
        if type(found) is not list or not found:
            raise absent_or_mistaken(item, key, (), batch_schema.PLACES)
        if len(found) == 1:
            return (self._place(number, found[0], (key, 0)),)
        return tuple([self._place(number, place, (key, index)) for index, place in enumerate(found)])

    def _place(self, number: int, item: object, where: Path) -> Location:
        if type(item) is not dict:
            raise mistaken(where, "a URL object", item, 'write { "url": ... }')
        if not item.keys() <= _URL:
            self._unknown(number, "url", item, where)
        rank = priority(item["priority"], where) if "priority" in item else None
        kind = text(item, "type", where) if "type" in item else ""
        return self._location(item, where, rank, kind)

    def _target(self, number: int, item: Item) -> tuple[Location, bool | None]:
        """The target of a folder's creation or a removal, and whether it says `recursive`."""
        found = item.get("target")
        if type(found) is not dict:
            raise absent_or_mistaken(item, "target", (), batch_schema.TARGET)
        if not found.keys() <= _TARGET:
            self._unknown(number, "target", found, ("target",))
        recursive = flag(found, "recursive", ("target",)) if "recursive" in found else None
        return self._location(found, ("target",), None, ""), recursive

    def _location(self, item: Item, where: Path, rank: int | None, kind: str) -> Location:
        url = item.get("url")
        if type(url) is not str or not url:
            raise absent_or_mistaken(item, "url", where, batch_schema.URL)
        site = text(item, "site_label", where) if "site_label" in item else ""
        try:
            return parse_location(url, site=site, priority=rank, kind=kind, environment=self._environment)
        except ValueError as error:
            raise Fault((*where, "url"), str(error), expected="a URL") from None

    def _expectation(self, number: int, item: Item) -> tuple[int | None, Digest | None]:
        """The size and digest that the content must have, from every place where a transfer may state them."""
        bytes_ = size(item["size"], ("size",)) if "size" in item else None
        expected: Digest | None = None
        if "checksum" in item:
            found = item["checksum"]
            if type(found) is not dict:
                raise mistaken(("checksum",), batch_schema.CHECKSUM.words, found)
            if not found.keys() <= _CHECKSUM:
                self._unknown(number, "checksum", found, ("checksum",))
            expected = digest(found, "type", "value", ("checksum",))
        if "attributes" in item:
            return with_attributes(item["attributes"], bytes_, expected, ("attributes",))
        return bytes_, expected

    def _unknown(self, number: int, sort: str, item: Item, where: Path) -> None:
        """Remembers the unknown keys of an object. Raises Fault for one that looks like a key it lacks."""
        for key in [key for key in item if key not in _KNOWN[sort]]:
            for known in self._near(sort, key):
                if known not in item:
                    raise Fault(
                        (*where, key),
                        f"unknown key {shown(key)}",
                        expected=f'"{known}"',
                        hint=f'"{known}" was probably meant',
                        at_key=True,
                    )
            if (sort, key) not in self._warned and len(self._warned) < _MOST_WARNINGS:
                self._warned.add((sort, key))
                self.warnings.append(f"unknown key {path_text((number, *where, key))} is ignored")

    def _near(self, sort: str, key: str) -> tuple[str, ...]:
        """The known keys that an unknown one may be a misspelling of."""
        found = self._suspects.get((sort, key))
        if found is None:
            from .spelling import within

            found = within(key, _KNOWN[sort], 2) if len(key) >= _SHORTEST_SUSPECT else ()
            if len(self._suspects) < 1000:
                self._suspects[sort, key] = found
        return found


def _wrong_type(item: Item) -> Fault:
    found = item.get("type")
    if found is None and "type" not in item:
        return missing(item, "type", ())
    from .spelling import nearest

    likely = nearest(found, ("transfer", "mkdir", "remove")) if isinstance(found, str) else ""
    return mistaken(
        ("type",), batch_schema.TYPE.words, found, f'"{likely}" was probably meant' if likely else ""
    )
