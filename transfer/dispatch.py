"""Hands requests to workers: lanes, gates, and a heap of what must wait.

A lane holds the requests between one pair of endpoints, in plan order. A worker enters a lane under the lock and stays in
it: taking the next request from it needs no lock. Whatever must wait (back-off, Retry-After, a step of a service's own
copy) lies in a heap ordered by time, and its worker takes something else: one bad host never delays the others.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from ..protocols.capability import Capability, Shape
from ..protocols.errors import Busy
from . import gates
from .gates import Gate
from .lanes import Endpoints, Entry, Lane, first_key, gates_of, key_of, scheme_of, size_of, taken, with_choice
from .requests import MakeDirectory, Remove, Transfer
from .work import Task, Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from ..protocols.errors import TransferError
    from .lanes import Item, Key
    from .planning import Plan
    from .requests import Request
    from .work import SharedFile

_LOGINS: Final = 5
"""As many times as long as a login takes, work must last for another one to be worth it."""
SLICE: Final = 0.1
"""Seconds after which a worker leaves a lane if other lanes have work."""
TOGETHER: Final = 5.0
"""Seconds by which requests that failed in one task may be tried early, so that they are one task again."""
_NEVER: Final = float("inf")
_UNKNOWN: Final = Capability("unknown", (), "")


def _nothing() -> None:
    """What a worker without connections does before it waits."""


class Dispatcher:
    """The queue of one run. Safe for all threads."""

    def __init__(self, plan: Plan, stop: threading.Event, endpoints: Endpoints | None = None) -> None:
        self._plan = plan
        self._stop = stop
        self._endpoints = endpoints or Endpoints()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._lanes: dict[Key, Lane] = {}
        self._rotation: deque[Lane] = deque()
        self._gates, self._active = self._endpoints.gates, self._endpoints.active
        self._answers, self._looked = self._endpoints.answers, self._endpoints.looked
        self._logins: dict[str, float] = {}
        """Seconds that another connection to an endpoint needs before it is of use."""
        self._heap: list[tuple[float, int, Work | Task]] = []
        self._due = _NEVER
        """When the first of the heap is."""
        self._sequence = 0
        self._idle = 0
        self._over = False

    # --- putting in

    def feed(self, requests: Iterable[Request]) -> None:
        """Queues requests that may start: large ones first where sizes are known, else in order."""
        requests = list(requests)
        if any(isinstance(request, Transfer) and request.size for request in requests):
            requests.sort(key=size_of, reverse=True)
        with self._lock:
            for request in requests:
                self._queue(first_key(request, self._plan), request)
            self._wake()

    def again(self, work: Work | Task, delay: float = 0.0) -> None:
        """Queues a request in progress once more, in the lane of its present ends, after `delay` seconds."""
        with self._lock:
            if delay > 0:
                from heapq import heappush

                self._sequence += 1
                heappush(self._heap, (time.monotonic() + delay, self._sequence, work))
                self._due = self._heap[0][0]
            else:
                self._queue(key_of(work), work)
            self._wake()

    def invite(self, key: Key, shared: SharedFile) -> None:
        """Asks one more worker to help with a large file, when it has nothing else to do in that lane."""
        with self._lock:
            self._queue(key, shared)
            self._wake()

    def finish(self) -> None:
        """No request will come any more: workers that wait go home."""
        with self._lock:
            self._over = True
            self._changed.notify_all()

    def drain(self) -> list[Item]:
        """Empties the queue after a stop: everything that has no outcome yet and is in nobody's hands."""
        with self._lock:
            left: list[Item] = [item for lane in self._lanes.values() for item in lane.queue]
            left.extend(work for _, _, work in self._heap)
            self._lanes.clear()
            self._rotation.clear()
            self._heap.clear()
            return left

    # --- taking out

    def enter(self, rest: Callable[[], None] = _nothing) -> Entry | None:
        """The next lane to work in; waits for one. None when the run is over or stopped.

        `rest` is called before a wait, once, where an endpoint has said how little it bears: idle connections count there.
        """
        rested = False
        while True:
            with self._lock:
                if self._stop.is_set() or self._over:
                    return None
                now = time.monotonic()
                entry, soonest = self._next_entry(now)
                if entry is not None:
                    return entry
                if rested or not self._is_crowded_anywhere():
                    self._idle += 1
                    self._changed.wait(min(1.0, max(0.001, soonest - now)))
                    self._idle -= 1
                    continue
            rested = True
            rest()

    def _next_entry(self, now: float) -> tuple[Entry | None, float]:
        """A stay in the first lane that admits anybody; without one, when to look again."""
        soonest = self._release_due(now)
        for _ in range(len(self._rotation)):
            lane = self._rotation.popleft()
            if not lane.queue:
                continue  # it comes back with its next request
            self._rotation.append(lane)
            entry, later = self._admit(lane, now)
            if entry is not None:
                return entry, soonest
            if later is not None:
                soonest = min(soonest, later)
        return None, soonest

    def _is_crowded_anywhere(self) -> bool:
        return any(gates.crowded(self._gate(name)) for lane in self._lanes.values() for name in lane.gates)

    def next(self, entry: Entry) -> Work | Task | SharedFile | None:
        """The next request of the lane; None when the worker must leave it."""
        lane = entry.lane
        if self._stop.is_set() or self._others_are_due(entry, time.monotonic()):
            return None
        if entry.holds_places and not self._may_stay(lane):
            return None
        if lane.ahead > 1 and entry.holds_places and (work := self._of_run(entry)) is not None:
            return work
        item = with_choice(entry) if entry.cooling is not None else taken(lane)
        if item is None:
            return None
        if isinstance(item, (Transfer, MakeDirectory, Remove)):
            return Work(item, self._plan.settings.seed, time.monotonic())
        return item

    def _ahead(self, key: Key) -> tuple[int, bool]:
        """What `Lane` wants to know. The module is for services only."""
        if not key[0]:
            return 1, False
        from .runs import ahead_of

        return ahead_of(self._plan, *key)

    def _is_sent_behind(self, key: Key) -> bool:
        """Whether small files of this machine are sent there one behind the other."""
        there = self._plan.registry.capability(scheme_of(key[1])) if key[1] and not key[0] else None
        return there is not None and there.behind > 1

    def _of_run(self, entry: Entry) -> Work | None:
        """The next request of the worker's run, which is lengthened before it ends; None where there is no run."""
        lane, run = entry.lane, entry.run
        known, longer = bool(run), False
        if len(run) <= lane.ahead // 2 and all(self._gates[name].proven for name in lane.gates):
            # As much as leaves enough for the others, so that all end at the same time.
            from .runs import lengthen

            share = min(lane.ahead - len(run), len(lane.queue) // (2 * max(1, lane.inside)))
            longer = share > 1 and lengthen(run, lane, share, self._plan.settings.seed)
        if not run:
            return None
        work = run.popleft()
        work.announced, work.told_before = True, known
        if longer:
            work.ahead = tuple(one.source for one in (work, *run) if one.source is not None)
        if not work.attempts:
            work.began = time.monotonic()
        return work

    def gather(self, entry: Entry, most: int) -> list[Work]:
        """Up to `most` further requests of the lane, for one task of a service."""
        works: list[Work] = []
        others: list[Item] = []
        while len(works) < most and (item := taken(entry.lane)) is not None:
            if isinstance(item, (Transfer, MakeDirectory, Remove)):
                works.append(Work(item, self._plan.settings.seed, time.monotonic()))
            elif isinstance(item, Work):
                works.append(item)
            else:
                others.append(item)
        entry.lane.queue.extend(others)
        if len(works) < most and self._heap:
            works.extend(self._soon(entry.lane.key, most - len(works)))
        return works

    def _soon(self, key: Key, most: int) -> list[Work]:
        """Up to `most` requests of a lane whose time to be tried again has almost come."""
        until = time.monotonic() + TOGETHER
        with self._lock:
            fit = [
                each
                for each in self._heap
                if each[0] < until and isinstance(each[2], Work) and key_of(each[2]) == key
            ][:most]
            if fit:
                from heapq import heapify

                chosen = {each[1] for each in fit}
                self._heap = [each for each in self._heap if each[1] not in chosen]
                heapify(self._heap)
                self._due = self._heap[0][0] if self._heap else _NEVER
        return [each[2] for each in fit if isinstance(each[2], Work)]

    def _others_are_due(self, entry: Entry, now: float) -> bool:
        """The stay is over and something else waits. Reads without the lock: a moment's delay does no harm."""
        if now <= entry.until:
            return False
        return len(self._rotation) > 1 or self._due <= now

    def leave(self, entry: Entry) -> bool:
        """Gives the worker's places at both endpoints back. True if its connections would be in the way at one of them."""
        with self._lock:
            entry.lane.queue.extendleft(reversed(entry.run))
            entry.run.clear()
            if entry.holds_places:
                entry.lane.inside -= 1
                for name in entry.lane.gates:
                    self._active[name] -= 1
            if entry.lane.queue and entry.lane not in self._rotation:
                self._rotation.append(entry.lane)
            self._wake()
            now = time.monotonic()
            return any(gates.in_the_way(self._gate(name), now) for name in entry.lane.gates)

    def wanted(self) -> int:
        """How many more workers could start at once."""
        with self._lock:
            count = 0
            for lane in self._rotation:
                if lane.queue:
                    room = min(self._room(name) for name in lane.gates)
                    count += max(0, min(room, len(lane.queue)))
            return max(0, count - self._idle)

    # --- what was learnt about endpoints

    def answered(self, key: Key, waited: float = 0.0) -> bool:
        """Both endpoints did what was asked, after `waited` seconds (`gates.succeeded`); True if there is more room now."""
        more = False
        lane = self._lanes.get(key)
        in_line = lane is not None and lane.in_line
        for name in gates_of(key):
            gate = self._gates.get(name)
            if gate is None:
                continue
            self._answers[name] = self._answers.get(name, 0) + 1
            if gate.strikes or not gate.proven or 0 < waited < gate.nearest:
                with self._lock, self._endpoints:
                    before = self._gate(name)
                    gate = gates.succeeded(before, waited)
                    if name in self._logins:
                        gate = gate._replace(limit=before.limit)  # one request is no reason to log in again
                    self._gates[name] = gates.narrowed(gate) if in_line and waited else gate
                    more = more or self._gates[name].limit > before.limit
                    self._wake()
            elif not waited and gate.limit < gate.start:
                with self._lock, self._endpoints:
                    self._gates[name] = gates.widened(self._gate(name))
                    self._wake()
        return more

    def logged_in(self, key: Key, seconds: float) -> None:
        """One of both endpoints took that long to let somebody in."""
        with self._lock:
            for name in gates_of(key):
                self._logins[name] = min(seconds, self._logins.get(name, seconds))
                self._answers[name], self._looked[name] = 0, time.monotonic()

    def adapt(self, now: float, *, idle: bool) -> None:
        """Call it a few times a second: lets endpoints have more requests if the processor was `idle`."""
        with self._lock, self._endpoints:
            for name in {name for lane in self._rotation if lane.queue for name in lane.gates}:
                self._look_at(name, now, idle=idle)
            self._wake()

    def crowded(self, name: str) -> bool:
        """Whether a refusal may be about the number or the pace of requests: others are at the endpoint, or were answered well
        since the last strike."""
        return self._endpoints.here(name) > 1 or self.gate(name).proven

    def strike(self, name: str, error: TransferError, began: float, pause: float | None = None) -> None:
        """The endpoint failed as such; `began` is when the attempt did, in monotonic seconds. `pause`: `gates.struck`."""
        if not name:
            return  # this machine's own files have no host that could cool
        with self._lock, self._endpoints:
            self._endpoints.struck[name] = error.what
            now = time.monotonic()
            self._gates[name] = gates.struck(
                self._gate(name),
                began=began,
                now=now,
                retry_after=error.retry_after,
                pause=pause,
                busy=isinstance(error, Busy),
            )

    def last_error(self, name: str) -> str:
        """What the endpoint did when it was last struck, for people."""
        return self._endpoints.struck.get(name, "unknown")

    def gate(self, name: str) -> Gate:
        with self._lock:
            return self._gate(name)

    # --- under the lock

    def _look_at(self, name: str, now: float, *, idle: bool) -> None:
        """Changes the limit of an endpoint for which requests wait, when each of its places has answered once."""
        gate, answers = self._gate(name), self._answers.get(name, 0)
        if self._endpoints.here(name) < gate.limit:
            self._answers[name], self._looked[name] = 0, now
            return
        passed = now - self._looked.setdefault(name, now)
        if answers < gate.limit or passed <= self._logins.get(name, 0.0):
            return
        rate = answers / passed
        gate = gates.shrunk(gate, rate)
        grows = idle and not self._soon_over(name, rate / self._endpoints.processes)
        self._gates[name] = gates.grown(gate, now, rate) if grows else gate
        self._answers[name], self._looked[name] = 0, now

    def _soon_over(self, name: str, rate: float) -> bool:
        """What waits for the endpoint takes hardly longer than logging in once more, which both sides pay for."""
        login = self._logins.get(name, 0.0)
        if not login:
            return False
        left = sum(len(lane.queue) for lane in self._rotation if name in lane.gates)
        return left < _LOGINS * login * rate

    def _queue(self, key: Key, item: Item) -> None:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(
                key, alone=self._has_service(key), ahead=self._ahead(key), behind=self._is_sent_behind(key)
            )
        if not lane.queue and lane not in self._rotation:
            self._rotation.append(lane)
        lane.queue.append(item)

    def _has_service(self, key: Key) -> bool:
        capabilities = (self._plan.registry.capability(scheme_of(name)) for name in key if name)
        return any(found is not None and found.offers(Shape.SERVICE) for found in capabilities)

    def _wake(self) -> None:
        if self._idle:
            self._changed.notify(self._idle)

    def _release_due(self, now: float) -> float:
        """Moves what is due from the heap to its lane; returns when the next one is."""
        while self._heap and self._heap[0][0] <= now:
            from heapq import heappop

            work = heappop(self._heap)[2]
            self._queue(key_of(work), work)
        self._due = self._heap[0][0] if self._heap else _NEVER
        return min(self._due, now + 1.0)

    def _admit(self, lane: Lane, now: float) -> tuple[Entry | None, float | None]:
        """A stay in the lane, or None and when to ask again (None: when somebody leaves)."""
        with self._endpoints:
            return self._admitted(lane, now)

    def _admitted(self, lane: Lane, now: float) -> tuple[Entry | None, float | None]:
        for name in lane.gates:
            gate = self._gate(name)
            if gate.cooling(now):
                if gate.down:
                    return Entry(lane, now + SLICE, down=name), None
                if lane.searched != gate.cooling_until:
                    lane.searched = gate.cooling_until
                    return Entry(lane, _NEVER, cooling=name), None
                return None, gate.cooling_until
            if self._endpoints.room(name, gate) <= 0:
                return None, None
        if lane.alone and lane.inside:
            return None, None
        for name in lane.gates:
            self._active[name] = self._active.get(name, 0) + 1
        lane.inside += 1
        lane.entered = now
        return Entry(lane, now + SLICE), None

    def _may_stay(self, lane: Lane) -> bool:
        """Reads without the lock: a moment's delay does no harm."""
        for name in lane.gates:
            gate = self._gates[name]
            # A success may have taken the strikes back, but not the time to leave the endpoint alone.
            if self._endpoints.room(name, gate) < 0 or (
                gate.cooling_until and gate.cooling(time.monotonic())
            ):
                return False
        return True

    def _room(self, name: str) -> int:
        """How many more requests may go to an endpoint for which some wait."""
        self._endpoints.wants(name)
        return self._endpoints.room(name, self._gate(name))

    def _gate(self, name: str) -> Gate:
        gate = self._gates.get(name)
        if gate is None:
            scheme = scheme_of(name)
            capability = self._plan.registry.capability(scheme) or _UNKNOWN
            senders = self._endpoints.processes if name else 1
            start, most = capability.connections_start, capability.connections_most
            gate = gates.fresh(start, most, self._plan.settings.rounds, senders)
            if capability.ahead > 1:
                # One alone finds out fastest how far away it is, and whether a line of requests will do.
                gate = gate._replace(limit=min(most, senders))
            gate = self._gates.setdefault(name, gate)
        return gate
