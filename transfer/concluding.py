"""How a request ends, or an attempt at it: the outcome that its work has come to, and what an error is about."""

from __future__ import annotations

import time

from ..protocols.errors import Busy, Defect, End, Mismatch, Reach, Unreachable
from .outcomes import Outcome, Status
from .requests import places_of
from .settings import Evidence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols.errors import TransferError
    from ..protocols.locations import Location
    from .dispatch import Dispatcher
    from .logs import Log
    from .work import Copied, Work


def blamed(work: Work, error: TransferError) -> Location | None:
    """The end that the error is about."""
    if error.end is End.DESTINATION:
        return work.destination
    return work.source if error.end is End.SOURCE else None


def struck_off(error: TransferError, end: End) -> TransferError:
    """`error` as the reason why one location need not be tried."""
    if error.reach is not Reach.GROUP:
        error.reach = Reach.REPLICA
    return error.at(end, "prepare")


def down(name: str, key: tuple[str, str], dispatcher: Dispatcher) -> TransferError:
    """The error of a request at an endpoint that is known not to answer; `key` is its lane."""
    gate, now, last = dispatcher.gate(name), time.monotonic(), dispatcher.last_error(name)
    end = End.SOURCE if name == key[0] else End.DESTINATION
    error: TransferError
    if gate.busy:
        wait = max(0.0, gate.cooling_until - now)
        what = f"{name} is to be left alone for {wait:.0f} s more (the last answer: {last}); this one was not tried"
        error = Busy(what, host=name, end=end, step="wait")
    else:
        told = f"{gate.strikes} attempts, the last: {last}"
        what = f"{name} has not answered for {now - gate.since:.0f} s ({told}); this one was not tried"
        error = Unreachable(what, host=name, end=end, step="wait")
    error.reach = Reach.REPLICA
    return error


def defect_in(work: Work, error: BaseException, log: Log) -> TransferError:
    """The failure that an exception nobody expected means. Its text may hold anything, so secrets are taken out."""
    from ..credentials.redaction import redact

    schemes = " to ".join(end.scheme for end in (work.replica, work.destination) if end is not None)
    what = redact(f"defect in {schemes}: {type(error).__name__}: {error}")
    log.defect(what, error)
    return Defect(what, end=End.NEITHER, step="attempt")


def forget_frames(error: BaseException | None) -> None:
    """Drops what only a debugger needs: the frames hold the request, which holds the error, and nothing frees that soon."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _given(location: Location | None, work: Work) -> Location | None:
    """The location as the batch has it, where a resolver has put another in its place."""
    if location is None or not location.logical:
        return location
    return next(end for end in places_of(work.request) if end.url == location.logical)


def done_outcome(work: Work, copied: Copied) -> Outcome:
    return Outcome(
        work.request,
        Status.DONE,
        copied.route.value if copied.route else "",
        _given(work.replica, work),
        _given(work.destination, work),
        copied.bytes,
        time.monotonic() - work.began,
        next((digest for digest in copied.digests if digest.algorithm == "sha256"), None),
        tuple(digest for digest in copied.digests if digest.algorithm != "sha256"),
        copied.evidence or Evidence.NONE,
        copied.checked,
        copied.check_seconds,
        attempts=work.attempts,
        note=copied.note,
    )


def failed_outcome(work: Work, error: TransferError, status: Status) -> Outcome:
    last = work.attempts[-1] if work.attempts else None
    return Outcome(
        work.request,
        status,
        last.route if last else "",
        _given(work.replica, work),
        _given(work.destination, work),
        last.bytes if last else 0,
        time.monotonic() - work.began,
        checked=isinstance(error, Mismatch) and error.of_digest,
        left_behind=error.left_behind,
        error=error,
        attempts=work.attempts,
    )
