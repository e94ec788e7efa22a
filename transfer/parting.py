"""Moves one large file in parts: opens the parts, lets idle workers help, verifies and commits.

The worker that has the request begins alone. While its stream waits for the network and the processor is idle, it invites
others; they come if they have nothing else to do and the limits of both endpoints allow it. Nobody waits for anybody's
end: whoever leaves last verifies and commits, and so becomes the one that has the request.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..protocols.errors import (
    Broken,
    Changed,
    Defect,
    End,
    Mismatch,
    Reach,
    Stopped,
    TransferError,
)
from .lanes import key_of
from .part_opening import open_parts, parts_of
from .part_source import PartSource
from .planning import capability_of
from .publishing import publish
from .pump import Hashing
from .segments import STREAMS_MOST, Segments
from .work import Copied, Handed, Unfinished

if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from ..protocols.contract import Reader
    from ..protocols.values import Part, Receipt
    from .part_opening import Opened
    from .pouring import Pour
    from .settings import Settings
    from .work import Work, Worker

TRIES: Final = 3
"""How often one part may fail at one source."""
_READ_BACK: Final = 1 << 20
_MEMORY: Final = 48 << 20
"""Bytes of parts that may wait in memory to be sent."""


class Parting:
    """One file on its way: what the workers that move it need. `began` and `clock` are those of the attempt."""

    __slots__ = ("began", "clock", "copy", "invited", "job", "key", "note", "segments", "trusted", "version")

    def __init__(self, job: Pour, reader: Reader, opened: Opened) -> None:
        self.job = job
        self.key = key_of(job.work)
        self.copy = opened.copy
        """Which copy this is, for the next attempt or run."""
        self.version = reader.version
        self.began = time.time()
        self.clock = time.monotonic()
        self.segments: Segments
        self.invited = 0
        self.note = opened.note
        self.trusted = opened.marks
        """Marks of parts that an earlier attempt, or our own journal, vouches for."""

    @property
    def work(self) -> Work:
        return self.job.work


def pour_parts(job: Pour, reader: Reader, view: memoryview) -> Copied | Handed | None:
    """What came of the file, of which `view` is the beginning; None where the destination takes no parts after all."""
    opened = open_parts(job, reader)
    if opened is None:
        return None
    token = opened.token
    can = capability_of(job.worker.plan, job.destination)
    ordered = not can.write_parts_any_offset
    parting = Parting(job, reader, opened)
    if opened.found and not ordered:
        # Two runs that are joined are like two sources: a digest that is wrong then proves nothing against either.
        job.spliced, job.held = True, sum(part.size for part in opened.found)
    if opened.read:
        source = PartSource(job, parting.version, token.size)
    else:
        source = PartSource(job, parting.version, token.size, reader, view)
    parting.segments = Segments(
        token,
        Hashing(tuple(digest.algorithm for digest in job.expected)),
        ordered=ordered,
        found=opened.found,
        tries=TRIES * source.replicas,
    )
    parting.segments.enter()
    return _take_part(parting, job.worker, source)


def help_with(parting: Parting, worker: Worker) -> Copied | Handed:
    """Takes part in somebody's file, as long as there is something to do."""
    if not parting.segments.enter():
        return Handed()
    size = parting.segments.token.size
    return _take_part(parting, worker, PartSource(parting.job, parting.version, size, worker=worker))


# --- moving


def _take_part(parting: Parting, worker: Worker, source: PartSource) -> Copied | Handed:
    """Moves parts until none is left for this worker; the last one concludes."""
    segments, aside = parting.segments, None
    try:
        mover = _move_ordered if segments.ordered else _move_pieces
        aside = mover(parting, worker, source)
    except BaseException as error:  # noqa: BLE001 - others may be writing: whoever is last raises it
        segments.broke(error)
    finally:
        source.close()
    if not segments.leave():
        return Handed(aside)
    return _conclude(parting, worker)


def _move_pieces(parting: Parting, worker: Worker, source: PartSource) -> TransferError | None:
    """To a destination that takes pieces at any offset. Returns the error for which this worker leaves the others."""
    segments = parting.segments
    token, store = segments.token, parts_of(worker, segments.token.location)
    back = worker.context.part_buffer(_READ_BACK)

    def read_back(offset: int, view: memoryview) -> int:
        return store.read_back(token, offset, view)

    while (number := segments.take()) is not None:
        first, length = token.span(number)
        offset = first
        try:
            for piece in source.views(first, first + length, alone=segments.active == 1):
                _look_around(parting, worker, len(piece))
                segments.hash_next(offset, piece)
                part = store.put_part(token, number, offset, piece)
                offset += len(piece)
            segments.finished(part)
            segments.catch_up(read_back, back)
        except TransferError as error:
            error.at(End.DESTINATION, "write")
            if not _goes_on(segments, source, number, error):
                return error
        else:
            _passed(parting, worker)
    return None


def _move_ordered(parting: Parting, worker: Worker, source: PartSource) -> TransferError | None:
    """To a destination that takes whole parts: reads and hashes one in its turn, and sends it while the next is read."""
    segments = parting.segments
    token, store = segments.token, parts_of(worker, segments.token.location)
    buffer = worker.context.part_buffer(token.part)
    if not parting.job.source.is_local and not parting.invited and worker.plan.settings.streams != 1:
        _invite(parting, worker, 1)
    while (number := segments.take()) is not None:
        first, length = token.span(number)
        try:
            if segments.frontier < first:
                source.prepare(first, first + length)
            if not segments.wait_turn(number, worker.limits.stop):
                segments.put_back(number)
                continue
            offset = first
            for piece in source.views(first, first + length, alone=segments.active == 1):
                _look_around(parting, worker, len(piece))
                segments.hash_next(offset, piece)
                buffer[offset - first : offset - first + len(piece)] = piece
                offset += len(piece)
            segments.let_read()
            part = _proven(parting, number, buffer[:length])
            if part is None:
                part = store.put_part(token, number, first, buffer[:length])
                if worker.journal is not None:
                    worker.journal.part(token, part)
            segments.finished(part)
        except TransferError as error:
            error.at(End.DESTINATION, "write")
            if not _goes_on(segments, source, number, error):
                return error
        else:
            _passed(parting, worker)
    return None


def _proven(parting: Parting, number: int, view: memoryview) -> Part | None:
    """The part that the destination has already, if it is known to be these bytes."""
    found = parting.segments.found.get(number)
    if found is None:
        return None
    hashing = Hashing(tuple(digest.algorithm for digest in found.digests))
    hashing.update(view)
    mine = hashing.digests()
    told = {digest.algorithm: digest for digest in found.digests}
    agrees = [told[digest.algorithm] == digest for digest in mine if digest.algorithm in told]
    if any(agrees) or (found.mark in parting.trusted and not agrees):
        return found._replace(digests=mine[:1])
    return None


def _goes_on(segments: Segments, source: PartSource, number: int, error: TransferError) -> bool:
    if error.end is End.SOURCE:
        elsewhere = source.failed(error)
        if elsewhere and error.reach is not Reach.REQUEST:
            segments.put_back(number)
            return True
    return segments.failed(number, error)


def _look_around(parting: Parting, worker: Worker, count: int) -> None:
    """Once a view: is it still wanted, may it be so fast, would help help?"""
    limits, segments = worker.limits, parting.segments
    if limits.stop.is_set():
        raise Stopped("the run was stopped", end=End.NEITHER, step="read")
    if segments.error is not None:
        raise Broken("another worker of this file failed", end=End.NEITHER, step="read")
    segments.moved += count
    worker.meter.moved += count
    if limits.throttle is not None:
        limits.throttle.take(count)
    more = further_streams(segments, worker.plan.settings, parting.invited)
    if more > 0:
        _invite(parting, worker, more)


def further_streams(segments: Segments, settings: Settings, invited: int) -> int:
    """How many more workers would help with a file to which so many were invited."""
    if settings.streams:
        return settings.streams - 1 - invited
    return segments.wanted(min(_streams_most(segments), settings.workers or STREAMS_MOST))


def _streams_most(segments: Segments) -> int:
    """How many streams a file may have: each stream of ordered parts holds one in memory."""
    return min(STREAMS_MOST, max(2, _MEMORY // segments.token.part)) if segments.ordered else STREAMS_MOST


def _invite(parting: Parting, worker: Worker, count: int) -> None:
    if worker.crew is None or worker.plan.settings.workers == 1:
        return
    parting.invited += count
    for _ in range(count):
        worker.crew.invite(parting.key, parting)


def _passed(parting: Parting, worker: Worker) -> None:
    """A part is an answer: the endpoints have proved themselves."""
    if worker.crew is not None:
        worker.crew.answered(parting.key)


# --- the end


class _PartsWriter:
    """Parts as what `publish` wants: something to commit."""

    algorithms: tuple[str, ...] = ()
    descriptor: int | None = None

    def __init__(self, parting: Parting, worker: Worker) -> None:
        self._parting = parting
        self._worker = worker

    def write(self, view: memoryview) -> None:
        raise NotImplementedError

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        segments = self._parting.segments
        store = parts_of(self._worker, segments.token.location)
        return store.commit_parts(segments.token, segments.parts(), digests)

    def abort(self, *, keep: bool = False) -> None:
        _let_go(self._parting, self._worker, keep=keep)


def _conclude(parting: Parting, worker: Worker) -> Copied:
    from .pouring import counts, right_source

    segments, job = parting.segments, parting.job
    token = segments.token
    try:
        if segments.error is not None:
            raise segments.error
        if not segments.ordered:
            store = parts_of(worker, token.location)
            back = worker.context.part_buffer(_READ_BACK)
            segments.catch_up(lambda offset, view: store.read_back(token, offset, view), back)
        if segments.frontier != token.size or len(segments.done) != token.total:
            raise Defect(
                f"{segments.frontier} of {token.size} bytes are accounted for", end=End.NEITHER, step="verify"
            )
        digests = segments.hashing.digests()
        checked = right_source(job, digests, token.size)
    except BaseException as error:
        spoiled = isinstance(error, Mismatch) or isinstance(error.__cause__, Mismatch)
        sound = isinstance(error, TransferError) and not isinstance(error, Defect)
        if isinstance(error, Changed) and error.end is not End.DESTINATION:
            # It has changed, or answers with the whole whatever part of it is asked for.
            sound, job.work.whole = False, True
        _let_go(parting, worker, keep=sound and not spoiled)
        raise
    writer = _PartsWriter(parting, worker)
    copied = publish(job.destination, worker, writer, token.size, digests, parting.began)
    job.work.unfinished = None
    if worker.journal is not None:
        worker.journal.ended(token)
    return copied._replace(checked=counts(job, checked), note=copied.note or parting.note)


def _let_go(parting: Parting, worker: Worker, *, keep: bool) -> None:
    """With `keep` the parts stay, for the next attempt of this run or for a later one; whatever ends the request decides."""
    segments, work = parting.segments, parting.work
    token = segments.token
    parts_of(worker, token.location).abort_parts(token, keep=keep)
    marks = frozenset(part.mark for part in segments.done.values()) | parting.trusted
    work.unfinished = Unfinished(parting.copy, token, marks) if keep else None
    if not keep and worker.journal is not None:
        worker.journal.ended(token)
