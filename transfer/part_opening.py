"""Opening a file in parts: when that can be done, and what an earlier attempt or run left of it.

In this order: the parts of this run's last attempt, those of an upload in the journal, and what the destination itself finds. A
local partial is known by its name. An upload that only the service knows may be a stranger's, and is taken over only
when its first part has the digest of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from ..protocols.errors import End, NotFound, TransferError, Unsupported
from .planning import capability_of
from .pump import Hashing
from .resuming import can_go_on, incoming_of

if TYPE_CHECKING:
    from ..protocols.contract import Parts, Reader
    from ..protocols.locations import Location
    from ..protocols.values import Incoming, Part, Token
    from .planning import Plan
    from .pouring import Pour
    from .work import Work, Worker

_MEBIBYTE = 1 << 20


class Opened(NamedTuple):
    """Parts that can be written. `found` are there already; of these `marks` are known to be of this very file."""

    copy: str
    """Which copy it is (`resuming.token_of`)."""
    token: Token
    found: tuple[Part, ...] = ()
    marks: frozenset[str] = frozenset()
    note: str = ""
    read: bool = False
    """The source was read to find out: what a reader had lent before is no longer in the worker's buffer."""


def part_bytes(destination: Location, size: int, plan: Plan) -> int:
    """Bytes of a part; 0 where the destination cannot take so many bytes in parts."""
    can = capability_of(plan, destination)
    part = max(plan.settings.part_bytes, can.part_minimum)
    if can.parts_most:
        least = -(-size // can.parts_most)
        part = max(part, -(-least // (_MEBIBYTE)) * (_MEBIBYTE) if least > part else part)
    return 0 if can.part_maximum and part > can.part_maximum else part


def goes_in_parts(job: Pour, reader: Reader) -> bool:
    """The source can be read from any place and the destination written in parts, and there are at least two."""
    can, source = capability_of(job.worker.plan, job.destination), capability_of(job.worker.plan, job.source)
    if not can.write_parts or job.private or (can.local and source.local) or job.work.spool is not None:
        return False
    if not can_go_on(job, reader):
        return False
    assert reader.size is not None
    part = part_bytes(job.destination, reader.size, job.worker.plan)
    return 0 < 2 * part <= reader.size


def open_parts(job: Pour, reader: Reader) -> Opened | None:
    """The parts of the file that `reader` reads; None where the destination takes none after all."""
    incoming = incoming_of(job, reader)
    unfinished = job.work.unfinished
    if unfinished is not None and unfinished.copy != incoming.token:
        drop_unfinished(job.work, job.worker)
    try:
        return _opened(job, reader, incoming)
    except Unsupported:
        return None
    except TransferError as error:
        raise error.at(End.DESTINATION, "open destination") from error.__cause__


def _opened(job: Pour, reader: Reader, incoming: Incoming) -> Opened:
    """What `_known` does not find is looked for by the store, and begun where that finds nothing either."""
    worker = job.worker
    part = part_bytes(job.destination, reader.size or 0, worker.plan)
    store, local = parts_of(worker, job.destination), capability_of(worker.plan, job.destination).local
    known = _known(job, store, incoming, part)
    if known is not None:
        return known
    token = store.open_parts(job.destination, incoming, part)
    found: tuple[Part, ...] = ()
    read = token.found and not local
    if token.found:
        found = store.list_parts(token)
        if not local and not _is_ours(job, reader, found, token):
            token, found = store.open_parts(job.destination, incoming._replace(resume=False), part), ()
    if worker.journal is not None and not local:
        worker.journal.begun(incoming.token, token)
    # Of what this run's last attempt left people hear in the attempts.
    earlier = found and job.work.unfinished is None
    return Opened(incoming.token, token, found, frozenset(), _note(found) if earlier else "", read)


def _known(job: Pour, store: Parts, incoming: Incoming, part: int) -> Opened | None:
    """What this run or its journal knows of, if it is still there."""
    if capability_of(job.worker.plan, job.destination).local:
        return None
    journal = job.worker.journal
    known, note = job.work.unfinished, False
    if known is None and journal is not None:
        for stale in journal.others(incoming.token, job.destination):
            store.abort_parts(stale)
            journal.ended(stale)
        known, note = journal.find(incoming.token, job.destination, part), True
    if known is None or (known.token.part, known.token.size) != (part, incoming.size):
        return None
    try:
        found = store.list_parts(known.token)
    except NotFound:
        job.work.unfinished = None
        if journal is not None:
            journal.ended(known.token)
        return None
    return Opened(incoming.token, known.token, found, known.marks, _note(found) if note and found else "")


def _note(found: tuple[Part, ...]) -> str:
    return f"{sum(part.size for part in found)} bytes were there from an earlier run"


def _is_ours(job: Pour, reader: Reader, found: tuple[Part, ...], token: Token) -> bool:
    """Whether the first part that tells a digest is the one of this file."""
    told = next((part for part in found if part.digests), None)
    if told is None:
        return False
    first, length = token.span(told.number)
    hashing = Hashing(tuple(digest.algorithm for digest in told.digests))
    try:
        own = job.worker.store(job.source).open_read(
            job.source, start=first, length=length, version=reader.version
        )
        try:
            while piece := own.read():
                hashing.update(piece)
        finally:
            own.close()
    except TransferError as error:
        raise error.at(End.SOURCE, "read") from error.__cause__
    return not set(told.digests).isdisjoint(hashing.digests())


def drop_unfinished(work: Work, worker: Worker) -> None:
    """Removes the parts that earlier attempts of this request left."""
    unfinished, work.unfinished = work.unfinished, None
    if unfinished is None:
        return
    parts_of(worker, unfinished.token.location).abort_parts(unfinished.token)
    if worker.journal is not None:
        worker.journal.ended(unfinished.token)


def parts_of(worker: Worker, location: Location) -> Parts:
    return cast("Parts", worker.store(location))
