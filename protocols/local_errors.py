"""What a failed system call on a local file means: the one error table of `file.py` and the modules beside it."""

from __future__ import annotations

import errno

from .errors import Broken, LocalRefused, NotFound, TransferError, from_oserror


def failure(error: OSError | ValueError, doing: str, path: str) -> TransferError:
    """The error to raise when `doing` something to `path` failed. A ValueError is a name that cannot be encoded."""
    what = f"cannot {doing} {name_of(path)}"
    if not isinstance(error, OSError):
        return LocalRefused(f"{what}: no file can have this name ({error})", remedy="check the path")
    if error.errno == errno.EPIPE:
        return Broken(f"{what}: its reader has closed it")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        remedy = "raise the limit of open files (ulimit -n), or use a smaller -n"
        return LocalRefused(f"{what}: {error.strerror}", remedy=remedy)
    return from_oserror(error, what)


def absence(error: OSError | ValueError, doing: str, path: str) -> TransferError:
    """The same for something that has to be there: below a file there is nothing, so `a-file/x` is not found."""
    if isinstance(error, NotADirectoryError):
        return NotFound(f"cannot {doing} {name_of(path)}: {error.strerror}")
    return failure(error, doing, path)


def refusal(path: str, doing: str, why: str, remedy: str) -> LocalRefused:
    return LocalRefused(f"cannot {doing} {name_of(path)}: {why}", remedy=remedy)


def name_of(path: str) -> str:
    """The path as messages show it."""
    from ..credentials.redaction import printable

    return printable(path)
