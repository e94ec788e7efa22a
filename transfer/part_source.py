"""The bytes of one file for one worker, from wherever it needs them: one long stream, or a range for each part."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..protocols.errors import Broken, End, Stopped, TransferError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ..protocols.contract import Reader
    from ..protocols.locations import Location
    from .pouring import Pour
    from .work import Worker

_AT_ONE: Final = 2
"""Failures after which another replica is asked, if there is one."""


class PartSource:
    """Reads the replica of the attempt, and when that fails the next ones that must hold the same bytes.

    Different sources are joined only where the batch expects a digest, for nothing else would notice that they differ.
    """

    def __init__(
        self,
        job: Pour,
        version: str | None,
        size: int | None,
        reader: Reader | None = None,
        view: memoryview | None = None,
        worker: Worker | None = None,
    ) -> None:
        """`reader` is at the file's beginning, of which `view` was read; it is the caller's to close."""
        self._job = job
        self._worker = worker or job.worker
        self._size = size
        self._sources: list[tuple[Location, str | None]] = [(job.source, version), *_others(job)]
        self.replicas = len(self._sources)
        self._failures = 0
        self._reader = reader
        self._lent = reader is not None
        self._left = view or memoryview(b"")
        self._position = 0
        self._end: int | None = None
        """Where the present reader ends; None: at the end of the file."""
        self._window = (time.monotonic(), 0)
        self._moved = 0
        if job.peeked and reader is not None:
            self._end = len(self._left)

    def prepare(self, first: int, end: int) -> None:
        """Asks for a range before it is its turn, so that it is on its way."""
        if not self._stands_at(first, end):
            self._open(first, end, alone=False)

    def views(self, first: int, end: int, *, alone: bool) -> Iterator[memoryview]:
        """The bytes from `first` to `end`; each view is good until the next. A worker that is `alone` reads on in one stream."""
        if not self._stands_at(first, end):
            self._open(first, end, alone=alone)
        while self._position < end:
            view = self._left or self._read()
            if not view:
                raise Broken(
                    f"{self._sources[0][0].shown} ended at byte {self._position}", end=End.SOURCE, step="read"
                )
            piece = view[: end - self._position]
            self._left = view[len(piece) :]
            self._position += len(piece)
            self._moved += len(piece)
            yield piece

    def _stands_at(self, first: int, end: int) -> bool:
        return (
            self._reader is not None and self._position == first and (self._end is None or end <= self._end)
        )

    def _read(self) -> memoryview:
        assert self._reader is not None
        self._insist_on_speed()
        try:
            return self._reader.read()
        except TransferError as error:
            raise error.at(End.SOURCE, "read") from error.__cause__

    def _insist_on_speed(self) -> None:
        limits, (began, moved) = self._worker.limits, self._window
        now = time.monotonic()
        if now - began <= limits.stall:
            return
        self._window = (now, self._moved)
        if self._moved - moved < limits.slow_bytes * (now - began):
            raise Broken(
                f"only {self._moved - moved} bytes came in {now - began:.0f} s, less than {limits.slow_bytes} "
                "bytes per second",
                end=End.SOURCE,
                step="read",
            )

    def _open(self, first: int, end: int, *, alone: bool) -> None:
        self.close()
        location, version = self._sources[0]
        length = None if alone else end - first
        try:
            reader = self._worker.store(location).open_read(
                location, start=first, length=length, version=version
            )
        except TransferError as error:
            raise error.at(End.SOURCE, "open source") from error.__cause__
        self._reader, self._lent = reader, False
        self._position, self._end = first, None if alone else end
        self._window = (time.monotonic(), self._moved)
        if self._size is not None and reader.size not in (None, self._size):
            raise Broken(f"{location.shown} has another size", end=End.SOURCE, step="open source")

    def failed(self, error: TransferError) -> bool:
        """After a failure. True when another replica will be asked from now on."""
        self.close()
        if isinstance(error, Stopped):
            return False
        self._failures += 1
        # At the same source once more, but not where only another host can help.
        if len(self._sources) == 1 or (self._failures < _AT_ONE and isinstance(error, Broken)):
            return False
        del self._sources[0]
        self._failures = 0
        self._job.spliced = True
        return True

    def close(self) -> None:
        """Ends the present stream, unless the caller lent it."""
        reader, self._reader = self._reader, None
        self._left = memoryview(b"")
        if reader is not None and not self._lent:
            reader.close()


def _others(job: Pour) -> list[tuple[Location, str | None]]:
    if job.transfer.expected is None:
        return []
    position = job.work.position
    return [
        (location, None)
        for index, location in enumerate(job.work.sources)
        if index > position.source and not position.sources.struck_off >> index & 1 and _fits(job, location)
    ]


def _fits(job: Pour, location: Location) -> bool:
    capability = job.worker.plan.registry.capability(location.scheme)
    return capability is not None and capability.read_range and not location.problem
