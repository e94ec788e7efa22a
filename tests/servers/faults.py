"""A TCP proxy of our own that breaks connections as networks do, in a thread of the test process.

    with fault_proxy(server.port, cut(1000, body=True), first=1) as proxy:
        ...  # the first connection through proxy.port ends 1000 bytes into the answer's body, later ones pass

A fault belongs to a connection when it is accepted: `proxy.inject(...)` is for the next connections. Offsets count from the
start of a connection's stream, or with `body=True` from the first byte after its first blank line, which is the
first body on it. Offsets are exact whatever the pieces in which bytes travel.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PIECE = 64 * 1024
_HEAD_END = b"\r\n\r\n"
_PATIENCE = 30.0
"""Seconds; only against hanging."""


class Kind(StrEnum):
    PASS = "pass"
    CUT = "cut"
    RESET = "reset"
    STALL = "stall"
    FLIP = "flip"
    REFUSE = "refuse"
    SILENT = "silent"


class Fault(NamedTuple):
    """What happens to a connection. Made by the functions below."""

    kind: Kind
    at: int = 0
    body: bool = False
    upward: bool = False
    """Counts what the client sends, instead of what the server answers."""


PASS = Fault(Kind.PASS)
REFUSE = Fault(Kind.REFUSE)
"""Accepted and reset at once, before the server hears of it."""
SILENT = Fault(Kind.SILENT)
"""Accepted and never answered; the server does not hear of it."""


def cut(at: int, *, body: bool = False, upward: bool = False) -> Fault:
    """Exactly `at` bytes pass, then both sides are closed (FIN; RST to a client that is still sending)."""
    return Fault(Kind.CUT, at, body, upward)


def reset(at: int, *, body: bool = False, upward: bool = False) -> Fault:
    """Exactly `at` bytes pass, then the client's connection is reset (RST)."""
    return Fault(Kind.RESET, at, body, upward)


def stall(at: int, *, body: bool = False, upward: bool = False) -> Fault:
    """Exactly `at` bytes pass, then nothing comes any more and the connection stays open."""
    return Fault(Kind.STALL, at, body, upward)


def flip(at: int, *, body: bool = False, upward: bool = False) -> Fault:
    """One bit of the byte at offset `at` is changed; everything passes."""
    return Fault(Kind.FLIP, at, body, upward)


class FaultProxy:
    """Use `fault_proxy()`. Counters may be read at any time from the test's thread."""

    def __init__(self, upstream_port: int, delay_ms: float, rate: int) -> None:
        self.upstream_port = upstream_port
        self.port = 0
        self.connections = 0
        """Accepted so far, faulty or not."""
        self.faulty = 0
        """Of these, the ones that were given a fault."""
        self.bytes_down = 0
        """Bytes passed on to clients."""
        self.bytes_up = 0
        """Bytes passed on to the server."""
        self.delay = delay_ms / 1000
        self.rate = rate
        self._fault, self._left = PASS, 0
        self._lock = threading.Lock()
        self._live: set[_Connection] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=asyncio.run, args=[self._serve()], name="fault proxy", daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def inject(self, fault: Fault, *, first: int | None = None) -> None:
        """The next `first` connections, or all, get `fault`; those after them pass."""
        with self._lock:
            self._fault = fault
            self._left = sys.maxsize if first is None else first

    def cut_all(self) -> None:
        """Closes every connection that is open now, idle ones too: a server that tires of keep-alive."""
        self._on_all(_Connection.close)

    def reset_all(self) -> None:
        """Resets every connection that is open now, idle ones too."""
        self._on_all(_Connection.reset)

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(_PATIENCE):
            raise RuntimeError("the fault proxy did not start")

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            raise RuntimeError("the fault proxy did not stop")

    def count(self, passed: int, *, upward: bool) -> None:
        if upward:
            self.bytes_up += passed
        else:
            self.bytes_down += passed

    def _on_all(self, action: Callable[[_Connection], None]) -> None:
        async def act() -> None:
            for connection in tuple(self._live):
                action(connection)

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(_PATIENCE)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        while self._live:
            for connection in tuple(self._live):
                connection.reset()
            await asyncio.sleep(0.001)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer, self._next_fault())
        self._live.add(connection)
        try:
            await connection.run()
        finally:
            self._live.discard(connection)

    def _next_fault(self) -> Fault:
        with self._lock:
            self.connections += 1
            if self._left <= 0 or self._fault.kind is Kind.PASS:
                return PASS
            self._left -= 1
            self.faulty += 1
            return self._fault


class _Connection:
    """One client's connection, and ours to the server for it. Lives in the proxy's thread."""

    def __init__(
        self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault
    ) -> None:
        self._proxy = proxy
        self._fault = fault
        self._reader, self._writer = reader, writer
        self._server: asyncio.StreamWriter | None = None
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Returns when both sides are closed, by whomever."""
        work = asyncio.create_task(self._work())
        ended = asyncio.create_task(self._ended.wait())
        await asyncio.wait((work, ended), return_when=asyncio.FIRST_COMPLETED)
        self.close()
        for task in (work, ended):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for writer in self._writers():
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _work(self) -> None:
        if self._fault.kind is Kind.REFUSE:
            self.reset()
        elif self._fault.kind is Kind.SILENT:
            await _drain(self._reader)
        else:
            await self._relay()

    async def _relay(self) -> None:
        try:
            reader, self._server = await asyncio.open_connection("127.0.0.1", self._proxy.upstream_port)
        except OSError:
            self.reset()
            return
        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(self._pump(self._reader, self._server, upward=True))
            pumps.create_task(self._pump(reader, self._writer, upward=False))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upward: bool
    ) -> None:
        """Passes on one direction until its end. With a delay many pieces are under way, without one."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256 if self._proxy.delay else 1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deliver(pieces, writer, upward=upward))
            while data := await _read(reader):
                await pieces.put((_now() + self._proxy.delay, data))
            if upward and self._fault.kind is Kind.STALL:
                self.close()  # the client gave up waiting
            await pieces.put((_now() + self._proxy.delay, b""))

    async def _deliver(
        self, pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, *, upward: bool
    ) -> None:
        """Writes each piece when it is due, until the end or until the fault strikes."""
        stream = _Stream(self._fault if self._fault.upward == upward else PASS)
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(max(0.0, due - _now()))
            if not data:
                break
            data, struck = stream.take(data)
            await self._write(writer, data, upward=upward)
            if struck:
                await self._strike(writer)
                await self._ended.wait()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes, *, upward: bool) -> None:
        rate = self._proxy.rate
        step = max(1, rate // 50) if rate else _PIECE
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            try:
                writer.write(piece)
                await writer.drain()
            except OSError:
                self.close()
                return
            self._proxy.count(len(piece), upward=upward)
            if rate:
                await asyncio.sleep(len(piece) / rate)

    async def _strike(self, writer: asyncio.StreamWriter) -> None:
        if self._fault.kind is Kind.CUT:
            self.close()
        elif self._fault.kind is Kind.RESET:
            await _sent(writer)
            self.reset()

    def close(self) -> None:
        """What was written still goes out, then FIN."""
        self._ended.set()
        for writer in self._writers():
            writer.close()

    def reset(self) -> None:
        """RST to the client; what it was not sent yet is dropped."""
        with contextlib.suppress(OSError):
            client = self._writer.get_extra_info("socket")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._ended.set()
        for writer in self._writers():
            writer.transport.abort()

    def _writers(self) -> list[asyncio.StreamWriter]:
        return [self._writer, self._server] if self._server else [self._writer]


class _Stream:
    """Where one direction of a connection is, and whether the fault's offset is reached."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._passed = 0
        self._origin = -1 if fault.body else 0
        self._tail = b""

    def take(self, data: bytes) -> tuple[bytes, bool]:
        """What passes of `data`, and whether the stream ends or stalls after it."""
        start, self._passed = self._passed, self._passed + len(data)
        if self.fault.kind is Kind.PASS or not self._origin_known(data, start):
            return data, False
        at = self._origin + self.fault.at - start
        if self.fault.kind is Kind.FLIP:
            return (_flipped(data, at) if 0 <= at < len(data) else data), False
        return (data[: max(0, at)], True) if at <= len(data) else (data, False)

    def _origin_known(self, data: bytes, start: int) -> bool:
        if self._origin < 0:
            seen = self._tail + data
            found = seen.find(_HEAD_END)
            if found < 0:
                self._tail = seen[-len(_HEAD_END) + 1 :]
                return False
            self._origin = start - len(self._tail) + found + len(_HEAD_END)
        return True


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next bytes; empty at the end, however the peer ended."""
    try:
        return await reader.read(_PIECE)
    except OSError:
        return b""


async def _drain(reader: asyncio.StreamReader) -> None:
    """Returns when the peer has gone."""
    while await _read(reader):
        pass


async def _sent(writer: asyncio.StreamWriter) -> None:
    """Returns when the peer's kernel has everything that was written, at the latest after some seconds."""
    for _ in range(5000):
        if writer.transport.is_closing() or not (
            writer.transport.get_write_buffer_size()
            or _unacknowledged(writer.get_extra_info("socket").fileno())
        ):
            return
        await asyncio.sleep(0.001)


def _unacknowledged(descriptor: int) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4))
    return int(count)


def _now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.contextmanager
def fault_proxy(
    upstream_port: int,
    fault: Fault = PASS,
    *,
    first: int | None = None,
    delay_ms: float = 0,
    rate: int = 0,
) -> Iterator[FaultProxy]:
    """A proxy in front of 127.0.0.1:`upstream_port`. Only the `first` connections are faulty, if given.

    `delay_ms` is added in each direction, to faulty connections and others; `rate` is bytes per second for each
    connection and direction, 0 for no limit.
    """
    proxy = FaultProxy(upstream_port, delay_ms, rate)
    proxy.inject(fault, first=first)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port on which connections are refused: bound, so that nobody else takes it, and not listening."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port on which connecting gets no answer at all: its queue of connections nobody accepted is full."""
    with socket.socket() as listener, contextlib.ExitStack() as queue:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
