"""The SFTP conversations of one worker: each has one user at a time, and is kept for the next one."""

from __future__ import annotations

import time

from .errors import TransferError
from .sftp_wire import Wire
from .ssh import Connections
from .ssh_errors import NoSubsystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from .context import Context
    from .locations import Location
    from .ssh import Opener

    class Holder(Protocol):
        """Whoever keeps a conversation for longer than one file takes, though it could do without."""

        wire: Wire | None

        def hand_back(self) -> None:
            """Gives the conversation back, with nothing on its way there. Never raises."""


_IDLE_MOST: Final = 2
"""Conversations kept for one account: one that reads and one that writes."""
LAST_WORDS_SECONDS: Final = 5.0
"""What may still be said to a server after a stop, in this time."""


class Wires:
    """Takes out and takes back. A wire that broke is closed when it comes back."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.connections = Connections(context)
        self._idle: dict[object, list[Wire]] = {}
        self._without: dict[object, NoSubsystem] = {}
        self.holder: Holder | None = None
        """Who holds one of them beyond a single file, if anybody does."""

    def take(self, location: Location, purpose: str, doing: str, *, wanted: Wire | None = None) -> Wire:
        """A wire for the location, for one user until `give`. `doing` is for messages: `cannot ...`.

        It is the one that is `wanted` where that is free and serves the location. Raises NoSubsystem where there is no SFTP, without asking the host again.
        """
        key, opener = self.connections.opener(location, purpose)
        wire = self._free(key, wanted, doing, writes=purpose == "write")
        if wire is None and self._held(key) is not None:
            assert self.holder is not None
            self.holder.hand_back()
            wire = self._free(key, wanted, doing, writes=purpose == "write")
        if wire is not None:
            return wire
        if key in self._without:
            raise self._without[key]
        return self._opened(key, opener, doing, self._context)

    def take_briefly(self, location: Location, purpose: str, doing: str) -> Wire:
        """As `take`, for requests whose answers are all taken before anything else happens: the one that is held will do."""
        wire = self._held(self.connections.opener(location, purpose)[0])
        if wire is not None and wire.usable:
            wire.about(doing)
            return wire
        return self.take(location, purpose, doing)

    def take_free(self, location: Location, doing: str) -> Wire | None:
        """A wire that is there and on which nothing is on its way; None where a new one would have to be opened."""
        return self._free(self.connections.opener(location, "write")[0], None, doing, writes=True)

    def _held(self, key: object) -> Wire | None:
        """The wire that somebody holds, if it serves this account."""
        wire = self.holder.wire if self.holder is not None else None
        return wire if wire is not None and wire.key == key else None

    def _free(self, key: object, wanted: Wire | None, doing: str, *, writes: bool) -> Wire | None:
        idle = self._idle.get(key, [])
        for wire in _in_turn(idle, wanted, writes=writes):
            idle.remove(wire)
            if wire.usable:
                wire.about(doing)
                return wire
            wire.close()
        return None

    def serves(self, wire: Wire, location: Location, purpose: str = "read") -> bool:
        """Whether the location can be read, or written, over a wire that somebody has."""
        try:
            return self.connections.opener(location, purpose)[0] == wire.key
        except TransferError:
            return False

    def take_for_last_words(self, location: Location, doing: str) -> Wire:
        """A wire for tidying up within seconds: a free one, or after the end of the run, which stops them, a new one."""
        key, opener = self.connections.opener(location, "write")
        wire = None if self._context.stop.is_set() else self._free(key, None, doing, writes=True)
        if wire is not None:
            return wire
        return self._opened(key, opener, doing, self._context.for_last_words(LAST_WORDS_SECONDS))

    def _opened(self, key: object, opener: Opener, doing: str, context: Context) -> Wire:
        began = time.monotonic()
        try:
            wire, error = _started(opener, key, context, alone=False)
            if wire.silent:
                # Of a connection that is shared (ControlMaster), `ssh` does not say why a subsystem was refused.
                wire, error = _started(opener, key, context, alone=True)
            if error is not None:
                raise error
        except NoSubsystem as refusal:
            self._without[key] = refusal
            raise
        finally:
            self._context.logging_in += time.monotonic() - began
        wire.about(doing)
        return wire

    def give(self, wire: Wire) -> None:
        """Takes a wire back; one that was only lent by its holder (`take_briefly`) stays with the holder."""
        if self.holder is not None and wire is self.holder.wire:
            return
        idle = self._idle.setdefault(wire.key, [])
        if wire.broken or len(idle) >= _IDLE_MOST or wire.context is not self._context:
            wire.close()
        else:
            idle.append(wire)

    def close(self) -> None:
        idle, self._idle = self._idle, {}
        for wires in idle.values():
            for wire in wires:
                wire.close()
        self.connections.close()


def _in_turn(idle: list[Wire], wanted: Wire | None, *, writes: bool) -> list[Wire]:
    """The wires that may serve, the best one first."""
    fit = [wire for wire in reversed(idle) if not (writes and wire.expects)]
    if wanted in fit:
        fit.remove(wanted)
        fit.insert(0, wanted)
    return fit


def _started(
    opener: Opener, key: object, context: Context, *, alone: bool
) -> tuple[Wire, TransferError | None]:
    """A wire, and why it could not be started; then it is closed."""
    wire = Wire(opener.subsystem("sftp", alone=alone), context, key)
    try:
        wire.start()
    except TransferError as error:
        wire.close()
        return wire, error
    except BaseException:
        wire.broken = True
        wire.close()
        raise
    return wire, None
