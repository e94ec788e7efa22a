"""A TCP relay that is far away: `relay.py PORT MILLISECONDS` prints its own port and serves until it is ended.

What comes is passed on that many milliseconds later, in each direction, and a new connection first waits for two
times that, as the handshake of TCP would. No bandwidth limit, no loss, no slow start.
"""

from __future__ import annotations

import asyncio
import sys

PIECE = 256 * 1024
MOST_UNDERWAY = 64
"""Pieces of one direction of one connection."""


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Returns when the reader's end of stream was passed on, or a side is gone."""
    loop = asyncio.get_running_loop()
    underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_UNDERWAY)

    async def receive() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(PIECE)
            except OSError:
                data = b""
            await underway.put((loop.time() + delay, data))

    receiving = asyncio.create_task(receive())
    try:
        while True:
            due, data = await underway.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
    except OSError:
        writer.close()
    finally:
        receiving.cancel()


async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, delay: float) -> None:
    await asyncio.sleep(2 * delay)
    try:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port, limit=PIECE)
        await asyncio.gather(passed_on(reader, far_writer, delay), passed_on(far_reader, writer, delay))
        far_writer.close()
    except OSError:
        pass
    finally:
        writer.close()


async def main(port: int, delay: float) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served(reader, writer, port, delay)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=PIECE, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
