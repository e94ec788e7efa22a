"""`wf-checksum update`: a manifest brought up to date, reading only what changed since."""

from __future__ import annotations

import os
import stat
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from .bagit import encodes_percent
from .entries import ManifestEntry
from .errors import ChecksumError, Interrupted, ManifestError
from .formats import Format, open_manifest
from .manifests import manifest_lines
from .names import printable
from .options import command_parser, number, parse
from .output import BAD_MANIFEST, FAILED, INTERRUPTED, OK, change_line, complain, complain_about, put, reason
from .parallel import NOTHING, Task, digest_files
from .paths import located
from .rewriting import RewrittenFile, is_partial
from .signals import stop_on_interrupt
from .sorting import in_order
from .states import identity, settled_state
from .trees import Kind, walk

if TYPE_CHECKING:
    import threading
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from .parallel import Digested
    from .remote import Remote


def run_update(arguments: Sequence[str], remote: Remote) -> int:
    """Rewrites the manifest and prints what changed; returns 1 if something could not be read, or is damaged.

    After an interrupt the manifest holds what was done so far and, for the rest, what it held before.
    """
    made = command_parser("update")
    options = parse(made, arguments, "places")
    if not options.places:
        made.error("name the manifest to update, as wf-checksum --json -o MANIFEST writes it")
    path, *places = options.places
    try:
        with open_manifest(path) as manifest:
            format_, zero = manifest.format, manifest.zero
        if format_ is Format.REPLICAS:
            if places:
                made.error("a replica catalogue names its files itself")
            from .commands_replicas import update_replicas

            return update_replicas(path, options, remote)
        options.workers = number(made, "--jobs", options.jobs) or None
        if format_ is Format.META:
            made.error("a .meta file is written anew by `wf-checksum generate --meta`")
        with stop_on_interrupt() as stop:
            return _Update(path, places, options, stop).run(format_, zero=zero)
    except OSError as error:
        complain_about(error.filename or path, error)
        return FAILED
    except ManifestError as error:
        complain_about(path, error)
        return BAD_MANIFEST


class _Update:
    def __init__(self, path: str, places: Sequence[str], options: Namespace, stop: threading.Event) -> None:
        self._path = path
        self._places = [os.fsencode(place) for place in places]
        self._options = options
        self._stop = stop
        self._folder: bytes | None = None
        self._prefix = b""
        """What paths of listed files begin with and names do not: the root of a bag."""
        self._dotted = False
        """Names are written `./a`."""
        self._algorithms: tuple[str, ...] = ()
        self._block_bytes = 0
        """Of the last entry with blocks; new files are told in such blocks too."""
        self._code = OK

    def run(self, format_: Format, *, zero: bool) -> int:
        tops = self._tops()  # also the proof that the manifest is whole, before anything is told
        self._places = self._places or [os.path.join(self._prefix, one) for one in sorted(tops)]
        # Lines from the old manifest while the new one is written, which replaces it at the end.
        percent = format_ is not Format.BAGIT or encodes_percent(os.fsencode(self._path))
        lines = manifest_lines(self._entries(), format=format_, zero=zero, percent=percent)
        if self._options.dry_run:
            for _ in lines:
                pass
        else:
            with RewrittenFile(self._path) as file:
                for line in lines:
                    file.write(line)
        if self._stop.is_set():
            complain(f"interrupted: what is left in {printable(self._path)} is as it was before")
            return INTERRUPTED
        return self._code

    def _entries(self) -> Iterator[ManifestEntry]:
        with open_manifest(self._path) as manifest:
            listed = iter(manifest)
            yield from self._settled(map(self._looked_at, listed))
            yield from listed  # as it was: an interrupt left it over
        if not self._stop.is_set():
            yield from self._settled(self._looked_at_new(name) for name in self._unlisted())

    def _settled(self, pending: Iterator[_Pending]) -> Iterator[ManifestEntry]:
        """The new entries, in order; after an interrupt what of `pending` was begun stays as it was."""
        waiting: deque[_Pending] = deque()
        results = digest_files(_tasks(pending, waiting), workers=self._options.workers, stop=self._stop)
        try:
            for one in results:
                last = False
                while not last:
                    last = waiting[0].is_task
                    kept = self._outcome(waiting[0], one)
                    waiting.popleft()
                    if kept is not None:
                        yield kept
        except Interrupted:
            self._stop.set()
            yield from (one.entry for one in waiting if one.entry is not None)

    def _outcome(self, pending: _Pending, digested: Digested) -> ManifestEntry | None:
        if pending.is_gone:
            self._report("vanished", pending.name)
            return None
        return pending.entry if pending.status is None else self._judged(pending, pending.status, digested)

    # --- what is listed

    def _looked_at(self, entry: ManifestEntry) -> _Pending:
        self._algorithms = self._algorithms or tuple(digest.algorithm for digest in entry.digests)
        self._block_bytes = entry.blocks.size if entry.blocks else self._block_bytes
        try:
            path = located(entry.name, self._folder, allow_absolute=self._options.allow_absolute)
            status = os.stat(path)
            if not self._options.paranoid and _is_unchanged(entry, status):
                return _Pending(entry)
            algorithms = tuple(digest.algorithm for digest in entry.digests)
            return _Pending(entry, entry.name, settled_state(path), path, algorithms, self._block_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return _Pending(entry, entry.name, is_gone=True)
        except (OSError, ChecksumError) as error:
            self._fail(entry.name, reason(error))
            return _Pending(entry)

    def _judged(self, pending: _Pending, status: os.stat_result, digested: Digested) -> ManifestEntry | None:
        """The entry of a file that was read; where that failed the one of before."""
        entry = pending.entry
        try:
            now = self._read(pending, status, digested)
        except Interrupted:
            raise
        except FileNotFoundError:
            if entry is not None:  # gone since it was looked at
                self._report("vanished", entry.name)
            return None
        except (OSError, ChecksumError) as error:
            self._fail(pending.name, reason(error))
            return entry
        if entry is None:
            self._report("added", now.name)
            return now
        return self._compared(entry, now, status)

    def _compared(self, entry: ManifestEntry, now: ManifestEntry, status: os.stat_result) -> ManifestEntry:
        if now.digests == entry.digests and entry.size in (None, now.size):
            return now if entry.mtime_ns is not None else entry
        if _is_unchanged(entry, status):
            self._fail(entry.name, "is damaged: its content is another one, although nobody wrote to it")
            self._report("damaged", entry.name)
            return entry
        self._report("changed", entry.name)
        return now

    def _read(self, pending: _Pending, status: os.stat_result, digested: Digested) -> ManifestEntry:
        """The entry of a file that was in the state `status` before it was read: written later, it is read again."""
        if pending.in_blocks:
            from .blocks import digest_blocks, entry_of

            blocked = digest_blocks(
                pending.path, pending.block_bytes, whole=pending.algorithms, stop=self._stop
            )
            return entry_of(pending.name, blocked)._replace(mtime_ns=status.st_mtime_ns, inode=status.st_ino)
        if digested.found is None:
            assert digested.error is not None
            raise digested.error
        found = digested.found
        return ManifestEntry(pending.name, found.digests, found.size, status.st_mtime_ns, status.st_ino)

    # --- what is new

    def _looked_at_new(self, name: bytes) -> _Pending:
        try:
            path = located(name, self._folder, allow_absolute=True)
            status = settled_state(path)
        except FileNotFoundError:
            return _Pending(None)  # gone since the folder was listed
        except (OSError, ChecksumError) as error:
            self._fail(name, reason(error))
            return _Pending(None)
        return _Pending(None, name, status, path, self._algorithms or ("sha256",), self._block_bytes)

    def _unlisted(self) -> Iterator[bytes]:
        """The names, in order, of regular files in the places that the manifest does not name."""
        known = in_order(map(_plain, self._names()))
        one = next(known, None)
        before = None
        for name in in_order(self._found()):
            while one is not None and one < _plain(name):
                one = next(known, None)
            if one != _plain(name) and name != before:
                yield name
            before = name

    def _names(self) -> Iterator[bytes]:
        with open_manifest(self._path) as manifest:
            self._folder = manifest.folder
            self._prefix = b"" if self._folder is None else os.path.join(self._folder, b"")
            yield from (entry.name for entry in manifest)

    def _found(self) -> Iterator[bytes]:
        # Neither the manifest nor what is about to replace it is a file to list.
        own = identity(os.stat(self._path))
        for top in self._places:
            for found in walk(top):
                if found.kind is Kind.UNREADABLE:
                    self._fail(found.path, reason(found.error))
                elif found.kind is Kind.FILE and not _is_ours(found.path, own):
                    name = found.path.removeprefix(self._prefix)
                    yield name if self._dotted else _plain(name)

    def _tops(self) -> set[bytes]:
        """The folders that names begin with. A name without a folder says nothing about where new files belong."""
        tops = set()
        for name in self._names():
            self._dotted = self._dotted or name.startswith(b"./")
            top, slash, _ = name.partition(b"/")
            if slash and top and top != b"..":
                tops.add(top)
        return tops

    # --- what is told

    def _report(self, word: str, name: bytes) -> None:
        if not self._options.quiet:
            put(change_line(word, name))

    def _fail(self, name: bytes, text: str) -> None:
        self._code = FAILED
        complain(f"{printable(name)}: {text}")


class _Pending(NamedTuple):
    """A file on its way. With `status` it is to be read; without it `entry` is what stays, or None if nothing does.

    A new file has no entry yet.
    """

    entry: ManifestEntry | None
    name: bytes = b""
    status: os.stat_result | None = None
    path: bytes = b""
    algorithms: tuple[str, ...] = ()
    block_bytes: int = 0
    is_gone: bool = False
    ends_run: bool = False
    """It stands for no file, and lets those before it through."""

    @property
    def in_blocks(self) -> bool:
        return self.status is not None and 0 < self.block_bytes < self.status.st_size

    @property
    def is_task(self) -> bool:
        return self.status is not None or self.ends_run


_LONGEST_RUN: Final = 8
"""Entries that need no reading and wait for the next task. Of tasks some thousand are taken ahead."""


def _tasks(pending: Iterator[_Pending], waiting: deque[_Pending]) -> Iterator[Task]:
    """What to read; all that is pending goes into `waiting`, in order, the last of it being a task."""
    run = 0
    for one in pending:
        waiting.append(one)
        run = 0 if one.is_task else run + 1
        if one.is_task:
            yield NOTHING if one.in_blocks else Task(one.path, one.algorithms)
        elif run == _LONGEST_RUN:
            run = 0
            waiting.append(_Pending(None, ends_run=True))
            yield NOTHING
    waiting.append(_Pending(None, ends_run=True))
    yield NOTHING


def _is_unchanged(entry: ManifestEntry, status: os.stat_result) -> bool:
    """Whether nobody can have written to the file since; False where the manifest does not tell."""
    return (
        stat.S_ISREG(status.st_mode)
        and entry.size == status.st_size
        and entry.mtime_ns == status.st_mtime_ns
        and entry.inode == status.st_ino
    )


def _plain(name: bytes) -> bytes:
    """One spelling for `./a` and `a`."""
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    return name


def _is_ours(path: bytes, own: tuple[int, int]) -> bool:
    if is_partial(path):
        return True
    try:
        return identity(os.stat(path)) == own
    except OSError:
        return False
