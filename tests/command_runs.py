"""Runs of the installed command, as a person starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

COMMAND = (sys.executable, "-m", "wf.transfer")
_FROM_OUTSIDE = ("AWS_", "PEGASUS_", "SLURM_", "KICKSTART_", "http_proxy", "https_proxy", "HTTP", "no_proxy")


class Run(NamedTuple):
    """How it ended, and what it wrote."""

    code: int
    out: str
    err: str

    def lines(self) -> list[str]:
        return self.out.splitlines()

    def records(self) -> list[dict[str, Any]]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.lines()]


def wf_transfer(
    folder: Path, *arguments: str | bytes | Path, environment: Mapping[str, str] | None = None
) -> Run:
    """`wf-transfer ARGUMENTS` in `folder`, with nothing from outside that would matter."""
    whole = {name: value for name, value in os.environ.items() if not name.startswith(_FROM_OUTSIDE)}
    whole |= {"HOME": str(folder), "LC_ALL": "C.UTF-8", "COLUMNS": "100"}
    done = subprocess.run(
        (*COMMAND, *arguments),
        cwd=folder,
        env={**whole, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    run = Run(done.returncode, *(os.fsdecode(text) for text in (done.stdout, done.stderr)))
    assert "Traceback" not in run.err, run.err
    return run
