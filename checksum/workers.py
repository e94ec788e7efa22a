"""The processes that digest files, and the parent that feeds them.

A slice of the list goes down a pipe, its results come up another, both as `marshal` has them, behind their length in four
bytes. Every process has at most two slices, the one it works on and the next. Ends of pipes in the parent never
block, so nobody waits for somebody who waits. SIGINT is the parent's business; a process ends when its pipe
does, or after the current file when its parent is gone.
"""

from __future__ import annotations

import gc
import os
import select
import signal
from collections import deque
from marshal import dumps, loads

from . import errors
from .digest import Digest
from .errors import ChecksumError, Interrupted, WorkerDied
from .files import FileDigest, new_buffer
from .parallel import Digested, Task, found_by, in_turn
from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

    from .parallel import Reading

SLICE = 64
"""Files; the first slices are smaller, so that a few large files are spread."""
_IN_HAND = 2
_AHEAD = 64
"""Slices whose results may wait for an earlier one that takes long."""
_DEATHS = 2
"""A slice that killed so many processes is not tried again."""
_LOOK_MILLISECONDS = 200
"""How often the stop event is looked at."""


class _Slice:
    __slots__ = ("deaths", "number", "tasks")

    def __init__(self, number: int, tasks: list[Task]) -> None:
        self.number = number
        self.tasks = tasks
        self.deaths = 0


class _Ends(NamedTuple):
    down: int
    up: int


class _Worker:
    """A process, its pipes and what it has in hand."""

    def __init__(self, pid: int, ends: _Ends) -> None:
        self.pid = pid
        self.ends = ends
        self.slices: deque[_Slice] = deque()
        self._out = bytearray()
        self._in = bytearray()
        for end in ends:
            os.set_blocking(end, False)

    def give(self, one: _Slice) -> None:
        self.slices.append(one)
        self._out += _framed([tuple(task) for task in one.tasks])
        self.send()

    @property
    def sending(self) -> bool:
        return bool(self._out)

    def send(self) -> None:
        try:
            while self._out:
                del self._out[: os.write(self.ends.down, self._out)]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it died: reading its results tells
            self._out.clear()

    def receive(self) -> bool:
        """Takes what has come up; False when no more will."""
        try:
            while piece := os.read(self.ends.up, 1 << 16):
                self._in += piece
        except BlockingIOError:
            return True
        return False

    def finished(self) -> Iterator[tuple[_Slice, list[Digested]]]:
        """The slices whose results are complete."""
        while len(self._in) >= 4:
            end = 4 + int.from_bytes(self._in[:4], "little")
            if len(self._in) < end:
                return
            answers = loads(self._in[4:end])
            del self._in[:end]
            one = self.slices.popleft()
            yield one, [_answer(task, found) for task, found in zip(one.tasks, answers, strict=True)]

    def end(self) -> None:
        """Ends the process at once, whatever it does. Its pipes are closed and it is waited for."""
        for end in self.ends:
            os.close(end)
        os.kill(self.pid, signal.SIGKILL)  # it is ours and not yet waited for, so the number is its own
        os.waitpid(self.pid, 0)


def by_processes(
    tasks: Iterator[Task],
    count: int,
    how: Reading,
    stop: threading.Event | None,
    before_waiting: Callable[[], None],
) -> Iterator[Digested]:
    """As `digest_files`, by `count` processes, forked when the first result is asked for."""
    pool = _Pool(tasks, how)
    try:
        pool.start(count)
        yield from pool.results(stop, before_waiting)
    finally:
        pool.close()


class _Pool:
    def __init__(self, tasks: Iterator[Task], how: Reading) -> None:
        self._tasks: Iterator[Task] | None = tasks
        self._how = how
        self._workers: list[_Worker] = []
        self._again: deque[_Slice] = deque()
        self._done: dict[int, list[Digested]] = {}
        self._cut = 0
        self._next = 0
        self._poll = select.poll()

    def start(self, count: int) -> None:
        """Forks. Fewer processes than asked for are no failure; with none all is done here."""
        for _ in range(count):
            try:
                worker = _forked(self._how, [end for other in self._workers for end in other.ends])
            except OSError:
                break
            self._workers.append(worker)
            self._poll.register(worker.ends.up, select.POLLIN)

    def close(self) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.end()

    def results(self, stop: threading.Event | None, before_waiting: Callable[[], None]) -> Iterator[Digested]:
        while True:
            self._feed()
            if (ready := self._done.pop(self._next, None)) is not None:
                self._next += 1
                self._look(0)
                yield from ready
            elif self._workers and self._next < self._cut:
                before_waiting()
                self._look(_LOOK_MILLISECONDS)
            elif not self._here(stop):
                return
            if stop is not None and stop.is_set():
                raise Interrupted("reading was interrupted")

    def _feed(self) -> None:
        for depth in range(1, _IN_HAND + 1):  # nobody gets a second one before everybody has one
            for worker in self._workers:
                if len(worker.slices) < depth and (one := self._slice()) is not None:
                    worker.give(one)

    def _slice(self) -> _Slice | None:
        if self._again:
            return self._again.popleft()
        if self._tasks is None or self._cut - self._next >= _AHEAD:
            return None
        size = min(SLICE, 1 + self._cut // (2 * _IN_HAND))
        tasks = []
        for task in self._tasks:
            tasks.append(task)
            if len(tasks) == size:
                break
        else:
            self._tasks = None
        if not tasks:
            return None
        self._cut += 1
        return _Slice(self._cut - 1, tasks)

    def _here(self, stop: threading.Event | None) -> bool:
        """Does a slice in this process, all others being dead; False if there is none left."""
        one = self._slice()
        if one is None:
            return False
        self._done[one.number] = list(in_turn(one.tasks, self._how, stop))
        return True

    def _look(self, milliseconds: int) -> None:
        """Takes results from whoever has some, sends on what did not fit, and notices who died."""
        for worker in self._workers:
            events = select.POLLOUT if worker.sending else 0
            self._poll.register(worker.ends.down, events)  # 0 still tells of a reader that is gone
        ready = {end for end, _ in self._poll.poll(milliseconds)}
        for worker in list(self._workers):
            if worker.ends.down in ready:
                worker.send()
            if worker.ends.up in ready:
                alive = worker.receive()
                for one, results in worker.finished():
                    self._done[one.number] = results
                if not alive:
                    self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        for end in worker.ends:
            self._poll.unregister(end)
        worker.end()
        for place, one in enumerate(worker.slices):
            one.deaths += place == 0  # only the first was being worked on
            if one.deaths < _DEATHS:
                self._again.append(one)
            else:
                died = WorkerDied("the processes that read it, or its neighbours in the list, were killed")
                self._done[one.number] = [Digested(task.path, None, died) for task in one.tasks]


def _framed(value: list[Any]) -> bytes:
    packed: bytes = dumps(value)
    return len(packed).to_bytes(4, "little") + packed


_made = tuple.__new__
"""A third of the time of a named tuple's own constructor."""


def _answer(task: Task, found: tuple[Any, ...]) -> Digested:
    """The result again, from its size and values, or the error's class, number and text."""
    first = found[0]
    if type(first) is not int:
        return Digested(task.path, None, _error(task, *found))
    names = task.algorithms
    if len(found) == 2:  # nearly always; for many small files this is most of what the parent does
        digest = _made(Digest, (names[0], found[1]))
        return _made(Digested, (task.path, _made(FileDigest, (first, (digest,))), None))
    pairs = zip(dict.fromkeys(names), found[1:], strict=True)
    return Digested(task.path, FileDigest(first, tuple([Digest(name, value) for name, value in pairs])))


def _error(task: Task, kind: str, number: int, text: str) -> OSError | ChecksumError:
    if kind == "OSError":
        return OSError(number, text, task.path)
    made: ChecksumError = getattr(errors, kind, ChecksumError)(text)
    return made


# --- in the process


def _forked(how: Reading, foreign: list[int]) -> _Worker:
    below, down = os.pipe()
    up, above = os.pipe()
    pid = os.fork()
    if pid == 0:
        _serve(below, above, how, [down, up, *foreign])
    os.close(below)
    os.close(above)
    return _Worker(pid, _Ends(down, up))


def _serve(below: int, above: int, how: Reading, foreign: list[int]) -> NoReturn:
    """Never returns: what the parent has still to do, at its exit and in its `finally`, is not done twice."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for end in foreign:
            os.close(end)
        gc.disable()  # nothing here makes cycles, and looking for some copies the parent's pages
        _work(below, above, how)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the parent sees the end of the pipe
        os._exit(1)


def _work(below: int, above: int, how: Reading) -> None:
    parent = os.getppid()
    buffer = new_buffer()
    with os.fdopen(below, "rb") as commands, os.fdopen(above, "wb") as answers:
        while head := commands.read(4):
            found = []
            for path, algorithms in loads(commands.read(int.from_bytes(head, "little"))):
                found.append(_result(Task(path, algorithms), how, buffer))
                if os.getppid() != parent:
                    return
            answers.write(_framed(found))
            answers.flush()


def _result(task: Task, how: Reading, buffer: memoryview) -> tuple[object, ...]:
    try:
        size, digests = found_by(task, how, buffer)
    except OSError as error:
        return ("OSError", error.errno or 0, error.strerror or str(error))
    except ChecksumError as error:
        return (type(error).__name__, 0, str(error))
    return (size, *[value for _, value in digests])
