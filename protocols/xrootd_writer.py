"""One file written to an XRootD server: a partial beside the destination, many writes under way, checksum, rename.

Bytes go into shared memory, and from there to the server without another copy. Before the partial gets its name, the server is
asked for its checksum of it.
"""

from __future__ import annotations

import os

from .errors import Broken, LocalRefused, TransferError, Unreachable
from .values import Receipt
from .xrootd_digest import checksum
from .xrootd_errors import ABSENT, EXISTS, Status, error_of_status
from .xrootd_names import is_directory
from .xrootd_partial import trailer
from .xrootd_service import located, only_new_ones, told
from .xrootd_streams import SLOT, SLOTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..checksum.digest import Digest
    from .locations import Location
    from .values import Incoming
    from .xrootd_link import Link
    from .xrootd_links import Links
    from .xrootd_names import Place
    from .xrootd_partial import Partial


class XrootdWriter:
    """`algorithms` is what the server is asked for; empty where it computes nothing."""

    __slots__ = (
        "_confirmed",
        "_file",
        "_filled",
        "_final",
        "_free",
        "_index",
        "_link",
        "_links",
        "_location",
        "_offset",
        "_partial",
        "_region",
        "_size",
        "_superseded",
        "_view",
        "_what",
        "algorithms",
        "descriptor",
        "held",
    )

    def __init__(
        self,
        link: Link,
        links: Links,
        location: Location,
        final: Place,
        partial: Partial,
        incoming: Incoming,
        algorithms: tuple[str, ...],
    ) -> None:
        self.algorithms = algorithms
        self.descriptor: int | None = None
        self.held = partial.held
        self._link: Link | None = link
        self._links = links
        self._location = location
        self._final = final
        self._partial: Place | None = partial.place
        self._file, self._region = partial.file, partial.region
        self._view = link.region(partial.region)
        other = partial.other
        is_ours = other is not None and (partial.other_is_ours or other.url in links.left)
        self._superseded = other if is_ours else None
        """What this attempt or an earlier one of this run left and could not be gone on with."""
        self._size = incoming.size if incoming.resume else None
        """Where the partial can say how much of it is there, if it is kept."""
        self._offset = partial.held
        """Where the present slot begins in the file."""
        self._index = self._filled = 0
        """The present slot, and its bytes."""
        self._free = SLOTS
        self._what = f"cannot write {location.shown}"

    def read_held(self, offset: int, view: memoryview) -> int:
        link = self._the_link()
        link.about(f"cannot read back {self._location.shown}", Broken)
        count = max(0, min(len(view), self.held - offset))
        if not count:
            return 0
        try:
            got: int = link.call("fetch", self._file, offset, count)
        except Status as status:
            raise self._failed(status) from None
        view[:got] = link.region(self._region)[:got]
        return got

    def write(self, view: memoryview) -> None:
        link = self._the_link()
        link.about(self._what, Broken)
        try:
            while view:
                if not self._filled:
                    self._wait_for_slot(link)
                begin = (self._index % SLOTS) * SLOT + self._filled
                count = min(len(view), SLOT - self._filled)
                self._view[begin : begin + count] = view[:count]
                view = view[count:]
                self._filled += count
                if self._filled == SLOT:
                    self._send_slot(link)
        except Status as status:
            raise self._failed(status) from None

    def _wait_for_slot(self, link: Link) -> None:
        for _ in link.events(self._file):
            self._free += 1
        while self._free <= 0:
            link.event(self._file)
            self._free += 1

    def _send_slot(self, link: Link) -> None:
        place = (self._index % SLOTS) * SLOT
        link.post("write", self._file, self._index, self._offset, place, self._filled)
        self._offset += self._filled
        self._index += 1
        self._filled = 0
        self._free -= 1

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        link, partial = self._the_link(), self._partial
        assert partial is not None
        try:
            size = self._settled(link)
            link.call("finish", self._file)
        except Status as status:
            raise self._failed(status) from None
        stored = self._compared(link, partial, size, digests)
        put_in_place(link, partial, self._final, self._location)
        self._partial = None
        self._remove_superseded(link)
        self.close()
        return Receipt(size, None, stored)

    def _remove_superseded(self, link: Link) -> None:
        if self._superseded is None:
            return
        try:
            remove_partial(link, self._superseded)
        except (Status, TransferError):
            return

    def _settled(self, link: Link) -> int:
        """The size that the server tells after every write was confirmed."""
        link.about(self._what, Broken)
        if self._filled:
            self._send_slot(link)
        size: int = link.call("settle", self._file)
        if size != self._offset:
            raise Broken(
                f"{self._what}: the server has {size} bytes after {self._offset} were written", host=link.host
            )
        return size

    def _compared(
        self, link: Link, partial: Place, size: int, digests: tuple[Digest, ...]
    ) -> tuple[Digest, ...]:
        """The server's digest of the partial. Raises Broken if it is not ours."""
        mine = next((digest for digest in digests if digest.algorithm in self.algorithms), None)
        if mine is None:
            return ()
        link.about(self._what, Broken)
        try:
            stored = checksum(link, partial, mine.algorithm, size)
        except Status:
            return ()
        if stored is None:
            return ()
        if stored != mine:
            raise Broken(
                f"{self._location.shown}: the server holds {stored} instead of {mine}, which was sent",
                host=link.host,
                remedy="the server lost or damaged the data: tell its operator",
            )
        return (stored,)

    def _failed(self, status: Status) -> TransferError:
        return error_of_status(status, self._what, self._the_link().host, Broken)

    def abort(self, *, keep: bool = False) -> None:
        link, partial = self._link, self._partial
        self._partial = None
        if link is None:
            return
        if keep and partial is not None:
            self._links.left.add(partial.url)
        if link.unanswered and not keep:
            link.kill()
        try:
            if not link.dead:
                link.hurry(True)
                self._tidy_up(link, partial, keep)
                link.hurry(False)
            elif partial is not None and not keep:
                self._links.last_words(self._location, lambda anew: remove_partial(anew, partial))
        except (TransferError, Status):
            link.kill()
            if partial is not None and not keep:
                self._links.last_words(self._location, lambda anew: remove_partial(anew, partial))
        self.close()

    def _tidy_up(self, link: Link, partial: Place | None, keep: bool) -> None:
        if keep and partial is not None:
            self._mark_as_kept(link)
        elif partial is not None:
            link.close_file(self._file, self._region)
            remove_partial(link, partial)

    def _mark_as_kept(self, link: Link) -> None:
        """Has the partial say how much of it is there, after all of that was confirmed."""
        if self._filled:
            self._wait_for_slot(link)
            self._send_slot(link)
        link.call("settle", self._file)
        if self._size is not None and self._offset < self._size:
            mark = trailer(self._offset)
            self._view[: len(mark)] = mark
            link.post("write", self._file, self._index, self._size, 0, len(mark))
            link.call("settle", self._file)
        link.call("finish", self._file)

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close_file(self._file, self._region)

    def _the_link(self) -> Link:
        assert self._link is not None, "the writer is closed"
        return self._link


def remove_partial(link: Link, place: Place) -> None:
    """Removes it; absence is success. Raises Status."""
    try:
        link.call("rm", place.server, place.target)
    except Status as status:
        if status.number != ABSENT:
            raise


def put_in_place(link: Link, partial: Place, final: Place, location: Location) -> None:
    """Gives a finished partial its name. Raises TransferError."""
    what = f"cannot publish {location.shown}"
    link.about(what, Unreachable)
    own = located(link, partial) if told(link, final).redirects else []
    try:
        _rename(link, partial, final)
        only_new_ones(link, final, own)
    except Status as status:
        if _is_folder(link, final):
            raise LocalRefused(
                f"cannot write {location.shown}: a folder is in its place",
                remedy="name another file, or remove that",
            ) from None
        if status.number == ABSENT:
            # Another process that goes on with the same copy has published or removed it.
            raise Broken(f"{what}: its partial file is gone", host=link.host) from None
        raise error_of_status(status, what, link.host, Unreachable) from None


def _is_folder(link: Link, place: Place) -> bool:
    try:
        return is_directory(link.call("stat", place.server, place.target))
    except Status:
        return False


def _rename(link: Link, partial: Place, final: Place) -> None:
    """Gives the partial its name, over what has it. Raises Status.

    Some servers replace nothing. There the old file is put aside first: for two round trips nothing has the name, but at no time
    is there neither the old file nor the new one; if the second step fails, the old file gets its name back.
    """
    try:
        link.call("mv", partial.server, partial.target, final.target)
        return
    except Status as status:
        if status.number != EXISTS or _is_folder(link, final):
            raise
    aside = final.beside(f".wf-{os.urandom(8).hex()}.old")
    link.call("mv", final.server, final.target, aside.target)
    try:
        link.call("mv", partial.server, partial.target, final.target)
    except Status:
        link.call("mv", final.server, aside.target, final.target)
        raise
    link.call("rm", aside.server, aside.target)
