"""What the tests of wf-checksum's commands share: the command as a subprocess, and its result."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = (sys.executable, "-m", "wf.checksum.cli")
PROGRAM = "wf-checksum: "


class Done(NamedTuple):
    """How the command ended; `err` has the program's name taken out of its lines."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return os.fsdecode(self.out).splitlines()


def run(folder: Path, *arguments: str | bytes, text: bytes = b"", **environment: str) -> Done:
    """Runs `wf-checksum` in a folder. No traceback ever reaches people."""
    done = subprocess.run(
        (*COMMAND, *arguments),
        cwd=folder,
        input=text,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
        check=False,
        timeout=120,
    )
    assert b"Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr.decode().replace(PROGRAM, ""))
