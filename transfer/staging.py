"""Spool files: where a first leg waits for its second one."""

from __future__ import annotations

import os
import threading

from ..protocols.errors import End, NoSpace, Reach, from_oserror
from ..protocols.locations import parse_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols.locations import Location


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
        self._count = 0

    def reserve(self, size: int | None) -> Location | None:
        """A name for a spool file of `size` bytes, or None while too much is spooled already.

        One file is always let in, however large. Raises `NoSpace` if the file system cannot take it. A source that
        does not tell its size counts as nothing until `grown`.
        """
        need = size or 0
        with self._lock:
            if self._held and sum(self._held.values()) + need > self._most:
                return None
            folder = self._make_folder()
            self._insist_on_space(folder, need)
            self._count += 1
            path = os.path.join(folder, str(self._count))
            self._held[path] = need
        return parse_location("file://" + path)

    def grown(self, location: Location, size: int) -> None:
        """Corrects what a finished spool file takes."""
        with self._lock:
            if location.path in self._held:
                self._held[location.path] = size

    def release(self, location: Location) -> None:
        """Removes a spool file and gives its bytes back. It may be gone already."""
        with self._lock:
            self._held.pop(location.path, None)
        try:
            os.unlink(location.path)
        except OSError:
            return

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

    def _insist_on_space(self, folder: str, need: int) -> None:
        try:
            status = os.statvfs(folder)
        except OSError:
            return
        free = status.f_bavail * status.f_frsize
        if need > free:
            raise NoSpace(
                f"a spool file of {need} bytes does not fit: {folder} has {free} bytes free",
                end=End.NEITHER,
                step="spool",
                remedy="point $TMPDIR to a larger file system",
            )
