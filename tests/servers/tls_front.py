"""Puts TLS in front of a plain server, and leads CONNECT requests to other servers than they name: both in a thread of the test."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .tls import Pair

_PIECE = 1 << 18
_PATIENCE = 30.0


class _Front:
    """An event loop in a thread, with one listening socket of 127.0.0.1."""

    def __init__(
        self, settings: ssl.SSLContext | None, upstream: int, elsewhere: Mapping[str, int] | None
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._elsewhere = elsewhere
        self.connects: list[str] = []
        """`host:port` of each CONNECT."""
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._serve()], daemon=True)
        self._thread.start()
        if not self._ready.wait(_PATIENCE):
            raise RuntimeError("the front did not start")

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._live: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self._settings, limit=_PIECE)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        for task in tuple(self._live):
            task.cancel()
        await asyncio.gather(*self._live, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed in the next round

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._live.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._relay(reader, writer)
        self._live.discard(task)
        writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self._upstream
        if self._elsewhere is not None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            place = head.split()[1]
            self.connects.append(place)
            port = self._elsewhere.get(place) or int(place.rpartition(":")[2])
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        there, to = await asyncio.open_connection("127.0.0.1", port, limit=_PIECE)
        pumps = [asyncio.create_task(_pump(reader, to)), asyncio.create_task(_pump(there, writer))]
        try:
            # When the server has ended there is nothing more to say; a client may end its half first.
            await pumps[1]
            writer.close()
            await writer.wait_closed()
        finally:
            for pump in pumps:
                pump.cancel()
            to.transport.abort()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            raise RuntimeError("the front did not stop")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()


@contextlib.contextmanager
def tls_front(upstream_port: int, pair: Pair) -> Iterator[int]:
    """The port of a TLS server, what is said to which goes to 127.0.0.1:`upstream_port` in the clear."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(pair.certificate, pair.key)
    front = _Front(settings, upstream_port, None)
    try:
        yield front.port
    finally:
        front.stop()


@contextlib.contextmanager
def connect_proxy(elsewhere: Mapping[str, int]) -> Iterator[_Front]:
    """A proxy for CONNECT: `host:port` in `elsewhere` is that port of 127.0.0.1, and so is every other port."""
    front = _Front(None, 0, elsewhere)
    try:
        yield front
    finally:
        front.stop()
