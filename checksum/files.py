"""Digests of whole files: every byte read once, and nothing believed that changed meanwhile."""

from __future__ import annotations

import errno
import os
import stat

from .digest import LITTLE, Hashes
from .errors import ChangedWhileRead, Interrupted, NotRegular
from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from .digest import Digest
    from .paths import Path

BUFFER_BYTES = 1 << 20
"""Fits the second-level cache of most processors; larger gains nothing. What small files leave untouched costs none."""

_SMALL_BYTES = 64 << 10
"""Up to here a buffer from the heap is as fast and costs no mapping."""

_STREAM = -1
_WAITING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY
NOT_WAITING = _WAITING | os.O_NONBLOCK
"""Without it opening a FIFO waits for a writer. Regular files do not care."""


class FileDigest(NamedTuple):
    """Bytes read, and their digests in the order in which the algorithms were given."""

    size: int
    digests: tuple[Digest, ...]


def new_buffer(size: int = BUFFER_BYTES) -> memoryview:
    """A page-aligned buffer. One can serve many calls of `digest_file`, one after another.

    Not a bytearray: from 128 KiB on those begin 16 bytes into a page, where the kernel copies at half the speed
    on some processors.
    """
    import mmap

    return memoryview(mmap.mmap(-1, size))


def digest_file(
    path: Path,
    algorithms: Iterable[str] = ("sha256",),
    *,
    buffer: memoryview | None = None,
    stop: threading.Event | None = None,
    special: bool = False,
    from_disk: bool = False,
) -> FileDigest:
    """The size and digests of a file that did not change while it was read.

    Raises OSError as the system has it (a folder: IsADirectoryError), NotRegular, ChangedWhileRead, and Interrupted
    soon after `stop` is set. With `special`, FIFOs and devices are read to their end, however long that takes, and
    so are the files of /proc, which give more bytes than they have. `buffer` is overwritten; its length is that of
    one read. `from_disk` is explained at `drop_cached`.
    """
    descriptor = opened(path, _WAITING if special else NOT_WAITING)
    try:
        before = os.fstat(descriptor)
        expected = expected_size(before, path, special)
        hashes = Hashes(algorithms, little=0 <= expected <= LITTLE)
        if from_disk and expected != _STREAM:
            drop_cached(descriptor)
        size = _read_all(descriptor, hashes, buffer, expected, stop)
        if expected != _STREAM:
            after = os.fstat(descriptor)
            if size != after.st_size or before.st_mtime_ns != after.st_mtime_ns or size != expected:
                refuse_change(before, after, size)
    finally:
        os.close(descriptor)
    return FileDigest(size, hashes.digests())


def opened(path: Path, flags: int) -> int:
    """A descriptor of the file. Raises OSError, and NotRegular for a socket, which cannot be opened at all."""
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENXIO:  # also a device whose driver is not there
            raise NotRegular(f"is {_kind(os.stat(path).st_mode)}, not a regular file") from None
        raise


def drop_cached(descriptor: int) -> None:
    """Asks the kernel to forget what it holds of an open file in memory, so that it is read from the medium again.

    What was not yet written is written first. It is a request: pages that another process has mapped or locked stay,
    tmpfs has no medium, ZFS keeps a cache of its own, a network file system asks its server, which has a cache too, and so
    have disks. Raises OSError where writing fails; systems without posix_fadvise do nothing.
    """
    if hasattr(os, "posix_fadvise"):
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EROFS, errno.ENOTSUP):
                raise
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def digest_stream(
    descriptor: int,
    algorithms: Iterable[str] = ("sha256",),
    *,
    buffer: memoryview | None = None,
    stop: threading.Event | None = None,
) -> FileDigest:
    """The size and digests of all that is left to read from an open descriptor, which stays open."""
    hashes = Hashes(algorithms)
    size = _read_all(descriptor, hashes, buffer, _STREAM, stop)
    return FileDigest(size, hashes.digests())


def expected_size(status: os.stat_result, path: Path, special: bool = False) -> int:
    """The bytes that an open file should give, `_STREAM` where that cannot be told.

    Raises IsADirectoryError and, unless `special`, NotRegular for whatever else is no regular file.
    """
    if stat.S_ISREG(status.st_mode):
        return status.st_size if status.st_size or not special else _STREAM
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not special:
        raise NotRegular(f"is {_kind(status.st_mode)}, not a regular file")
    return _STREAM


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


def _read_all(
    descriptor: int,
    hashes: Hashes,
    buffer: memoryview | None,
    expected: int,
    stop: threading.Event | None,
) -> int:
    if buffer is None:
        small = 0 <= expected < _SMALL_BYTES
        buffer = memoryview(bytearray(expected + 1)) if small else new_buffer()
    vector = [buffer]
    room = len(buffer)
    update = hashes.update
    size = 0
    while count := os.readv(descriptor, vector):
        update(buffer[:count])
        size += count
        # A short read that gives the last byte promised: no second read to see the end of a small file.
        if size == expected and count < room:
            break
        if size > expected != _STREAM:  # also ends the chase after a file that grows faster than we read
            raise ChangedWhileRead("grew while it was read")
        if stop is not None and stop.is_set():
            raise Interrupted("reading was interrupted")
    return size


def refuse_change(before: os.stat_result, after: os.stat_result, size: int) -> None:
    """Raises ChangedWhileRead if a file that gave `size` bytes differs from what it was before."""
    if before.st_size != after.st_size:
        raise ChangedWhileRead(f"changed from {before.st_size} to {after.st_size} bytes while it was read")
    if before.st_mtime_ns != after.st_mtime_ns:
        raise ChangedWhileRead("was written while it was read")
    if size != after.st_size:
        raise ChangedWhileRead(f"ended after {size} of {after.st_size} bytes")
