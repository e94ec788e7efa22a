"""Manifest files: written beside their name and published whole."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from .gnu import write_manifest_line

if TYPE_CHECKING:
    from io import BufferedWriter
    from os import PathLike
    from types import TracebackType
    from typing import Self

    from .digest import Digest


class ManifestWriter:
    """Collects entries in a partial beside `path`; `commit` gives it the name, replacing what was there.

    Until then whoever opens `path` sees the manifest of before. One of `commit` and `abort` must be called; used as
    a context manager it commits at the end and aborts on an exception. A device or FIFO (`/dev/stdout`) is written
    directly. All methods raise OSError as the system has it, except `abort`, which never raises.
    """

    def __init__(
        self, path: str | bytes | PathLike[str] | PathLike[bytes], *, tag: bool = False, zero: bool = False
    ) -> None:
        self._path = _absolute(os.fsencode(path))
        self._folder = os.path.join(os.path.dirname(self._path), b"")
        self._tag = tag
        self._zero = zero
        self._partial: bytes | None = None
        self._file = self._open()

    def _open(self) -> BufferedWriter:
        if _written_directly(self._path):
            return open(self._path, "wb")
        self._partial = b"%b.wf-%b.part" % (self._folder, os.urandom(8).hex().encode())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(self._partial, flags, 0o666), "wb")

    def add(self, digest: Digest, path: str | bytes | PathLike[str] | PathLike[bytes]) -> None:
        """Adds the line of a file. Its name is relative to the manifest's folder if it is below that, else absolute.

        A relative `path` is taken from the working directory, as `open` would.
        """
        name = self.name_of(path)
        self._file.write(write_manifest_line(digest, name, tag=self._tag, zero=self._zero))

    def name_of(self, path: str | bytes | PathLike[str] | PathLike[bytes]) -> bytes:
        """The name under which `add` lists a file."""
        name = _absolute(os.fsencode(path)).removeprefix(self._folder)
        # A bare "-" would be standard input to whoever checks the manifest.
        return b"./-" if name == b"-" else name

    def commit(self) -> None:
        """Publishes the manifest, its bytes on the disk. If it raises, the old one is still there, and no partial."""
        try:
            self._file.flush()
            if self._partial is not None:
                os.fsync(self._file.fileno())
                os.replace(self._partial, self._path)
                self._partial = None
        finally:
            self.abort()

    def abort(self) -> None:
        """Leaves nothing behind. May be called more than once, and after `commit`."""
        partial, self._partial = self._partial, None
        with suppress(OSError):  # the bytes that could not be flushed are those that are thrown away
            self._file.close()
        if partial is not None:
            with suppress(OSError):
                os.unlink(partial)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()


def _absolute(path: bytes) -> bytes:
    """The path from the root, without `.` and `//`, and still the same file where `link/..` is not the folder above."""
    folder, base = os.path.split(path)
    if b".." in path.split(b"/"):
        return os.path.normpath(os.path.join(os.path.realpath(folder or b"."), base))
    return os.path.abspath(path)


def _written_directly(path: bytes) -> bool:
    if path.startswith((b"/dev/fd/", b"/proc/")) or path in (b"/dev/stdout", b"/dev/stderr"):
        return True  # whatever these lead to, the names themselves are never replaced
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
