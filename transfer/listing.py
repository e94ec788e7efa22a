"""What `ls` and `stat` print. Names are escaped for people and exact in JSON; an error is one line and stops nothing else."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ..credentials.redaction import printable, redact
from ..protocols.errors import End, NotFound, TransferError, Unsupported
from ..protocols.values import Entry
from .asking import exit_of
from .places import decoded, names_a_folder
from .record_text import display_url, exact_url, timestamp
from .walking import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..checksum.digest import Digest
    from ..protocols.locations import Location
    from .asking import Stores
    from .settings import Exit

    Failed = Callable[[Location, TransferError], None]


def list_places(
    stores: Stores, places: Sequence[Location], *, long: bool, recursive: bool, as_json: bool
) -> Exit:
    """Prints the entries of each place, in order of their names; returns the exit code."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]

    def one(place: Location, failed: Failed) -> None:
        entries = _entries(stores, place, recursive, failed)
        if as_json:
            _print(_json(place, entry) for entry in entries)
            return
        if len(places) > 1:
            _print([f"{'' if place is places[0] else chr(10)}{display_url(place)}:"])
        _print(_line(place, entry, long) for entry in entries)

    return _each(places, one)


def describe_places(
    stores: Stores, places: Sequence[Location], *, algorithm: str | None, as_json: bool
) -> Exit:
    """Prints what is known of each place; with an algorithm, the digest that its service tells."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]

    def one(place: Location, failed: Failed) -> None:
        entry = _stat(stores, place)
        if algorithm is not None:
            told = _digest(stores, place, algorithm)
            others = (digest for digest in entry.digests if digest.algorithm != algorithm)
            entry = entry._replace(digests=(told, *others))
        _print([_json(place, entry)] if as_json else _block(place, entry))

    return _each(places, one)


def tell(error: TransferError) -> None:
    """One line on standard error: what failed, and what to do."""
    remedy = f"; {error.remedy}" if error.remedy else ""
    text = " ".join(f"{error.what}{remedy} [{error.code}]".splitlines())
    print(f"wf-transfer: {printable(redact(text))}", file=sys.stderr)


def _each(places: Sequence[Location], one: Callable[[Location, Failed], None]) -> Exit:
    """Does `one` for each place and tells what failed; returns the exit code."""
    failures: list[tuple[Location, TransferError]] = []

    def failed(place: Location, error: TransferError) -> None:
        sys.stdout.flush()
        tell(error)
        failures.append((place, error))

    for place in places:
        try:
            one(place, failed)
        except TransferError as error:
            failed(place, error)
    return exit_of(failures)


# --- questions


def _entries(stores: Stores, place: Location, recursive: bool, failed: Failed) -> list[Entry]:
    """What is in a folder, or the one file of this name. Folders inside that cannot be listed go to `failed`."""
    can = stores.capability(place)
    if names_a_folder(place):
        return _folder(stores, place, recursive, failed)
    try:
        entry = stores.store(place).stat(place)
    except NotFound:
        # Where a folder is no object of its own, only the listing can tell.
        found = _folder(stores, place, recursive, failed) if can.list and not can.folders else []
        if found:
            return found
        raise
    return _folder(stores, place, recursive, failed) if entry.is_directory else [entry]


def _folder(stores: Stores, place: Location, recursive: bool, failed: Failed) -> list[Entry]:
    if recursive:
        return sorted(walk(stores, place, failed), key=_path)
    return sorted(stores.store(place).list(place, recursive=False), key=_path)


def _path(entry: Entry) -> str:
    return entry.path


def _stat(stores: Stores, place: Location) -> Entry:
    if not stores.capability(place).stat:
        raise Unsupported(f"{place.scheme}: cannot tell what is at {place.shown}", end=End.SOURCE)
    return stores.store(place).stat(place)


def _digest(stores: Stores, place: Location, algorithm: str) -> Digest:
    found = stores.store(place).digest(place, algorithm)
    if found is None:
        remedy = (
            f"wf-checksum -a {algorithm} computes it"
            if place.is_local
            else f"copy it with wf-transfer cp and compute it with wf-checksum -a {algorithm}"
        )
        who = "no service computes" if place.is_local else "its service does not tell"
        raise Unsupported(f"{place.shown}: {who} a {algorithm}", remedy=remedy)
    return found


# --- lines


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


def _name(place: Location, entry: Entry) -> str:
    if not entry.path:
        return display_url(place)
    return printable(decoded(entry.path, place.scheme)) + ("/" if entry.is_directory else "")


def _line(place: Location, entry: Entry, long: bool) -> str:
    if not long:
        return _name(place, entry)
    size = "-" if entry.size is None else str(entry.size)
    return f"{size:>15}  {_time(entry):<20}  {_name(place, entry)}"


def _time(entry: Entry) -> str:
    """`2026-11-22T07:52:07Z`, or `-`."""
    return "-" if entry.modified is None else f"{timestamp(entry.modified).partition('.')[0]}Z"


def _kind(place: Location, entry: Entry) -> str:
    if entry.is_directory:
        return "folder"
    # Links, FIFOs and devices have no size; a service may keep that of a file to itself.
    if not place.is_local or entry.size is not None:
        return "file"
    return "link" if entry.path and os.path.islink(place.below(entry.path).path) else "other"


def _block(place: Location, entry: Entry) -> list[str]:
    facts = [("type", _kind(place, entry))]
    if not entry.is_directory:
        facts.append(("size", "not told" if entry.size is None else f"{entry.size} bytes"))
    if entry.version is not None:
        facts.append(("version", printable(entry.version)))
    if entry.modified is not None:
        facts.append(("modified", _time(entry)))
    facts += [(digest.algorithm, digest.hex) for digest in entry.digests]
    return [display_url(place), *(f"  {name:<9} {value}" for name, value in facts)]


def _json(place: Location, entry: Entry) -> str:
    import json

    return json.dumps(
        {
            "url": exact_url(place.below(entry.path) if entry.path else place),
            "path": decoded(entry.path, place.scheme),
            "type": _kind(place, entry),
            "size": entry.size,
            "version": entry.version,
            "modified": None if entry.modified is None else timestamp(entry.modified),
            "digests": {digest.algorithm: digest.hex for digest in entry.digests},
        }
    )
