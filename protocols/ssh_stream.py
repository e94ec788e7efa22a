"""A command at the far side as a stream: lines and bytes, sent and received, within the limits of a context."""

from __future__ import annotations

import time

from .errors import ServerFault, Stopped, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .context import Context
    from .errors import TransferError
    from .ssh import Channel

_BUFFER_BYTES: Final = 64 << 10
_LINE_MOST: Final = 32 << 10
_GRACE: Final = 2.0


class Stream:
    """Errors say `doing`; a silence or an end where more should come is an error of the kind that `about` was told."""

    __slots__ = (
        "_begin",
        "_buffer",
        "_channel",
        "_context",
        "_doing",
        "_end",
        "_kind",
        "_limit",
        "broken",
        "host",
    )

    def __init__(self, channel: Channel, context: Context, doing: str) -> None:
        self._channel = channel
        self._context = context
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._begin = self._end = 0
        self._doing = doing
        self._kind: type[TransferError] = Unreachable
        self._limit = context.connect + _GRACE
        self.host = channel.what
        self.broken = False

    def about(self, doing: str, kind: type[TransferError], seconds: float = 0.0) -> None:
        """From now on the host is known to answer. `seconds` may pass without a byte; 0: the context's limit."""
        self._doing = doing
        self._kind = kind
        self._limit = seconds or self._context.stall

    def settled(self) -> None:
        """The far side does what it was asked to."""
        self._channel.settled()

    def send(self, *pieces: bytes | memoryview) -> None:
        """Consumes all of the pieces."""
        left: list[bytes | memoryview] = [piece for piece in pieces if len(piece)]
        deadline = time.monotonic() + self._limit
        while left:
            try:
                sent = self._channel.write(left)
            except OSError:
                raise self.ended() from None
            if not sent:
                self._wait(deadline, to_write=True)
                continue
            deadline = time.monotonic() + self._limit
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if sent:
                left[0] = memoryview(left[0])[sent:]

    def end_of_input(self) -> None:
        self._channel.end_of_input()

    def line(self) -> bytes:
        """The next line, without its end. Raises at the end of the stream."""
        while True:
            have = bytes(self._buffer[self._begin : self._end])
            stop = have.find(b"\n")
            if stop >= 0:
                self._begin += stop + 1
                return have[:stop]
            if len(have) >= _LINE_MOST:
                raise self.fail(ServerFault(f"{self._doing}: the far side sends what makes no sense"))
            if not self._more():
                raise self.ended()

    def byte(self) -> int:
        """The next byte; -1 at the end."""
        if self._begin == self._end and not self._more():
            return -1
        self._begin += 1
        return self._buffer[self._begin - 1]

    def into(self, view: memoryview) -> int:
        """Fills `view`. Returns less than its length only at the end of the stream."""
        filled = min(len(view), self._end - self._begin)
        view[:filled] = self._buffer[self._begin : self._begin + filled]
        self._begin += filled
        while filled < len(view):
            count = self._receive(view[filled:])
            if not count:
                break
            filled += count
        return filled

    def rest(self) -> bytes:
        """What comes until the end, of which no more is kept than the buffer holds."""
        while self._more():
            if self._end == len(self._buffer) and not self._begin:
                self._end = _LINE_MOST
        return bytes(self._buffer[self._begin : self._end])

    def _more(self) -> bool:
        if self._begin:
            left = self._end - self._begin
            self._buffer[:left] = bytes(self._buffer[self._begin : self._end])
            self._begin, self._end = 0, left
        count = self._receive(self._buffer[self._end :])
        self._end += count
        return count > 0

    def _receive(self, view: memoryview) -> int:
        deadline = 0.0
        while True:
            try:
                count = self._channel.read(view)
            except OSError:
                count = 0
            if count >= 0:
                return count
            deadline = deadline or time.monotonic() + self._limit
            self._wait(deadline, to_write=False)

    def _wait(self, deadline: float, *, to_write: bool) -> None:
        if self._context.stop.is_set():
            raise self.fail(Stopped("the run was stopped"))
        left = deadline - time.monotonic()
        if left <= 0:
            raise self.fail(self._kind(f"{self._doing}: nothing came for too long", host=self.host))
        self._channel.wait(min(left, 0.5), to_write=to_write)

    def ended(self) -> TransferError:
        """The error for a stream that ended too early."""
        self.broken = True
        return self._channel.why(self._kind, self._doing)

    def fail(self, error: TransferError) -> TransferError:
        self.broken = True
        return error

    def close(self) -> None:
        """Ends the command. Never raises."""
        self._channel.close(at_once=self.broken)
        self.broken = True
