"""What an answer of Google Cloud Storage means: the reasons of its JSON errors, the codes of its XML ones, else the status.

From "HTTP status and error codes for JSON" and "... for XML" of its documentation, and from what emulators were seen to say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from .errors import (
    Broken,
    Busy,
    Changed,
    Denied,
    Exists,
    LocalRefused,
    Misconfigured,
    NoSpace,
    NotFound,
    ServerFault,
    TransferError,
    Unsupported,
)
from .statuses import kind_of, retry_after

if TYPE_CHECKING:
    from typing import Final

    from .exchange import Answer

    _Meaning = tuple[type[TransferError], str]

_ACCESS = "check that this credential may do this in this bucket, and that bucket and key are spelled right"
_EXPIRED = "check that the credential is valid and that this machine's clock is right"
_AGAIN = "run the batch again; if it keeps happening, look for something between here and the service that alters bytes"
_PAYER = "the bucket bills who asks: set user_project in the section of this site to the project that pays"
_SHAPE = "see the rules for names of buckets and objects"
_MESSAGE_MOST: Final = 200
_BODY_MOST: Final = 64 << 10


class SessionGone(ServerFault):
    """An upload that was finished, cancelled, or is older than a week; another attempt begins a new one."""


_REASONS: Final[dict[str, _Meaning]] = {
    # JSON
    "authError": (Denied, _EXPIRED),
    "required": (Denied, _ACCESS),
    "unauthorized": (Denied, _EXPIRED),
    "forbidden": (Denied, _ACCESS),
    "insufficientPermissions": (Denied, _ACCESS),
    "accountDisabled": (Denied, "the project that owns the bucket is disabled, or its billing is"),
    "UserProjectAccountProblem": (Denied, "the project that shall pay is disabled, or its billing is"),
    "UserProjectAccessDenied": (
        Denied,
        "this credential may not bill the project: it needs serviceusage.services.use",
    ),
    "UserProjectMissing": (Misconfigured, _PAYER),
    "UserProjectInvalid": (Misconfigured, _PAYER),
    "rateLimitExceeded": (Busy, ""),
    "userRateLimitExceeded": (Busy, ""),
    "dailyLimitExceeded": (Busy, ""),
    "usageLimits": (Busy, ""),
    "quotaExceeded": (NoSpace, "a quota of the project is used up: ask for more, or wait"),
    "backendError": (Busy, ""),
    "internalError": (ServerFault, ""),
    "conditionNotMet": (Changed, "somebody else wrote this object meanwhile: run again"),
    "requestedRangeNotSatisfiable": (Changed, ""),
    "uploadTooLarge": (Unsupported, "an object has at most 5 TiB"),
    "sslRequired": (Misconfigured, "set an https:// endpoint for this site"),
    "resourceInUse": (LocalRefused, "only an empty bucket can be removed without `recursive`"),
    "objectUnderActiveHold": (Denied, "the object is under a hold: release it first"),
    "retentionPolicyNotMet": (
        Denied,
        "the bucket keeps its objects for some time, and this one is too young",
    ),
    # XML
    "NoSuchKey": (NotFound, ""),
    "NoSuchBucket": (NotFound, "create the bucket first (a mkdir request does), or check its name"),
    "AccessDenied": (Denied, _ACCESS),
    "AuthenticationRequired": (Denied, _ACCESS),
    "ExpiredToken": (Denied, _EXPIRED),
    "InvalidSecurity": (Denied, _ACCESS),
    "BadDigest": (Broken, _AGAIN),
    "InvalidDigest": (Broken, _AGAIN),
    "IncompleteBody": (Broken, ""),
    "RequestTimeout": (Broken, ""),
    "PreconditionFailed": (Changed, ""),
    "InvalidRange": (Changed, ""),
    "SlowDown": (Busy, ""),
    "ServiceUnavailable": (Busy, ""),
    "InternalError": (ServerFault, ""),
    "EntityTooLarge": (Unsupported, "an object has at most 5 TiB"),
    "BucketNotEmpty": (LocalRefused, "only an empty bucket can be removed without `recursive`"),
    "InvalidBucketName": (Unsupported, _SHAPE),
    "KeyTooLong": (Unsupported, "a key has at most 1024 bytes: choose a shorter name"),
}

_STATUSES: Final[dict[int, _Meaning]] = {
    401: (Denied, _EXPIRED),
    403: (Denied, _ACCESS),
    408: (Busy, ""),
    409: (Exists, "somebody has a bucket of this name: choose another one"),
    410: (SessionGone, ""),
    411: (ServerFault, ""),
    412: (Changed, ""),
    413: (Unsupported, "an object has at most 5 TiB"),
    502: (ServerFault, ""),
    504: (ServerFault, ""),
}


class Fault(NamedTuple):
    """An error as the service tells it; empty where it tells nothing."""

    reason: str = ""
    message: str = ""


def fault_of(answer: Answer) -> Fault:
    """What the body of an error says. Drains the answer."""
    body = answer.read_all(_BODY_MOST)
    if body.lstrip()[:1] == b"{":
        return _json_fault(body)
    if b"<Error>" in body:
        from .s3_xml import parse_fault

        found = parse_fault(body)
        return Fault(found.code, found.message)
    # Of a download the service says in one bare line what is wrong, and calls it HTML.
    is_line = (answer.headers.get("content-type") or "").lower().startswith("text/") and b"<" not in body
    return Fault("", body.decode("utf-8", "replace").strip() if is_line else "")


def _json_fault(body: bytes) -> Fault:
    try:
        error = json.loads(body)["error"]
        message = error.get("message")
        reasons = [item.get("reason") for item in error.get("errors") or () if isinstance(item, dict)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return Fault()
    reason = next((word for word in reasons if isinstance(word, str)), "")
    return Fault(reason, message if isinstance(message, str) else "")


def fault_error(what: str, answer: Answer, fault: Fault, host: str, presented: str) -> TransferError:
    """The error that an answer means. `what` says what was being done to what, `presented` names the credential."""
    kind, remedy = meaning(answer.status, fault)
    text = f"{what}: {_told(answer.status, fault)}"
    if kind is Denied:
        text += f" ({presented})"
    return kind(text, host=host, remedy=remedy, retry_after=retry_after(answer.headers))


def meaning(status: int, fault: Fault) -> _Meaning:
    """A reason is more exact than its status, except that 5xx and 429 never are the caller's fault."""
    found = _REASONS.get(fault.reason)
    if found is not None and not (status == 429 or status >= 500):
        return found
    return _STATUSES.get(status) or (kind_of(status), "")


def _told(status: int, fault: Fault) -> str:
    from ..credentials.redaction import printable, redact

    message = printable(redact(fault.message[:_MESSAGE_MOST])).strip().rstrip(".")
    said = printable(fault.reason[:60])
    text = f"{said} ({status})" if said else f"the service answered {status}"
    return f"{text}: {message}" if message else text
