"""One attempt at one transfer, by each route: open source, first read, open destination, pump, verify, commit.

Nothing here waits, repeats or chooses: errors leave with their end and step, and the engine decides what follows.
Verification comes before commit, so that what is wrong is never published where the destination can hold it back.
"""

from __future__ import annotations

import time

from ..protocols.errors import End, NotFound, Reach, TransferError, Unsupported, Unverified
from .planning import decision
from .pouring import Pour, pour
from .publishing import is_stream, publish, verified_further
from .pump import Hashing, pump
from .requests import Transfer
from .routes import Route
from .settings import Evidence, Existing
from .verification import compare_digests, compare_size
from .work import Again, Copied, Handed, OnTheWay, Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..checksum.digest import Digest
    from ..protocols.contract import Linker
    from ..protocols.locations import Location
    from .staging import SpoolBudget
    from .work import SharedFile, Work, Worker

_SPOOL_FULL_WAIT = 0.2
"""Seconds until a first leg asks again for room in the spool."""


def copy(work: Work, worker: Worker, budget: SpoolBudget) -> Copied | Again | Handed | OnTheWay:
    """One attempt at the transfer of `work` between its present source and destination."""
    transfer = work.request
    assert isinstance(transfer, Transfer)
    if transfer.verify_remote and transfer.expected is None:
        raise nothing_to_verify()
    assert work.replica is not None
    ends = worker.ends(work.replica.scheme, work.destination.scheme)
    if work.spool is None:
        if ends.trees:
            from .trees import copy_tree, trees_of

            trees = trees_of(work, worker)
            if trees != (None, None):
                return copy_tree(transfer, work, worker, budget, trees)
        if ends.existing is not Existing.OVERWRITE:
            from .existing import already_there

            present = already_there(transfer, work, worker)
            if present is not None:
                return present
        if ends.destination.write_needs_size:
            _stage_what_can_be_read_once(work, worker)
    route = route_of(work, worker)
    if route is Route.THIRD_PARTY:
        from .service_copy import copy_by_service

        return copy_by_service(transfer, work, worker)
    if route is Route.STAGED and work.spool is None:
        return _first_leg(transfer, work, worker, budget)
    if route in (Route.LINK, Route.MOVE) and is_stream(work.destination, worker):
        return _onto_stream(transfer, work, worker, route)
    if route is Route.LINK:
        return _link(transfer, work, worker)
    if route is Route.MOVE:
        return _move(transfer, work, worker)
    return _verified_stream(transfer, work, worker, route)


def _onto_stream(
    transfer: Transfer, work: Work, worker: Worker, route: Route
) -> Copied | Again | Handed | OnTheWay:
    """Onto a device or FIFO bytes are written, whatever was to be put in its place."""
    if route is Route.MOVE:
        return _move_by_copy(transfer, work, worker)
    return _verified_stream(transfer, work, worker, Route.LOCAL_COPY)


def _stage_what_can_be_read_once(work: Work, worker: Worker) -> None:
    """A FIFO's size is known when it has been read, and then it is empty: it goes to the spool in the first attempt."""
    assert work.source is not None
    work.stage = work.stage or is_stream(work.source, worker)


def nothing_to_verify() -> Unverified:
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
    if route in (Route.THIRD_PARTY, Route.MANAGED) and work.no_service_copy:
        return Route.STAGED if worker.plan.settings.stage_through_file else Route.STREAMED
    return route


def share(shared: SharedFile, worker: Worker) -> Copied | Handed:
    """A share of a large file that another worker began; the last one brings the copy, unless it is from the spool."""
    from .parting import Parting, help_with

    if not isinstance(shared, Parting):
        return shared.help(worker)
    copied = help_with(shared, worker)
    if isinstance(copied, Handed):
        return copied
    work, transfer = shared.work, shared.job.transfer
    copied = copied._replace(route=route_of(work, worker))
    return _finished(transfer, work, worker, copied)


def _finished(transfer: Transfer, work: Work, worker: Worker, copied: Copied) -> Copied:
    """The published copy after all that is asked for beyond its bytes."""
    copied = verified_further(transfer, work.destination, worker, copied)
    if not worker.plan.settings.preserves:
        return copied
    from .keeping import preserved

    return preserved(work, worker, copied)


def published_of(sent: OnTheWay, work: Work, worker: Worker) -> Copied:
    """The published copy of what was sent behind others, once the destination has told."""
    transfer = work.request
    assert isinstance(transfer, Transfer)
    copied = publish(
        work.destination, worker, sent.writer, sent.bytes, sent.digests, sent.began, checked=sent.checked
    )
    return _finished(transfer, work, worker, copied._replace(route=route_of(work, worker)))


def _verified_stream(
    transfer: Transfer, work: Work, worker: Worker, route: Route
) -> Copied | Again | Handed | OnTheWay:
    """Local copy, direct, streamed, and the second leg of staged."""
    copied = pour(Pour(transfer, work, worker, work.destination))
    if isinstance(copied, (Again, Handed, OnTheWay)):
        return copied
    # Built anew: `_replace` is slow where files are small.
    copied = Copied(route, *copied[1:])
    return _finished(transfer, work, worker, copied)


def _first_leg(transfer: Transfer, work: Work, worker: Worker, budget: SpoolBudget) -> Copied | Again:
    """Fetches the source into a spool file; its second leg, which may have begun meanwhile, never fetches again."""
    from .overlapping import SecondLeg

    spool = budget.reserve(transfer.size)
    if spool is None:
        return Again(_SPOOL_FULL_WAIT)
    began, second = time.monotonic(), SecondLeg(transfer, work, worker)
    try:
        job = Pour(transfer, work, worker, spool)
        job.private, job.second = True, second
        copied = pour(job)
    except BaseException:
        second.give_up()
        budget.release(spool)
        raise
    assert isinstance(copied, Copied)
    budget.grown(spool, copied.bytes)
    work.spool = Spool(spool, copied.bytes, copied.digests, copied.checked, time.monotonic() - began)
    published = second.published(work.spool)
    return Again() if published is None else _finished(transfer, work, worker, published)


def _link(transfer: Transfer, work: Work, worker: Worker) -> Copied:
    source, destination = work.source, work.destination
    assert source is not None
    wants_digest = (
        worker.plan.settings.verify_links or transfer.generate_checksum or _insists(transfer, worker)
    )
    digests, checked = _hashed_source(transfer, source, worker) if wants_digest else ((), False)
    _check_local_size(transfer, source, worker, must_exist=transfer.verify_symlink_source)
    try:
        linker: Linker = worker.store(destination)  # type: ignore[assignment]
        receipt = linker.link(source, destination, check=transfer.verify_symlink_source)
    except TransferError as error:
        raise error.at(_blamed(error), "link") from error.__cause__
    if digests:
        evidence = Evidence.READ_BACK  # what a reader of the link gets is what was hashed
    else:
        evidence = Evidence.SIZE if receipt.size is not None and transfer.size is not None else Evidence.NONE
    return Copied(Route.LINK, receipt.size or 0, digests, evidence, checked)


def _move(transfer: Transfer, work: Work, worker: Worker) -> Copied | Again | Handed | OnTheWay:
    source, destination = work.source, work.destination
    assert source is not None
    wants_digest = transfer.expected is not None or transfer.generate_checksum or _insists(transfer, worker)
    digests, checked = _hashed_source(transfer, source, worker) if wants_digest else ((), False)
    _check_local_size(transfer, source, worker, must_exist=True)
    try:
        linker: Linker = worker.store(destination)  # type: ignore[assignment]
        receipt = linker.move(source, destination)
    except Unsupported:
        return _move_by_copy(transfer, work, worker)
    except TransferError as error:
        raise error.at(_blamed(error), "move") from error.__cause__
    evidence = Evidence.READ_BACK if digests else Evidence.SIZE  # it is the very file that was hashed
    return Copied(Route.MOVE, receipt.size or 0, digests, evidence, checked)


def _move_by_copy(transfer: Transfer, work: Work, worker: Worker) -> Copied | Again | Handed | OnTheWay:
    """Between file systems a move is a copy after which the source goes; it goes when the copy has been verified."""
    copied = _verified_stream(transfer, work, worker, Route.MOVE)
    source = work.source
    if not isinstance(copied, Copied) or source is None:
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
