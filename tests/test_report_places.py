"""Reports never take the place of the batch, of each other, or of what the run delivers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wf.transfer", "-f", "b.json", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(b"data")
    (tmp_path / "here").symlink_to(".")
    batch = [
        {"type": "transfer", "src_urls": [{"url": "a"}], "dest_urls": [{"url": f"file://{tmp_path}/out/x"}]}
    ]
    (tmp_path / "b.json").write_text(json.dumps(batch))
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--result", "b.json"], "--result b.json would overwrite the batch"),
        (["--events", "here/b.json"], "would overwrite the batch"),
        (["--result", "r", "--events", "./r"], "--events ./r would overwrite --result"),
        (["--manifest", "out/x"], "request 0 would overwrite what --manifest writes"),
        (["--result", "here/out/x"], "request 0 would overwrite what --result writes"),
    ],
)
def test_two_things_at_one_place_are_a_usage_error(job: Path, arguments: list[str], words: str) -> None:
    done = run(job, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert os.listdir(job / "out") == []
    assert json.loads((job / "b.json").read_text())


def test_reports_of_their_own_are_fine(job: Path) -> None:
    done = run(job, "--result", "out/r", "--events", "/dev/null", "--manifest", "sums")
    assert done.returncode == 0, done.stderr
    assert (job / "out/x").read_bytes() == b"data"
