"""What happens in a run as JSON Lines, for those who watch it or collect logs.

Every line has `ts` (RFC 3339, UTC, when it happened), `level` (`info`, `warning`, `error`) and `event`:
`run-started`, `attempt-failed`, `request-finished`, `run-finished`. Fields may be added.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .outcomes import Status
from .record_text import json_url, message, quote, timestamp
from .report_file import ReportFile
from .requests import Transfer, kind_of
from .result import json_integrity, json_members, json_totals
from .sinks import NullSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from ..protocols.errors import TransferError
    from .outcomes import Attempt, Outcome
    from .requests import Request
    from .settings import Exit
    from .sinks import Ending, Progress, Start

_AT_LEAST_EVERY: Final = 1.0
"""Seconds after which lines are handed over, also when nothing failed."""


class EventsSink(NullSink):
    """Appends to `path`; earlier runs in it stay. `begin` raises `TransferError` where nothing can be written.

    Once a write has failed nothing more is written, and `end` raises: a watcher's full disk fails no transfer.
    """

    def __init__(self, path: str, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._flushed = 0.0

    def begin(self, start: Start) -> None:
        self._file = ReportFile(self._path, "the events", append=True)
        self._write(
            f'{_head(start.started, "info", "run-started")},"requests":{start.requests},'
            f'"transfers":{start.transfers},"bytes":{start.bytes}}}\n'
        )
        self._flush(start.started)

    def take(self, outcome: Outcome) -> None:
        request = outcome.request
        for number, attempt in enumerate(outcome.attempts, 1):
            if attempt.error is not None:
                self._write(_attempt_failed(request, number, attempt, attempt.error))
        now = self._clock()
        self._write(_request_finished(now, outcome))
        if outcome.status is not Status.DONE:
            self._flush(now)

    def tick(self, progress: Progress) -> None:
        now = self._clock()
        # A clock that was set back must not silence the file for as long.
        if not 0.0 <= now - self._flushed < _AT_LEAST_EVERY:
            self._flush(now)

    def end(self, ending: Ending) -> None:
        self._write(
            f'{_head(ending.finished, _level_of_exit(ending.exit), "run-finished")},"exit":{int(ending.exit)},'
            f'"totals":{json_totals(ending)},"integrity":{json_integrity(ending.integrity)}}}\n'
        )
        self._file.publish()

    def _write(self, line: str) -> None:
        self._file.write(line)

    def _flush(self, now: float) -> None:
        self._file.flush()
        self._flushed = now


def _head(seconds: float, level: str, event: str) -> str:
    return f'{{"ts":"{timestamp(seconds)}","level":"{level}","event":"{event}"'


def _item(request: Request) -> str:
    lfn = request.lfn if isinstance(request, Transfer) else ""
    return f'"index":{request.number},"id":{quote(request.id)},"lfn":{quote(lfn)},"type":"{kind_of(request)}"'


def _error(error: TransferError | None) -> str:
    if error is None:
        return '"code":null'
    return (
        f'"code":"{error.code}","step":{quote(error.step)},"end":"{error.end or "neither"}",'
        f'"message":{quote(message(error))}'
    )


def _attempt_failed(request: Request, number: int, attempt: Attempt, error: TransferError) -> str:
    head = _head(attempt.began + attempt.seconds, "warning", "attempt-failed")
    return (
        f'{head},{_item(request)},"attempt":{number},"source":{json_url(attempt.source)},'
        f'"destination":{json_url(attempt.destination)},"route":"{attempt.route}","bytes":{attempt.bytes},'
        f'"seconds":{attempt.seconds:.6f},{_error(error)}}}\n'
    )


def _request_finished(now: float, outcome: Outcome) -> str:
    level = "info" if outcome.status is Status.DONE else "error"
    return (
        f"{_head(now, level, 'request-finished')},{json_members(outcome)},"
        f'"evidence":"{outcome.evidence}","checked":{"true" if outcome.checked else "false"},'
        f'"attempts":{len(outcome.attempts)},{_error(outcome.error)}}}\n'
    )


def _level_of_exit(code: Exit) -> str:
    return "info" if code == 0 else "error"
