"""Small files that one worker has sent and was not told of yet: each gets its outcome when its answer has come."""

from __future__ import annotations

from ..checksum.records import NamedTuple
from ..protocols.errors import TransferError, Undone
from .concluding import defect_in
from .copying import published_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine
    from .lanes import Key
    from .work import OnTheWay, Work, Worker


class _Waiting(NamedTuple):
    work: Work
    sent: OnTheWay
    key: Key
    began: float
    """Seconds since 1970."""
    clock: float
    """Monotonic seconds."""


class Unanswered:
    """What a worker has sent. Whoever uses it settles before the worker waits for anything else."""

    __slots__ = ("_engine", "_waiting", "_worker")

    def __init__(self, engine: Engine, worker: Worker) -> None:
        self._engine = engine
        self._worker = worker
        self._waiting: list[_Waiting] = []

    def add(self, work: Work, sent: OnTheWay, key: Key, began: float, clock: float) -> None:
        """Takes over a request that was sent; settles when the destination wants to be heard."""
        self._waiting.append(_Waiting(work, sent, key, began, clock))
        if len(self._waiting) >= self._worker.can(work.destination).behind:
            self.settle()

    def settle(self) -> None:
        """Waits for the answers to all that was sent, and gives each request what follows from its own."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self._settle(*one)

    def _settle(self, work: Work, sent: OnTheWay, key: Key, began: float, clock: float) -> None:
        engine, worker = self._engine, self._worker
        try:
            copied = published_of(sent, work, worker)
        except Undone:
            # Not an attempt of its own.
            work.singly = True
            engine.dispatcher.again(work)
        except TransferError as error:
            engine.failed(worker, work, error, key, began, clock, moved=sent.bytes)
        except BaseException as error:  # noqa: BLE001 - a protocol's defect is that request's failure
            found = defect_in(work, error, engine.log)
            engine.failed(worker, work, found, key, began, clock, moved=sent.bytes)
        else:
            # The wait was shared with others, so it tells nothing about the way there.
            engine.dispatcher.answered(key, float("-inf"))
            engine.succeeded(work, copied, began, clock)
