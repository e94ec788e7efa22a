"""What the engine lends to a worker's stores for the worker's whole life."""

from __future__ import annotations

import mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    import threading
    from collections.abc import Callable
    from threading import Lock
    from typing import Protocol as TypingProtocol
    from typing import TypeVar

    from ..credentials.kinds import Credential
    from .locations import Location
    from .proxies import Proxies

    T = TypeVar("T")

    class Log(TypingProtocol):
        """What protocols may say aside: rarely, and never for a success."""

        def warning(self, text: str, *values: object) -> None: ...
        def debug(self, text: str, *values: object) -> None: ...


class Shared:
    """What the stores of all workers of one run have in common, each made once. Safe for all threads."""

    def __init__(self) -> None:
        from threading import Lock

        self._new_lock = Lock
        self._lock = Lock()
        self._locks: dict[tuple[str, ...], Lock] = {}
        self._made: dict[tuple[str, ...], object] = {}

    def get(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        with self._lock:
            lock = self._locks.setdefault(key, self._new_lock())
        with lock:
            if key not in self._made:
                self._made[key] = make()
            made: T = self._made[key]  # type: ignore[assignment]
            return made


def _to_nobody(count: int) -> None:
    """What happens to progress where nobody watches."""


BUFFER_BYTES = 1 << 20
"""Large enough that system calls do not count, small enough to stay in the second-level cache's reach."""


class Context:
    """Buffers, limits and answers that a protocol needs and must not find for itself.

    Not here on purpose: the deadline (the engine turns it into `stop`), clocks, retries, environment.
    """

    __slots__ = (
        "_part",
        "_proxies",
        "_renew",
        "_shared",
        "accept_new_host_keys",
        "buffer",
        "connect",
        "credential",
        "log",
        "logging_in",
        "moved",
        "slow_bytes",
        "stall",
        "stop",
        "tls",
        "view",
    )

    def __init__(
        self,
        *,
        stop: threading.Event,
        connect: float,
        stall: float,
        credential: Callable[[Location, str], Credential],
        tls: Callable[[Credential | None], ssl.SSLContext],
        log: Log,
        slow_bytes: int = 1,
        proxies: Callable[[], Proxies] | None = None,
        renew: Callable[[Location, str, Credential], Credential | None] | None = None,
        accept_new_host_keys: bool = False,
        shared: Shared | None = None,
    ) -> None:
        # Page-aligned: a bytearray of this size starts 16 bytes into a page, where the kernel copies slowly.
        self.buffer = mmap.mmap(-1, BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        """At most one borrowed view of it is alive: a reader's current one."""
        self.stop = stop
        """Set when the run ends early. Long waits look at it once a second and raise `Stopped`."""
        self.connect = connect
        """Seconds until a connection must stand."""
        self.stall = stall
        self.slow_bytes = slow_bytes
        """Bytes per second of waiting below which a connection is given up after `stall` seconds."""
        """Seconds without a byte after which a connection is given up."""
        self.credential = credential
        """`(location, "read" | "write")` -> what to present; raises `MissingCredential`. Cached by the engine.

        Ask for every request: what is about to end is replaced meanwhile."""
        self.tls = tls
        """A verifying TLS context, shared by all workers; with the client certificate of the credential, if any."""
        self.log = log
        self.accept_new_host_keys = accept_new_host_keys
        """The key of an SSH host that was never seen before may be believed and recorded. A changed one never."""
        self.logging_in = 0.0
        """Seconds that logging in took, all in all: how long a service takes for that does not tell how far it is."""
        self.moved: Callable[[int], None] = _to_nobody
        """Told, while a service copies by itself, how many bytes it has made in the present step: for progress only. The
        bytes that readers and writers pass on are counted by the engine."""
        self._proxies = proxies
        self._renew = renew
        self._shared = shared if shared is not None else Shared()
        self._part: mmap.mmap | None = None

    @property
    def proxies(self) -> Proxies | None:
        """Which proxy to ask for a URL; None: no proxies."""
        return self._proxies() if self._proxies is not None else None

    def renew(self, location: Location, purpose: str, credential: Credential) -> Credential | None:
        """What to present after the service refused `credential` as such (401); None where there is nothing newer.

        All workers together renew it once. Try again once with the answer, not more. Raises `MissingCredential`.
        """
        return self._renew(location, purpose, credential) if self._renew is not None else None

    def shared(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """What `make` returned when a worker of this run first asked for `key`: the same object for all workers.

        Others that ask meanwhile wait. If `make` raises, the next one who asks tries again. What is shared must be
        immutable or have locks of its own.
        """
        return self._shared.get(key, make)

    def for_last_words(self, seconds: float) -> Context:
        """A context with the same buffers that the end of the run does not stop, for cleaning up within `seconds`."""
        from copy import copy
        from threading import Event

        context = copy(self)
        context.stop = Event()
        context.connect = min(seconds, self.connect)
        context.stall = min(seconds, self.stall)
        return context

    def for_another_thread(self, stop: threading.Event) -> Context:
        """A context with buffers of its own and the same limits and answers, which `stop` ends: for stores that a second thread uses."""
        from copy import copy

        context = copy(self)
        context.buffer = mmap.mmap(-1, BUFFER_BYTES)
        context.view = memoryview(context.buffer)
        context.stop = stop
        context.moved = _to_nobody
        context._part = None
        return context

    def part_buffer(self, size: int) -> memoryview:
        """`size` bytes of this worker's, for stores that send whole parts; made on first use, then the same ones."""
        if self._part is None or len(self._part) < size:
            self._part = mmap.mmap(-1, size)
        return memoryview(self._part)[:size]
