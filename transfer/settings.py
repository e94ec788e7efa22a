"""What the command line, or a caller, decides about a run. Part of the public API: fields may be added."""

from __future__ import annotations

from enum import IntEnum

from ..checksum.records import NamedTuple, StrEnum


class Existing(StrEnum):
    """What happens when the destination is there already."""

    OVERWRITE = "overwrite"
    UPDATE = "update"
    VERIFY = "verify"
    FAIL = "fail"


class Evidence(StrEnum):
    """How strongly the copy at the destination is known to be right, weakest first."""

    NONE = "none"
    SIZE = "size"
    CHECKSUM = "checksum"
    DIGEST = "digest"
    READ_BACK = "read-back"

    @property
    def strength(self) -> int:
        return _STRENGTH[self]


_STRENGTH = {evidence: number for number, evidence in enumerate(Evidence)}


class Exit(IntEnum):
    """Exit codes of `wf-transfer`. Frozen: scripts depend on them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MISMATCH = 3
    BAD_BATCH = 65
    DEFECT = 70
    LATER = 75
    CREDENTIAL = 77
    CONFIGURATION = 78


class Settings(NamedTuple):
    """Durations are in seconds, rates in bytes per second."""

    workers: int = 0
    """Requests in progress at once, an upper bound; 0: adaptive."""
    processes: int = 1
    """Processes of this machine that share the work; for many small files, where one Python process is the limit."""
    rounds: int = 3
    """One round tries every allowed source and destination once."""
    symlink: bool = False
    """Link instead of copying where source and destination are local and of one site."""
    existing: Existing | None = None
    """None: what the destination's protocol defaults to."""
    stage_through_file: bool = False
    """Every transfer between two remote ends goes through a spool file."""
    trust_server_copy: bool = False
    """A third-party copy may satisfy an expected digest although nobody compared one."""
    verify_links: bool = False
    """A link's source is hashed and compared, not only its size."""
    preserve_times: bool = False
    preserve_modes: bool = False
    """The copy gets the time of the last change, or the permission bits, of its source, where both ends can."""
    require_evidence: Evidence = Evidence.NONE
    allow_dangerous_remove: bool = False
    keep_partials: bool = False
    deadline: float | None = None
    """Seconds since 1970 at which the run stops."""
    stall: float = 60.0
    """Without a byte for this long an attempt has failed; so has one slower than `slow_bytes` per second for as long."""
    slow_bytes: int = 1024
    connect: float = 30.0
    accept_new_host_keys: bool = False
    """SSH hosts that were never seen before are believed, and their keys recorded; a changed key never is."""
    part_bytes: int = 8 << 20
    """Bytes of the parts of a large file, where the destination leaves it open."""
    streams: int = 0
    """Streams that move one large file at once; 0: as many as make it faster."""
    journal: str = ""
    """A file in which is written what a later run can go on with and no partial file tells; empty: nowhere."""
    bandwidth: int = 0
    """Bytes per second of the whole run; 0: no limit."""
    back_off: float = 0.2
    """The first wait before a repetition; doubled each time, with jitter, at most `back_off_most`."""
    back_off_most: float = 30.0
    seed: str = ""
    """Feeds the priorities that a batch leaves open."""
    spool_directory: str = ""
    """Where spool files go; empty: `$TMPDIR` or the system's."""
    spool_bytes: int = 16 << 30
    """Spool files of unfinished second legs take no more than this together."""

    @property
    def preserves(self) -> bool:
        return self.preserve_times or self.preserve_modes
