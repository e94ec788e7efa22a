"""The byte loop: every byte of every transfer goes through here, read once, hashed once, written once.

Long and flat on purpose. Python is not the limit here; layers are. A view is lent by the reader, hashed in place
and handed to the writer; nothing is copied. Between two local files the kernel copies, in a thread beside this one, while
this one reads the same pages for the digest.
"""

from __future__ import annotations

import errno
import os
import threading
import time

from ..checksum.digest import Hashes
from ..protocols.errors import Broken, End, Mismatch, Stopped, TransferError, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocols.contract import Reader, Writer
    from .throttle import Throttle

KERNEL_COPY_FROM = 1 << 20
"""Smaller files are in one view anyway."""
_KERNEL_CANNOT = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
)
_FICLONE = 0x40049409
"""The ioctl by which Linux file systems share blocks between two files (ioctl_ficlone(2))."""


class Meter:
    """What one worker has moved in its present attempt. Written by one thread, read by any."""

    __slots__ = ("finished", "moved")

    def __init__(self) -> None:
        self.moved = 0
        self.finished = 0
        """Bytes of this worker's earlier attempts."""


class Hashing(Hashes):
    """The digests being computed over one stream, sha256 always first."""

    __slots__ = ()

    def __init__(self, algorithms: tuple[str, ...] = ()) -> None:
        super().__init__(("sha256", *algorithms))


class Limits:
    """What bounds a stream: the stop event, the shared byte rate, and how slow is too slow."""

    __slots__ = ("slow_bytes", "stall", "stop", "throttle")

    def __init__(
        self, *, stop: threading.Event, stall: float, slow_bytes: int, throttle: Throttle | None
    ) -> None:
        self.stop = stop
        self.stall = stall
        self.slow_bytes = slow_bytes
        self.throttle = throttle


def pump(
    reader: Reader,
    first: memoryview,
    writer: Writer | None,
    hashing: Hashes,
    limits: Limits,
    meter: Meter,
    resume: Callable[[int, TransferError], Reader] | None = None,
    start: int = 0,
    most: int | None = None,
) -> int:
    """The offset reached when all was moved from `reader`, which begins at `start`, to `writer`; `first` is already read.

    Without a writer the bytes are only hashed. When the source breaks, `resume(offset, error)` returns a reader that
    goes on at that offset, or raises. Errors leave with their end and step filled in. Closes only readers it
    was given by `resume`. Ends with `Mismatch` when more than `most` bytes come.
    """
    moved = start
    window_began, window_moved = time.monotonic(), start
    view = first
    own: Reader | None = None
    try:
        while view:
            if limits.stop.is_set():
                raise Stopped("the run was stopped", step="read")
            hashing.update(view)
            if writer is not None:
                try:
                    writer.write(view)
                except TransferError as error:
                    raise error.at(End.DESTINATION, "write") from error.__cause__
            moved += len(view)
            meter.moved = moved
            if most is not None and moved > most:
                raise _too_long(moved, most)
            if limits.throttle is not None:
                limits.throttle.take(len(view))
            now = time.monotonic()
            # A rate that was asked for is no reason to give up.
            if limits.throttle is None and now - window_began > limits.stall:
                _insist_on_speed(moved - window_moved, now - window_began, limits)
                window_began, window_moved = now, moved
            while True:
                try:
                    view = reader.read()
                    break
                except TransferError as error:
                    error.at(End.SOURCE, "read")
                    if resume is None or not isinstance(error, Broken):
                        raise
                    if own is not None:
                        own.close()
                        own = None
                    reader = own = resume(moved, error)
    finally:
        if own is not None:
            own.close()
    return moved


def kernel_copy(
    reader: Reader,
    first: memoryview,
    source: int,
    target: int,
    size: int,
    hashing: Hashing,
    limits: Limits,
    meter: Meter,
    start: int = 0,
) -> int:
    """The number of bytes in the local file `reader` reads from `start`; the kernel copies them from `source` to `target`.

    Shares blocks where the file system can; else `copy_file_range` beside the hashing, by explicit offsets,
    so that neither moves the other's file position.
    """
    copier: threading.Thread | None = None
    problems: list[OSError] = []
    if not _share_blocks(source, target):
        copier = threading.Thread(
            target=_copy_range, args=(source, target, start, size, limits.stop, problems), daemon=True
        )
        copier.start()
    try:
        moved = pump(reader, first, None, hashing, limits, meter, start=start)
    except BaseException:
        if copier is not None:
            problems.append(InterruptedError())  # tells the copier that nobody wants the rest
            copier.join()  # before the descriptors close and their numbers become another file's
        raise
    if copier is not None:
        copier.join()
    if limits.stop.is_set():
        raise Stopped("the run was stopped", step="write")
    if problems:
        error = from_oserror(problems[0], "copying within the kernel")
        raise error.at(End.DESTINATION, "write") from problems[0]
    return moved


def can_copy_in_kernel(reader: Reader, writer: Writer, size: int | None, limits: Limits) -> bool:
    return (
        reader.descriptor is not None
        and writer.descriptor is not None
        and size is not None
        and size >= KERNEL_COPY_FROM
        and limits.throttle is None
        and hasattr(os, "copy_file_range")
    )


def _too_long(moved: int, most: int) -> Mismatch:
    error = Mismatch(
        f"the source goes on behind the {most} bytes that are expected", end=End.SOURCE, step="read"
    )
    error.of_digest = False
    return error


def _insist_on_speed(moved: int, seconds: float, limits: Limits) -> None:
    if moved < limits.slow_bytes * seconds:
        raise Broken(
            f"only {moved} bytes came in {seconds:.0f} s, less than {limits.slow_bytes} bytes per second",
            end=End.SOURCE,
            step="read",
        )


def _share_blocks(source: int, target: int) -> bool:
    try:
        import fcntl

        fcntl.ioctl(target, _FICLONE, source)
    except (ImportError, OSError):
        return False
    return True


def _copy_range(
    source: int, target: int, start: int, size: int, stop: threading.Event, problems: list[OSError]
) -> None:
    """Copies the bytes from `start` to `size`; what goes wrong is appended to `problems`. Ends early when something is there.

    Holes of the source stay holes. The target grows in order, so what an interrupted copy left is a beginning of the file.
    """
    offset = data_end = start
    step = _kernel_step
    try:
        while offset < size and not problems and not stop.is_set():
            if offset >= data_end:
                offset, data_end = _next_data(source, offset, size)
                continue
            try:
                count = step(source, target, min(data_end - offset, 8 << 20), offset)
            except OSError as error:
                if step is not _kernel_step or error.errno not in _KERNEL_CANNOT:
                    raise
                step = _own_step
                continue
            if count == 0:
                raise OSError(errno.EIO, "the source ended early")
            offset += count
        if offset >= size and os.fstat(target).st_size < size:
            os.ftruncate(target, size)  # it ends with a hole
    except OSError as error:
        problems.append(error)


def _next_data(source: int, offset: int, size: int) -> tuple[int, int]:
    """Where the next bytes that are no hole begin and end; everything is data where the file system cannot tell."""
    if not hasattr(os, "SEEK_DATA"):
        return offset, size
    # The reader shares this descriptor and its file position.
    own = os.open(f"/proc/self/fd/{source}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        begin = os.lseek(own, offset, os.SEEK_DATA)
        return min(begin, size), min(os.lseek(own, begin, os.SEEK_HOLE), size)
    except OSError as error:
        return (size, size) if error.errno == errno.ENXIO else (offset, size)
    finally:
        os.close(own)


def _kernel_step(source: int, target: int, count: int, offset: int) -> int:
    return os.copy_file_range(source, target, count, offset, offset)


def _own_step(source: int, target: int, count: int, offset: int) -> int:
    """For pairs of file systems between which the kernel does not copy."""
    return os.pwrite(target, os.pread(source, min(count, 1 << 20), offset), offset)
