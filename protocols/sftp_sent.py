"""One small file on its way to an SFTP server behind others: what was asked for it, and what was answered."""

from __future__ import annotations

from ..checksum.records import StrEnum
from .errors import Broken, Stopped, TransferError, Undone
from .sftp_packets import (
    ALREADY_EXISTS,
    ATTRS,
    CLOSE,
    FAILURE,
    FSTAT,
    LSTAT,
    NO_SUCH_FILE,
    REMOVE,
    Fields,
    Status,
    raise_unless_ok,
    string,
)
from .sftp_partial import ask_for_new_file, in_the_way, name_beside, obstacle_in
from .sftp_reader import handle_of
from .sftp_writer import ask_to_rename
from .ssh import shown_path
from .ssh_errors import error_of_status
from .values import Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .locations import Location
    from .sftp_behind import Behind
    from .sftp_packets import Packet
    from .sftp_wire import Wire
    from .values import Incoming

_TAKEN: Final = (FAILURE, ALREADY_EXISTS)
"""What is said of a name that is there already, the first of them of much else too."""


class Stage(StrEnum):
    OPENING = "opening"
    HOMELESS = "homeless"
    """Its folder is missing."""
    WRITING = "writing"
    WRITTEN = "written"
    """All of it was confirmed, under the name of the partial."""
    RENAMING = "renaming"
    REFUSED = "refused"
    """It could not be written, because of `status`."""
    UNNAMED = "unnamed"
    """It was written, and could not be renamed, because of `status`."""
    OVER = "over"
    """Published, or never to be, because of `error`."""


class Sent:
    """A file whose bytes were handed over. Its `commit` publishes it, and all that wait with it."""

    __slots__ = (
        "_behind",
        "_data",
        "_handle",
        "_mode",
        "_obstacle",
        "_told",
        "error",
        "location",
        "partial",
        "path",
        "size",
        "stage",
        "status",
        "there",
        "waiting",
        "wire",
    )

    algorithms: tuple[str, ...] = ()
    descriptor: int | None = None

    def __init__(
        self,
        behind: Behind,
        wire: Wire,
        location: Location,
        path: bytes,
        incoming: Incoming,
        data: memoryview,
    ) -> None:
        """`data` must stay as it is until nothing is on its way any more."""
        self.wire = wire
        self.location = location
        self.path = path
        self.partial = name_beside(self.path, incoming.token)
        self.size = len(data)
        self.stage = Stage.OPENING
        self.waiting = 0
        """Answers that are still to come."""
        self.there = False
        """The partial may be there, and is ours."""
        self.status: Status | None = None
        self.error: TransferError | None = None
        self._behind = behind
        self._data = data
        self._mode = incoming.mode
        self._handle = b""
        self._obstacle = ""
        self._told: int | None = None
        """The size that the server tells."""

    # --- what the engine asks

    def write(self, view: memoryview) -> None:
        raise ValueError("it has been sent")

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        if self.stage is not Stage.OVER:
            self._behind.settle()
        if self.error is not None:
            raise self.error
        return Receipt(size=self._told)

    def abort(self, *, keep: bool = False) -> None:
        """Nothing where it is published, or known to have failed: then nothing is left."""
        if self.stage is not Stage.OVER:
            self._behind.give_up(self)

    # --- requests

    def open(self) -> None:
        """Asks for the partial, and for what is at the destination."""
        wire = self.wire
        self.stage = Stage.OPENING
        self.status = None
        self.there = True
        self.waiting = 2
        wire.expect(wire.ask(LSTAT, string(self.path)), self._looked)
        wire.expect(ask_for_new_file(wire, self.partial, self._mode), self._opened)

    def _write(self) -> None:
        wire, handle, confirmed = self.wire, self._handle, self._confirmed
        self.stage = Stage.WRITING
        data, block = self._data, wire.block
        for begin in range(0, self.size, block):
            wire.expect(wire.write_at(handle, begin, data[begin : begin + block]), confirmed)
        self.waiting = -(-self.size // block) + 2
        wire.expect(wire.ask(FSTAT, handle), self._measured)
        self._close()

    def _close(self) -> None:
        self.wire.expect(self.wire.ask(CLOSE, self._handle), self._confirmed)
        self._handle = b""

    def rename(self, wire: Wire) -> None:
        """Only for what is WRITTEN."""
        assert self.stage is Stage.WRITTEN
        self.stage = Stage.RENAMING
        self.waiting = 1
        wire.expect(ask_to_rename(wire, self.partial, self.path), self._renamed)

    def remove(self, wire: Wire) -> None:
        """Whether there is such a partial or not."""
        self.there = False
        self.waiting += 1
        wire.expect(wire.ask(REMOVE, string(self.partial)), self._removed)

    # --- answers

    def _looked(self, packet: Packet) -> None:
        try:
            self._obstacle = obstacle_in(packet)
        except TransferError as error:
            self.error = error
        self._answered()

    def _opened(self, packet: Packet) -> None:
        try:
            self._handle = handle_of(packet)
        except Status as status:
            self.status = status
            self.there = False
        except TransferError as error:
            self.error = error
        self._answered()

    def _answered(self) -> None:
        """Goes on when both is known: what is at the destination, and whether there is a partial."""
        self.waiting -= 1
        if self.waiting:
            return
        if self._obstacle and self.error is None:
            self.error = in_the_way(self.path, self._obstacle)
        if self.error is not None or self.stage is Stage.OVER:
            self.stage = Stage.OVER
            if self._handle:
                self.waiting = 1
                self._close()
        elif self.status is None:
            self._write()
        else:
            self._not_opened(self.status)

    def _not_opened(self, status: Status) -> None:
        if status.code == NO_SUCH_FILE and self.stage is Stage.OPENING:
            self.stage = Stage.HOMELESS
        elif status.code in _TAKEN:
            # What an earlier process may have left is looked at more closely by who writes it singly.
            self.end(self.undone("its partial cannot be made"))
        else:
            self.end(error_of_status(status.code, status.message, self.what, self.wire.host))

    def _measured(self, packet: Packet) -> None:
        """A server that does not tell the size is believed that it has everything."""
        try:
            if packet.kind == ATTRS:
                self._told = Fields(packet.body).attributes().size
        except TransferError as error:
            self.error = self.error or error
        self._one_less()

    def _confirmed(self, packet: Packet) -> None:
        try:
            raise_unless_ok(packet)
        except Status as status:
            self.status = self.status or status
        except TransferError as error:
            self.error = self.error or error
        self._one_less()

    def _one_less(self) -> None:
        self.waiting -= 1
        if self.waiting or self.stage is not Stage.WRITING:
            return
        if self.error is None and self.status is None and self._told not in (None, self.size):
            self.error = Broken(
                f"{self.what}: the server has {self._told} bytes after {self.size} were written"
            )
        if self.error is not None:
            self.stage = Stage.OVER
        elif self.status is not None:
            self.stage = Stage.REFUSED
        else:
            self.stage = Stage.WRITTEN
            if self._behind.settling:
                self.rename(self.wire)

    def _renamed(self, packet: Packet) -> None:
        self.waiting -= 1
        try:
            raise_unless_ok(packet)
        except Status as status:
            self.status = status
            self.stage = Stage.UNNAMED
        except TransferError as error:
            self.end(error)
        else:
            self.published()

    def published(self) -> None:
        self.there = False
        self.stage = Stage.OVER

    def _removed(self, packet: Packet) -> None:
        """Whatever was said: there is nothing else that could be done."""
        self.waiting -= 1

    # --- the end

    def end(self, error: TransferError) -> None:
        """It comes to nothing, unless that is known already. An answer that is still to come is taken, and starts nothing."""
        if self.stage is not Stage.OVER:
            self.stage = Stage.OVER
            self.error = self.error or error

    def lost(self, cause: TransferError) -> None:
        """Nobody knows what became of it."""
        self.end(Stopped(cause.what) if isinstance(cause, Stopped) else self.undone(cause.what))

    def undone(self, why: str) -> Undone:
        return Undone(f"{self.what}: {why}", host=self.wire.host)

    @property
    def what(self) -> str:
        return f"cannot write {shown_path(self.path)}"
