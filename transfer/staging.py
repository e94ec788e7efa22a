"""Spool files: where a first leg waits for its second one."""

from __future__ import annotations

import os
import threading

from ..protocols.errors import End, NoSpace, Reach, from_oserror
from ..protocols.locations import parse_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..protocols.errors import TransferError
    from ..protocols.locations import Location

_REMEDY: Final = "point $TMPDIR to a larger file system"


class SpoolBudget:
    """The folder of one run's spool files and the bytes they may take together. Safe for all workers.

    The folder is made when the first file needs it, readable by nobody else, and removed by `close`.
    """

    def __init__(self, directory: str, most: int) -> None:
        self._parent = directory
        self._most = most
        self._lock = threading.Lock()
        self._folder = ""
        self._held: dict[str, int] = {}
        self._begun: set[str] = set()
        """Those of the held that are being written."""
        self._count = 0

    def reserve(self, size: int | None) -> Location | None:
        """A name for a spool file of `size` bytes, or None while it has no room beside those that are spooled already.

        One file is always let in, however large. Raises `NoSpace` if the file system cannot take it, even alone. A
        source that does not tell its size counts as nothing until `grown`.
        """
        need = size or 0
        with self._lock:
            if self._held and sum(self._held.values()) + need > self._most:
                return None
            folder = self._make_folder()
            if not self._has_space(folder, need):
                return None
            self._count += 1
            path = os.path.join(folder, str(self._count))
            self._held[path] = need
            self._begun.add(path)
        return parse_location("file://" + path)

    def grown(self, location: Location, size: int) -> None:
        """Corrects what a finished spool file takes."""
        with self._lock:
            if location.path in self._held:
                self._held[location.path] = size
                self._begun.discard(location.path)

    def release(self, location: Location) -> None:
        """Removes a spool file and gives its bytes back. It may be gone already."""
        try:
            os.unlink(location.path)
        except OSError:
            return
        finally:
            # Not before: whoever then finds nothing held takes what is free for all there is.
            with self._lock:
                self._held.pop(location.path, None)
                self._begun.discard(location.path)

    def close(self) -> None:
        """Removes what is left. Never raises."""
        if self._folder:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    def _make_folder(self) -> str:
        if not self._folder:
            import tempfile

            try:
                self._folder = os.path.abspath(tempfile.mkdtemp(prefix="wf-spool-", dir=self._parent or None))
            except OSError as error:
                where = self._parent or os.environ.get("TMPDIR") or "the folder for temporary files"
                failure = from_oserror(error, f"making a spool folder in {where}")
                failure.reach = Reach.REQUEST
                raise failure.at(End.NEITHER, "spool") from error
        return self._folder

    def _has_space(self, folder: str, need: int) -> bool:
        """Whether that much is free that no other file will take. Raises `NoSpace` if there is no other one."""
        free = _free_in(folder)
        if need + self._promised() <= free:
            return True
        if self._held:
            # In this order: what is written in between shall not count as free.
            unwritten = self._unwritten(folder)
            return need + unwritten <= _free_in(folder)
        raise NoSpace(
            f"a spool file of {need} bytes does not fit: {folder} has {free} bytes free",
            end=End.NEITHER,
            step="spool",
            remedy=_REMEDY,
        )

    def _promised(self) -> int:
        """Bytes of the files that are being written."""
        return sum(self._held[path] for path in self._begun)

    def _unwritten(self, folder: str) -> int:
        """What of these is not there yet. Of all together, for a file has another name while it is written."""
        finished = self._held.keys() - self._begun
        with os.scandir(folder) as entries:
            written = sum(_size_of(entry) for entry in entries if entry.path not in finished)
        return max(0, self._promised() - written)


def _free_in(folder: str) -> float:
    try:
        status = os.statvfs(folder)
    except OSError:
        return float("inf")
    return status.f_bavail * status.f_frsize


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:  # it has got its own name meanwhile, or was given up
        return 0


def blame_spool(error: TransferError) -> None:
    """Gives the end and remedy that are right where a spool file ran out of space.

    It is tried again: other spool files may have held the space. Where it is still short, `reserve` tells.
    """
    if error.end is not End.SOURCE:
        error.end, error.step, error.remedy = End.NEITHER, "spool", _REMEDY
        error.reach = Reach.ATTEMPT
