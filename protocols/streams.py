"""FIFOs, devices and files whose size is unknown: bytes go straight through, and nothing can be taken back.

Opening and moving bytes wait for the other end, at most for the stall limit and never past the end of the run.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from typing import TYPE_CHECKING

from .errors import Broken, Stopped
from .local_errors import failure, name_of, refusal
from .values import Receipt, Traits

if TYPE_CHECKING:
    from ..checksum.digest import Digest
    from .context import Context
    from .contract import Writer

_WRITE = os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW

_PAUSE = 0.05


class StreamReader:
    """Bytes until the other end closes. The size is unknown, so a cut cannot be seen."""

    __slots__ = ("_context", "_descriptor", "_path", "descriptor", "digests", "mode", "size", "version")

    descriptor: int | None
    mode: int | None
    size: int | None
    version: str | None

    def __init__(self, descriptor: int, path: str, context: Context) -> None:
        self.size = self.version = self.mode = self.descriptor = None
        self.digests: tuple[Digest, ...] = ()
        self._descriptor = descriptor
        self._path = path
        self._context = context

    def read(self) -> memoryview:
        view = self._context.view
        filled = 0
        while filled < len(view):
            got = self._read_some(view[filled:])
            if not got:
                break
            filled += got
        return view[:filled]

    def _read_some(self, view: memoryview) -> int:
        while True:
            _await(self._descriptor, select.POLLIN, self._context, "read", self._path)
            try:
                return os.readv(self._descriptor, [view])
            except BlockingIOError:
                continue
            except OSError as error:
                raise failure(error, "read", self._path) from error

    def traits(self) -> Traits:
        """None: they would be those of the stream, not of what came through it."""
        return Traits()

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _close(descriptor)


class StreamWriter:
    """Bytes are with the other end as soon as they are written: as `Publish.AFTER`, whatever the capability says."""

    __slots__ = ("_context", "_descriptor", "_path", "algorithms", "descriptor")

    descriptor: int | None
    held = 0

    def __init__(self, descriptor: int, path: str, context: Context) -> None:
        self.algorithms: tuple[str, ...] = ()
        self.descriptor = None
        self._descriptor = descriptor
        self._path = path
        self._context = context

    def write(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            done += self._write_some(view[done:])

    def _write_some(self, view: memoryview) -> int:
        while True:
            _await(self._descriptor, select.POLLOUT, self._context, "write", self._path)
            try:
                return os.write(self._descriptor, view)
            except BlockingIOError:
                continue
            except OSError as error:
                raise failure(error, "write", self._path) from error

    def read_held(self, offset: int, view: memoryview) -> int:
        """Nothing: what went into a stream is gone."""
        return 0

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.close(descriptor)
        except OSError as error:
            raise failure(error, "write", self._path) from error
        return Receipt()

    def abort(self, *, keep: bool = False) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _close(descriptor)


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return


def open_stream(path: str, kind: int, context: Context) -> Writer:
    """A writer onto a FIFO or device. A FIFO that nobody reads yet is waited for."""
    if kind == stat.S_IFSOCK:
        raise refusal(path, "write", "it is a socket", "name a file")
    descriptor = _open(path, kind, context)
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        os.close(descriptor)
        raise refusal(path, "write", "it was a device or FIFO and has been replaced", "run the batch again")
    return StreamWriter(descriptor, path, context)


def _open(path: str, kind: int, context: Context) -> int:
    for _ in range(max(1, int(context.stall / _PAUSE))):
        try:
            return os.open(path, _WRITE)
        except OSError as error:
            if error.errno != errno.ENXIO or kind != stat.S_IFIFO:
                raise failure(error, "write", path) from error
        if context.stop.wait(_PAUSE):
            raise Stopped(f"cannot write {name_of(path)}: the run was stopped before a reader came")
    raise Broken(f"cannot write {name_of(path)}: nobody opened it for reading for {context.stall:g} s")


def _await(descriptor: int, event: int, context: Context, doing: str, path: str) -> None:
    """Returns when bytes can move or the other end has closed."""
    poll = select.poll()
    poll.register(descriptor, event)
    once = min(1.0, context.stall)
    for _ in range(max(1, round(context.stall / once))):
        if context.stop.is_set():
            raise Stopped(f"cannot {doing} {name_of(path)}: the run was stopped")
        if poll.poll(once * 1000):
            return
    raise Broken(f"cannot {doing} {name_of(path)}: no byte moved for {context.stall:g} s")
