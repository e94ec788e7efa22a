"""What `.meta` files say the content of a logical file must be.

Such a file is a JSON list of `{"_id": LFN, "_attributes": {"checksum.value": ..., "size": ...}}`; workflow planners and
the jobs before this one write them.
"""

from __future__ import annotations

from json import JSONDecodeError, dumps, loads
from typing import TYPE_CHECKING, NamedTuple

from ..credentials.redaction import printable
from .batch_errors import Fault, line_and_column, path_text, shown
from .batch_values import with_attributes
from .requests import Transfer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from ..checksum.digest import Digest
    from .requests import Batch, Request


class MetaError(ValueError):
    """A `.meta` document that is none."""


class Expectation(NamedTuple):
    """What is known about one content. `origin` names the file that says it."""

    digest: Digest | None
    size: int | None
    origin: str


class Expectations:
    """Expectations by logical name. What contradicts itself is kept as a problem, and is an expectation no more."""

    __slots__ = ("_by_lfn", "_problems", "faults")

    def __init__(self) -> None:
        self._by_lfn: dict[str, Expectation] = {}
        self._problems: dict[str, str] = {}
        self.faults: list[str] = []
        """One sentence for each file that could not be read or understood, and was left out."""

    def __len__(self) -> int:
        return len(self._by_lfn)

    def __contains__(self, lfn: object) -> bool:
        return lfn in self._by_lfn

    def get(self, lfn: str) -> Expectation | None:
        """The expectation, or None where there is none that can be used: then `problem` tells more."""
        return self._by_lfn.get(lfn)

    def problem(self, lfn: str) -> str:
        """Why what is said about this file cannot be used; empty if it can, or if nothing is said."""
        return self._problems.get(lfn, "")

    def add(self, lfn: str, expectation: Expectation) -> None:
        """Joins the expectation with what is known already; two that differ become a problem."""
        known = self._by_lfn.get(lfn)
        if lfn in self._problems:
            return
        if known is None:
            self._by_lfn[lfn] = expectation
            return
        joined = _joined(known, expectation)
        if joined is None:
            both = f"{known.origin} and {expectation.origin}"
            self.spoil(lfn, f"{both} expect different content of {dumps(lfn)}")
        else:
            self._by_lfn[lfn] = joined

    def spoil(self, lfn: str, problem: str) -> None:
        """Makes everything that is said about this file unusable."""
        self._by_lfn.pop(lfn, None)
        self._problems.setdefault(lfn, problem)

    def update(self, other: Expectations) -> None:
        """Adds all of another's."""
        for lfn, expectation in other._by_lfn.items():
            self.add(lfn, expectation)
        for lfn, problem in other._problems.items():
            self.spoil(lfn, problem)
        self.faults.extend(other.faults)


def _joined(one: Expectation, other: Expectation) -> Expectation | None:
    """What both say together, or None if they differ. Digests of two algorithms do not differ: the first one stays."""
    if one.digest and other.digest and one.digest != other.digest:
        return None if one.digest.algorithm == other.digest.algorithm else one
    if one.size is not None and other.size is not None and one.size != other.size:
        return None
    size = other.size if one.size is None else one.size
    return Expectation(one.digest or other.digest, size, one.origin)


def load_meta(text: str | bytes, *, origin: str = ".meta") -> Expectations:
    """The expectations of one `.meta` document; an empty one says nothing. Raises MetaError if it is none.

    A malformed digest or size is the problem of its logical file alone.
    """
    found = Expectations()
    for number, entry in enumerate(_entries(text, origin)):
        if not isinstance(entry, dict):
            _refuse(origin, (number,), "an object", entry)
        lfn, attributes = entry.get("_id"), entry.get("_attributes", {})
        if not isinstance(lfn, str) or not lfn:
            _refuse(origin, (number, "_id"), "a logical name", lfn)
        if not isinstance(attributes, dict):
            _refuse(origin, (number, "_attributes"), "an object", attributes)
        try:
            size, digest = with_attributes(attributes, None, None, (number, "_attributes"))
        except Fault as fault:
            found.spoil(lfn, f"{origin}: {path_text(fault.path)}: {fault.message}")
        else:
            if size is not None or digest is not None:
                found.add(lfn, Expectation(digest, size, origin))
    return found


def _entries(text: str | bytes, origin: str) -> list[object]:
    try:
        document = text.decode("utf-8") if isinstance(text, bytes) else text
        document = document.removeprefix("\ufeff")
        entries = loads(document) if document.strip() else []
    except JSONDecodeError as error:
        line, column = line_and_column(error.doc, error.pos)
        raise MetaError(f"{origin}:{line}:{column}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise MetaError(f"{origin}: not JSON in UTF-8: {error}") from None
    if not isinstance(entries, list):
        _refuse(origin, (), "an array", entries)
    return entries


def _refuse(origin: str, path: tuple[str | int, ...], expected: str, value: object) -> NoReturn:
    where = f" {path_text(path)}:" if path else ""
    raise MetaError(f"{origin}:{where} expected {expected}, found {shown(value)}")


def read_meta_files(paths: Iterable[str]) -> Expectations:
    """The expectations of several files. One that cannot be read or understood is left out and named in `faults`."""
    found = Expectations()
    for path in paths:
        try:
            with open(path, "rb") as file:
                found.update(load_meta(file.read(), origin=printable(path)))
        except OSError as error:
            found.faults.append(f"{printable(path)}: {error.strerror or type(error).__name__}")
        except MetaError as error:
            found.faults.append(str(error))
    return found


def apply_expectations(batch: Batch, expectations: Expectations) -> Batch:
    """The batch, whose transfers expect what their `.meta` entry says where they do not say it themselves.

    The batch's own expectation wins: an entry with another digest is not used at all. A transfer without a digest of
    its own whose entry has a problem fails, alone: its sources carry the problem.
    """
    requests = tuple(
        _informed(request, expectations) if isinstance(request, Transfer) else request
        for request in batch.requests
    )
    return batch._replace(requests=requests)


def _informed(transfer: Transfer, expectations: Expectations) -> Request:
    problem = expectations.problem(transfer.lfn)
    if problem:
        if transfer.expected is not None:
            return transfer
        return transfer._replace(
            sources=tuple(source._replace(problem=source.problem or problem) for source in transfer.sources)
        )
    known = expectations.get(transfer.lfn)
    if known is None:
        return transfer
    own = transfer.expected
    if own and known.digest and own.algorithm == known.digest.algorithm and own != known.digest:
        return transfer
    return transfer._replace(
        expected=own or known.digest,
        size=known.size if transfer.size is None else transfer.size,
    )
