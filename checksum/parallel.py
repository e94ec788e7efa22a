"""Digests of many files, in the order asked for, on all processors.

Small files cost more to hand between threads than to hash, so they go to processes: forked before this process has
a second thread, fed with slices of the list through pipes. A slice whose process was killed is done by another. Where
forking is not possible (threads are running) large files go to threads and small ones are done here.
"""

from __future__ import annotations

import os
import sys
from collections import deque

from .errors import ChecksumError, Interrupted
from .files import FileDigest, digest_file, digest_stream, new_buffer
from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator

MOST_WORKERS = 16
_FEW = 64
"""So many files are looked at before it is decided whether to start processes."""
_LITTLE_BYTES = 8 << 20
"""Of all the files: less is read before a process has started."""
_LARGE_BYTES = 1 << 20
"""From here on a thread gains more than it costs."""


def _nothing() -> None:
    pass


class Task(NamedTuple):
    """A file to read. The path `-` is one like any other, unless the options say that it is standard input."""

    path: bytes
    algorithms: tuple[str, ...] = ("sha256",)


NOTHING = Task(b"", ())
"""A task without a file. Its result finds 0 bytes and no digest."""


class Digested(NamedTuple):
    """What became of a task: one of `found` and `error` is there."""

    path: bytes
    found: FileDigest | None
    error: OSError | ChecksumError | None = None


class Reading(NamedTuple):
    """How files are read; see `digest_file`."""

    special: bool = False
    from_disk: bool = False
    standard_input: bool = False
    """The path `-` means the open descriptor 0."""


def digest_files(
    tasks: Iterable[Task],
    *,
    workers: int | None = None,
    reading: Reading | None = None,
    stop: threading.Event | None = None,
    before_waiting: Callable[[], None] = _nothing,
) -> Iterator[Digested]:
    """One result a task, in order; tasks are taken as results are, a few thousand ahead.

    `workers` is the number of processes; None as many as there are processors for this process (16 at most), 1 none at all.
    `before_waiting` is called whenever the next result may take a while: the moment to hand on what was collected.
    Raises Interrupted soon after `stop` is set, and what `tasks` raises. Close the iterator to end the processes early.
    """
    how = reading or Reading()
    source = iter(tasks)
    head = _first(source, _FEW)
    count = processors() if workers is None else workers
    rest = _chained(head, source)
    if count < 2 or not _worth_it(head):
        return in_turn(rest, how, stop, before_waiting)
    if may_fork():
        from .workers import by_processes

        return by_processes(rest, count, how, stop, before_waiting)
    return _by_threads(rest, count, how, stop, before_waiting)


def processors() -> int:
    """The processors that this process may use, 16 at most: then the disk is what is waited for."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    return min(os.cpu_count() or 1, MOST_WORKERS)


def may_fork() -> bool:
    """Whether no other thread runs, of Python's or of a library's: its locks would stay locked in the new process."""
    threads = sys.modules.get("threading")
    if not hasattr(os, "fork") or (threads is not None and threads.active_count() > 1):
        return False
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:  # not Linux
        return True


def _first(source: Iterator[Task], count: int) -> list[Task]:
    head = []
    for task in source:
        head.append(task)
        if len(head) == count:
            break
    return head


def _chained(head: list[Task], source: Iterator[Task]) -> Iterator[Task]:
    yield from head
    head.clear()
    yield from source


def _worth_it(head: list[Task]) -> bool:
    if len(head) < 2:
        return False
    return len(head) == _FEW or sum(_size(task.path) for task in head) >= _LITTLE_BYTES


def _size(path: bytes) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


# --- one file after another


def in_turn(
    tasks: Iterable[Task],
    how: Reading,
    stop: threading.Event | None = None,
    before_waiting: Callable[[], None] = _nothing,
) -> Iterator[Digested]:
    """The results, computed here one after another."""
    buffer = new_buffer()
    for task in tasks:
        before_waiting()
        yield digested(task, how, buffer, stop)
        if stop is not None and stop.is_set():
            raise Interrupted("reading was interrupted")


def digested(
    task: Task, how: Reading, buffer: memoryview | None = None, stop: threading.Event | None = None
) -> Digested:
    """The result of one task. Raises Interrupted only."""
    try:
        return Digested(task.path, found_by(task, how, buffer, stop))
    except Interrupted:
        raise
    except (OSError, ChecksumError) as error:
        return Digested(task.path, None, error)


def found_by(
    task: Task, how: Reading, buffer: memoryview | None = None, stop: threading.Event | None = None
) -> FileDigest:
    """What a task finds. Raises OSError and ChecksumError."""
    path, algorithms = task
    if not algorithms:
        return FileDigest(0, ())
    try:
        if how.standard_input and path == b"-":
            return digest_stream(0, algorithms, buffer=buffer, stop=stop)
        return digest_file(
            path, algorithms, buffer=buffer, stop=stop, special=how.special, from_disk=how.from_disk
        )
    except ValueError as error:  # a NUL in the name, an unknown algorithm
        raise ChecksumError(str(error)) from None


# --- threads


def _by_threads(
    tasks: Iterator[Task],
    count: int,
    how: Reading,
    stop: threading.Event | None,
    before_waiting: Callable[[], None],
) -> Iterator[Digested]:
    """Large files in threads, small ones here when their turn comes."""
    from concurrent.futures import Future, ThreadPoolExecutor

    line: deque[Task | Future[Digested]] = deque()
    large = 0
    buffer = new_buffer()
    pool = ThreadPoolExecutor(count, thread_name_prefix="digest")
    try:
        more = True
        while line or more:
            while more and large < 2 * count and len(line) < 16 * _FEW:
                task = next(tasks, None)
                if task is None:
                    more = False
                elif _size(task.path) >= _LARGE_BYTES:
                    line.append(pool.submit(digested, task, how, None, stop))
                    large += 1
                else:
                    line.append(task)
            if line:
                first = line.popleft()
                before_waiting()
                if isinstance(first, Future):
                    large -= 1
                    yield first.result()
                else:
                    yield digested(first, how, buffer, stop)
    finally:
        pool.shutdown(cancel_futures=True)
