"""A forked process of a run: what the parent has of it, and its life.

Numbers of requests and orders go to it through one pipe, outcomes come back through another. A child whose parent has died
sees the end of its pipe and stops.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from ..protocols.locations import Location
from .execution import Staff
from .requests import Remove
from .work import Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final, NoReturn

    from .commons import Commons
    from .engine import Engine
    from .outcomes import Outcome
    from .planning import Plan
    from .settings import Settings
    from .surroundings import CredentialSource

_NUMBER: Final = struct.Struct("=q")
_LENGTH: Final = struct.Struct("=I")
_STOP: Final = -1
_NO_MORE: Final = -2
_ONCE_MORE: Final = 1 << 62
"""Beside the number of a request that a process had which was killed."""
_WAKE: Final = 0.02


class Child:
    """One child, as the parent sees it. `receive` is called by the one thread that tends it, all else under the crew's lock."""

    def __init__(self, pid: int, commands: int, results: int) -> None:
        self._pid = pid
        self._commands = commands
        self._results = open(results, "rb", buffering=1 << 16)  # noqa: SIM115 - closed with the child
        self._code: int | None = None
        self.own: deque[int] = deque()
        """Requests that only this child may do."""
        self.stretch: deque[int] = deque()
        """Requests that it is to do next if no other has nothing to do."""
        self.in_hand: set[int] = set()
        self.of_tasks: set[int] = set()
        """What it has in hand beside that for managed tasks, which cost it next to nothing."""
        self.moved = 0
        self.active = 0

    @property
    def alive(self) -> bool:
        return self._code is None

    def give(self, numbers: list[int], twice: set[int]) -> None:
        """`twice` holds those that a killed process had. The pipe holds more than a child has in hand at most, so this never blocks."""
        self.in_hand.update(numbers)
        self._write(_packed(numbers, twice))

    def give_task(self, numbers: list[int], twice: set[int]) -> None:
        """It is read by a thread of its own, so it is written to its end."""
        self.of_tasks.update(numbers)
        self._write(_packed(numbers, twice))

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


def _packed(numbers: Iterable[int], twice: set[int]) -> bytes:
    return b"".join([_NUMBER.pack(each | _ONCE_MORE if each in twice else each) for each in numbers])


def processes_of(settings: Settings) -> int:
    """How many processes share the work: no more than requests may be in progress."""
    return min(settings.processes, settings.workers or settings.processes)


def forked(
    plan: Plan,
    index: int,
    credentials: CredentialSource | None,
    environment: Mapping[str, str] | None,
    before: list[Child],
    commons: Commons,
) -> Child:
    """The child of that number, which leads a life of its own from now on."""
    commands_out, commands_in = os.pipe()
    results_out, results_in = os.pipe()
    pid = os.fork()
    if pid:
        os.close(commands_out)
        os.close(results_in)
        return Child(pid, commands_in, results_out)
    try:
        os.close(commands_in)
        os.close(results_out)
        for other in before:  # else this child would keep its brothers' pipes open
            other.forget()
        share = share_of(plan, index)
        _serve(share, credentials, environment, commons.seated(index), commands_out, results_in)
    finally:
        os._exit(70)


def share_of(plan: Plan, index: int) -> Plan:
    """The plan with a child's share of what can be divided. A journal has one writer; a deadline is the parent's to see, the
    child only tells it to services."""
    settings, count = plan.settings, processes_of(plan.settings)
    workers = max(1, settings.workers // count) if settings.workers else 0
    share = settings._replace(
        processes=1,
        workers=workers,
        journal=settings.journal if index == 0 else "",
        bandwidth=-(-settings.bandwidth // count),
        spool_bytes=max(1, settings.spool_bytes // count),
    )
    return plan._replace(settings=share)


def _serve(
    plan: Plan,
    credentials: CredentialSource | None,
    environment: Mapping[str, str] | None,
    commons: Commons,
    commands: int,
    results: int,
) -> NoReturn:
    """The life of a child. Signals are the parent's to answer."""
    from .engine import Engine

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    stop, over = threading.Event(), threading.Event()
    engine = Engine(plan, credentials, environment, stop, commons)
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
            engine.dispatcher.feed(plan.requests[number] for number in numbers if 0 <= number < _ONCE_MORE)
            for number in numbers:
                if number >= _ONCE_MORE:
                    work = Work(plan.requests[number - _ONCE_MORE], plan.settings.seed, time.monotonic())
                    work.once_more = True
                    engine.dispatcher.again(work)
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
