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
from ..protocols.errors import (
    Defect,
    End,
    Mismatch,
    Oversized,
    Reach,
    Stopped,
    TransferError,
    Undone,
    Unreachable,
    Unsupported,
)
from ..protocols.values import Entry, Group, Item, Receipt
from .copying import nothing_to_verify
from .existing import already_there
from .gates import RETRY_AFTER_MOST
from .lanes import gate_key, key_of
from .planning import capability_of, decision
from .publishing import undo
from .requests import Remove, Transfer
from .routes import Route
from .service_copy import judged, verified
from .work import Copied, Task

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final, Protocol

    from ..protocols.contract import Service
    from ..protocols.locations import Location
    from ..protocols.values import TaskProgress
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


LAST_WORDS: Final = 15.0
"""Seconds after which no further task is cancelled when the run was stopped: a service may hang, and who stops jobs kills them soon."""
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


class _Choice:
    """What was chosen for one task so far, and what the rest must have in common with it."""

    __slots__ = ("_shared", "items", "key", "service", "worker", "works")

    def __init__(self, worker: Worker, key: tuple[str, str], location: Location) -> None:
        self.worker = worker
        self.key = key
        """The lane."""
        self.service = _service(location, worker)
        self.works: list[Work] = []
        self.items: list[Item] = []
        self._shared = ""

    def takes(self, shared: str, work: Work, item: Item) -> bool:
        """Whether it fits what is chosen, and so is chosen too. `shared` is the service's word for what may share a task."""
        if self.works and shared != self._shared:
            return False
        self._shared = shared
        self.works.append(work)
        self.items.append(item)
        return True


class Managing:
    """The managed tasks of one run, as the workers do their steps."""

    def __init__(self, desk: Desk, journal: Journal | None, wait: BackOff) -> None:
        self._desk = desk
        self._journal = journal
        self._wait = wait
        self._last_word = 0.0
        """When the run, which was stopped, has had enough time for cancelling; monotonic."""

    def begin(self, worker: Worker, entry: Stay, work: Work, item: Item) -> None:
        """Makes a task of `work` and of what waits in the same lane and may share it; its steps follow."""
        choice = _Choice(worker, entry.lane.key, item.destination)
        self._take(choice, work, item)
        if not choice.works:
            return
        most = capability_of(self._desk.plan, item.destination).task_items_most
        for other in self._desk.dispatcher.gather(entry, most - 1):
            self._join(choice, other)
        self.step(worker, self._task(choice.works, choice.items, choice.key))

    def _task(self, works: list[Work], items: list[Item], key: tuple[str, str]) -> Task:
        group = Group(tuple(items), mark_of(items), self._desk.plan.settings.deadline)
        return Task(works, group, items[0].destination, key, time.time(), time.monotonic())

    def _join(self, choice: _Choice, work: Work) -> None:
        """Adds `work` to the task if it may share it; else it goes its own way."""
        error = self._desk.known_obstacle(work)
        if error is not None:
            self._desk.advance(work, error)
            return
        item = item_of(work, choice.worker) if key_of(work) == choice.key else None
        if item is None:
            self._desk.dispatcher.again(work)
            return
        self._take(choice, work, item)

    def _take(self, choice: _Choice, work: Work, item: Item) -> None:
        """Chooses the item for the task, unless the request has its end or its next attempt already."""
        began, clock = time.time(), time.monotonic()
        try:
            present = self._present(work, item, choice.worker)
            shared = choice.service.group(item) if present is None else ""
        except TransferError as error:
            if isinstance(error, Unsupported) and isinstance(work.request, Transfer):
                work.no_service_copy = True
                self._desk.dispatcher.again(work)
                return
            error.at(End.DESTINATION, "prepare" if isinstance(work.request, Transfer) else "remove")
            self._desk.failed(choice.worker, work, error, choice.key, began, clock)
            return
        if present is not None:
            self._desk.succeeded(work, present, began, clock)
        elif not choice.takes(shared, work, item):
            self._desk.dispatcher.again(work)

    def _present(self, work: Work, item: Item, worker: Worker) -> Copied | None:
        """The finished copy where the destination has it already. Raises what forbids the request."""
        request = work.request
        if isinstance(request, Transfer):
            if request.verify_remote and request.expected is None:
                raise nothing_to_verify()
            return already_there(request, work, worker)
        if not self._desk.plan.settings.allow_dangerous_remove:
            from .removal import insist_on_safe

            insist_on_safe(item.destination)
        return None

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
        if progress.again is None:
            # Before the items go on: their next attempts are not to find this task again.
            self._forget(task)
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
            name = task.handle or f"with submission {task.submission}"
            self._last_word = self._last_word or time.monotonic() + LAST_WORDS
            if time.monotonic() > self._last_word:
                told = f"task {name} was not cancelled, for there was no time left: it may still be running"
                return task.left(), told
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
                told = f"task {name} could not be cancelled ({what}): it may still be running"
        return task.left(), told

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
        if isinstance(error, Oversized) and len(task.group.items) > 1:
            self._halve(task)
            return
        task.failures += 1
        if error.reach is Reach.HOST:
            self._desk.dispatcher.strike(gate_key(task.location), error, task.clock)
        if isinstance(error, Stopped) or self._may_pass(task, error):
            pause = min(PAUSE_MOST, self._wait(task.failures))
            self._desk.dispatcher.again(task, max(pause, error.retry_after or 0.0))
            return
        if task.handle:
            # It stays in the journal: a later run, or the next attempt of this one, asks again.
            error.what += f"; task {task.handle} may still be running"
        self._end(worker, task, error)

    def _may_pass(self, task: Task, error: TransferError) -> bool:
        """Whether the same step may succeed soon."""
        if error.retry_after is not None and error.retry_after > RETRY_AFTER_MOST:
            return False
        most = FAILURES_MOST if task.handle else self._desk.plan.settings.rounds
        passing = error.reach in (Reach.ATTEMPT, Reach.HOST) or isinstance(error, Unreachable)
        return passing and task.failures < most

    def _halve(self, task: Task) -> None:
        """Two tasks in the place of one that the service refused as too large."""
        self._forget(task)
        items, works, middle = task.group.items, task.left(), len(task.group.items) // 2
        for part in (slice(None, middle), slice(middle, None)):
            self._desk.dispatcher.again(self._task(works[part], list(items[part]), task.key))

    def _end(self, worker: Worker, task: Task, error: TransferError) -> None:
        """Gives the items that have no fate yet this one."""
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
        if isinstance(result, Undone):
            # It has had no try. This ends: each task in which something is undone has something that failed.
            self._desk.dispatcher.again(work)
            return
        if isinstance(result, Unsupported) and isinstance(work.request, Transfer):
            work.no_service_copy = True
            self._desk.dispatcher.again(work)
            return
        try:
            if isinstance(result, TransferError):
                if isinstance(result, Mismatch):
                    result.left_behind = undo(work.destination, worker, Receipt())
                raise result.at(End.SOURCE, "managed task")
            copied = _judged(work, result, worker)
        except TransferError as error:
            self._desk.failed(worker, work, error, task.key, task.began, task.clock)
            return
        note = "; ".join(filter(None, (f"done by task {task.handle}", copied.note)))
        self._desk.succeeded(work, copied._replace(note=note), task.began, task.clock)


def _judged(work: Work, receipt: Receipt, worker: Worker) -> Copied:
    """The finished item, if what the service says of it is what was expected."""
    transfer = work.request
    if not isinstance(transfer, Transfer):
        return Copied(None, 0)
    copied = judged(transfer, Entry("", transfer.size), receipt, work.destination, worker)
    return verified(transfer, work, worker, copied._replace(route=Route.MANAGED))


def mark_of(items: Iterable[Item]) -> str:
    """32 hexadecimal digits that are the same for the same items in a later process."""
    text = hashlib.sha256()
    for item in items:
        source = item.source.url if item.source is not None else ""
        line = f"{source}\0{item.destination.url}\0{item.expected}\0{item.recursive}\n"
        text.update(line.encode("utf-8", "surrogatepass"))
    return text.hexdigest()[:32]
