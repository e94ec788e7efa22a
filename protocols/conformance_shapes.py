"""The obligations of resolvers and of services with managed tasks, as tests."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, cast

from .capability import Shape
from .conformance_tools import GUARD, Suite, check_receipt, content, drained, refused, written
from .errors import NotFound, TransferError
from .values import Group, Item, Receipt

if TYPE_CHECKING:
    from .capability import Capability
    from .contract import Resolver, Service, Store
    from .locations import Location

_LONGEST_PAUSE = 0.2
"""Seconds that the suite waits at most between two questions: the services under test are near."""


class ResolverConformance(Suite):
    """A logical name is a location of `place`."""

    def test_a_name_is_resolved_to_places_that_can_be_read(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.offers(Shape.RESOLVER):
            assert not hasattr(store, "resolve")
            return
        name, data = place.below("logical"), content(70_000)
        self.put(store, name, data)
        found = cast("Resolver", store).resolve(name, "read")
        assert found
        for each in found:
            assert each.location.logical == name.url
            assert each.size in (None, len(data))
        assert drained(store.open_read(found[0].location)) == data

    def test_a_name_is_resolved_to_a_place_that_can_be_written(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        if capability.offers(Shape.RESOLVER) and capability.write:
            name = place.below("new")
            first = cast("Resolver", store).resolve(name, "write")[0]
            written(store, first.location, b"content")
            assert self.get(store, name) == b"content"

    def test_a_name_that_nobody_knows_is_not_found(
        self, store: Store, capability: Capability, place: Location
    ) -> None:
        """By the resolver, or by the place that it names."""
        if capability.offers(Shape.RESOLVER):
            resolver = cast("Resolver", store)
            refused(
                lambda: drained(store.open_read(resolver.resolve(place.below("absent"), "read")[0].location)),
                NotFound,
            )


class ServiceConformance(Suite):
    """Copies between two names in `place`, as one managed task."""

    def test_a_task_copies_all_of_its_items(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.offers(Shape.SERVICE):
            assert not hasattr(store, "submit")
            return
        data = [content(1000 + number) for number in range(5)]
        for number, each in enumerate(data):
            self.put(store, place.below(f"from-{number}"), each)
        group = _copies(place, len(data))
        results = _done(cast("Service", store), cast("Service", other_store), group)
        assert sorted(results) == list(range(len(data)))
        for number, each in enumerate(data):
            receipt = results[number]
            assert isinstance(receipt, Receipt), receipt
            check_receipt(receipt, each)
            assert self.get(store, place.below(f"to-{number}")) == each

    def test_an_absent_source_fails_alone(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.offers(Shape.SERVICE):
            return
        self.put(store, place.below("from-0"), b"zero")
        self.put(store, place.below("from-2"), b"two")
        results = _done(cast("Service", store), cast("Service", other_store), _copies(place, 3))
        assert isinstance(results[1], NotFound), results[1]
        if all(isinstance(results[number], Receipt) for number in (0, 2)):
            assert self.get(store, place.below("to-2")) == b"two"
        else:  # the service gave the whole task up: then those may be tried again, and say so
            errors = [each for each in results.values() if isinstance(each, TransferError)]
            assert all(error.later for error in errors if not isinstance(error, NotFound))

    def test_one_submission_is_one_task(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.offers(Shape.SERVICE):
            return
        self.put(store, place.below("from-0"), b"zero")
        group, service, later = _copies(place, 1), cast("Service", store), cast("Service", other_store)
        submission = service.prepare(group)
        assert service.submit(group, submission) == later.submit(group, submission)

    def test_a_task_removes_and_what_is_absent_is_success(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.offers(Shape.SERVICE) or not capability.remove:
            return
        self.put(store, place.below("old"), b"content")
        items = tuple(Item(None, place.below(name)) for name in ("old", "never-there"))
        group = Group(items, _mark(items))
        results = _done(cast("Service", store), cast("Service", other_store), group)
        assert all(isinstance(result, Receipt) for result in results.values()), results
        assert self.get(store, place.below("old")) is None

    def test_a_task_that_is_over_can_be_cancelled(
        self, store: Store, other_store: Store, capability: Capability, place: Location
    ) -> None:
        if not capability.offers(Shape.SERVICE):
            return
        self.put(store, place.below("from-0"), b"zero")
        group, service = _copies(place, 1), cast("Service", store)
        _done(service, cast("Service", other_store), group)
        handle = service.submit(group, service.prepare(group))
        service.cancel(group, handle)
        service.cancel(group, handle)


def _copies(place: Location, count: int) -> Group:
    items = tuple(Item(place.below(f"from-{n}"), place.below(f"to-{n}")) for n in range(count))
    return Group(items, _mark(items))


def _mark(items: tuple[Item, ...]) -> str:
    text = "\0".join(f"{item.source and item.source.url} {item.destination.url}" for item in items)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _done(service: Service, other: Service, group: Group) -> dict[int, Receipt | TransferError]:
    """What became of each item. Two workers' stores ask in turn."""
    assert {service.group(item) for item in group.items} == {service.group(group.items[0])}
    handle = service.submit(group, service.prepare(group))
    results: dict[int, Receipt | TransferError] = {}
    until = time.monotonic() + GUARD
    while time.monotonic() < until:
        service, other = other, service
        progress = service.poll(group, handle)
        for index, result in progress.results:
            results.setdefault(index, result)
        if progress.again is None:
            return results
        time.sleep(min(progress.again, _LONGEST_PAUSE))
    raise AssertionError(f"the task was not over after {GUARD:g} s")
