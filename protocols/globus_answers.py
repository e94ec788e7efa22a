"""What is in the documents of the Transfer API, or ServerFault where they make no sense. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import ServerFault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    Document = Mapping[str, Any]

STATUSES: Final = frozenset({"ACTIVE", "INACTIVE", "SUCCEEDED", "FAILED"})
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MARKER_MOST: Final = 4096
_COUNTERS: Final = (
    "bytes_transferred",
    "faults",
    "files_skipped",
    "files_transferred",
    "subtasks_skipped_errors",
)


def entries(page: Document, what: str) -> list[Document]:
    """The entries of a list, each a document."""
    found = page.get("DATA")
    if found is None:
        found = []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ServerFault(f"{what}: the answer is no list of documents")
    return found


def marker(page: Document, what: str) -> str:
    """What the next page is asked for with; empty at the end."""
    found = page.get("next_marker")
    if found in (None, ""):
        return ""
    if not isinstance(found, (str, int)) or len(str(found)) > _MARKER_MOST:
        raise ServerFault(f"{what}: the answer does not say how the list goes on")
    return str(found)


def identifier(document: Document, key: str, what: str) -> str:
    """A UUID: it goes into paths, records and messages."""
    found = document.get(key)
    if not isinstance(found, str) or not _UUID.fullmatch(found):
        raise ServerFault(f"{what}: the answer holds no {key}")
    return found


def task(document: Document, what: str) -> Document:
    """The document of a task, of which the status, the counters and what it died of are what they should be."""
    fatal = document.get("fatal_error")
    sound = (
        document.get("status") in STATUSES
        and isinstance(document.get("task_id"), str)
        and all(isinstance(document.get(name) or 0, int) for name in _COUNTERS)
        and (fatal is None or isinstance(fatal, dict))
    )
    if not sound:
        raise ServerFault(f"{what}: the answer is no task")
    return document
