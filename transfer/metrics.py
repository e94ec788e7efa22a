"""Counters of a run in the Prometheus text format, for node_exporter's textfile collector.

The file is replaced as a whole, so a collector never reads half of it. Its partial does not end in `.prom`.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from ..protocols.errors import TransferError
from .accounting import Accounts
from .outcomes import Status
from .report_file import ReportFile
from .sinks import NullSink, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from .outcomes import Outcome
    from .sinks import Ending, LinkageChecks, Start, Totals

    Sample = tuple[tuple[tuple[str, str], ...], float]
    """Labels and value."""

_AT_MOST_EVERY: Final = 5.0
"""Seconds between two versions of the file while the run goes on."""


class MetricsSink(NullSink):
    """Writes `path` at the begin, every few seconds and at the end.

    `begin` and `end` raise `TransferError` where it cannot be written; in between a failure is passed over.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._accounts = Accounts()
        self._errors: Counter[str] = Counter()
        self._attempt_errors: Counter[str] = Counter()
        self._progress = Progress(0, 0, 0, 0, 0.0)

    def begin(self, start: Start) -> None:
        self._start = start
        self._publish(self._render(self._progress, None))

    def take(self, outcome: Outcome) -> None:
        self._accounts.add(outcome)
        if outcome.error is not None and outcome.status is not Status.DONE:
            self._errors[outcome.error.code] += 1
        for attempt in outcome.attempts:
            if attempt.error is not None:
                self._attempt_errors[attempt.error.code] += 1

    def tick(self, progress: Progress) -> None:
        if progress.seconds - self._progress.seconds < _AT_MOST_EVERY:
            return
        self._progress = progress
        with suppress(
            TransferError
        ):  # the next version may succeed, and `end` tells if the last one does not
            self._publish(self._render(progress, None))

    def end(self, ending: Ending) -> None:
        seconds = ending.finished - ending.started
        self._publish(self._render(Progress(0, 0, 0, ending.totals.bytes, seconds), ending))

    def _publish(self, text: str) -> None:
        file = ReportFile(self._path, "the metrics")
        file.write(text)
        file.publish()

    def _render(self, progress: Progress, ending: Ending | None) -> str:
        """The whole file. `wf_transfer_exit_code` is there only once the run has ended."""
        totals = ending.totals if ending else self._accounts.totals()
        families = [
            *_requests(totals),
            _family("errors_total", "counter", "Requests that did not succeed, by error code.", self._errors),
            _family(
                "attempt_errors_total",
                "counter",
                "Attempts that failed, by error code.",
                self._attempt_errors,
            ),
            *_checks(ending.integrity if ending else self._accounts.integrity()),
            _single("active_requests", "gauge", "Requests in progress.", progress.active),
            _single("planned_requests", "gauge", "Requests of the batch.", self._start.requests),
            _single("start_time_seconds", "gauge", "When the run began, since 1970.", self._start.started),
            _single("duration_seconds", "gauge", "How long the run takes or took.", progress.seconds),
        ]
        if ending:
            families.append(_single("exit_code", "gauge", "Exit code of the run.", ending.exit))
        return "".join(families)


def escaped(label: str) -> str:
    """A label value as the text format wants it: backslash, quote and line feed escaped, UTF-8 throughout."""
    text = label.encode("utf-8", "backslashreplace").decode()
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _requests(totals: Totals) -> list[str]:
    counts = {status.value: getattr(totals, status.value) for status in Status}
    return [
        _family("requests_total", "counter", "Requests that ended, by status.", counts, label="status"),
        _single("bytes_total", "counter", "Bytes of successful transfers.", totals.bytes),
        _single("attempts_total", "counter", "Attempts, failed ones included.", totals.attempts),
    ]


def _checks(integrity: tuple[LinkageChecks, ...]) -> list[str]:
    compared: list[Sample] = []
    seconds: list[Sample] = []
    for each in integrity:
        linkage = ("linkage", each.linkage)
        compared.append(((linkage, ("result", "match")), each.checked - each.failed))
        compared.append(((linkage, ("result", "mismatch")), each.failed))
        seconds.append(((linkage,), each.seconds))
    return [
        _samples("checks_total", "counter", "Digests compared with an expected one.", compared),
        _samples("check_seconds_total", "counter", "Time spent on comparing after a transfer.", seconds),
    ]


def _single(name: str, kind: str, text: str, value: float) -> str:
    return _samples(name, kind, text, [((), value)])


def _family(name: str, kind: str, text: str, counts: dict[str, int], *, label: str = "code") -> str:
    return _samples(name, kind, text, [(((label, key),), counts[key]) for key in sorted(counts)])


def _samples(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP wf_transfer_{name} {text}", f"# TYPE wf_transfer_{name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{escaped(content)}"' for key, content in labels)
        braces = f"{{{inside}}}" if inside else ""
        lines.append(f"wf_transfer_{name}{braces} {_number(value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6f}"
