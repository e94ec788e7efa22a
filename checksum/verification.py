"""The files of a manifest compared with what it says of them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from .errors import ChecksumError, Interrupted
from .files import digest_file, digest_stream, new_buffer

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator

    from .digest import Digest
    from .gnu import Entry, Line


class Verdict(StrEnum):
    MATCH = "match"
    MISMATCH = "mismatch"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    """It exists but cannot be read, is not a regular file, or changed while it was read."""
    MALFORMED = "malformed"
    """The line of the manifest cannot be understood: nothing was looked at."""


class Checked(NamedTuple):
    """What became of one line. `entry` is None only for malformed ones.

    `found` is there for MATCH and MISMATCH, `error` for MISSING and UNREADABLE.
    """

    number: int
    verdict: Verdict
    entry: Entry | None = None
    found: Digest | None = None
    error: OSError | ChecksumError | None = None


def verify_lines(
    lines: Iterable[Line],
    *,
    stop: threading.Event | None = None,
    special: bool = False,
    standard_input: bool = False,
) -> Iterator[Checked]:
    """One result a line, in order, as the files are read. Relative names are taken from the working directory.

    Raises Interrupted soon after `stop` is set, and OSError only if reading `lines` does. `special` is that of
    `digest_file`; with `standard_input` the name `-` means that, as on a command line.
    """
    buffer = new_buffer()

    def digest_of(entry: Entry) -> Digest:
        algorithms = (entry.digest.algorithm,)
        if standard_input and entry.name == b"-":
            return digest_stream(0, algorithms, buffer=buffer, stop=stop).digests[0]
        return digest_file(entry.name, algorithms, buffer=buffer, stop=stop, special=special).digests[0]

    for line in lines:
        if line.entry is None:
            yield Checked(line.number, Verdict.MALFORMED)
        else:
            yield _checked(line.number, line.entry, digest_of)


def _checked(number: int, entry: Entry, digest_of: Callable[[Entry], Digest]) -> Checked:
    try:
        found = digest_of(entry)
    except Interrupted:
        raise
    except FileNotFoundError as error:
        return Checked(number, Verdict.MISSING, entry, error=error)
    except (OSError, ChecksumError) as error:
        return Checked(number, Verdict.UNREADABLE, entry, error=error)
    verdict = Verdict.MATCH if found == entry.digest else Verdict.MISMATCH
    return Checked(number, verdict, entry, found)
