"""What SIGTERM and SIGINT do to a run: the first stops it in order, the second ends the process at once."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from signal import SIGINT, SIGTERM, signal
    from types import FrameType
    from typing import Any
else:
    # What the module `signal` is made of. It makes enumerations of all numbers first, which costs more than our own do.
    from _signal import SIGINT, SIGTERM, signal


class stopping_on_signals:
    """Sets `stop` at the first signal. Must be entered in the main thread; restores what was there."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        self._before = {number: signal(number, self._handle) for number in (SIGTERM, SIGINT)}

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set():
            os._exit(128 + number)
        self._stop.set()
