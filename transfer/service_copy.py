"""Third-party copy: the service moves the bytes between two of its own locations; we ask, wait and compare."""

from __future__ import annotations

from ..protocols.errors import End, TransferError, Unsupported, Unverified
from ..protocols.values import Receipt
from .publishing import compare_stored, stored_digest, undo, verified_further
from .routes import Route
from .settings import Evidence
from .verification import compare_digests, compare_size, judge_receipt
from .work import Again, Copied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..checksum.digest import Digest
    from ..protocols.contract import Copier
    from ..protocols.locations import Location
    from ..protocols.values import CopyStep, Entry
    from .requests import Transfer
    from .work import Work, Worker


def copy_by_service(transfer: Transfer, work: Work, worker: Worker) -> Copied | Again:
    """One step of the copy, or its end. A service that refuses is not asked again: the bytes stream instead."""
    entry = _source_entry(transfer, work, worker)
    if not work.handle:
        work.copied = 0
    try:
        step = _step(work, worker)
    except Unsupported:
        work.no_service_copy, work.handle, work.source_entry = True, "", None
        return Again()
    # What earlier steps told has been counted.
    worker.meter.moved = max(0, step.bytes - work.copied)
    work.copied = max(work.copied, step.bytes)
    if step.receipt is None:
        work.handle = step.handle
        return Again(step.again)
    work.handle, work.source_entry = "", None
    receipt = _completed(step.receipt, work.destination, worker)
    copied = judged(transfer, entry, receipt, work.destination, worker)
    return verified(transfer, work, worker, copied)


def verified(transfer: Transfer, work: Work, worker: Worker, copied: Copied) -> Copied:
    """The copy with the evidence insisted on: against the expectation, else against the source's own digest.

    What the service says of the copy is never compared with what it says of the copy.
    """
    copied = _verified(transfer, work, worker, copied)
    if not worker.plan.settings.preserves:
        return copied
    from .keeping import preserved

    return preserved(work, worker, copied)


def _verified(transfer: Transfer, work: Work, worker: Worker, copied: Copied) -> Copied:
    required, source = worker.plan.settings.require_evidence, work.replica
    if transfer.verify_remote or (copied.evidence or Evidence.NONE).strength >= required.strength:
        return verified_further(transfer, work.destination, worker, copied)
    assert source is not None
    try:
        expected = transfer.expected or stored_digest(source, worker, "sha256")[0]
    except TransferError as error:
        error.left_behind = undo(work.destination, worker, Receipt())
        raise error.at(End.SOURCE, "verify") from error.__cause__
    insists = required is Evidence.READ_BACK
    return compare_stored(work.destination, worker, copied, expected, read_back=insists)


def _source_entry(transfer: Transfer, work: Work, worker: Worker) -> Entry:
    """What the source is; looked up when the copy begins."""
    source = work.replica
    assert source is not None
    if work.source_entry is None:
        try:
            work.source_entry = worker.store(source).stat(source)
        except TransferError as error:
            raise error.at(End.SOURCE, "open source") from error.__cause__
        compare_size(transfer.size, work.source_entry.size, source)
    return work.source_entry


def _step(work: Work, worker: Worker) -> CopyStep:
    source = work.replica
    assert source is not None
    copier: Copier = worker.store(source)  # type: ignore[assignment]
    try:
        return copier.copy(source, work.destination, work.handle)
    except Unsupported:
        raise
    except TransferError as error:
        work.handle = ""
        raise error.at(End.SOURCE, "copy") from error.__cause__


def _completed(receipt: Receipt, destination: Location, worker: Worker) -> Receipt:
    """The receipt, with the size looked up where the service did not tell."""
    if receipt.size is not None:
        return receipt
    try:
        entry = worker.store(destination).stat(destination)
    except TransferError as error:
        raise error.at(End.DESTINATION, "verify") from error.__cause__
    return Receipt(entry.size, receipt.version or entry.version, (*receipt.digests, *entry.digests))


def judged(
    transfer: Transfer, source: Entry, receipt: Receipt, destination: Location, worker: Worker
) -> Copied:
    """The finished copy, if what the service says of both ends agrees with itself and with the expectation."""
    try:
        checked = _as_expected(transfer, receipt, destination, worker)
        known: tuple[Digest, ...] = source.digests
        if checked and transfer.expected is not None:
            known = (transfer.expected, *known)
        size = source.size if source.size is not None else transfer.size
        if size is None:
            size = receipt.size or 0
        evidence = judge_receipt(receipt, size, known, destination)
    except TransferError as error:
        error.left_behind = undo(destination, worker, receipt)
        raise
    return Copied(Route.THIRD_PARTY, receipt.size or 0, receipt.digests, evidence, checked)


def _as_expected(transfer: Transfer, receipt: Receipt, destination: Location, worker: Worker) -> bool:
    """True if the expected digest was compared with one that the service reports; raises if it must be and cannot."""
    expected = transfer.expected
    if expected is None:
        return False
    checked = compare_digests((expected,), receipt.digests, destination)
    if not checked and not transfer.verify_remote and not worker.plan.settings.trust_server_copy:
        raise Unverified(
            f"the service reported no {expected.algorithm} of {destination.shown}", step="verify"
        )
    return checked
