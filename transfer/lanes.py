"""Lanes: the queues between pairs of endpoints, and the stays of workers in them."""

from __future__ import annotations

from collections import deque
from functools import lru_cache

from ..protocols.locations import LOCAL_SCHEMES, endpoint_of
from .requests import Transfer
from .work import Task, Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from ..protocols.locations import Location
    from .gates import Gate
    from .planning import Plan
    from .requests import Request
    from .work import SharedFile

    Key = tuple[str, str]
    Item: TypeAlias = Request | Work | Task | SharedFile


def gate_key(location: Location | None) -> str:
    """Names the gate that requests at this location pass; all local files share the empty one."""
    if location is None or location.scheme in LOCAL_SCHEMES:
        return ""
    return _gate_name(location.scheme, location.host, location.site)


def scheme_of(gate: str) -> str:
    """The scheme of the locations behind a gate."""
    return gate.partition(":")[0] or "file"


@lru_cache(maxsize=256)
def _gate_name(scheme: str, host: str, site: str) -> str:
    return f"{scheme}://{endpoint_of(scheme, host, site)}"


def gates_of(key: Key) -> tuple[str, ...]:
    """The gates that a lane passes, each once. That of local files counts only where no service is involved.

    Otherwise two downloads from a silent host would keep all other downloads waiting.
    """
    source, destination = key
    if source == destination or not destination:
        return (source,)
    return (source, destination) if source else (destination,)


class Lane:
    """The queue between two endpoints."""

    __slots__ = (
        "ahead",
        "alone",
        "compared",
        "entered",
        "gates",
        "in_line",
        "inside",
        "key",
        "queue",
        "searched",
    )

    def __init__(
        self, key: Key, *, alone: bool = False, ahead: tuple[int, bool] = (1, False), behind: bool = False
    ) -> None:
        self.key = key
        self.gates = gates_of(key)
        self.ahead, self.compared = ahead
        """How many of its requests a worker takes at a time, when they may be announced to the source; and whether only
        those may that a digest is expected of."""
        self.in_line = self.ahead > 1 or behind
        """One connection keeps a near endpoint busy with small files."""
        self.queue: deque[Item] = deque()
        self.alone = alone
        """One worker at a time: what lies here probably goes into one task of a service."""
        self.inside = 0
        """Workers that are in it and hold places."""
        self.entered = 0.0
        """When the last worker entered."""
        self.searched = 0.0
        """The end of the cooling for which requests with another choice were looked for."""


class Endpoints:
    """What the run knows of endpoints, by the names of their gates. This is all of it where a run has one process; `commons.py`
    shares it between several. A gate changes inside `with` only."""

    processes = 1
    """That send requests."""

    def __init__(self) -> None:
        self.gates: dict[str, Gate] = {}
        self.active: dict[str, int] = {}
        """How many requests of this process are there."""
        self.answers: dict[str, int] = {}
        """How many requests each has answered since its limit was last looked at."""
        self.looked: dict[str, float] = {}
        """When that was."""
        self.struck: dict[str, str] = {}
        """What each did when it was last struck."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def here(self, name: str) -> int:
        """How many requests of the run are there."""
        return self.active.get(name, 0)

    def room(self, name: str, gate: Gate) -> int:
        """How many more this process may have there; below 0, so many are too many."""
        return gate.limit - self.active.get(name, 0)

    def wants(self, name: str) -> None:
        """This process has requests for the endpoint; said a few times a second."""


class Entry:
    """A worker's stay in a lane.

    `down` names the endpoint for which the lane is only to be emptied; `cooling` the one for which only requests that
    have another choice are to be taken out.
    """

    __slots__ = ("cooling", "down", "lane", "left", "run", "until")

    def __init__(
        self, lane: Lane, until: float, *, down: str | None = None, cooling: str | None = None
    ) -> None:
        self.lane = lane
        self.until = until
        self.down = down
        self.cooling = cooling
        self.left = len(lane.queue)
        """How many requests are still to be looked at for another choice."""
        self.run: deque[Work] = deque()
        """What this worker will do next; announced to the source."""

    @property
    def holds_places(self) -> bool:
        return self.down is None and self.cooling is None


def taken(lane: Lane) -> Item | None:
    try:
        return lane.queue.popleft()
    except IndexError:
        return None


def with_choice(entry: Entry) -> Item | None:
    """The next request of the lane that has more than one source or destination. The others keep their order."""
    queue = entry.lane.queue
    while entry.left > 0:
        entry.left -= 1
        item = taken(entry.lane)
        if item is None:
            return None
        if _has_choice(item):
            return item
        queue.append(item)
    return None


def _has_choice(item: Item) -> bool:
    """More than one source or destination is left to try."""
    if isinstance(item, Work):
        return len(item.sources) + len(item.destinations) > 2
    return isinstance(item, Transfer) and len(item.sources) + len(item.destinations) > 2


def key_of(work: Work | Task) -> tuple[str, str]:
    """The lane in which the present attempt of this request belongs."""
    if isinstance(work, Task):
        return work.key
    return (gate_key(work.source), gate_key(work.destination))


def first_key(request: Request, plan: Plan) -> tuple[str, str]:
    """The lane of a request nobody has looked at yet: a guess where several replicas are to be ranked."""
    if isinstance(request, Transfer):
        if len(request.sources) == 1 and len(request.destinations) == 1:
            return (gate_key(request.sources[0]), gate_key(request.destinations[0]))
        return key_of(Work(request, plan.settings.seed, 0.0))
    return ("", gate_key(request.target))


def size_of(request: Request) -> int:
    return (request.size or 0) if isinstance(request, Transfer) else 0
