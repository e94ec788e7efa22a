"""What `ssh` says, and what SFTP servers answer, as our errors: the two tables of everything over SSH."""

from __future__ import annotations

import re

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
    Unreachable,
    Unsupported,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..credentials.kinds import Credential


class NoSubsystem(Unsupported):
    """The server runs no SFTP. The old scp protocol may work all the same."""


_REACH_IT: Final = Unreachable.default_remedy
DROPPED: Final = (
    "the server may be limiting how many log in at once (MaxStartups), or it is a firewall's doing: "
    "run again later, or with a smaller -n"
)

SAID: Final[tuple[tuple[str, type[TransferError], str], ...]] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|[Hh]ost key .*has changed|REVOKED HOST KEY|marked as revoked",
        Misconfigured,
        (
            "the host shows another key than the one that is known: if it was set up anew, ask its operator for the "
            "fingerprint and take the old key out with ssh-keygen -R; if not, somebody is in between"
        ),
    ),
    (
        r"Host key verification failed|No \S+ host key is known",
        Misconfigured,
        (
            "the host's key is not known here: log in once with ssh and compare the fingerprint, put the key into "
            "~/.ssh/known_hosts, or use --accept-new-host-keys for hosts that were never seen before"
        ),
    ),
    (r"UNPROTECTED PRIVATE KEY FILE|bad permissions", Denied, "chmod 600 the private key"),
    (
        r"Load key .*: (?:invalid format|error in libcrypto|incorrect passphrase|unknown or unsupported key type)",
        Denied,
        (
            "this private key cannot be read: it is damaged, or has a pass phrase; load it into an agent, or "
            "give the pass phrase in the credentials file"
        ),
    ),
    (
        r"Permission denied|Too many authentication failures|No more authentication methods|Authentication failed",
        Denied,
        "check the user name, and that the public key is in the account's authorized_keys: ssh -v shows what was tried",
    ),
    (
        r"Bad owner or permissions|Bad configuration option|terminating, \d+ bad|Can't open user config",
        Misconfigured,
        "correct the ssh configuration",
    ),
    (
        r"Unable to negotiate|no matching [a-z ]+ found",
        Misconfigured,
        "the server offers only what this ssh accepts no more: allow it for this host alone in ~/.ssh/config",
    ),
    (
        r"subsystem request failed|Subsystem request",
        NoSubsystem,
        "the server runs no SFTP: its operator can switch the subsystem on",
    ),
    (
        r"administratively prohibited|[Ss]ession open refused|mux_client_request_session|open failed: connect",
        Busy,
        "the server allows no more sessions (MaxSessions): use a smaller -n",
    ),
    (
        r"Could not resolve hostname|Name or service not known|name resolution",
        Unreachable,
        "check the host name",
    ),
    (
        r"Connection refused|No route to host|Network is unreachable|timed out|Timeout, server",
        Unreachable,
        _REACH_IT,
    ),
    (
        r"banner\b.*\binvalid",
        Unreachable,
        "what answers there is no SSH server: check the port",
    ),
    (
        # A reset within `connect`: somebody is there and closed at once, as a server does that lets nobody more in.
        (
            r"exchange_identification|banner exchange|Not allowed at this time|MaxStartups|reading SSH protocol banner"
            r"|connect to host .*: Connection reset by peer"
        ),
        TurnedAway,
        DROPPED,
    ),
    (
        r"ssh_dispatch_run_fatal|message authentication code incorrect|Bad packet length|Corrupted MAC",
        Broken,
        Broken.default_remedy,
    ),
)
"""Patterns of what is written to standard error, the most telling first; where several match, the first counts."""

_SILENT: Final = (
    r"Connection (?:closed|reset)|Broken pipe|client_loop|closed by remote host|packet_write_wait|EOF"
)


def error_of_words(
    words: str, kind: type[TransferError], doing: str, host: str, credential: Credential
) -> TransferError:
    """The error that the words of `ssh` mean; `kind` where they mean nothing known."""
    for pattern, found, remedy in SAID:
        match = re.search(pattern, words)
        if match is not None:
            if found is Unreachable:
                found = kind
            what = f"{doing}: {_line_of(words, match)}"
            presented = _presented(credential) if found is Denied else ""
            if found is Denied and credential.kind == "basic":
                remedy = "check the user name and the password, and that the server takes passwords"
            return found(what + presented, host=host, remedy=remedy)
    return kind(f"{doing}: {_last_line(words) or 'the connection ended'}", host=host)


def _presented(credential: Credential) -> str:
    """What the far side did not take."""
    from ..credentials.kinds import Anonymous
    from ..credentials.redaction import printable

    if isinstance(credential, Anonymous):
        return " (presented: what ssh finds by itself)"
    return f" (presented: {printable(credential.name)} from {printable(credential.origin)})"


def _line_of(words: str, match: re.Match[str]) -> str:
    start = words.rfind("\n", 0, match.start()) + 1
    end = words.find("\n", match.end())
    return _clean(words[start : end if end >= 0 else len(words)])


def _last_line(words: str) -> str:
    lines = [line for line in words.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(_SILENT, line)]
    return _clean((telling or lines or [""])[-1])


def _clean(text: str) -> str:
    from ..credentials.redaction import printable, redact

    return printable(" ".join(redact(text).replace("@@", " ").split()))[:300]


STATUSES: Final[dict[int, type[TransferError]]] = {
    2: NotFound,  # SSH_FX_NO_SUCH_FILE
    3: Denied,  # SSH_FX_PERMISSION_DENIED
    4: ServerFault,  # SSH_FX_FAILURE: whatever has no number of its own
    5: LocalRefused,  # SSH_FX_BAD_MESSAGE: OpenSSH says this of names that are too long
    6: Broken,  # SSH_FX_NO_CONNECTION
    7: Broken,  # SSH_FX_CONNECTION_LOST
    8: Unsupported,  # SSH_FX_OP_UNSUPPORTED
    10: NotFound,  # SSH_FX_NO_SUCH_PATH
    12: Denied,  # SSH_FX_WRITE_PROTECT
    14: NoSpace,  # SSH_FX_NO_SPACE_ON_FILESYSTEM
    15: NoSpace,  # SSH_FX_QUOTA_EXCEEDED
    17: Busy,  # SSH_FX_LOCK_CONFLICT
    19: NotFound,  # SSH_FX_NOT_A_DIRECTORY
    20: LocalRefused,  # SSH_FX_INVALID_FILENAME
    21: NotFound,  # SSH_FX_LINK_LOOP
    24: LocalRefused,  # SSH_FX_FILE_IS_A_DIRECTORY
}
"""Status codes of SFTP 3 (draft-ietf-secsh-filexfer-02, section 7), and those of later versions that servers use all
the same."""

_FULL: Final = re.compile(r"no space|disk full|quota", re.IGNORECASE)


def error_of_status(code: int, message: str, what: str, host: str) -> TransferError:
    """The error that a status means. `what` says what was being done to which file."""
    kind = STATUSES.get(code, ServerFault)
    if _FULL.search(message):
        kind = NoSpace
    said = _clean(message) or f"status {code}"
    if kind is Denied:
        remedy = "check the permissions of this path at the server, and that it is the right account"
    elif kind is ServerFault:
        remedy = (
            "the server does not say why; often its disk or a quota is full, or something else has this name"
        )
    else:
        remedy = "check the path" if kind is LocalRefused else ""
    return kind(f"{what}: {said}", host=host, remedy=remedy)
