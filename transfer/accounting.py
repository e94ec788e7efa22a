"""What all outcomes of a run come to: counters, integrity figures and the exit code. Holds no outcome."""

from __future__ import annotations

from .outcomes import Status
from .requests import Transfer
from .settings import Exit
from .sinks import LinkageChecks, Totals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..protocols.errors import TransferError
    from .outcomes import Outcome


_MISMATCH, _LATER, _CREDENTIAL, _CONFIGURATION, _OTHER = (
    "mismatch",
    "later",
    "credential",
    "configuration",
    "other",
)
"""What a failure counts as for the exit code."""

_KIND_OF_CODE: Final = {
    "mismatch": _MISMATCH,
    "missing-credential": _CREDENTIAL,
    "denied": _CREDENTIAL,
    "configuration": _CONFIGURATION,
    "missing-extra": _CONFIGURATION,
}

_EXIT_OF_ONLY_KIND: Final = {
    _LATER: Exit.LATER,
    _CREDENTIAL: Exit.CREDENTIAL,
    _CONFIGURATION: Exit.CONFIGURATION,
}


class Accounts:
    """Counters of one run, for one thread. `add` each outcome once."""

    __slots__ = ("_attempts", "_bytes", "_checks", "_counts", "_kinds")

    def __init__(self) -> None:
        self._counts = dict.fromkeys(Status, 0)
        self._attempts = 0
        self._bytes = 0
        self._checks: dict[str, tuple[int, int, float]] = {}
        self._kinds: set[str] = set()

    def add(self, outcome: Outcome) -> None:
        self._counts[outcome.status] += 1
        self._attempts += len(outcome.attempts)
        if outcome.status is not Status.DONE:
            self._kinds.add(_kind(outcome.error))
        elif isinstance(outcome.request, Transfer):
            self._bytes += outcome.bytes
        if outcome.checked:
            self._add_check(outcome)

    def totals(self) -> Totals:
        counts = self._counts
        return Totals(
            requests=sum(counts.values()),
            done=counts[Status.DONE],
            failed=counts[Status.FAILED],
            skipped=counts[Status.SKIPPED],
            stopped=counts[Status.STOPPED],
            attempts=self._attempts,
            bytes=self._bytes,
        )

    def integrity(self) -> tuple[LinkageChecks, ...]:
        """Sorted by linkage; linkages for which no digest was compared are absent."""
        return tuple(LinkageChecks(linkage, *self._checks[linkage]) for linkage in sorted(self._checks))

    def exit_code(self, stopped: bool, engine_failed: bool) -> Exit:
        """The first that applies: the engine failed, stopped, a mismatch, all failures of one kind, any failure.

        A request that was skipped has the kind of the error that it carries: that of what it waited for.
        """
        if engine_failed:
            return Exit.DEFECT
        if stopped or self._counts[Status.STOPPED]:
            return Exit.LATER
        if not self._kinds:
            return Exit.DONE
        if _MISMATCH in self._kinds:
            return Exit.MISMATCH
        if len(self._kinds) > 1:
            return Exit.FAILED
        return _EXIT_OF_ONLY_KIND.get(next(iter(self._kinds)), Exit.FAILED)

    def _add_check(self, outcome: Outcome) -> None:
        request = outcome.request
        linkage = request.linkage if isinstance(request, Transfer) else "unknown"
        checked, failed, seconds = self._checks.get(linkage, (0, 0, 0.0))
        mismatch = _kind(outcome.error) is _MISMATCH
        self._checks[linkage] = (checked + 1, failed + mismatch, seconds + outcome.check_seconds)


def _kind(error: TransferError | None) -> str:
    if error is None:
        return _OTHER
    special = _KIND_OF_CODE.get(error.code)
    if special is not None:
        return special
    return _LATER if error.later else _OTHER
