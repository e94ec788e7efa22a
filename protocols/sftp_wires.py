"""The SFTP conversations of one worker: each has one user at a time, and is kept for the next one."""

from __future__ import annotations

from .errors import TransferError
from .sftp_wire import Wire
from .ssh import Connections
from .ssh_errors import NoSubsystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .context import Context
    from .locations import Location
    from .ssh import Opener

_IDLE_MOST: Final = 2
"""Conversations kept for one account: one that reads and one that writes."""
_LAST_WORDS_SECONDS: Final = 5.0


class Wires:
    """Takes out and takes back. A wire that broke is closed when it comes back."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.connections = Connections(context)
        self._idle: dict[object, list[Wire]] = {}
        self._without: dict[object, NoSubsystem] = {}

    def take(self, location: Location, purpose: str, doing: str) -> Wire:
        """A wire for the location, for one user until `give`. `doing` is for messages: `cannot ...`.

        Raises NoSubsystem where there is no SFTP, without asking the host again.
        """
        key, opener = self.connections.opener(location, purpose)
        idle = self._idle.get(key, [])
        while idle:
            wire = idle.pop()
            if wire.usable:
                wire.about(doing)
                return wire
            wire.close()
        if key in self._without:
            raise self._without[key]
        return self._opened(key, opener, doing, self._context)

    def take_for_last_words(self, location: Location, doing: str) -> Wire:
        """A new wire that the end of the run does not stop, for tidying up within seconds."""
        key, opener = self.connections.opener(location, "write")
        return self._opened(key, opener, doing, self._context.for_last_words(_LAST_WORDS_SECONDS))

    def _opened(self, key: object, opener: Opener, doing: str, context: Context) -> Wire:
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
        wire.about(doing)
        return wire

    def give(self, wire: Wire) -> None:
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
