"""Both legs of a staged transfer at once: the second reads the spool file behind what the first has written.

The first leg is the attempt, in the worker's own thread: what becomes of the source is decided there, as if it were alone.
The second has a thread, and a worker whose stores and buffers nobody else uses. It is lent the last bytes of the file when
the first leg is over and verified, so what is wrong or incomplete cannot be published: in parts where the destination takes
them (`overlapping_parts`), else in one stream. If it fails, the first leg goes on to its
end all the same, and the next attempt reads the spool file.

Only for large files of known size, and for destinations that take a file in several requests or in a session: before those a
slow source may pause. A single PUT would be dropped meanwhile, and some servers would keep what they had of it.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from ..checksum.digest import Hashes
from ..protocols.capability import Publish
from ..protocols.errors import Broken, End, Stopped, TransferError, from_oserror
from ..protocols.values import Incoming
from .overlapping_parts import SpoolParts, SpoolPartsWriter, opened_parts
from .publishing import after_cut, publish
from .pump import Limits, pump
from .resuming import token_of
from .routes import Route
from .verification import compare_digests
from .work import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from ..checksum.digest import Digest
    from ..protocols.capability import Capability
    from ..protocols.contract import Reader, Writer
    from ..protocols.values import Receipt, Token
    from .requests import Transfer
    from .work import Copied, Crew, Spool, Work

LEAST: Final = 32 << 20
"""Bytes of a file for which a second thread is worth its while."""
_TICK: Final = 0.5


class SecondLeg:
    """The second leg of one staged transfer, while its first leg runs. The first leg's thread makes it, and ends it by either
    `published` or `give_up`, after which no thread is left."""

    def __init__(self, transfer: Transfer, work: Work, worker: Worker) -> None:
        self._transfer = transfer
        self._work = work
        self._worker = worker
        self._thread: threading.Thread | None = None
        self._leg: Leg | None = None

    def behind(self, writer: Writer, reader: Reader) -> Writer:
        """Takes the spool file's new writer, and begins where it may: the first leg writes to what it returns."""
        if self._leg is not None or writer.descriptor is None or not self._fits(reader):
            return writer
        worker, incoming = self._worker, self._incoming(reader)
        other = _second_of(worker)
        try:
            descriptor = os.dup(writer.descriptor)
        except OSError:
            return writer
        leg = Leg(self._work, other, worker.crew, worker.limits.stop, incoming, descriptor)
        thread = threading.Thread(target=leg.run, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there may be no further thread
            os.close(descriptor)
            return writer
        self._leg, self._thread = leg, thread
        return _SpoolWriter(writer, leg)

    def _incoming(self, reader: Reader) -> Incoming:
        transfer, source = self._transfer, self._work.source
        assert source is not None
        token = token_of(transfer, source, reader.version, self._work.destination)
        return Incoming(reader.size, None, reader.mode, token, False, transfer.expected is not None)

    def _fits(self, reader: Reader) -> bool:
        can = self._worker.can(self._work.destination)
        return reader.size is not None and reader.size >= LEAST and _may_pause(can)

    def published(self, spool: Spool) -> Copied | None:
        """The published copy, after the first leg's success; None where there is none yet. Raises what the second leg did."""
        leg = self._leg
        if leg is None:
            return None
        if leg.cancelled:
            self.give_up()
            return None
        leg.release(spool)
        meter = self._worker.meter
        meter.finished += meter.moved
        meter.moved = 0
        self._join(leg)
        # What this attempt moved; the first leg is noted as one of its own.
        meter.moved, leg.worker.meter.moved = leg.worker.meter.moved, 0
        if leg.error is not None:
            raise leg.error
        assert leg.copied is not None
        return leg.copied._replace(route=Route.STAGED)

    def give_up(self) -> None:
        """Ends it without a trace. Never raises."""
        leg = self._leg
        if leg is None:
            return
        leg.cancel()
        self._join(leg)
        self._worker.meter.finished += leg.worker.meter.moved
        leg.worker.meter.moved = 0

    def _join(self, leg: Leg) -> None:
        """Waits for the second leg, and passes on to it that the run was stopped."""
        assert self._thread is not None
        while self._thread.is_alive():
            if self._worker.limits.stop.is_set():
                leg.worker.limits.stop.set()
            self._thread.join(_TICK)


def _may_pause(can: Capability) -> bool:
    return can.publish is Publish.ATOMIC and (can.write_parts or can.write_resume)


def _second_of(worker: Worker) -> Worker:
    """The worker whose things a second leg uses. It stays: the next large file needs its connections again."""
    if worker.second is None:
        limits = worker.limits
        context = worker.context.for_another_thread(threading.Event())
        # Without a least rate: it waits for a source of which the first leg judges whether it is too slow.
        own = Limits(stop=context.stop, stall=limits.stall, slow_bytes=0, throttle=limits.throttle)
        worker.second = Worker(worker.plan, context, own)
    worker.second.limits.stop.clear()
    return worker.second


class Leg:
    """What both threads know. `frontier`, `spool` and `cancelled` are the first one's to set, the outcome the second one's."""

    def __init__(
        self,
        work: Work,
        worker: Worker,
        crew: Crew | None,
        run: threading.Event,
        incoming: Incoming,
        descriptor: int,
    ) -> None:
        """`run` is set when the run is stopped; `descriptor` is this leg's to close."""
        self.worker = worker
        self.copied: Copied | None = None
        self.error: BaseException | None = None
        self.cancelled = False
        self._work = work
        self._destination = work.destination
        self._crew = crew
        self._run_stop = run
        self._incoming = incoming
        self._descriptor = descriptor
        self.frontier = 0
        """Bytes in the spool file."""
        self._spool: Spool | None = None
        """What the first leg has verified."""
        self._changed = threading.Condition()
        self._began = time.time()

    # --- the first leg's thread

    def wrote(self, count: int) -> None:
        with self._changed:
            self.frontier += count
            self._changed.notify_all()

    def release(self, spool: Spool) -> None:
        """The whole file is there, and right."""
        with self._changed:
            self._spool = spool
            self._changed.notify_all()

    def cancel(self) -> None:
        with self._changed:
            self.cancelled = True
            self.worker.limits.stop.set()
            self._changed.notify_all()

    # --- the second leg's thread

    def run(self) -> None:
        """Leaves `copied` or `error`."""
        try:
            self.copied = self._poured()
        except BaseException as error:  # noqa: BLE001 - whatever it was, it is the attempt's, which is another thread's
            self.error = error
        finally:
            os.close(self._descriptor)

    def _poured(self) -> Copied:
        # A source that does not begin to come is nothing to the destination.
        self._wait(len(self.worker.context.view))
        token = opened_parts(self._destination, self._incoming, self.worker)
        return self._in_one_stream() if token is None else self._in_parts(token)

    def _in_parts(self, token: Token) -> Copied:
        parts = SpoolParts(self, self._work, token, self._crew)
        writer = SpoolPartsWriter(parts, self.worker)
        try:
            parts.send(self.worker)
        except BaseException:
            writer.abort()
            raise
        return self._published(writer, ())

    def _in_one_stream(self) -> Copied:
        worker, size = self.worker, self._incoming.size or 0
        reader = _SpoolReader(self, size, worker.context.view)
        writer = self._open()
        try:
            # Behind the frontier lies what the first leg has just hashed: only what it does not know is computed here.
            hashing = Hashes(writer.algorithms)
            pump(reader, reader.read(), writer, hashing, worker.limits, worker.meter)
            further, spool = hashing.digests(), self._whole()
            compare_digests(spool.digests, further, spool.location)
        except BaseException as error:
            writer.abort()
            if isinstance(error, TransferError):
                after_cut(error, self._destination, worker, self._began, worker.meter.moved)
            raise
        return self._published(writer, further)

    def _open(self) -> Writer:
        try:
            return self.worker.store(self._destination).open_write(self._destination, self._incoming)
        except TransferError as error:
            raise error.at(End.DESTINATION, "open destination") from error.__cause__

    def _published(self, writer: Writer, further: tuple[Digest, ...]) -> Copied:
        spool, size = self._whole(), self._incoming.size or 0
        digests = tuple(dict.fromkeys((*spool.digests, *further)))
        return publish(
            self._destination, self.worker, writer, size, digests, self._began, checked=spool.checked
        )

    def _whole(self) -> Spool:
        assert self._spool is not None, "the last bytes were lent too early"
        return self._spool

    # --- the second leg's threads

    def read(self, offset: int, view: memoryview) -> None:
        """Fills `view` with the file's bytes from `offset` on, as soon as they may be read. Raises Stopped."""
        self._wait(offset + len(view))
        try:
            while view:
                count = os.preadv(self._descriptor, [view], offset)
                if not count:
                    raise Broken("the spool file became shorter", end=End.SOURCE, step="read")
                offset, view = offset + count, view[count:]
        except OSError as error:
            raise from_oserror(error, "reading the spool file").at(End.SOURCE, "read") from error

    def has(self, end: int) -> bool:
        """Whether the bytes before `end` may be read."""
        return self.frontier >= end and (self._spool is not None or end != self._incoming.size)

    def _wait(self, end: int) -> None:
        with self._changed:
            while not (self.cancelled or self._run_stop.is_set()):
                if self.has(end):
                    return
                self._changed.wait(_TICK)
        raise Stopped("the run was stopped", end=End.NEITHER, step="read")

    def look(self) -> None:
        """Whoever is in a `pause` looks whether it is over."""
        with self._changed:
            self._changed.notify_all()

    def pause(self, while_so: Callable[[], bool]) -> None:
        """Returns when that is no longer so; whoever changes it has others `look`."""
        with self._changed:
            while while_so():
                self._changed.wait(_TICK)


class _SpoolWriter:
    """The first leg's spool file; whoever reads behind it hears of each write."""

    descriptor: int | None = None  # so that every byte passes here

    def __init__(self, writer: Writer, leg: Leg) -> None:
        self.algorithms = writer.algorithms
        self._writer = writer
        self._leg = leg

    def write(self, view: memoryview) -> None:
        self._writer.write(view)
        self._leg.wrote(len(view))

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        return self._writer.commit(digests)

    def abort(self, *, keep: bool = False) -> None:
        self._leg.cancel()
        self._writer.abort(keep=keep)


class _SpoolReader:
    """The spool file, as far as it has been written; its end only when all of it is verified."""

    version: str | None = None
    digests: tuple[Digest, ...] = ()
    mode: int | None = None
    descriptor: int | None = None

    def __init__(self, leg: Leg, size: int, view: memoryview) -> None:
        self.size: int | None = size
        self._leg = leg
        self._left = size
        self._offset = 0
        self._view = view

    def read(self) -> memoryview:
        view = self._view[: self._left]
        if view:
            self._leg.read(self._offset, view)
        self._offset += len(view)
        self._left -= len(view)
        return view

    def close(self) -> None:
        """Nothing of its own is open."""
