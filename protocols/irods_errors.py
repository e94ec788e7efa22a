"""What iRODS's error codes mean, in one table, and the sentences about them.

A code is a thousandfold negative number, to which the system's errno may be added: -513028 is UNIX_FILE_WRITE_ERR with
"no space left". Names are those of rodsErrorTable.h; a code without one here is told by its number.
"""

from __future__ import annotations

import errno

from .errors import (
    Broken,
    Busy,
    Denied,
    LocalRefused,
    Misconfigured,
    NoSpace,
    NotFound,
    ServerFault,
    TransferError,
    TurnedAway,
    Unsupported,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NO_ROWS: Final = -808000
UNKNOWN_COLLECTION: Final = -814000
HIERARCHY_ERROR: Final = -1803000
LOCKED: Final = -406000
CHECKSUM_MISMATCH: Final = -314000
VERIFICATION: Final = -407000
NO_ZONE: Final = -26000

ABSENT: Final = frozenset({NO_ROWS, UNKNOWN_COLLECTION, -817000, -358000, -310000})
"""Answers that nothing has this name: which one comes depends on what was asked."""

_RESOURCE: Final = (
    "name a resource of this zone (ilsresc lists them), or leave it to the zone: irods:///zone/path"
)
_PERMISSION: Final = (
    "ask the owner for access at this path (ichmod), and check the user in the environment file"
)
_PASSWORD: Final = "check irods_user_name and the password, or log in anew with iinit"
_BUSY: Final = (
    "another client is writing this object, or a connection that broke is still being cleaned up, "
    "or the object is on another resource than the URL names"
)
_TICKET: Final = "ask whoever issued the ticket for one that is valid for this path and for what is done"

TABLE: Final[dict[int, tuple[str, type[TransferError], str]]] = {
    -4000: ("SYS_HEADER_READ_LEN_ERR", Broken, ""),
    -7000: ("SYS_CAUGHT_SIGNAL", ServerFault, ""),
    -9000: ("SYS_EXCEED_CONNECT_CNT", TurnedAway, ""),
    -10000: ("SYS_USER_NOT_ALLOWED_TO_CONN", Denied, _PASSWORD),
    -12000: ("SYS_UNMATCHED_API_NUM", Unsupported, ""),
    -13000: ("SYS_NO_API_PRIV", Denied, _PERMISSION),
    -16000: ("SYS_MALLOC_ERR", ServerFault, ""),
    -18000: ("SYS_OUT_OF_FILE_DESC", Busy, ""),
    -21000: ("SYS_INVALID_SERVER_HOST", ServerFault, ""),
    -22000: ("SYS_SVR_TO_SVR_CONNECT_FAILED", ServerFault, ""),
    NO_ZONE: ("SYS_INVALID_ZONE_NAME", NotFound, "check the first part of the path: it is the zone"),
    -27000: ("SYS_COPY_LEN_ERR", Broken, ""),
    -31000: ("SYS_INVALID_FILE_PATH", LocalRefused, "check the path"),
    -32000: ("SYS_INVALID_RESC_INPUT", LocalRefused, _RESOURCE),
    -36000: ("SYS_NO_PATH_PERMISSION", Denied, _PERMISSION),
    -38000: ("SYS_AGENT_INIT_ERR", Busy, ""),
    -40000: ("SYS_NO_DATA_OBJ_PERMISSION", Denied, _PERMISSION),
    -66000: ("SYS_NOT_SUPPORTED", Unsupported, ""),
    -77000: ("SYS_COPY_NOT_EXIST_IN_RESC", NotFound, _RESOURCE),
    -78000: ("SYS_RESC_DOES_NOT_EXIST", LocalRefused, _RESOURCE),
    -105000: ("SYS_RESC_IS_DOWN", ServerFault, "the storage is switched off for now: run again later"),
    -110000: ("SYS_RESC_QUOTA_EXCEEDED", NoSpace, ""),
    -115000: ("SYS_SOCK_READ_TIMEDOUT", Broken, ""),
    -116000: ("SYS_SOCK_READ_ERR", Broken, ""),
    -130000: ("SYS_INVALID_INPUT_PARAM", ServerFault, ""),
    -154000: ("SYS_INTERNAL_ERR", ServerFault, ""),
    -164000: ("SYS_REPLICA_DOES_NOT_EXIST", NotFound, ""),
    -168000: ("SYS_REPLICA_INACCESSIBLE", ServerFault, ""),
    -169000: ("SYS_NOT_ALLOWED", Denied, ""),
    -310000: ("USER_FILE_DOES_NOT_EXIST", NotFound, ""),
    -311000: ("USER_FILE_TOO_LARGE", NoSpace, ""),
    -312000: ("OVERWRITE_WITHOUT_FORCE_FLAG", ServerFault, ""),
    CHECKSUM_MISMATCH: ("USER_CHKSUM_MISMATCH", Broken, ""),
    -317000: ("USER_INPUT_PATH_ERR", LocalRefused, "check the path"),
    -339000: ("SAME_SRC_DEST_PATHS_ERR", LocalRefused, "source and destination are one object"),
    -346000: ("USER_PATH_EXCEEDS_MAX", LocalRefused, "the path is too long for this service"),
    -354000: ("CANT_RM_NON_EMPTY_HOME_COLL", Denied, "only what is inside a home collection can be removed"),
    -358000: ("OBJ_PATH_DOES_NOT_EXIST", NotFound, ""),
    LOCKED: ("LOCKED_DATA_OBJECT_ACCESS", ServerFault, _BUSY),
    VERIFICATION: ("CHECK_VERIFICATION_RESULTS", ServerFault, ""),
    -510000: ("UNIX_FILE_OPEN_ERR", ServerFault, ""),
    -511000: ("UNIX_FILE_CREATE_ERR", ServerFault, ""),
    -512000: ("UNIX_FILE_READ_ERR", ServerFault, ""),
    -513000: ("UNIX_FILE_WRITE_ERR", ServerFault, ""),
    -514000: ("UNIX_FILE_CLOSE_ERR", ServerFault, ""),
    -515000: ("UNIX_FILE_UNLINK_ERR", ServerFault, ""),
    -516000: ("UNIX_FILE_STAT_ERR", ServerFault, ""),
    -520000: ("UNIX_FILE_MKDIR_ERR", ServerFault, ""),
    -528000: ("UNIX_FILE_RENAME_ERR", ServerFault, ""),
    -806000: ("CAT_SQL_ERR", ServerFault, ""),
    NO_ROWS: ("CAT_NO_ROWS_FOUND", NotFound, ""),
    -809000: ("CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME", LocalRefused, "something else has this name"),
    UNKNOWN_COLLECTION: ("CAT_UNKNOWN_COLLECTION", NotFound, ""),
    -817000: ("CAT_UNKNOWN_FILE", NotFound, ""),
    -818000: ("CAT_NO_ACCESS_PERMISSION", Denied, _PERMISSION),
    -821000: ("CAT_COLLECTION_NOT_EMPTY", LocalRefused, "ask for a recursive removal"),
    -826000: ("CAT_INVALID_AUTHENTICATION", Denied, _PASSWORD),
    -827000: ("CAT_INVALID_USER", Denied, "check irods_user_name and irods_zone_name in the environment file"),
    -828000: ("CAT_INVALID_ZONE", Denied, "check irods_zone_name in the environment file"),
    -831000: ("CAT_INVALID_RESOURCE", LocalRefused, _RESOURCE),
    -832000: ("CAT_INVALID_CLIENT_USER", Denied, "check irods_user_name in the environment file"),
    -833000: ("CAT_NAME_EXISTS_AS_COLLECTION", LocalRefused, "a collection has this name"),
    -834000: ("CAT_NAME_EXISTS_AS_DATAOBJ", LocalRefused, "a data object has this name"),
    -840000: ("CAT_PASSWORD_EXPIRED", Denied, "log in anew with iinit"),
    -850000: ("CAT_PASSWORD_ENCODING_ERROR", Denied, _PASSWORD),
    -890000: ("CAT_TICKET_INVALID", Denied, _TICKET),
    -891000: ("CAT_TICKET_EXPIRED", Denied, _TICKET),
    -892000: ("CAT_TICKET_USES_EXCEEDED", Denied, _TICKET),
    -893000: ("CAT_TICKET_USER_EXCLUDED", Denied, _TICKET),
    -894000: ("CAT_TICKET_HOST_EXCLUDED", Denied, _TICKET),
    -895000: ("CAT_TICKET_GROUP_EXCLUDED", Denied, _TICKET),
    -896000: ("CAT_TICKET_WRITE_USES_EXCEEDED", Denied, _TICKET),
    -897000: ("CAT_TICKET_WRITE_BYTES_EXCEEDED", Denied, _TICKET),
    -910000: ("REMOTE_SERVER_AUTHENTICATION_FAILURE", ServerFault, ""),
    -992000: ("PAM_AUTH_NOT_BUILT_INTO_SERVER", Misconfigured, "this zone has no PAM: use native in the environment"),
    -993000: ("PAM_AUTH_PASSWORD_FAILED", Denied, _PASSWORD),
    -994000: ("PAM_AUTH_PASSWORD_INVALID_TTL", Denied, _PASSWORD),
    HIERARCHY_ERROR: ("HIERARCHY_ERROR", ServerFault, _BUSY),
}  # fmt: skip

_SYSTEM: Final[dict[int, type[TransferError]]] = {
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EFBIG: NoSpace,
    errno.EACCES: Denied,
    errno.EPERM: Denied,
    errno.EROFS: Denied,
    errno.ENOENT: NotFound,
    errno.ENAMETOOLONG: LocalRefused,
}
"""What the errno in a code of the storage means."""


class Refused(Exception):
    """An error code that the server answered, and the text that came with it. Mapped by `error_of`."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text

    @property
    def base(self) -> int:
        """The code without an errno."""
        return -(-self.code // 1000) * 1000

    @property
    def absent(self) -> bool:
        return self.base in ABSENT

    @property
    def nowhere(self) -> bool:
        """There is no such name, or not even such a zone."""
        return self.absent or self.base == NO_ZONE


class NotAgreed(Misconfigured):
    """The two sides' policies about TLS exclude each other."""


def from_library(error: Exception, what: str, host: str, *, presented: str = "") -> TransferError:
    """The error that an exception of python-irodsclient means.

    It hides what a socket said behind an exception of its own, and raises KeyError for codes that it does not know.
    """
    from irods.exception import NetworkException, iRODSException  # type: ignore[import-untyped]

    if isinstance(error, TransferError):
        return error
    if isinstance(error, iRODSException):
        return error_of(Refused(error.code, _said(error)), what, host, presented=presented)
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], int):
        return error_of(Refused(error.args[0]), what, host, presented=presented)
    cause = error.__context__ if isinstance(error, NetworkException) else error
    if isinstance(cause, OSError):
        return _of_network(cause, what, host)
    if isinstance(error, NetworkException):
        return NotAgreed(
            f"{what}: the two sides do not agree about TLS ({error})",
            host=host,
            remedy="correct irods_client_server_policy in the environment file; PAM needs TLS",
        )
    return ServerFault(f"{what}: {host} does not greet as an iRODS server does ({error!r:.200})", host=host)


def _said(error: Exception) -> str:
    return str(error.args[0]) if error.args and error.args[0] is not None else ""


def _of_network(error: OSError, what: str, host: str) -> TransferError:
    from .connection import failure

    found = failure(error, what, host, begun=False)
    if isinstance(found, Misconfigured):
        found.remedy = "name the certificate authority of this zone as irods_ssl_ca_certificate_file in the environment file"
    return found


def told(refused: Refused) -> str:
    """The code's name and number, the system's reason, and the server's own words."""
    from ..credentials.redaction import printable, redact

    name = TABLE.get(refused.base, ("",))[0]
    text = f"{name} ({refused.code})" if name else f"error {refused.code}"
    reason = _system_reason(refused)
    words = " ".join(redact(refused.text).split())
    return printable(": ".join(part for part in (text, reason, words) if part))[:500]


def _system_reason(refused: Refused) -> str:
    from os import strerror

    number = -refused.code % 1000
    return strerror(number) if 0 < number < 200 else ""


def error_of(refused: Refused, what: str, host: str, *, presented: str = "") -> TransferError:
    """The error that a code means. `what` says what was being done to which path; `presented` names the credential."""
    _, kind, remedy = TABLE.get(refused.base, ("", ServerFault, ""))
    number = -refused.code % 1000
    if refused.base not in TABLE or kind is ServerFault:
        kind = _SYSTEM.get(number, kind)
    text = f"{what}: {told(refused)}"
    if kind is Denied and presented:
        text = f"{text} (presented: {presented})"
    return kind(text, host=host, remedy=remedy)
