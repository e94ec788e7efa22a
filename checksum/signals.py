"""An interrupt that ends the work in order, so that what is done so far is kept."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """An event that the first SIGINT sets; the second one raises KeyboardInterrupt as ever.

    Outside the main thread, where signals cannot be caught, the event stays unset.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def caught(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        stop.set()

    before = signal.signal(signal.SIGINT, caught)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
