"""What `--preserve` asks for: the copy gets the time and the permission bits of its source.

That comes after everything else, and no copy fails for it: what could not be kept is told in its note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocols.errors import TransferError
from ..protocols.values import Traits

if TYPE_CHECKING:
    from ..protocols.contract import Keeping, Reader, TellingReader
    from .work import Copied, Work, Worker


def remember(work: Work, worker: Worker, reader: Reader) -> None:
    """Takes down what the source tells of itself. A spool file is not the source."""
    if work.spool is not None or work.source is None:
        return
    can = worker.can(work.source)
    telling: TellingReader = reader  # type: ignore[assignment]
    work.traits = telling.traits() if can.read_times or can.read_modes else Traits()


def preserved(work: Work, worker: Worker, copied: Copied) -> Copied:
    """The copy, which has got what was asked for; its note tells what it has not."""
    lost = keep(work, worker)
    return copied._replace(note="; ".join(filter(None, (copied.note, lost)))) if lost else copied


def keep(work: Work, worker: Worker) -> str:
    """Gives the destination what it can keep of the source; says what it has not got, and why."""
    settings, can = worker.plan.settings, worker.can(work.destination)
    told = work.traits or Traits()
    wanted: dict[str, int] = {}
    lost: list[str] = []
    for word, asked, possible, value in (
        ("times", settings.preserve_times, can.write_times, told.modified),
        ("modes", settings.preserve_modes, can.write_modes, told.mode),
    ):
        if asked and not possible:
            lost.append(f"{word} not kept: {can.protocol} cannot")
        elif asked and value is None:
            lost.append(f"{word} not kept: the source told none")
        elif asked and value is not None:
            wanted[word] = value
    if wanted:
        store: Keeping = worker.store(work.destination)  # type: ignore[assignment]
        try:
            store.set_traits(work.destination, Traits(wanted.get("times"), wanted.get("modes")))
        except TransferError as error:
            lost.append(f"{' and '.join(wanted)} not kept: {error.what}")
    return "; ".join(lost)
