"""What people and programs read: whole lines on standard output, sentences on standard error."""

from __future__ import annotations

import os
import sys

from .names import escape, needs_escape, printable, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Final

    from .errors import ChecksumError

PROGRAM: Final = "wf-checksum"

OK: Final = 0
FAILED: Final = 1
BAD_MANIFEST: Final = 65
"""A manifest that cannot be understood, or whose end is missing: nothing can be said about its files."""
DEFECT: Final = 70
CONFIGURATION: Final = 78
"""Something is missing or set wrongly on this machine, as in wf-transfer."""
INTERRUPTED: Final = 130
"""What a shell reports of a program that died of SIGINT."""
BROKEN_PIPE: Final = 141
"""And of one that died of SIGPIPE."""


class OutputFailed(Exception):
    """Standard output does not take what is written; the cause is the OSError."""


def put(line: bytes) -> None:
    """Writes whole lines to standard output at once, so that processes running side by side do not mix theirs."""
    try:
        if os.isatty(1):
            line = _for_terminal(line)
        while line:
            line = line[os.write(1, line) :]
    except OSError as error:
        raise OutputFailed from error


class Lines:
    """Lines on their way to standard output, a few at a time; each of them leaves whole.

    `flush` must be called before anything that may take a while, and at the end.
    """

    def __init__(self) -> None:
        self._collected: list[bytes] = []
        self._size = 0
        self._most = 0 if os.isatty(1) else _ATOMIC

    def write(self, line: bytes) -> None:
        size = self._size + len(line)
        if size > self._most:
            self.flush()
            size = len(line)
        self._collected.append(line)
        self._size = size

    def flush(self) -> None:
        if self._collected:
            lines = b"".join(self._collected)
            self._collected.clear()
            self._size = 0
            put(lines)


_ATOMIC: Final = 4096
"""Bytes (PIPE_BUF) that a pipe takes at once, unmixed with those of others."""


def _for_terminal(line: bytes) -> bytes:
    """A name must not be able to send commands to the terminal. Programs get the bytes as they are."""
    return b"".join(
        os.fsencode(visible(os.fsdecode(one))) + b"\n" for one in line.removesuffix(b"\n").split(b"\n")
    )


def change_line(word: str, *names: bytes) -> bytes:
    """`changed   name`, `moved     name -> name`; names are escaped as in manifests, and marked by a backslash."""
    marked = any(map(needs_escape, names))
    text = b" -> ".join(escape(name) if marked else name for name in names)
    return b"%b%-9b %b\n" % (b"\\" if marked else b"", word.encode(), text)


def complain_about(name: str | bytes, error: OSError | ChecksumError) -> None:
    complain(f"{printable(name) or repr('')}: {reason(error)}")


def reason(error: BaseException | None) -> str:
    """What the system, or this package, says was wrong."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def complain(text: str) -> None:
    if sys.stderr is not None:
        print(f"{PROGRAM}: {text}", file=sys.stderr)


def standard_input() -> BinaryIO:
    """What is on standard input, which stays open. Raises OSError where it is closed."""
    return open(0, "rb", closefd=False)
