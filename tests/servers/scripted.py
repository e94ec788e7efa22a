"""A double: a TCP server that answers with the bytes it was told to, for answers that no real server gives.

    with scripted(answer(b"hello"), b"HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\nshort") as server:
        ...  # requests to server.url; the first request gets the first script, the last script serves all later ones

A script is the answer to one request: bytes, or a list of steps: bytes to send, and the words below. Heads and bodies of
requests are kept in `server.requests`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .tls import Pair

CLOSE = "close"
"""Ends the connection after what was sent."""
RESET = "reset"
"""Ends the connection with RST."""
BODY = "body"
"""Reads the request's body before what follows; without it the body is read after the answer was sent."""
FOUR_BYTES = "four"
"""Reads four bytes of the request's body before what follows."""
MORE = "more"
"""Waits for one more request before what follows, which is still the answer to the first; it is answered in its turn."""
STALL = "stall"
"""Sends nothing more until the client goes away."""

Step = bytes | str
Script = bytes | list[Step]
Choice = Callable[[str, int, int], Script]
"""The script for a target, the number of the connection, and how many requests came on it before."""


class Request(NamedTuple):
    """One request as it came. `connection` counts from 1."""

    connection: int
    line: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


def answer(body: bytes = b"", *fields: str, status: str = "200 OK") -> bytes:
    """A complete answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body


class Scripted:
    """Use `scripted()`."""

    def __init__(
        self, scripts: Sequence[Script], certificate: Pair | None, choose: Choice | None = None
    ) -> None:
        self.scripts = list(scripts)
        self.choose = choose
        """What answers instead of the scripts in their order."""
        self._next = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate.certificate, certificate.key)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self.requests: list[Request] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # Else an answer may still wait to be sent when the connection is reset.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
                number = self.connections
            thread = threading.Thread(target=self._serve, args=(connection, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            with contextlib.suppress(OSError):
                if self._tls is not None:
                    plain, connection = connection, self._tls.wrap_socket(connection, server_side=True)
                    with self._lock:
                        self._open.remove(plain)
                        self._open.add(connection)
                with connection.makefile("rb") as stream:
                    ahead: deque[Head] = deque()
                    count = 0
                    while self._answer_one(connection, stream, (number, count), ahead):
                        count += 1
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _answer_one(
        self, connection: socket.socket, stream: Stream, place: tuple[int, int], ahead: deque[Head]
    ) -> bool:
        """`ahead` is what came and is not answered yet."""
        number, count = place
        line, headers = ahead.popleft() if ahead else _head(stream)
        if not line:
            return False
        with self._lock:
            script = self.scripts[min(self._next, len(self.scripts) - 1)]
            if self.choose is not None:
                script = self.choose(line.split()[1], number, count)
            self._next += 1
            at = len(self.requests)
            self.requests.append(Request(number, line, headers, b""))
        body: bytes | None = None
        for step in [script] if isinstance(script, bytes) else script:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif step == BODY:
                body = _body(stream, headers)
                self.requests[at] = Request(number, line, headers, body)
            elif step == MORE:
                ahead.append(_head(stream))
            elif step == FOUR_BYTES:
                stream.read(4)
            elif step == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            elif step == STALL:
                while connection.recv(65536):
                    pass
                return False
            else:
                return False
        if body is None:
            self.requests[at] = Request(number, line, headers, _body(stream, headers))
        return True


Stream = socket.SocketIO
Head = tuple[str, dict[str, str]]


def _head(stream: Stream) -> Head:
    """The request line, which is empty at the end, and the fields by names in lower case."""
    line = stream.readline().decode("latin-1").strip()
    headers: dict[str, str] = {}
    while line and (field := stream.readline().decode("latin-1").strip()):
        name, _, value = field.partition(":")
        headers[name.lower()] = value.strip()
    return line, headers


def _body(stream: Stream, headers: dict[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", ""):
        return stream.read(int(headers.get("content-length", 0))) or b""
    parts = []
    while size := int(stream.readline() or b"0", 16):
        parts.append(stream.read(size) or b"")
        stream.readline()
    stream.readline()
    return b"".join(parts)


@contextlib.contextmanager
def scripted(
    *scripts: Script, certificate: Pair | None = None, choose: Choice | None = None
) -> Iterator[Scripted]:
    """A server on a free port of 127.0.0.1; with `certificate` it speaks TLS."""
    server = Scripted(scripts or (answer(),), certificate, choose)
    try:
        yield server
    finally:
        server.stop()
