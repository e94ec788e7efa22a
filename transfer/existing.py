"""What `--existing` does when something is at the destination already."""

from __future__ import annotations

from ..protocols.errors import End, Exists, NotFound, TransferError, Unsupported
from .planning import existing_policy
from .publishing import stored_digest
from .routes import Route
from .settings import Evidence, Existing
from .work import Copied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from ..protocols.values import Entry
    from .requests import Transfer
    from .work import Work, Worker

_ONCE_MORE: Final = (
    "found there: a process of this run had this request and was killed, most likely after it was done"
)


def already_there(transfer: Transfer, work: Work, worker: Worker) -> Copied | None:
    """The finished copy when the destination already has the content; None when it is to be written."""
    destination = work.destination
    capability = worker.can(destination)
    policy = existing_policy(worker.plan.settings, capability)
    if policy is Existing.OVERWRITE or work.handle:
        return None
    if not capability.stat:
        raise Unsupported(
            f"--existing {policy}: {destination.scheme} cannot tell what is there",
            end=End.DESTINATION,
            step="existing",
        )
    entry = _entry(work, worker)
    if entry is None:
        return None
    if policy is Existing.FAIL and not work.once_more:
        raise Exists(f"{destination.shown} is there already", end=End.DESTINATION, step="existing")
    same = _same_content(transfer, work, worker, entry.size)
    if same is None and policy is not Existing.UPDATE:
        raise Exists(
            f"{destination.shown} is there already with other content", end=End.DESTINATION, step="existing"
        )
    if same is not None and policy is Existing.FAIL:
        return same._replace(note=_ONCE_MORE)
    return same


def _entry(work: Work, worker: Worker) -> Entry | None:
    try:
        return worker.store(work.destination).stat(work.destination)
    except NotFound:
        return None
    except TransferError as error:
        raise error.at(End.DESTINATION, "existing") from error.__cause__


def _same_content(transfer: Transfer, work: Work, worker: Worker, size: int | None) -> Copied | None:
    """The finished copy if the destination holds the expected content (none given: the source's)."""
    if transfer.size is not None and size is not None and transfer.size != size:
        return None
    source, destination = work.source, work.destination
    assert source is not None
    try:
        expected = transfer.expected or stored_digest(source, worker, "sha256")[0]
    except TransferError as error:
        raise error.at(End.SOURCE, "existing") from error.__cause__
    try:
        insists = worker.plan.settings.require_evidence is Evidence.READ_BACK
        found, evidence = stored_digest(destination, worker, expected.algorithm, read_back=insists)
        digests: tuple[Digest, ...] = (found,)
        if transfer.generate_checksum and found.algorithm != "sha256":
            digests += (stored_digest(destination, worker, "sha256")[0],)
    except TransferError as error:
        raise error.at(End.DESTINATION, "existing") from error.__cause__
    if found.value != expected.value:
        return None
    return Copied(Route.PRESENT, 0, digests, evidence, checked=True, note="found there already")
