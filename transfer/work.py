"""The mutable state of requests in progress: what one worker holds, and what one request carries between attempts."""

from __future__ import annotations

from ..checksum.records import NamedTuple
from ..protocols.registry import make_store
from .planning import capability_of, existing_policy, ranked
from .pump import Meter
from .requests import Transfer
from .retries import first_position

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol, TypeAlias

    from ..checksum.digest import Digest
    from ..protocols.capability import Capability
    from ..protocols.context import Context
    from ..protocols.contract import Store, Writer
    from ..protocols.errors import TransferError
    from ..protocols.locations import Location
    from ..protocols.values import Entry, Group, Resolved, Token, Traits
    from .journal import Journal
    from .outcomes import Attempt
    from .overlapping_parts import SpoolParts
    from .parting import Parting
    from .planning import Plan
    from .pump import Limits
    from .requests import Request
    from .retries import Position
    from .routes import Route
    from .settings import Evidence, Existing
    from .unanswered import Unanswered

    SharedFile: TypeAlias = Parting | SpoolParts
    """A large file that one worker has begun and others may help with."""

    class Crew(Protocol):
        """The other workers, as one of them sees them."""

        def invite(self, key: tuple[str, str], shared: SharedFile) -> None: ...
        def answered(self, key: tuple[str, str]) -> object: ...


class Spool(NamedTuple):
    """A finished first leg: the bytes are on this machine, verified."""

    location: Location
    size: int
    digests: tuple[Digest, ...]
    checked: bool
    seconds: float = 0.0
    """That it took."""


class Copied(NamedTuple):
    """A successful attempt."""

    route: Route | None
    bytes: int
    digests: tuple[Digest, ...] = ()
    evidence: Evidence | None = None
    checked: bool = False
    check_seconds: float = 0.0
    note: str = ""


class OnTheWay(NamedTuple):
    """An attempt whose bytes are all on the way: the destination has not said yet what became of them."""

    writer: Writer
    bytes: int
    digests: tuple[Digest, ...]
    checked: bool
    began: float
    """Seconds since 1970."""


class Again(NamedTuple):
    """An attempt that is not over: go on with the same request after `seconds`."""

    seconds: float = 0.0


class Ends(NamedTuple):
    """What holds for all transfers between two schemes."""

    source: Capability
    destination: Capability
    trees: bool
    """One end can stand for a whole folder."""
    existing: Existing


class Unfinished(NamedTuple):
    """Parts that an earlier attempt or run left. `copy` is `resuming.token_of`; the parts with these `marks` are known to be right."""

    copy: str
    token: Token
    marks: frozenset[str]


class Handed(NamedTuple):
    """A worker's share of a file that others go on with: the last of them has the request now.

    `aside` is the error for which this worker left.
    """

    aside: TransferError | None = None


class Work:
    """One request from its first attempt to its outcome. Only the worker that holds it touches it.

    What most requests never need stays a default of the class: there is one of these for each of a million small files.
    """

    # Plain attributes, as they are asked for a dozen times a request; `position` and `spool` keep them right.
    destination: Location
    """Of the present attempt."""
    replica: Location | None
    """Where the present attempt began to read; None for mkdir and remove."""
    source: Location | None
    """The same, but the spool file once there is one."""
    attempts: tuple[Attempt, ...] = ()
    handle = ""
    """Of a third-party copy under way."""
    copied = 0
    """Bytes that it has made, as far as it told after a step."""
    source_entry: Entry | None = None
    """What the source was when that copy began."""
    no_service_copy = False
    """The service refused to copy by itself."""
    stage = False
    """It turned out that the destination needs a spool file first."""
    ahead: tuple[Location, ...] = ()
    """What this worker will read from now on, this request's source first, if the source is to be told now."""
    announced = False
    """The source was told, or is told now, of this and others: their answers come one behind the other."""
    told_before = False
    """So how long the source takes to answer means nothing."""
    singly = False
    """It is not to be sent behind others: once that came to nothing."""
    once_more = False
    """Another process of this run had it, was killed, and may have done it."""
    crowded_out = 0
    """Attempts that a service refused while others of this run were there."""
    unfinished: Unfinished | None = None
    """Parts that the last attempt left for the next one."""
    whole = False
    """Going on from the middle came to nothing: from now on it is read from its beginning, in one stream."""
    traits: Traits | None = None
    """What the source told of itself, where that is to be kept (`keeping.py`)."""
    told: dict[Location, Resolved] | None = None
    """What a resolver said of the places it named."""
    _spool: Spool | None = None

    def __init__(self, request: Request, seed: str, began: float) -> None:
        self.request = request
        if isinstance(request, Transfer):
            self.sources = ranked(request.sources, request.lfn, seed)
            self.destinations = ranked(request.destinations, request.lfn, seed)
        else:
            self.sources = ()
            self.destinations = (request.target,)
        self.position = first_position(len(self.sources), len(self.destinations))
        self.began = began
        """Monotonic seconds."""

    @property
    def position(self) -> Position:
        """Where the tries are. Whoever changes the sources or destinations sets it afterwards."""
        return self._position

    @position.setter
    def position(self, position: Position) -> None:
        self._position = position
        self.destination = self.destinations[position.destination]
        self.replica = self.sources[position.source] if self.sources else None
        self.source = self.replica if self._spool is None else self._spool.location

    @property
    def spool(self) -> Spool | None:
        return self._spool

    @spool.setter
    def spool(self, spool: Spool | None) -> None:
        self._spool = spool
        self.source = self.replica if spool is None else spool.location

    def errors(self) -> tuple[TransferError, ...]:
        """The last one of each pair of ends: what was wrong there before is past."""
        last: dict[tuple[Location | None, Location | None], TransferError] = {}
        for attempt in self.attempts:
            ends = (attempt.source, attempt.destination)
            last.pop(ends, None)
            if attempt.error is not None:
                last[ends] = attempt.error
        return tuple(last.values())

    def told_of(self, source: Location) -> Resolved | None:
        """What a resolver said of this source."""
        return self.told.get(source) if self.told is not None else None


class Task:
    """Requests that a service does as one task of its own, from submission to end. Only the worker that holds it touches it."""

    __slots__ = (
        "began",
        "clock",
        "failures",
        "group",
        "handle",
        "key",
        "location",
        "moved",
        "submission",
        "works",
    )

    def __init__(
        self,
        works: Iterable[Work],
        group: Group,
        location: Location,
        key: tuple[str, str],
        began: float,
        clock: float,
    ) -> None:
        self.works: list[Work | None] = list(works)
        """By index of the item; None once it has its result."""
        self.group = group
        self.location = location
        """An end at the service, by which its store is found."""
        self.key = key
        """The lane of its steps."""
        self.began = began
        """Seconds since 1970."""
        self.clock = clock
        """Monotonic seconds."""
        self.submission = ""
        self.handle = ""
        """Empty until it has been submitted."""
        self.failures = 0
        """Steps in a row that failed."""
        self.moved = 0

    def left(self) -> list[Work]:
        """The requests that have no result yet."""
        return [work for work in self.works if work is not None]


class Worker:
    """What one thread owns: its stores, its buffers, its meter."""

    def __init__(
        self,
        plan: Plan,
        context: Context,
        limits: Limits,
        crew: Crew | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.plan = plan
        self.crew = crew
        self.journal = journal
        self.context = context
        self.limits = limits
        self.meter = Meter()
        context.moved = self._moved
        self.busy = False
        """In the middle of an attempt."""
        self.worked = 0.0
        """Seconds of processor time that the thread had used when the attempt began."""
        self.second: Worker | None = None
        """What the second leg of a staged transfer uses, in a thread of its own (`overlapping.py`)."""
        self.unanswered: Unanswered | None = None
        """What it has sent and was not told of yet, once there was any."""
        self._stores: dict[str, Store] = {}
        self._by_scheme: dict[str, tuple[Capability, Store]] = {}
        self._ends: dict[tuple[str, str], Ends] = {}

    def _moved(self, count: int) -> None:
        self.meter.moved = count

    def moved(self) -> int:
        """Bytes moved so far, repeated ones included."""
        both = self.meter.finished + self.meter.moved
        return both if self.second is None else both + self.second.moved()

    def store(self, location: Location) -> Store:
        """This worker's store for the scheme of `location`, made on first use."""
        found = self._by_scheme.get(location.scheme)
        if found is not None:
            return found[1]
        store = self._new_store(location)
        self._by_scheme[location.scheme] = (capability_of(self.plan, location), store)
        return store

    def ends(self, source: str, destination: str) -> Ends:
        """What holds for all transfers between two schemes that have no `obstacle`."""
        found = self._ends.get((source, destination))
        if found is None:
            here, there = (self.plan.registry.capability(scheme) for scheme in (source, destination))
            assert here is not None and there is not None, (source, destination)
            trees = any(one.trees and not one.local for one in (here, there))
            found = Ends(here, there, trees, existing_policy(self.plan.settings, there))
            self._ends[source, destination] = found
        return found

    def can(self, location: Location) -> Capability:
        """What the protocol of a location can do that has no `obstacle`."""
        found = self._by_scheme.get(location.scheme)
        return capability_of(self.plan, location) if found is None else found[0]

    def _new_store(self, location: Location) -> Store:
        """Schemes of one protocol have one store."""
        capability = capability_of(self.plan, location)
        store = self._stores.get(capability.protocol)
        if store is None:
            store = self._stores[capability.protocol] = make_store(capability, self.context)
        return store

    def disconnect(self, schemes: Sequence[str]) -> None:
        """Ends the connections of the stores that serve these schemes; they are made anew when they are needed."""
        if self.second is not None:
            self.second.disconnect(schemes)
        for one in schemes:
            found = self._by_scheme.get(one)
            if found is None:
                continue
            self._end(self._stores.pop(found[0].protocol))
            self._by_scheme = {
                scheme: pair for scheme, pair in self._by_scheme.items() if pair[1] is not found[1]
            }

    def disconnect_all(self) -> None:
        for store in self._stores.values():
            self._end(store)
        self._stores.clear()
        self._by_scheme.clear()

    def close(self) -> None:
        """Ends all connections. A store that breaks its word and raises is logged; the others are closed all the same."""
        if self.second is not None:
            self.second.close()
        self.disconnect_all()

    def _end(self, store: Store) -> None:
        try:
            store.close()
        except Exception as error:  # noqa: BLE001 - nothing may come of it after the work is done
            self.context.log.debug("closing a store: %s", type(error).__name__)
