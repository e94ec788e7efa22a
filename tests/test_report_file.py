"""Reports are there whole or not at all, and what a killed run left of them goes with the next run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from wf.protocols.errors import NoSpace
from wf.transfer.report_file import ReportFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 60.0
"""Seconds, against hanging only."""
_LIMIT = 100_000


class Run:
    """A `wf-transfer` with both reports that lie beside their names until the end, and a source that comes when it is told to."""

    def __init__(self, folder: Path, name: str) -> None:
        self.fifo = folder / f"{name}.fifo"
        os.mkfifo(self.fifo)
        batch = [
            {
                "type": "transfer",
                "lfn": name,
                "src_urls": [{"url": f"file://{self.fifo}"}],
                "dest_urls": [{"url": f"file://{folder}/out/{name}"}],
            }
        ]
        (folder / f"{name}.json").write_text(json.dumps(batch))
        reports = ("--result", "reports/result.json", "--manifest", "reports/SUMS")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wf.transfer", "-f", f"{name}.json", *reports],
            cwd=folder,
            stderr=subprocess.PIPE,
        )
        # Whoever writes to a FIFO waits until somebody reads: then all reports have been begun.
        self.source = self._opened()

    def _opened(self) -> int:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                assert self.process.poll() is None and time.monotonic() < until, self.process.communicate()
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=PATIENCE)
        os.close(self.source)

    def finish(self) -> None:
        os.write(self.source, b"data")
        os.close(self.source)
        told = self.process.communicate(timeout=PATIENCE)[1]
        assert self.process.returncode == 0, told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("out", "reports"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def limited_files() -> Iterator[None]:
    """A file may not become longer: as on a disk that is full, a write behind that fails."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def lfn_in(folder: Path) -> str:
    (request,) = json.loads((folder / "result.json").read_text())["requests"]
    return str(request["lfn"])


def test_the_next_run_takes_over_what_a_killed_one_left(folder: Path) -> None:
    killed = Run(folder, "killed")
    killed.kill()
    left = names_in(folder / "reports")
    assert [name[:4] for name in left if name.endswith(".part")] == [".wf-", ".wf-"]

    after = Run(folder, "after")
    assert [name for name in names_in(folder / "reports") if name.endswith(".part")] == left
    after.finish()

    assert names_in(folder / "reports") == ["SUMS", "result.json"]
    assert lfn_in(folder / "reports") == "after"
    assert (folder / "reports/SUMS").read_text().endswith("out/after\n")


def test_two_runs_with_the_same_reports_do_not_disturb_each_other(folder: Path) -> None:
    first, second = Run(folder, "first"), Run(folder, "second")
    assert len([name for name in names_in(folder / "reports") if name.endswith(".part")]) == 4

    first.finish()
    assert lfn_in(folder / "reports") == "first"
    second.finish()

    assert lfn_in(folder / "reports") == "second"
    assert names_in(folder / "reports") == ["SUMS", "result.json"]


def test_what_two_runs_left_goes_when_two_run_again(folder: Path) -> None:
    for run in [Run(folder, "first"), Run(folder, "second")]:
        run.kill()

    for run in [Run(folder, "third"), Run(folder, "fourth")]:
        run.finish()

    assert names_in(folder / "reports") == ["SUMS", "result.json"]


def test_a_report_that_was_begun_is_nobody_elses_until_it_has_its_name(tmp_path: Path) -> None:
    first, second = (ReportFile(str(tmp_path / "r"), "the report") for _ in range(2))
    third = ReportFile(str(tmp_path / "other"), "the report")
    assert len(set(names_in(tmp_path))) == 3
    for report, text in ((first, "first"), (second, "second"), (third, "third")):
        report.write(text)
    first.publish()
    assert (tmp_path / "r").read_text() == "first"
    second.publish()
    third.discard()
    assert (tmp_path / "r").read_text() == "second"
    assert names_in(tmp_path) == ["r"]


@pytest.mark.usefixtures("limited_files")
def test_a_report_for_which_there_is_no_space_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("old")
    report = ReportFile(str(tmp_path / "r"), "the report")
    report.write("x" * (_LIMIT + 1))
    with pytest.raises(NoSpace):
        report.publish()
    assert (tmp_path / "r").read_text() == "old"
    assert names_in(tmp_path) == ["r"]


def test_what_somebody_else_put_under_the_name_is_left_alone(tmp_path: Path) -> None:
    report = ReportFile(str(tmp_path / "r"), "the report")
    (name,) = names_in(tmp_path)
    report.discard()
    (tmp_path / "precious").write_text("stays")
    (tmp_path / name).symlink_to("precious")

    report = ReportFile(str(tmp_path / "r"), "the report")
    report.write("text")
    report.publish()

    assert (tmp_path / "r").read_text() == "text"
    assert (tmp_path / "precious").read_text() == "stays"
    assert (tmp_path / name).is_symlink()
