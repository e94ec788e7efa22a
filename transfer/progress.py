"""One line on a terminal that tells how far the run is. Elsewhere nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from .sinks import NullSink
from .summary import human_bytes, human_seconds

if TYPE_CHECKING:
    from typing import Final, TextIO

    from rich.console import Console

    from .sinks import Ending, Progress, Start

_ERASE_LINE: Final = "\r\x1b[2K"
_BEGIN_AFTER: Final = 0.5
"""Seconds before the first line: a short run neither flickers nor pays for loading rich."""
_AT_MOST_EVERY: Final = 0.1
_RATE_OVER: Final = 5.0
"""Seconds over which the shown rate is averaged."""


class ProgressSink(NullSink):
    """Draws on `stream` if that is a terminal, in colour if `colour`; erases its line at the end.

    The cursor is never hidden and no thread is started, so that a run that is killed leaves the terminal as it was.
    Must come before whatever else writes to the same terminal in `end`.
    """

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._console: Console | None = None
        self._next = _BEGIN_AFTER
        self._samples: list[tuple[float, int]] = [(0.0, 0)]

    def begin(self, start: Start) -> None:
        self._start = start
        if not _can_draw(self._stream):
            self._next = float("inf")

    def tick(self, progress: Progress) -> None:
        if progress.seconds < self._next:
            return
        self._next = progress.seconds + _AT_MOST_EVERY
        rate = self._rate(progress)
        # Nobody looks at a terminal that has gone away; the run goes on.
        with suppress(OSError, ValueError):
            self._stream.write(_ERASE_LINE + self._rendered(line_of(self._start, progress, rate), progress))
            self._stream.flush()

    def end(self, ending: Ending) -> None:
        self._next = float("inf")
        if self._console is not None:
            with suppress(OSError, ValueError):
                self._stream.write(_ERASE_LINE)
                self._stream.flush()

    def _rate(self, progress: Progress) -> float:
        """Bytes per second of late; never below 0, although a repeated attempt makes the count go back."""
        self._samples.append((progress.seconds, progress.bytes))
        while len(self._samples) > 2 and progress.seconds - self._samples[0][0] > _RATE_OVER:
            del self._samples[0]
        seconds, count = self._samples[0]
        return max(progress.bytes - count, 0) / max(progress.seconds - seconds, 1e-3)

    def _rendered(self, line: str, progress: Progress) -> str:
        """The line as this terminal shows it, cut to its width."""
        if self._console is None:
            self._console = _console(self._stream, self._colour)
        console = self._console
        # Captured, because rich ends the process when it writes to a pipe that nobody reads.
        with console.capture() as capture:
            console.print(
                line,
                end="",
                style="yellow" if progress.failed else None,
                no_wrap=True,
                overflow="ellipsis",
                # One column less: a terminal that has filled its last one may already be in the next line.
                width=max(console.width - 1, 1),
            )
        return capture.get()


def line_of(start: Start, progress: Progress, rate: float) -> str:
    """`1.2 GiB  361.0 MiB/s  520/1,000 done  2 failed  8 active  ETA 12.0 s`."""
    parts = [
        human_bytes(progress.bytes),
        f"{human_bytes(rate)}/s",
        f"{progress.done:,}/{start.requests:,} done",
    ]
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    parts.append(f"{progress.active:,} active")
    left = seconds_left(start, progress, rate)
    if left is not None:
        parts.append(f"ETA {human_seconds(left)}")
    return "  ".join(parts)


def seconds_left(start: Start, progress: Progress, rate: float) -> float | None:
    """How long it may still take: by bytes while sizes are known and not reached, else by requests; None if unknown."""
    if start.bytes > progress.bytes and rate > 0:
        return (start.bytes - progress.bytes) / rate
    ended = progress.done + progress.failed
    if not ended or progress.seconds <= 0:
        return None
    return max(start.requests - ended, 0) * progress.seconds / ended


def _can_draw(stream: TextIO) -> bool:
    """A terminal that can go back to the start of its line."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:
        return False


def _console(stream: TextIO, colour: bool) -> Console:
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=True,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
