"""One stream from one source to one destination: open, first read, open the other end, pump, verify, commit.

Verification comes before commit, so that what is wrong is never published where the destination can hold it back.
"""

from __future__ import annotations

import time

from ..checksum.digest import Digest, Hashes, sha256_of
from ..protocols.context import BUFFER_BYTES
from ..protocols.errors import Broken, Changed, End, Mismatch, NoSpace, Reach, Stopped, TransferError
from .lanes import gate_key
from .publishing import after_cut, publish
from .pump import Hashing, can_copy_in_kernel, kernel_copy, pump
from .resuming import begin_anew, hash_held, held_by, incoming_of, may_be_left, rest_of, told_by_source
from .verification import compare_digests, compare_size, strongest
from .work import Again, Copied, Handed, OnTheWay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols.contract import Announcing, Reader, Sending, Writer
    from ..protocols.locations import Location
    from ..protocols.values import Incoming
    from .overlapping import SecondLeg
    from .requests import Transfer
    from .work import Work, Worker


class Pour:
    """One stream from one source to one destination: what its steps share."""

    expected: tuple[Digest, ...] = ()
    private = False
    """The destination is a spool file."""
    second: SecondLeg | None = None
    """What may read the spool file while it is written."""
    spliced = False
    """Bytes of two different sources, or of two runs, were joined."""
    peeked = False
    """The first reader was opened for its first bytes only."""
    incoming: Incoming | None = None
    """What the destination was told."""
    mark = ""
    """`resuming.mark_of` the destination, once it was needed."""
    held = 0
    """Bytes that the destination had from an earlier run."""

    def __init__(self, transfer: Transfer, work: Work, worker: Worker, destination: Location) -> None:
        assert work.source is not None
        self.transfer = transfer
        self.work = work
        self.worker = worker
        self.source: Location = work.source
        self.destination = destination


def pour(job: Pour) -> Copied | Again | Handed | OnTheWay:
    """Opens the source, looks at its first bytes, and writes what it delivers."""
    source, worker = job.source, job.worker
    job.peeked = may_be_left(job)
    length = BUFFER_BYTES if job.peeked else None
    if job.work.announced:
        _announce(job.work, worker)
    try:
        reader = worker.store(source).open_read(source, length=length)
    except TransferError as error:
        if job.peeked and isinstance(error, Changed):
            return _poured_anew(job)
        raise error.at(End.SOURCE, "open source") from error.__cause__
    if worker.plan.settings.preserves:
        from .keeping import remember

        remember(job.work, worker, reader)
    try:
        return _poured(job, reader)
    except TransferError as error:
        if job.work.announced and isinstance(error, Mismatch) and error.end is End.SOURCE:
            return _poured_singly(job, reader)
        if job.peeked and isinstance(error, Changed) and error.end is not End.DESTINATION:
            reader.close()
            return _poured_anew(job)
        if job.private and isinstance(error, NoSpace):
            from .staging import blame_spool

            blame_spool(error)
        if source.is_local and reader.size is None and error.reach is not Reach.REQUEST:
            # A FIFO gives its bytes once: another attempt would publish what is left of them.
            error.reach = Reach.REPLICA if error.end is End.SOURCE else Reach.REQUEST
        raise
    finally:
        reader.close()


def _announce(work: Work, worker: Worker) -> None:
    """Tells the source what will be read next, if that has changed."""
    if work.told_before:
        # So that a wait that was shared with others is not taken for the way to the source.
        worker.worked = float("-inf")
    if work.ahead:
        store: Announcing = worker.store(work.ahead[0])  # type: ignore[assignment]
        store.announce(work.ahead)
        work.ahead = ()


def _poured_singly(job: Pour, reader: Reader) -> Copied | Again | Handed | OnTheWay:
    """Reads it once more by itself before the source is blamed: the wrong bytes may have been another answer's."""
    store: Announcing = job.worker.store(job.source)  # type: ignore[assignment]
    reader.close()
    store.announce(())
    job.work.announced = False
    return pour(job)


def _poured_anew(job: Pour) -> Copied | Again | Handed | OnTheWay:
    """Asks for the whole at once: only what was left made it ask for less, and that is of no use."""
    begin_anew(job)
    return pour(job)


def _poured(job: Pour, reader: Reader) -> Copied | Again | Handed | OnTheWay:
    compare_size(_expected_size(job), reader.size, job.source)
    if reader.size is None and job.worker.unanswered is not None:
        job.worker.unanswered.settle()  # a stream may keep us waiting for its first byte
    try:
        view = reader.read()
    except TransferError as error:
        raise error.at(End.SOURCE, "read") from error.__cause__
    if reader.size is None and job.worker.can(job.destination).write_needs_size:
        job.work.stage = True
        return Again()
    job.expected = _expected(job, reader)
    if reader.size is not None and len(view) == reader.size:
        return _pour_whole(job, reader, view)
    if job.worker.can(job.source).ahead > 1:
        _make_room(job)
    if job.worker.unanswered is not None:
        # They shall not wait until a large file is through.
        job.worker.unanswered.settle()
    return _in_parts(job, reader, view) or _pour_stream(job, reader, view)


def _make_room(job: Pour) -> None:
    """A large file has begun to come: others need not wait for its end to learn that its source answers."""
    if job.worker.crew is not None:
        job.worker.crew.answered((gate_key(job.source), ""))


def _in_parts(job: Pour, reader: Reader, view: memoryview) -> Copied | Handed | None:
    """What came of it in parts; None where that cannot be done. Its modules are for large files only."""
    worker, size = job.worker, reader.size
    if size is None or size < 2 * worker.plan.settings.part_bytes:
        return None
    if not worker.can(job.destination).write_parts:
        return None
    from .part_opening import goes_in_parts

    if not goes_in_parts(job, reader):
        return None
    from .parting import pour_parts

    return pour_parts(job, reader, view)


def _pour_whole(job: Pour, reader: Reader, view: memoryview) -> Copied | OnTheWay:
    """The whole file is in `view`: it is verified before the destination is opened."""
    worker, size, began = job.worker, len(view), time.time()
    digests = _digests_of(view, job.expected)
    checked = right_source(job, digests, size)
    if job.source.is_local and worker.can(job.destination).behind > 1 and _may_go_behind(job):
        writer = _sent(job, reader, view, digests[0].value)
        if writer is not None:
            return OnTheWay(writer, size, digests, counts(job, checked), began)
    writer = _open_write(job, reader, digests[0].value)
    try:
        if writer.algorithms:
            known = {digest.algorithm for digest in digests}
            further = Hashes([name for name in writer.algorithms if name not in known])
            further.update(view)
            digests = (*digests, *further.digests())
        if size:
            try:
                writer.write(view)
            except TransferError as error:
                raise error.at(End.DESTINATION, "write") from error.__cause__
            _count(worker, size)
    except BaseException as error:
        _give_up(job, writer, error)
        if isinstance(error, TransferError):
            after_cut(error, job.destination, worker, began, size)
        raise
    return publish(job.destination, worker, writer, size, digests, began, checked=counts(job, checked))


def _may_go_behind(job: Pour) -> bool:
    """Nothing that was sent waits while bytes are held back for a rate."""
    return not job.work.singly and job.worker.limits.throttle is None


def _sent(job: Pour, reader: Reader, view: memoryview, sha256: bytes) -> Writer | None:
    """The writer of a file that is on the way behind others; None where it goes by itself."""
    store: Sending = job.worker.store(job.destination)  # type: ignore[assignment]
    try:
        writer = store.send(job.destination, incoming_of(job, reader, sha256), view)
    except TransferError as error:
        raise error.at(End.DESTINATION, "write") from error.__cause__
    if writer is not None:
        _count(job.worker, len(view))
    return writer


def _count(worker: Worker, size: int) -> None:
    worker.meter.moved = size
    if worker.limits.throttle is not None:
        worker.limits.throttle.take(size)


def _digests_of(view: memoryview, expected: tuple[Digest, ...]) -> tuple[Digest, ...]:
    """SHA-256, and what is expected in other algorithms."""
    others = [digest.algorithm for digest in expected if digest.algorithm != "sha256"]
    if not others:
        return (Digest("sha256", sha256_of(view)),)
    hashing = Hashing(tuple(others))
    hashing.update(view)
    return hashing.digests()


def _pour_stream(job: Pour, reader: Reader, view: memoryview) -> Copied:
    worker, began = job.worker, time.time()
    writer = _open_write(job, reader, None)
    if job.second is not None:
        writer = job.second.behind(writer, reader)
    try:
        hashing = Hashing((*(digest.algorithm for digest in job.expected), *writer.algorithms))
        moved = _pump_rest(job, reader, view, writer, hashing)
        if reader.size is not None and moved != reader.size:
            raise Broken(f"{moved} of {reader.size} bytes came", end=End.SOURCE, step="read")
        digests = hashing.digests()
        checked = right_source(job, digests, moved)
    except BaseException as error:
        _give_up(job, writer, error)
        if isinstance(error, TransferError):
            after_cut(error, job.destination, worker, began, worker.meter.moved)
        raise
    copied = publish(job.destination, worker, writer, moved, digests, began)
    note = copied.note or (f"went on at byte {job.held} of an earlier run" if job.held else "")
    return copied._replace(checked=counts(job, checked), note=note)


def _pump_rest(job: Pour, reader: Reader, view: memoryview, writer: Writer, hashing: Hashing) -> int:
    """Moves what the destination does not hold yet. What it holds is part of the digest."""
    if not job.held and not job.peeked:
        return _pump(job, reader, view, writer, hashing)
    # Two runs that are joined are like two sources: a digest that is wrong then proves nothing against either.
    job.spliced = job.held > 0
    hash_held(writer, job.held, hashing, job.worker)
    if job.held == reader.size:
        return job.held
    rest = rest_of(job, job.held, reader.version)
    try:
        return _pump(job, rest, rest.read(), writer, hashing)
    finally:
        rest.close()


def _pump(job: Pour, reader: Reader, view: memoryview, writer: Writer, hashing: Hashing) -> int:
    limits, size, meter, held = job.worker.limits, reader.size, job.worker.meter, job.held
    if can_copy_in_kernel(reader, writer, size, limits):
        assert reader.descriptor is not None and writer.descriptor is not None and size is not None
        return kernel_copy(
            reader, view, reader.descriptor, writer.descriptor, size, hashing, limits, meter, held
        )
    return pump(
        reader, view, writer, hashing, limits, meter, _Resumption(job, reader), held, job.transfer.size
    )


class _Resumption:
    """Goes on in the middle of a file: once at the same source, then at the next ones that hold the same bytes.

    Different sources are joined only where the batch expects a digest, for nothing else would notice that they differ, and
    where a resolver named them as places of one object and their versions do not say otherwise.
    """

    def __init__(self, job: Pour, reader: Reader) -> None:
        self._job = job
        self._size = reader.size
        position = job.work.position
        others = [
            index
            for index in range(position.source + 1, len(job.work.sources))
            if not position.sources.struck_off >> index & 1
        ]
        self._others = iter([index for index in others if job.work.spool is None and self._may_join(index)])
        self._again_here = reader.version is not None
        self._version = reader.version

    def _may_join(self, index: int) -> bool:
        if self._job.transfer.expected is not None:
            return True
        here, there = self._job.source, self._job.work.sources[index]
        return bool(here.logical) and here.logical == there.logical

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
        except (Stopped, Changed) as error:
            if isinstance(error, Changed) and version is None:
                return None  # another replica that has nothing at this offset
            raise error.at(End.SOURCE, "read") from error.__cause__
        except TransferError:
            return None
        if reader.size == self._size and not self._is_other(reader):
            return reader
        reader.close()
        return None

    def _is_other(self, reader: Reader) -> bool:
        """Its version says that it holds other bytes; where a digest is expected, that alone decides."""
        if self._job.transfer.expected is not None:
            return False
        return None not in (reader.version, self._version) and reader.version != self._version


def _expected(job: Pour, reader: Reader) -> tuple[Digest, ...]:
    """What the bytes are compared with: the spool's digests, else the batch's word, else what the source itself says."""
    if job.work.spool is not None:
        return job.work.spool.digests
    if job.transfer.expected is not None:
        return (job.transfer.expected,)
    told = job.work.told_of(job.source)
    known = (*reader.digests, *told.digests) if told is not None else reader.digests
    if job.peeked and not known:
        return told_by_source(job)
    return strongest(known)


def _expected_size(job: Pour) -> int | None:
    """The batch's word, else the catalogue's."""
    told = job.work.told_of(job.source)
    return told.size if told is not None and job.transfer.size is None else job.transfer.size


def right_source(job: Pour, digests: tuple[Digest, ...], moved: int) -> bool:
    """True if a digest was compared; raises `Mismatch` if size or digest is not the expected one."""
    try:
        compare_size(_expected_size(job), moved, job.source)
        return compare_digests(job.expected, digests, job.source)
    except Mismatch as error:
        if not job.spliced:
            raise
        joined = "what an earlier run left and the rest" if job.held else "two replicas that were joined"
        raise Broken(f"{joined} do not fit: {error.what}", end=End.SOURCE, step="verify") from error


def counts(job: Pour, checked: bool) -> bool:
    """Whether a digest was compared with somebody else's word. A spool file's digest is only our own."""
    return job.work.spool.checked if job.work.spool is not None else checked


def _open_write(job: Pour, reader: Reader, sha256: bytes | None) -> Writer:
    job.incoming = incoming_of(job, reader, sha256)
    try:
        writer = job.worker.store(job.destination).open_write(job.destination, job.incoming)
    except TransferError as error:
        raise error.at(End.DESTINATION, "open destination") from error.__cause__
    job.held = held_by(writer, job.incoming, job)
    return writer


def _give_up(job: Pour, writer: Writer, error: BaseException) -> None:
    """A partial stays for a later process if the run was stopped and it can be gone on with, or if people want it."""
    spoiled = isinstance(error.__cause__, Mismatch)
    stopped = isinstance(error, Stopped) and job.incoming is not None and job.incoming.resume
    writer.abort(keep=not spoiled and (stopped or job.worker.plan.settings.keep_partials))
