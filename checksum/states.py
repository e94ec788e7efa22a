"""The state of a file that tells, later, whether somebody wrote to it."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .paths import Path

_TICK_NS: Final = 20_000_000
"""The kernel's clock for file times stands still for up to 10 ms."""


def settled_state(path: Path) -> os.stat_result:
    """The status of a file about to be read: whoever writes to it once it is read leaves another time or size.

    For that a file that was written this very moment is waited for, 20 ms at most. Raises OSError.
    """
    status = os.stat(path)
    age = time.time_ns() - status.st_mtime_ns
    if 0 <= age < _TICK_NS:
        time.sleep((_TICK_NS - age) / 1e9)
    return status


def identity(status: os.stat_result) -> tuple[int, int]:
    """What tells two files apart, whatever their names."""
    return status.st_dev, status.st_ino
