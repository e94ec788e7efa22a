"""pyftpdlib as an FTP server, and a double for servers that misbehave."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from servers.process import Daemon, free_port, short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "dave"
PASSWORD = "by:ftp"

_PROGRAM = f"""\
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
root, port = sys.argv[1], int(sys.argv[2])
users = DummyAuthorizer()
users.add_anonymous(root)
users.add_user({USER!r}, {PASSWORD!r}, root)
FTPHandler.authorizer = users
FTPHandler.encoding = "utf8"
FTPServer(("127.0.0.1", port), FTPHandler).serve_forever()
"""


class Ftp(NamedTuple):
    """A running server. Anonymous users and USER may read what is below `root`."""

    root: Path
    port: int
    url: str
    daemon: Daemon

    def sessions(self) -> int:
        """How many logins there were."""
        return self.daemon.output().count(" logged in.")


@contextlib.contextmanager
def ftp(root: Path) -> Iterator[Ftp]:
    port = free_port()
    with short_temporary_directory() as run:
        command = [sys.executable, "-c", _PROGRAM, str(root), str(port)]
        daemon = Daemon(command, port=port, log=Path(run) / "output.log")
        try:
            yield Ftp(root, port, f"ftp://127.0.0.1:{port}", daemon)
        finally:
            daemon.stop()


class BrokenFtp:
    """A double: tells `size` for every file, sends `data`, then ends or stalls, and confirms with `verdict`."""

    def __init__(self, data: bytes, size: int | None, verdict: str, stall: bool, welcome: str) -> None:
        self._data, self._size, self._verdict, self._stall = data, size, verdict, stall
        self._welcome = welcome
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"ftp://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                control, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(control)
            self._threads.append(threading.Thread(target=self._serve, args=(control,), daemon=True))
            self._threads[-1].start()

    def _serve(self, control: socket.socket) -> None:
        with contextlib.suppress(OSError), control, control.makefile("rwb", 0) as stream:
            stream.write(b"220 ready\r\n")
            while line := stream.readline():
                stream.write(self._reply(line.decode().split()[0], stream))

    def _reply(self, verb: str, stream: socket.SocketIO) -> bytes:
        if verb == "SIZE":
            return b"502 no\r\n" if self._size is None else f"213 {self._size}\r\n".encode()
        if verb == "PASV":
            self._passive = socket.create_server(("127.0.0.1", 0))
            high, low = divmod(self._passive.getsockname()[1], 256)
            return f"227 ok (127,0,0,1,{high},{low})\r\n".encode()
        if verb == "RETR":
            data, _ = self._passive.accept()
            with self._passive, data:
                stream.write(b"150 here it comes\r\n")
                data.sendall(self._data)
                if self._stall:
                    data.recv(1)
            return f"{self._verdict}\r\n".encode()
        return {"USER": f"{self._welcome}\r\n".encode(), "TYPE": b"200 ok\r\n"}.get(verb, b"502 no\r\n")

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for control in self._open:
            with contextlib.suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


@contextlib.contextmanager
def broken_ftp(
    data: bytes,
    *,
    size: int | None = None,
    verdict: str = "226 done",
    stall: bool = False,
    welcome: str = "230 welcome",
) -> Iterator[BrokenFtp]:
    server = BrokenFtp(data, size, verdict, stall, welcome)
    try:
        yield server
    finally:
        server.stop()
