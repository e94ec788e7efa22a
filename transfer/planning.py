"""From a batch to a plan: order, routes, digests and credentials, decided without touching any service.

`plan` is what a planner imports, what `--dry-run` prints and what `run` executes. It is pure: the same batch, settings
and seed give the same plan anywhere.
"""

from __future__ import annotations

import posixpath

from ..checksum.digest import sha256_of
from ..checksum.records import NamedTuple
from ..protocols.errors import LocalRefused, TransferError
from ..protocols.registry import Registry, why_unusable
from .requests import MakeDirectory, Transfer
from .routes import Decision, Route, decide
from .settings import Evidence, Existing, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from ..protocols.capability import Capability
    from ..protocols.locations import Location
    from .requests import Batch, Request

_POLICIES: Final = {policy.value: policy for policy in Existing}
PHASES = 3
"""Directories, transfers, removes."""


class Plan(NamedTuple):
    """A batch with all that was decided about it. Per-request decisions are made again on demand, not stored."""

    batch: Batch
    settings: Settings
    registry: Registry
    after: Mapping[int, tuple[int, ...]]
    """Request number -> numbers that must have succeeded before."""
    behind: Mapping[int, tuple[int, ...]]
    """Request number -> numbers it is queued behind, because they write one destination."""
    phases: Mapping[int, int]
    """Phases of requests with `after`, where they differ from their type's."""

    @property
    def requests(self) -> tuple[Request, ...]:
        return self.batch.requests

    def phase(self, request: Request) -> int:
        """0, 1 or 2: a request without `after` starts when all of the lower phases have ended."""
        found = self.phases.get(request.number) if self.phases else None
        return natural_phase(request) if found is None else found


class Explanation(NamedTuple):
    """What would be done for one request, for people and for planners."""

    request: Request
    source: Location | None
    destination: Location
    decision: Decision | None
    digest: str
    """How the copy will be checked."""
    protocols: tuple[str, ...]
    """Source first."""
    alternatives: tuple[str, ...]
    """The further sources and destinations in the order they would be tried."""
    problem: TransferError | None = None
    """The request cannot start; nothing else is filled in."""

    def __str__(self) -> str:
        from .explanation import as_text

        return as_text(self)


def plan(batch: Batch, settings: Settings | None = None, *, registry: Registry | None = None) -> Plan:
    """The plan of a batch. Raises ValueError if it is numbered wrongly, or `after` is cyclic or points nowhere."""
    if any(request.number != number for number, request in enumerate(batch.requests)):
        raise ValueError("requests must be numbered by their position, from 0")
    after = {request.number: request.after for request in batch.requests if request.after}
    order = _topological(batch.requests, after) if after else batch.requests
    behind = _behind(order)
    return Plan(
        batch,
        settings or Settings(),
        registry or Registry(),
        after,
        behind,
        _phases(order, after, behind) if after else {},
    )


def place_of(location: Location, folder: str = "") -> str:
    """One spelling for all spellings of a place, as far as that can be known without asking anybody.

    Relative local paths are taken from `folder`; without one they stay relative.
    """
    if not location.is_local:
        return f"{location.scheme}://{location.endpoint}/{location.path.strip('/')}"
    path = location.path
    if path.startswith("/") and not ("//" in path or "/." in path or path.endswith("/")):
        return path  # spelled like that already, as most are
    normal = posixpath.normpath(path if path.startswith("/") else posixpath.join(folder, path))
    # POSIX lets two leading slashes be special, and normpath keeps them. On Linux they are one.
    return "/" + normal.lstrip("/") if normal.startswith("/") else normal


def natural_phase(request: Request) -> int:
    if isinstance(request, Transfer):
        return 1
    return 0 if isinstance(request, MakeDirectory) else 2


def ranked(locations: tuple[Location, ...], lfn: str, seed: str) -> tuple[Location, ...]:
    """The locations, highest priority first.

    A missing priority is a number from 1 to 100, drawn from a hash of name, URL and seed; ties are ordered by
    the same hash. So the order can be shown beforehand, and load still spreads.
    """
    if len(locations) == 1:
        return locations

    def key(location: Location) -> tuple[int, bytes]:
        text = f"{lfn}\0{location.url}\0{seed}"
        draw = sha256_of(text.encode("utf-8", "surrogatepass"))
        priority = 1 + draw[0] * 100 // 256 if location.priority is None else location.priority
        return (-priority, draw)

    return tuple(sorted(locations, key=key))


def obstacle(plan: Plan, request: Request, location: Location) -> TransferError | None:
    """Why this end of the request cannot be used, known without asking any service."""
    if location.problem:
        from ..credentials.redaction import printable

        return LocalRefused(
            f"{location.shown}: {printable(location.problem)}",
            remedy="set the variable for the job, or write the path out"
            if location.problem.startswith("$")
            else "correct the .meta files, or state the checksum in the batch",
        )
    return why_unusable(plan.registry, location.scheme)


def existing_policy(settings: Settings, destination_can: Capability) -> Existing:
    return settings.existing or _POLICIES[destination_can.existing]


def capability_of(plan: Plan, location: Location) -> Capability:
    """The protocol of a location that has no `obstacle`."""
    capability = plan.registry.capability(location.scheme)
    assert capability is not None, location.scheme
    return capability


def decision(plan: Plan, transfer: Transfer, source: Location, destination: Location) -> Decision:
    """The route between two ends that have no `obstacle`."""
    return decide(
        transfer,
        source,
        destination,
        capability_of(plan, source),
        capability_of(plan, destination),
        plan.settings,
    )


def explain(plan: Plan, request: Request) -> Explanation:
    """What would be done for `request`, as `--dry-run` prints it."""
    if not isinstance(request, Transfer):
        problem = obstacle(plan, request, request.target)
        return Explanation(
            request, None, request.target, None, "", _protocols(plan, request.target), (), problem
        )
    sources = ranked(request.sources, request.lfn, plan.settings.seed)
    destinations = ranked(request.destinations, request.lfn, plan.settings.seed)
    usable = [end for end in sources if obstacle(plan, request, end) is None]
    reachable = [end for end in destinations if obstacle(plan, request, end) is None]
    if not usable or not reachable:
        blamed = sources[0] if not usable else destinations[0]
        problem = obstacle(plan, request, blamed)
        return Explanation(request, sources[0], destinations[0], None, "", (), (), problem)
    source, destination = usable[0], reachable[0]
    chosen = decision(plan, request, source, destination)
    others = tuple(end.url for end in (*sources, *destinations) if end not in (source, destination))
    return Explanation(
        request,
        source,
        destination,
        chosen,
        digest_strategy(plan, request, chosen.route, destination),
        _protocols(plan, source, destination),
        others,
    )


def digest_strategy(plan: Plan, transfer: Transfer, route: Route, destination: Location) -> str:
    """How the bytes are checked on this route, in words."""
    expected = (
        f"the expected {transfer.expected.algorithm}"
        if transfer.expected
        else "what the source tells, if it does"
    )
    if route is Route.LINK:
        text = f"source compared with {expected}" if plan.settings.verify_links else "size compared"
    elif route is Route.MOVE:
        text = f"source compared with {expected}" if transfer.expected else "size compared"
    elif route is Route.THIRD_PARTY:
        text = "sizes and digests that the service reports"
    elif route is Route.MANAGED:
        text = "the service compares the checksums of both ends"
        text += f", and {expected}" if transfer.expected else ""
    else:
        text = f"sha256 while the bytes move, compared before publishing with {expected}"
    if transfer.verify_remote or plan.settings.require_evidence is not Evidence.NONE:
        can = capability_of(plan, destination)
        text += "; then the stored copy, " + ("by server digest" if can.digest else "read back")
    return text


def _protocols(plan: Plan, *locations: Location) -> tuple[str, ...]:
    found = (plan.registry.capability(location.scheme) for location in locations)
    return tuple(capability.protocol for capability in found if capability is not None)


def _behind(order: Sequence[Request]) -> dict[int, tuple[int, ...]]:
    """Chains the transfers that may write the same destination."""
    # Hashes, because the places of a million files would be as large as the batch; two that are equal by chance only
    # make one transfer wait for another.
    written = [request for request in order if isinstance(request, Transfer)]
    places = memoryview(bytearray(8 * sum([len(request.destinations) for request in written]))).cast("q")
    index = 0
    for request in written:
        for destination in request.destinations:
            places[index] = hash(place_of(destination))
            index += 1
    twice = repeated(places)
    last: dict[int, int] = {}
    chained: dict[int, tuple[int, ...]] = {}
    following = iter(places)
    for request in written if twice else ():
        # As many places as it has destinations: `zip` takes of the second only what goes with one of the first.
        for _, place in zip(request.destinations, following, strict=False):
            if place not in twice:
                continue
            before = last.get(place)
            if before is not None and before != request.number:
                chained[request.number] = (*chained.get(request.number, ()), before)
            last[place] = request.number
    return chained


def repeated(values: Sequence[int]) -> set[int]:
    """The values that occur more than once. A set of all of them would be an eighth of the batch."""
    mask = (8 << len(values).bit_length()) - 1
    marked = bytearray(mask + 1)
    doubtful: set[int] = set()
    for value in values:
        mark = value & mask
        if marked[mark]:
            doubtful.add(mark)
        marked[mark] = 1
    once: set[int] = set()
    twice: set[int] = set()
    for value in values if doubtful else ():
        if value & mask in doubtful:
            (twice if value in once else once).add(value)
    return twice


def _topological(requests: Sequence[Request], after: Mapping[int, tuple[int, ...]]) -> list[Request]:
    """The requests with every one behind those it comes `after`, otherwise in their order."""
    by_number = {request.number: request for request in requests}
    unknown = {number for numbers in after.values() for number in numbers} - by_number.keys()
    if unknown:
        raise ValueError(f"after refers to requests that do not exist: {sorted(unknown)}")
    waiting = {number: len(set(numbers)) for number, numbers in after.items()}
    dependents: dict[int, list[int]] = {}
    for number, numbers in after.items():
        for before in set(numbers):
            dependents.setdefault(before, []).append(number)
    ready = [request.number for request in requests if request.number not in waiting]
    order: list[Request] = []
    for number in ready:  # grows while it is walked
        order.append(by_number[number])
        for dependent in dependents.get(number, ()):
            waiting[dependent] -= 1
            if not waiting[dependent]:
                ready.append(dependent)
    if len(order) != len(requests):
        cyclic = sorted(number for number, left in waiting.items() if left)
        raise ValueError(f"after is cyclic among requests {cyclic}")
    return order


def _phases(
    order: Sequence[Request], after: Mapping[int, tuple[int, ...]], behind: Mapping[int, tuple[int, ...]]
) -> dict[int, int]:
    """Effective phases: a request is never in a lower phase than one it waits for, else both could wait for ever."""
    phases: dict[int, int] = {}
    natural = {request.number: natural_phase(request) for request in order}
    for request in order:
        own = natural[request.number]
        waits_for = (*after.get(request.number, ()), *behind.get(request.number, ()))
        highest = max((phases.get(number, natural[number]) for number in waits_for), default=own)
        if highest > own:
            phases[request.number] = highest
    return phases
