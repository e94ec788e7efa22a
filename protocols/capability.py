"""What a protocol can do, as data that is readable without any of its libraries.

The planner decides by these values alone; `docs/protocols.md` and `wf-transfer protocols` print them; the
conformance suite checks each in both directions.
"""

from __future__ import annotations

from ..checksum.records import NamedTuple, StrEnum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .context import Context
    from .contract import Store


class Shape(StrEnum):
    STORE = "store"
    """Bytes can be read and written here."""
    COPIER = "copier"
    """The service copies between two of its own locations without the bytes passing through us."""
    LINKER = "linker"
    """A local file can be linked or moved to its place."""
    RESOLVER = "resolver"
    """Its names are logical: a catalogue or director tells where the bytes are."""
    SERVICE = "service"
    """The service takes many copies or removals as one task and does them by itself."""


class Publish(StrEnum):
    """What commit can promise about the final name."""

    ATOMIC = "atomic"
    """Nothing is visible before commit, and then the whole: rename, CompleteMultipartUpload, one PUT of known bytes."""
    HELD = "held"
    """The last bytes are held back until the digest is right; otherwise the connection is cut."""
    AFTER = "after"
    """The name shows before the bytes could be verified: server-side copies."""


class Capability(NamedTuple):
    """One protocol. The defaults are those of a protocol that can do nothing."""

    protocol: str
    schemes: tuple[str, ...]
    implementation: str | Callable[[Context], Store]
    """`package.module:Class`, imported when the first request needs it, or a factory."""
    shapes: tuple[Shape, ...] = (Shape.STORE,)
    extra: str = ""
    """`pip install wf-transfer[extra]` brings what `requires` names."""
    requires: tuple[str, ...] = ()
    """Modules without which the protocol cannot run at all."""
    local: bool = False
    """No network in between: no adaptivity, few workers, kernel copy possible."""
    read: bool = False
    read_range: bool = False
    """`open_read` obeys start and length."""
    read_version: bool = False
    """`Reader.version` is strong: equal versions are equal bytes, and `open_read(version=...)` insists on it."""
    read_times: bool = False
    read_modes: bool = False
    """What it reads tells when it was last changed, and its permission bits: `contract.TellingReader`."""
    write: bool = False
    write_needs_size: bool = False
    """A source that does not tell its size is spooled first."""
    write_wants_sha256: bool = False
    """The digest given to `open_write` saves a pass over small files."""
    write_create_parents: bool = False
    """Writing creates the folders above the destination."""
    write_resume: bool = False
    """A writer can go on with what an earlier process left: `Incoming.resume`, `Writer.held`, `has_partial`."""
    write_parts: bool = False
    """The methods of `contract.Parts`."""
    write_parts_any_offset: bool = False
    """A part may come in pieces, and what was written can be read back; else whole parts, and no reading back."""
    write_times: bool = False
    write_modes: bool = False
    """What was written can be given a time of its last change, and permission bits: `contract.Keeping`."""
    part_minimum: int = 1
    part_maximum: int = 0
    """Bytes of a part but the last; 0: no limit."""
    parts_most: int = 0
    publish: Publish = Publish.ATOMIC
    folders: bool = True
    """Folders exist by themselves; otherwise they are only prefixes of names, as in object stores."""
    stat: bool = False
    list: bool = False
    make_directory: bool = False
    remove: bool = False
    remove_recursive: bool = False
    digest: tuple[str, ...] = ()
    """Algorithms `Store.digest` can be asked for, computed by the server."""
    copy_digest: tuple[str, ...] = ()
    """Algorithms a third-party copy reports of its result; empty: such a copy cannot satisfy an expected digest."""
    copy_between_services: bool = False
    """Two services that both have it may copy between them; each store's `copy` raises `Unsupported` where they cannot."""
    task_items_most: int = 10_000
    """Items of one managed task of a service."""
    trees: bool = False
    """A location may stand for a whole folder, by a word in its query: the methods of `contract.Trees`."""
    existing: str = "overwrite"
    """What `--existing` defaults to for destinations of this protocol."""
    credentials: tuple[str, ...] = ()
    """Kinds of credential it can present (`wf.credentials`); the first is the usual one."""
    connections_start: int = 2
    connections_most: int = 128
    """Requests at one endpoint at a time: to begin with, and at most."""
    ahead: int = 1
    """How many reads its stores like to be told of, the present one included; with more than 1 they have `announce`."""
    ahead_in_order: bool = False
    """Only their order tells which answer belongs to which announced read, and a server may get that wrong: only what will be
    compared with a digest is announced."""
    behind: int = 1
    """How many small files its stores take before they have told what became of the first; with more than 1 they have `send`."""
    notes: str = ""
    """One sentence for people, for the generated documentation."""

    def offers(self, shape: Shape) -> bool:
        return shape in self.shapes
