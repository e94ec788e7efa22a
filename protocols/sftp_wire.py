"""SFTP version 3 (draft-ietf-secsh-filexfer-02) as packets, over any channel.

A `Wire` keeps many requests under way. What comes in goes into one ring, and packets are lent as views of it: nothing
is copied that is delivered in order. Any call but `ask` may move the ring's content, so a view ends with the next
call. While it waits to write it also reads, for a server that cannot get rid of its answers takes no more requests. A
wire that raised anything but a `Status` is in an unknown state and says so in `broken`.
"""

from __future__ import annotations

import mmap
import time
from struct import Struct

from .errors import ServerFault, Stopped, TransferError, Unreachable, Unsupported
from .sftp_packets import (
    EXTENDED,
    EXTENDED_REPLY,
    READ,
    STATUS,
    VERSION,
    WRITE,
    Fields,
    Packet,
    raise_unless_ok,
    senseless,
    string,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from .context import Context
    from .ssh import Channel

_RING_BYTES: Final = 1 << 20
_PACKET_MOST: Final = 512 << 10
_ROOM_BYTES: Final = 192 << 10
"""Room in the ring below which what is left in it moves to the front, so that one packet fits behind it."""
_PLAIN_BLOCK: Final = 32 << 10
"""What every server takes in one READ or WRITE (section 3 of the draft)."""
_LARGE_BLOCK: Final = 128 << 10
_HEADER_BYTES: Final = 1024
"""More than the header of any READ or WRITE."""
_GRACE: Final = 2.0

_HEAD: Final = Struct(">IBI")
_READ_TAIL: Final = Struct(">QI")


class Wire:
    """One SFTP conversation. `start` comes first."""

    __slots__ = (
        "_begin",
        "_channel",
        "_doing",
        "_end",
        "_expected",
        "_forgotten",
        "_kind",
        "_next",
        "_out",
        "_ring",
        "_view",
        "block",
        "broken",
        "context",
        "extensions",
        "host",
        "key",
    )

    def __init__(self, channel: Channel, context: Context, key: object) -> None:
        self._channel = channel
        self.context = context
        self.key = key
        """What it can serve: the account and the credential."""
        self._ring = mmap.mmap(-1, _RING_BYTES)
        self._view = memoryview(self._ring)
        self._begin = self._end = 0
        self._out: list[bytes | memoryview] = []
        self._next = 0
        self._forgotten: set[int] = set()
        self._expected: dict[int, Callable[[Packet], None]] = {}
        self._doing = f"cannot log in to {channel.what}"
        self._kind: type[TransferError] = Unreachable
        self.host = channel.what
        self.extensions: dict[bytes, bytes] = {}
        self.block = _PLAIN_BLOCK
        """How many bytes to ask for, or to write, in one request."""
        self.broken = False
        """It raised, and cannot be used any more."""

    # --- beginning and end

    def start(self) -> None:
        """Shakes hands. Raises what `ssh` says where there is no connection."""
        self._out.append(b"\0\0\0\x05\x01\0\0\0\x03")
        # `ssh` keeps to the same limit and has the better words for it: it gets a little longer.
        seconds = self.context.connect + _GRACE
        self._flush_within(seconds)
        packet = self.packet(seconds)
        if packet.kind != VERSION:
            raise self._fail(senseless("the server does not speak SFTP"))
        if packet.number < 3:
            raise self._fail(Unsupported(f"{self.host} speaks SFTP {packet.number}; 3 is needed"))
        fields = Fields(packet.body)
        while fields.left:
            name = fields.string()
            self.extensions[name] = fields.string()
        self._channel.settled()
        if b"limits@openssh.com" in self.extensions:
            self.block = self._limit()

    def _limit(self) -> int:
        """The block size that the server allows (PROTOCOL of OpenSSH, section 4.8)."""
        packet = self.call(EXTENDED, string(b"limits@openssh.com"))
        if packet.kind != EXTENDED_REPLY:
            return _PLAIN_BLOCK
        fields = Fields(packet.body)
        most, read, write = fields.double(), fields.double(), fields.double()
        given = [limit for limit in (most - _HEADER_BYTES if most else 0, read, write) if limit > 0]
        least = min([_LARGE_BLOCK, *given])
        return least if given and least >= _PLAIN_BLOCK else _PLAIN_BLOCK

    def about(self, doing: str, kind: type[TransferError] = Unreachable) -> None:
        """What the next errors say was being done, and what a silence or an end of the connection means for it."""
        self._doing = doing
        self._kind = kind

    @property
    def usable(self) -> bool:
        """It can serve another request: nothing has gone wrong, and the far side has not hung up meanwhile."""
        if self.broken:
            return False
        try:
            while self._take_in():
                pass
        except TransferError:
            return False
        return not self.broken

    @property
    def silent(self) -> bool:
        """It has ended, and nobody said why."""
        return self._channel.silent

    def close(self) -> None:
        """Ends it. Never raises."""
        self._channel.close(at_once=self.broken)
        self.broken = True

    # --- requests

    def ask(self, kind: int, *fields: bytes | memoryview) -> int:
        """Puts a request into the queue and returns its number. It is sent by `flush`, or before anything is waited
        for."""
        self._next = asked = (self._next + 1) & 0xFFFFFFFF
        body = b"".join(fields)
        self._out.append(_HEAD.pack(5 + len(body), kind, asked) + body)
        return asked

    def ask_to_read(self, handle: bytes, offset: int, count: int) -> int:
        return self.ask(READ, handle, _READ_TAIL.pack(offset, count))

    def write_at(self, handle: bytes, offset: int, data: memoryview) -> int:
        """Puts a WRITE into the queue and returns its number. `data` must stay as it is until `flush`."""
        self._next = asked = (self._next + 1) & 0xFFFFFFFF
        tail = _READ_TAIL.pack(offset, len(data))
        self._out.append(_HEAD.pack(5 + len(handle) + 12 + len(data), WRITE, asked) + handle + tail)
        self._out.append(data)
        return asked

    def forget(self, numbers: set[int]) -> None:
        """Nobody waits for the answers to these requests any more; they are dropped as they come."""
        self._forgotten |= numbers
        if self._expected:
            for one in numbers:
                self._expected.pop(one, None)

    def expect(self, asked: int, take: Callable[[Packet], None]) -> None:
        """Whoever waits for another answer when that to `asked` comes hands it to `take`, which raises nothing."""
        self._expected[asked] = take

    def no_longer_expect(self, asked: Iterable[int]) -> None:
        """The answers to these requests are waited for from now on, as those to all others."""
        for one in asked:
            self._expected.pop(one, None)

    @property
    def expects(self) -> bool:
        """Answers may come that fill the ring while nobody waits for them: not a conversation to write on."""
        return bool(self._expected)

    def flush(self) -> None:
        self._flush_within(self.context.stall)

    def _flush_within(self, seconds: float) -> None:
        """Sends what is in the queue. What comes in meanwhile is taken in, as far as the ring has room."""
        pieces, channel = self._out, self._channel
        deadline = 0.0
        while pieces:
            try:
                sent = channel.write(pieces[:64])
            except OSError:
                raise self._ended() from None
            if not sent:
                deadline = deadline or time.monotonic() + seconds
                self._wait(deadline, to_write=True)
                if self._take_in():
                    deadline = time.monotonic() + seconds
                continue
            deadline = 0.0
            if len(pieces) <= 64 and sent == sum(map(len, pieces)):
                pieces.clear()
                return
            while pieces and sent >= len(pieces[0]):
                sent -= len(pieces.pop(0))
            if sent:
                pieces[0] = memoryview(pieces[0])[sent:]

    # --- answers

    def call(self, kind: int, *fields: bytes) -> Packet:
        """The answer to one request. Raises Status for one that is a status other than OK."""
        return self.answer(self.ask(kind, *fields))

    def answer(self, asked: int) -> Packet:
        """The answer to a request that is the only one waited for. Raises Status, unless it is OK."""
        packet = self.packet()
        if packet.number != asked:
            raise self._fail(senseless("an answer to another question"))
        if packet.kind == STATUS:
            raise_unless_ok(packet)
        return packet

    def answered_nobody(self) -> TransferError:
        """The error for an answer to no question of ours."""
        return self._fail(senseless("an answer to no question"))

    def packet_of(self, asked: int) -> Packet:
        """The answer to one request, whatever it says; others that come before it are dropped."""
        while True:
            packet = self.packet()
            if packet.number == asked:
                return packet

    def packet(self, seconds: float = 0.0) -> Packet:
        """The next answer that somebody waits for. `seconds` without a byte are too long; 0: the context's limit."""
        while True:
            packet = self._next_packet(seconds)
            take = self._expected.pop(packet.number, None) if self._expected else None
            if take is None:
                return packet
            take(packet)

    def step(self) -> None:
        """Hands one answer that is expected to who takes it."""
        self._hand_over(self._next_packet(0.0))

    def take_what_came(self) -> None:
        """Hands the answers that are there already to those who expect them, without waiting. Nobody may wait for another one."""
        self._take_in()
        while (packet := self._whole()) is not None:
            if packet.number in self._forgotten:
                self._forgotten.discard(packet.number)
            else:
                self._hand_over(packet)

    def _hand_over(self, packet: Packet) -> None:
        take = self._expected.pop(packet.number, None)
        if take is None:
            raise self.answered_nobody()
        take(packet)

    def _next_packet(self, seconds: float) -> Packet:
        """The next answer that nobody has forgotten. What is in the queue is sent before anything is waited for."""
        while True:
            packet = self._whole()
            if packet is None:
                asks = bool(self._out)
                if asks:
                    self.flush()
                self._wait_for_more(seconds or self.context.stall, asks)
            elif packet.number in self._forgotten:
                self._forgotten.discard(packet.number)
            else:
                return packet

    def _whole(self) -> Packet | None:
        """The next packet of the ring if all of it is there."""
        begin = self._begin
        have = self._end - begin
        if have < 9:
            return None
        length, kind, asked = _HEAD.unpack_from(self._ring, begin)
        if length > _PACKET_MOST or length < 5:
            raise self._fail(senseless("what came is no SFTP"))
        if have < length + 4:
            return None
        self._begin = stop = begin + 4 + length
        return Packet(kind, asked, self._view[begin + 9 : stop])

    def _wait_for_more(self, seconds: float, asked: bool) -> None:
        """`asked`: just now, so that there is hardly an answer yet."""
        deadline = time.monotonic() + seconds
        if not asked and self._take_in():
            return
        while True:
            self._wait(deadline, to_write=False)
            if self._take_in():
                return

    def _take_in(self) -> bool:
        """Reads what is there, without waiting; True if something came."""
        if self._begin == self._end:
            self._begin = self._end = 0
        elif self._begin and _RING_BYTES - self._end < _ROOM_BYTES:
            left = self._end - self._begin
            self._ring.move(0, self._begin, left)
            self._begin, self._end = 0, left
        if self._end == _RING_BYTES:
            return False
        try:
            count = self._channel.read(self._view[self._end :])
        except OSError:
            count = 0
        if count == 0:
            raise self._ended()
        self._end += max(0, count)
        return count > 0

    def _wait(self, deadline: float, *, to_write: bool) -> None:
        """Waits until something can be done. Raises Stopped, and the present kind of error after the deadline."""
        if self.context.stop.is_set():
            raise self._fail(Stopped("the run was stopped"))
        left = deadline - time.monotonic()
        if left <= 0:
            raise self._fail(self._kind(f"{self._doing}: nothing came for too long", host=self.host))
        self._channel.wait(min(left, 0.5), to_write=to_write)

    def _ended(self) -> TransferError:
        self.broken = True
        return self._channel.why(self._kind, self._doing)

    def _fail(self, error: TransferError) -> TransferError:
        self.broken = True
        if isinstance(error, ServerFault):
            error.what = f"{self._doing}: {error.what}"
        return error
