"""Runs a plan: the only place with threads, clocks and waiting.

The caller's thread governs: it hands outcomes to the sinks, sees the deadline, and adds workers while there is work that
could start. Workers make attempts (`engine.py`).
"""

from __future__ import annotations

import threading
import time
from functools import partial

from ..checksum.records import NamedTuple
from ..protocols.errors import Defect, End, LocalRefused, Reach, Stopped, TransferError
from .accounting import Accounts
from .engine import Engine
from .ordering import Ordering
from .outcomes import Outcome, Status
from .requests import Remove, Transfer
from .settings import Exit
from .sinks import Ending, Progress, Start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from .ordering import Released, Skip
    from .planning import Plan
    from .processes import Crew
    from .requests import Request
    from .sinks import Sink
    from .surroundings import CredentialSource

WORKERS_MOST: Final = 128
"""Requests in progress when nobody says how many."""
FAILURES_KEPT: Final = 1000
_WAKE: Final = 0.02
_TICK: Final = 0.1
_ADAPT: Final = 0.05
_IDLE_BELOW: Final = 0.6
"""Seconds of processor time per second below which this process could do more; above, others would only wait longer."""
_PATIENCE: Final = 15.0
"""Seconds that workers get to notice a stop before the run ends without them."""


class Report(NamedTuple):
    """What a run came to. `failures` holds the first outcomes that are not done, at most `FAILURES_KEPT`."""

    ending: Ending
    failures: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        return self.ending.exit is Exit.DONE

    @property
    def exit(self) -> Exit:
        return self.ending.exit


def run(
    plan: Plan,
    *,
    sinks: Sequence[Sink] = (),
    credentials: CredentialSource | None = None,
    environment: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> Report:
    """Executes the plan and returns when every request has an outcome.

    `sinks` get every outcome as it happens, from this thread. `stop` ends the run early when set: what is not finished is
    `stopped`. `environment` (default: the process's) is where CA files, proxies and credentials are looked up. Failures
    of requests are values, never exceptions; what a sink cannot write is in the exit code and in the log.
    """
    return _Run(plan, sinks, credentials, environment, stop or threading.Event()).execute()


class Staff:
    """The worker threads of an engine: as many as have something to do, up to `most`."""

    def __init__(self, engine: Engine | Crew, most: int) -> None:
        self._engine = engine
        self._most = most or WORKERS_MOST
        self._threads: list[threading.Thread] = []
        self._adapted, self._used = time.monotonic(), time.process_time()

    def fit(self) -> None:
        """Call it often: adds workers that could start at once, and lets limits grow while the processor has time."""
        now = time.monotonic()
        passed = now - self._adapted
        if passed >= _ADAPT:
            used = time.process_time()
            self._engine.dispatcher.adapt(now, idle=used - self._used < _IDLE_BELOW * passed)
            self._adapted, self._used = now, used
        for _ in range(min(self._engine.dispatcher.wanted(), self._most - len(self._threads))):
            name = f"worker-{len(self._threads)}"
            thread = threading.Thread(target=self._engine.work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self, seconds: float | None) -> None:
        """Waits until all have gone home, for at most `seconds`."""
        until = time.monotonic() + (seconds or 0.0)
        for thread in self._threads:
            thread.join(None if seconds is None else max(0.0, until - time.monotonic()))


def _engine(
    plan: Plan,
    credentials: CredentialSource | None,
    environment: Mapping[str, str] | None,
    stop: threading.Event,
) -> Engine | Crew:
    if plan.settings.processes < 2:
        return Engine(plan, credentials, environment, stop)
    from .processes import Crew

    return Crew(plan, credentials, environment, stop)


class _Run:
    """One execution; lives in the governing thread."""

    def __init__(
        self,
        plan: Plan,
        sinks: Sequence[Sink],
        credentials: CredentialSource | None,
        environment: Mapping[str, str] | None,
        stop: threading.Event,
    ) -> None:
        self._plan = plan
        self._asked_to_stop = stop
        self._stop = threading.Event()
        """Our own: the deadline and our defects must not set what the caller listens to."""
        # Where checksums are recorded comes first: a failure there changes the outcome that the others are told.
        self._sinks = sorted(sinks, key=lambda sink: not sink.records_checksums)
        self._engine = _engine(plan, credentials, environment, self._stop)
        self._staff = Staff(self._engine, plan.settings.workers)
        self._ordering = Ordering(plan)
        self._accounts = Accounts()
        self._failures: list[Outcome] = []
        self._ended = bytearray(len(plan.requests))
        self._left = len(plan.requests)
        self._sink_failed = False
        self._recorder_failed: TransferError | None = None
        self._engine_failed = False
        self._ticked = 0.0

    def execute(self) -> Report:
        started = time.time()
        self._tell_begin(started)
        try:
            self._settle(self._ordering.begin())
            self._govern()
        except Exception as error:  # noqa: BLE001 - the engine's own defect ends in exit code 70
            self._engine_failed = True
            self._engine.log.defect("the engine", error)
            self._stop.set()
        except BaseException:
            self._abandon()
            raise
        finally:
            self._engine.dispatcher.finish()
        self._wait_for_workers()
        self._take_finished()
        self._stop_the_rest()
        self._engine.close()
        ending = self._ending(started)
        for sink in self._sinks:
            self._guarded(sink, partial(sink.end, self._with_sink_failure(ending)))
        return Report(self._with_sink_failure(ending), tuple(self._failures))

    def _abandon(self) -> None:
        """Ends the workers without a report: the caller was interrupted and gets that exception."""
        self._stop.set()
        self._engine.dispatcher.finish()
        self._wait_for_workers()
        self._engine.close()

    def _govern(self) -> None:
        engine = self._engine
        while self._left and not self._must_stop():
            self._staff.fit()
            engine.nudge.wait(_WAKE)
            engine.nudge.clear()
            self._take_finished()
            now = time.time()
            if now - self._ticked >= _TICK:
                self._tick(now)

    def _must_stop(self) -> bool:
        """Whether the caller or the deadline stopped the run, which may be before anything has begun."""
        if self._asked_to_stop.is_set():
            self._stop.set()
        deadline = self._plan.settings.deadline
        if deadline is not None and time.time() >= deadline:
            self._engine.why_stopped = "the deadline passed"
            self._stop.set()
        return self._stop.is_set()

    def _take_finished(self) -> None:
        finished = self._engine.finished
        while finished:
            self._settle_one(finished.popleft())

    def _settle_one(self, outcome: Outcome) -> None:
        outcome = self._account(outcome)
        if self._engine_failed:
            return  # nothing more is started
        released = self._ordering.ended(outcome.request, outcome.error, ok=outcome.status is Status.DONE)
        if released.ready or released.skipped:
            self._settle(released)

    def _settle(self, released: Released) -> None:
        """Queues what may start and gives what never will its outcome, as often as that releases more."""
        pending = [released]
        while pending:
            released = pending.pop()
            ready: list[Request] = []
            for request in released.ready:
                skip = self._skip(request) if isinstance(request, Remove) else None
                if skip is None:
                    ready.append(request)
                else:
                    released.skipped.append(skip)
            if ready:
                self._engine.dispatcher.feed(ready)
            for skip in released.skipped:
                outcome = self._account(_skipped(skip))
                pending.append(self._ordering.ended(outcome.request, outcome.error, ok=False))

    def _skip(self, remove: Remove) -> Skip | None:
        """Why this removal must not run; nothing where the guard rails will refuse it anyway, which says more."""
        if not self._plan.settings.allow_dangerous_remove:
            from .removal import insist_on_safe

            try:
                insist_on_safe(remove.target)
            except LocalRefused:
                return None
        return self._ordering.obstacle(remove)

    def _account(self, outcome: Outcome) -> Outcome:
        """Tells the sinks and counts; returns the outcome as the sinks left it."""
        self._ended[outcome.request.number] = 1
        self._left -= 1
        if self._recorder_failed is not None and _wants_recording(outcome):
            outcome = _unrecorded(outcome, self._recorder_failed)
        for sink in self._sinks:
            outcome = self._tell(sink, outcome)
        self._accounts.add(outcome)
        if outcome.status is not Status.DONE and len(self._failures) < FAILURES_KEPT:
            self._failures.append(outcome)
        return outcome

    def _tell(self, sink: Sink, outcome: Outcome) -> Outcome:
        try:
            sink.take(outcome)
        except TransferError as error:
            if sink.records_checksums and _wants_recording(outcome):
                return _unrecorded(outcome, error)
            self._sink_broke(sink, error)
        except Exception as error:  # noqa: BLE001 - a sink's defect is not the run's
            self._sink_broke(sink, error)
            if self._recorder_failed is not None and _wants_recording(outcome):
                return _unrecorded(outcome, self._recorder_failed)
        return outcome

    def _sink_broke(self, sink: Sink, error: Exception) -> None:
        from ..credentials.redaction import redact

        self._sink_failed = True
        self._sinks = [other for other in self._sinks if other is not sink]
        what = error.what if isinstance(error, TransferError) else f"{type(error).__name__}: {error}"
        self._engine.log.error("a report cannot be written and is given up: %s", redact(what))
        if sink.records_checksums:
            self._recorder_failed = (
                error
                if isinstance(error, TransferError)
                else Defect(f"no checksum was recorded: {redact(what)}")
            )

    def _tick(self, now: float) -> None:
        self._ticked = now
        totals = self._accounts.totals()
        progress = Progress(
            totals.done,
            totals.requests - totals.done,
            self._engine.active(),
            self._engine.moved(),
            now - self._started,
        )
        for sink in self._sinks:
            self._guarded(sink, partial(sink.tick, progress))

    def _tell_begin(self, started: float) -> None:
        self._started = started
        transfers, known = 0, 0
        for request in self._plan.requests:
            if isinstance(request, Transfer):
                transfers += 1
                known += request.size or 0
        start = Start(started, len(self._plan.requests), transfers, known)
        for sink in self._sinks:
            self._guarded(sink, partial(sink.begin, start))

    def _guarded(self, sink: Sink, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - a sink's defect is not the run's
            self._sink_broke(sink, error)

    def _wait_for_workers(self) -> None:
        self._staff.join(_PATIENCE if self._stop.is_set() else None)

    def _stop_the_rest(self) -> None:
        """Gives everything that has no outcome the one of a stopped request."""
        if not self._left:
            return
        why = self._engine.why_stopped
        progressed, told = self._engine.give_up()
        self._take_finished()
        for number, ended in enumerate(self._ended):
            if ended:
                continue
            work = progressed.get(number)
            what = "; ".join(filter(None, (f"{why} before this request was finished", told.get(number))))
            error = Stopped(what, end=End.NEITHER, step="wait")
            attempts = work.attempts if work is not None else ()
            self._account(
                Outcome(self._plan.requests[number], Status.STOPPED, error=error, attempts=attempts)
            )

    def _ending(self, started: float) -> Ending:
        stopped = self._stop.is_set() and self._accounts.totals().stopped > 0
        code = self._accounts.exit_code(stopped, self._engine_failed or self._engine.broken)
        return Ending(started, time.time(), code, self._accounts.totals(), self._accounts.integrity())

    def _with_sink_failure(self, ending: Ending) -> Ending:
        if self._sink_failed and ending.exit is Exit.DONE:
            return ending._replace(exit=Exit.FAILED)
        return ending


def _wants_recording(outcome: Outcome) -> bool:
    request = outcome.request
    return isinstance(request, Transfer) and request.generate_checksum and outcome.status is Status.DONE


def _unrecorded(outcome: Outcome, error: TransferError) -> Outcome:
    """The failed outcome of a copy that is in place, but whose checksum was to be recorded and is not."""
    return outcome._replace(status=Status.FAILED, error=error.at(End.NEITHER, "record checksum"))


def _skipped(skip: Skip) -> Outcome:
    cause = skip.cause
    error = (
        type(cause)(skip.why, remedy="see the request it waited for") if cause else TransferError(skip.why)
    )
    error.at(End.NEITHER, "wait")
    error.reach = Reach.REQUEST
    return Outcome(skip.request, Status.SKIPPED, error=error)
