"""The work of one run shared between processes of this machine, for batches that one Python process cannot do faster.

The parent keeps what there is one of: order, deadline, sinks, counters. It forks the children before any thread exists, so
they have the batch, and hands them numbers of requests, a few hundred at a time; each runs an engine of its own (`forked.py`)
and hands outcomes back. What is known of endpoints they share (`commons.py`), other limits are divided between them. What a killed
child had not reported is done by the others.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from ..protocols.capability import Shape
from .commons import Commons
from .forked import forked, processes_of
from .logs import Log
from .planning import capability_of, decision, obstacle
from .requests import Remove, Transfer, places_of
from .routes import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from ..protocols.locations import Location
    from .forked import Child
    from .outcomes import Outcome
    from .planning import Plan
    from .requests import Request
    from .surroundings import CredentialSource
    from .work import Work

IN_HAND: Final = 256
"""Requests that a child has at most: enough for all its workers, few enough for others to do again."""
_GIVEN: Final = 1024
"""Numbers in one write."""
_STRETCH: Final = 4096
"""Requests in a row that one child is meant to do, for their memory: reading an object changes it (its references are counted), and so
its page, of which the process then has a copy. Neighbours lie on the same pages."""


class Crew:
    """The children of one run, to the governing thread an engine: each of its workers tends one child."""

    def __init__(
        self,
        plan: Plan,
        credentials: CredentialSource | None,
        environment: Mapping[str, str] | None,
        stop: threading.Event,
    ) -> None:
        self.log = Log()
        self.why_stopped = "the run was stopped"
        self.finished: deque[Outcome] = deque()
        self.nudge = threading.Event()
        self.broken = False
        """A child's engine failed, or no child is left."""
        self._plan = plan
        self._stop = stop
        self._lock = threading.Lock()
        self._waiting: deque[int] = deque()
        self._twice: set[int] = set()
        """What a killed child had, and may have done without saying so."""
        self._over = False
        count = processes_of(plan.settings)
        self._all_alike = not any(_is_particular(plan, scheme, count) for scheme in _schemes_of(plan))
        """Any child may do any request, and none is for a task."""
        self._commons = Commons(count)
        self._children: list[Child] = []
        for index in range(count):
            child = forked(plan, index, credentials, environment, self._children, self._commons)
            self._children.append(child)
        self._untended = iter(tuple(self._children))
        self._left_to_tend = count

    @property
    def dispatcher(self) -> Crew:
        return self

    # --- what the governing thread asks of a dispatcher

    def feed(self, requests: Iterable[Request]) -> None:
        """Hands out requests that may start: large ones first where sizes are known, else in order."""
        requests = list(requests)
        if any(isinstance(request, Transfer) and request.size for request in requests):
            requests.sort(key=lambda request: getattr(request, "size", None) or 0, reverse=True)
        with self._lock:
            if self._all_alike:
                self._waiting.extend(request.number for request in requests)
            else:
                self._sort_out(requests)
            self._share_out()

    def wanted(self) -> int:
        """How many children nobody tends yet; each is named once."""
        count, self._left_to_tend = self._left_to_tend, 0
        return count

    def adapt(self, now: float, *, idle: bool) -> None:
        """Each child does that for itself."""

    def finish(self) -> None:
        """No request will come any more: the children go home, at once if the run was stopped."""
        with self._lock:
            self._over = True
            for child in self._children:
                child.end(stopped=self._stop.is_set())

    def give_up(self) -> tuple[dict[int, Work], dict[int, str]]:
        """Nothing is in progress here; the children end their own managed tasks."""
        return {}, {}

    # --- what it asks of an engine

    def work(self) -> None:
        """Tends one child until it has ended."""
        with self._lock:
            child = next(self._untended)
        try:
            while (message := child.receive()) is not None:
                self._take(child, *message)
            child.reap()  # it has closed its results, which is the last thing a process does
        except Exception as error:  # noqa: BLE001 - whatever it is, the child can be used no more
            self.log.defect("a process of this run", error)
        finally:
            self._bury(child)
            child.close()
            self.nudge.set()

    def moved(self) -> int:
        return sum(child.moved for child in self._children)

    def active(self) -> int:
        return sum(child.active for child in self._children)

    def close(self) -> None:
        """Ends the children that are left."""
        with self._lock:
            for child in self._children:
                child.kill()
            self._commons.close()
        for child in self._untended:
            child.close()

    def _take(self, child: Child, outcomes: list[tuple[int, Outcome]], moved: int, active: int) -> None:
        child.moved, child.active = moved, active
        for number, outcome in outcomes:
            self.finished.append(outcome._replace(request=self._plan.requests[number]))
        with self._lock:
            child.in_hand.difference_update(number for number, _ in outcomes)
            child.of_tasks.difference_update(number for number, _ in outcomes)
            self._share_out()
        if outcomes:
            self.nudge.set()

    def _bury(self, child: Child) -> None:
        """What the child had not finished goes to the others; if there are none, the run ends."""
        with self._lock:
            code = child.kill()
            self._commons.bury(self._children.index(child))
            tasks = sorted(child.of_tasks)
            unfinished = [*sorted(child.in_hand), *child.own]
            self._twice |= child.of_tasks | child.in_hand
            child.of_tasks.clear()
            child.in_hand.clear()
            child.own.clear()
            unfinished += child.stretch
            child.stretch.clear()
            if self._over and not unfinished and not tasks:
                self.broken = self.broken or code != 0
                return
            alive = any(other.alive for other in self._children)
            if not self._stop.is_set():
                self.log.warning("a process of this run ended (%s); others do what it had left", code)
            if alive:
                for number in reversed(unfinished):
                    self._queue_of(self._plan.requests[number]).appendleft(number)
                self._give_tasks(tasks)
                self._share_out()
            elif not self._stop.is_set():
                self.broken = True
                self.why_stopped = "all processes of this run ended"
                self._stop.set()

    def _share_out(self) -> None:
        """Fills the hands of the children, the emptiest first. The lock is held."""
        while True:
            fit = [each for each in self._children if each.alive and len(each.in_hand) < IN_HAND]
            fit = [each for each in fit if self._has_for(each)]
            if not fit:
                return
            child = min(fit, key=lambda each: len(each.in_hand))
            queue = child.own or self._stretch_of(child, len(fit))
            share = max(1, min(len(queue) // 2, IN_HAND - len(child.in_hand)))
            child.give([queue.popleft() for _ in range(share)], self._twice)

    def _has_for(self, child: Child) -> bool:
        return bool(child.own or self._waiting or any(each.stretch for each in self._children))

    def _stretch_of(self, child: Child, others: int) -> deque[int]:
        """What the child is to do next: the rest of its stretch, the next one, or the latter half of the longest that another has."""
        if child.stretch:
            return child.stretch
        queue = self._waiting
        share = min(_STRETCH, -(-len(queue) // (2 * others)))
        if not share:
            queue = max((each.stretch for each in self._children), key=len)
            queue.rotate(share := -(-len(queue) // 2))
        child.stretch.extend(queue.popleft() for _ in range(share))
        return child.stretch

    def _sort_out(self, requests: list[Request]) -> None:
        tasks: list[int] = []
        for request in requests:
            (tasks if self._is_for_a_task(request) else self._queue_of(request)).append(request.number)
        self._give_tasks(tasks)

    def _is_for_a_task(self, request: Request) -> bool:
        """A service will do it as one item of a task with many."""
        if isinstance(request, Transfer):
            ends = (request.sources[0], request.destinations[0])
        else:
            ends = (request.target, request.target)
        if any(obstacle(self._plan, request, end) is not None for end in ends):
            return False
        if isinstance(request, Transfer):
            return decision(self._plan, request, *ends).route is Route.MANAGED
        return isinstance(request, Remove) and capability_of(self._plan, request.target).offers(Shape.SERVICE)

    def _give_tasks(self, numbers: list[int]) -> None:
        """All to one child, at once: only what one process has can be one task, and the first has the journal."""
        child = next((each for each in self._children if each.alive), None)
        if child is None or not numbers:
            return
        for begin in range(0, len(numbers), _GIVEN):
            child.give_task(numbers[begin : begin + _GIVEN], self._twice)

    def _queue_of(self, request: Request) -> deque[int]:
        """Where it waits: with one child where an endpoint bears fewer connections than there are children, since each that has been
        there keeps one; else for any. So many of those that are left share what such an endpoint gets. The lock is held."""
        if self._all_alike:
            return self._waiting
        count = len(self._children)
        most = min((self._bears(end) for end in places_of(request)), default=count)
        if most >= count:
            return self._waiting
        left = [each for each in self._children if each.alive][:most]
        if not left:
            return self._waiting
        return min(left, key=lambda each: len(each.own) + len(each.in_hand)).own

    def _bears(self, location: Location) -> int:
        capability = None if location.is_local else self._plan.registry.capability(location.scheme)
        return len(self._children) if capability is None else capability.connections_most


def _schemes_of(plan: Plan) -> set[str]:
    return {end.scheme for request in plan.requests for end in places_of(request)}


def _is_particular(plan: Plan, scheme: str, processes: int) -> bool:
    """Requests there are not for any child."""
    capability = plan.registry.capability(scheme)
    if capability is None or capability.local:
        return False
    return capability.offers(Shape.SERVICE) or capability.connections_most < processes
