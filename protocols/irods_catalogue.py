"""What the catalogue of a zone knows of a path: replicas and their states, collections and what is in them.

Each object has one or more replicas, and each replica a status: `1` is good. A copy that broke off stays as a replica that is
stale (`0`), which the server would hand out like any other, and so nothing is read of an object without a good one.
"""

from __future__ import annotations

from contextlib import suppress

from ..checksum.records import NamedTuple
from .errors import NotFound, ServerFault, Stopped
from .irods_calls import library, rows
from .irods_errors import UNKNOWN_COLLECTION, Refused
from .irods_names import shown_path, split, zone_of
from .values import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from typing import Any, Final

    from ..checksum.digest import Digest
    from .irods_wire import Wire

GOOD: Final = "1"
_STATES: Final = {"0": "stale: a copy broke off, or another replica is newer", "2": "being written"}


class Replica(NamedTuple):
    id: str
    """Of the object; the same for all its replicas."""
    number: int
    size: int
    status: str
    checksum: str
    """As the catalogue spells it; empty if there is none."""
    modified: float | None
    resource: str

    @property
    def digests(self) -> tuple[Digest, ...]:
        return digests_of(self.checksum)

    @property
    def version(self) -> str:
        """Changes with every writing: each renews the time or the checksum."""
        modified = "" if self.modified is None else int(self.modified)
        return f"{self.id}.{self.size}.{modified}.{self.checksum}"

    def entry(self, path: str = "") -> Entry:
        return Entry(path, self.size, self.version, False, self.modified, self.digests)


def digests_of(checksum: str) -> tuple[Digest, ...]:
    """None for a checksum of a kind that is not known here."""
    if not checksum:
        return ()
    from ..checksum.codecs import parse_irods

    try:
        return (parse_irods(checksum),)
    except ValueError:
        return ()


def _seconds(value: datetime | str | None) -> float | None:
    """The library leaves what is no time as it was."""
    return None if value is None or isinstance(value, str) else value.timestamp()


def _zone(wire: Wire, path: str) -> str:
    """What a query must name to be asked of another zone's catalogue."""
    zone = zone_of(path)
    return "" if zone == wire.zone else zone


def _replica_columns() -> tuple[Any, ...]:
    from irods.models import DataObject as One  # type: ignore[import-untyped]

    return (
        One.id,
        One.replica_number,
        One.size,
        One.replica_status,
        One.checksum,
        One.modify_time,
        One.resource_name,
    )


def _named(path: str) -> tuple[object, object]:
    """The condition for a data object's name."""
    from irods.models import Collection, DataObject

    collection, name = split(path)
    return Collection.name == collection, DataObject.name == name


def replicas(wire: Wire, path: str) -> list[Replica]:
    """Those of a data object; none if there is no such object, or nothing that this login may see. Raises Refused."""
    found = rows(wire, _replica_columns(), *_named(path), zone=_zone(wire, path))
    return sorted((_replica(row) for row in found), key=lambda each: each.number)


def _replica(row: tuple[Any, ...]) -> Replica:
    identity, number, size, status, checksum, modified, resource = row
    size = size or 0
    if not (isinstance(number, int) and isinstance(size, int)):
        raise ServerFault(f"the catalogue says {number!r:.50} and {size!r:.50} where numbers are due")
    return Replica(
        str(identity), number, size, status or "", checksum or "", _seconds(modified), resource or ""
    )


def good_replica(found: list[Replica], what: str, host: str, resource: str = "") -> Replica:
    """A good one, on `resource` if there is one. Raises NotFound where all are stale or being written."""
    good = [each for each in found if each.status == GOOD]
    if good:
        return next((each for each in good if each.resource == resource), good[0])
    states = ", ".join(dict.fromkeys(each.status for each in found))
    why = _STATES.get(found[0].status, "locked by another client")
    raise NotFound(
        f"{what}: it has no good replica (status {states}: {why})",
        host=host,
        remedy="wait for whoever writes it, or have it written anew: what is there is not whole",
    )


def sums_in(wire: Wire, collection: str) -> frozenset[str]:
    """The algorithms of the checksums in a collection: those that the zone computes. Raises Refused."""
    from irods.models import Collection, DataObject

    conditions = Collection.name == collection, DataObject.checksum != ""
    found = rows(wire, (DataObject.checksum,), *conditions, zone=_zone(wire, collection))
    return frozenset(digest.algorithm for (checksum,) in found for digest in digests_of(checksum or ""))


def is_collection(wire: Wire, path: str) -> bool:
    """Raises Refused. To a ticket a collection may show only together with the objects in it."""
    from irods.models import Collection, DataObject

    condition, zone = Collection.name == path, _zone(wire, path)
    if path == f"/{wire.zone}" or any(rows(wire, (Collection.id,), condition, zone=zone)):
        return True
    return wire.with_ticket and any(rows(wire, (Collection.id,), condition, DataObject.id != 0, zone=zone))


def make_collection(wire: Wire, path: str) -> None:
    """With those above it. Raises Refused."""
    from irods.exception import CollectionDoesNotExist  # type: ignore[import-untyped]

    # It is looked for afterwards, but in the login's own zone only.
    with library(wire) as calls, suppress(CollectionDoesNotExist):
        calls.collections.create(path, recurse=True)


def noted(wire: Wire, path: str, attribute: str) -> list[str]:
    """The values that the object's metadata has under that name. Raises Refused."""
    from irods.models import DataObjectMeta

    conditions = (*_named(path), DataObjectMeta.name == attribute)
    found = rows(wire, (DataObjectMeta.value,), *conditions, zone=_zone(wire, path))
    return [value or "" for (value,) in found]


def absent(wire: Wire, what: str, path: str, *, refused: Refused | None = None) -> NotFound:
    """The error for a name that is not there, with what may explain it: another zone, or a ticket."""
    from .irods_errors import told

    why = told(refused) if refused is not None else "there is no such name in the catalogue"
    remedy = ""
    if zone_of(path) != wire.zone:
        remedy = (
            f"the zone of this login is {wire.zone}, the path says {shown_path(zone_of(path))}: check both"
        )
    elif refused is not None and refused.base == UNKNOWN_COLLECTION:
        remedy = "check the collection"
    elif wire.with_ticket:
        remedy = (
            "check the path, and that the ticket is for it: what a ticket is not for cannot be seen with it"
        )
    return NotFound(f"{what}: {why}", host=wire.host, remedy=remedy)


def other_zone(wire: Wire, path: str) -> str:
    """What to do about a path that was refused and is not of the login's own zone."""
    return f"the zone of this login is {wire.zone}, the path says {shown_path(zone_of(path))}: check both"


# --- listing


def entries(wire: Wire, path: str, recursive: bool) -> Iterator[Entry]:
    """What is in the collection, or with `recursive` below it. An object without a good replica has no size."""
    yield from _collections(wire, path, recursive)
    seen = ""
    for collection, name, replica in _objects(wire, path, recursive):
        if wire.context.stop.is_set():
            raise Stopped(f"cannot list {shown_path(path)} to its end: the run was stopped")
        whole = f"{collection[len(path) :].lstrip('/')}/{name}".lstrip("/")
        if whole != seen:
            seen = whole
            yield replica.entry(whole) if replica.status == GOOD else Entry(whole, None)


def _objects(wire: Wire, path: str, recursive: bool) -> Iterator[tuple[str, str, Replica]]:
    """One for each object, a good replica if there is one."""
    from irods.models import Collection, DataObject

    columns = (Collection.name, DataObject.name, *_replica_columns())
    best: dict[tuple[str, str], Replica] = {}
    for condition in _places(Collection.name, path, recursive):
        for collection, name, *rest in rows(wire, columns, condition, zone=_zone(wire, path)):
            if not _is_in(collection, path):
                continue
            replica = _replica(tuple(rest))
            known = best.get((collection, name))
            if known is None or (known.status != GOOD and replica.status == GOOD):
                best[collection, name] = replica
    for (collection, name), replica in best.items():
        yield collection, name, replica


def _collections(wire: Wire, path: str, recursive: bool) -> Iterator[Entry]:
    from irods.models import Collection

    columns = (Collection.name, Collection.modify_time)
    for condition in _places(Collection.parent_name, path, recursive):
        for collection, modified in rows(wire, columns, condition, zone=_zone(wire, path)):
            if _is_in(collection, path) and collection != path:
                relative = collection[len(path) :].lstrip("/")
                yield Entry(relative, None, None, True, _seconds(modified))


def _places(column: Any, path: str, recursive: bool) -> tuple[object, ...]:
    """Conditions for the collection itself and all below it. A pattern may match more: `_` and `%` belong to names too."""
    from irods.column import Like  # type: ignore[import-untyped]

    if not recursive:
        return (column == path,)
    pattern = path.replace("\\", "\\\\")
    return (column == path, Like(column, f"{pattern}/%"))


def _is_in(collection: str, path: str) -> bool:
    return collection == path or collection.startswith(path if path.endswith("/") else f"{path}/")
