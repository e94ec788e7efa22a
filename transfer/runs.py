"""Runs of small files from one source: what a worker takes from a lane at once, so that the source can be told of it."""

from __future__ import annotations

import time

from .lanes import scheme_of
from .planning import existing_policy
from .requests import Transfer
from .settings import Existing
from .work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Final

    from .lanes import Lane
    from .planning import Plan
    from .requests import Request

_SMALL: Final = 128 << 10
"""Bytes from which on a file is not worth being announced: the source would have to send what nobody reads if something fails."""


def ahead_of(plan: Plan, source: str, destination: str) -> tuple[int, bool]:
    """How many requests between two gates a worker takes at a time, and whether only those that a digest is expected of.

    1 where they are not read whole and in order.
    """
    capability = plan.registry.capability(scheme_of(source)) if source else None
    there = plan.registry.capability(scheme_of(destination))
    if capability is None or there is None or capability.ahead < 2:
        return 1, False
    for one in (capability, there):
        # Else the first answer would take as long as this, and the endpoint be taken for a far one.
        if isinstance(one.implementation, str) and not one.requires:
            __import__(one.implementation.partition(":")[0])
    if existing_policy(plan.settings, there) is not Existing.OVERWRITE:
        return 1, False
    return capability.ahead, capability.ahead_in_order


def lengthen(run: deque[Work], lane: Lane, count: int, seed: str) -> bool:
    """Moves up to `count` requests from the lane's queue to the run, as far as they may be announced; true if there were any."""
    before, queue = len(run), lane.queue
    for _ in range(count):
        try:
            item = queue.popleft()
        except IndexError:
            break
        work = Work(item, seed, time.monotonic()) if isinstance(item, Transfer) else item
        if not isinstance(work, Work) or work.spool is not None or not _may_be_told(work.request, lane):
            queue.appendleft(item)
            break
        run.append(work)
    return len(run) > before


def _may_be_told(request: Request, lane: Lane) -> bool:
    if not isinstance(request, Transfer) or (request.size or 0) > _SMALL:
        return False
    return request.expected is not None or not lane.compared
