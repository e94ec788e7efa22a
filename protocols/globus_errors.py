"""What refusals of the Globus services mean, and what the codes of a task's events do: two tables, no library.

After "Transfer API: Errors" and "Task event codes". Codes may be added by the service at any time: of an event that nobody
knows the service itself is expected to get rid, by trying again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import (
    Broken,
    Busy,
    Changed,
    Denied,
    LocalRefused,
    Mismatch,
    NoSpace,
    NotFound,
    Oversized,
    Reach,
    ServerFault,
    TransferError,
    Unreachable,
    Unsupported,
)
from .heads import Fields
from .statuses import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

PERMANENT: Final[dict[str, type[TransferError]]] = {
    "AUTH": Denied,
    "EXTERNAL_CHECKSUM_MISMATCH": Mismatch,
    "FILE_NOT_FOUND": NotFound,
    "FILE_SIZE_CHANGED": Changed,
    "INVALID_PATH_NAME": LocalRefused,
    "IS_A_DIRECTORY": LocalRefused,
    "NOT_A_DIRECTORY": LocalRefused,
    "NO_CREDENTIALS": Denied,
    "NO_SPACE_LEFT": NoSpace,
    "PERMISSION_DENIED": Denied,
    "QUOTA_EXCEEDED": NoSpace,
}
"""Events that no repetition cures, although the service repeats until the deadline."""
OF_ALL: Final = frozenset({"AUTH", "NO_CREDENTIALS", "NO_SPACE_LEFT", "QUOTA_EXCEEDED"})
"""Those that are not about one file."""
TRANSIENT: Final[dict[str, type[TransferError]]] = {
    "CONNECT_FAILED": Unreachable,
    "CONNECTION_BROKEN": Broken,
    "CONNECTION_RESET": Broken,
    "ENDPOINT_TOO_BUSY": Busy,
    "GC_NOT_CONNECTED": Unreachable,
    "GC_PAUSED": Unreachable,
    "PAUSED": Unreachable,
    "TIMEOUT": Unreachable,
    "VERIFY_CHECKSUM": Mismatch,
}
"""What is said of them when patience has ended."""
REMEDIES: Final = {
    "GC_NOT_CONNECTED": "start Globus Connect Personal on that machine",
    "GC_PAUSED": "unpause Globus Connect Personal on that machine",
    "IS_A_DIRECTORY": "name the file in the destination, or ask for a recursive copy of the folder",
    "NO_CREDENTIALS": "log in to the collection again in the Globus web app",
    "AUTH": "log in to the collection again in the Globus web app",
}
_MISSING: Final = re.compile(r"PATH_NOT_FOUND|GridFTP-Errno: 2\b|No such file or directory")
_FORBIDDEN: Final = re.compile(r"PERMISSION_DENIED|GridFTP-Errno: 13\b|Permission denied|Path not allowed")
_FULL: Final = re.compile(r"QUOTA|GridFTP-Errno: (?:28|122)\b|NO_SPACE|No space left|quota exceeded")
_ILL: Final = re.compile(r"ENDPOINT_ERROR|GCS Manager Internal Error")
"""A data server that is ill answers 404 with this: the file may well be there."""
_WRONG_KIND: Final = re.compile(r"GridFTP-Errno: 2[01]\b|Is a directory|Not a directory")
_OFFLINE: Final = re.compile(r"not currently connected|GCDisconnected|GCPaused|is paused", re.IGNORECASE)
_BY_TEXT: Final[tuple[tuple[re.Pattern[str], type[TransferError]], ...]] = (
    (_MISSING, NotFound),
    (_FORBIDDEN, Denied),
    (_FULL, NoSpace),
    (_WRONG_KIND, LocalRefused),
    (_OFFLINE, Unreachable),
)
"""By what the data server said, which comes as text whatever the status."""

_PATHS_SECONDS: Final = 10.0
"""Until it is tried again whether the other task is over."""


class Taken(LocalRefused):
    """The name is there already."""


class PathsInUse(Busy):
    """Another task that is under way does the same copies. The service itself is not busy."""

    reach = Reach.ATTEMPT
    default_remedy = "wait until that task is over, or cancel it in the Globus web app"


def is_ill(text: str) -> bool:
    """Whether an answer that says `not found` only says that the collection's server is not well."""
    return _ILL.search(text) is not None


def kind_of(status: int, code: str, text: str) -> type[TransferError]:
    """The error that a refusal stands for: HTTP status, Globus' own code, and the message."""
    if _ILL.search(code) or _ILL.search(text):
        return ServerFault
    for pattern, kind in _BY_TEXT:
        if pattern.search(text) or pattern.search(code):
            return kind
    if code.endswith(".Exists"):
        return Taken
    if code.endswith(("NotDirectory", "IsDirectory")):
        return LocalRefused
    if status == 409 and code == "Conflict":
        return PathsInUse
    if status == 413 or code.endswith("TooLarge"):
        return Oversized
    return _by_status(status)


def _by_status(status: int) -> type[TransferError]:
    if status in (401, 402, 403):
        return Denied
    if status == 404:
        return NotFound
    if status in (409, 429, 503):
        return Busy
    return ServerFault if status >= 500 or status < 400 else Unsupported


def refusal(
    what: str, status: int, code: str, text: str, headers: Mapping[str, str], *, secrets: tuple[str, ...] = ()
) -> TransferError:
    """The error for a refusal; `what` says what was being done."""
    from ..credentials.redaction import printable, redact, redact_known

    kind = kind_of(status, code, text)
    told = printable(redact(_plain(text)))[:300]
    message = redact_known(f"{what}: {status} {printable(code)[:80]}: {told}".rstrip(": "), secrets)
    if issubclass(kind, PathsInUse):
        return kind(message, retry_after=_PATHS_SECONDS)
    if issubclass(kind, Busy):
        return kind(message, retry_after=_seconds(headers))
    return kind(message, remedy=_remedy(kind, code))


def _remedy(kind: type[TransferError], code: str) -> str:
    if code == "EndpointNotFound":
        return (
            "check the UUID of the collection; it may have been deleted, or you may not be allowed to see it"
        )
    if kind is Unreachable:
        return "start Globus Connect Personal on that machine, or wait until the collection is back"
    return ""


def _seconds(headers: Mapping[str, str]) -> float | None:
    """How long to wait; at most a day."""
    lines = (f"{name}: {headers[name]}\r\n" for name in headers if name.lower() in ("retry-after", "date"))
    return retry_after(Fields("".join(lines)))


def _plain(text: str) -> str:
    """The message in one line: what the data server said comes last, its line ends spelled out."""
    return " ".join(text.replace("\\r", " ").replace("\\n", " ").split())
