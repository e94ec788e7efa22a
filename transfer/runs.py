"""Runs of small files from one source: what a worker takes from a lane at once, so that the source can be told of it."""

from __future__ import annotations

import time

from .planning import existing_policy
from .requests import Transfer
from .settings import Existing
from .work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Final

    from .dispatch import Item
    from .planning import Plan
    from .requests import Request

_SMALL: Final = 128 << 10
"""Bytes from which on a file is not worth being announced: the source would have to send what nobody reads if something fails."""


def ahead_of(plan: Plan, source: str, destination: str) -> int:
    """How many requests between two gates a worker takes at a time; 1 where they are not read whole and in order."""
    scheme = source.partition(":")[0]
    capability = plan.registry.capability(scheme) if scheme else None
    there = plan.registry.capability(destination.partition(":")[0] or "file")
    if capability is None or there is None or capability.ahead < 2:
        return 1
    for one in (capability, there):
        # Else the first answer would take as long as this, and the endpoint be taken for a far one.
        if isinstance(one.implementation, str) and not one.requires:
            __import__(one.implementation.partition(":")[0])
    return capability.ahead if existing_policy(plan.settings, there) is Existing.OVERWRITE else 1


def lengthen(run: deque[Work], queue: deque[Item], count: int, seed: str) -> bool:
    """Moves up to `count` requests from the queue to the run, as far as they are small files; true if there were any."""
    before = len(run)
    for _ in range(count):
        try:
            item = queue.popleft()
        except IndexError:
            break
        work = Work(item, seed, time.monotonic()) if isinstance(item, Transfer) else item
        if not isinstance(work, Work) or work.spool is not None or not _is_small(work.request):
            queue.appendleft(item)
            break
        run.append(work)
    return len(run) > before


def _is_small(request: Request) -> bool:
    return isinstance(request, Transfer) and (request.size or 0) <= _SMALL
