"""Commit, and what follows it: evidence, confirmation of a lost answer, comparison of the stored copy, undoing.

What is wrong never stays: where the destination showed it before it could be verified, it is removed or named in the
error's `left_behind`.
"""

from __future__ import annotations

import time

from ..protocols.capability import Publish
from ..protocols.errors import (
    Broken,
    End,
    Mismatch,
    NotFound,
    ServerFault,
    TransferError,
    Unreachable,
    Unverified,
)
from ..protocols.values import Receipt
from .pump import Hashing, pump
from .settings import Evidence
from .verification import STRONG, judge_receipt, stored_differs
from .work import Copied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..checksum.digest import Digest
    from ..protocols.contract import Writer
    from ..protocols.locations import Location
    from .requests import Transfer
    from .work import Worker

_ANSWER_LOST = (Broken, Unreachable, ServerFault)
_CLOCKS_DIFFER = 1.0
"""Seconds by which a server's clock may be behind ours."""


def publish(
    destination: Location,
    worker: Worker,
    writer: Writer,
    moved: int,
    digests: tuple[Digest, ...],
    began: float,
    *,
    checked: bool = False,
) -> Copied:
    """The published copy with the evidence that the destination's own words give. `began`: seconds since 1970."""
    note = ""
    try:
        receipt = writer.commit(digests)
    except TransferError as error:
        writer.abort()
        confirmed = _confirmed(error, destination, worker, moved, digests)
        if confirmed is None:
            if isinstance(error, _ANSWER_LOST):
                after_cut(error, destination, worker, began, moved)
            raise error.at(End.DESTINATION, "commit") from error.__cause__
        receipt, note = confirmed, "confirmed by the destination"
    except BaseException:
        writer.abort()
        raise
    try:
        evidence = judge_receipt(receipt, moved, digests, destination)
    except Mismatch as error:
        error.left_behind = undo(destination, worker, receipt)
        raise
    return Copied(None, moved, digests, evidence, checked, note=note)


def verified_further(transfer: Transfer, destination: Location, worker: Worker, copied: Copied) -> Copied:
    """The copy with the evidence that the batch or the command line insists on. Its digests are those of the source."""
    required = worker.plan.settings.require_evidence
    insists = required is Evidence.READ_BACK
    if transfer.verify_remote:
        assert transfer.expected is not None
        return compare_stored(destination, worker, copied, transfer.expected, read_back=insists)
    if (copied.evidence or Evidence.NONE).strength >= required.strength:
        return copied
    return compare_stored(destination, worker, copied, copied.digests[0], read_back=insists)


def undo(destination: Location, worker: Worker, receipt: Receipt) -> str:
    """Removes what was just published there; returns the URL if something wrong may have stayed, else nothing.

    A device or FIFO holds nothing, and stays.
    """
    if not worker.can(destination).remove:
        return destination.url
    store = worker.store(destination)
    try:
        entry = store.stat(destination)
        if entry.is_directory or is_stream(destination, worker):
            return ""
        if receipt.version is not None and entry.version is not None and entry.version != receipt.version:
            return ""  # somebody else's by now
        store.remove(destination, recursive=False)
    except NotFound:
        return ""
    except TransferError:
        return destination.url
    return ""


def after_cut(error: TransferError, destination: Location, worker: Worker, began: float, moved: int) -> None:
    """Looks for what a server kept of an upload that was cut; `began` in seconds since 1970.

    Whatever is older than this attempt, or larger than what was sent, is not this attempt's and stays.
    """
    capability = worker.can(destination)
    if capability.publish is Publish.ATOMIC or not capability.stat:
        return
    store = worker.store(destination)
    try:
        entry = store.stat(destination)
        recent = entry.modified is not None and entry.modified >= began - _CLOCKS_DIFFER
        if not recent or (entry.size or 0) > moved:
            return
        if capability.remove:
            store.remove(destination, recursive=False)
        else:
            error.left_behind = destination.url
    except NotFound:
        return
    except TransferError:
        error.left_behind = destination.url


def stored_digest(
    location: Location, worker: Worker, algorithm: str, *, read_back: bool = False
) -> tuple[Digest, Evidence]:
    """The digest of what is stored, by the server where it can, else (or with `read_back`) by reading it."""
    capability = worker.can(location)
    if algorithm in capability.digest and not read_back:
        digest = worker.store(location).digest(location, algorithm)
        if digest is not None:
            return digest, Evidence.DIGEST if algorithm in STRONG else Evidence.CHECKSUM
    return hash_stored(location, worker, algorithm), Evidence.READ_BACK


def hash_stored(location: Location, worker: Worker, algorithm: str) -> Digest:
    """The digest of what is stored at `location`, from reading it. Raises `Unverified` for what cannot be read back."""
    capability, store = worker.can(location), worker.store(location)
    if not capability.read or is_stream(location, worker):
        raise Unverified(f"{location.shown} cannot be read back", step="verify")
    reader = store.open_read(location)
    try:
        hashing = Hashing((algorithm,))
        pump(reader, reader.read(), None, hashing, worker.limits, worker.meter)
    finally:
        reader.close()
    return next(digest for digest in hashing.digests() if digest.algorithm == algorithm)


def is_stream(location: Location, worker: Worker) -> bool:
    """A device or FIFO is there: what is written to it is gone, and nothing of ours may take its place."""
    if not location.is_local:
        return False
    try:
        entry = worker.store(location).stat(location)
    except TransferError:
        return False
    return entry.size is None and not entry.is_directory


def _confirmed(
    error: TransferError, destination: Location, worker: Worker, moved: int, digests: tuple[Digest, ...]
) -> Receipt | None:
    """What the destination holds, if the answer to commit was lost and its own digest says that all is there."""
    if not isinstance(error, _ANSWER_LOST):
        return None
    store, capability = worker.store(destination), worker.can(destination)
    try:
        entry = store.stat(destination) if capability.stat else None
        stored = store.digest(destination, "sha256") if "sha256" in capability.digest else None
    except TransferError:
        return None
    if entry is None or entry.size != moved:
        return None
    receipt = Receipt(entry.size, entry.version, (*entry.digests, *((stored,) if stored else ())))
    try:
        evidence = judge_receipt(receipt, moved, digests, destination)
    except Mismatch:
        return None
    return receipt if evidence.strength >= Evidence.CHECKSUM.strength else None


def compare_stored(
    destination: Location, worker: Worker, copied: Copied, expected: Digest, *, read_back: bool
) -> Copied:
    """Compares the stored copy with `expected`, by the server's digest or by reading it back.

    A copy that differs, or cannot be compared, is removed: it is not what was asked for.
    """
    began = time.monotonic()
    try:
        stored, evidence = stored_digest(destination, worker, expected.algorithm, read_back=read_back)
        if stored.value != expected.value:
            raise stored_differs(destination, stored, expected)
    except TransferError as error:
        error.left_behind = undo(destination, worker, Receipt())
        raise error.at(End.DESTINATION, "verify") from error.__cause__
    seconds = time.monotonic() - began
    return copied._replace(evidence=evidence, checked=True, check_seconds=copied.check_seconds + seconds)
