"""Files that are not yet what they will be: written under a name of ours, renamed when they are right.

A partial is `.wf-<token>.part` beside its destination, so that the rename is one step. The token is the same for the same
copy in a later process. Two processes may therefore want the same name; an exclusive lock decides, and who does
not get it takes a random one. The lock is held until the rename is done: a partial that is not locked is abandoned.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from .local_errors import failure
from .values import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ..checksum.digest import Digest
    from .errors import TransferError

    T = TypeVar("T")

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking, and never following: the name may be a FIFO or a link that somebody put there.
_INSPECT = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_TRIES = 3


def open_partial(folder: str, token: str, mode: int) -> tuple[int, str]:
    """The descriptor and path of an empty partial in `folder`, locked and ours alone. Raises OSError.

    `mode` is subject to the umask.
    """
    name = os.path.join(folder, f".wf-{token}.part")
    for _ in range(_TRIES):
        try:
            descriptor = os.open(name, _CREATE, mode)
        except FileExistsError:
            if _discard_abandoned(name):
                continue
            break
        if _is_locked_by_us(descriptor, name):
            return descriptor, name
        os.close(descriptor)
        break
    name = os.path.join(folder, f".wf-{os.urandom(8).hex()}.part")
    descriptor = os.open(name, _CREATE, mode)
    _is_locked_by_us(descriptor, name)
    return descriptor, name


def _discard_abandoned(name: str) -> bool:
    """Removes a partial that nobody writes any more; False if it is somebody else's, or in use."""
    try:
        descriptor = os.open(name, _INSPECT)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _still_names(descriptor, name):
            os.unlink(name)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


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
    return os.path.samestat(there, os.fstat(descriptor))


def _quietly(call: Callable[[T], None], subject: T) -> None:
    try:
        call(subject)
    except OSError:
        return


class PartialWriter:
    """Writes a partial and renames it. Nothing is synchronised to the disk: a power failure may lose it."""

    __slots__ = ("_partial", "_path", "algorithms", "descriptor")

    descriptor: int | None

    def __init__(self, descriptor: int, partial: str, path: str) -> None:
        self.algorithms: tuple[str, ...] = ()
        self.descriptor = descriptor
        self._partial = partial
        self._path = path

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
            size = os.fstat(descriptor).st_size
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
