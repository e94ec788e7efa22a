"""Managed tasks: a service does many requests as one task by itself; we submit, ask and judge each item.

A task outlives this process, so its submission is written to the journal before it is sent, and a later process with the same
items goes on with it. Every item has an outcome of its own, whatever becomes of the others.
"""

from __future__ import annotations

import hashlib
import time
from copy import copy
from typing import TYPE_CHECKING

from ..protocols.capability import Shape
from ..protocols.errors import Defect, End, Reach, Stopped, TransferError, Unreachable, Unsupported
from ..protocols.values import Entry, Group, Item
from .copying import nothing_to_verify
from .existing import already_there
from .lanes import gate_key, key_of
from .planning import capability_of, decision
from .requests import Remove, Transfer
from .routes import Route
from .service_copy import judged, verified
from .work import Copied, Task

if TYPE_CHECKING:
    from typing import Final, Protocol

    from ..protocols.contract import Service
    from ..protocols.locations import Location
    from ..protocols.values import Receipt, TaskProgress
    from .dispatch import Dispatcher
    from .journal import Journal
    from .lanes import Entry as Stay
    from .planning import Plan
    from .waits import BackOff
    from .work import Work, Worker

    class Desk(Protocol):
        """Where the fate of requests is decided: the engine."""

        plan: Plan
        dispatcher: Dispatcher

        def known_obstacle(self, work: Work) -> TransferError | None: ...
        def advance(self, work: Work, error: TransferError) -> None: ...
        def succeeded(self, work: Work, copied: Copied, began: float, clock: float) -> None: ...
        def failed(
            self,
            worker: Worker,
            work: Work,
            error: TransferError,
            key: tuple[str, str],
            began: float,
            clock: float,
        ) -> None: ...


FAILURES_MOST: Final = 12
"""Steps of a submitted task that may fail in a row. It goes on without us meanwhile, so patience costs nothing."""
PAUSE_MOST: Final = 30.0
"""Seconds between two tries of a step that fails."""


def item_of(work: Work, worker: Worker) -> Item | None:
    """The item that `work` would be in a managed task; None where its route is another one."""
    request, plan = work.request, worker.plan
    if isinstance(request, Remove):
        if not capability_of(plan, request.target).offers(Shape.SERVICE):
            return None
        return Item(None, request.target, recursive=request.recursive)
    if not isinstance(request, Transfer) or work.no_service_copy or work.stage or work.spool is not None:
        return None
    source, destination = _reached_by_service(work, worker)
    if source is None or destination is None:
        return None
    if decision(plan, request, source, destination).route is not Route.MANAGED:
        return None
    return Item(source, destination, request.size, request.expected)


def _reached_by_service(work: Work, worker: Worker) -> tuple[Location | None, Location | None]:
    """The two ends as the service knows them, a local file by its name there; None where it cannot reach it."""
    source, destination, plan = work.source, work.destination, worker.plan
    if source is None:
        return None, None
    if source.is_local and capability_of(plan, destination).offers(Shape.SERVICE):
        return _service(destination, worker).local_twin(source, destination, writing=False), destination
    if destination.is_local and capability_of(plan, source).offers(Shape.SERVICE):
        return source, _service(source, worker).local_twin(destination, source, writing=True)
    return source, destination


def _service(location: Location, worker: Worker) -> Service:
    return worker.store(location)  # type: ignore[return-value]


class Managing:
    """The managed tasks of one run, as the workers do their steps."""

    def __init__(self, desk: Desk, journal: Journal | None, wait: BackOff) -> None:
        self._desk = desk
        self._journal = journal
        self._wait = wait

    def begin(self, worker: Worker, entry: Stay, work: Work, item: Item) -> None:
        """Makes a task of `work` and of what waits in the same lane and may share it; its steps follow."""
        key = entry.lane.key
        service = _service(_end_at_service(item), worker)
        chosen: list[tuple[Work, Item]] = []
        shared = self._take(worker, work, item, key, service, chosen)
        if shared is None:
            return
        most = capability_of(self._desk.plan, _end_at_service(item)).task_items_most
        for other in self._desk.dispatcher.gather(entry, most - 1):
            self._join(worker, other, key, service, shared, chosen)
        group = Group(tuple(each for _, each in chosen), mark_of(chosen), self._desk.plan.settings.deadline)
        task = Task(
            [each for each, _ in chosen], group, _end_at_service(item), key, time.time(), time.monotonic()
        )
        self.step(worker, task)

    def _join(
        self,
        worker: Worker,
        work: Work,
        key: tuple[str, str],
        service: Service,
        shared: str,
        chosen: list[tuple[Work, Item]],
    ) -> None:
        """Adds `work` to the task if it may share it; else it goes its own way."""
        error = self._desk.known_obstacle(work)
        if error is not None:
            self._desk.advance(work, error)
            return
        item = item_of(work, worker) if key_of(work) == key else None
        if item is None:
            self._desk.dispatcher.again(work)
            return
        mine: list[tuple[Work, Item]] = []
        group = self._take(worker, work, item, key, service, mine)
        if group == shared:
            chosen.extend(mine)
        elif group is not None:
            self._desk.dispatcher.again(work)

    def _take(
        self,
        worker: Worker,
        work: Work,
        item: Item,
        key: tuple[str, str],
        service: Service,
        chosen: list[tuple[Work, Item]],
    ) -> str | None:
        """The group that the item belongs to; None if the request has had its end or its next attempt already."""
        began, clock = time.time(), time.monotonic()
        try:
            if isinstance(work.request, Transfer):
                if work.request.verify_remote and work.request.expected is None:
                    raise nothing_to_verify()
                present = already_there(work.request, work, worker)
                if present is not None:
                    self._desk.succeeded(work, present, began, clock)
                    return None
            elif not self._desk.plan.settings.allow_dangerous_remove:
                from .removal import insist_on_safe

                insist_on_safe(item.destination)
            shared = service.group(item)
        except Unsupported as error:
            if not isinstance(work.request, Transfer):
                self._desk.failed(worker, work, error.at(End.DESTINATION, "remove"), key, began, clock)
                return None
            work.no_service_copy = True
            self._desk.dispatcher.again(work)
            return None
        except TransferError as error:
            self._desk.failed(worker, work, error.at(End.DESTINATION, "prepare"), key, began, clock)
            return None
        chosen.append((work, item))
        return shared

    def step(self, worker: Worker, task: Task) -> None:
        """Submits the task, or asks once how far it is."""
        service = _service(task.location, worker)
        try:
            if not task.handle:
                self._submit(service, task)
            progress = service.poll(task.group, task.handle)
        except TransferError as error:
            self.step_failed(worker, task, error)
            return
        except Exception as error:  # noqa: BLE001 - a protocol's defect ends the items, never the worker
            self._end(worker, task, Defect(f"defect in {task.location.scheme}: {type(error).__name__}"))
            return
        task.failures = 0
        self._desk.dispatcher.answered(task.key)
        self._take_results(worker, task, progress)
        if progress.again is not None and any(task.works):
            self._desk.dispatcher.again(task, progress.again)
            return
        self._end(
            worker, task, Defect(f"{task.location.scheme}: the task ended without a word about this item")
        )

    def cancel(self, worker: Worker, task: Task) -> tuple[list[Work], str]:
        """Ends the task when the run is stopped. The works that are not done, and what people should know about them."""
        told = ""
        if task.submission:
            try:
                # The answer to the submission may have been lost: the same one again is the same task.
                task.handle = task.handle or _service(task.location, worker).submit(
                    task.group, task.submission
                )
                progress = _service(task.location, worker).cancel(task.group, task.handle)
                self._take_results(worker, task, progress, last=True)
                self._forget(task)
            except Exception as error:  # noqa: BLE001 - said in the outcome; the report must be written
                what = error.what if isinstance(error, TransferError) else type(error).__name__
                name = task.handle or f"with submission {task.submission}"
                told = f"task {name} could not be cancelled ({what}): it may still be running"
        return [work for work in task.works if work is not None], told

    def _submit(self, service: Service, task: Task) -> None:
        """Gives the task its handle. The name it is submitted under is on disk before."""
        if not task.submission:
            written = self._journal.submission(task.group.mark) if self._journal is not None else ""
            task.submission = written or service.prepare(task.group)
            if self._journal is not None and not written:
                self._journal.submitting(task.group.mark, task.submission)
        task.handle = service.submit(task.group, task.submission)

    def step_failed(self, worker: Worker, task: Task, error: TransferError) -> None:
        """Repeats the step later where that may help; else the items go their ways."""
        task.failures += 1
        passing = error.reach in (Reach.ATTEMPT, Reach.HOST) or isinstance(error, Unreachable)
        most = FAILURES_MOST if task.handle else self._desk.plan.settings.rounds
        if error.reach is Reach.HOST:
            self._desk.dispatcher.strike(gate_key(task.location), error, task.clock)
        if isinstance(error, Stopped) or (passing and task.failures < most):
            pause = min(PAUSE_MOST, self._wait(task.failures))
            self._desk.dispatcher.again(task, max(pause, error.retry_after or 0.0))
            return
        if task.handle:
            error.what += f"; task {task.handle} may still be running"
        self._end(worker, task, error)

    def _end(self, worker: Worker, task: Task, error: TransferError) -> None:
        """The task is over: `error` is the fate of the items that have none yet."""
        if task.handle:
            self._forget(task)
        for index, work in enumerate(task.works):
            if work is None:
                continue
            task.works[index] = None
            own = copy(error).at(End.DESTINATION, "managed task")
            self._desk.failed(worker, work, own, task.key, task.began, task.clock)

    def _forget(self, task: Task) -> None:
        if self._journal is not None:
            self._journal.settled(task.group.mark)

    def _take_results(
        self, worker: Worker, task: Task, progress: TaskProgress, *, last: bool = False
    ) -> None:
        """Gives every item that has come to its end its outcome. With `last` failures wait for another run."""
        worker.meter.finished += max(0, progress.bytes - task.moved)
        task.moved = max(task.moved, progress.bytes)
        for index, result in progress.results:
            work = task.works[index]
            if work is None or (last and isinstance(result, TransferError)):
                continue
            task.works[index] = None
            self._settle(worker, task, work, result)

    def _settle(self, worker: Worker, task: Task, work: Work, result: Receipt | TransferError) -> None:
        if isinstance(result, Unsupported) and isinstance(work.request, Transfer):
            work.no_service_copy = True
            self._desk.dispatcher.again(work)
            return
        try:
            if isinstance(result, TransferError):
                raise result.at(End.SOURCE, "managed task")
            copied = _judged(work, result, worker)
        except TransferError as error:
            self._desk.failed(worker, work, error, task.key, task.began, task.clock)
            return
        note = "; ".join(filter(None, (f"task {task.handle}", copied.note)))
        self._desk.succeeded(work, copied._replace(note=note), task.began, task.clock)


def _judged(work: Work, receipt: Receipt, worker: Worker) -> Copied:
    """The finished item, if what the service says of it is what was expected."""
    transfer = work.request
    if not isinstance(transfer, Transfer):
        return Copied(None, 0)
    copied = judged(transfer, Entry("", transfer.size), receipt, work.destination, worker)
    return verified(transfer, work, worker, copied._replace(route=Route.MANAGED))


def mark_of(chosen: list[tuple[Work, Item]]) -> str:
    """32 hexadecimal digits that are the same for the same items in a later process."""
    text = hashlib.sha256()
    for _, item in chosen:
        source = item.source.url if item.source is not None else ""
        line = f"{source}\0{item.destination.url}\0{item.expected}\0{item.recursive}\n"
        text.update(line.encode("utf-8", "surrogatepass"))
    return text.hexdigest()[:32]


def _end_at_service(item: Item) -> Location:
    return item.destination
