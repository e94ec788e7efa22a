"""One byte rate for the whole run, shared by all workers."""

from __future__ import annotations

import threading
import time


class Throttle:
    """Lets `rate` bytes per second pass. Debts are allowed, so that a large view is not cut in pieces."""

    def __init__(self, rate: int, stop: threading.Event) -> None:
        self._rate = rate
        self._stop = stop
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, count: int) -> None:
        """Returns when `count` bytes may pass, or early when the run is stopped."""
        with self._lock:
            now = time.monotonic()
            starts = max(now, self._free_at)
            self._free_at = starts + count / self._rate
        if starts > now:
            self._stop.wait(starts - now)
