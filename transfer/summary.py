"""What people read when a run has ended: every item that is not done, why, and what to do; and one closing line."""

from __future__ import annotations

from .outcomes import Status
from .requests import Transfer
from .sinks import NullSink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TextIO

    from .outcomes import Outcome
    from .sinks import Ending, Totals

SHOWN_MOST: Final = 200
"""Items of each status that are shown in full; the others are counted by error code."""

_RED, _YELLOW, _GREEN, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
_COLOURS: Final = {Status.FAILED: _RED, Status.SKIPPED: _YELLOW, Status.STOPPED: _YELLOW}
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_NOTES_KEPT: Final = 8
_NOTES_SHOWN: Final = 4
_NO_DIGITS: Final = dict.fromkeys(map(ord, "0123456789"))


class _Note:
    """Requests whose notes are the same but for numbers."""

    __slots__ = ("others", "same", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.same = 0
        self.others = 0
        """Those with other numbers than `text`."""

    def __str__(self) -> str:
        from ..credentials.redaction import printable, redact

        first, _, rest = self.text.partition(" bytes ")
        text = f"{human_bytes(int(first))} {rest}" if first.isdecimal() and rest else self.text
        like_it = f" ({self.others:,} more with other numbers)" if self.others else ""
        return f"{_plural(self.same, 'request')}: {printable(redact(text))}{like_it}"


class SummarySink(NullSink):
    """Writes to `stream` at the end, with ANSI colours if `colour`. Keeps only the first `shown_most`
    requests of each status that is not `done`.

    A stream that nobody reads any more fails nothing.
    """

    def __init__(self, stream: TextIO, *, colour: bool, shown_most: int = SHOWN_MOST) -> None:
        self._stream = stream
        self._colour = colour
        self._most = shown_most
        self._shown: dict[Status, list[str]] = {status: [] for status in _COLOURS}
        self._further: dict[Status, dict[str, int]] = {status: {} for status in _COLOURS}
        self._transfers = 0
        self._tried_again = 0
        self._notes: dict[str, _Note] = {}
        self._notes_dropped = 0

    def take(self, outcome: Outcome) -> None:
        self._transfers += isinstance(outcome.request, Transfer)
        if outcome.note:
            self._count_note(outcome.note)
        if outcome.status is Status.DONE:
            attempts = outcome.attempts
            # The legs of a staged transfer are attempts too, of which none failed.
            self._tried_again += len(attempts) > 1 and any(each.error is not None for each in attempts)
        elif len(self._shown[outcome.status]) < self._most:
            from .unfinished import describe

            title = self._paint(f"{outcome.status:<8}", _COLOURS[outcome.status])
            self._shown[outcome.status].append(describe(outcome, title))
        else:
            code = outcome.error.code if outcome.error else "unknown"
            further = self._further[outcome.status]
            further[code] = further.get(code, 0) + 1

    def end(self, ending: Ending) -> None:
        lines = [line for status in _COLOURS for line in (*self._shown[status], *self._rest(status))]
        lines.append(self._closing(ending))
        # The reader may have gone away, or the stream be closed: the exit code and the records still tell.
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return

    def _count_note(self, note: str) -> None:
        key = note.translate(_NO_DIGITS)
        known = self._notes.get(key)
        if known is None:
            if len(self._notes) >= _NOTES_KEPT:
                self._notes_dropped += 1
                return
            known = self._notes[key] = _Note(note)
        if note == known.text:
            known.same += 1
        else:
            known.others += 1

    def _rest(self, status: Status) -> list[str]:
        further = self._further[status]
        if not further:
            return []
        by_code = ", ".join(f"{count:,} {code}" for code, count in _most_common(further))
        return [self._paint(f"and {sum(further.values()):,} more {status}: {by_code}", _COLOURS[status])]

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colour else text

    def _closing(self, ending: Ending) -> str:
        totals = ending.totals
        seconds = max(ending.finished - ending.started, 0.0)
        verdict, colour = _verdict(totals, int(ending.exit))
        moved = f"{human_bytes(totals.bytes)} in {human_seconds(seconds)}{_rate(totals.bytes, seconds)}"
        first = f"{self._counted(totals)}, {moved}, {self._paint(verdict, colour)}"
        return "; ".join([first, *self._remarks(ending)])

    def _counted(self, totals: Totals) -> str:
        others = totals.requests - self._transfers
        text = _plural(self._transfers, "transfer")
        if others and not self._transfers:
            return _plural(others, "request")
        return f"{text} and {_plural(others, 'other request')}" if others else text

    def _remarks(self, ending: Ending) -> list[str]:
        """What is worth knowing although it needs nobody to act."""
        remarks = []
        if self._tried_again:
            remarks.append(f"{self._tried_again:,} needed another try ({ending.totals.attempts:,} attempts)")
        checked = sum(each.checked for each in ending.integrity)
        if checked:
            differing = sum(each.failed for each in ending.integrity)
            result = f"{differing:,} did not match" if differing else "all match"
            remarks.append(f"{_plural(checked, 'digest')} compared, {result}")
        return [*remarks, *self._noted()]

    def _noted(self) -> list[str]:
        notes = sorted(self._notes.values(), key=lambda each: -(each.same + each.others))
        shown = [str(note) for note in notes[:_NOTES_SHOWN]]
        further = sum(note.same + note.others for note in notes[_NOTES_SHOWN:]) + self._notes_dropped
        return [*shown, f"{_plural(further, 'request')} with other notes"] if further else shown


def human_bytes(count: float) -> str:
    """`1.5 GiB`: binary units, as many digits as people read."""
    for unit in _UNITS:
        if abs(count) < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    if unit == "bytes":
        return "1 byte" if count == 1 else f"{count:.0f} bytes"
    return f"{count:.1f} {unit}"


def human_seconds(seconds: float) -> str:
    """`0.52 s`, `12.3 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _verdict(totals: Totals, code: int) -> tuple[str, str]:
    open_ones = ((totals.failed, "failed"), (totals.skipped, "skipped"), (totals.stopped, "not finished"))
    told = ", ".join(f"{count:,} {word}" for count, word in open_ones if count)
    if told:
        return f"{told}, {totals.done:,} done (exit code {code})", _RED
    return ("all done", _GREEN) if code == 0 else (f"all done, but the run failed (exit code {code})", _RED)


def _rate(count: int, seconds: float) -> str:
    return f" ({human_bytes(count / seconds)}/s)" if count and seconds > 0 else ""


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _most_common(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda each: -each[1])
