"""What the doctor says of one thing that it looked at."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Something is not there that not everybody needs."""
    WARNING = "warning"
    """Something may go wrong."""
    BROKEN = "broken"
    """Something will go wrong, whatever is transferred."""


class Fact(NamedTuple):
    """One thing that was looked at."""

    section: str
    name: str
    value: str
    state: State = State.OK
    remedy: str = ""
