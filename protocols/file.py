"""Local files: `file:`, and `symlink:` and `moveto:`, which read and write like it and also link and move.

The path of a small file is a handful of system calls: open, fstat, readv, fstat, close to read it; access, open, flock,
lstat, fstat, write, lseek, rename, close to write it (`partial.py`). Whatever is not a regular file takes the slow way
of `streams.py`. System calls are made on paths as they were given: relative ones are relative to the working directory.
"""

from __future__ import annotations

import errno
import os
import stat

from .errors import Broken, Changed, Unsupported
from .local_errors import absence, failure, name_of, refusal
from .partial import PartialWriter, Seen, discard_abandoned, marked, open_partial
from .values import Entry, Receipt, Traits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..checksum.digest import Digest
    from .context import Context
    from .contract import Reader, Writer
    from .errors import LocalRefused, TransferError
    from .locations import Location
    from .partial import Opened
    from .values import Incoming, Part, Token

# Without O_NONBLOCK the open itself would wait for the other end of a FIFO. It means nothing for regular files.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_PROBE_BYTES = 1024


def version_of(status: os.stat_result) -> str:
    """Equal for the same file with the same bytes: device, inode, size and time of the last change."""
    return f"{status.st_dev:x}-{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


class FileReader:
    """A regular file. What is delivered is what the file held when it was opened, or `Changed` is raised.

    After the kernel has copied from `descriptor`, one `read` returns the empty view of the end, or raises.
    """

    __slots__ = (
        "_end",
        "_left",
        "_opened",
        "_path",
        "_view",
        "descriptor",
        "digests",
        "mode",
        "size",
        "version",
    )

    digests: tuple[Digest, ...]
    version: str | None
    size: int | None
    mode: int | None
    descriptor: int | None

    def __init__(
        self, descriptor: int, opened: os.stat_result, path: str, start: int, end: int, view: memoryview
    ) -> None:
        self.size = opened.st_size
        self.digests = ()
        self.mode = opened.st_mode & 0o777
        self.descriptor = descriptor
        self._opened = opened
        self._path = path
        self._end = end
        self._left: int | None = end - start
        """Bytes that are still to be read; None as soon as the kernel may have read some."""
        self._view = view

    def __getattr__(self, name: str) -> str:
        """The version, which is made when it is first asked for: who copies a small file never does."""
        if name != "version":
            raise AttributeError(name)
        self.version = version_of(self._opened)
        return self.version

    def read(self) -> memoryview:
        descriptor = self.descriptor
        assert descriptor is not None
        view, left, self._left = self._view, self._left, None
        try:
            if left is None:
                left = max(0, self._end - os.lseek(descriptor, 0, os.SEEK_CUR))
            wanted = min(left, len(view))
            got = os.readv(descriptor, [view[:wanted]]) if wanted > 0 else 0
            while got < wanted:
                more = os.readv(descriptor, [view[got:wanted]])
                if not more:
                    break
                got += more
            if got == left or got < wanted:
                self._check_unchanged(descriptor, got - wanted)
        except OSError as error:
            raise failure(error, "read", self._path) from error
        return view[:got]

    def _check_unchanged(self, descriptor: int, missing: int) -> None:
        now = os.fstat(descriptor)
        then = self._opened
        if missing < 0 or now.st_size != then.st_size or now.st_mtime_ns != then.st_mtime_ns:
            raise Changed(
                f"{name_of(self._path)} was written while it was read: "
                f"it had {then.st_size} bytes, now it has {now.st_size}"
            )

    def traits(self) -> Traits:
        return Traits(self._opened.st_mtime_ns, self.mode)

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            _close(descriptor)


class FileStore:
    """Local files and folders, links and moves."""

    __slots__ = ("_context", "_seen")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen: Seen = context.shared(("partials",), Seen)

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> Reader:
        path = location.path
        try:
            descriptor = os.open(path, _READ)
        except (OSError, ValueError) as error:
            raise _not_opened(error, path) from error
        try:
            opened = os.fstat(descriptor)
            if not stat.S_ISREG(opened.st_mode) or not opened.st_size:
                return self._open_unusual(descriptor, opened, path, start, version)
            end = opened.st_size if length is None else min(opened.st_size, start + length)
            if version is not None and version != version_of(opened):
                raise _changed(path, "it is no longer the version that was asked for")
            if start:
                _seek(descriptor, start, opened.st_size, path)
            return FileReader(descriptor, opened, path, start, end, self._context.view)
        except BaseException:
            _close(descriptor)
            raise

    def _open_unusual(
        self, descriptor: int, opened: os.stat_result, path: str, start: int, version: str | None
    ) -> Reader:
        """An empty file, or one whose size means nothing: FIFOs, devices, and what /proc computes on reading."""
        if stat.S_ISDIR(opened.st_mode):
            raise refusal(path, "read", "it is a folder", "name a file: a transfer moves one file")
        try:
            empty = stat.S_ISREG(opened.st_mode) and not os.pread(descriptor, 1, 0)
        except OSError as error:
            raise failure(error, "read", path) from error
        if empty:
            if start or version not in (None, version_of(opened)):
                raise _changed(path, "it is empty now")
            return FileReader(descriptor, opened, path, 0, 0, self._context.view)
        if start or version is not None:
            raise Unsupported(f"cannot read {name_of(path)} from its middle: it is a stream")
        from .streams import StreamReader

        return StreamReader(descriptor, path, self._context)

    def open_write(self, location: Location, incoming: Incoming) -> Writer:
        path = location.path
        kind = _kind_at(path, whole=incoming.sha256 is not None)
        if kind == stat.S_IFREG or kind == stat.S_IFLNK:
            return self._open_writer(path, incoming)
        if kind == stat.S_IFDIR:
            raise _in_the_way(path, "write")
        from .streams import open_stream

        return open_stream(path, kind, self._context)

    def _open_writer(self, path: str, incoming: Incoming) -> PartialWriter:
        opened = self._open_partial(path, incoming)
        try:
            return PartialWriter(opened, path, incoming.size)
        except OSError as error:
            _close(opened.descriptor)
            raise failure(error, "go on with a partial file for", path) from error

    def _open_partial(self, path: str, incoming: Incoming) -> Opened:
        folder = _folder_of(path)
        if len(folder) == len(path):
            raise refusal(path, "write", "it ends with a slash", "name the file, not the folder it goes to")
        mode = 0o666 if incoming.mode is None else incoming.mode & 0o777
        try:
            try:
                opened = open_partial(folder, incoming.token, mode, resume=incoming.resume)
            except FileNotFoundError:
                os.makedirs(folder, exist_ok=True)
                opened = open_partial(folder, incoming.token, mode)
        except (OSError, ValueError) as error:
            raise failure(error, "open a partial file for", path) from error
        if incoming.sha256 is None:
            # What is left of other versions of the source will never be gone on with.
            for stale in marked(self._seen.partials_in(folder), incoming.token):
                discard_abandoned(folder + stale)
        return opened

    def has_partial(self, location: Location, mark: str) -> bool:
        """What this run leaves is not looked for: one listing of a folder serves all its files."""
        there = self._seen.partials_in(_folder_of(location.path))
        begin = f".wf-{mark}"
        return bool(there) and any(name.startswith(begin) for name in there)

    def open_parts(self, location: Location, incoming: Incoming, part: int) -> Token:
        from .file_parts import begin, token_in_parts

        path, size = location.path, incoming.size
        kind = _kind_at(path)
        if kind == stat.S_IFDIR:
            raise _in_the_way(path, "write")
        if kind not in (stat.S_IFREG, stat.S_IFLNK) or not size:
            raise Unsupported(f"cannot write {name_of(path)} in parts")
        incoming = incoming._replace(token=token_in_parts(incoming.token))
        return begin(location, self._open_partial(path, incoming), size, part)

    def put_part(
        self, token: Token, number: int, offset: int, view: memoryview, sha256: bytes | None = None
    ) -> Part:
        from .file_parts import put

        return put(token, number, offset, view)

    def list_parts(self, token: Token) -> tuple[Part, ...]:
        from .file_parts import there

        return there(token)

    def read_back(self, token: Token, offset: int, view: memoryview) -> int:
        from .file_parts import read_back

        return read_back(token, offset, view)

    def commit_parts(self, token: Token, parts: tuple[Part, ...], digests: tuple[Digest, ...]) -> Receipt:
        from .file_parts import commit

        return commit(token)

    def abort_parts(self, token: Token, *, keep: bool = False) -> None:
        from .file_parts import abort

        abort(token, keep=keep)

    def set_traits(self, location: Location, traits: Traits) -> None:
        path = location.path
        try:
            descriptor = os.open(path, _READ | os.O_NOFOLLOW)
        except (OSError, ValueError) as error:
            raise absence(error, "set time or permissions of", path) from error
        try:
            there = os.fstat(descriptor)
            if not stat.S_ISREG(there.st_mode):
                raise Unsupported(f"cannot set time or permissions of {name_of(path)}: it is no regular file")
            if traits.mode is not None:
                os.fchmod(descriptor, traits.mode & 0o777)
            if traits.modified is not None:
                os.utime(descriptor, ns=(there.st_atime_ns, traits.modified))
        except OSError as error:
            raise failure(error, "set time or permissions of", path) from error
        finally:
            _close(descriptor)

    def stat(self, location: Location) -> Entry:
        """Follows symbolic links: the size is that of the bytes a reader would get."""
        path = location.path
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            raise absence(error, "look at", path) from error
        return entry_of("", status)

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        from .tree import entries

        return entries(location.path, recursive, self._context.stop)

    def make_directory(self, location: Location) -> None:
        path = location.path
        try:
            os.makedirs(path, exist_ok=True)
        except RecursionError as error:
            raise refusal(path, "make the folder", "it is too deep", "use fewer levels") from error
        except FileExistsError as error:
            raise refusal(path, "make the folder", "a file is in its place", "remove that file") from error
        except (OSError, ValueError) as error:
            raise failure(error, "make the folder", path) from error

    def remove(self, location: Location, *, recursive: bool) -> None:
        """Removes a symbolic link itself, also when the path ends with a slash."""
        from .tree import remove

        remove(location.path, recursive, self._context.stop)

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        """None: nobody but us would compute it, and that is what reading back is."""
        return None

    def link(self, source: Location, destination: Location, *, check: bool) -> Receipt:
        target = os.path.join(os.getcwd(), source.path)
        size = _probe(target) if check else _size_if_there(target)
        path = destination.path
        if _same_file(target, path):
            return Receipt(size=size)
        if os.path.abspath(path) == os.path.abspath(target):
            raise refusal(path, "link", "it would point to itself", "link to another name")
        self._put(path, "link", lambda: _replace_with_link(target, path))
        return Receipt(size=size)

    def move(self, source: Location, destination: Location) -> Receipt:
        """Moves a file, a folder or a symbolic link that is not relative (that would dangle: `Unsupported`)."""
        origin, path = source.path, destination.path
        try:
            status = os.stat(origin)
            relative = os.path.islink(origin) and not os.path.isabs(os.readlink(origin))
        except (OSError, ValueError) as error:
            raise absence(error, "move", origin) from error
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        if _same_file(origin, path):
            return Receipt(size=size)
        if relative:
            raise Unsupported(f"cannot move {name_of(origin)}: it is a relative symbolic link")
        self._put(path, "move a file to", lambda: os.rename(origin, path))
        return Receipt(size=size)

    def _put(self, path: str, doing: str, act: Callable[[], None]) -> None:
        """Runs `act`, which gives `path` its new meaning, a second time after the folder above was missing."""
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                raise _in_the_way(path, doing)
            try:
                act()
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
                act()
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.EXDEV:
                raise Unsupported(f"cannot {doing} {name_of(path)}: it is on another file system") from error
            raise failure(error, doing, path) from error

    def close(self) -> None:
        """Nothing stays open between calls."""


def entry_of(path: str, status: os.stat_result) -> Entry:
    """What one stat result says. Only regular files have a size and a version."""
    if not stat.S_ISREG(status.st_mode):
        return Entry(path, None, None, stat.S_ISDIR(status.st_mode), status.st_mtime)
    return Entry(path, status.st_size, version_of(status), False, status.st_mtime)


def _folder_of(path: str) -> str:
    """Everything before the last name, with the slash at its end; empty for a name alone."""
    return path[: path.rfind("/") + 1]


def _kind_at(path: str, *, whole: bool = False) -> int:
    """What is at a destination, as `S_IFMT` has it: a regular file, too, where there is nothing. `whole`: all of the file is here."""
    try:
        # Without an exception, which costs as much as all else of a small file. What `access` cannot tell from a name that is
        # free fails when the file is published: soon enough where all of it is here.
        if whole and not os.access(path, os.F_OK):
            return stat.S_IFREG
        return stat.S_IFMT(os.lstat(path).st_mode)
    except FileNotFoundError:
        return stat.S_IFREG
    except (OSError, ValueError) as error:
        raise failure(error, "write", path) from error


def _not_opened(error: OSError | ValueError, path: str) -> TransferError:
    if isinstance(error, OSError) and error.errno == errno.ENXIO:
        return refusal(path, "read", "it is a socket, or a device that is not there", "name a file")
    return absence(error, "read", path)


def _changed(path: str, why: str) -> Changed:
    return Changed(f"cannot go on reading {name_of(path)}: {why}")


def _in_the_way(path: str, doing: str) -> LocalRefused:
    return refusal(path, doing, "a folder is in its place", "name the file, or remove that folder")


def _seek(descriptor: int, start: int, size: int, path: str) -> None:
    if start > size:
        raise _changed(path, f"it has {size} bytes, {start} were read before")
    os.lseek(descriptor, start, os.SEEK_SET)


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return


def _probe(path: str) -> int | None:
    """The size of a file whose first bytes could be read. A network file system shows names that it cannot read."""
    try:
        descriptor = os.open(path, _READ)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            if not os.read(descriptor, _PROBE_BYTES) and status.st_size:
                raise Broken(
                    f"cannot read {name_of(path)}: it has {status.st_size} bytes, and none could be read"
                )
            return status.st_size
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise _not_opened(error, path) from error


def _size_if_there(path: str) -> int | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _same_file(one: str, other: str) -> bool:
    """Both names reach the same inode of the same device."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _replace_with_link(target: str, path: str) -> None:
    name = os.path.join(os.path.dirname(path), f".wf-{os.urandom(8).hex()}.part")
    os.symlink(target, name)
    try:
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise
