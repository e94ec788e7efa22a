"""The work of one run shared between processes of this machine, for batches that one Python process cannot do faster.

The parent keeps what there is one of: order, deadline, sinks, counters. It forks the children before any thread exists,
so the batch is in memory once, and hands them numbers of requests, a few hundred at a time; each runs an engine of its own and
hands outcomes back. Limits are divided between them. What a killed child had not finished is done by the others. A child
whose parent has died sees the end of its pipe and stops.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from ..protocols.capability import Shape
from ..protocols.locations import Location
from ..protocols.registry import Registry
from .execution import Staff
from .logs import Log
from .planning import capability_of, decision, obstacle
from .requests import Remove, Transfer, places_of
from .routes import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final, NoReturn

    from ..protocols.capability import Capability
    from .engine import Engine
    from .outcomes import Outcome
    from .planning import Plan
    from .requests import Request
    from .settings import Settings
    from .surroundings import CredentialSource
    from .work import Work

IN_HAND: Final = 256
"""Requests that a child has at most: enough for all its workers, few enough for others to do again."""
_NUMBER: Final = struct.Struct("=q")
_LENGTH: Final = struct.Struct("=I")
_GIVEN: Final = 1024
"""Numbers in one write."""
_STOP: Final = -1
_NO_MORE: Final = -2
_WAKE: Final = 0.02


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
        self._over = False
        count = processes_of(plan.settings)
        self._children: list[_Child] = []
        for index in range(count):
            self._children.append(_forked(plan, index, credentials, environment, self._children))
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
            tasks: list[int] = []
            for request in requests:
                if self._is_for_a_task(request):
                    tasks.append(request.number)
                    continue
                child = self._only_child(request)
                (self._waiting if child is None else child.own).append(request.number)
            self._give_tasks(tasks)
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
        for child in self._children:
            child.kill()
        for child in self._untended:
            child.close()

    def _take(self, child: _Child, outcomes: list[tuple[int, Outcome]], moved: int, active: int) -> None:
        child.moved, child.active = moved, active
        for number, outcome in outcomes:
            self.finished.append(outcome._replace(request=self._plan.requests[number]))
        with self._lock:
            child.in_hand.difference_update(number for number, _ in outcomes)
            child.of_tasks.difference_update(number for number, _ in outcomes)
            self._share_out()
        if outcomes:
            self.nudge.set()

    def _bury(self, child: _Child) -> None:
        """What the child had not finished goes to the others; if there are none, the run ends."""
        with self._lock:
            code = child.kill()
            tasks = sorted(child.of_tasks)
            unfinished = [*sorted(child.in_hand), *child.own]
            child.of_tasks.clear()
            child.in_hand.clear()
            child.own.clear()
            if self._over and not unfinished and not tasks:
                self.broken = self.broken or code != 0
                return
            alive = any(other.alive for other in self._children)
            if not self._stop.is_set():
                self.log.warning("a process of this run ended (%s); others do what it had left", code)
            self._waiting.extendleft(reversed(unfinished))
            if alive:
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
            fit = [each for each in fit if each.own or self._waiting]
            if not fit:
                return
            child = min(fit, key=lambda each: len(each.in_hand))
            queue = child.own or self._waiting
            share = max(1, min(len(queue) // (2 * len(fit)), IN_HAND - len(child.in_hand)))
            child.give([queue.popleft() for _ in range(share)])

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
            child.give_task(numbers[begin : begin + _GIVEN])

    def _only_child(self, request: Request) -> _Child | None:
        """The child that does it where an endpoint bears fewer connections than there are children; else any."""
        count = len(self._children)
        most = min((self._bears(end) for end in places_of(request)), default=count)
        if most >= count:
            return None
        child = self._children[request.number % most]
        return child if child.alive else None

    def _bears(self, location: Location) -> int:
        capability = None if location.is_local else self._plan.registry.capability(location.scheme)
        return len(self._children) if capability is None else capability.connections_most


class _Child:
    """One child, as the parent sees it. `receive` is called by the one thread that tends it, all else under the crew's lock."""

    def __init__(self, pid: int, commands: int, results: int) -> None:
        self._pid = pid
        self._commands = commands
        self._results = open(results, "rb", buffering=1 << 16)  # noqa: SIM115 - closed with the child
        self._code: int | None = None
        self.own: deque[int] = deque()
        """Requests that only this child may do."""
        self.in_hand: set[int] = set()
        self.of_tasks: set[int] = set()
        """What it has in hand beside that for managed tasks, which cost it next to nothing."""
        self.moved = 0
        self.active = 0

    @property
    def alive(self) -> bool:
        return self._code is None

    def give(self, numbers: list[int]) -> None:
        """The pipe holds more than a child has in hand at most, so this never blocks."""
        self.in_hand.update(numbers)
        self._write(b"".join(map(_NUMBER.pack, numbers)))

    def give_task(self, numbers: list[int]) -> None:
        """It is read by a thread of its own, so it is written to its end."""
        self.of_tasks.update(numbers)
        self._write(b"".join(map(_NUMBER.pack, numbers)))

    def end(self, *, stopped: bool) -> None:
        if self._commands >= 0:
            self._write(_NUMBER.pack(_STOP if stopped else _NO_MORE))
            os.close(self._commands)
            self._commands = -1

    def forget(self) -> None:
        """Closes the pipe without a word: in a process that is not the parent."""
        os.close(self._commands)
        self._commands = -1

    def _write(self, data: bytes) -> None:
        try:
            os.write(self._commands, data)
        except OSError:
            return  # it has died, and whoever tends it is about to see that

    def receive(self) -> tuple[list[tuple[int, Outcome]], int, int] | None:
        """The next message; None when the child has ended, in whatever way."""
        head = self._results.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(head)
        body = self._results.read(length)
        if len(body) < length:
            return None
        message: tuple[list[tuple[int, Outcome]], int, int] = pickle.loads(body)
        return message

    def close(self) -> None:
        """For whoever has received the last message."""
        self._results.close()

    def kill(self) -> int:
        """Ends the process if it has not ended; its exit code, or minus the signal that ended it."""
        if self._code is None:
            self.end(stopped=True)
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self.reap()
        return self._code or 0

    def reap(self) -> None:
        """Waits for the end of the process."""
        try:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        except ChildProcessError:
            self._code = self._code or 0  # somebody else waits for all processes


def processes_of(settings: Settings) -> int:
    """How many processes share the work: no more than requests may be in progress."""
    return min(settings.processes, settings.workers or settings.processes)


def _forked(
    plan: Plan,
    index: int,
    credentials: CredentialSource | None,
    environment: Mapping[str, str] | None,
    before: list[_Child],
) -> _Child:
    commands_out, commands_in = os.pipe()
    results_out, results_in = os.pipe()
    pid = os.fork()
    if pid:
        os.close(commands_out)
        os.close(results_in)
        return _Child(pid, commands_in, results_out)
    try:
        os.close(commands_in)
        os.close(results_out)
        for other in before:  # else this child would keep its brothers' pipes open
            other.forget()
        _serve(_share_of(plan, index), credentials, environment, commands_out, results_in)
    finally:
        os._exit(70)


def _share_of(plan: Plan, index: int) -> Plan:
    """The plan with a child's share of all limits. A journal has one writer; a deadline is the parent's to see, the child
    only tells it to services."""
    settings, count = plan.settings, processes_of(plan.settings)
    workers = max(1, settings.workers // count) if settings.workers else 0
    share = settings._replace(
        processes=1,
        workers=workers,
        journal=settings.journal if index == 0 else "",
        bandwidth=-(-settings.bandwidth // count),
        spool_bytes=max(1, settings.spool_bytes // count),
    )
    return plan._replace(settings=share, registry=_SharedRegistry(plan.registry, count))


class _SharedRegistry(Registry):
    """Protocols with the share of one process in the requests that an endpoint bears at a time."""

    def __init__(self, whole: Registry, count: int) -> None:
        super().__init__((), entry_points=False)
        self._whole = whole
        self._count = count
        self._shares: dict[str, Capability | None] = {}

    def capability(self, scheme: str) -> Capability | None:
        if scheme not in self._shares:
            found = self._whole.capability(scheme)
            if found is not None and not found.local:
                most = max(1, found.connections_most // self._count)
                found = found._replace(
                    connections_most=most, connections_start=max(1, found.connections_start // self._count)
                )
            self._shares[scheme] = found
        return self._shares[scheme]


def _serve(
    plan: Plan,
    credentials: CredentialSource | None,
    environment: Mapping[str, str] | None,
    commands: int,
    results: int,
) -> NoReturn:
    """The life of a child. Signals are the parent's to answer."""
    from .engine import Engine

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    stop, over = threading.Event(), threading.Event()
    engine = Engine(plan, credentials, environment, stop)
    threading.Thread(target=_obey, args=(engine, plan, commands, stop, over), daemon=True).start()
    staff = Staff(engine, plan.settings.workers)
    while not over.is_set() and not stop.is_set():
        staff.fit()
        engine.nudge.wait(_WAKE)
        engine.nudge.clear()
        _report(engine, results)
    engine.dispatcher.finish()
    staff.join(None)
    if stop.is_set():
        engine.give_up()
    _report(engine, results)
    engine.close()
    os._exit(70 if engine.broken else 0)


def _obey(engine: Engine, plan: Plan, commands: int, stop: threading.Event, over: threading.Event) -> None:
    """Feeds what the parent sends; stops when it says so, or when it has died in the middle of the work."""
    with open(commands, "rb", buffering=0) as pipe:
        rest, orderly = b"", False
        while data := pipe.read(1 << 13):
            rest += data
            whole = len(rest) - len(rest) % _NUMBER.size
            numbers = [number for (number,) in _NUMBER.iter_unpack(rest[:whole])]
            rest = rest[whole:]
            orderly = orderly or _NO_MORE in numbers
            if _STOP in numbers:
                stop.set()
            engine.dispatcher.feed(plan.requests[number] for number in numbers if number >= 0)
            engine.nudge.set()
    if not orderly:
        stop.set()
    over.set()
    engine.nudge.set()


def _report(engine: Engine, results: int) -> None:
    """Sends what is finished. Requests go as numbers: the parent has them."""
    outcomes: list[tuple[int, Outcome]] = []
    while engine.finished:
        outcome = engine.finished.popleft()
        bare = outcome._replace(request=_NOBODY)
        outcomes.append((outcome.request.number, bare))
    moved, active = engine.moved(), engine.active()
    if not outcomes and not active:
        return
    body = pickle.dumps((outcomes, moved, active), pickle.HIGHEST_PROTOCOL)
    data = memoryview(_LENGTH.pack(len(body)) + body)
    while data:
        data = data[os.write(results, data) :]


_NOBODY: Final = Remove(0, "", Location("", "", "", 0))
"""Stands for the request in an outcome that travels."""
