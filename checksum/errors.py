"""What can be wrong with a file's digest or a manifest, beside what the operating system says.

::

    ChecksumError
    |-- NotRegular          a FIFO, socket or device where a regular file is wanted
    |-- ChangedWhileRead    what was read is neither the old content nor the new
    |-- OutsideFolder       a manifest's name leads out of the folder it is checked in
    |-- WorkerDied          the processes that read the file were killed
    |-- ManifestError       a manifest that cannot be read as one
    |   `-- TruncatedManifest   its end is missing
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


class OutsideFolder(ChecksumError):
    """The name is absolute or goes up: a manifest from somebody else could ask for any file of this machine."""


class WorkerDied(ChecksumError):
    """Something killed two processes that read the file, one after the other. It was not digested."""


class ManifestError(ChecksumError):
    """The manifest is of no known format, or breaks the rules of its own."""


class TruncatedManifest(ManifestError):
    """Part of the manifest is missing, so that nobody can tell which files it should name."""

    @classmethod
    def in_line(cls, number: int) -> TruncatedManifest:
        return cls(f"ends in the middle of line {number}; it was cut, or is still being written")


class Interrupted(ChecksumError):
    """Reading ended early because the caller asked for it."""
