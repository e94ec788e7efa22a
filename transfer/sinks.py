"""Where outcomes go. The engine calls every sink from one thread, in order, as things happen.

`begin` once, then `take` for each request and `tick` a few times a second, then `end` once, also when the run was
stopped. A sink must not keep outcomes of successful requests: a batch may have millions.
"""

from __future__ import annotations

from ..checksum.records import NamedTuple, Protocol
from .settings import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .outcomes import Outcome


class Start(NamedTuple):
    """What is known when the run begins. Times are seconds since 1970."""

    started: float
    requests: int
    transfers: int
    bytes: int
    """Sum of the sizes that the batch tells; a lower bound."""


class Progress(NamedTuple):
    """How far the run is. `bytes` counts what moved, repeated attempts included, and may go back."""

    done: int
    failed: int
    active: int
    bytes: int
    seconds: float


class Totals(NamedTuple):
    """Counters over all outcomes. `bytes` are those of successful transfers."""

    requests: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    stopped: int = 0
    attempts: int = 0
    bytes: int = 0


class LinkageChecks(NamedTuple):
    """Digests compared for requests of one `linkage` (`input`, `output`, ...)."""

    linkage: str
    checked: int
    failed: int
    seconds: float


class Ending(NamedTuple):
    """How the run ended. `exit` is the exit code that the outcomes call for."""

    started: float
    finished: float
    exit: Exit
    totals: Totals
    integrity: tuple[LinkageChecks, ...]
    """Sorted by linkage; linkages for which nothing was checked are absent."""


class Sink(Protocol):
    records_checksums: bool
    """This sink is a place where `generate_checksum` is recorded: if `take` raises a `TransferError`, the request fails."""

    def begin(self, start: Start) -> None: ...

    def take(self, outcome: Outcome) -> None: ...

    def tick(self, progress: Progress) -> None: ...

    def end(self, ending: Ending) -> None: ...


class NullSink:
    """Does nothing; a base for sinks that need only some of the calls."""

    records_checksums = False

    def begin(self, start: Start) -> None: ...

    def take(self, outcome: Outcome) -> None: ...

    def tick(self, progress: Progress) -> None: ...

    def end(self, ending: Ending) -> None: ...
