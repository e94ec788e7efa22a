"""Whether the reports of a run would overwrite each other, the batch, or a file that the run delivers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .requests import Transfer

if TYPE_CHECKING:
    from argparse import Namespace

    from .requests import Batch

_OPTIONS = ("result", "events", "metrics_file", "manifest", "journal")


def collision(options: Namespace, batch: Batch) -> str:
    """A sentence that names the two that meet at one place; empty if none do."""
    taken: dict[str, str] = {}
    if options.file != "-":
        taken[_place(options.file)] = "the batch"
    reports = 0
    for name in _OPTIONS:
        path = getattr(options, name, None)
        if not path or path == "-" or _is_device(path):
            continue
        place, option = _place(path), "--" + name.replace("_", "-")
        if place in taken:
            return f"{option} {path} would overwrite {taken[place]}"
        taken[place] = option
        reports += 1
    return _meets_destination(taken, batch) if reports else ""


def _meets_destination(taken: dict[str, str], batch: Batch) -> str:
    names = {os.path.basename(place) for place in taken}
    for request in batch.requests:
        if not isinstance(request, Transfer):
            continue
        for destination in request.destinations:
            # Only a file of the same name can be the same place, and looking at every folder would take its time.
            if destination.is_local and os.path.basename(destination.path) in names:
                found = taken.get(_place(destination.path))
                if found is not None:
                    return (
                        f"request {request.number} would overwrite what {found} writes: {destination.shown}"
                    )
    return ""


def _place(path: str) -> str:
    """One spelling for a path that need not exist; a link at its end is not followed, since a report replaces it."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder or "."), name)


def _is_device(path: str) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)
