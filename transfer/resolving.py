"""Logical names become the places where the bytes are, before the first attempt at a request.

From then on limits, cooling and fail-over are those of the places. What the catalogue says of size and digest is an expectation
where the batch has none.
"""

from __future__ import annotations

from ..protocols.capability import Shape
from ..protocols.errors import End, NotFound, TransferError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols.contract import Resolver
    from ..protocols.locations import Location
    from ..protocols.values import Resolved
    from .planning import Plan
    from .work import Work, Worker


def logical_end(work: Work, plan: Plan) -> tuple[Location, End] | None:
    """The end of the present attempt that has to be resolved first; None where both are places."""
    source = work.source
    if source is not None and _is_logical(source, plan):
        return source, End.SOURCE
    return (work.destination, End.DESTINATION) if _is_logical(work.destination, plan) else None


def resolve(work: Work, worker: Worker, location: Location, end: End) -> None:
    """Puts the places of `location` where it was among the replicas of its end. Raises what the resolver does."""
    resolver: Resolver = worker.store(location)  # type: ignore[assignment]
    try:
        found = resolver.resolve(location, "read" if end is End.SOURCE else "write")
        if not found:
            raise NotFound(f"nobody has {location.shown}", remedy="check the name")
    except TransferError as error:
        raise error.at(end, "resolve") from error.__cause__
    places = tuple(each.location for each in found)
    if end is End.SOURCE:
        _put_sources(work, places, found)
    else:
        _put_destinations(work, places)


def report_place(worker: Worker, place: Location, error: TransferError) -> None:
    """Tells the resolver that a place sends other bytes than it should, if it wants to know."""
    report = getattr(worker.store(place), "report", None)
    if report is not None:
        report(place, error)


def reconsidered(work: Work, worker: Worker) -> bool:
    """Whether another place comes first by now, since the resolver has learnt from other requests: it belongs into that lane."""
    source = work.source
    if source is None or not source.logical or work.attempts:
        return False
    ordered = getattr(worker.store(source), "ordered", None)
    if ordered is None:
        return False
    at = work.position.source
    last = at + 1
    while last < len(work.sources) and work.sources[last].logical == source.logical:
        last += 1
    places = ordered(work.sources[at:last])
    if places[0] == source:
        return False
    work.sources = (*work.sources[:at], *places, *work.sources[last:])
    work.position = work.position
    return True


def _is_logical(location: Location, plan: Plan) -> bool:
    if location.is_local or location.logical:
        return False
    capability = plan.registry.capability(location.scheme)
    return capability is not None and capability.offers(Shape.RESOLVER)


def _put_sources(work: Work, places: tuple[Location, ...], found: tuple[Resolved, ...]) -> None:
    position, index = work.position, work.position.source
    work.sources = (*work.sources[:index], *places, *work.sources[index + 1 :])
    work.position = position._replace(sources=position.sources.expanded(index, len(places)))
    work.told = {**(work.told or {}), **{each.location: each for each in found}}


def _put_destinations(work: Work, places: tuple[Location, ...]) -> None:
    position, index = work.position, work.position.destination
    work.destinations = (*work.destinations[:index], *places, *work.destinations[index + 1 :])
    work.position = position._replace(destinations=position.destinations.expanded(index, len(places)))
