"""The progress line, drawn on a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from outcomes_made import BEGAN, empty_ending
from wf.transfer.progress import ProgressSink, line_of, seconds_left
from wf.transfer.sinks import Progress, Start

START = Start(started=BEGAN, requests=1000, transfers=1000, bytes=2 << 30)

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from outcomes_made import BEGAN, done, ending, failed, transfer
from wf.protocols.errors import Broken
from wf.transfer.progress import ProgressSink
from wf.transfer.sinks import Progress, Start
from wf.transfer.summary import SummarySink
colour = sys.argv[2] == "colour"
sinks = [ProgressSink(sys.stderr, colour=colour), SummarySink(sys.stderr, colour=colour)]
lost = failed(Broken("cut"), transfer(1))
for sink in sinks:
    sink.begin(Start(started=BEGAN, requests=1000, transfers=1000, bytes=2 << 30))
for step in range(int(sys.argv[3])):
    for sink in sinks:
        sink.tick(Progress(done=100 * step, failed=step > 8, active=4, bytes=step << 27, seconds=0.25 * step))
for sink in sinks:
    sink.take(lost)
    sink.end(ending(lost))
print("rich" in sys.modules, "threading" in sys.modules and __import__("threading").active_count())
"""


def drawn(
    *, columns: int = 100, colour: str = "plain", steps: int = 10, term: str = "xterm"
) -> tuple[str, str]:
    """What arrived at a terminal of that width, and what the run said on its standard output."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")},
        "TERM": term,
    }
    command = [sys.executable, "-c", RUN, os.path.dirname(__file__), colour, str(steps)]
    process = subprocess.Popen(command, stderr=slave, stdout=subprocess.PIPE, stdin=slave, env=environment)
    os.close(slave)
    pieces = []
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the last writer has closed its end
            break
        pieces.append(piece)
    output, _ = process.communicate(timeout=30)
    os.close(master)
    assert process.returncode == 0
    return b"".join(pieces).decode(), output.decode()


def screen(text: str, columns: int) -> list[str]:
    """The lines that remain visible: as much of a terminal as the sinks make use of."""
    lines = [""]
    column = 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]", text):
        if token == "\r":
            column = 0
        elif token == "\n":
            lines.append("")
        elif token == "\x1b[2K":
            lines[-1] = ""
        elif token[0] == "\x1b":
            assert token[-1] == "m", f"unexpected control sequence {token!r}"
        else:
            lines[-1] = lines[-1][:column].ljust(column) + token + lines[-1][column + 1 :]
            column += 1
            assert column < columns, "the line would wrap"
    return lines


def frames(text: str) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", frame) for frame in text.split("\r\x1b[2K")]


def test_a_terminal_shows_bytes_rate_files_and_time_left() -> None:
    text, _ = drawn()
    _, *shown, last = frames(text)
    assert len(shown) == 8  # none in the first half second
    assert shown[0] == "256.0 MiB  512.0 MiB/s  200/1,000 done  4 active  ETA 3.50 s"
    assert shown[-1] == "1.1 GiB  512.0 MiB/s  900/1,000 done  1 failed  4 active  ETA 1.75 s"
    assert last.startswith("failed ")


def test_the_summary_stands_alone_when_the_run_has_ended() -> None:
    text, _ = drawn(columns=200)
    lines = screen(text, 200)
    assert lines[0].startswith("failed   f.1: ")
    assert lines[-2].startswith("1 transfer, ")
    assert lines[-1] == ""
    assert not any("ETA" in line for line in lines)


def test_a_narrow_terminal_never_wraps() -> None:
    text, _ = drawn(columns=30)
    progress = text[: text.rindex("\r\x1b[2K")]
    assert max(len(frame) for frame in frames(progress)) == 29
    assert "\n" not in progress and "…" in progress


def test_without_colour_nothing_is_coloured() -> None:
    text, _ = drawn()
    assert set(re.findall(r"\x1b\[[0-9;?]*[A-Za-z]", text)) == {"\x1b[2K"}


def test_with_colour_a_failure_shows_in_the_line() -> None:
    text, _ = drawn(colour="colour")
    assert "\x1b[33m1.1 GiB" in text


def test_a_short_run_draws_nothing_and_does_not_load_rich() -> None:
    text, output = drawn(steps=2)
    assert text.startswith("failed ")
    assert output.split()[0] == "False"


def test_no_thread_is_left_drawing() -> None:
    _, output = drawn()
    assert output.split() == ["True", "1"]


def test_a_terminal_that_cannot_go_back_in_its_line_gets_no_progress() -> None:
    text, output = drawn(term="dumb")
    assert text.startswith("failed ")
    assert output.split()[0] == "False"


def test_what_is_no_terminal_gets_nothing() -> None:
    stream = io.StringIO()
    sink = ProgressSink(stream, colour=True)
    sink.begin(START)
    sink.tick(Progress(1, 0, 1, 1 << 20, 5.0))
    sink.end(empty_ending())
    assert stream.getvalue() == ""


def test_a_terminal_that_went_away_stops_no_run() -> None:
    master, slave = pty.openpty()
    stream = os.fdopen(slave, "w")
    sink = ProgressSink(stream, colour=False)
    sink.begin(START)
    sink.tick(Progress(1, 0, 1, 1 << 20, 1.0))
    os.close(master)
    sink.tick(Progress(2, 0, 1, 2 << 20, 2.0))
    sink.end(empty_ending())
    with pytest.raises(OSError, match="Input/output error"):  # what was drawn last really went nowhere
        stream.close()


@pytest.mark.parametrize(
    ("progress", "rate", "left"),
    [
        (Progress(0, 0, 4, 1 << 30, 1.0), float(1 << 30), 1.0),
        (Progress(250, 0, 4, 2 << 30, 10.0), 1.0, 30.0),  # sizes were a lower bound: by requests
        (Progress(240, 10, 4, 0, 10.0), 0.0, 30.0),
        (Progress(0, 0, 4, 0, 10.0), 0.0, None),
    ],
)
def test_time_left(progress: Progress, rate: float, left: float | None) -> None:
    assert seconds_left(START, progress, rate) == left


def test_a_count_that_goes_back_is_no_negative_rate() -> None:
    sink = ProgressSink(io.StringIO(), colour=False)
    assert sink._rate(Progress(0, 0, 1, 1 << 20, 1.0)) == 1 << 20
    assert sink._rate(Progress(0, 0, 1, 0, 6.5)) == 0
    assert line_of(START, Progress(0, 0, 1, 0, 0.0), 0.0) == "0 bytes  0 bytes/s  0/1,000 done  1 active"
