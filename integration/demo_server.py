"""A small web server for the demonstration: the files of one folder, with ranges, on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
DAMAGED = "/damaged/"
"""Below this path the same files are served with one bit wrong, as a bad disk would."""


class FileServer(ThreadingHTTPServer):
    """Serves `folder`. `url` has no slash at the end."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.server_port}"

    def content(self, path: str) -> bytes | None:
        """What is served at a path; None for what is not there."""
        damaged = path.startswith(DAMAGED)
        name = unquote(path.removeprefix(DAMAGED) if damaged else path[1:])
        if not name or "/" in name or not (self.folder / name).is_file():
            return None
        data = (self.folder / name).read_bytes()
        if damaged and data:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        return data


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """The demonstration's terminal belongs to the command that it shows."""

    def _answer(self, *, body: bool) -> None:
        data = self.server.content(self.path.partition("?")[0])
        if data is None:
            self._head(404, 0)
            return
        begin, end = 0, len(data)
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is None:
            self._head(200, end)
        else:
            begin, end = int(asked[1]), min(end, int(asked[2] or end - 1) + 1)
            if begin >= end:
                self._head(416, 0, ("Content-Range", f"bytes */{len(data)}"))
                return
            self._head(206, end - begin, ("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}"))
        if body:
            self.wfile.write(memoryview(data)[begin:end])

    def _head(self, status: int, length: int, *fields: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(length)), ("Accept-Ranges", "bytes"), *fields):
            self.send_header(name, value)
        self.end_headers()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[FileServer]:
    """The server, in a thread of this process."""
    server = FileServer(folder)
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
