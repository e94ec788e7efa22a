"""What workers do: take a request, make one attempt, finish it or give it back."""

from __future__ import annotations

import threading
import time
from collections import deque

from ..protocols.capability import Shape
from ..protocols.context import Context, Shared
from ..protocols.errors import Busy, End, Mismatch, Reach, Stopped, TransferError, TurnedAway
from .concluding import (
    blamed,
    defect_in,
    done_outcome,
    down,
    failed_outcome,
    forget_frames,
    struck_off,
)
from .copying import copy, route_of, share
from .dispatch import Dispatcher
from .gates import RETRY_AFTER_MOST
from .lanes import gate_key, key_of, scheme_of
from .logs import Log
from .outcomes import Attempt, Outcome, Status
from .planning import obstacle
from .pump import Limits
from .refusals import Refusals
from .requests import MakeDirectory, Transfer
from .retries import after_failure, elsewhere, telling
from .staging import SpoolBudget
from .surroundings import Surroundings
from .waits import BackOff
from .work import Again, Copied, Handed, OnTheWay, Task, Work, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from ..protocols.locations import Location
    from .journal import Journal
    from .lanes import Endpoints, Entry
    from .managing import Managing
    from .planning import Plan
    from .requests import Request
    from .retries import Move
    from .surroundings import CredentialSource
    from .throttle import Throttle
    from .unanswered import Unanswered
    from .work import SharedFile


SMALL: Final = 256 << 10
"""Bytes of a request whose time tells how far away an endpoint is."""
LAST_WORDS: Final = 10.0
"""Seconds that cancelling one managed task may take after a stop."""
CROWDED_OUT_MOST: Final = 10
"""How often a request may be refused because others were there until that counts as its own failure."""
DOOR_WAIT_MOST: Final = 5.0
"""Seconds until it is tried again after nobody was let in. Logins take less; that many of them come again at once is worse."""


class Engine:
    """What the workers of one run share."""

    def __init__(
        self,
        plan: Plan,
        credentials: CredentialSource | None,
        environment: Mapping[str, str] | None,
        stop: threading.Event,
        endpoints: Endpoints | None = None,
    ) -> None:
        settings = plan.settings
        self.plan = plan
        self.stop = stop
        self.why_stopped = "the run was stopped"
        self.log = Log()
        self.dispatcher = Dispatcher(plan, stop, endpoints)
        self.finished: deque[Outcome] = deque()
        """Outcomes that the governing thread has not seen yet."""
        self.nudge = threading.Event()
        """Set when the governing thread should look."""
        self.broken = False
        """A worker failed outside of any attempt: a defect of the engine."""
        self._budget = SpoolBudget(settings.spool_directory, settings.spool_bytes)
        self._refusals = Refusals()
        self._wait = BackOff(settings.back_off, settings.back_off_most)
        self._at_the_door = BackOff(settings.back_off, min(settings.back_off_most, DOOR_WAIT_MOST))
        self._surroundings = Surroundings(credentials, environment)
        self._limits = Limits(
            stop=stop,
            stall=settings.stall,
            slow_bytes=settings.slow_bytes,
            throttle=_throttle(settings.bandwidth, stop),
        )
        self._workers: list[Worker] = []
        self._journal = _journal(settings.journal, self.log) if settings.journal else None
        self._managing: Managing | None = None
        self._plain: set[str] = set()
        """Schemes of protocols that neither resolve names nor manage tasks."""
        self._usable: set[str] = set()
        """Schemes whose protocol can be used here."""
        self._shared = Shared()
        self._here = threading.local()
        """The worker of the thread that asks."""

    def work(self) -> None:
        """The life of one worker thread."""
        worker = self._here.worker = self._new_worker()
        try:
            while (entry := self.dispatcher.enter(worker.disconnect_all)) is not None:
                try:
                    while (item := self.dispatcher.next(entry)) is not None:
                        if isinstance(item, Work):
                            self._one(worker, entry, item)
                        elif isinstance(item, Task):
                            self._task_step(worker, entry, item)
                        elif entry.holds_places:
                            self._help(worker, entry, item)
                    if worker.unanswered is not None:
                        worker.unanswered.settle()
                finally:
                    if self.dispatcher.leave(entry):
                        # Where connections are counted, idle ones take the places of those who come back.
                        worker.disconnect([scheme_of(name) for name in entry.lane.key if name])
                self.nudge.set()
        except BaseException as error:  # noqa: BLE001 - a worker must never die silently
            # Nothing above may fail. If it does, the run ends instead of hanging.
            self.broken = True
            self.log.defect("a worker", error)
            self.stop.set()
        finally:
            self.nudge.set()
            worker.close()

    def moved(self) -> int:
        """Bytes moved so far by all workers, repeated ones included."""
        return sum(worker.moved() for worker in self._workers)

    def active(self) -> int:
        return sum(worker.busy for worker in self._workers)

    def close(self) -> None:
        self._budget.close()
        if self._journal is not None:
            self._journal.close()

    def _new_worker(self, *, last_words: bool = False) -> Worker:
        settings = self.plan.settings
        context = Context(
            stop=self.stop,
            connect=settings.connect,
            stall=settings.stall,
            slow_bytes=settings.slow_bytes,
            credential=self._surroundings.credential,
            renew=self._surroundings.renew,
            tls=self._surroundings.tls,
            proxies=self._surroundings.proxies,
            log=self.log,
            accept_new_host_keys=settings.accept_new_host_keys,
            shared=self._shared,
        )
        if last_words:
            context = context.for_last_words(LAST_WORDS)
        worker = Worker(self.plan, context, self._limits, self.dispatcher, self._journal)
        self._workers.append(worker)
        return worker

    # --- one request

    def _one(self, worker: Worker, entry: Entry, work: Work) -> None:
        """Makes one attempt, or finds out that it is none to make here."""
        key = entry.lane.key
        error = self.known_obstacle(work)
        if error is not None:
            self.advance(work, error)
            return
        if key_of(work) != key:
            self.dispatcher.again(work)
            return
        if entry.down is not None:
            self.advance(work, down(entry.down, key, self.dispatcher))
            return
        if entry.cooling is not None:
            work.position = elsewhere(work.position, at_source=entry.cooling == key[0]) or work.position
            self.dispatcher.again(work)
            return
        if not self._is_managed(worker, entry, work):
            self._attempt(worker, work, key)

    def _is_managed(self, worker: Worker, entry: Entry, work: Work) -> bool:
        """Whether a service does it as part of a task, which has then begun."""
        if not self._is_special(work, Shape.SERVICE):
            return False
        from .managing import item_of

        item = item_of(work, worker)
        if item is None:
            entry.lane.alone = False
            return False
        self.managing.begin(worker, entry, work, item)
        self.nudge.set()
        return True

    def _is_special(self, work: Work, shape: Shape) -> bool:
        """Whether a protocol of one of the ends has that shape. Asked for every request, so schemes with neither are remembered."""
        source, destination, plain = work.source, work.destination, self._plain
        if destination.scheme in plain and (source is None or source.scheme in plain):
            return False
        return any(self._offers(end.scheme, shape) for end in (source, destination) if end is not None)

    def _offers(self, scheme: str, shape: Shape) -> bool:
        capability = self.plan.registry.capability(scheme)
        if capability is None or not (capability.offers(Shape.SERVICE) or capability.offers(Shape.RESOLVER)):
            self._plain.add(scheme)
            return False
        return capability.offers(shape)

    def _task_step(self, worker: Worker, entry: Entry, task: Task) -> None:
        if entry.down is not None:
            self.managing.step_failed(worker, task, down(entry.down, task.key, self.dispatcher))
        elif entry.cooling is None:
            self.managing.step(worker, task)
        else:
            self.dispatcher.again(task)
        self.nudge.set()

    @property
    def managing(self) -> Managing:
        """The managed tasks of this run. Its module is for services only."""
        if self._managing is None:
            from .managing import Managing

            self._managing = Managing(self, self._journal, self._wait)
        return self._managing

    def give_up(self) -> tuple[dict[int, Work], dict[int, str]]:
        """After a stop, when no worker is left: ends managed tasks. By number the requests that are in progress still, and
        what people should know about some of them."""
        items = self.dispatcher.drain()
        progressed = {item.request.number: item for item in items if isinstance(item, Work)}
        told: dict[int, str] = {}
        tasks = [item for item in items if isinstance(item, Task)]
        if tasks:
            worker = self._here.worker = self._new_worker(last_words=True)
            for task in tasks:
                works, words = self.managing.cancel(worker, task)
                progressed.update({work.request.number: work for work in works})
                told.update({work.request.number: words for work in works})
            worker.close()
        return progressed, told

    def _attempt(
        self, worker: Worker, work: Work, key: tuple[str, str], shared: SharedFile | None = None
    ) -> None:
        """One attempt, or with `shared` a share of one that another worker began."""
        worker.meter.finished += worker.meter.moved
        worker.meter.moved = 0
        began, clock = time.time(), time.monotonic()
        logged_in = worker.context.logging_in
        worker.worked = time.thread_time() + logged_in
        if shared is not None:
            began, clock = shared.began, shared.clock
        worker.busy = True
        try:
            result = self._tried(worker, work, began) if shared is None else share(shared, worker)
        except TransferError as error:
            self.failed(worker, work, error, key, began, clock)
            return
        except BaseException as error:  # noqa: BLE001 - a protocol's defect, even an exit, is that request's failure
            self.failed(worker, work, defect_in(work, error, self.log), key, began, clock)
            return
        finally:
            worker.busy = False
        if isinstance(result, OnTheWay):
            self._unanswered(worker).add(work, result, key, began, clock)
            return
        if isinstance(result, Handed):
            self._left_aside(work, result.aside, clock)
            return
        if isinstance(result, Again):
            self.dispatcher.again(work, result.seconds)
            return
        if worker.context.logging_in > logged_in:
            self.dispatcher.logged_in(key, worker.context.logging_in - logged_in)
        if self.dispatcher.answered(key, self._waited(worker, result, clock)):
            self.nudge.set()
        self.succeeded(work, result, began, clock)

    def _help(self, worker: Worker, entry: Entry, shared: SharedFile) -> None:
        """A share of a large file. What was sent before does not wait until that is through."""
        if worker.unanswered is not None:
            worker.unanswered.settle()
        self._attempt(worker, shared.work, entry.lane.key, shared)

    def _tried(self, worker: Worker, work: Work, began: float) -> Copied | Again | Handed | OnTheWay:
        """What came of an attempt. A first leg that it has brought to its end is noted, whatever came of the second."""
        fetched, source = work.spool, work.source
        try:
            return self._perform(work, worker)
        finally:
            if work.spool is not fetched:
                self._fetched(work, source, began)

    def _unanswered(self, worker: Worker) -> Unanswered:
        if worker.unanswered is None:
            from .unanswered import Unanswered

            worker.unanswered = Unanswered(self, worker)
        return worker.unanswered

    def _fetched(self, work: Work, source: Location | None, began: float) -> None:
        """Notes a first leg, whose bytes are in the spool file now."""
        spool = work.spool
        assert source is not None and spool is not None
        self._refusals.succeeded(source, writing=False)
        self.dispatcher.answered((gate_key(source), ""))
        self._note(work, Attempt(source, None, "staged", began, spool.seconds, spool.size))

    def succeeded(self, work: Work, copied: Copied, began: float, clock: float) -> None:
        """Gives the request the outcome of its last attempt, a good one."""
        source, destination = work.source, work.destination
        self._learn_success(source, destination)
        route = copied.route.value if copied.route else ""
        self._note(work, Attempt(source, destination, route, began, time.monotonic() - clock, copied.bytes))
        self._finish(work, done_outcome(work, copied))

    def _waited(self, worker: Worker, result: Copied, clock: float) -> float:
        """Seconds that a small request took without working or logging in; 0 for one whose bytes may have taken the time."""
        if result.bytes > SMALL:
            return 0.0
        worked = time.thread_time() + worker.context.logging_in - worker.worked
        return time.monotonic() - clock - worked

    def _left_aside(self, work: Work, error: TransferError | None, clock: float) -> None:
        """The worker left a file to others; `work` is no longer its own."""
        where = blamed(work, error) if error is not None else None
        if error is not None and where is not None and error.reach is Reach.HOST:
            self.dispatcher.strike(gate_key(where), error, clock)

    def _perform(self, work: Work, worker: Worker) -> Copied | Again | Handed | OnTheWay:
        request = work.request
        if self._is_special(work, Shape.RESOLVER):
            from .resolving import logical_end, reconsidered, resolve

            found = logical_end(work, self.plan)
            if found is not None:
                resolve(work, worker, *found)
                self.dispatcher.answered((gate_key(found[0]), ""))
                return Again()
            if reconsidered(work, worker):
                return Again()
        if isinstance(request, Transfer):
            return copy(work, worker, self._budget)
        target = work.destination
        store = worker.store(target)
        step = "mkdir" if isinstance(request, MakeDirectory) else "remove"
        try:
            if isinstance(request, MakeDirectory):
                store.make_directory(target)
            else:
                if not self.plan.settings.allow_dangerous_remove:
                    from .removal import insist_on_safe

                    insist_on_safe(target)
                store.remove(target, recursive=request.recursive)
        except TransferError as error:
            raise error.at(End.DESTINATION, step) from error.__cause__
        return Copied(None, 0)

    # --- failures

    def failed(
        self,
        worker: Worker,
        work: Work,
        error: TransferError,
        key: tuple[str, str],
        began: float,
        clock: float,
        *,
        moved: int | None = None,
    ) -> None:
        """Records a failed attempt, learns from it, and sends the request on its way."""
        error.at(End.NEITHER, "attempt")
        route = route_of(work, worker).value if isinstance(work.request, Transfer) else ""
        seconds = time.monotonic() - clock
        if moved is None:
            moved = worker.meter.moved
        self._note(work, Attempt(work.source, work.destination, route, began, seconds, moved, error))
        self.log.attempt_failed(work, error)
        forget_frames(error)
        where = blamed(work, error)
        if where is not None:
            if not error.host:
                error.host = where.endpoint
            self._refusals.failed(where, error, writing=error.end is End.DESTINATION)
            if where.logical and isinstance(error, Mismatch):
                from .resolving import report_place

                report_place(worker, where, error)
            if error.reach is Reach.HOST:
                turned_away = isinstance(error, TurnedAway) and work.crowded_out < CROWDED_OUT_MOST
                crowded = isinstance(error, Busy) and self.dispatcher.crowded(gate_key(where))
                pause = self._at_the_door(1 + work.crowded_out) if turned_away else None
                self.dispatcher.strike(gate_key(where), error, clock, pause)
                if (crowded or turned_away) and self._takes_its_turn(work, error):
                    return
        if work.spool is not None and error.end is End.SOURCE:
            self._drop_spool(work)
            error.reach = Reach.ATTEMPT
        self.advance(work, error)

    def _takes_its_turn(self, work: Work, error: TransferError) -> bool:
        """Puts a request back that was refused because it was one too many, of ours or of others: that is no failure of its own."""
        too_long = error.retry_after is not None and error.retry_after > RETRY_AFTER_MOST
        if too_long or self.stop.is_set() or work.crowded_out >= CROWDED_OUT_MOST:
            return False
        work.crowded_out += 1
        work.handle, work.source_entry = "", None
        self.dispatcher.again(work)
        return True

    def advance(self, work: Work, error: TransferError) -> None:
        """Gives the request its next attempt, or its end."""
        if error.retry_after is not None and error.retry_after > RETRY_AFTER_MOST:
            error.reach = Reach.REPLICA
        move = after_failure(work.position, error, rounds=self.plan.settings.rounds, wait=self._wait)
        if isinstance(error, Stopped) or (self.stop.is_set() and (error.later or move is not None)):
            if isinstance(error, Stopped):
                error.what = f"{self.why_stopped} while this request was in progress"
            self._finish(work, failed_outcome(work, error, Status.STOPPED))
        elif move is None:
            told = telling((*work.errors(), error)) or error
            self._finish(work, failed_outcome(work, told, Status.FAILED))
        else:
            self._move_on(work, move)

    def _move_on(self, work: Work, move: Move) -> None:
        # What is in the spool came from the present source, whatever the next round would begin with.
        source = move.position.source if work.spool is None else work.position.source
        work.position = move.position._replace(source=source)
        work.handle, work.source_entry = "", None
        self.dispatcher.again(work, move.delay)

    def known_obstacle(self, work: Work) -> TransferError | None:
        """Why the present ends need not be tried."""
        request = work.request
        replica = work.replica
        if replica is not None and work.spool is None:
            error = self._obstacle(request, replica) or self._refusals.hopeless(replica, writing=False)
            if error is not None:
                return struck_off(error, End.SOURCE)
        destination = work.destination
        error = self._obstacle(request, destination) or self._refusals.hopeless(destination, writing=True)
        return struck_off(error, End.DESTINATION) if error is not None else None

    def _obstacle(self, request: Request, location: Location) -> TransferError | None:
        if not location.problem and location.scheme in self._usable:
            return None
        error = obstacle(self.plan, request, location)
        if error is None:
            self._usable.add(location.scheme)
        return error

    def _learn_success(self, source: Location | None, destination: Location) -> None:
        if source is not None and not source.is_local:
            self._refusals.succeeded(source, writing=False)
        if not destination.is_local:
            self._refusals.succeeded(destination, writing=True)

    def _note(self, work: Work, attempt: Attempt) -> None:
        work.attempts = (*work.attempts, attempt)

    def _drop_spool(self, work: Work) -> None:
        if work.spool is not None:
            self._budget.release(work.spool.location)
            work.spool = None

    def _drop_unfinished(self, work: Work, outcome: Outcome) -> None:
        """Parts stay for a later run only after a stop, or when people want them."""
        from .part_opening import drop_unfinished

        if outcome.status is Status.DONE or not self.plan.settings.keep_partials:
            drop_unfinished(work, self._here.worker)

    def _finish(self, work: Work, outcome: Outcome) -> None:
        self._drop_spool(work)
        if work.unfinished is not None and outcome.status is not Status.STOPPED:
            self._drop_unfinished(work, outcome)
        self.finished.append(outcome)
        if len(self.finished) > 1000:
            self.nudge.set()


def _journal(path: str, log: Log) -> Journal:
    from .journal import Journal

    return Journal(path, log)


def _throttle(bandwidth: int, stop: threading.Event) -> Throttle | None:
    if not bandwidth:
        return None
    from .throttle import Throttle

    return Throttle(bandwidth, stop)
