"""One request that stands for a whole folder: `?recursive` and `?pack` in URLs of federations.

Each file is copied as a request of its own would be: verified before it is published, and from the next place where one fails. The
request has one outcome, so a file that cannot be copied fails all of it; what was copied before stays.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from ..protocols.errors import End, LocalRefused, Mismatch, Reach, Stopped, TransferError, Unsupported
from .existing import already_there
from .places import below, decoded, why_unsafe
from .planning import capability_of, decision
from .pouring import Pour, pour
from .requests import Transfer
from .resolving import logical_end, report_place, resolve
from .settings import Evidence
from .work import Copied, Work

if TYPE_CHECKING:
    from ..protocols.contract import Trees
    from ..protocols.locations import Location
    from ..protocols.values import Tree
    from .staging import SpoolBudget
    from .work import Worker


class Moved(NamedTuple):
    """What of a tree has arrived."""

    files: int = 0
    bytes: int = 0
    evidence: Evidence | None = None
    """The weakest of all files."""

    def and_file(self, copied: Copied) -> Moved:
        evidence = copied.evidence or Evidence.NONE
        if self.evidence is not None and self.evidence.strength < evidence.strength:
            evidence = self.evidence
        return Moved(self.files + 1, self.bytes + copied.bytes, evidence)


def trees_of(work: Work, worker: Worker) -> tuple[Tree | None, Tree | None]:
    """The folders that source and destination stand for; None where that is one file."""
    source = work.replica
    return _tree(source, worker) if source is not None else None, _tree(work.destination, worker)


def _tree(location: Location, worker: Worker) -> Tree | None:
    if "?" not in (location.logical or location.url) or not capability_of(worker.plan, location).trees:
        return None
    store: Trees = worker.store(location)  # type: ignore[assignment]
    return store.tree(location)


def copy_tree(
    transfer: Transfer,
    work: Work,
    worker: Worker,
    budget: SpoolBudget,
    trees: tuple[Tree | None, Tree | None],
) -> Copied:
    """All files of one folder to another, or an archive taken apart or made. Alone: a tree is no part of another worker's."""
    source, destination = trees
    crew, worker.crew = worker.crew, None
    try:
        if any(tree is not None and tree.pack for tree in trees):
            moved = _archive(transfer, work, worker, budget, trees)
        else:
            _insist_on_no_digest(transfer)
            assert work.replica is not None
            start = source.folder if source is not None else work.replica
            moved = _copy_folder(
                transfer, start, destination.folder if destination else work.destination, worker
            )
    except TransferError as error:
        # The places of a folder are all the same places: nothing is gained by trying the next one.
        if error.reach in (Reach.REPLICA, Reach.HOST):
            error.reach = Reach.ATTEMPT if error.later else Reach.REQUEST
        raise
    finally:
        worker.crew = crew
    assert work.replica is not None
    route = decision(worker.plan, transfer, work.replica, work.destination).route
    files = "1 file" if moved.files == 1 else f"{moved.files} files"
    lost = "; times and modes not kept in a folder" if worker.plan.settings.preserves else ""
    return Copied(route, moved.bytes, (), moved.evidence, note=f"folder of {files}{lost}")


def _archive(
    transfer: Transfer,
    work: Work,
    worker: Worker,
    budget: SpoolBudget,
    trees: tuple[Tree | None, Tree | None],
) -> Moved:
    source, destination = trees
    if source is not None and source.pack:
        from .unpacking import unpack

        return unpack(transfer, work, worker, budget, source)
    from .packs import pack

    assert destination is not None
    return pack(transfer, work, worker, budget, destination)


def _insist_on_no_digest(transfer: Transfer) -> None:
    if transfer.expected is not None or transfer.size is not None:
        raise Unsupported(
            "a folder has no digest and no size to be compared with",
            end=End.NEITHER,
            step="plan",
            remedy="leave the expected checksum and size of this request out",
        )


def _copy_folder(transfer: Transfer, source: Location, destination: Location, worker: Worker) -> Moved:
    """Every file below `source`, in order of names."""
    names = _names(source, destination, worker)
    can = capability_of(worker.plan, destination)
    makes = can.make_directory and can.folders
    if makes and not names:
        _make_folder(destination, worker)
    moved = Moved()
    for name, is_folder in names:
        target = below(destination, name)
        if not is_folder:
            moved = moved.and_file(copy_file(transfer, below(source, name), target, name, worker))
        elif makes:
            _make_folder(target, worker)
    return moved


def _names(source: Location, destination: Location, worker: Worker) -> list[tuple[str, bool]]:
    """What is below the folder, decoded, and whether it is a folder. Raises LocalRefused for a name that leads elsewhere."""
    try:
        found = list(worker.store(source).list(source, recursive=True))
    except TransferError as error:
        raise error.at(End.SOURCE, "list") from error.__cause__
    folders = capability_of(worker.plan, destination).folders
    names = sorted((decoded(entry.path, source.scheme), entry.is_directory) for entry in found)
    for name, _ in names:
        why = why_unsafe(name, folders=folders)
        if why:
            raise LocalRefused(
                f"{source.shown} has something that is not copied: {why}",
                end=End.SOURCE,
                step="list",
                remedy="copy the other files by name",
            )
    return names


def _make_folder(folder: Location, worker: Worker) -> None:
    try:
        worker.store(folder).make_directory(folder)
    except TransferError as error:
        raise error.at(End.DESTINATION, "mkdir") from error.__cause__


def copy_file(
    transfer: Transfer, source: Location, destination: Location, name: str, worker: Worker, **expected: object
) -> Copied:
    """One file of a tree, from the first of its places that delivers it. `expected` are fields of its request."""
    request = Transfer(
        transfer.number,
        transfer.id,
        name,
        (source,),
        (destination,),
        verify_remote=transfer.verify_remote and "expected" in expected,
        **expected,  # type: ignore[arg-type]
    )
    work = Work(request, worker.plan.settings.seed, time.monotonic())
    while (end := logical_end(work, worker.plan)) is not None:
        resolve(work, worker, *end)
    present = already_there(request, work, worker)
    copied = present if present is not None else _copied(request, work, worker)
    worker.meter.finished += worker.meter.moved
    worker.meter.moved = 0
    return copied


def _copied(request: Transfer, work: Work, worker: Worker) -> Copied:
    places = [(one, other) for one in range(len(work.sources)) for other in range(len(work.destinations))]
    failed: TransferError | None = None
    for source, destination in places:
        work.position = work.position._replace(source=source, destination=destination)
        try:
            copied = pour(Pour(request, work, worker, work.destination))
        except TransferError as error:
            if isinstance(error, Stopped) or error.reach in (Reach.REQUEST, Reach.GROUP):
                raise
            if isinstance(error, Mismatch) and work.source is not None and work.source.logical:
                report_place(worker, work.source, error)
            failed = error
        else:
            assert isinstance(copied, Copied), "a worker without a crew shares nothing"
            return copied
    assert failed is not None
    raise failed
