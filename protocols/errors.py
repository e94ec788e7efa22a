"""Why an attempt failed, and how far the failure reaches.

::

    TransferError            code                 reach     worth a later retry
    |-- Broken               broken               ATTEMPT   yes   cut, reset or stalled in mid-body; too short
    |-- Changed              changed              ATTEMPT   yes   another version, or a range that was ignored
    |-- ServerFault          server-error         ATTEMPT   yes   5xx and answers that make no sense
    |-- NotFound             not-found            REPLICA   no
    |-- Mismatch             mismatch             REPLICA   no    a size or digest is not the expected one
    |-- Unverified           unverified           REPLICA   no    evidence that was insisted on cannot be had
    |-- Denied               denied               REPLICA   no    credential refused (GROUP by the engine's rule)
    |-- Unsupported          unsupported          REPLICA   no    the protocol, or this server, cannot do that
    |-- Unreachable          unreachable          HOST      yes   connect, DNS, TLS, no first byte of an answer
    |-- Busy                 busy                 HOST      yes   429, 503, SlowDown
    |   `-- TurnedAway                                            no more logins just now: nothing was looked at
    |-- MissingCredential    missing-credential   GROUP     no
    |-- MissingExtra         missing-extra        GROUP     no
    |-- Misconfigured        configuration        GROUP     no
    |-- Exists               exists               REQUEST   no    refused by `--existing`
    |-- LocalRefused         refused              REPLICA   no    permission, name or kind of a local file; guard rails
    |-- NoSpace              no-space             REQUEST   no
    |-- Stopped              stopped              REQUEST   yes   signal or deadline
    `-- Defect               defect               REQUEST   no    an exception nobody expected

A protocol raises these and nothing else, mapped from its library's errors in one table. It says what was
being done and what came back; the engine adds which end it was and the step. Texts never hold a secret: URLs
in them went through `wf.credentials.redaction`.

`reach` tells the engine what else cannot work: ATTEMPT nothing (try again here), REPLICA this source or
destination, HOST everything on this host for now, REQUEST the whole request, GROUP everything with the same host
and credential.
"""

from __future__ import annotations

import errno

from ..checksum.records import StrEnum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class Reach(StrEnum):
    ATTEMPT = "attempt"
    REPLICA = "replica"
    HOST = "host"
    REQUEST = "request"
    GROUP = "group"


class End(StrEnum):
    SOURCE = "source"
    DESTINATION = "destination"
    NEITHER = "neither"


class TransferError(Exception):
    """The base of every failure that an outcome can hold.

    `what` is one sentence for people: what was done, to what, what came back. `retry_after` is in seconds, from
    the server. `end` and `step` are filled in by the engine where the protocol leaves them empty.
    """

    code: ClassVar[str] = "defect"
    reach: Reach = Reach.REQUEST
    later: ClassVar[bool] = False
    """A later run of the same batch may succeed without anybody changing anything."""
    default_remedy: ClassVar[str] = ""

    def __init__(
        self,
        what: str,
        *,
        host: str = "",
        retry_after: float | None = None,
        remedy: str = "",
        end: End | None = None,
        step: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.host = host
        self.retry_after = retry_after
        self.remedy = remedy or self.default_remedy
        self.end = end
        self.step = step
        self.left_behind = ""
        """A name that holds something wrong and could not be removed; filled in by the engine."""

    def at(self, end: End, step: str) -> TransferError:
        """This error, with the end and the step filled in where they were unknown."""
        if self.end is None:
            self.end = end
        if not self.step:
            self.step = step
        return self


class Broken(TransferError):
    code = "broken"
    reach = Reach.ATTEMPT
    later = True
    default_remedy = "run the batch again; if it keeps happening, look at the network path to this host"


class Undone(Broken):
    """What was cut short because of another item, which failed: an item of a managed task, or a file that was sent behind others. It
    has had no try of its own."""


class Changed(TransferError):
    code = "changed"
    reach = Reach.ATTEMPT
    later = True
    default_remedy = "the source was written while it was read: make sure its producer has finished"


class ServerFault(TransferError):
    code = "server-error"
    reach = Reach.ATTEMPT
    later = True
    default_remedy = "run the batch again later; if it keeps happening, tell the operator of this server"


class NotFound(TransferError):
    code = "not-found"
    reach = Reach.REPLICA
    default_remedy = "check the URL, and that the file was produced and not cleaned up"


class Mismatch(TransferError):
    code = "mismatch"
    of_digest: bool = True
    """A digest differs; otherwise it is only the size."""
    reach = Reach.REPLICA
    default_remedy = (
        "this copy is damaged, or the recorded checksum or size is wrong: compare with another replica"
    )


class Unverified(TransferError):
    code = "unverified"
    reach = Reach.REPLICA
    default_remedy = "give an expected checksum, or ask for less evidence"


class Denied(TransferError):
    code = "denied"
    reach = Reach.REPLICA
    default_remedy = "check that the credential is valid, not expired, and may do this at this path"


class Unsupported(TransferError):
    code = "unsupported"
    reach = Reach.REPLICA
    default_remedy = "see `wf-transfer protocols` for what each protocol can do"


class Oversized(Unsupported):
    """A managed task has too many items: the caller makes two of it."""

    default_remedy = "make the names shorter"


class Unreachable(TransferError):
    code = "unreachable"
    reach = Reach.HOST
    later = True
    default_remedy = "check the host name and port, that the server runs, and that this machine may reach it"


class Busy(TransferError):
    code = "busy"
    reach = Reach.HOST
    later = True
    default_remedy = "the server asks for fewer requests: run again later, or with a smaller -n"


class TurnedAway(Busy):
    """The service let nobody in at that moment, whoever it was: it limits how many log in at once, and may draw lots.

    It says nothing about the request, and little about the service, so it has an allowance of its own.
    """


class MissingCredential(TransferError):
    code = "missing-credential"
    reach = Reach.GROUP


class MissingExtra(TransferError):
    code = "missing-extra"
    reach = Reach.GROUP


class Misconfigured(TransferError):
    code = "configuration"
    reach = Reach.GROUP


class Exists(TransferError):
    code = "exists"
    reach = Reach.REQUEST
    default_remedy = "remove the destination, or choose --existing overwrite"


class NoSpace(TransferError):
    code = "no-space"
    reach = Reach.REQUEST
    default_remedy = "free some space or quota, then run the batch again"


class LocalRefused(TransferError):
    code = "refused"
    reach = Reach.REPLICA


class Stopped(TransferError):
    code = "stopped"
    reach = Reach.REQUEST
    later = True
    default_remedy = "run the batch again"


class Defect(TransferError):
    code = "defect"
    reach = Reach.REQUEST
    default_remedy = "this is a bug in wf-transfer or a plug-in: report it with the traceback that -d shows"


def from_oserror(error: OSError, what: str) -> TransferError:
    """The error that an operating system call on a local file means; `what` names the step and the file.

    Whether it concerns the source or the destination is for the engine to add.
    """
    reason = f"{what}: {error.strerror or type(error).__name__}"
    if error.errno == errno.ENOENT:
        return NotFound(reason)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoSpace(reason)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LocalRefused(reason, remedy="check the permissions of this path and of the folders above it")
    if error.errno in (errno.EIO, errno.ESTALE, errno.EINTR, errno.EAGAIN):
        return Broken(reason)
    return LocalRefused(reason, remedy="check the path")
