"""What a later run can go on with and no partial file tells: uploads that were begun, the parts that services took, and
the submissions of managed tasks.

JSON Lines, only ever appended to: an upload that was begun, a part that was acknowledged, an upload that ended, a task that
is about to be submitted, a task that is over. What was
written survives a killed process at once and a crashed machine mostly; a last line that is torn is not read. The file goes when
a run ends and nothing in it can be gone on with. One process at a time uses it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING

from ..protocols.values import Token
from .work import Unfinished

if TYPE_CHECKING:
    from typing import Any, Final

    from ..protocols.context import Log
    from ..protocols.locations import Location
    from ..protocols.values import Part

_SYNC_SECONDS: Final = 5.0
"""How much a crash of the machine may make forgotten: parts that are then sent again."""


class _Upload:
    __slots__ = ("copy", "marks", "name", "part", "size", "url")

    def __init__(self, copy: str, url: str, name: str, size: int, part: int) -> None:
        self.copy = copy
        self.url = url
        self.name = name
        self.size = size
        self.part = part
        self.marks: set[str] = set()


class Journal:
    """The journal of one run. Safe for all workers. Without a path, or when it cannot be used, it keeps nothing."""

    def __init__(self, path: str, log: Log) -> None:
        self._path = path
        self._log = log
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._opened = not path
        self._synced = 0.0
        self._uploads: dict[str, _Upload] = {}
        self._submissions: dict[str, str] = {}
        """Of managed tasks, by the mark of their items."""

    def find(self, copy: str, destination: Location, part: int) -> Unfinished | None:
        """The upload of the same copy in an earlier run or attempt. `copy` is `resuming.token_of`."""
        with self._lock:
            self._open()
            for upload in self._uploads.values():
                if upload.copy == copy and upload.url == destination.url and upload.part == part:
                    token = Token(destination, upload.name, upload.size, part, True)
                    return Unfinished(copy, token, frozenset(upload.marks))
        return None

    def others(self, copy: str, destination: Location) -> tuple[Token, ...]:
        """Uploads of other copies to this destination: of another version, source or expectation. Nothing goes on with them."""
        with self._lock:
            self._open()
            return tuple(
                Token(destination, upload.name, upload.size, upload.part, True)
                for upload in self._uploads.values()
                if upload.copy != copy and upload.url == destination.url
            )

    def begun(self, copy: str, token: Token) -> None:
        """Before the first part is sent."""
        url = token.location.url
        with self._lock:
            self._open()
            self._uploads[token.name] = _Upload(copy, url, token.name, token.size, token.part)
            self._write({"begun": copy, "url": url, **token.as_json()}, sync=True)

    def part(self, token: Token, part: Part) -> None:
        """After the service has taken it."""
        with self._lock:
            if token.name in self._uploads:
                self._uploads[token.name].marks.add(part.mark)
            self._write({"part": part.number, "name": token.name, "mark": part.mark}, sync=False)

    def ended(self, token: Token) -> None:
        """It was published, or given up."""
        with self._lock:
            if self._uploads.pop(token.name, None) is not None:
                self._write({"ended": token.name}, sync=False)

    def submission(self, mark: str) -> str:
        """The submission of a managed task of the same items that an earlier run or attempt began; else empty."""
        with self._lock:
            self._open()
            return self._submissions.get(mark, "")

    def submitting(self, mark: str, submission: str) -> None:
        """Before the service is told of it."""
        with self._lock:
            self._open()
            self._submissions[mark] = submission
            self._write({"submitting": mark, "submission": submission}, sync=True)

    def settled(self, mark: str) -> None:
        """The task is over, or was cancelled."""
        with self._lock:
            if self._submissions.pop(mark, None) is not None:
                self._write({"settled": mark}, sync=False)

    def close(self) -> None:
        """Removes the file if nothing is left to go on with. Never raises."""
        with self._lock:
            if not self._opened and os.path.exists(self._path):
                self._open()
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is None:
                return
            try:
                if not self._uploads and not self._submissions:
                    os.unlink(self._path)
                os.close(descriptor)
            except OSError as error:
                self._log.debug("closing the journal: %s", error.strerror)

    # --- with the lock

    def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        try:
            self._descriptor = _locked(self._path)
            with open(os.dup(self._descriptor), "rb") as file:
                lines = file.read().split(b"\n")
        except OSError as error:
            self._descriptor = None
            why = "another process uses it" if isinstance(error, BlockingIOError) else error.strerror
            self._log.warning("the journal %s is not used: %s", self._path, why)
            return
        for line in lines:
            self._read(line)
        if lines[-1]:
            self._append(b"\n")  # after a torn line

    def _read(self, line: bytes) -> None:
        """A line that nobody of us wrote means nothing, whatever is in it."""
        try:
            record = json.loads(line)
            self._learn(record)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return

    def _learn(self, record: dict[str, Any]) -> None:
        if "begun" in record:
            copy, url, name = str(record["begun"]), str(record["url"]), str(record["name"])
            size, part = int(record["size"]), int(record["part"])
            if size > 0 and part > 0:
                self._uploads[name] = _Upload(copy, url, name, size, part)
        elif "submitting" in record:
            self._submissions[str(record["submitting"])] = str(record["submission"])
        elif "settled" in record:
            self._submissions.pop(str(record["settled"]), None)
        elif "part" in record:
            self._uploads[record["name"]].marks.add(str(record["mark"]))
        else:
            self._uploads.pop(record["ended"], None)

    def _write(self, record: dict[str, Any], *, sync: bool) -> None:
        if self._descriptor is None:
            return
        now = time.monotonic()
        sync = sync or now - self._synced > _SYNC_SECONDS
        if sync:
            self._synced = now
        self._append(json.dumps(record, separators=(",", ":")).encode() + b"\n", sync=sync)

    def _append(self, data: bytes, *, sync: bool = False) -> None:
        descriptor = self._descriptor
        assert descriptor is not None
        try:
            os.write(descriptor, data)
            if sync:
                os.fdatasync(descriptor)
        except OSError as error:
            self._log.warning("the journal %s cannot be written: %s", self._path, error.strerror)
            os.close(descriptor)
            self._descriptor = None


def _locked(path: str) -> int:
    """A descriptor for appending and reading, locked. Raises OSError."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        pass  # no locks on this file system
    return descriptor
