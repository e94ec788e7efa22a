"""The second leg of a staged transfer in parts: each is sent when all of it is in the spool file, by one worker or several.

The second leg's own thread stays until every part is there, and concludes. Workers that have nothing else to do are
invited as for any large file (`parting`), but only for parts that wait in the spool: while the source is what limits, nobody
holds a place at the destination.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..protocols.errors import End, Stopped, TransferError, Unsupported
from .lanes import gate_key
from .part_opening import part_bytes, parts_of
from .parting import TRIES, further_streams
from .pump import Hashing
from .segments import Segments
from .work import Handed

if TYPE_CHECKING:
    from ..checksum.digest import Digest
    from ..protocols.locations import Location
    from ..protocols.values import Incoming, Receipt, Token
    from .overlapping import Leg
    from .work import Crew, Work, Worker


class SpoolParts:
    """What the workers that send one spool file share. `began` and `clock` are those of the attempt."""

    __slots__ = (
        "_crew",
        "_invited",
        "_leg",
        "_location",
        "began",
        "clock",
        "key",
        "segments",
        "token",
        "work",
    )

    def __init__(self, leg: Leg, work: Work, token: Token, crew: Crew | None) -> None:
        self.work = work
        self.token = token
        self.key = ("", gate_key(token.location))
        self.began = time.time()
        self.clock = time.monotonic()
        self.segments = Segments(token, Hashing(), ordered=True, found=(), tries=TRIES)
        self._leg = leg
        self._location: Location = token.location
        self._crew = crew
        self._invited = 0

    def send(self, worker: Worker) -> None:
        """Returns when every part is at the destination, and nobody is at it any more, also when it raises."""
        segments = self.segments
        segments.enter()
        try:
            while segments.error is None and len(segments.done) < self.token.total:
                number = segments.take()
                if number is None:
                    self._leg.pause(self._others_have_the_rest)
                elif (error := self._sent(worker, number)) is not None:
                    raise error
        except BaseException as error:
            segments.broke(error)
            raise
        finally:
            segments.leave()
            self._leg.pause(lambda: segments.active > 0)
        if segments.error is not None:
            raise segments.error

    def _others_have_the_rest(self) -> bool:
        segments = self.segments
        return segments.error is None and not segments.left and len(segments.done) < self.token.total

    def help(self, worker: Worker) -> Handed:
        """Sends parts as long as some wait in the spool."""
        segments, aside = self.segments, None
        if not segments.enter():
            return Handed()
        try:
            while aside is None and (number := segments.take()) is not None:
                if not self._leg.has(sum(self.token.span(number))):
                    segments.put_back(number)
                    break
                aside = self._sent(worker, number)
        except BaseException as error:  # noqa: BLE001 - the second leg's own thread raises it
            segments.broke(error)
        finally:
            segments.leave()
            self._leg.look()
        return Handed(aside)

    def _sent(self, worker: Worker, number: int) -> TransferError | None:
        """Sends a part, or puts it back; returns the error for which this worker shall not go on."""
        first, length = self.token.span(number)
        view = worker.context.part_buffer(self.token.part)[:length]
        try:
            self._leg.read(first, view)
            self._invite(worker, number)
            part = parts_of(worker, self._location).put_part(self.token, number, first, view)
        except Stopped:
            raise
        except TransferError as error:
            error.at(End.DESTINATION, "write")
            return None if self.segments.failed(number, error) else error
        self.segments.finished(part)
        self._leg.look()
        self.segments.moved += length
        worker.meter.moved += length
        if worker.limits.throttle is not None:
            worker.limits.throttle.take(length)
        if self._crew is not None:
            # A part is an answer: the destination has proved itself, and may have more at a time.
            self._crew.answered(self.key)
        return None

    def _invite(self, worker: Worker, number: int) -> None:
        """Asks others to come, as many as would help with the parts behind this one that are there already."""
        segments, settings = self.segments, worker.plan.settings
        waiting = self._leg.frontier // self.token.part - number - 1
        if self._crew is None or waiting < 1 or settings.workers == 1:
            return
        for _ in range(min(further_streams(segments, settings, self._invited), waiting)):
            self._invited += 1
            self._crew.invite(self.key, self)


class SpoolPartsWriter:
    """The parts as what `publish` wants: something to commit."""

    algorithms: tuple[str, ...] = ()
    descriptor: int | None = None

    def __init__(self, parts: SpoolParts, worker: Worker) -> None:
        self._segments = parts.segments
        self._store = parts_of(worker, parts.token.location)

    def write(self, view: memoryview) -> None:
        raise NotImplementedError

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        return self._store.commit_parts(self._segments.token, self._segments.parts(), digests)

    def abort(self, *, keep: bool = False) -> None:
        self._store.abort_parts(self._segments.token)


def opened_parts(destination: Location, incoming: Incoming, worker: Worker) -> Token | None:
    """The token of an object that can be written in parts; None where one stream is to write it."""
    part = part_bytes(destination, incoming.size or 0, worker.plan)
    if not part or not worker.can(destination).write_parts:
        return None
    try:
        return parts_of(worker, destination).open_parts(destination, incoming, part)
    except Unsupported:
        return None
    except TransferError as error:
        raise error.at(End.DESTINATION, "open destination") from error.__cause__
