"""Manifest files: written beside their name and published whole."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from .gnu import write_manifest_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import BufferedWriter
    from types import TracebackType
    from typing import Self, TypeAlias

    from .digest import Digest
    from .entries import ManifestEntry
    from .formats import Format
    from .paths import Path

    MakePartial: TypeAlias = Callable[[bytes], tuple[int, bytes]]


def new_partial(path: bytes) -> tuple[int, bytes]:
    """The descriptor and the name of an empty file beside `path`, a new name each time. Raises OSError."""
    name = os.path.join(os.path.dirname(path), b".wf-%b.part" % os.urandom(8).hex().encode())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o666), name


class PublishedFile:
    """A file written as a partial beside `path`; `commit` gives it the name, replacing what was there.

    It gets the permission bits of the file that it replaces. A link of that name is replaced, and what it leads to stays.
    Until `commit` whoever opens `path` sees the file of before. One of `commit` and `abort` must be called; used as
    a context manager it commits at the end and aborts on an exception. A device or FIFO (`/dev/stdout`) is written
    directly. All methods raise OSError as the system has it, except `abort`, which never raises.
    """

    def __init__(self, path: Path, *, partial: MakePartial = new_partial) -> None:
        self._path = _absolute(os.fsencode(path))
        self._folder = os.path.join(os.path.dirname(self._path), b"")
        self._partial: bytes | None = None
        self._file = self._open(partial)

    def _open(self, partial: MakePartial) -> BufferedWriter:
        if _written_directly(self._path):
            return open(self._path, "wb")
        descriptor, self._partial = partial(self._path)
        mode = _mode_of(self._path)
        if mode is not None:
            with suppress(OSError):  # not every file system has modes
                os.fchmod(descriptor, mode)
        return os.fdopen(descriptor, "wb")

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def commit(self) -> None:
        """Publishes the file, its bytes on the disk. If it raises, the old one is still there, and no partial."""
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
        if partial is not None:
            # While it is open: a lock on it goes when it is closed, and then the name may be another's.
            with suppress(OSError):
                os.unlink(partial)
        with suppress(OSError):  # the bytes that could not be flushed are those that are thrown away
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()


class ManifestWriter(PublishedFile):
    """Collects lines of the GNU form; `commit` publishes them whole, as `PublishedFile` does."""

    def __init__(
        self, path: Path, *, tag: bool = False, zero: bool = False, partial: MakePartial = new_partial
    ) -> None:
        """`partial` makes the file that is written until `commit`, beside the name that it is given."""
        self._tag = tag
        self._zero = zero
        super().__init__(path, partial=partial)

    def add(self, digest: Digest, path: Path) -> None:
        """Adds the line of a file. Its name is relative to the manifest's folder if it is below that, else absolute.

        A relative `path` is taken from the working directory, as `open` would.
        """
        name = self.name_of(path)
        self.write(write_manifest_line(digest, name, tag=self._tag, zero=self._zero))

    def name_of(self, path: Path) -> bytes:
        """The name under which `add` lists a file."""
        name = _absolute(os.fsencode(path)).removeprefix(self._folder)
        # A bare "-" would be standard input to whoever checks the manifest.
        return b"./-" if name == b"-" else name


def write_manifest(
    path: Path,
    entries: Iterable[ManifestEntry],
    *,
    format: Format | str = "jsonl",
    zero: bool = False,
) -> int:
    """Publishes a manifest of these entries and returns their number; names are written as they are.

    The format is `jsonl`, `gnu`, `bsd`, `hashdeep` or `bagit`. In the GNU form an entry has a line for each digest
    if they are tagged (`bsd`), else for its first; hashdeep's columns are the first entry's digests, a bag's manifest has
    one algorithm. Raises ValueError for an entry that the format cannot hold, and OSError; then nothing was published.
    """
    counter = [0]
    with PublishedFile(path) as file:
        for line in manifest_lines(_counted(entries, counter), format=format, zero=zero):
            file.write(line)
    return counter[0]


def manifest_lines(
    entries: Iterable[ManifestEntry],
    *,
    format: Format | str = "jsonl",
    zero: bool = False,
    percent: bool = True,
) -> Iterator[bytes]:
    """The bytes of a manifest, line by line, as `write_manifest` writes them; header and trailer are lines too.

    Without `percent` a bag's manifest has `%` as it is, which RFC 8493 forbids and bagit.py asks for.
    """
    if format not in _WRITERS:
        raise ValueError(f"manifests are written as {', '.join(_WRITERS)}, not as {format}")
    if format == "bagit":
        return _bagit(entries, percent=percent)
    return _WRITERS[format](entries, zero)


def _counted(entries: Iterable[ManifestEntry], counter: list[int]) -> Iterator[ManifestEntry]:
    for entry in entries:
        counter[0] += 1
        yield entry


def _jsonl(entries: Iterable[ManifestEntry], _: bool) -> Iterator[bytes]:
    from . import jsonl

    yield jsonl.HEADER
    count = 0
    for entry in entries:
        yield jsonl.entry_line(entry)
        count += 1
    yield jsonl.trailer(count)


def _gnu(entries: Iterable[ManifestEntry], zero: bool) -> Iterator[bytes]:
    for entry in entries:
        yield write_manifest_line(_first(entry), entry.name, zero=zero)


def _bsd(entries: Iterable[ManifestEntry], zero: bool) -> Iterator[bytes]:
    for entry in entries:
        for digest in entry.digests or (_first(entry),):
            yield write_manifest_line(digest, entry.name, tag=True, zero=zero)


def _hashdeep(entries: Iterable[ManifestEntry], _: bool) -> Iterator[bytes]:
    from . import hashdeep

    columns: tuple[str, ...] = ()
    for entry in entries:
        if not columns:
            columns = tuple(digest.algorithm for digest in entry.digests)
            yield hashdeep.header(columns)
        yield hashdeep.entry_line(entry, columns)


def _bagit(entries: Iterable[ManifestEntry], _: bool = False, *, percent: bool = True) -> Iterator[bytes]:
    from . import bagit

    algorithm = ""
    for entry in entries:
        algorithm = algorithm or _first(entry).algorithm
        yield bagit.entry_line(entry, algorithm, percent=percent)


_WRITERS = {"jsonl": _jsonl, "gnu": _gnu, "bsd": _bsd, "hashdeep": _hashdeep, "bagit": _bagit}


def _first(entry: ManifestEntry) -> Digest:
    if not entry.digests:
        raise ValueError("an entry needs a digest")
    return entry.digests[0]


def _absolute(path: bytes) -> bytes:
    """The path from the root, without `.` and `//`, and still the same file where `link/..` is not the folder above."""
    folder, base = os.path.split(path)
    if b".." in path.split(b"/"):
        return os.path.normpath(os.path.join(os.path.realpath(folder or b"."), base))
    return os.path.abspath(path)


def _mode_of(path: bytes) -> int | None:
    """The permission bits of the regular file of that name, None for anything else."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    return mode & 0o777 if stat.S_ISREG(mode) else None


def _written_directly(path: bytes) -> bool:
    if path.startswith((b"/dev/fd/", b"/proc/")) or path in (b"/dev/stdout", b"/dev/stderr"):
        return True  # whatever these lead to, the names themselves are never replaced
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
