"""The small values that stores and the engine hand each other. All of them immutable."""

from __future__ import annotations

from ..checksum.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..checksum.digest import Digest
    from .errors import TransferError
    from .locations import Location


class Entry(NamedTuple):
    """What `stat` and `list` say of one name. `path` is relative to the listed folder, and empty for `stat`."""

    path: str
    size: int | None
    version: str | None = None
    is_directory: bool = False
    modified: float | None = None
    """Seconds since 1970, where the service tells."""
    digests: tuple[Digest, ...] = ()


class Incoming(NamedTuple):
    """What is known about the bytes that `open_write` is about to receive.

    `sha256` is given only when the whole file follows in one `write` and was verified already. `mode` holds the
    permission bits of a local source. `token` is 16 hexadecimal digits that are the same for the same copy in
    a later process, for the name of a partial; the first `MARK_DIGITS` of them are those of the destination alone.
    """

    size: int | None = None
    sha256: bytes | None = None
    mode: int | None = None
    token: str = "0" * 16
    resume: bool = False
    """The source has a strong version, which is part of the token, and can be read from its middle: what an earlier
    process left under this token may be gone on with. `size` is known then."""
    expected: bool = False
    """Somebody knows the digest of the whole: a store whose service tells none looks at what it holds, before it publishes it."""


class Receipt(NamedTuple):
    """What the destination SAYS it holds after commit; None and empty where it says nothing.

    The engine derives the evidence from it. A store never repeats in a receipt what it was told by us.
    """

    size: int | None = None
    version: str | None = None
    digests: tuple[Digest, ...] = ()
    compared: bool = False
    """A checksum that the destination tells agrees with one that is not of our making: the service compared both ends itself
    (a managed task), or the store compared what both ends told, or what the destination told of the parts and the whole."""


class Traits(NamedTuple):
    """What a copy may keep of its source beside the bytes. None where nobody tells it, or it is to stay as it is."""

    modified: int | None = None
    """Nanoseconds since 1970."""
    mode: int | None = None
    """Permission bits, of `0o777`."""


class CopyStep(NamedTuple):
    """One step of a third-party copy: done when `receipt` is there, else call again after `again` seconds.

    `bytes` are those of the object that are there by now, all steps together, as far as the service tells.
    """

    receipt: Receipt | None
    handle: str = ""
    again: float = 0.0
    bytes: int = 0


class Resolved(NamedTuple):
    """One place where the bytes of a logical name are, as a resolver tells it.

    Size and digests are what its catalogue says: they become expectations where the batch has none.
    """

    location: Location
    size: int | None = None
    digests: tuple[Digest, ...] = ()


class Tree(NamedTuple):
    """A folder that one location stands for."""

    folder: Location
    """The folder itself, or with `pack` the archive."""
    pack: str = ""
    """What holds the folder's files: `auto`, `tar`, `tar.gz`, `tar.xz` or `zip`; empty: they are objects of their own."""


class Item(NamedTuple):
    """One copy of a managed task, or with `source` None one removal."""

    source: Location | None
    destination: Location
    size: int | None = None
    expected: Digest | None = None
    recursive: bool = False


class Group(NamedTuple):
    """What one managed task is to do."""

    items: tuple[Item, ...]
    mark: str
    """32 hexadecimal digits of the items: a later process with the same ones has the same mark."""
    deadline: float | None = None
    """Seconds since 1970 after which nobody waits for the task any more."""


class TaskProgress(NamedTuple):
    """What became of a managed task since the last question."""

    results: tuple[tuple[int, Receipt | TransferError], ...] = ()
    """Index of an item, and what became of it: each item once."""
    again: float | None = None
    """Seconds after which to ask again; None: the task is over, and every item has had its result."""
    bytes: int = 0
    """Moved so far, by all items together."""


MARK_DIGITS = 6
"""How many digits of a token tell the destination. Two destinations in one folder may share them: the worst that comes of
it is an abandoned partial that is removed."""


class Token(NamedTuple):
    """An object that is being written in parts. Frozen: any worker's store, also in a later process, can go on with it."""

    location: Location
    name: str
    """What the store knows the parts by: an upload id, the path of a partial."""
    size: int
    part: int
    """Bytes of every part but the last."""
    found: bool = False
    """It was there before. Where the parts cannot be told from a stranger's, this is a candidate only: its parts
    count when their digests are those of our bytes."""

    @property
    def total(self) -> int:
        return -(-self.size // self.part)

    def span(self, number: int) -> tuple[int, int]:
        """First byte and length of a part, which are numbered from 0."""
        first = number * self.part
        return first, min(self.part, self.size - first)

    def as_json(self) -> dict[str, Any]:
        """What a later process needs beside the location."""
        return {"name": self.name, "size": self.size, "part": self.part}


class Part(NamedTuple):
    """A part that the destination has."""

    number: int
    size: int
    mark: str = ""
    """What `commit_parts` must repeat to the service: an ETag."""
    digests: tuple[Digest, ...] = ()
    """Of this part's bytes, as the destination tells them."""
