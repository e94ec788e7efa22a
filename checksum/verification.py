"""The files of a manifest compared with what it says of them."""

from __future__ import annotations

import os
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, cast

from .entries import ManifestEntry, ManifestLine
from .errors import ChecksumError, ManifestError, OutsideFolder
from .parallel import NOTHING, Digested, Reading, Task, digest_files, digested
from .paths import located
from .records import StrEnum

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from .files import FileDigest
    from .paths import Path


class Verdict(StrEnum):
    MATCH = "match"
    """All digests of the entry are those of the file, and so is the size, where it is told."""
    MISMATCH = "mismatch"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    """It exists but cannot be read, is not a regular file, or changed while it was read."""
    MALFORMED = "malformed"
    """The line of the manifest cannot be understood: nothing was looked at."""
    OUTSIDE = "outside"
    """The name leads out of the folder: nothing was looked at."""
    NO_DIGEST = "no-digest"
    """The entry holds nothing to compare with: nothing was looked at."""


class Checked(NamedTuple):
    """What became of one line. `entry` is None only for malformed ones, whose `problem` says how.

    `found` is there for MATCH and MISMATCH, `error` for MISSING, UNREADABLE and OUTSIDE. `path` is what was opened.
    """

    number: int
    verdict: Verdict
    entry: ManifestEntry | None = None
    found: FileDigest | None = None
    error: OSError | ChecksumError | None = None
    path: bytes = b""
    problem: str = ""


def verify_files(
    manifest: Path | BinaryIO | Iterable[ManifestEntry],
    *,
    folder: Path | None = None,
    allow_absolute: bool = False,
    workers: int | None = None,
    from_disk: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Checked]:
    """One result an entry, in order, of a manifest (a path or stream of any known format) or of entries.

    Names are relative to `folder`; without it to the root of a bag, else to the working directory, and must stay
    below it unless `allow_absolute`. Memory does not grow with the manifest. Malformed lines are results too. Raises
    ManifestError where the manifest is none, or cut: then what came before is right but not all. Raises OSError if
    reading the manifest does, and Interrupted. `workers` is that of `digest_files`.
    """
    from .formats import open_manifest

    base = None if folder is None else os.fsencode(folder)
    with ExitStack() as stack:
        if isinstance(manifest, str | bytes | os.PathLike) or hasattr(manifest, "read"):
            opened = stack.enter_context(open_manifest(cast("Path | BinaryIO", manifest)))
            lines = opened.lines()
            base = opened.folder if base is None else base
        else:
            lines = (ManifestLine(number, entry) for number, entry in enumerate(manifest, start=1))
        reading = Reading(from_disk=from_disk)
        yield from verify_lines(
            lines, folder=base, allow_absolute=allow_absolute, workers=workers, reading=reading, stop=stop
        )


def verify_lines(
    lines: Iterable[ManifestLine],
    *,
    folder: bytes | None = None,
    allow_absolute: bool = False,
    workers: int | None = 1,
    reading: Reading | None = None,
    stop: threading.Event | None = None,
    before_waiting: Callable[[], None] = lambda: None,
) -> Iterator[Checked]:
    """One result a line, in order, as the files are read; see `verify_files` and, for `before_waiting`, `digest_files`.

    Raises what reading `lines` raises, and Interrupted soon after `stop` is set.
    """
    one = _Verification(folder, allow_absolute, reading or Reading())
    return one.results(lines, workers, stop, before_waiting)


class _Verification:
    """Two streams side by side: lines that wait for a result, and results in the same order."""

    def __init__(self, folder: bytes | None, allow_absolute: bool, reading: Reading) -> None:
        self._folder = folder
        self._allow_absolute = allow_absolute
        self._reading = reading
        self._waiting: deque[Checked] = deque()
        self._guess = "sha512"
        self._failure: OSError | ManifestError | None = None
        """What ended the lines early; told once those before it are checked."""

    def results(
        self,
        lines: Iterable[ManifestLine],
        workers: int | None,
        stop: threading.Event | None,
        before_waiting: Callable[[], None],
    ) -> Iterator[Checked]:
        results = digest_files(
            self._tasks(lines),
            workers=workers,
            reading=self._reading,
            stop=stop,
            before_waiting=before_waiting,
        )
        for one in results:
            line = self._waiting.popleft()
            yield (
                self._verdict(line, line.entry, one) if line.verdict is Verdict.MATCH and line.entry else line
            )
        if self._failure is not None:
            raise self._failure

    def _tasks(self, lines: Iterable[ManifestLine]) -> Iterator[Task]:
        for line in self._until_failure(lines):
            checked = self._looked_at(line)
            self._waiting.append(checked)
            if checked.verdict is Verdict.MATCH and checked.entry is not None:
                yield Task(checked.path, self._algorithms(checked.entry))
            else:
                yield NOTHING  # keeps the two streams in step, however many such lines there are

    def _until_failure(self, lines: Iterable[ManifestLine]) -> Iterator[ManifestLine]:
        try:
            yield from lines
        except (OSError, ManifestError) as error:
            self._failure = error

    def _looked_at(self, line: ManifestLine) -> Checked:
        """The line with its path and MATCH, provisionally; or with the verdict that needs no look at a file."""
        number, entry, problem = line
        if entry is None:
            return Checked(number, Verdict.MALFORMED, problem=problem)
        if not entry.digests:
            return Checked(number, Verdict.NO_DIGEST, entry)
        if self._reading.standard_input and entry.name == b"-":
            return Checked(number, Verdict.MATCH, entry, path=b"-")
        try:
            path = located(entry.name, self._folder, allow_absolute=self._allow_absolute)
        except OutsideFolder as error:
            return Checked(number, Verdict.OUTSIDE, entry, error=error)
        # Only a dash that was asked for is standard input.
        return Checked(number, Verdict.MATCH, entry, path=b"./-" if path == b"-" else path)

    def _algorithms(self, entry: ManifestEntry) -> tuple[str, ...]:
        if entry.guessed:
            return (self._guess,)
        return tuple([digest.algorithm for digest in entry.digests])

    def _verdict(self, line: Checked, entry: ManifestEntry, one: Digested) -> Checked:
        if one.found is None:
            missing = isinstance(one.error, FileNotFoundError)
            verdict = Verdict.MISSING if missing else Verdict.UNREADABLE
            return line._replace(verdict=verdict, error=one.error)
        if _matches(entry, one.found):
            return line._replace(found=one.found)
        return self._second_look(line, entry, one.found)

    def _second_look(self, line: Checked, entry: ManifestEntry, found: FileDigest) -> Checked:
        """MISMATCH, unless the entry's algorithm was only guessed and the other one matches."""
        if entry.guessed and line.path != b"-":
            tried = found.digests[0].algorithm
            other = "blake2b" if tried == "sha512" else "sha512"
            again = digested(Task(line.path, (other,)), self._reading).found
            if again is not None and _matches(entry, again):
                self._guess = other
                return line._replace(found=again)
        return line._replace(verdict=Verdict.MISMATCH, found=found)


def _matches(entry: ManifestEntry, found: FileDigest) -> bool:
    if entry.size is not None and entry.size != found.size:
        return False
    if entry.guessed:
        return entry.digests[0].value == found.digests[0].value
    return len(found.digests) > 0 and all(one in found.digests for one in entry.digests)
