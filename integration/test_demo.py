"""`make demo` shows what it promises, to anybody, and leaves nothing."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from commands import Job, contents, run_program
from servers.process import binary

DEMO = Path(__file__).with_name("demo.py")


def test_the_demonstration_goes_as_announced(job: Job) -> None:
    binary("weed", enable="make env")
    done = run_program([sys.executable, str(DEMO)], folder=job.folder, environment=job.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("exit code 3") == 1
    assert "[mismatch]" in done.stderr
    assert "WRONG" not in done.stdout
    assert "Everything went as it should." in done.stdout
    assert "Traceback" not in done.stderr
    assert contents(job.folder) == {}
    assert not list(job.folder.parent.glob("wf-transfer-demo-*"))


def test_the_demonstration_shows_its_progress_on_a_terminal(job: Job) -> None:
    binary("weed", enable="make env")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(DEMO)],
        cwd=job.folder,
        env={**job.environment, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while piece := _read(ours):
        shown += piece
    os.close(ours)
    assert process.wait() == 0, shown.decode(errors="replace")
    assert b"MiB/s" in shown
    assert b"\x1b[2K" in shown
    assert b"Everything went as it should." in shown


def _read(terminal: int) -> bytes:
    """What is shown next; empty when nobody writes any more, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
