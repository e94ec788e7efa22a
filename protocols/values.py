"""The small values that stores and the engine hand each other. All of them immutable."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..checksum.digest import Digest


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
    a later process, for the name of a partial.
    """

    size: int | None = None
    sha256: bytes | None = None
    mode: int | None = None
    token: str = "0" * 16


class Receipt(NamedTuple):
    """What the destination SAYS it holds after commit; None and empty where it says nothing.

    The engine derives the evidence from it. A store never repeats in a receipt what it was told by us.
    """

    size: int | None = None
    version: str | None = None
    digests: tuple[Digest, ...] = ()


class CopyStep(NamedTuple):
    """One step of a third-party copy: done when `receipt` is there, else call again after `again` seconds."""

    receipt: Receipt | None
    handle: str = ""
    again: float = 0.0
    bytes: int = 0
