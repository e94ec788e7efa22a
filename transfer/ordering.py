"""Which requests may start, given which have ended. Not thread-safe; its owner serialises the calls."""

from __future__ import annotations

import os

from ..checksum.records import NamedTuple
from .planning import PHASES, place_of
from .requests import Remove, Transfer, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..protocols.errors import TransferError
    from .planning import Plan
    from .requests import Request


class Skip(NamedTuple):
    """A request that will not run, the error of the one it waited for, and the sentence that says so."""

    request: Request
    cause: TransferError | None
    why: str


class Released(NamedTuple):
    """What one end of a request sets free: requests that may start, and requests that never will."""

    ready: list[Request]
    skipped: list[Skip]


class Ordering:
    """Directories, transfers, removes; `after`; one request at a time per destination; and no remove of what failed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._folder = _working_directory()
        self._left = [0] * PHASES
        self._held: list[list[Request]] = [[] for _ in range(PHASES)]
        self._phase = 0
        self._waits: dict[int, int] = {}
        self._dependents: dict[int, list[tuple[int, bool]]] = {}
        self._failed: dict[str, tuple[Request, TransferError | None]] = {}
        self._ended: set[int] = set()
        """Numbers of ended requests that others wait for, or that were skipped."""
        self._by_number = {number: plan.requests[number] for number in (*plan.after, *plan.behind)}
        for number, before in plan.after.items():
            self._wait(number, before, must_succeed=True)
        for number, before in plan.behind.items():
            self._wait(number, before, must_succeed=False)

    def begin(self) -> Released:
        """What may start at once. Call it first, and once."""
        for request in self._plan.requests:
            phase = self._plan.phase(request)
            self._left[phase] += 1
            if request.after:
                continue
            self._held[phase].append(request)
        released = Released([], [])
        for number in self._plan.after:
            if not self._waits.get(number):
                released.ready.append(self._by_number[number])
        self._open_phases(released)
        return released

    def ended(self, request: Request, error: TransferError | None, *, ok: bool) -> Released:
        """What the end of `request` sets free. `error` is why it failed."""
        released = Released([], [])
        if not ok:
            self._remember_failed(request, error)
        self._left[self._plan.phase(request)] -= 1
        for number, must_succeed in self._dependents.pop(request.number, ()):
            self._predecessor_ended(number, request, error, released, fatal=must_succeed and not ok)
        self._open_phases(released)
        return released

    def obstacle(self, remove: Remove) -> Skip | None:
        """Why this removal must not run: it touches an end of a request that did not succeed."""
        if not self._failed:
            return None
        key = place_of(remove.target, self._folder)
        found = self._failed.get(key)
        if found is None and remove.recursive:
            below = key.rstrip("/") + "/"
            found = next((entry for other, entry in self._failed.items() if other.startswith(below)), None)
        if found is None:
            return None
        request, cause = found
        return Skip(remove, cause, f"not removed, because {_called(request)} did not succeed and uses it")

    def _wait(self, number: int, before: Iterable[int], *, must_succeed: bool) -> None:
        for predecessor in dict.fromkeys(before):
            self._waits[number] = self._waits.get(number, 0) + 1
            self._dependents.setdefault(predecessor, []).append((number, must_succeed))

    def _predecessor_ended(
        self, number: int, before: Request, error: TransferError | None, released: Released, *, fatal: bool
    ) -> None:
        if number in self._ended:
            return
        request = self._by_number[number]
        if fatal:
            self._ended.add(number)
            released.skipped.append(
                Skip(request, error, f"not run, because {_called(before)} did not succeed")
            )
            return
        self._waits[number] -= 1
        if not self._waits[number] and (request.after or self._plan.phase(request) < self._phase):
            released.ready.append(request)

    def _open_phases(self, released: Released) -> None:
        """Releases every phase before which nothing is left."""
        while self._phase < PHASES and not any(self._left[: self._phase]):
            held, self._held[self._phase] = self._held[self._phase], []
            released.ready.extend(request for request in held if not self._waits.get(request.number))
            self._phase += 1

    def _remember_failed(self, request: Request, error: TransferError | None) -> None:
        if isinstance(request, Transfer):
            for location in (*request.sources, *request.destinations):
                self._failed.setdefault(place_of(location, self._folder), (request, error))


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # it was removed; only absolute paths can work, and those need it not


def _called(request: Request) -> str:
    from ..credentials.redaction import printable, redact_url

    return f"request {request.number} ({printable(redact_url(name_of(request)))})"
