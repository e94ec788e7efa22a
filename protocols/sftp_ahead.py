"""Small files of one SFTP server asked for before their turn: while one is delivered, the next ones are opened and read.

A file by itself takes two round trips. What was announced is asked for at once, and its answers come in order on the
conversation that reads anyway. No failure on the way is one of a request: that file is asked for singly when its turn comes.
"""

from __future__ import annotations

from collections import deque

from .errors import TransferError, Unreachable
from .sftp_packets import CLOSE, OPEN, Status, number, string
from .sftp_reader import FOR_READING, SftpReader, begin_reader, handle_of
from .ssh import path_of, shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .locations import Location
    from .sftp_packets import Packet
    from .sftp_wire import Wire
    from .sftp_wires import Wires


class Coming:
    """One file that was announced."""

    __slots__ = ("_path", "_wire", "_wires", "failed", "location", "opening", "reader")

    def __init__(self, location: Location, wire: Wire, wires: Wires) -> None:
        """Asks for the file to be opened."""
        self.location = location
        self.reader: SftpReader | None = None
        self.failed = False
        self._wire = wire
        self._wires = wires
        self._path = path_of(location)
        self.opening = wire.ask(OPEN, string(self._path), number(FOR_READING), number(0))
        """The number of a request that is not answered yet; -1 when it is."""
        wire.expect(self.opening, self._opened)

    def _opened(self, packet: Packet) -> None:
        """The answer to the request to open it, while something else is waited for."""
        self.opening = -1
        try:
            self.reader = SftpReader(self._wire, self._wires, handle_of(packet), self._path, 0)
        except (Status, TransferError):
            self.failed = True
        else:
            self.reader.ask_first(ahead=True)

    def drop(self) -> None:
        """Nobody wants it any more: what is open is closed when it comes to that."""
        if self.reader is not None:
            self.reader.withdraw()
        elif self.opening >= 0:
            self._wire.expect(self.opening, self._too_late)

    def _too_late(self, packet: Packet) -> None:
        try:
            self._wire.forget({self._wire.ask(CLOSE, handle_of(packet))})
        except (Status, TransferError):
            return  # it is not open

    def taken(self) -> SftpReader | None:
        """The reader, now that it is its turn; it owns the wire. None for a file that is to be asked for singly."""
        while self.opening >= 0:
            self._wire.step()
        if self.reader is None or self.reader.failed:
            self.drop()
            return None
        return self.reader


class Ahead:
    """What one store was told that it will be asked for, and the conversation on which that is under way."""

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._wire: Wire | None = None
        self._announced: deque[Location] = deque()
        """In the order in which it will be asked for."""
        self._coming: deque[Coming] = deque()
        """The first of the announced ones, which are asked for already."""

    def announce(self, locations: Sequence[Location]) -> None:
        """What was announced before and is not again no longer counts."""
        self._announced = deque(locations)
        while self._coming and not self._agrees():
            self._coming.pop().drop()

    def _agrees(self) -> bool:
        return len(self._coming) <= len(self._announced) and all(
            one.location is other for one, other in zip(self._coming, self._announced, strict=False)
        )

    def reader(self, location: Location) -> SftpReader | None:
        """A reader of an announced file; None for what is to be asked for singly. Raises what taking a wire raises."""
        if not self._announced or self._announced[0] is not location:
            return None
        what = f"cannot read {shown_path(path_of(location))}"
        wire = self._wires.take(location, "read", what, wanted=self._wire)
        if wire is not self._wire:
            self._coming.clear()
            self._wire = wire
        try:
            reader = self._next(wire, what)
        except BaseException:
            self._wires.give(wire)
            raise
        if reader is None:
            self._wires.give(wire)
            return None
        begin_reader(reader, None, what, wire.host)
        return reader

    def _next(self, wire: Wire, what: str) -> SftpReader | None:
        """The reader of the first file, after all the others were asked for as well."""
        wire.about(what, Unreachable)
        for one in list(self._announced)[len(self._coming) :]:
            if not self._wires.serves(wire, one):
                break
            self._coming.append(Coming(one, wire, self._wires))
        self._announced.popleft()
        return self._coming.popleft().taken()
