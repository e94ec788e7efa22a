"""Managed tasks in memory: a service for tests, over the objects of a `MemoryServer`.

    server = MemoryServer("managed")
    service = MemoryService(server)
    registry = Registry((service.capability(),))

One server holds the objects of all hosts. Copies and removals are items
of tasks; each `poll` does `pace` items. Operations `prepare`, `submit`, `poll`, `cancel` and, with the source's path, `item` are recorded
by the server and fail as it orders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .capability import Shape
from .errors import LocalRefused, NotFound, Oversized, TransferError
from .locations import parse_location
from .memory_store import MemoryStore
from .values import Receipt, TaskProgress

if TYPE_CHECKING:
    from typing import Any

    from .capability import Capability
    from .context import Context
    from .locations import Location
    from .memory import MemoryServer
    from .values import Group, Item


class MemoryTask:
    """One task, as the service knows it. It lives on when those who submitted it are gone."""

    def __init__(self, submission: str, group: Group) -> None:
        self.submission = submission
        self.group = group
        self.results: list[Receipt | TransferError] = []
        """Of the first items; the others are still to be done."""
        self.cancelled = False

    @property
    def over(self) -> bool:
        return self.cancelled or len(self.results) == len(self.group.items)


class MemoryService:
    """The tasks of a server; with `pace` items done at each question."""

    def __init__(self, server: MemoryServer, pace: int = 1 << 30) -> None:
        self.server = server
        self.pace = pace
        self.tasks: list[MemoryTask] = []
        self.prepared = 0
        self.local_folder = ""
        """Where the service reaches local files; empty: nowhere."""
        self.items_most = 1 << 30
        """Tasks of more items are refused as too large."""
        self.pause = 0.0
        """Seconds that the engine is asked to wait between two questions."""

    def capability(self, **overrides: Any) -> Capability:
        shapes = (Shape.STORE, Shape.SERVICE)
        declared = self.server.capability(shapes=shapes)._replace(**overrides)
        return declared._replace(implementation=lambda context: MemoryTaskStore(self, declared, context))

    def running(self, mark: str) -> MemoryTask | None:
        return next((task for task in self.tasks if task.group.mark == mark and not task.over), None)


class MemoryTaskStore(MemoryStore):
    """One worker's view of the service."""

    def __init__(self, service: MemoryService, declared: Capability, context: Context) -> None:
        super().__init__(service.server, declared, context)
        self._service = service

    def local_twin(self, location: Location, other: Location, *, writing: bool) -> Location | None:
        folder = self._service.local_folder
        if not folder or not location.path.startswith(folder + "/"):
            return None
        return parse_location(f"{self._server.name}://local{location.path}")

    def group(self, item: Item) -> str:
        if "/refused" in item.destination.path:
            raise LocalRefused(
                f"{item.destination.shown}: the service takes no such name", remedy="choose another name"
            )
        return "copy" if item.source is not None else "remove"

    def prepare(self, group: Group) -> str:
        with self._visit("prepare", group.items[0].destination, True, "write"), self._server.lock:
            running = self._service.running(group.mark)
            if running is not None:
                return running.submission
            self._service.prepared += 1
            return f"submission-{self._service.prepared}"

    def submit(self, group: Group, submission: str) -> str:
        with self._visit("submit", group.items[0].destination, True, "write"), self._server.lock:
            tasks = self._service.tasks
            for number, task in enumerate(tasks):
                if task.submission == submission:
                    return str(number)
            if len(group.items) > self._service.items_most:
                raise Oversized(f"{self._server.name}: {len(group.items)} items are too many for one task")
            tasks.append(MemoryTask(submission, group))
            return str(len(tasks) - 1)

    def poll(self, group: Group, handle: str) -> TaskProgress:
        task = self._service.tasks[int(handle)]
        with self._visit("poll", group.items[0].destination, True), self._server.lock:
            first = len(task.results)
            for item in task.group.items[first : first + self._service.pace]:
                task.results.append(self._done(item))
            moved = sum(result.size or 0 for result in task.results if isinstance(result, Receipt))
            return TaskProgress(
                tuple(enumerate(task.results)), None if task.over else self._service.pause, moved
            )

    def cancel(self, group: Group, handle: str) -> TaskProgress:
        task = self._service.tasks[int(handle)]
        with self._visit("cancel", group.items[0].destination, True, "write"), self._server.lock:
            task.cancelled = True
            return TaskProgress(tuple(enumerate(task.results)))

    def _done(self, item: Item) -> Receipt | TransferError:
        server, source, destination = self._server, item.source, item.destination
        try:
            with self._visit("item", source or destination, True):
                if source is None:
                    self.remove(destination, recursive=item.recursive)
                    return Receipt()
                stored = server.objects.get(source.path)
                if stored is None:
                    raise NotFound(f"{server.name}: there is no {source.path!r}")
                data = bytearray(stored.data)
                server.damage(destination.path, data, 0, written=True)
                server.put(destination.path, data)
                return Receipt(len(data), None, server.digests(("sha256",), bytes(data)), compared=True)
        except TransferError as error:
            return error
