"""Runs of the engine for tests: requests in, outcomes out, and what must hold for every run checked on the way."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wf.checksum.digest import Digest
from wf.protocols.capability import Shape
from wf.protocols.errors import End
from wf.protocols.locations import Location, parse_location
from wf.protocols.memory import MemoryServer
from wf.protocols.registry import FILE, Registry
from wf.transfer.execution import Report, run
from wf.transfer.outcomes import Outcome, Status
from wf.transfer.planning import plan
from wf.transfer.requests import Batch, MakeDirectory, Remove, Transfer
from wf.transfer.settings import Settings
from wf.transfer.sinks import NullSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wf.protocols.capability import Capability
    from wf.transfer.requests import Request
    from wf.transfer.sinks import Ending, Sink
    from wf.transfer.surroundings import CredentialSource

GUARD_SECONDS = 30.0
"""Against hanging only: a run that takes this long is stopped, and its test fails."""

QUICK = Settings(back_off=0.001, back_off_most=0.002, stall=GUARD_SECONDS, seed="fixed")
"""Repetitions without waiting."""


class Recorder(NullSink):
    """Keeps everything that it is told."""

    def __init__(self) -> None:
        self.begun = 0
        self.outcomes: list[Outcome] = []
        self.endings: list[Ending] = []

    def begin(self, start: object) -> None:
        self.begun += 1

    def take(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def end(self, ending: Ending) -> None:
        self.endings.append(ending)


class Run(NamedTuple):
    """A finished run. Indexed by request number."""

    report: Report
    recorded: Recorder

    def __getitem__(self, number: int) -> Outcome:  # type: ignore[override]
        return next(outcome for outcome in self.recorded.outcomes if outcome.request.number == number)

    @property
    def exit(self) -> int:
        return int(self.report.exit)

    @property
    def statuses(self) -> list[str]:
        return [str(self[number].status) for number in range(len(self.recorded.outcomes))]

    @property
    def order(self) -> list[int]:
        """The numbers of the requests as they ended."""
        return [outcome.request.number for outcome in self.recorded.outcomes]


def sha256(data: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(data).digest())


def digest(algorithm: str, data: bytes) -> Digest:
    return Digest(algorithm, hashlib.new(algorithm, data).digest())


def at(place: Location | Path | str, **details: object) -> Location:
    """The location of a path, of a URL, or of itself with other details."""
    if isinstance(place, Location):
        return place._replace(**details)  # type: ignore[arg-type]
    url = f"file://{place}" if isinstance(place, Path) else place
    return parse_location(url, **details)  # type: ignore[arg-type]


Place = Location | Path | str


def transfer(
    number: int, sources: Place | Sequence[Place], destinations: Place | Sequence[Place], **details: object
) -> Transfer:
    """A transfer between locations, paths or URLs; of several, the first is the first to be tried."""
    return Transfer(
        number=number,
        id=str(number),
        lfn=str(details.pop("lfn", f"file.{number}")),
        sources=_ranked(sources),
        destinations=_ranked(destinations),
        **details,  # type: ignore[arg-type]
    )


def _ranked(places: Place | Sequence[Place]) -> tuple[Location, ...]:
    if isinstance(places, (str, Path, Location)):
        return (at(places),)
    return tuple(
        place if place.priority is not None else place._replace(priority=1000 - index)
        for index, place in enumerate(at(place) for place in places)
    )


def mkdir(number: int, target: Place, **details: object) -> MakeDirectory:
    return MakeDirectory(number, str(number), at(target), **details)  # type: ignore[arg-type]


def remove(number: int, target: Place, **details: object) -> Remove:
    return Remove(number, str(number), at(target), **details)  # type: ignore[arg-type]


def execute(
    requests: Iterable[Request],
    *servers: MemoryServer | Capability,
    settings: Settings = QUICK,
    sinks: Sequence[Sink] = (),
    credentials: CredentialSource | None = None,
    stop: threading.Event | None = None,
    during: Callable[[], None] | None = None,
) -> Run:
    """Runs the requests over local files and `servers`, and checks what must hold whatever happened.

    A server given as such does not copy by itself; one that shall is given as a capability.
    `during` is called in a thread of its own once the run has begun.
    """
    batch = Batch(tuple(requests))
    capabilities = [FILE, *(streaming(item) if isinstance(item, MemoryServer) else item for item in servers)]
    recorded, stop = Recorder(), stop or threading.Event()
    made = plan(batch, settings, registry=Registry(capabilities, entry_points=False))
    guard = _Guard(stop)
    beside = threading.Thread(target=during) if during else None
    if beside:
        beside.start()
    try:
        report = run(made, sinks=[*sinks, recorded], credentials=credentials, stop=stop, environment={})
    finally:
        guard.cancel()
        if beside:
            beside.join(GUARD_SECONDS)
    assert not guard.rang, f"the run hung: {[outcome.status for outcome in recorded.outcomes]}"
    finished = Run(report, recorded)
    _insist_on_sense(batch, finished)
    for server in servers:
        if isinstance(server, MemoryServer):
            assert server.still_open() == 0, "a reader or writer was never closed"
    return finished


def streaming(server: MemoryServer, **overrides: object) -> Capability:
    """The server without third-party copy: the bytes pass through the engine."""
    return server.capability(shapes=(Shape.STORE,), **overrides)


class _Guard:
    def __init__(self, stop: threading.Event) -> None:
        self.rang = False
        self._stop = stop
        self._timer = threading.Timer(GUARD_SECONDS, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def _ring(self) -> None:
        self.rang = True
        self._stop.set()

    def cancel(self) -> None:
        self._timer.cancel()


def _insist_on_sense(batch: Batch, finished: Run) -> None:
    """Every request has one outcome; whatever failed names its end, step, reason and remedy, and holds no secret."""
    recorded, totals = finished.recorded, finished.report.ending.totals
    assert sorted(finished.order) == list(range(len(batch.requests))), "requests were lost or doubled"
    assert recorded.begun == 1 and len(recorded.endings) == 1
    assert totals.requests == len(batch.requests)
    assert totals.attempts == sum(len(outcome.attempts) for outcome in recorded.outcomes)
    for outcome in recorded.outcomes:
        assert outcome.request is batch.requests[outcome.request.number]
        assert (outcome.status is Status.DONE) == (outcome.error is None), outcome
        for error in [outcome.error, *(attempt.error for attempt in outcome.attempts)]:
            if error is not None:
                assert isinstance(error.end, End) and error.step, f"no end or step: {error!r}"
                assert error.what and "SECRET" not in f"{error.what}{error.remedy}{error.host}", repr(error)
                assert error.remedy, f"no remedy: {error.code}: {error.what}"
        assert "SECRET" not in outcome.note


def leftovers(*folders: Path) -> list[str]:
    """Partials and spool folders of ours below the folders."""
    return sorted(str(path) for folder in folders for path in folder.rglob(".wf-*")) + sorted(
        str(path) for folder in folders for path in folder.rglob("wf-spool-*")
    )
