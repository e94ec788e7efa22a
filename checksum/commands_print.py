"""`wf-checksum FILE...`: the checksums of files, trees and URLs, printed as a manifest."""

from __future__ import annotations

import os
import stat
from collections import deque

from .entries import ManifestEntry
from .errors import ChecksumError, Interrupted
from .gnu import write_manifest_line
from .names import printable
from .output import FAILED, INTERRUPTED, OK, Lines, complain, complain_about
from .parallel import NOTHING, Reading, Task, digest_files
from .records import NamedTuple
from .remote import RemoteFailed, is_url
from .rewriting import is_partial
from .states import identity, settled_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from .commands_main import Options
    from .parallel import Digested
    from .remote import Remote


def print_digests(options: Options, remote: Remote) -> int:
    """Prints a line a file in the order of the names, folders sorted; returns the exit code."""
    if not options.json and not options.output:
        return _plain_lines(options, remote)
    from .signals import stop_on_interrupt

    with stop_on_interrupt() as stop:
        if not options.output:
            lines = Lines()
            try:
                return _interruptible(_Printer(options, remote, lines.write, stop, lines.flush))
            finally:
                lines.flush()
        try:
            return _into_file(options, remote, stop)
        except OSError as error:  # may name the partial, which nobody asked for
            complain_about(options.output, error)
            return FAILED


def _plain_lines(options: Options, remote: Remote) -> int:
    lines = Lines()
    printer = _Printer(options, remote, lines.write, before_waiting=lines.flush)
    try:
        printer.write_all()
    finally:
        lines.flush()  # an interrupt leaves whole lines of all files that were done
    return printer.exit_code


def _interruptible(printer: _Printer) -> int:
    try:
        printer.write_all()
    except Interrupted:
        complain(f"interrupted: the manifest holds {printer.count} files, and others are missing")
        return INTERRUPTED
    return printer.exit_code


def _into_file(options: Options, remote: Remote, stop: threading.Event) -> int:
    """Publishes the manifest. One that is interrupted does not replace another."""
    from .manifests import PublishedFile

    file = PublishedFile(options.output)
    try:
        code = _interruptible(_Printer(options, remote, file.write, stop))
        if code == INTERRUPTED and os.path.lexists(options.output):
            complain(f"{printable(options.output)} stays what it was")
        else:
            file.commit()
    finally:
        file.abort()
    return code


class _Printer:
    """Writes the lines of a manifest to `write`."""

    def __init__(
        self,
        options: Options,
        remote: Remote,
        write: Callable[[bytes], None],
        stop: threading.Event | None = None,
        before_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._before_waiting = before_waiting
        self._options = options
        self._remote = remote
        self._write = write
        self._stop = stop
        self._algorithms = options.algorithms or ("sha256",)
        self._codes: set[int] = set()
        self.count = 0
        """Entries that were written."""

    @property
    def exit_code(self) -> int:
        """What failed URLs call for if nothing else failed and they agree, as in wf-transfer."""
        if not self._codes:
            return OK
        return min(self._codes) if len(self._codes) == 1 else FAILED

    def write_all(self) -> None:
        """Writes the whole manifest. Raises Interrupted, and then what was written is a whole one all the same."""
        (self._write_json if self._options.json else self._write_lines)()

    def _write_lines(self) -> None:
        options = self._options
        for entry in self._entries(self._stop):
            # Without --tag there is one digest.
            for digest in entry.digests:
                self._write(
                    write_manifest_line(
                        digest, entry.name, binary=options.binary, tag=options.tag, zero=options.zero
                    )
                )
            self.count += 1

    def _write_json(self) -> None:
        from . import jsonl

        self._write(jsonl.HEADER)
        try:
            for entry in self._entries(self._stop):
                self._write(jsonl.entry_line(entry))
                self.count += 1
        except Interrupted:
            self._write(jsonl.trailer(self.count))
            raise
        self._write(jsonl.trailer(self.count))

    # --- files

    def _entries(self, stop: threading.Event | None) -> Iterator[ManifestEntry]:
        files = iter(self._options.files or ("-",))
        for name in files:
            if is_url(name):
                yield from self._remote_entries(name)
            else:
                yield from self._local_entries(name, files, stop)

    def _local_entries(
        self, first: str, others: Iterator[str], stop: threading.Event | None
    ) -> Iterator[ManifestEntry]:
        """The entries of local names, up to the next URL, which is taken from `others` as well."""
        urls: list[str] = []
        waiting: deque[_State | None] = deque()
        options = self._options
        reading = Reading(special=options.special, from_disk=options.from_disk, standard_input=True)
        tasks = self._tasks(_until_url(first, others, urls), waiting)
        results = digest_files(
            tasks,
            workers=options.workers,
            reading=reading,
            stop=stop,
            before_waiting=self._before_waiting,
        )
        for digested in results:
            state = waiting.popleft()
            if state is not None and state.in_blocks:
                entry = self._blocked_entry(state, stop)
            else:
                entry = self._entry(digested, state)
            if entry is not None:
                yield entry
        for url in urls:
            yield from self._remote_entries(url)

    def _tasks(self, names: Iterator[str], waiting: deque[_State | None]) -> Iterator[Task]:
        """What to read. Beside each task its state is kept, taken BEFORE the file is read: what is written later differs."""
        for name in names:
            for path in self._paths(name):
                state = _state(path, self._options.block_bytes) if self._options.json else None
                waiting.append(state)
                yield NOTHING if state is not None and state.in_blocks else Task(path, self._algorithms)

    def _paths(self, name: str) -> Iterator[bytes]:
        path = os.fsencode(name)
        if not self._options.recursive or not os.path.isdir(path):
            yield path
            return
        from .trees import Kind, walk

        own = _Own(self._options.output)
        left_out = 0
        for one, kind, error, inode in walk(path):
            if kind is Kind.FILE:
                if not is_partial(one) and not own.holds(one, inode):
                    yield one
            elif error is not None:
                self._fail(one, error)
            else:
                left_out += 1
        if left_out:
            complain(f"{printable(path)}: {left_out} links, FIFOs, sockets and devices were left out")

    def _entry(self, digested: Digested, state: _State | None) -> ManifestEntry | None:
        found = digested.found
        if found is None:
            assert digested.error is not None
            self._fail(digested.path, digested.error)
            return None
        if state is None:
            return ManifestEntry(digested.path, found.digests, found.size)
        return ManifestEntry(digested.path, found.digests, found.size, state.mtime_ns, state.inode)

    def _blocked_entry(self, state: _State, stop: threading.Event | None) -> ManifestEntry | None:
        from .blocks import digest_blocks, entry_of

        self._before_waiting()
        try:
            found = digest_blocks(state.path, self._options.block_bytes, whole=self._algorithms, stop=stop)
        except Interrupted:
            raise
        except (OSError, ChecksumError) as error:
            self._fail(state.path, error)
            return None
        return entry_of(state.path, found)._replace(mtime_ns=state.mtime_ns, inode=state.inode)

    # --- URLs

    def _remote_entries(self, url: str) -> Iterator[ManifestEntry]:
        try:
            for one in self._remote.walk(url) if self._options.recursive else (url,):
                if self._stop is not None and self._stop.is_set():
                    raise Interrupted("reading was interrupted")
                self._before_waiting()
                found = self._remote.digest(one, self._algorithms)
                yield ManifestEntry(os.fsencode(self._remote.shown(one)), found.digests, found.size)
        except RemoteFailed as error:
            complain(str(error))
            self._codes.add(error.exit_code)

    def _fail(self, path: bytes, error: OSError | ChecksumError) -> None:
        self._before_waiting()  # what was done before is told before, where both go to one place
        complain_about(path, error)
        self._codes.add(FAILED)


class _Own:
    """The files that the manifest itself goes to, which a tree may contain."""

    def __init__(self, output: str) -> None:
        pairs = (
            (_identity(os.fsencode(output)), os.fsencode(output)),
            (_standard_output(), _redirected_to()),
        )
        self._identities = {identity for identity, _ in pairs if identity is not None}
        self._inodes = {inode for _, inode in self._identities}
        self._endings = tuple(
            b"/" + os.path.basename(path) for one, path in pairs if one is not None and path
        )

    def holds(self, path: bytes, inode: int) -> bool:
        """Whether this is one of them. Only a file with the same inode or name is looked at.

        What a folder says of inodes differs from what files say where file systems lie over each other.
        """
        if inode in self._inodes or path.endswith(self._endings):
            return _identity(path) in self._identities
        return False


def _redirected_to() -> bytes:
    """The path of standard output; empty where the system does not tell."""
    try:
        return os.readlink(b"/proc/self/fd/1")
    except OSError:
        return b""


class _State(NamedTuple):
    path: bytes
    mtime_ns: int
    inode: int
    in_blocks: bool


def _state(path: bytes, block_bytes: int) -> _State | None:
    """What is to be told of a file beside its content; None for what is no regular file."""
    try:
        status = settled_state(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return _State(path, status.st_mtime_ns, status.st_ino, 0 < block_bytes < status.st_size)


def _identity(path: bytes) -> tuple[int, int] | None:
    """None for what is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return identity(status)


def _standard_output() -> tuple[int, int] | None:
    """None for what is no regular file."""
    try:
        status = os.fstat(1)
    except OSError:
        return None
    return identity(status) if stat.S_ISREG(status.st_mode) else None


def _until_url(first: str, others: Iterator[str], urls: list[str]) -> Iterator[str]:
    yield first
    for name in others:
        if is_url(name):
            urls.append(name)
            return
        yield name
