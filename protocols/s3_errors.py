"""What an answer of S3 means: its error codes, and its statuses where it gives no code.

From "Error responses" of the Amazon S3 API reference, and from what SeaweedFS, Ceph RGW and MinIO were seen to say.
"""

from __future__ import annotations

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
    Unsupported,
)
from .statuses import kind_of, retry_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..credentials.kinds import AccessKey
    from .errors import TransferError
    from .exchange import Fields
    from .s3_xml import Fault

    _Meaning = tuple[type[TransferError], str]


class UploadGone(ServerFault):
    """An upload that was completed or removed; another attempt begins a new one."""


_ACCESS = "check that this access key may do this in this bucket, and that bucket and key are spelled right"
_AGAIN = "run the batch again; if it keeps happening, look for something between here and the server that alters bytes"

_CODES: Final[dict[str, _Meaning]] = {
    "NoSuchKey": (NotFound, ""),
    "NoSuchBucket": (NotFound, "create the bucket first (a mkdir request does), or check its name"),
    "NoSuchVersion": (NotFound, ""),
    "NoSuchUpload": (
        UploadGone,
        "somebody, or a rule of the bucket, removed the unfinished upload: run again",
    ),
    "AccessDenied": (Denied, _ACCESS),
    "AllAccessDisabled": (Denied, _ACCESS),
    "AccountProblem": (Denied, "ask the operator of this service about the account"),
    "InvalidAccessKeyId": (
        Denied,
        "the service does not know this access key: check access_key and endpoint",
    ),
    "SignatureDoesNotMatch": (Denied, "the secret key is not the one of this access key: check secret_key"),
    "ExpiredToken": (Denied, "the session token has expired: get new temporary credentials"),
    "InvalidToken": (Denied, "the session token is not valid: get new temporary credentials"),
    "TokenRefreshRequired": (Denied, "get new temporary credentials"),
    "RequestTimeTooSkewed": (
        Denied,
        "the clocks of this machine and of the server differ: set this one (NTP)",
    ),
    "RequestExpired": (Denied, "the clocks of this machine and of the server differ: set this one (NTP)"),
    "InvalidObjectState": (Unsupported, "the object is archived: restore it first"),
    "SlowDown": (Busy, ""),
    "SlowDownRead": (Busy, ""),
    "SlowDownWrite": (Busy, ""),
    "ServiceUnavailable": (Busy, ""),
    "TooManyRequests": (Busy, ""),
    "RequestLimitExceeded": (Busy, ""),
    "Throttling": (Busy, ""),
    "ThrottlingException": (Busy, ""),
    "BandwidthLimitExceeded": (Busy, ""),
    "InternalError": (ServerFault, ""),
    "OperationAborted": (ServerFault, ""),
    "ConditionalRequestConflict": (ServerFault, ""),
    "InvalidPart": (ServerFault, ""),
    "InvalidPartOrder": (ServerFault, ""),
    "RequestTimeout": (Broken, ""),
    "IncompleteBody": (Broken, ""),
    "BadDigest": (Broken, _AGAIN),
    "InvalidDigest": (Broken, _AGAIN),
    "XAmzContentSHA256Mismatch": (Broken, _AGAIN),
    "XAmzContentChecksumMismatch": (Broken, _AGAIN),
    "PreconditionFailed": (Changed, ""),
    "InvalidRange": (Changed, ""),
    "QuotaExceeded": (NoSpace, ""),
    "UserQuotaExceeded": (NoSpace, ""),
    "BucketQuotaExceeded": (NoSpace, ""),
    "InsufficientCapacity": (NoSpace, ""),
    "XMinioStorageFull": (NoSpace, ""),
    "XMinioAdminBucketQuotaExceeded": (NoSpace, ""),
    "TooManyBuckets": (NoSpace, "the account may have no more buckets: remove some, or use another one"),
    "EntityTooLarge": (Unsupported, "the object is larger than this service accepts"),
    "KeyTooLongError": (Unsupported, "the key is longer than 1024 bytes: choose a shorter name"),
    "BucketNotEmpty": (LocalRefused, "only an empty bucket can be removed without `recursive`"),
    "BucketAlreadyExists": (Denied, "somebody else has a bucket of this name: choose another one"),
    "BucketAlreadyOwnedByYou": (Exists, ""),
    "PermanentRedirect": (Misconfigured, "set the endpoint and the region of this bucket"),
    "TemporaryRedirect": (Misconfigured, "set the endpoint and the region of this bucket"),
    "AuthorizationHeaderMalformed": (Misconfigured, "set the region of this site"),
    "IllegalLocationConstraintException": (Misconfigured, "set the region of this site"),
    "InvalidLocationConstraint": (Misconfigured, "set the region of this site to one that the service has"),
}

_MESSAGE_MOST: Final = 200


def fault_error(
    what: str, status: int, fault: Fault, headers: Fields, host: str, credential: AccessKey
) -> TransferError:
    """The error that an answer means. `what` says what was being done, and to what."""
    kind, remedy = _CODES.get(fault.code) or _by_status(status)
    text = f"{what}: {_told(status, fault)}"
    if kind is Denied and credential.access_key:
        text += f" (access key {credential.name}, from {credential.origin})"
    return kind(text, host=host, remedy=remedy, retry_after=retry_after(headers))


def _by_status(status: int) -> _Meaning:
    if 300 <= status < 400:
        return Misconfigured, "set the endpoint and the region of this bucket"
    return kind_of(status), _ACCESS if status in (401, 403) else ""


def _told(status: int, fault: Fault) -> str:
    from ..credentials.redaction import printable, redact

    if not fault.code:
        return f"the server answered {status}"
    message = printable(redact(fault.message[:_MESSAGE_MOST])).strip().rstrip(".")
    return f"{printable(fault.code[:60])} ({status})" + (f": {message}" if message else "")
