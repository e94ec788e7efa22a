"""Metrics: a file that a Prometheus collector reads whole at any time."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcomes_made import attempt, done, empty_ending, ending, failed, start, transfer
from wf.protocols import errors
from wf.transfer.metrics import MetricsSink, escaped
from wf.transfer.sinks import Progress

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (-?[0-9.]+)')


def samples(path: Path) -> dict[str, float]:
    """The samples by name and labels; fails on any line that is not of the text format, and on doubled ones."""
    found: dict[str, float] = {}
    typed: set[str] = set()
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            key = f"{match[1]}{{{match[2]}}}" if match[2] else match[1]
            assert match[1] in typed and key not in found
            found[key] = float(match[3])
    return found


def begun(path: Path) -> MetricsSink:
    sink = MetricsSink(str(path))
    sink.begin(start(3))
    return sink


def test_the_figures_of_a_finished_run(tmp_path: Path) -> None:
    path = tmp_path / "wf.prom"
    sink = begun(path)
    request = transfer(linkage="input")
    outcomes = [
        done(request, attempts=(attempt(request, errors.Busy("503")), attempt(request)), checked=True),
        failed(errors.NotFound("404")),
        failed(errors.Mismatch("differs"), request, checked=True, check_seconds=0.25),
    ]
    for outcome in outcomes:
        sink.take(outcome)
    sink.end(ending(*outcomes))
    found = samples(path)
    assert found['wf_transfer_requests_total{status="done"}'] == 1
    assert found['wf_transfer_requests_total{status="failed"}'] == 2
    assert found['wf_transfer_requests_total{status="stopped"}'] == 0
    assert found["wf_transfer_bytes_total"] == 6
    assert found["wf_transfer_attempts_total"] == 4
    assert found['wf_transfer_errors_total{code="not-found"}'] == 1
    assert 'wf_transfer_errors_total{code="busy"}' not in found
    assert found['wf_transfer_attempt_errors_total{code="busy"}'] == 1
    assert found['wf_transfer_checks_total{linkage="input",result="match"}'] == 1
    assert found['wf_transfer_checks_total{linkage="input",result="mismatch"}'] == 1
    assert found['wf_transfer_check_seconds_total{linkage="input"}'] == 0.25
    assert found["wf_transfer_duration_seconds"] == 2
    assert found["wf_transfer_planned_requests"] == 3
    assert found["wf_transfer_exit_code"] == 3
    assert os.listdir(tmp_path) == ["wf.prom"]


def test_the_file_follows_the_run_every_few_seconds(tmp_path: Path) -> None:
    path = tmp_path / "wf.prom"
    sink = begun(path)
    sink.take(done())
    sink.tick(Progress(1, 0, 2, 6, 4.9))
    assert samples(path)["wf_transfer_bytes_total"] == 0
    sink.tick(Progress(1, 0, 2, 6, 5.1))
    found = samples(path)
    assert (found["wf_transfer_bytes_total"], found["wf_transfer_active_requests"]) == (6, 2)
    assert found["wf_transfer_duration_seconds"] == 5.1
    assert "wf_transfer_exit_code" not in found


def test_a_linkage_with_odd_letters_stays_one_label(tmp_path: Path) -> None:
    path = tmp_path / "wf.prom"
    sink = begun(path)
    outcome = done(transfer(linkage='in"put\\\nx\udcff'), checked=True)
    sink.take(outcome)
    sink.end(ending(outcome))
    assert r'wf_transfer_check_seconds_total{linkage="in\"put\\\nx\\udcff"}' in samples(path)


@given(st.text(st.characters()))
def test_an_escaped_label_ends_where_it_should(label: str) -> None:
    assert re.fullmatch(r'(?:[^"\\\n]|\\[\\n"])*', escaped(label))


def test_a_folder_that_vanished_fails_the_end_only(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    sink = begun(folder / "wf.prom")
    (folder / "wf.prom").unlink()
    folder.rmdir()
    sink.tick(Progress(1, 0, 0, 6, 60.0))
    with pytest.raises(errors.NotFound, match="the metrics"):
        sink.end(empty_ending())
