"""Small files sent to an SFTP server one behind the other, and settled together.

A file by itself takes three round trips: open, write and close, rename. Here the requests of many are on the way on one
conversation. Whatever was answered meanwhile is looked at when another file is sent, so a file's bytes go out as soon as there is
a handle for them. When the first outcome is asked for, the rest of the answers is waited for, and each file is renamed when its
bytes and its close were confirmed, never before: a wrong file must not have a final name for a moment. Answers name the request that
they belong to, so each file's failure is its own; what nobody knows, because the conversation ended, is `Undone`.
"""

from __future__ import annotations

import mmap
import os

from .errors import LocalRefused, TransferError, Unreachable
from .registry import SFTP
from .sftp_outgoing import write_error
from .sftp_packets import Status
from .sftp_partial import name_beside
from .sftp_sent import Sent, Stage
from .sftp_tree import make_folders
from .sftp_wires import LAST_WORDS_SECONDS
from .sftp_writer import publish_otherwise
from .ssh import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .locations import Location
    from .sftp_wire import Wire
    from .sftp_wires import Wires
    from .values import Incoming

DEPTH: Final = SFTP.behind
"""Files that wait together."""
SMALL: Final = 128 << 10
"""Bytes of a file up to which it is worth a copy: as many as there are in one WRITE to most servers."""
_DOING: Final = "several files were on their way"


class Behind:
    """The files of one store that were sent and not settled, and the conversation that they are on."""

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self.wire: Wire | None = None
        """Held from the first file until all are settled. It can be handed back when nothing is on its way there."""
        self._room = memoryview(mmap.mmap(-1, DEPTH * SMALL))
        """The bytes of what waits: kept, for memory that was given back is slow to get again."""
        self._filled = 0
        self.settling = False
        """An outcome was asked for: what is confirmed may have its name."""
        self._due: dict[bytes, Sent] = {}
        """By the name of the partial."""

    def send(self, location: Location, incoming: Incoming, view: memoryview) -> Sent | None:
        """A file that is on the way; None for one that had better go by itself, as the first one to a server does, which logs in.

        Raises what finding the account raises.
        """
        if not self._due:
            self._filled = 0
        start, stop = self._filled, self._filled + len(view)
        if len(view) > SMALL or stop > len(self._room) or len(self._due) >= DEPTH or incoming.resume:
            return None
        path = path_of(location)
        if path.rpartition(b"/")[2] in (b"", b".", b".."):
            return None
        wire = self._ready(location)
        if wire is None:
            return None
        self._room[start:stop] = view
        self._filled = stop
        sent = Sent(self, wire, location, path, incoming, self._room[start:stop])
        if sent.partial in self._due:
            sent.partial = name_beside(sent.path, os.urandom(8).hex())
        self._due[sent.partial] = sent
        wire.about(_DOING, Unreachable)
        try:
            sent.open()
            wire.take_what_came()
            wire.flush()
        except TransferError as error:
            self._lost(error)
        return sent

    def _ready(self, location: Location) -> Wire | None:
        """The wire that files are on the way on, or one that is free."""
        wire = self.wire
        if wire is None and self._due:
            wire = self._first().wire
        if wire is not None and not self._wires.serves(wire, location, "write"):
            return None
        if self.wire is None:
            self.wire = self._wires.take_free(location, _DOING)
        return self.wire

    # --- the outcomes

    def settle(self) -> None:
        """Gives each file its outcome. Raises nothing that is about one of them."""
        try:
            wire = self._present()
            self.settling = True
            for sent in self._at(Stage.WRITTEN):
                sent.rename(wire)
            self._write_all(wire)
            self._publish_others(wire)
            self._tidy_up(wire, self._all())
        except TransferError as error:
            self._lost(error)
        except BaseException as error:
            self._lost(Unreachable(f"{_DOING}: {type(error).__name__}"))
            raise
        finally:
            self.settling = False
        self._due = {}
        self.hand_back()

    def _present(self) -> Wire:
        """The wire; another one of the same account where that was handed back and has other work now."""
        if self.wire is None:
            self.wire = self._wires.take(self._first().location, "write", _DOING)
        self.wire.about(_DOING, Unreachable)
        return self.wire

    def _write_all(self, wire: Wire) -> None:
        """Waits until each is REFUSED or OVER. Folders that are missing are made."""
        _wait(wire)
        homeless = self._at(Stage.HOMELESS)
        if not homeless:
            return
        for sent in homeless:
            sent.wire = wire
        for folder in dict.fromkeys(sent.path.rpartition(b"/")[0] for sent in homeless):
            self._make_folder(wire, folder)
        for sent in homeless:
            sent.open()
        _wait(wire)
        for sent in self._at(Stage.HOMELESS):
            sent.end(sent.undone("its folder cannot be made"))

    def _make_folder(self, wire: Wire, folder: bytes) -> None:
        """Why there is none is told to who writes such a file singly."""
        try:
            if folder:
                make_folders(wire, folder)
        except (Status, LocalRefused):
            return

    def _publish_others(self, wire: Wire) -> None:
        """Looks closer at what was refused."""
        for sent in self._at(Stage.REFUSED):
            assert sent.status is not None
            sent.end(write_error(wire, sent.status, sent.partial, sent.path))
        for sent in self._at(Stage.UNNAMED):
            self._publish_otherwise(wire, sent)

    def _publish_otherwise(self, wire: Wire, sent: Sent) -> None:
        assert sent.status is not None
        try:
            publish_otherwise(wire, sent.partial, sent.path, sent.status)
        except TransferError as error:
            if wire.broken:
                raise
            sent.end(error)
        else:
            sent.published()

    def _at(self, stage: Stage) -> list[Sent]:
        return [sent for sent in self._due.values() if sent.stage is stage]

    def _all(self) -> list[Sent]:
        return list(self._due.values())

    def _first(self) -> Sent:
        return next(iter(self._due.values()))

    # --- the end

    def _tidy_up(self, wire: Wire, gone: list[Sent]) -> None:
        """Removes what was not published."""
        for sent in gone:
            if sent.there:
                sent.remove(wire)
        _wait(wire)

    def _lost(self, cause: TransferError) -> None:
        """Nobody knows any more of what waits. Partials go over a new connection, also those that may never have been made."""
        due, self._due = self._all(), {}
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.broken = True
            self._wires.give(wire)
        for sent in due:
            sent.lost(cause)
        self._tidy_up_anew(due)

    def _tidy_up_anew(self, gone: list[Sent]) -> None:
        if not any(sent.there for sent in gone):
            return
        try:
            wire = self._wires.take_for_last_words(gone[0].location, "cannot tidy up")
            try:
                self._tidy_up(wire, gone)
            finally:
                self._wires.give(wire)
        except (TransferError, OSError):
            return

    def give_up(self, sent: Sent) -> None:
        """One is not wanted any more. Never raises."""
        if self._due.get(sent.partial) is not sent:
            return
        wire = self.wire
        sent.end(sent.undone("it was given up"))
        if wire is None or not wire.usable:
            del self._due[sent.partial]
            self._tidy_up_anew([sent])
            return
        context = wire.context
        wire.context = context.for_last_words(LAST_WORDS_SECONDS)
        try:
            while sent.waiting:
                wire.step()
            self._tidy_up(wire, [sent])
        except TransferError as error:
            self._lost(error)
            return
        wire.context = context
        del self._due[sent.partial]
        if not self._due:
            self.hand_back()

    def hand_back(self) -> None:
        """The wire goes to whoever wants one. What is written can be renamed over any other of the same account."""
        wire = self.wire
        if wire is None:
            return
        try:
            _wait(wire)
        except TransferError as error:
            self._lost(error)
            return
        self.wire = None
        self._wires.give(wire)

    def close(self) -> None:
        """Leaves nothing of what nobody asked the outcome of. Never raises."""
        for sent in self._all():
            self.give_up(sent)


def _wait(wire: Wire) -> None:
    """Returns when nothing is on its way any more. Raises TransferError when the conversation is lost."""
    while wire.expects:
        wire.step()
