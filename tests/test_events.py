"""Events: one JSON object a line, in the file while the run goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from outcomes_made import BEGAN, attempt, done, empty_ending, ending, failed, start, transfer
from wf.protocols import errors
from wf.transfer.events import EventsSink
from wf.transfer.sinks import Progress

if TYPE_CHECKING:
    from pathlib import Path

TICK = Progress(0, 0, 1, 0, 0.0)


class Clock:
    """Tells the time it was set to."""

    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> float:
        return self.now


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def begun(path: Path, clock: Clock | None = None) -> EventsSink:
    sink = EventsSink(str(path), clock=clock or Clock())
    sink.begin(start())
    return sink


def test_a_run_is_told_from_start_to_end(tmp_path: Path) -> None:
    path = tmp_path / "events"
    sink = begun(path)
    request = transfer(linkage="input")
    broken = errors.Broken("cut", end=errors.End.SOURCE, step="read")
    healed = done(request, attempts=(attempt(request, broken, bytes=3), attempt(request)), checked=True)
    lost = failed(errors.NotFound("404 for https://u:pa55word@data.example/f"))
    sink.take(healed)
    sink.take(lost)
    sink.end(ending(healed, lost))
    events = lines_of(path)
    assert [each["event"] for each in events] == [
        "run-started",
        "attempt-failed",
        "request-finished",
        "attempt-failed",
        "request-finished",
        "run-finished",
    ]
    assert [each["level"] for each in events] == ["info", "warning", "info", "warning", "error", "error"]
    _, first, finished, _, other, last = events
    assert (first["attempt"], first["code"], first["bytes"]) == (1, "broken", 3)
    assert first["ts"] == "2026-11-22T07:46:06.750000Z"
    assert (finished["status"], finished["attempts"], finished["code"]) == ("done", 2, None)
    assert (other["code"], other["end"], other["step"]) == ("not-found", "source", "read")
    assert (last["exit"], last["totals"]["failed"], last["integrity"]["input"]["checked"]) == (1, 1, 1)
    assert "pa55word" not in path.read_text()


def test_a_failure_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events"
    sink = begun(path)
    sink.take(done())
    assert len(lines_of(path)) == 1
    sink.take(failed(errors.Broken("cut")))
    assert lines_of(path)[-1]["status"] == "failed"
    sink.end(empty_ending())


def test_what_succeeded_is_there_after_a_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "events", Clock()
    sink = begun(path, clock)
    sink.take(done())
    clock.now += 0.9
    sink.tick(TICK)
    assert len(lines_of(path)) == 1
    clock.now += 0.2
    sink.tick(TICK)
    assert len(lines_of(path)) == 2
    sink.end(empty_ending())


def test_a_clock_that_was_set_back_delays_nothing(tmp_path: Path) -> None:
    path, clock = tmp_path / "events", Clock()
    sink = begun(path, clock)
    sink.take(done())
    clock.now -= 3600
    sink.tick(TICK)
    assert len(lines_of(path)) == 2
    sink.end(empty_ending())


def test_the_events_of_the_run_before_stay(tmp_path: Path) -> None:
    path = tmp_path / "events"
    for _ in range(2):
        begun(path).end(empty_ending())
    assert [each["event"] for each in lines_of(path)] == ["run-started", "run-finished"] * 2


def test_a_line_that_a_killed_run_left_unfinished_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text('{"ts":"2026-')
    begun(path).end(empty_ending())
    broken, *whole = path.read_text().splitlines()
    assert broken == '{"ts":"2026-'
    assert [json.loads(line)["event"] for line in whole] == ["run-started", "run-finished"]


def test_a_full_disk_fails_the_end_and_no_transfer() -> None:
    sink = EventsSink("/dev/full")
    sink.begin(start())
    sink.take(failed(errors.Broken("cut")))
    with pytest.raises(errors.NoSpace, match="the events"):
        sink.end(empty_ending())
