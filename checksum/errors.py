"""What can be wrong with a file's digest, beside what the operating system says.

::

    ChecksumError
    |-- NotRegular          a FIFO, socket or device where a regular file is wanted
    |-- ChangedWhileRead    what was read is neither the old content nor the new
    `-- Interrupted         the caller's stop event was set

An error of the operating system (missing, permission denied, a folder, input/output error) stays the OSError it
is, with its errno. Messages name no file: the caller knows which one it asked for, and how to show the name.
"""

from __future__ import annotations


class ChecksumError(Exception):
    """The base of what this package finds wrong with a file."""


class NotRegular(ChecksumError):
    """Reading it might never end, or take bytes away from somebody else."""


class ChangedWhileRead(ChecksumError):
    """Somebody wrote to the file meanwhile. Reading it again later may succeed."""


class Interrupted(ChecksumError):
    """Reading ended early because the caller asked for it."""
