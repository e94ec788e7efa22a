"""The obligations of a protocol, one a line. Import it for type checking only; nothing here runs.

Every method is one attempt at one thing: no retry, no sleep, no thread, no printing, no reading of the
environment. Failures are raised as `wf.protocols.errors`, mapped in one table a protocol. `docs/adding-a-protocol.md`
walks through an example; `wf.protocols.conformance` checks the obligations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..checksum.digest import Digest
    from .errors import TransferError
    from .locations import Location
    from .values import (
        CopyStep,
        Entry,
        Group,
        Incoming,
        Item,
        Part,
        Receipt,
        Resolved,
        TaskProgress,
        Token,
        Traits,
        Tree,
    )


class Reader(Protocol):
    """The bytes of one object, from `start` on."""

    size: int | None
    """Bytes of the whole object, also when opened in the middle; None where the service does not tell."""
    version: str | None
    """Equal versions are equal bytes; None where the service has no strong validator."""
    digests: tuple[Digest, ...]
    """Digests of the whole object that came for free. They become expectations if the batch gave none."""
    mode: int | None
    """Permission bits of a local file, else None."""
    descriptor: int | None
    """A regular local file's descriptor, so that the kernel can copy; else None. After such a copy the engine reads to the
    end all the same: the last `read` checks that the source is unchanged."""

    def read(self) -> memoryview:
        """The next bytes, as many as are cheap; empty at the end.

        The view is borrowed: valid until the next `read` or `close`. If all that is left fits the buffer, it comes
        in ONE view. Fewer bytes than were promised is `Broken`, never a quiet end.
        """

    def close(self) -> None:
        """Gives the connection back if the body was drained, else closes it. Always called. Never raises."""


class TellingReader(Reader, Protocol):
    """What `open_read` returns where `Capability.read_times` or `Capability.read_modes`."""

    def traits(self) -> Traits:
        """What is known of the object since it was opened; asks nobody, and may be called until `close`."""


class Writer(Protocol):
    """One object being written. Something is held back until `commit`: nothing whole is visible before."""

    algorithms: tuple[str, ...]
    """Digests beside sha256 that the engine shall compute, because this destination speaks them."""
    descriptor: int | None
    """A regular local file's descriptor at the place of the next byte, so that the kernel can copy; else None."""

    def write(self, view: memoryview) -> None:
        """Consumes all of `view`. It may be kept until `commit` only when `Incoming.sha256` was given."""

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        """Publishes the object and returns what the destination says of it.

        `digests` are those of all bytes written: sha256 and `algorithms`. If it raises, the object was not published,
        or nobody knows (the answer was lost): the engine looks.
        """

    def abort(self, *, keep: bool = False) -> None:
        """Leaves nothing behind; with `keep` a partial that a later process can go on with stays.

        May be called more than once, and after a failed `commit`. Never raises.
        """


class ResumingWriter(Writer, Protocol):
    """What `open_write` returns where `Capability.write_resume`."""

    held: int
    """Bytes that an earlier process wrote, at most `Incoming.size`, and that are still there: the next `write` goes behind them.
    0 without `Incoming.resume`."""

    def read_held(self, offset: int, view: memoryview) -> int:
        """The number of held bytes from `offset` on that were put into `view`; 0 behind the last one."""


class Store(Protocol):
    """One protocol for one worker: made on first use, never shared between threads, so it needs no lock.

    The constructor takes a `Context`; it may import libraries and opens nothing.
    """

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> Reader:
        """A reader whose answer's head has been read and found good.

        `Changed` when `version` is given and is not the object's, and when the service ignored `start`. `NotFound`
        for what is absent. A `start` behind the end is `Changed`. Not called with a range unless `Capability.read_range`.
        """

    def open_write(self, location: Location, incoming: Incoming) -> Writer:
        """A writer. May create the parents where `Capability.write_create_parents`."""

    def stat(self, location: Location) -> Entry:
        """The entry at this location; `NotFound` if there is none."""

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        """The entries below a folder, in no order, folders included; links are not followed."""

    def make_directory(self, location: Location) -> None:
        """Creates the folder and those above it. One that exists is success."""

    def remove(self, location: Location, *, recursive: bool) -> None:
        """Removes. What is absent is success; a folder without `recursive` is `LocalRefused` or `Unsupported`."""

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        """The digest of what is stored, computed by the service; None where it cannot."""

    def close(self) -> None:
        """Closes all connections. Never raises."""


class Announcing(Protocol):
    """The further method of a store with `Capability.ahead` above 1."""

    def announce(self, locations: Sequence[Location]) -> None:
        """These are to be read next, each as a whole and in this order: all that counts, replacing an earlier list.

        The store may ask for them at once, and may as well ignore it. The engine may change its mind: a read of anything else
        is served as if nothing had been announced. Never raises for a location or a service: what goes wrong on
        the way is forgotten, and that location is asked for singly when its `open_read` comes.
        No locations at all say that what the last read gave was not what it should be: it comes again, singly.
        """


class Sending(Protocol):
    """The further method of a store with `Capability.behind` above 1."""

    def send(self, location: Location, incoming: Incoming, view: memoryview) -> Writer | None:
        """A writer to which all of a small file was written already, without waiting for an answer; `view` is not kept. Raises what is
        known to be wrong with this file before anything is sent.

        None where it had rather be written by `open_write`; nothing was sent then. `incoming` has the file's size and SHA-256. Up
        to `Capability.behind` such writers wait at a time; each is committed, in the order in which they were sent. `Undone` from
        `commit` says that nobody knows what became of this file because of another one, or of the connection: it may be there, and
        the engine writes it once more. What an answer says of one file is never said of another.
        """


class Keeping(Protocol):
    """The further method of a store with `Capability.write_times` or `Capability.write_modes`."""

    def set_traits(self, location: Location, traits: Traits) -> None:
        """Gives the file that was just published these traits, as exactly as the service has them.

        `Unsupported` for anything but a file, and where the service did not do it; links are not followed.
        """


class Resuming(Protocol):
    """The further method of a store with `Capability.write_resume`."""

    def has_partial(self, location: Location, mark: str) -> bool:
        """Whether an earlier process may have left a part of this object; `mark` begins its token. A cheap guess."""


class Parts(Protocol):
    """Writing in parts, by several workers at once: a store with `Capability.write_parts` is also this.

    Nothing is visible before `commit_parts`. A token may be used by any worker's store, also in a later process.
    """

    def open_parts(self, location: Location, incoming: Incoming, part: int) -> Token:
        """A token for an object of `incoming.size` bytes in parts of `part`.

        With `incoming.resume` it may be one that was left under the same `incoming.token`, or a candidate.
        """

    def put_part(
        self, token: Token, number: int, offset: int, view: memoryview, sha256: bytes | None = None
    ) -> Part:
        """Writes a part, numbered from 0, or where `write_parts_any_offset` the piece of it that begins at `offset`.

        `offset` counts from the start of the object. Pieces of one part come in order; the part is done with its last
        one. In any order and repeatable; `sha256` is that of `view`, where the engine has it. The view is not kept.
        """

    def list_parts(self, token: Token) -> tuple[Part, ...]:
        """The parts that are there, in order; `NotFound` if the token means nothing any more."""

    def read_back(self, token: Token, offset: int, view: memoryview) -> int:
        """The number of written bytes from `offset` on that were put into `view`. Only for `write_parts_any_offset`."""

    def commit_parts(self, token: Token, parts: tuple[Part, ...], digests: tuple[Digest, ...]) -> Receipt:
        """Publishes the object; otherwise as `Writer.commit`.

        `parts` are all of them in order, as `put_part` returned them, or as `list_parts` did with the SHA-256 of our bytes.
        """

    def abort_parts(self, token: Token, *, keep: bool = False) -> None:
        """Leaves nothing behind; with `keep` everything, for a later process, but nothing locked or open. Never raises."""


class Copier(Protocol):
    """Third-party copy. A Store may also be one."""

    def copy(self, source: Location, destination: Location, handle: str) -> CopyStep:
        """One step of the copy; `handle` is empty at first, then that of the step before.

        Raises `Unsupported` where the service refuses, so that the engine streams instead.
        """


class Linker(Protocol):
    """Puts a local file to its place without copying. A Store may also be one."""

    def link(self, source: Location, destination: Location, *, check: bool) -> Receipt:
        """A symbolic link at `destination`; an existing name is replaced, not followed, in one step.

        With `check` the source must be readable; else a dangling link is allowed.
        """

    def move(self, source: Location, destination: Location) -> Receipt:
        """The file itself, moved. Across file systems it raises `Unsupported`: the engine copies and removes."""


class Resolver(Protocol):
    """Logical names. The store that offers it takes them in all its methods, and takes what it resolved them to as well.

    The engine resolves the ends of a transfer before the first attempt, so that limits, cooling and fail-over are those of
    the places where the bytes are. What `resolve` learns for all workers belongs into `Context.shared`.
    """

    def resolve(self, location: Location, purpose: str) -> tuple[Resolved, ...]:
        """The places to `"read"` from or `"write"` to, best first; at least one. `NotFound` for a name nobody knows.

        Each is made by `locations.resolved`. One question at the catalogue or director; the object itself is not touched.
        """


class Learning(Protocol):
    """The further methods of a resolver that learns from what its places do."""

    def ordered(self, places: tuple[Location, ...]) -> tuple[Location, ...]:
        """The places of one name as they would be named now; the same objects. Cheap, and asks nobody."""

    def report(self, place: Location, error: TransferError) -> None:
        """Takes note of a place that sent other bytes than it should: name it last in this run. Never raises."""


class Trees(Protocol):
    """Locations that stand for whole folders: a store with `Capability.trees` is also this."""

    def tree(self, location: Location) -> Tree | None:
        """The folder that a location, or the one that it was resolved from, stands for; None for a single object. Pure."""


class Service(Protocol):
    """Many copies, or many removals, as one managed task. The store that offers it opens single objects as well.

    A task outlives us. So `prepare` gives it a name that is written down before `submit`, and submitting the same name
    twice is one task.
    """

    def local_twin(self, location: Location, other: Location, *, writing: bool) -> Location | None:
        """The name under which this service itself reaches a local file, so that it can be an end of a task; else None.

        Asked for the local end of a transfer, to be read or with `writing` to be written; its `other` end is of this protocol.
        """

    def group(self, item: Item) -> str:
        """Items with the same answer may share a task. Pure. Raises what makes this item impossible: it fails alone."""

    def prepare(self, group: Group) -> str:
        """The submission of this group: one of an earlier process that is found by `group.mark` and still under way, else a
        new one. Nothing has begun when it returns. It may be written to disk."""

    def submit(self, group: Group, submission: str) -> str:
        """The handle of the task. The same submission again is the same task, also in a later process.

        Raises Oversized for a group that the service would take in smaller pieces.
        """

    def poll(self, group: Group, handle: str) -> TaskProgress:
        """How far the task is. Any worker's store, also of a later process, may ask: what was told before is not kept here,
        so results that come twice are taken once. An item that failed because of another one is Undone."""

    def cancel(self, group: Group, handle: str) -> TaskProgress:
        """Ends the task and tells what had become of its items until then; without waiting for long. Items without a result
        are not done. A task that is over already is no error."""
