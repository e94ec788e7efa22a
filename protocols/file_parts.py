"""Local files that several workers write at once, each at its own offset.

They write to one partial (`partial.py`), which while it is written has a trailer behind the file's last byte: a byte for
each part, set when the part is there. So a killed process needs no record beside the file. `commit` cuts it off.

The descriptor and its lock belong to the process, not to a store: whichever worker comes last may publish the file, and
`pwrite` needs no file position that could be shared wrongly.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from .errors import NotFound
from .local_errors import failure, name_of
from .partial import TRAILER_HEAD, Opened, discard_abandoned, parts_there, reopen, trailer
from .values import Part, Receipt, Token

if TYPE_CHECKING:
    from typing import Final

    from .locations import Location

_opened: Final[dict[str, int]] = {}
"""Descriptors of the partials that this process is writing in parts, by name."""
_lock: Final = threading.Lock()


def begin(location: Location, opened: Opened, size: int, part: int) -> Token:
    """The token of a partial that was just opened, with the parts that it holds. Raises TransferError."""
    descriptor = opened.descriptor
    try:
        done = _done(descriptor, size, part) if opened.found else bytes(-(-size // part))
        tail = trailer(part, done)
        os.ftruncate(descriptor, size)
        os.pwrite(descriptor, tail, size)
    except OSError as error:
        os.close(descriptor)
        raise failure(error, "open a partial file for", location.path) from error
    with _lock:
        _opened[opened.name] = descriptor
    return Token(location, opened.name, size, part, opened.found)


def _done(descriptor: int, size: int, part: int) -> bytes:
    """Which of the parts of this size an abandoned partial holds."""
    length = os.fstat(descriptor).st_size
    count = -(-size // part)
    if length <= size:
        whole = count if length == size else length // part
        return b"\1" * whole + bytes(count - whole)
    found = parts_there(descriptor, size)
    if found is None:
        return bytes(count)
    theirs, done = found
    if theirs == part:
        return done
    there = (done + b"\0").find(0) * theirs
    whole = count if there >= size else there // part
    return b"\1" * whole + bytes(count - whole)


def put(token: Token, number: int, offset: int, view: memoryview) -> Part:
    descriptor = _descriptor(token)
    first, length = token.span(number)
    try:
        at, left = offset, view
        while left:
            count = os.pwrite(descriptor, left, at)
            at, left = at + count, left[count:]
        if at == first + length:
            os.pwrite(descriptor, b"\1", token.size + TRAILER_HEAD + number)
    except OSError as error:
        raise failure(error, "write", token.location.path) from error
    return Part(number, length)


def there(token: Token) -> tuple[Part, ...]:
    descriptor = _descriptor(token)
    try:
        found = parts_there(descriptor, token.size)
    except OSError as error:
        raise failure(error, "read", token.name) from error
    if found is None or found[0] != token.part:
        return ()
    return tuple(Part(number, token.span(number)[1]) for number, done in enumerate(found[1]) if done)


def read_back(token: Token, offset: int, view: memoryview) -> int:
    descriptor = _descriptor(token)
    try:
        return os.preadv(descriptor, [view[: max(0, token.size - offset)]], offset)
    except OSError as error:
        raise failure(error, "read back", token.location.path) from error


def commit(token: Token) -> Receipt:
    descriptor = _descriptor(token)
    path = token.location.path
    try:
        os.ftruncate(descriptor, token.size)
        # NFS and quotas report lost bytes at a close; the first descriptor keeps the lock.
        os.close(os.dup(descriptor))
        size = os.fstat(descriptor).st_size
        os.rename(token.name, path)
    except OSError as error:
        raise failure(error, "publish", path) from error
    _forget(token)
    return Receipt(size=size)


def abort(token: Token, *, keep: bool) -> None:
    with _lock:
        descriptor = _opened.pop(token.name, None)
    if descriptor is None:
        if not keep:
            discard_abandoned(token.name)
        return
    if not keep:
        # Unlinked before the lock is given up: afterwards the name may be another's.
        with suppress(OSError):
            os.unlink(token.name)
    os.close(descriptor)


def _descriptor(token: Token) -> int:
    """The descriptor of this process, or of a partial that another one left."""
    descriptor = _opened.get(token.name)
    if descriptor is not None:
        return descriptor
    with _lock:
        descriptor = _opened.get(token.name)
        if descriptor is None:
            descriptor = reopen(token.name)
            if descriptor is None:
                raise NotFound(f"the partial file of {name_of(token.location.path)} is gone, or in use")
            _opened[token.name] = descriptor
        return descriptor


def _forget(token: Token) -> None:
    with _lock:
        descriptor = _opened.pop(token.name, None)
    if descriptor is not None:
        os.close(descriptor)
