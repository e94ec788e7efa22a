"""Local files that several workers write at once, each at its own offset.

They write to one partial (`partial.py`), which has a trailer behind the file's last byte: a byte for each part, set when
the part is there. So a killed process needs no record beside the file. `commit` cuts it off. The trailer is written
before anything else, and a partial without a whole one holds nothing: whatever was interrupted, holes never pass for data.

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
from .partial import Opened, discard_abandoned, reopen
from .values import MARK_DIGITS, Part, Receipt, Token

if TYPE_CHECKING:
    from typing import Final

    from .locations import Location

_MAGIC: Final = b"wf-parts"
TRAILER_HEAD: Final = 16
"""Bytes of the trailer before its first part: `_MAGIC` and the size of a part."""
_ALL_BITS: Final = (1 << 4 * (16 - MARK_DIGITS)) - 1

_opened: Final[dict[str, int]] = {}
"""Descriptors of the partials that this process is writing in parts, by name."""
_lock: Final = threading.Lock()


def token_in_parts(token: str) -> str:
    """The token for a copy in parts, which the same copy in one piece never has: all bits behind the mark are the other way."""
    rest = int(token[MARK_DIGITS:], 16) ^ _ALL_BITS
    return f"{token[:MARK_DIGITS]}{rest:0{16 - MARK_DIGITS}x}"


def begin(location: Location, opened: Opened, size: int, part: int) -> Token:
    """The token of a partial that was just opened, with the parts that it holds. Raises TransferError, and leaves no partial then."""
    descriptor = opened.descriptor
    try:
        found = opened.found and _is_gone_on_with(descriptor, size, part)
        if not found:
            _begin_anew(descriptor, size, part)
    except OSError as error:
        _discard(descriptor, opened.name)
        raise failure(error, "open a partial file for", location.path) from error
    with _lock:
        _opened[opened.name] = descriptor
    return Token(location, opened.name, size, part, found)


def _is_gone_on_with(descriptor: int, size: int, part: int) -> bool:
    """Whether an abandoned partial holds parts, which are of this size from now on."""
    there = _parts_there(descriptor, size)
    if there is None or not any(there[1]):
        return False
    theirs, done = there
    if theirs != part:
        gap = (done + b"\0").find(0) * theirs
        count = -(-size // part)
        whole = count if gap >= size else gap // part
        os.ftruncate(descriptor, size)
        _write_trailer(descriptor, size, part, b"\1" * whole + bytes(count - whole))
    return True


def _begin_anew(descriptor: int, size: int, part: int) -> None:
    os.ftruncate(descriptor, 0)
    _write_trailer(descriptor, size, part, bytes(-(-size // part)))


def _write_trailer(descriptor: int, size: int, part: int, done: bytes) -> None:
    """Writes it behind the end of a file that has none; where that is interrupted, what is there is no trailer."""
    left = memoryview(_MAGIC + part.to_bytes(8, "big") + done)
    while left:
        count = os.pwrite(descriptor, left, size)
        size, left = size + count, left[count:]


def _parts_there(descriptor: int, size: int) -> tuple[int, bytes] | None:
    """The size of a part, and a byte for each, 1 when it is there; None without a whole trailer."""
    length = os.fstat(descriptor).st_size
    head = os.pread(descriptor, TRAILER_HEAD, size) if length > size else b""
    if len(head) < TRAILER_HEAD or not head.startswith(_MAGIC):
        return None
    part = int.from_bytes(head[len(_MAGIC) :], "big")
    count = -(-size // part) if part else 0
    if not count or length != size + TRAILER_HEAD + count:
        return None
    return part, os.pread(descriptor, count, size + TRAILER_HEAD)


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
        found = _parts_there(descriptor, token.size)
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
        # NFS and quotas report lost bytes at a close; the first descriptor keeps the lock.
        os.close(os.dup(descriptor))
        os.ftruncate(descriptor, token.size)
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
    if keep:
        os.close(descriptor)
    else:
        _discard(descriptor, token.name)


def _discard(descriptor: int, name: str) -> None:
    # Unlinked before the lock is given up: afterwards the name may be another's.
    with suppress(OSError):
        os.unlink(name)
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
