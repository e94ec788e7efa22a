"""What the catalogue of a zone knows of a path: replicas and their states, collections and what is in them.

Each object has one or more replicas, and each replica a status: `1` is good. A copy that broke off stays as a replica that is
stale (`0`), which the server would hand out like any other, and so nothing is read of an object without a good one.
"""

from __future__ import annotations

from ..checksum.records import NamedTuple
from .errors import NotFound, Stopped
from .irods_errors import UNKNOWN_COLLECTION, Refused
from .irods_messages import query_input, query_rows
from .irods_names import shown_path, split, zone_of
from .values import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ..checksum.digest import Digest
    from .irods_wire import Wire

GOOD: Final = "1"
_STATES: Final = {"0": "stale: a copy broke off, or another replica is newer", "2": "being written"}
_QUERY: Final = 702
_PAGE: Final = 500

_DATA_ID, _NAME, _NUMBER, _SIZE, _RESOURCE, _STATUS, _CHECKSUM, _MODIFIED = (
    401,
    403,
    404,
    407,
    409,
    413,
    415,
    420,
)
_COLLECTION_ID, _COLLECTION, _PARENT, _COLLECTION_MODIFIED = 500, 501, 502, 509
_ATTRIBUTE, _VALUE = 600, 601
"""Column numbers of GenQuery (rodsGenQueryNames.h)."""


class Replica(NamedTuple):
    id: str
    """Of the object; the same for all its replicas."""
    number: int
    size: int
    status: str
    checksum: str
    """As the catalogue spells it; empty if there is none."""
    modified: str
    resource: str

    @property
    def digests(self) -> tuple[Digest, ...]:
        return digests_of(self.checksum)

    @property
    def version(self) -> str:
        """Changes with every writing: each renews the time or the checksum."""
        return f"{self.id}.{self.size}.{self.modified}.{self.checksum}"

    def entry(self, path: str = "") -> Entry:
        return Entry(path, self.size, self.version, False, _seconds(self.modified), self.digests)


def digests_of(checksum: str) -> tuple[Digest, ...]:
    """None for a checksum of a kind that is not known here."""
    if not checksum:
        return ()
    from ..checksum.codecs import parse_irods

    try:
        return (parse_irods(checksum),)
    except ValueError:
        return ()


def _seconds(text: str) -> float | None:
    return float(text) if text.isdigit() else None


def _zone(wire: Wire, path: str) -> str:
    """What a query must name to be asked of another zone's catalogue."""
    zone = zone_of(path)
    return "" if zone == wire.zone else zone


def _rows(
    wire: Wire, columns: tuple[int, ...], conditions: dict[int, str], zone: str
) -> Iterator[tuple[str, ...]]:
    """The rows of a query, page by page. Raises Refused."""
    following = 0
    while True:
        try:
            message = query_input(columns, conditions, rows=_PAGE, next_page=following, zone=zone)
            _, answer = wire.call(_QUERY, message)
        except Refused as refused:
            if refused.absent:
                return
            raise
        rows, following = query_rows(answer, wire.quote)
        yield from rows
        if not following:
            return


def replicas(wire: Wire, path: str) -> list[Replica]:
    """Those of a data object; none if there is no such object, or nothing that this login may see. Raises Refused."""
    collection, name = split(path)
    columns = (_DATA_ID, _NUMBER, _SIZE, _STATUS, _CHECKSUM, _MODIFIED, _RESOURCE)
    conditions = {_COLLECTION: f"= '{collection}'", _NAME: f"= '{name}'"}
    found = (_replica(row) for row in _rows(wire, columns, conditions, _zone(wire, path)))
    return sorted(found, key=lambda each: each.number)


def _replica(row: tuple[str, ...]) -> Replica:
    identity, number, size, status, checksum, modified, resource = row
    return Replica(identity, int(number), int(size or 0), status, checksum, modified, resource)


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
    conditions = {_COLLECTION: f"= '{collection}'", _CHECKSUM: "<> ''"}
    found = _rows(wire, (_CHECKSUM,), conditions, _zone(wire, collection))
    return frozenset(digest.algorithm for (checksum,) in found for digest in digests_of(checksum))


def is_collection(wire: Wire, path: str) -> bool:
    """Raises Refused."""
    rows = list(_rows(wire, (_COLLECTION_ID,), {_COLLECTION: f"= '{path}'"}, _zone(wire, path)))
    return bool(rows) or (path.count("/") == 1 and path == f"/{wire.zone}")


def make_collection(wire: Wire, path: str) -> None:
    """With those above it. Raises Refused."""
    from .irods_messages import collection_input

    wire.call(681, collection_input(path, {"recursiveOpr": ""}))


def noted(wire: Wire, path: str, attribute: str) -> list[str]:
    """The values that the object's metadata has under that name. Raises Refused."""
    collection, name = split(path)
    conditions = {_COLLECTION: f"= '{collection}'", _NAME: f"= '{name}'", _ATTRIBUTE: f"= '{attribute}'"}
    return [value for (value,) in _rows(wire, (_VALUE,), conditions, _zone(wire, path))]


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
    columns = (_COLLECTION, _NAME, _DATA_ID, _NUMBER, _SIZE, _STATUS, _CHECKSUM, _MODIFIED, _RESOURCE)
    best: dict[tuple[str, str], Replica] = {}
    for condition in _places(path, recursive):
        for collection, name, *rest in _rows(wire, columns, {_COLLECTION: condition}, _zone(wire, path)):
            if not _is_in(collection, path):
                continue
            replica = _replica(tuple(rest))
            known = best.get((collection, name))
            if known is None or (known.status != GOOD and replica.status == GOOD):
                best[collection, name] = replica
    for (collection, name), replica in best.items():
        yield collection, name, replica


def _collections(wire: Wire, path: str, recursive: bool) -> Iterator[Entry]:
    for condition in _places(path, recursive):
        columns, conditions = (_COLLECTION, _COLLECTION_MODIFIED), {_PARENT: condition}
        for collection, modified in _rows(wire, columns, conditions, _zone(wire, path)):
            if _is_in(collection, path) and collection != path:
                relative = collection[len(path) :].lstrip("/")
                yield Entry(relative, None, None, True, _seconds(modified))


def _places(path: str, recursive: bool) -> tuple[str, ...]:
    """Conditions for the collection itself and all below it. A pattern may match more: `_` and `%` belong to names too."""
    own = f"= '{path}'"
    if not recursive:
        return (own,)
    pattern = path.replace("\\", "\\\\")
    return (own, f"like '{pattern}/%'")


def _is_in(collection: str, path: str) -> bool:
    return collection == path or collection.startswith(path if path.endswith("/") else f"{path}/")
