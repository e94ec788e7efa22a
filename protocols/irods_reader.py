"""One data object read over iRODS: refused unless a replica is good, and compared with the catalogue's checksum."""

from __future__ import annotations

from .errors import Broken, Changed, LocalRefused, TransferError
from .irods_catalogue import GOOD, absent, good_replica, is_collection, replicas
from .irods_errors import Refused
from .irods_messages import READ_ONLY, object_input, opened_input
from .irods_names import shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .irods_catalogue import Replica
    from .irods_sessions import Sessions
    from .irods_wire import Wire

OPEN, READ, SEEK, CLOSE = 602, 675, 674, 673
CHUNK: Final = 8 << 20
"""Bytes of one request: the server holds them in memory, and each costs the time of one answer."""
_DRAINED_MOST: Final = 1 << 20


class IrodsReader:
    """Made by `open_reader`."""

    __slots__ = (
        "_descriptor",
        "_left",
        "_path",
        "_sessions",
        "_view",
        "_wire",
        "descriptor",
        "digests",
        "mode",
        "size",
        "version",
    )

    size: int | None
    version: str | None
    digests: tuple[Digest, ...]
    mode: int | None
    descriptor: int | None

    def __init__(
        self, wire: Wire, sessions: Sessions, path: str, replica: Replica, opened: int, left: int
    ) -> None:
        self.size = replica.size
        self.version = replica.version
        self.digests = replica.digests
        self.mode = self.descriptor = None
        self._wire: Wire | None = wire
        self._sessions = sessions
        self._path = path
        self._descriptor = opened
        self._left = left
        """Bytes that are still to be handed out."""
        self._view = wire.context.view

    def read(self) -> memoryview:
        wanted = min(len(self._view), self._left)
        wire = self._wire
        if not wanted or wire is None:
            return self._view[:0]
        filled = 0
        while filled < wanted:
            if not wire.left:
                self._ask(wire, min(self._left - filled, CHUNK))
            filled += wire.receive(self._view[filled:wanted])
        self._left -= filled
        return self._view[:filled]

    def _ask(self, wire: Wire, count: int) -> None:
        wire.ask(READ, opened_input(self._descriptor, length=count))
        try:
            got, _ = wire.answer()
        except Refused as refused:
            raise wire.error(refused) from None
        if not got or not wire.left:
            raise Broken(
                f"cannot read {shown_path(self._path)}: it ended {self._left} bytes too early", host=wire.host
            )
        if wire.left > count:
            wire.drop()
            raise Broken(
                f"cannot read {shown_path(self._path)}: more came than was asked for", host=wire.host
            )

    def close(self) -> None:
        wire, self._wire = self._wire, None
        if wire is None:
            return
        try:
            while 0 < wire.left <= _DRAINED_MOST and wire.usable:
                wire.receive(self._view)
            if wire.left:
                wire.drop()
            elif wire.usable:
                wire.ask_in_passing(CLOSE, opened_input(self._descriptor))
        except TransferError:
            wire.drop()
        self._sessions.give(wire)


def open_reader(
    wire: Wire,
    sessions: Sessions,
    path: str,
    resource: str,
    start: int,
    length: int | None,
    version: str | None,
) -> IrodsReader:
    """A reader that has the wire from now on; it goes back where opening fails."""
    what = f"cannot read {shown_path(path)}"
    try:
        found = replicas(wire, path)
        if not found:
            raise _missing(wire, path, what)
        replica = good_replica(found, what, wire.host, resource)
        if version is not None and version != replica.version:
            raise Changed(f"{what}: it has been written anew since", host=wire.host)
        if start > replica.size:
            raise Changed(f"{what}: it has become shorter", host=wire.host)
        opened = _opened(wire, path, replica, found, resource)
        if start:
            wire.call(SEEK, opened_input(opened, offset=start))
    except Refused as refused:
        error = absent(wire, what, path, refused=refused) if refused.nowhere else wire.error(refused)
        sessions.give(wire)
        raise error from None
    except TransferError:
        sessions.give(wire)
        raise
    left = replica.size - start if length is None else min(length, replica.size - start)
    return IrodsReader(wire, sessions, path, replica, opened, left)


def _opened(wire: Wire, path: str, replica: Replica, found: list[Replica], resource: str) -> int:
    """The descriptor. The replica is named where it matters which one is read."""
    keywords = {}
    if resource == replica.resource or any(each.status != GOOD for each in found):
        keywords["replNum"] = str(replica.number)
    return wire.call(OPEN, object_input(path, keywords, flags=READ_ONLY))[0]


def _missing(wire: Wire, path: str, what: str) -> TransferError:
    """Why the catalogue shows nothing: opening tells whether it is not there, or not for this login or ticket."""
    if is_collection(wire, path):
        return LocalRefused(f"{what}: it is a collection", host=wire.host, remedy="name a data object")
    try:
        opened, _ = wire.call(OPEN, object_input(path, {}, flags=READ_ONLY))
        wire.call(CLOSE, opened_input(opened))
    except Refused as refused:
        return absent(wire, what, path, refused=refused) if refused.nowhere else wire.error(refused, what)
    return absent(wire, what, path)
