"""What became of a request: values that flow from the engine to the sinks."""

from __future__ import annotations

from ..checksum.records import NamedTuple, StrEnum
from .settings import Evidence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..checksum.digest import Digest
    from ..protocols.errors import TransferError
    from ..protocols.locations import Location
    from .requests import Request


class Status(StrEnum):
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not run because of another request; counts as failed."""
    STOPPED = "stopped"
    """Not finished when the run was stopped."""


class Attempt(NamedTuple):
    """One try. Times are seconds since 1970 and seconds; `bytes` is the offset reached, counted from the file's start."""

    source: Location | None
    destination: Location | None
    route: str
    began: float
    seconds: float
    bytes: int
    error: TransferError | None = None


class Outcome(NamedTuple):
    """The end of one request. `source` and `destination` are those of the last attempt, None if there was none."""

    request: Request
    status: Status
    route: str = ""
    source: Location | None = None
    destination: Location | None = None
    bytes: int = 0
    seconds: float = 0.0
    digest: Digest | None = None
    """SHA-256 of the bytes, where they passed through us."""
    digests: tuple[Digest, ...] = ()
    """Digests in other algorithms that were computed or reported on the way."""
    evidence: Evidence = Evidence.NONE
    checked: bool = False
    """A digest was compared with an expected one, and its result is this outcome's."""
    check_seconds: float = 0.0
    """Time spent on comparing beyond the transfer itself: server digests and read-back."""
    left_behind: str = ""
    """A name that holds something wrong or unfinished and could not be removed."""
    error: TransferError | None = None
    attempts: tuple[Attempt, ...] = ()
    note: str = ""
    """What people should know although nothing failed: `confirmed by the destination`."""
