"""Files that are not yet what they will be: written under a name of ours, renamed when they are right.

A partial is `.wf-<token>.part` beside its destination, so that the rename is one step. The token is the same for the same
copy in a later process. Two processes may therefore want the same name; an exclusive lock decides, and who does
not get it takes a random one. The lock is held until the rename is done: a partial that is not locked is abandoned.

An abandoned partial can be gone on with: its bytes are a beginning of the file. One that is written in parts, which has holes,
has another token (`file_parts.py`), so that the one is never taken for the other.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from ..checksum.records import NamedTuple
from .local_errors import failure
from .values import MARK_DIGITS, Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ..checksum.digest import Digest
    from .errors import TransferError

    T = TypeVar("T")

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking, and never following: the name may be a FIFO or a link that somebody put there.
_INSPECT = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_AGAIN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_TRIES = 3
_FOLDERS_MOST = 1024
"""Folders that are remembered: a batch may have one for each file."""
_NAME = r"\.wf-[0-9a-f]{16}\.part"


class Opened(NamedTuple):
    """A partial that is locked and ours alone."""

    descriptor: int
    name: str
    found: bool
    """It was left by an earlier process."""


def open_partial(folder: str, token: str, mode: int, *, resume: bool = False) -> Opened:
    """A partial in `folder`: with `resume` perhaps an abandoned one with its bytes, else an empty one. Raises OSError.

    `folder` ends with a slash, or is empty. `mode` is subject to the umask.
    """
    name = f"{folder}.wf-{token}.part"
    for _ in range(_TRIES):
        try:
            descriptor = os.open(name, _CREATE, mode)
        except FileExistsError:
            taken = reopen(name) if resume else None
            if taken is not None:
                return Opened(taken, name, True)
            if discard_abandoned(name):
                continue
            break
        if _is_locked_by_us(descriptor, name):
            return Opened(descriptor, name, False)
        os.close(descriptor)
        break
    # The destination's mark stays, so that a later run finds what this one may leave.
    own = os.urandom((16 - MARK_DIGITS) // 2).hex()
    name = f"{folder}.wf-{token[:MARK_DIGITS]}{own}.part"
    descriptor = os.open(name, _CREATE, mode)
    _is_locked_by_us(descriptor, name)
    return Opened(descriptor, name, False)


def reopen(name: str) -> int | None:
    """The descriptor of an abandoned partial of ours, locked; None if it cannot be had."""
    try:
        inspected = os.open(name, _INSPECT)
    except OSError:
        return None
    try:
        found = os.fstat(inspected)
        if not _is_ours(found):
            return None
        return _reopened(name, inspected, found.st_mode)
    except OSError:
        return None
    finally:
        os.close(inspected)


def _reopened(name: str, inspected: int, mode: int) -> int | None:
    """A partial has the mode of its source, which may be one that not even the owner may write."""
    if not mode & stat.S_IWUSR:
        os.fchmod(inspected, stat.S_IMODE(mode) | stat.S_IWUSR)
    try:
        descriptor = os.open(name, _AGAIN)
    finally:
        if not mode & stat.S_IWUSR:
            os.fchmod(inspected, stat.S_IMODE(mode))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.sameopenfile(descriptor, inspected) and _still_names(descriptor, name):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def discard_abandoned(name: str) -> bool:
    """Removes a partial that nobody writes any more; False if it is somebody else's, or in use."""
    try:
        descriptor = os.open(name, _INSPECT)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if not _is_ours(os.fstat(descriptor)):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _still_names(descriptor, name):
            os.unlink(name)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _is_ours(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1


def _is_locked_by_us(descriptor: int, name: str) -> bool:
    """Locks the new file. Where the file system knows no locks nobody can take it for abandoned either."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return _still_names(descriptor, name)


def _still_names(descriptor: int, name: str) -> bool:
    """Between opening and locking a file its owner may have renamed or removed it."""
    try:
        there = os.lstat(name)
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return ours.st_ino == there.st_ino and ours.st_dev == there.st_dev


class Seen:
    """The names of the partials that were in each folder when a run first looked into it. For all its workers, of which each
    would list the same folders: they see the same names, whoever comes first."""

    __slots__ = ("_by_folder",)

    def __init__(self) -> None:
        self._by_folder: dict[str, list[str]] = {}

    def partials_in(self, folder: str) -> list[str]:
        found = self._by_folder.get(folder)
        if found is None:
            if len(self._by_folder) >= _FOLDERS_MOST:
                self._by_folder.clear()
            found = self._by_folder.setdefault(folder, partials_in(folder))
        return found


def partials_in(folder: str) -> list[str]:
    """The names of all partials in a folder; none if it cannot be read."""
    try:
        with os.scandir(folder or ".") as entries:
            named = [entry.name for entry in entries if entry.name.startswith(".wf-")]
    except OSError:
        return []
    if not named:
        return []
    import re

    return [name for name in named if re.fullmatch(_NAME, name)]


def marked(names: list[str], token: str) -> list[str]:
    """Those of other tokens for the same destination: of other versions, sources or expectations."""
    begin = f".wf-{token[:MARK_DIGITS]}"
    return [name for name in names if name.startswith(begin) and name[4:20] != token]


def _beginning(descriptor: int, size: int) -> int:
    """How many bytes from the first one on an abandoned partial of a file of `size` bytes holds."""
    length = os.fstat(descriptor).st_size
    return length if length <= size else 0


def _quietly(call: Callable[[T], None], subject: T) -> None:
    try:
        call(subject)
    except OSError:
        return


class PartialWriter:
    """Writes a partial and renames it. Nothing is synchronised to the disk: a power failure may lose it."""

    __slots__ = ("_partial", "_path", "algorithms", "descriptor", "held")

    descriptor: int | None

    def __init__(self, opened: Opened, path: str, size: int | None) -> None:
        """`size` of the whole file, which is known where a partial was found. Raises OSError."""
        self.algorithms: tuple[str, ...] = ()
        self.descriptor = opened.descriptor
        self._partial = opened.name
        self._path = path
        self.held = 0
        """Bytes that were there already; the next ones go behind them."""
        if opened.found:
            self.held = _beginning(opened.descriptor, size or 0)
            os.ftruncate(opened.descriptor, self.held)
            os.lseek(opened.descriptor, self.held, os.SEEK_SET)

    def read_held(self, offset: int, view: memoryview) -> int:
        descriptor = self.descriptor
        assert descriptor is not None
        try:
            return os.preadv(descriptor, [view[: max(0, self.held - offset)]], offset)
        except OSError as error:
            raise self._failure(error, "read back") from error

    def write(self, view: memoryview) -> None:
        descriptor = self.descriptor
        assert descriptor is not None
        try:
            done = os.write(descriptor, view)
            while done < len(view):
                done += os.write(descriptor, view[done:])
        except OSError as error:
            raise self._failure(error, "write") from error

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        descriptor = self.descriptor
        assert descriptor is not None
        try:
            # NFS and quotas report lost bytes at a close; the second descriptor keeps the lock.
            os.close(os.dup(descriptor))
            size = os.lseek(descriptor, 0, os.SEEK_END)  # as good as fstat, and a sixth of the work
            os.rename(self._partial, self._path)
        except OSError as error:
            raise self._failure(error, "publish") from error
        self._partial = ""
        self._close()
        return Receipt(size=size)

    def abort(self, *, keep: bool = False) -> None:
        partial, self._partial = self._partial, ""
        if partial and not keep:
            # Unlinked before the lock is given up: afterwards the name may be another's.
            _quietly(os.unlink, partial)
        self._close()

    def _close(self) -> None:
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            _quietly(os.close, descriptor)

    def _failure(self, error: OSError, doing: str) -> TransferError:
        if error.errno in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):
            error = OSError(errno.EISDIR, "a folder is in its place")
        return failure(error, doing, self._path)
