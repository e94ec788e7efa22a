"""Third-party copy: the destination's server fetches from the source's, or from itself, and no byte passes through here.

Both are asked by one process with one credential. Where that is a proxy certificate and the destination takes delegated ones, it
reads the source as its user; elsewhere the source lets it in by a key that we have left at both. The copy is made under a
name of our own, compared by checksum, and renamed.
"""

from __future__ import annotations

import hashlib

from .errors import Broken, LocalRefused, TransferError, Unsupported
from .values import CopyStep, Receipt
from .xrootd_digest import checksum
from .xrootd_errors import Status
from .xrootd_login import Flavor
from .xrootd_names import SIZE, is_directory, place_of
from .xrootd_writer import put_in_place, remove_partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ..checksum.digest import Digest
    from .context import Context
    from .locations import Location
    from .xrootd_link import Link
    from .xrootd_links import Links
    from .xrootd_names import Place

_ALGORITHM: Final = "adler32"
_SLOWEST: Final = 1e6
"""Bytes per second that two servers move at least, where they do not tell how far they are."""
_LEAST: Final = 10.0
"""Seconds: the servers take two or three even for an empty file, and say nothing meanwhile."""
_NO_SUCH_COPY: Final = frozenset({9, 13, 15, 203, 204, 206, 400})
"""Codes of the library after which the bytes had better stream: the streams tell what is really wrong. 400: a server refused."""
_FULL: Final = frozenset({3009, 3021})


def copied(context: Context, links: Links, source: Location, destination: Location) -> CopyStep:
    """The finished copy. Raises NotFound for an absent source, Unsupported where the servers will not do it."""
    credential = context.credential(destination, "write")
    if credential != context.credential(source, "read"):
        raise Unsupported(f"{source.shown} and {destination.shown} are used with different credentials")
    here, there = place_of(source), place_of(destination)
    if here.member or there.member:
        raise Unsupported(f"{source.shown}: servers copy no members of zip archives")
    what = f"cannot copy {source.shown} to {destination.shown}"

    def copy(link: Link) -> CopyStep:
        return _copied(link, links, here, there, destination, what)

    flavor = Flavor.DELEGATING if credential.kind == "x509" else Flavor.PLAIN
    return links.run(destination, "write", what, copy, Broken, flavor)


def _copied(
    link: Link, links: Links, source: Place, final: Place, destination: Location, what: str
) -> CopyStep:
    facts = link.call("stat", source.server, source.target)
    if is_directory(facts):
        raise LocalRefused(
            f"{what}: the source is a folder", remedy="name a file, or copy the folder with -r"
        )
    _insist_on_copies(link, final, what)
    name = hashlib.sha256(f"{source.url}\0{final.url}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    partial = final.beside(f".wf-{name}.part")
    try:
        _asked(link, source, partial, facts, what)
        stored = _compared(link, source, partial, facts[SIZE], what)
        put_in_place(link, partial, final, destination)
    except BaseException:
        _tidy_up(link, links, destination, partial)
        raise
    return CopyStep(Receipt(facts[SIZE], None, stored), bytes=facts[SIZE])


def _insist_on_copies(link: Link, final: Place, what: str) -> None:
    """A server that knows the setting answers with its value, others with its name."""
    try:
        told: str = link.call("config", final.server, "tpc")
    except Status as status:
        raise Unsupported(f"{what}: {status.text}", host=link.host) from None
    if told.strip() in ("", "0", "tpc"):
        raise Unsupported(f"{what}: the server makes no third-party copies", host=link.host)


def _asked(link: Link, source: Place, partial: Place, facts: list[Any], what: str) -> None:
    file, region = link.open_file()
    try:
        link.call("copy", file, source.url, partial.url, seconds=_LEAST + facts[SIZE] / _SLOWEST)
    except Status as status:
        if status.code in _NO_SUCH_COPY and status.number not in _FULL:
            raise Unsupported(f"{what}: {status.text}", host=link.host) from None
        raise
    finally:
        link.close_file(file, region)


def _compared(link: Link, source: Place, partial: Place, size: int, what: str) -> tuple[Digest, ...]:
    """The checksum of the copy. Raises Broken where it is not that of the source, or the size is another."""
    held = link.call("stat", partial.server, partial.target)[SIZE]
    if held != size:
        raise Broken(f"{what}: {held} of {size} bytes are there", host=link.host)
    stored = checksum(link, partial, _ALGORITHM, size)
    if stored is None:
        return ()
    theirs = checksum(link, source, _ALGORITHM, size)
    if theirs is not None and theirs != stored:
        raise Broken(f"{what}: {theirs} became {stored}", host=link.host)
    return (stored,)


def _tidy_up(link: Link, links: Links, destination: Location, partial: Place) -> None:
    if link.unanswered:
        link.kill()
    if link.dead:
        links.last_words(destination, lambda anew: remove_partial(anew, partial))
        return
    link.hurry(True)
    try:
        remove_partial(link, partial)
    except (Status, TransferError):
        link.kill()
    finally:
        link.hurry(False)
