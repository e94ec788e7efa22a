"""What a task's documents mean: whether to wait, to give it up, and what became of each item. Pure.

The service repeats everything that fails until the task's deadline, also what cannot get better, and a task that ended may
have failed: so the faults are looked at while it runs, and the lists of what was copied and what was skipped at its end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .errors import (
    Broken,
    Denied,
    End,
    Mismatch,
    NotFound,
    Reach,
    ServerFault,
    TransferError,
    Undone,
    Unreachable,
)
from .globus_errors import OF_ALL, PERMANENT, REMEDIES, TRANSIENT
from .globus_names import place_of
from .globus_spellings import Spelled, is_spelled
from .values import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Final

    from ..checksum.digest import Digest
    from .values import Group, Item

    Document = Mapping[str, Any]
    Result = Receipt | TransferError

SEEN_ENOUGH: Final = 2
"""So often a permanent fault of the same file must have been seen: a first one may be a file that is just being written."""
SEEN_ENOUGH_ANYWHERE: Final = 3
"""The same for faults that do not tell their file."""
EVENTS_LOOKED_AT: Final = 200
PATIENCE_SECONDS: Final = 1800.0
"""How long a task may have nothing but faults before it is given up."""
_GOES_ON: Final = frozenset({"PROGRESS", "STARTED", "UNPAUSED"})
"""Events after which what was wrong before is past."""
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 30.0
_WAIT_OF_AGE: Final = 0.5
"""Each wait is this part of the task's age, so that each is half as long again as the one before."""
_FILE: Final = re.compile(r"^File: (.*?)\n(?:Command|Message|---)", re.MULTILINE | re.DOTALL)
_WAITING: Final = frozenset({"ACTIVE", "INACTIVE"})


class Event(NamedTuple):
    """`path` is empty where the event does not tell it; `when` in seconds since 1970."""

    code: str
    path: str
    text: str
    when: float
    is_fault: bool = True


def is_over(task: Document) -> bool:
    return task.get("status") not in _WAITING


def wait_for(task: Document, now: float) -> float:
    """Seconds until the next question: short for young tasks, longer and longer for old ones."""
    age = max(0.0, now - seconds_of(str(task.get("request_time") or "")))
    return min(max(age * _WAIT_OF_AGE, _FIRST_WAIT), _LONGEST_WAIT)


def seconds_of(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time, UTC where it has no zone; infinite for none."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return float("inf")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def events_of(events: Iterable[Document]) -> tuple[Event, ...]:
    """Newest first as the service lists them."""
    return tuple(map(_event, events))


def _event(event: Document) -> Event:
    details = str(event.get("details") or "")
    match = _FILE.search(details)
    text = details.rpartition("---")[2] or details
    return Event(
        str(event.get("code") or ""),
        match[1] if match else "",
        " ".join((str(event.get("description") or "") + " " + text.replace("\\r\\n", " ")).split())[:300],
        seconds_of(str(event.get("time") or "")),
        bool(event.get("is_error")),
    )


def hopeless(events: Sequence[Event], now: float) -> tuple[Event, ...]:
    """The faults because of which the task is not waited for any longer; empty while there is hope."""
    seen: dict[tuple[str, str], list[Event]] = {}
    for fault in events:
        if fault.is_fault and fault.code in PERMANENT:
            seen.setdefault((fault.code, "" if fault.code in OF_ALL else fault.path), []).append(fault)
    enough = tuple(
        same[0]
        for (_, path), same in seen.items()
        if len(same) >= (SEEN_ENOUGH if path else SEEN_ENOUGH_ANYWHERE)
    )
    return enough or _too_long(events, now)


def _too_long(events: Sequence[Event], now: float) -> tuple[Event, ...]:
    """The newest fault, if there was nothing but faults for too long."""
    faults: list[Event] = []
    for event in events:
        if event.code in _GOES_ON:
            break
        if event.is_fault:
            faults.append(event)
    if faults and now - faults[-1].when > PATIENCE_SECONDS:
        return (faults[0],)
    return ()


def why_inactive(task: Document, what: str) -> TransferError:
    """Why a task that nobody but a person can set going again is given up."""
    told = str(task.get("nice_status_details") or task.get("nice_status") or "no reason was given")[:300]
    if task.get("is_paused"):
        return Unreachable(
            f"{what}: the task is paused: {_clean(told)}",
            remedy="ask the administrator of the collection, and run the batch again later",
        )
    return Denied(
        f"{what}: the task is inactive: {_clean(told)}",
        remedy="log in to the collection again in the Globus web app",
    )


def error_of_fault(fault: Event, what: str) -> TransferError:
    """The error that an item fails with because of this fault."""
    kind = PERMANENT.get(fault.code) or TRANSIENT.get(fault.code, ServerFault)
    told = f": {_clean(fault.text)}" if fault.text else ""
    return kind(f"{what}: {_clean(fault.code)}{told}", remedy=REMEDIES.get(fault.code, ""))


def _clean(text: str) -> str:
    from ..credentials.redaction import printable, redact

    return printable(redact(text))


# --- the end


class Ended(NamedTuple):
    """All that the service tells of a task that is over, or that was given up."""

    task: Document
    copied: Sequence[Document]
    skipped: Sequence[Document]
    events: Sequence[Event]


def results_of(group: Group, ended: Ended, now: float) -> tuple[tuple[int, Result], ...]:
    """What became of each item."""
    kind: type[_Verdict] = _Removals if group.items[0].source is None else _Copies
    judge = kind(ended, now)
    judge.learn(group)
    return tuple((number, judge.result(item)) for number, item in enumerate(group.items))


class _Verdict:
    """What the faults of a task mean for an item that is not done: what no fault names is tried again."""

    def __init__(self, ended: Ended, now: float) -> None:
        self.task = ended.task
        self.succeeded = ended.task.get("status") == "SUCCEEDED"
        self.what = f"Globus task {ended.task.get('task_id')}"
        given_up = hopeless(ended.events, now) or _of_fatal(ended)
        self.by_path = Spelled(
            (fault.path, fault) for fault in given_up if fault.path and fault.code not in OF_ALL
        )
        self.of_all = next((fault for fault in given_up if fault.code in OF_ALL), None)
        self.unplaced = next(iter(given_up), None)
        self.deadline_is_ours = False

    def learn(self, group: Group) -> None:
        """Whether a fault names one of the items: only then the others can hope for another task."""
        self.deadline_is_ours = group.deadline is not None
        if any(fault for item in group.items if (fault := self._fault(item))):
            self.unplaced = None

    def result(self, item: Item) -> Result:
        raise NotImplementedError

    def _fault(self, item: Item) -> Event | None:
        """The fault that names this item, or, of a folder, something in it."""
        if not self.by_path:
            return None
        paths = [place_of(place).path for place in (item.source, item.destination) if place is not None]
        found = map(self.by_path.below if item.recursive else self.by_path.get, paths)
        return next((fault for fault in found if fault is not None), None)

    def failure(self, item: Item) -> TransferError:
        fault = self.of_all or self._fault(item) or self.unplaced
        if fault is None:
            return self._of_task()
        error = error_of_fault(fault, self.what)
        if item.source is not None and fault.path:
            source, destination = place_of(item.source).path, place_of(item.destination).path
            if not is_spelled(fault.path, source) and is_spelled(fault.path, destination):
                error.end = End.DESTINATION
        return error

    def _of_task(self) -> TransferError:
        """Of an item that nothing is known to be wrong with."""
        fatal = self.task.get("fatal_error") or {}
        code, told = str(fatal.get("code") or ""), _clean(str(fatal.get("description") or ""))[:300]
        if self.task.get("canceled_by_admin"):
            message = _clean(str(self.task.get("canceled_by_admin_message") or "no reason was given"))[:300]
            return Denied(
                f"{self.what}: cancelled by an administrator: {message}",
                remedy="ask the administrator of the collection",
            )
        if code == "CANCELED" and self.by_path:
            return Undone(f"{self.what}: cancelled because of other files, before this one was done")
        if code == "CANCELED":
            return Broken(f"{self.what}: it was cancelled")
        if code == "EXPIRED":
            error = Broken(
                f"{self.what}: its deadline passed before this was done",
                remedy="run the batch again, with a later --deadline",
            )
            if self.deadline_is_ours:
                error.reach = Reach.REQUEST  # another task would have the same
            return error
        kind = PERMANENT.get(code) or TRANSIENT.get(code, ServerFault)
        if self.by_path:
            # What the task died of was another file.
            return Undone(f"{self.what}: ended with {_clean(code)} because of another file")
        return kind(
            f"{self.what}: {_clean(code) or 'failed'}: {told}".rstrip(": "), remedy=REMEDIES.get(code, "")
        )


class _Removals(_Verdict):
    """The service lists no removals: each is done when the task is."""

    def result(self, item: Item) -> Result:
        return Receipt() if self.succeeded else self.failure(item)


class _Copies(_Verdict):
    """Each is in one of two lists, or not done."""

    def __init__(self, ended: Ended, now: float) -> None:
        super().__init__(ended, now)
        self.copied = Spelled(
            (f"{one.get('destination_path')}", one) for one in ended.copied if one.get("source_path")
        )
        self.skipped = Spelled((str(one.get("source_path") or ""), one) for one in ended.skipped)
        self.complete = False

    def learn(self, group: Group) -> None:
        super().learn(group)
        counted = int(self.task.get("files_transferred") or 0) + int(self.task.get("files_skipped") or 0)
        files = sum(not item.recursive for item in group.items)
        # The service may list a path in another spelling than the one it was given.
        self.complete = self.succeeded and not self.skipped and counted >= files

    def result(self, item: Item) -> Result:
        assert item.source is not None
        source, destination = place_of(item.source).path, place_of(item.destination).path
        skipped = self._skipped(source, item.recursive)
        if skipped is not None:
            return skipped
        found = self.copied.get(destination)
        if found is not None and is_spelled(str(found["source_path"]), source):
            return self._receipt(item, found)
        if self.complete or (self.succeeded and item.recursive):
            return self._receipt(item, {})
        if self.succeeded:
            return ServerFault(f"{self.what}: it succeeded, but does not list this file")
        return self.failure(item)

    def _skipped(self, source: str, recursive: bool) -> TransferError | None:
        found = self.skipped.below(source) if recursive else self.skipped.get(source)
        if found is None:
            return None
        code = str(found.get("error_code") or "")
        kind = PERMANENT.get(code, NotFound)
        return kind(f"{self.what}: {_clean(str(found.get('source_path')))}: {_clean(code)}")

    def _receipt(self, item: Item, found: Document) -> Receipt | TransferError:
        """What the service says of the copy. A checksum was compared at both ends if the task verifies at all."""
        size = found.get("size")
        digests = self._digests(item, found)
        receipt = Receipt(size=size if isinstance(size, int) else None, digests=digests)
        if item.size is not None and receipt.size not in (None, item.size):
            return _wrong_size(self.what, item.size, receipt.size)
        return receipt

    def _digests(self, item: Item, found: Document) -> tuple[Digest, ...]:
        from ..checksum.digest import parse_hex

        if self.task.get("verify_checksum") is not True or item.recursive:
            return ()
        algorithm, value = found.get("checksum_algorithm"), found.get("checksum")
        if algorithm and value:
            try:
                return (parse_hex(str(algorithm).lower(), str(value)),)
            except ValueError:
                return ()
        # An item is only done when its external checksum was that of the file as it was written.
        return (item.expected,) if item.expected is not None and _compared(item) else ()


def _compared(item: Item) -> bool:
    from .globus_documents import ALGORITHMS

    return item.expected is not None and item.expected.algorithm in ALGORITHMS


def _wrong_size(what: str, expected: int, found: int | None) -> TransferError:
    error = Mismatch(f"{what}: {found} bytes were copied, {expected} were expected")
    error.of_digest = False
    return error


def _of_fatal(ended: Ended) -> tuple[Event, ...]:
    """The newest fault of each file that the task died of."""
    fatal = ended.task.get("fatal_error") or {}
    code = str(fatal.get("code") or "")
    if code not in PERMANENT:
        return ()
    return tuple(fault for fault in ended.events if fault.is_fault and fault.code == code) or (
        Event(code, "", str(fatal.get("description") or ""), 0.0),
    )
