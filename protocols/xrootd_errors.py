"""What the statuses of XRootD's client library mean.

A status has the library's own code (XrdClStatus.hh) and, where a server has answered with an error, the server's number
(XProtocol.hh, `XErrorCode`). Servers put what they have no number for under "file system error": there the words of the
operating system tell more.
"""

from __future__ import annotations

from .errors import (
    Broken,
    Busy,
    Changed,
    Denied,
    LocalRefused,
    Misconfigured,
    Mismatch,
    NoSpace,
    NotFound,
    ServerFault,
    TransferError,
    Unreachable,
    Unsupported,
)
from .xrootd_streams import UNSPEAKABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

ABSENT: Final = 3011
EXISTS: Final = 3018
IS_FOLDER: Final = 3016
LOCKED: Final = 3003
FILE_SYSTEM: Final = 3005

_BY_SERVER: Final[dict[int, type[TransferError]]] = {
    3000: Unsupported,  # invalid argument
    3001: Unsupported,
    3002: LocalRefused,  # argument too long: a name
    LOCKED: Changed,  # somebody writes it
    3006: Unsupported,
    3007: ServerFault,  # I/O error
    3008: Busy,  # no memory
    3009: NoSpace,
    3010: Denied,
    ABSENT: NotFound,
    3012: ServerFault,
    3013: Unsupported,
    3014: NotFound,  # no server has the file
    3015: LocalRefused,  # not a file
    IS_FOLDER: LocalRefused,
    3017: Broken,
    EXISTS: LocalRefused,
    3019: Mismatch,
    3020: Busy,
    3021: NoSpace,  # over quota
    3024: Busy,
    3025: Denied,  # read-only file system
    3027: Unsupported,
    3028: Misconfigured,  # TLS required
    3029: NotFound,
    3030: Denied,
    3031: Unsupported,
    3034: ServerFault,
    3035: ServerFault,
}
_BY_WORDS: Final[tuple[tuple[str, type[TransferError]], ...]] = (
    ("no such file", NotFound),
    ("not a directory", LocalRefused),
    ("is a directory", LocalRefused),
    ("not empty", LocalRefused),
    ("file name too long", LocalRefused),
    ("no space", NoSpace),
    ("quota", NoSpace),
    ("permission denied", Denied),
    ("read-only", Denied),
    ("not permitted", Denied),
    ("not supported", Unsupported),
)
_BY_LIBRARY: Final[dict[int, type[TransferError]]] = {
    101: Unreachable,  # invalid address: the name is unknown
    108: Unreachable,
    202: Unreachable,  # handshake
    203: Denied,  # login
    204: Denied,  # authentication
    13: Unsupported,
    15: Unsupported,
    16: NotFound,  # no more replicas
    205: Unsupported,
    303: ServerFault,
    304: NotFound,
    305: Mismatch,
    9: LocalRefused,  # invalid arguments: a URL that the library does not take apart
}
_FAULTS_OF_A_CONNECTION: Final = frozenset({102, 103, 104, 105, 107, 109, 206, 207, 208})
_TLS: Final = 110
_CUT: Final = ("broken pipe", "reset by peer", "socket error", "timed out")
"""What a failure of TLS says that is one of the connection. No later try cures the others: nobody vouches for the certificate,
or the server has no TLS."""
_ERROR_RESPONSE: Final = 400


class Status(Exception):
    """What the library said instead of doing it."""

    def __init__(self, code: int, number: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.number = number
        """The server's; 0 where no server has spoken."""
        self.text = text


def error_of_status(
    status: Status, what: str, host: str, kind: type[TransferError] = Broken
) -> TransferError:
    """The error for a failed `what`; `kind` is what a broken connection means there."""
    from ..credentials.redaction import printable

    words = printable(" ".join(_without_frame(status.text).split()))
    error = _kind_of(status, kind)(f"{what}: {words}" if words else what, host=host)
    if status.code == UNSPEAKABLE:
        error.remedy = "rename it at the server"
    if isinstance(error, Misconfigured) and status.code == _TLS:
        error.remedy = (
            "check that this server speaks TLS, and that its certificate is signed by an authority that "
            "X509_CERT_DIR or SSL_CERT_FILE names"
        )
    return error


def _kind_of(status: Status, kind: type[TransferError]) -> type[TransferError]:
    if status.code == -1:
        return ServerFault
    if status.code == UNSPEAKABLE:
        return LocalRefused
    if status.code in _FAULTS_OF_A_CONNECTION:
        return kind
    if status.code == _TLS:
        was_cut = kind is not Unreachable or any(words in status.text.lower() for words in _CUT)
        return kind if was_cut else Misconfigured
    if status.code == _ERROR_RESPONSE:
        if status.number in (FILE_SYSTEM, 3012):
            folded = status.text.lower()
            for words, meaning in _BY_WORDS:
                if words in folded:
                    return meaning
        return _BY_SERVER.get(status.number, ServerFault)
    return _BY_LIBRARY.get(status.code, ServerFault)


def _without_frame(text: str) -> str:
    """What the server itself said: `[ERROR] Server responded with an error: [3011] Unable to open /x; no such file`."""
    _, mark, said = text.partition("Server responded with an error: [")
    if mark:
        return said.partition("] ")[2]
    return text.partition("] ")[2] if text.startswith("[") else text
