"""Tasks of the Globus test service: threads that really copy, compare, retry and fail as the service does."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import threading
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from . import globus_documents as documents
from .globus_world import Denied

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .globus_documents import Document
    from .globus_world import Collection, World

_PIECE = 1 << 20


class Fatal(Exception):
    """Ends the task."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


class Fault(Exception):
    """The service tries again, until the deadline. `path`: where, if it is not the source."""

    def __init__(self, code: str, description: str, path: str = "") -> None:
        super().__init__(description)
        self.code, self.path = code, path


class Skipped(Exception):
    """The item is left out and listed among the skipped errors."""


class Work(NamedTuple):
    source: str
    destination: str
    item: Document


class Task(threading.Thread):
    """One submission. `shown` is the task document."""

    def __init__(self, world: World, document: Document, owner: str) -> None:
        super().__init__(daemon=True)
        self.world, self.document = world, document
        self.id = str(uuid.uuid4())
        self.cancelled = threading.Event()
        self.resumed = threading.Event()
        self.events: list[Document] = []
        self.successful: list[Document] = []
        self.skipped: list[Document] = []
        self.deadline = _deadline(document.get("deadline"))
        self.kind = str(document["DATA_TYPE"]).upper()
        self.shown = documents.task(self.id, self.kind, owner, document, self.deadline)

    @property
    def is_over(self) -> bool:
        return self.shown["status"] not in ("ACTIVE", "INACTIVE")

    def pairs(self) -> set[tuple[str, ...]]:
        """What no second task may do at the same time."""
        ends = (str(self.document.get("source_endpoint")), str(self.document.get("destination_endpoint")))
        return {
            (*ends, item["source_path"], item["destination_path"])
            for item in self.document["DATA"]
            if "source_path" in item
        }

    def run(self) -> None:
        self._event("STARTED", "started")
        try:
            self._wait_if_inactive()
            if self.kind == "DELETE":
                self._delete()
            else:
                self._transfer()
        except Fatal as error:
            self._finish("FAILED", {"code": error.code, "description": str(error)})
        else:
            self._finish("SUCCEEDED", None)

    def _finish(self, status: str, fatal: Document | None) -> None:
        ended = documents.spelled(documents.now())
        self._event(fatal["code"] if fatal else "SUCCEEDED", fatal["description"] if fatal else "succeeded")
        self.shown.update(
            completion_time=ended, fatal_error=fatal, is_ok=None, nice_status=None, is_paused=False
        )
        # Last: who sees the status finds all the rest.
        self.shown["status"] = status

    def _event(self, code: str, description: str, details: str = "", *, is_error: bool = False) -> None:
        self.events.insert(0, documents.event(code, description, details, is_error=is_error))
        if is_error:
            self.shown["faults"] += 1
            self.shown.update(nice_status=code, nice_status_short_description=description, is_ok=False)

    def _wait_if_inactive(self) -> None:
        """A task that an administrator, or an ended credential, has stopped until a person does something."""
        ends = (self.document.get(name) for name in ("source_endpoint", "destination_endpoint", "endpoint"))
        if not any(end and self.world.collections[end].paused for end in ends):
            return
        self.shown.update(status="INACTIVE", is_paused=True, nice_status="PAUSED_BY_ADMIN")
        self.shown["nice_status_details"] = "The collection is under maintenance"
        while not self.resumed.wait(0.02):
            self._look()
        self.shown.update(status="ACTIVE", is_paused=False, nice_status=None, nice_status_details=None)

    def _look(self) -> None:
        """Ends the task when it was cancelled or its deadline has come."""
        if self.cancelled.is_set():
            raise Fatal("CANCELED", "The task was canceled")
        if dt.datetime.now(dt.UTC) >= self.deadline:
            raise Fatal("EXPIRED", "The task expired before completion")

    def _until_it_works(self, step: Callable[[], Any], work: Work) -> Any:
        """What `step` returns: the service repeats everything that fails, also what cannot get better."""
        while True:
            self._look()
            try:
                return step()
            except FileNotFoundError:
                self._fault("FILE_NOT_FOUND", "No such file or directory", work)
            except Denied as error:
                self._fault("PERMISSION_DENIED", "Permission denied", work, of=str(error))
            except Fault as error:
                details = self._details(str(error), error.path or work.source)
                self._event(error.code, str(error), details, is_error=True)
            self.cancelled.wait(self.world.retry_seconds)

    def _fault(self, code: str, description: str, work: Work, of: str = "") -> None:
        details = self._details(description, of or work.source)
        self._event(code, description, details, is_error=True)
        at_source = of in ("", work.source)
        if self.shown["skip_source_errors"] and at_source and self.kind == "TRANSFER":
            self.skipped.append(
                documents.skipped_error(
                    code, details, self._told(work.source), self._told(work.destination), work.item
                )
            )
            self.shown["subtasks_skipped_errors"] += 1
            raise Skipped

    def _told(self, path: str) -> str:
        """The path as the lists have it."""
        home = self.world.home
        return f"{home}{path.removeprefix('/~')}".replace("//", "/") if home else path

    def _details(self, message: str, path: str) -> str:
        path = self._told(path)
        end = self.document.get("source_endpoint") or self.document.get("endpoint")
        return (
            f"Error (transfer)\nEndpoint: a collection ({end})\nServer: 127.0.0.1:443\nFile: {path}\n"
            f"Command: RETR {path}\nMessage: Fatal FTP response\n---\nDetails: 550-GlobusError: v=1\\r\\n550 {message}"
        )

    # --- copies

    def _transfer(self) -> None:
        source = self.world.collections[self.document["source_endpoint"]]
        destination = self.world.collections[self.document["destination_endpoint"]]
        work: list[Work] = []
        for item in self.document["DATA"]:
            first = Work(item["source_path"], item["destination_path"], item)
            try:
                work += self._until_it_works(
                    lambda one=first: self._expanded(source, destination, one), first
                )
            except Skipped:
                continue
        self.shown.update(files=len(work), subtasks_total=len(work), subtasks_pending=len(work))
        for one in work:
            try:
                self._until_it_works(lambda one=one: self._copy(source, destination, one), one)
            except Skipped:
                continue
            finally:
                self.shown["subtasks_pending"] -= 1

    def _expanded(self, source: Collection, destination: Collection, work: Work) -> list[Work]:
        """The files of one item: itself, or what is in the folder."""
        path = source.path(work.source)
        path.stat()
        if not path.is_dir():
            if work.item.get("recursive"):
                raise Fatal("NOT_A_DIRECTORY", f"{work.source} is not a directory")
            return [work]
        if not work.item.get("recursive"):
            raise Fault("IS_A_DIRECTORY", f"{work.source} is a directory")
        found: list[Work] = []
        for folder, _, files in os.walk(path):
            inner = os.path.relpath(folder, path)
            below = "" if inner == "." else f"{inner}/"
            goal = f"{work.destination.rstrip('/')}/{below}"
            destination.path(goal, writing=True).mkdir(parents=True, exist_ok=True)
            self.shown["directories"] += 1
            begin = f"{work.source.rstrip('/')}/{below}"
            found += [Work(begin + name, goal + name, work.item) for name in files]
        return found

    def _copy(self, source: Collection, destination: Collection, work: Work) -> None:
        here = source.path(work.source)
        there = destination.path(work.destination, writing=True)
        status = here.stat()
        if there.is_dir():
            raise Fault("IS_A_DIRECTORY", f"{work.destination} is a directory", work.destination)
        if self._is_same(here, there, status):
            self.shown["files_skipped"] += 1
            self.shown["subtasks_succeeded"] += 1
            return
        effect = self.world.effect(f"copy {work.source}")
        if "fault" in effect:
            raise Fault(effect["fault"], effect.get("message", "injected"))
        if "fatal" in effect:
            raise Fatal(effect["fatal"], effect.get("message", "injected"))
        self._check_quota(destination, status.st_size, work)
        there.parent.mkdir(parents=True, exist_ok=True)
        self._move(here, there, effect)
        self._spoil(there, effect)
        checksum = self._verify(source, destination, here, there, work)
        if self.document.get("preserve_timestamp"):
            os.utime(there, (status.st_atime, status.st_mtime))
        self.shown["files_transferred"] += 1
        self.shown["subtasks_succeeded"] += 1
        if not self.shown["is_ok"]:
            self._event("PROGRESS", "progress")
            self.shown.update(is_ok=True, nice_status=None, nice_status_short_description=None)
        done = documents.successful_transfer(self._told(work.source), self._told(work.destination))
        if self.world.tells_checksums:
            done.update(
                size=status.st_size,
                checksum=checksum,
                checksum_algorithm=_algorithm(work) if checksum else None,
            )
        self.successful.append(done)

    def _is_same(self, here: Path, there: Path, status: os.stat_result) -> bool:
        """Whether the sync level says that the copy can be left out."""
        level = self.document.get("sync_level")
        if level is None or not there.exists():
            return False
        other = there.stat()
        if level == 0:
            return True
        if level == 3:
            return _digest(here, "sha256") == _digest(there, "sha256")
        newer = level == 1 or other.st_mtime >= status.st_mtime
        return newer and other.st_size == status.st_size

    def _check_quota(self, destination: Collection, size: int, work: Work) -> None:
        if destination.quota is None or size <= destination.quota:
            return
        if self.document.get("fail_on_quota_errors"):
            self._event("QUOTA_EXCEEDED", "", self._details("quota", work.destination), is_error=True)
            raise Fatal("QUOTA_EXCEEDED", "The quota of the destination is exceeded")
        raise Fault("QUOTA_EXCEEDED", "The quota of the destination is exceeded", work.destination)

    def _move(self, here: Path, there: Path, effect: Document) -> None:
        with here.open("rb") as source, there.open("wb") as destination:
            while piece := source.read(_PIECE):
                if "slow" in effect:
                    self.cancelled.wait(effect["slow"])
                self._look()
                destination.write(piece)
                self.shown["bytes_transferred"] += len(piece)

    @staticmethod
    def _spoil(there: Path, effect: Document) -> None:
        with there.open("r+b") as file:
            if effect.get("truncate"):
                file.truncate(max(0, there.stat().st_size - 1))
            if effect.get("flip"):
                first = file.read(1)
                file.seek(0)
                file.write(bytes([first[0] ^ 1]))

    def _verify(
        self, source: Collection, destination: Collection, here: Path, there: Path, work: Work
    ) -> str | None:
        """The checksum that was compared; None where none was."""
        expected = (work.item.get("external_checksum") or "").lower()
        forced = source.force_verify or destination.force_verify
        disabled = source.disable_verify or destination.disable_verify
        wanted = self.document.get("verify_checksum", True) or forced or expected
        if not wanted or (disabled and not forced):
            self.shown["verify_checksum"] = False
            return None
        algorithm = _algorithm(work)
        ours, theirs = _digest(here, algorithm), _digest(there, algorithm)
        self.shown["bytes_checksummed"] += 2 * here.stat().st_size
        if expected and expected != ours:
            self._event(
                "EXTERNAL_CHECKSUM_MISMATCH", "", self._details("mismatch", work.source), is_error=True
            )
            raise Fatal("EXTERNAL_CHECKSUM_MISMATCH", f"The checksum of {work.source} is {ours}")
        if ours != theirs:
            raise Fault(
                "VERIFY_CHECKSUM", "Checksum mismatch between source and destination", work.destination
            )
        return theirs

    # --- removals

    def _delete(self) -> None:
        collection = self.world.collections[self.document["endpoint"]]
        for item in self.document["DATA"]:
            work = Work(item["path"], "", item)
            self._until_it_works(lambda work=work: self._remove(collection, work.source), work)

    def _remove(self, collection: Collection, name: str) -> None:
        path = collection.path(name, writing=True)
        if path.is_dir() and not path.is_symlink():
            if not self.document.get("recursive"):
                raise Fault("IS_A_DIRECTORY", f"{name} is a directory")
            shutil.rmtree(path)
            self.shown["directories"] += 1
        elif path.is_symlink() or path.exists():
            path.unlink()
        elif not self.document.get("ignore_missing"):
            raise FileNotFoundError(name)
        self.shown["files"] += 1


def _deadline(text: str | None) -> dt.datetime:
    if not text:
        return dt.datetime.now(dt.UTC) + dt.timedelta(hours=24)
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _algorithm(work: Work) -> str:
    """MD5 is assumed where an expected checksum comes without the name of its algorithm."""
    return str(work.item.get("checksum_algorithm") or "MD5").upper()


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm.lower().replace("-", "")).hexdigest()
