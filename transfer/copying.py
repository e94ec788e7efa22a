"""One attempt at one transfer, by each route: open source, first read, open destination, pump, verify, commit.

Nothing here waits, repeats or chooses: errors leave with their end and step, and the engine decides what follows.
Verification comes before commit, so that what is wrong is never published where the destination can hold it back.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, cast

from ..protocols.errors import (
    Broken,
    End,
    Mismatch,
    NotFound,
    Reach,
    Stopped,
    TransferError,
    Unsupported,
    Unverified,
)
from ..protocols.values import Incoming
from .existing import already_there
from .planning import capability_of, decision
from .publishing import after_cut, publish, verified_further
from .pump import Hashing, can_copy_in_kernel, kernel_copy, pump
from .requests import Transfer
from .routes import Route
from .service_copy import copy_by_service
from .settings import Evidence
from .verification import compare_digests, compare_size
from .work import Again, Copied, Spool

if TYPE_CHECKING:
    from ..checksum.digest import Digest
    from ..protocols.contract import Linker, Reader, Writer
    from ..protocols.locations import Location
    from .staging import SpoolBudget
    from .work import Work, Worker

_SPOOL_FULL_WAIT = 0.2
"""Seconds until a first leg asks again for room in the spool."""


def copy(work: Work, worker: Worker, budget: SpoolBudget) -> Copied | Again:
    """One attempt at the transfer of `work` between its present source and destination."""
    transfer = work.request
    assert isinstance(transfer, Transfer)
    if transfer.verify_remote and transfer.expected is None:
        raise _nothing_to_verify()
    if work.spool is None:
        present = already_there(transfer, work, worker)
        if present is not None:
            return present
    route = route_of(work, worker)
    if route is Route.THIRD_PARTY:
        return copy_by_service(transfer, work, worker)
    if route is Route.STAGED and work.spool is None:
        return _first_leg(transfer, work, worker, budget)
    if route is Route.LINK:
        return _link(transfer, work, worker)
    if route is Route.MOVE:
        return _move(transfer, work, worker)
    return _verified_stream(transfer, work, worker, route)


def _nothing_to_verify() -> Unverified:
    error = Unverified(
        "verify_checksum_remote was asked for, but no checksum is expected",
        end=End.NEITHER,
        step="plan",
        remedy="give a checksum in the batch, or a .meta file that names the lfn",
    )
    error.reach = Reach.REQUEST
    return error


def route_of(work: Work, worker: Worker) -> Route:
    """The planned route, or what experience has put in its place."""
    transfer, source = work.request, work.replica
    assert isinstance(transfer, Transfer) and source is not None
    if work.stage or work.spool is not None:
        return Route.STAGED
    route = decision(worker.plan, transfer, source, work.destination).route
    if route is Route.THIRD_PARTY and work.no_service_copy:
        return Route.STAGED if worker.plan.settings.stage_through_file else Route.STREAMED
    return route


class _Pour:
    """One stream from one source to one destination: what its steps share."""

    __slots__ = (
        "destination",
        "expected",
        "private",
        "reader",
        "source",
        "spliced",
        "transfer",
        "work",
        "worker",
    )

    def __init__(self, transfer: Transfer, work: Work, worker: Worker, destination: Location) -> None:
        assert work.source is not None
        self.transfer = transfer
        self.work = work
        self.worker = worker
        self.source: Location = work.source
        self.destination = destination
        self.expected: tuple[Digest, ...] = ()
        self.private = False
        """The destination is a spool file."""
        self.spliced = False
        """Bytes of two different sources were joined."""


def _verified_stream(transfer: Transfer, work: Work, worker: Worker, route: Route) -> Copied | Again:
    """Local copy, direct, streamed, and the second leg of staged."""
    copied = _pour(_Pour(transfer, work, worker, work.destination))
    if isinstance(copied, Again):
        return copied
    return verified_further(transfer, work.destination, worker, copied._replace(route=route))


def _first_leg(transfer: Transfer, work: Work, worker: Worker, budget: SpoolBudget) -> Again:
    """Fetches the source into a spool file; its second leg never fetches again."""
    spool = budget.reserve(transfer.size)
    if spool is None:
        return Again(_SPOOL_FULL_WAIT)
    try:
        job = _Pour(transfer, work, worker, spool)
        job.private = True
        copied = _pour(job)
    except BaseException:
        budget.release(spool)
        raise
    assert isinstance(copied, Copied)
    budget.grown(spool, copied.bytes)
    work.spool = Spool(spool, copied.bytes, copied.digests, copied.checked)
    return Again()


def _pour(job: _Pour) -> Copied | Again:
    """Opens the source, looks at its first bytes, and writes what it delivers."""
    source, worker = job.source, job.worker
    try:
        reader = worker.store(source).open_read(source)
    except TransferError as error:
        raise error.at(End.SOURCE, "open source") from error.__cause__
    try:
        compare_size(job.transfer.size, reader.size, source)
        try:
            view = reader.read()
        except TransferError as error:
            raise error.at(End.SOURCE, "read") from error.__cause__
        if reader.size is None and capability_of(worker.plan, job.destination).write_needs_size:
            job.work.stage = True
            return Again()
        job.expected = _expected(job, reader)
        if reader.size is not None and len(view) == reader.size:
            return _pour_whole(job, reader, view)
        return _pour_stream(job, reader, view)
    finally:
        reader.close()


def _pour_whole(job: _Pour, reader: Reader, view: memoryview) -> Copied:
    """The whole file is in `view`: it is verified before the destination is opened."""
    worker, size, began = job.worker, len(view), time.time()
    hashing = Hashing(tuple(digest.algorithm for digest in job.expected))
    hashing.update(view)
    digests = hashing.digests()
    checked = _right_source(job, digests, size)
    writer = _open_write(job, reader, digests[0].value)
    try:
        if writer.algorithms:
            further = Hashing(writer.algorithms)
            further.update(view)
            digests = tuple(dict.fromkeys((*digests, *further.digests())))
        if size:
            try:
                writer.write(view)
            except TransferError as error:
                raise error.at(End.DESTINATION, "write") from error.__cause__
            worker.meter.moved = size
            if worker.limits.throttle is not None:
                worker.limits.throttle.take(size)
    except BaseException as error:
        _give_up(writer, error, worker)
        if isinstance(error, TransferError):
            after_cut(error, job.destination, worker, began, size)
        raise
    return publish(job.destination, worker, writer, size, digests, began)._replace(
        checked=_counts(job, checked)
    )


def _pour_stream(job: _Pour, reader: Reader, view: memoryview) -> Copied:
    worker, began = job.worker, time.time()
    writer = _open_write(job, reader, None)
    try:
        hashing = Hashing((*(digest.algorithm for digest in job.expected), *writer.algorithms))
        moved = _pump(job, reader, view, writer, hashing)
        if reader.size is not None and moved != reader.size:
            raise Broken(f"{moved} of {reader.size} bytes came", end=End.SOURCE, step="read")
        digests = hashing.digests()
        checked = _right_source(job, digests, moved)
    except BaseException as error:
        _give_up(writer, error, worker)
        if isinstance(error, TransferError):
            after_cut(error, job.destination, worker, began, worker.meter.moved)
        raise
    return publish(job.destination, worker, writer, moved, digests, began)._replace(
        checked=_counts(job, checked)
    )


def _pump(job: _Pour, reader: Reader, view: memoryview, writer: Writer, hashing: Hashing) -> int:
    limits, size, meter = job.worker.limits, reader.size, job.worker.meter
    if can_copy_in_kernel(reader, writer, size, limits):
        assert reader.descriptor is not None and writer.descriptor is not None and size is not None
        return kernel_copy(reader, view, reader.descriptor, writer.descriptor, size, hashing, limits, meter)
    return pump(reader, view, writer, hashing, limits, meter, _Resumption(job, reader))


class _Resumption:
    """Goes on in the middle of a file: once at the same source, then at the next ones that hold the same bytes.

    Different sources are joined only where the batch expects a digest, for nothing else would notice that they differ.
    """

    def __init__(self, job: _Pour, reader: Reader) -> None:
        self._job = job
        self._size = reader.size
        position = job.work.position
        others = [
            index
            for index in range(position.source + 1, len(job.work.sources))
            if not position.sources.struck_off >> index & 1
        ]
        self._others = iter(others if job.work.spool is None and job.transfer.expected is not None else ())
        self._again_here = reader.version is not None
        self._version = reader.version

    def __call__(self, offset: int, error: TransferError) -> Reader:
        """A reader of the rest from `offset`. Raises `error` if there is none."""
        if self._again_here:
            self._again_here = False
            reader = self._open(self._job.source, offset, self._version)
            if reader is not None:
                return reader
        for index in self._others:
            reader = self._open(self._job.work.sources[index], offset, None)
            if reader is not None:
                self._job.spliced = True
                return reader
        raise error

    def _open(self, location: Location, offset: int, version: str | None) -> Reader | None:
        worker = self._job.worker
        capability = worker.plan.registry.capability(location.scheme)
        if capability is None or not (capability.read_range and self._size is not None) or location.problem:
            return None
        try:
            reader = worker.store(location).open_read(location, start=offset, version=version)
        except Stopped as error:
            raise error.at(End.SOURCE, "read") from error.__cause__
        except TransferError:
            return None
        if reader.size == self._size:
            return reader
        reader.close()
        return None


def _expected(job: _Pour, reader: Reader) -> tuple[Digest, ...]:
    """What the bytes are compared with: the spool's digests, else the batch's word, else what the source itself says."""
    if job.work.spool is not None:
        return job.work.spool.digests
    return (job.transfer.expected,) if job.transfer.expected is not None else reader.digests


def _right_source(job: _Pour, digests: tuple[Digest, ...], moved: int) -> bool:
    """True if a digest was compared; raises `Mismatch` if size or digest is not the expected one."""
    try:
        compare_size(job.transfer.size, moved, job.source)
        return compare_digests(job.expected, digests, job.source)
    except Mismatch as error:
        if not job.spliced:
            raise
        raise Broken(
            f"two replicas that were joined do not fit: {error.what}", end=End.SOURCE, step="verify"
        ) from error


def _counts(job: _Pour, checked: bool) -> bool:
    """Whether a digest was compared with somebody else's word. A spool file's digest is only our own."""
    return job.work.spool.checked if job.work.spool is not None else checked


def _open_write(job: _Pour, reader: Reader, sha256: bytes | None) -> Writer:
    text = f"{job.destination.url}\0{job.source.url}\0{reader.version}\0{job.transfer.expected}"
    token = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    mode = 0o600 if job.private else reader.mode
    try:
        return job.worker.store(job.destination).open_write(
            job.destination, Incoming(reader.size, sha256, mode, token)
        )
    except TransferError as error:
        raise error.at(End.DESTINATION, "open destination") from error.__cause__


def _give_up(writer: Writer, error: BaseException, worker: Worker) -> None:
    writer.abort(keep=isinstance(error, Stopped) or worker.plan.settings.keep_partials)


def _link(transfer: Transfer, work: Work, worker: Worker) -> Copied:
    source, destination = work.source, work.destination
    assert source is not None
    wants_digest = (
        worker.plan.settings.verify_links or transfer.generate_checksum or _insists(transfer, worker)
    )
    digests, checked = _hashed_source(transfer, source, worker) if wants_digest else ((), False)
    _check_local_size(transfer, source, worker, must_exist=transfer.verify_symlink_source)
    try:
        linker = cast("Linker", worker.store(destination))
        receipt = linker.link(source, destination, check=transfer.verify_symlink_source)
    except TransferError as error:
        raise error.at(_blamed(error), "link") from error.__cause__
    if digests:
        evidence = Evidence.READ_BACK  # what a reader of the link gets is what was hashed
    else:
        evidence = Evidence.SIZE if receipt.size is not None and transfer.size is not None else Evidence.NONE
    return Copied(Route.LINK, receipt.size or 0, digests, evidence, checked)


def _move(transfer: Transfer, work: Work, worker: Worker) -> Copied | Again:
    source, destination = work.source, work.destination
    assert source is not None
    wants_digest = transfer.expected is not None or transfer.generate_checksum or _insists(transfer, worker)
    digests, checked = _hashed_source(transfer, source, worker) if wants_digest else ((), False)
    _check_local_size(transfer, source, worker, must_exist=True)
    try:
        receipt = cast("Linker", worker.store(destination)).move(source, destination)
    except Unsupported:
        return _move_by_copy(transfer, work, worker, source)
    except TransferError as error:
        raise error.at(_blamed(error), "move") from error.__cause__
    evidence = Evidence.READ_BACK if digests else Evidence.SIZE  # it is the very file that was hashed
    return Copied(Route.MOVE, receipt.size or 0, digests, evidence, checked)


def _move_by_copy(transfer: Transfer, work: Work, worker: Worker, source: Location) -> Copied | Again:
    """Between file systems a move is a copy after which the source goes; it goes when the copy has been verified."""
    copied = _verified_stream(transfer, work, worker, Route.MOVE)
    if isinstance(copied, Again):
        return copied
    try:
        worker.store(source).remove(source, recursive=False)
    except TransferError as error:
        raise error.at(End.SOURCE, "remove the moved file") from error.__cause__
    return copied


def _insists(transfer: Transfer, worker: Worker) -> bool:
    """More than a size is asked for. What is linked or moved is hashed before: afterwards nothing could be undone."""
    return transfer.verify_remote or worker.plan.settings.require_evidence.strength > Evidence.SIZE.strength


def _blamed(error: TransferError) -> End:
    return End.SOURCE if isinstance(error, NotFound) else End.DESTINATION


def _hashed_source(transfer: Transfer, source: Location, worker: Worker) -> tuple[tuple[Digest, ...], bool]:
    """The source's digests, and whether the expected one was compared with them."""
    hashing = Hashing((transfer.expected.algorithm,) if transfer.expected else ())
    reader = None
    try:
        reader = worker.store(source).open_read(source)
        pump(reader, reader.read(), None, hashing, worker.limits, worker.meter)
    except TransferError as error:
        raise error.at(End.SOURCE, "read") from error.__cause__
    finally:
        if reader is not None:
            reader.close()
    digests = hashing.digests()
    return digests, compare_digests((transfer.expected,) if transfer.expected else (), digests, source)


def _check_local_size(transfer: Transfer, source: Location, worker: Worker, *, must_exist: bool) -> None:
    if transfer.size is None:
        return
    try:
        compare_size(transfer.size, worker.store(source).stat(source).size, source)
    except NotFound as error:
        if must_exist:
            raise error.at(End.SOURCE, "open source") from error.__cause__
    except TransferError as error:
        raise error.at(End.SOURCE, "open source") from error.__cause__
