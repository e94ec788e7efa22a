"""Files at XRootD servers: `root:` and `xroot:`, and `roots:` and `xroots:` over TLS.

XRootD's own client library does the talking, in processes of their own (`xrootd_link.py`): what crashes or hangs there is an
error here, and each process has one credential. The digest is computed here, in the engine's one pass.
"""

from __future__ import annotations

from .errors import LocalRefused, Unreachable, Unsupported
from .values import Entry
from .xrootd_digest import cheapest, checksum
from .xrootd_errors import EXISTS, Status, error_of_status
from .xrootd_links import Links
from .xrootd_login import Flavor
from .xrootd_names import SIZE, entry_of, is_directory, place_of
from .xrootd_partial import open_partial, partials_in, remove_stale
from .xrootd_reader import open_reader
from .xrootd_service import ALGORITHMS, everywhere, told
from .xrootd_tree import entries, found_there, remove_one
from .xrootd_writer import XrootdWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ..checksum.digest import Digest
    from .context import Context
    from .locations import Location
    from .values import CopyStep, Incoming
    from .xrootd_link import Link
    from .xrootd_names import Place
    from .xrootd_reader import XrootdReader

_FOLDER_MODE: Final = 0o755
_WIDE_FROM: Final = 256 << 20
"""Bytes from which on several connections are worth it."""


class XrootdStore:
    """Store and Copier for XRootD servers, for one worker."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._links = Links(context)
        self._partials: dict[tuple[str, str], dict[str, float]] = {}

    # --- bytes

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> XrootdReader:
        place, what = place_of(location), f"cannot read {location.shown}"

        def opened(link: Link) -> XrootdReader:
            return open_reader(link, place, what, start, length, version)

        return self._links.run(location, "read", what, opened)

    def open_write(self, location: Location, incoming: Incoming) -> XrootdWriter:
        final, what = place_of(location), f"cannot write {location.shown}"
        if final.member:
            raise Unsupported(f"{what}: nothing can be written into a zip archive")
        if final.path.rpartition("/")[2] in ("", ".", ".."):
            raise LocalRefused(f"{what}: it does not end with a name", remedy="name the file, not its folder")

        def opened(link: Link) -> XrootdWriter:
            known = self._partials.get((final.server, final.folder.path))
            if incoming.resume and known:
                remove_stale(link, final, incoming.token, known)
            partial = open_partial(link, final, incoming)
            algorithms = cheapest(told(link, final).algorithms, incoming.size or 0)
            return XrootdWriter(link, self._links, location, final, partial, incoming, algorithms)

        flavor = Flavor.WIDE if (incoming.size or 0) >= _WIDE_FROM else Flavor.PLAIN
        return self._links.run(location, "write", what, opened, flavor=flavor)

    def has_partial(self, location: Location, mark: str) -> bool:
        """What this run leaves is not looked for: one listing of a folder serves all its files."""
        folder = place_of(location).folder
        known = self._partials.get((folder.server, folder.path))
        if known is None:
            what = f"cannot look for partials of {location.shown}"
            known = self._links.run(location, "write", what, lambda link: partials_in(link, folder))
            self._partials[folder.server, folder.path] = known
        return any(name.startswith(f".wf-{mark}") for name in known)

    # --- names

    def stat(self, location: Location) -> Entry:
        """Follows symbolic links."""
        place = place_of(location)
        if place.member:
            reader = self.open_read(location)
            reader.close()
            return Entry("", reader.size, reader.version)
        return self._links.run(
            location,
            "read",
            f"cannot look at {location.shown}",
            lambda link: entry_of("", link.call("stat", place.server, place.target)),
        )

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        folder, what = place_of(location), f"cannot list {location.shown}"

        def found(link: Link) -> tuple[Link, list[Place]]:
            if not is_directory(link.call("stat", folder.server, folder.target)):
                raise LocalRefused(f"{what}: it is no folder", remedy="name a folder")
            return link, everywhere(link, folder)

        link, folders = self._links.run(location, "read", what, found)
        try:
            yield from entries(link, folders, recursive, what)
        except Status as status:
            raise error_of_status(status, what, link.host, Unreachable) from None

    def make_directory(self, location: Location) -> None:
        folder = place_of(location)

        def made(link: Link) -> None:
            try:
                link.call("mkdir", folder.server, folder.target, _FOLDER_MODE)
            except Status as status:
                if status.number != EXISTS or not is_directory(
                    link.call("stat", folder.server, folder.target)
                ):
                    raise

        self._links.run(location, "write", f"cannot make the folder {location.shown}", made)

    def remove(self, location: Location, *, recursive: bool) -> None:
        """The server's `rm` may take an empty folder too, so what the name is is looked at first."""
        place, what = place_of(location), f"cannot remove {location.shown}"

        def removed(link: Link) -> None:
            facts = found_there(link, place)
            if facts is None:
                return
            is_folder = is_directory(facts)
            if is_folder and not recursive:
                raise LocalRefused(f"{what}: it is a folder", remedy="ask for `recursive`")
            for here in everywhere(link, place):
                remove_one(link, here, is_folder, what)

        self._links.run(location, "write", what, removed)

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        if algorithm not in ALGORITHMS:
            return None
        place, what = place_of(location), f"cannot ask for the checksum of {location.shown}"
        if place.member:
            return None

        def asked(link: Link) -> Digest | None:
            size = link.call("stat", place.server, place.target)[SIZE]
            if algorithm not in told(link, place).algorithms:
                return None
            return checksum(link, place, algorithm, size)

        return self._links.run(location, "read", what, asked)

    def copy(self, source: Location, destination: Location, handle: str) -> CopyStep:
        """The whole copy in one step: the destination's server fetches from the source's."""
        from .xrootd_copy import copied

        return copied(self._context, self._links, source, destination)

    def close(self) -> None:
        self._links.close()
