"""One file read from an XRootD server: the other process reads ahead into shared memory, and the slots there are lent."""

from __future__ import annotations

from .errors import Broken, Changed, LocalRefused, Unreachable
from .xrootd_errors import Status, error_of_status
from .xrootd_names import MODIFIED, SIZE, is_directory, version_of
from .xrootd_streams import SLOT, SLOTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from ..checksum.digest import Digest
    from .xrootd_link import Link
    from .xrootd_names import Place

_NOTHING: Final = memoryview(b"")


class XrootdReader:
    """Made by `open_reader`."""

    __slots__ = (
        "_count",
        "_facts",
        "_file",
        "_full",
        "_left",
        "_lent",
        "_link",
        "_next",
        "_region",
        "_view",
        "_what",
        "_whole",
        "descriptor",
        "digests",
        "mode",
        "size",
        "version",
    )

    digests: tuple[Digest, ...]

    def __init__(self, link: Link, what: str, file: int, region: int) -> None:
        self._link: Link | None = link
        self._what = what
        self._file, self._region = file, region
        self._view = link.region(region)
        self._full: dict[int, int] = {}
        """Slots that are full and whose turn has not come, with their bytes."""
        self._next = self._left = 0
        self._lent = False
        self.size: int | None = None
        self.version: str | None = None
        self.digests = ()
        self.mode: int | None = None
        self.descriptor: int | None = None

    def begin(self, facts: list[Any], start: int, length: int | None, *, is_member: bool = False) -> None:
        """Takes what the file was found to be. Raises Changed and LocalRefused."""
        if is_directory(facts):
            raise LocalRefused(
                f"{self._what}: it is a folder", remedy="name a file, or copy the folder with -r"
            )
        size: int = facts[SIZE]
        if start > size:
            raise Changed(f"{self._what}: it has {size} bytes, byte {start} was asked for")
        self._facts = facts
        self.size, self.version = size, version_of(facts)
        end = size if length is None else min(size, start + length)
        self._left = end - start
        # The other process has the same rule: it keeps such a file open until it has looked at it again.
        self._whole = end == size and self._left > SLOT and not is_member

    def read(self) -> memoryview:
        link = self._link
        if link is None:
            return _NOTHING
        link.about(self._what, Broken)
        if self._lent:
            link.post("free", self._file)
            self._lent = False
        if not self._left:
            return self._finish(link)
        try:
            while self._next not in self._full:
                index, count = link.event(self._file)
                self._full[index] = count
        except Status as status:
            raise self._failed(status, link) from None
        count = self._full.pop(self._next)
        begin = (self._next % SLOTS) * SLOT
        self._next += 1
        self._left -= count
        self._lent = True
        return self._view[begin : begin + count]

    def _finish(self, link: Link) -> memoryview:
        """The empty view of the end, after a look whether a large file is still what it was."""
        if self._whole:
            try:
                now = link.call("end", self._file)
            except Status as status:
                raise self._failed(status, link) from None
            if (now[SIZE], now[MODIFIED]) != (self._facts[SIZE], self._facts[MODIFIED]):
                raise Changed(f"{self._what}: it was written while it was read")
        self.close()
        return _NOTHING

    def _failed(self, status: Status, link: Link) -> Exception:
        if not status.code and not status.number:
            return Changed(f"{self._what}: {status.text}")
        return error_of_status(status, self._what, link.host, Broken)

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close_file(self._file, self._region)


def open_reader(
    link: Link, place: Place, what: str, start: int, length: int | None, version: str | None
) -> XrootdReader:
    """A reader whose file is being read ahead already. Raises Status and TransferError."""
    file, region = link.open_file()
    reader = XrootdReader(link, what, file, region)
    try:
        link.about(what, Unreachable)
        if place.member:
            facts = link.call("unzip", file, region, place.url, place.member, start, length)
        else:
            facts = link.call("read", file, region, place.url, start, length)
        reader.begin(facts, start, length, is_member=bool(place.member))
        if version is not None and reader.version != version:
            raise Changed(f"{what}: it is no longer the version that was asked for")
    except BaseException:
        reader.close()
        raise
    return reader
