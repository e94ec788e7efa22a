"""One data object written over iRODS: under its own name, as a replica that is not good until it was verified.

While it is written the server has the replica as intermediate; closing makes it good, and a connection that ends before
makes it stale. So what is not whole never passes for good, and an object that is overwritten keeps its metadata and permissions.
The server computes the checksum of what it stored when the object is closed.
"""

from __future__ import annotations

from .errors import Broken, Denied, LocalRefused, NoSpace, NotFound, ServerFault, TransferError
from .irods_calls import library
from .irods_catalogue import GOOD, is_collection, make_collection, other_zone, replicas
from .irods_errors import CHECKSUM_MISMATCH, HIERARCHY_ERROR, LOCKED, UNKNOWN_COLLECTION, Refused
from .irods_messages import CREATE, TRUNCATE, WRITE_ONLY, object_input, opened_input
from .irods_names import shown_path, split, zone_of
from .irods_reader import CHUNK, CLOSE, OPEN
from .values import Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from ..checksum.digest import Digest
    from .irods_catalogue import Replica
    from .irods_sessions import Sessions
    from .irods_wire import Wire
    from .locations import Location
    from .values import Incoming

WRITE: Final = 676
SUM_BYTES_PER_SECOND: Final = 20e6
"""A server that is slow at computing checksums; how long one may take is reckoned with it."""
_LEAVES: Final = 20
"""How often an object is tried to be removed that the server still believes to be written."""
_LEAVE_SECONDS: Final = 0.1
_MARKS_WRITERS: Final = (4, 2, 9)
"""From this version on nothing is good that was not closed, or whose checksum the server found wrong."""


class IrodsWriter:
    """Made by `open_writer`. Small files are kept until `commit`, so that one that is wrong touches nothing."""

    __slots__ = (
        "_descriptor",
        "_digests",
        "_kept",
        "_location",
        "_missing",
        "_path",
        "_resources",
        "_sessions",
        "_size",
        "_state",
        "_sum",
        "_wire",
        "_written",
        "algorithms",
        "descriptor",
    )

    algorithms: tuple[str, ...]
    descriptor: int | None

    def __init__(
        self,
        wire: Wire,
        sessions: Sessions,
        location: Location,
        path: str,
        resources: tuple[str, str],
        incoming: Incoming,
    ) -> None:
        self.algorithms = ()
        self.descriptor = None
        self._wire = wire
        self._sessions = sessions
        self._location = location
        self._path = path
        self._resources = resources
        """The one of the URL, and the one of the environment file."""
        self._size = incoming.size
        self._sum = _spelled(incoming.sha256)
        self._kept: memoryview | None = None
        self._descriptor = -1
        self._missing = 0
        """Bytes that the present request still needs."""
        self._written = 0
        self._digests: tuple[Digest, ...] = ()
        self._state = "waiting"
        """Then `open`, `closing` while nobody knows, `closed`, and `done` when there is nothing left to do."""

    def begin(self) -> None:
        """Opens the object at the server. The old content is gone from now on."""
        keywords = {"verifyChksum": self._sum} if self._sum else {"regChksum": ""}
        self._descriptor = opened_for_writing(self._wire, self._path, self._resources, keywords, self._size)
        self._state = "open"

    def write(self, view: memoryview) -> None:
        if self._state == "waiting":
            self._kept = view if len(view) else None
            return
        while view:
            if self._missing:
                piece = view[: self._missing]
                self._wire.more(piece)
            else:
                piece = self._begin_request(view)
            self._missing -= len(piece)
            self._written += len(piece)
            view = view[len(piece) :]
            if not self._missing:
                self._confirm()

    def _begin_request(self, view: memoryview) -> memoryview:
        """Sends the first bytes of a request, of which more follow where the size is known."""
        left = len(view) if self._size is None else max(len(view), self._size)
        self._missing = count = min(left, CHUNK)
        piece = view[:count]
        self._wire.ask(WRITE, opened_input(self._descriptor, length=count), [piece], count)
        if self._size is not None:
            self._size -= count
        return piece

    def _confirm(self) -> None:
        try:
            written, _ = self._wire.answer()
        except Refused as refused:
            raise self._wire.error(refused) from None
        if written <= 0:
            raise NoSpace(
                f"cannot write {shown_path(self._path)}: the storage took nothing", host=self._wire.host
            )

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        self._digests = digests
        if self._state == "waiting":
            self.begin()
            if self._kept is not None:
                self.write(self._kept)
            self._kept = None
        if self._missing:
            raise Broken(f"cannot write {shown_path(self._path)}: {self._missing} bytes of it never came")
        self._close()
        receipt = self._looked_at()
        if not self._sum:
            self._sessions.learn(self._wire, frozenset(each.algorithm for each in receipt.digests))
        self._state = "done"
        self._sessions.give(self._wire)
        return receipt

    def _close(self) -> None:
        keywords = {"verifyChksum": self._sum} if self._sum else {"regChksum": ""}
        message = opened_input(self._descriptor, keywords=keywords)
        self._state = "closing"
        try:
            self._wire.call(
                CLOSE, message, patience=self._wire.context.stall + self._written / SUM_BYTES_PER_SECOND
            )
        except Refused as refused:
            self._state = "closed"
            if refused.base == CHECKSUM_MISMATCH:
                raise Broken(
                    f"cannot write {shown_path(self._path)}: USER_CHKSUM_MISMATCH ({refused.code}): "
                    "what the server stored has another checksum than what was sent",
                    host=self._wire.host,
                ) from None
            raise self._wire.error(refused) from None
        self._state = "closed"

    def _looked_at(self) -> Receipt:
        """What the catalogue says of it. Raises unless a replica is good."""
        try:
            found = replicas(self._wire, self._path)
        except Refused as refused:
            raise self._wire.error(refused) from None
        return receipt_of(found, self._path, self._wire.host)

    def abort(self, *, keep: bool = False) -> None:
        state, self._state, self._kept = self._state, "done", None
        if state == "done":
            return
        if state == "waiting":
            self._sessions.give(self._wire)
            return
        # Closing it would make it good; without its connection it becomes stale.
        self._wire.drop()
        try:
            self._tidy_up(was_open=state == "open")
        except TransferError:
            return

    def _tidy_up(self, *, was_open: bool) -> None:
        """Removes what was begun. Unless it `was_open` to the last, the answer may have been lost, and it may be whole."""
        what = f"cannot remove {shown_path(self._path)}"
        wire = self._sessions.take_for_last_words(self._location, what)
        try:
            not_ours = (was_open or bool(self._sum)) and wire.version >= _MARKS_WRITERS
            remove_begun(wire, self._path, lambda good: not_ours or self._is_whole(good))
        except Refused as refused:
            raise wire.error(refused) from None
        finally:
            wire.leave()

    def _is_whole(self, good: list[Replica]) -> bool:
        return any(each.checksum and each.checksum == self._sum for each in good) or any(
            digest in each.digests for each in good for digest in self._digests
        )


def opened_for_writing(
    wire: Wire,
    path: str,
    resources: tuple[str, str],
    keywords: dict[str, str],
    size: int | None,
    flags: int = WRITE_ONLY | CREATE | TRUNCATE,
) -> int:
    """The descriptor of an object that is created, with the collections above it, or overwritten. Raises TransferError.

    `resources` are the one of the URL, and the one of the environment file, which is only for objects that are new.
    """
    wanted, usual = resources
    keywords = dict(keywords)
    if wanted or usual:
        keywords["destRescName"] = wanted or usual
    # Servers before 4.3.1 would take -1 for the size.
    known = size if size is not None else -1 if wire.version >= (4, 3, 1) else 0

    def opened() -> int:
        return wire.call(OPEN, object_input(path, keywords, flags=flags, size=known))[0]

    try:
        try:
            return opened()
        except Refused as refused:
            if refused.base == UNKNOWN_COLLECTION and flags & CREATE:
                make_collection(wire, split(path)[0])
            elif refused.base == HIERARCHY_ERROR and usual and not wanted:
                del keywords["destRescName"]  # it may be there already, on another resource
            else:
                raise
            return opened()
    except Refused as refused:
        raise _not_opened(wire, path, refused, f"cannot write {shown_path(path)}") from refused


def receipt_of(found: list[Replica], path: str, host: str) -> Receipt:
    """What the catalogue says of an object that was just written. Raises Broken unless a replica is good."""
    good = next((each for each in found if each.status == GOOD), None)
    if good is None:
        states = ", ".join(each.status for each in found) or "none"
        raise Broken(
            f"cannot write {shown_path(path)}: afterwards no replica is good (status {states})", host=host
        )
    return Receipt(good.size, good.version, good.digests)


def remove_begun(wire: Wire, path: str, stays: Callable[[list[Replica]], bool]) -> None:
    """Removes an object whose writer has gone; the server may need a moment to notice. Raises Refused.

    If replicas are good, `stays` is asked about them, before every attempt: meanwhile another client may have written it.
    """
    for attempt in range(_LEAVES):
        good = [each for each in replicas(wire, path) if each.status == GOOD]
        if good and stays(good):
            return
        try:
            with library(wire) as calls:
                calls.data_objects.unlink(path, force=True)
            return
        except Refused as refused:
            if refused.absent:
                return
            if refused.base not in (LOCKED, HIERARCHY_ERROR) or attempt == _LEAVES - 1:
                raise
        wire.context.stop.wait(_LEAVE_SECONDS)


def _spelled(sha256: bytes | None) -> str:
    if sha256 is None:
        return ""
    import binascii

    return f"sha2:{binascii.b2a_base64(sha256, newline=False).decode()}"


def _not_opened(wire: Wire, path: str, refused: Refused, what: str) -> TransferError:
    """The error of an object that could not be opened for writing; a collection in its place has many codes."""
    error = wire.error(refused, what)
    if zone_of(path) != wire.zone and isinstance(error, (NotFound, Denied)):
        error.remedy = other_zone(wire, path)
    if isinstance(error, (ServerFault, LocalRefused)) and wire.usable:
        try:
            if is_collection(wire, path):
                return LocalRefused(
                    f"{error.what}: it is a collection", host=wire.host, remedy="name a data object in it"
                )
        except (Refused, TransferError):
            return error
    return error


def open_writer(
    wire: Wire,
    sessions: Sessions,
    location: Location,
    path: str,
    resources: tuple[str, str],
    incoming: Incoming,
) -> IrodsWriter:
    """A writer that has the wire from now on; it goes back where opening fails."""
    writer = IrodsWriter(wire, sessions, location, path, resources, incoming)
    if incoming.sha256 is not None:
        return writer
    try:
        writer.algorithms = sessions.sums(wire, path)
        writer.begin()
    except BaseException:
        sessions.give(wire)
        raise
    return writer
