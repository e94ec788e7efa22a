"""Items that failed before the run began, counted and told as if they had failed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .accounting import Accounts
from .settings import Exit
from .sinks import NullSink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .outcomes import Outcome
    from .sinks import Ending, Progress, Sink, Start


class WithRefused(NullSink):
    """Another sink, which is told of the refused items as well."""

    def __init__(self, sink: Sink, refused: Sequence[Outcome]) -> None:
        self._sink = sink
        self._refused = refused
        self.records_checksums = sink.records_checksums

    def begin(self, start: Start) -> None:
        more = len(self._refused)
        self._sink.begin(start._replace(requests=start.requests + more, transfers=start.transfers + more))
        for outcome in self._refused:
            self._sink.take(outcome)

    def take(self, outcome: Outcome) -> None:
        self._sink.take(outcome)

    def tick(self, progress: Progress) -> None:
        self._sink.tick(progress._replace(failed=progress.failed + len(self._refused)))

    def end(self, ending: Ending) -> None:
        more, totals = len(self._refused), ending.totals
        self._sink.end(
            ending._replace(
                exit=exit_with(ending.exit, self._refused, stopped=totals.stopped > 0),
                totals=totals._replace(requests=totals.requests + more, failed=totals.failed + more),
            )
        )


def exit_with(code: Exit, refused: Sequence[Outcome], *, stopped: bool = False) -> Exit:
    """The exit code of a run and of what was refused before it, by the order of `Accounts.exit_code`."""
    accounts = Accounts()
    for outcome in refused:
        accounts.add(outcome)
    before = accounts.exit_code(stopped=False, engine_failed=False)
    if before is Exit.DONE or code in (Exit.DEFECT, before) or stopped:
        return code
    if code is Exit.DONE:
        return before
    return Exit.MISMATCH if Exit.MISMATCH in (code, before) else Exit.FAILED
