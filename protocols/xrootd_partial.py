"""Partials at an XRootD server: files that are not yet what they will be, under a name of ours beside the destination.

The server lets one client at a time write a file, so a partial that can be opened is nobody else's. What an earlier process
left has its bytes from the first on; but many writes are under way at a time, so the last `WINDOW` bytes may have holes and are
written again. A partial that was kept on purpose says behind the file's last byte how much of it is there.
"""

from __future__ import annotations

import os
import time

from ..checksum.records import NamedTuple
from .errors import TransferError
from .values import MARK_DIGITS
from .xrootd_errors import EXISTS, LOCKED, Status
from .xrootd_names import MODIFIED, SIZE
from .xrootd_service import everywhere
from .xrootd_streams import REGION
from .xrootd_tree import listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .values import Incoming
    from .xrootd_link import Link
    from .xrootd_names import Place

_MAGIC: Final = b"wf-held\0"
_TRAILER_BYTES: Final = 16
WINDOW: Final = REGION
"""Written and not confirmed, at most."""
_ABANDONED_SECONDS: Final = 3600
_DEFAULT_MODE: Final = 0o644


class Partial(NamedTuple):
    """A file that is open for writing."""

    place: Place
    file: int
    region: int
    held: int = 0
    """Bytes that an earlier process wrote and that are surely there."""
    other_is_ours: bool = False
    """It was made by this very attempt: the server makes a file before it finds that its lock is still held."""
    other: Place | None = None
    """The one that was to be gone on with, where somebody else has that open: another process, or a connection that broke."""


def open_partial(link: Link, final: Place, incoming: Incoming) -> Partial:
    """A partial beside the destination, whose folders are made. Raises Status."""
    file, region = link.open_file()
    mode = _DEFAULT_MODE if incoming.mode is None else incoming.mode & 0o777
    usual = final.beside(f".wf-{incoming.token}.part")
    try:
        try:
            link.call("create", file, region, usual.url, mode)
            return Partial(usual, file, region)
        except Status as status:
            if status.number not in (EXISTS, LOCKED):
                raise
            is_ours = status.number == LOCKED
        found = _reopened(link, usual, file, region, incoming)
        if found is not None:
            return found
        digits = os.urandom((16 - MARK_DIGITS) // 2).hex()
        own = final.beside(f".wf-{incoming.token[:MARK_DIGITS]}{digits}.part")
        link.call("create", file, region, own.url, mode)
        return Partial(own, file, region, 0, is_ours, usual)
    except BaseException:
        link.close_file(file, region)
        raise


def _reopened(link: Link, usual: Place, file: int, region: int, incoming: Incoming) -> Partial | None:
    """The partial that is there, with its bytes where they may be gone on with, else empty; None if it cannot be had."""
    try:
        facts = link.call("reopen", file, region, usual.url)
        held = 0
        if incoming.resume and incoming.size is not None:
            held = _held(link, file, region, facts[SIZE], incoming.size)
        if facts[SIZE] > held:
            link.call("truncate", file, held)
        return Partial(usual, file, region, held)
    except Status:
        link.post("close", file)
        return None


def _held(link: Link, file: int, region: int, there: int, size: int) -> int:
    """How many bytes from the first on are surely there."""
    if there <= size:
        return max(0, there - WINDOW)
    if there != size + _TRAILER_BYTES or link.call("fetch", file, size, _TRAILER_BYTES) != _TRAILER_BYTES:
        return 0
    found = bytes(link.region(region)[:_TRAILER_BYTES])
    held = int.from_bytes(found[len(_MAGIC) :], "big")
    return held if found.startswith(_MAGIC) and held <= size else 0


def trailer(held: int) -> bytes:
    """What is written behind the last byte of a file of which the first `held` bytes are there."""
    return _MAGIC + held.to_bytes(_TRAILER_BYTES - len(_MAGIC), "big")


def partials_in(link: Link, folder: Place) -> dict[str, float]:
    """The names of all partials in a folder, with their times; none if it cannot be listed."""
    try:
        found = listed(link, everywhere(link, folder))
    except Status:
        return {}
    return {
        name: facts[MODIFIED] if facts else time.time()
        for name, facts in found.items()
        if name.startswith(".wf-") and name.endswith(".part") and len(name) == 25
    }


def remove_stale(link: Link, final: Place, token: str, names: dict[str, float]) -> None:
    """Removes partials of the same destination under other tokens that nobody has written to for an hour."""
    begin, own = f".wf-{token[:MARK_DIGITS]}", f".wf-{token}.part"
    for name, modified in names.items():
        if name.startswith(begin) and name != own and modified < time.time() - _ABANDONED_SECONDS:
            try:
                place = final.beside(name)
                link.call("rm", place.server, place.target)
            except (Status, TransferError):
                return
