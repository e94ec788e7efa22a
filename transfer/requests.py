"""What a batch asks for, as values."""

from __future__ import annotations

from ..checksum.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..checksum.digest import Digest
    from ..protocols.locations import Location


class Transfer(NamedTuple):
    """Copy one file: any of `sources` (replicas of the same content) to the first of `destinations` that takes it."""

    number: int
    """Position in the batch, from 0: `index` in the result document."""
    id: str
    """As the batch has it; may be empty and need not be unique."""
    lfn: str
    sources: tuple[Location, ...]
    destinations: tuple[Location, ...]
    size: int | None = None
    expected: Digest | None = None
    linkage: str = "unknown"
    generate_checksum: bool = False
    verify_remote: bool = False
    """The batch's `verify_checksum_remote`: the stored copy is compared with the expectation."""
    verify_symlink_source: bool = True
    after: tuple[int, ...] = ()
    """Numbers of requests that must have succeeded before."""


class MakeDirectory(NamedTuple):
    """Create a folder and those above it."""

    number: int
    id: str
    target: Location
    after: tuple[int, ...] = ()


class Remove(NamedTuple):
    """Remove a file, or with `recursive` a folder and what is in it. What is absent is success."""

    number: int
    id: str
    target: Location
    recursive: bool = False
    after: tuple[int, ...] = ()


Request = Transfer | MakeDirectory | Remove


class Batch(NamedTuple):
    """All requests of one run, in the order of the document, and what was odd about it."""

    requests: tuple[Request, ...]
    warnings: tuple[str, ...] = ()
    """One sentence each: unknown keys that were ignored."""


def kind_of(request: Request) -> str:
    """The request's `type` as the batch spells it."""
    if isinstance(request, Transfer):
        return "transfer"
    return "mkdir" if isinstance(request, MakeDirectory) else "remove"


def places_of(request: Request) -> tuple[Location, ...]:
    """All locations that the request names, sources first."""
    return (*request.sources, *request.destinations) if isinstance(request, Transfer) else (request.target,)


def name_of(request: Request) -> str:
    """What people know the request by: its logical name, else its target."""
    if isinstance(request, Transfer):
        return request.lfn or request.destinations[0].url
    return request.target.url
