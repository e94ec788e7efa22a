"""A text file that a sink writes: in blocks, and whole under its name only when it is published."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from ..checksum.digest import sha256_of
from ..protocols.errors import End, from_oserror

if TYPE_CHECKING:
    from typing import Final

    from ..protocols.errors import TransferError

_BLOCK: Final = 64 * 1024
"""Bytes collected before they are written: a system call per request would cost more than its line."""


class ReportFile:
    """Collects text for `path` until `publish` or `discard`, one of which must be called.

    A regular file is written as a partial beside it (`new_partial`) and renamed by `publish`; `-` is standard output, and what is
    neither regular nor absent (a FIFO, a device) is written as it is. With `append` text is added to the file itself.
    `write` never raises: the first failure ends the writing, is kept, and is raised by `check` and `publish`.
    """

    __slots__ = ("_collected", "_descriptor", "_failure", "_final", "_partial", "_size", "_what")

    def __init__(self, path: str, what: str, *, append: bool = False) -> None:
        """Opens the file. Raises `TransferError` saying that `what` (`the manifest`) cannot be written there."""
        self._what = f"writing {what} {path!r}"
        self._collected: list[str] = []
        self._size = 0
        self._failure: OSError | None = None
        self._final = self._partial = ""
        try:
            self._descriptor = self._open(path, append)
        except OSError as error:
            raise self._explained(error) from error

    def write(self, text: str) -> None:
        """Adds text. Lone surrogates become the bytes that they stand for (PEP 383)."""
        self._collected.append(text)
        self._size += len(text)
        if self._size >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Hands what was collected to the operating system."""
        if not self._collected:
            return
        data = "".join(self._collected).encode("utf-8", "surrogateescape")
        self._collected.clear()
        self._size = 0
        if self._failure is None:
            self._write_all(memoryview(data))

    def check(self) -> None:
        """Flushes, and raises what has made writing fail so far."""
        self.flush()
        if self._failure is not None:
            raise self._explained(self._failure) from self._failure

    def publish(self) -> None:
        """Ends the file and gives it its name. If it raises, nothing was published and no partial is left."""
        try:
            self.check()
            if self._partial:
                # Closing tells what a network file system never stored; the first descriptor keeps the lock.
                os.close(os.dup(self._descriptor))
                os.replace(self._partial, self._final)
                self._partial = ""
            self._close_descriptor()
        except OSError as error:
            raise self._explained(error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Closes the file and removes the partial. May be called again. Never raises."""
        partial, self._partial = self._partial, ""
        if partial:
            # Before the lock is given up: afterwards the name may be another's. One that cannot be removed is litter.
            with suppress(OSError):
                os.unlink(partial)
        with suppress(OSError):  # what there was to say was said by `check`
            self._close_descriptor()

    def _close_descriptor(self) -> None:
        """Closing is where a network file system reports that it never stored the bytes."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor > 2:
            os.close(descriptor)

    def _open(self, path: str, append: bool) -> int:
        if path == "-":
            return _standard_output()
        if _is_special(path):
            return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        if append:
            return _open_to_append(path)
        self._final = os.path.realpath(path)
        if os.path.isdir(self._final):
            return os.open(self._final, os.O_WRONLY)  # raises what people know: "Is a directory"
        descriptor, partial = new_partial(os.fsencode(self._final))
        self._partial = os.fsdecode(partial)
        return descriptor

    def _write_all(self, data: memoryview) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            self._failure = error

    def _explained(self, error: OSError) -> TransferError:
        found = from_oserror(error, self._what)
        found.remedy = "check that the folder exists, is writable and has space, or choose another name"
        return found.at(End.NEITHER, "report")


def new_partial(path: bytes) -> tuple[int, bytes]:
    """The descriptor and the name of an empty partial beside `path`, locked as long as the descriptor is open. Raises OSError.

    The name is made of `path`: a run takes over what one that was killed left. Of two runs at once the second gets another
    name, and removes what such ones have left.
    """
    from ..protocols.partial import discard_abandoned, marked, open_partial, partials_in

    folder = os.path.join(os.path.dirname(os.fsdecode(path)), "")
    token = sha256_of(path).hex()[:16]
    opened = open_partial(folder, token, 0o666)
    if not opened.name.endswith(f"{token}.part"):
        for stale in marked(partials_in(folder), token):
            discard_abandoned(folder + stale)
    return opened.descriptor, os.fsencode(opened.name)


def partial_name(folder: str) -> str:
    """A name in `folder` that nobody else uses, marked as unfinished like the partials of transfers."""
    return os.path.join(folder, f".wf-{os.urandom(8).hex()}.part")


def _is_special(path: str) -> bool:
    """A FIFO, a device or a socket: written in place. `/dev/stdout` is what it stands for."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _open_to_append(path: str) -> int:
    """The descriptor, positioned on a line of its own even if an earlier run was killed within a line."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")
    return descriptor


def _standard_output() -> int:
    import sys

    sys.stdout.flush()
    return sys.stdout.fileno()
