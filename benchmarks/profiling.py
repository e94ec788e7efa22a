"""Where the time of one run goes, by py-spy: functions by the share of samples in which they were what ran."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from measure import Contender

SHOWN = 8
OURS = ("transfer", "protocols", "checksum", "credentials")
"""The folders of our packages, as they are installed below `wf`."""


def profile(py_spy: str | None, one: Contender) -> str:
    """A line of Markdown. The run is one more than those measured."""
    if py_spy is None:
        return f"{one.name}: no profile, py-spy is not installed"
    one.before()
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "stacks"
        command = (
            py_spy,
            "record",
            "-o",
            str(output),
            "-f",
            "raw",
            "-r",
            "400",
            "--nonblocking",
            "--",
        )
        subprocess.run(
            (*command, *one.command),
            cwd=one.folder,
            env={**os.environ, **one.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=180,
        )
        text = output.read_text(errors="replace") if output.exists() else ""
    return f"{one.name}: {', '.join(summary(text)) or 'too short for a profile'}"


def summary(stacks: str) -> list[str]:
    """The functions that most samples ended in, of lines `outer;inner COUNT`."""
    ran: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        ran[_named(stack)] += int(count)
    total = sum(ran.values()) or 1
    return [f"{name} {100 * count / total:.0f} %" for name, count in ran.most_common(SHOWN)]


def _named(stack: str) -> str:
    """The innermost frame, behind the innermost of ours where that is another."""
    frames = [frame.strip() for frame in stack.split(";")]
    ours = next((frame for frame in reversed(frames) if any(f"{name}/" in frame for name in OURS)), "")
    last = frames[-1]
    if not ours or ours == last:
        return f"`{_short(last)}`"
    return f"`{_short(last)}` in `{_short(ours)}`"


def _short(frame: str) -> str:
    """`function (folder/file.py:3)` as `function (file.py)`."""
    function, _, place = frame.partition(" (")
    file = os.path.basename(place.partition(":")[0].rstrip(")"))
    return f"{function} ({file})" if file else function
