"""The files of the Globus test service's collections over HTTPS, and how every answer is made."""

from __future__ import annotations

import json
import re
import socket
import uuid
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from .globus_world import Denied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .globus_documents import Document
    from .globus_world import World

_COLLECTION = re.compile(r"/c/([0-9a-fA-F-]{36})(/.*)", re.DOTALL)
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class DataRoutes(BaseHTTPRequestHandler):
    """One connection. `world` is set by a subclass; `route` and `length` are those of the request."""

    world: World
    route: str
    length: int
    """Bytes of the body that have not been read yet."""
    continued: bool
    """The client has leave to send the body."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _body(self) -> bytes:
        if self.headers.get("Expect") and not self.continued:
            # Whoever waits for leave to send it does not, once there was an answer.
            self.close_connection = True
            return b""
        body, self.length = self.rfile.read(self.length) if self.length else b"", 0
        return body

    def _about(self) -> Document:
        return {"request_id": uuid.uuid4().hex[:9], "resource": self.route}

    def _answer_json(self, status: int, document: Document, headers: dict[str, str] | None = None) -> None:
        self._body()
        self._answer(status, json.dumps(document).encode(), "application/json", headers or {})

    def _answer(
        self, status: int, body: bytes, kind: str = "text/plain", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # --- the collections' own HTTPS

    def _data(self, effect: dict[str, Any]) -> None:
        """GET with ranges, PUT, DELETE; a HEAD that tells no size, as those servers are said to be."""
        match = _COLLECTION.fullmatch(self.route)
        if match is None:
            self._answer(404, b"no such collection")
            return
        if not self.world.may_read_data(self.headers.get("Authorization") or "", match[1]):
            self._body()
            self._answer(401, b"no token", headers={"WWW-Authenticate": "Bearer"})
            return
        try:
            path = self.world.collections[match[1]].path(match[2], writing=self.command in ("PUT", "DELETE"))
            self._file(path, effect)
        except Denied:
            self._body()
            self._answer(403, b"denied")
        except (FileNotFoundError, NotADirectoryError):
            self._body()
            self._answer(404, b"550-GlobusError: v=1 c=PATH_NOT_FOUND\r\n550-GridFTP-Errno: 2")

    def _file(self, path: Path, effect: dict[str, Any]) -> None:
        if self.command == "PUT":
            self._put(path, effect)
        elif self.command == "DELETE":
            path.unlink()
            self._answer(200, b"")
        elif path.is_dir():
            self._answer(400, b"is a directory")
        else:
            self._get(path, effect)

    def _put(self, path: Path, effect: dict[str, Any]) -> None:
        if not path.parent.is_dir():
            raise FileNotFoundError
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
            self.continued = True
        with path.open("wb") as file:
            for piece in self._pieces():
                file.write(piece)
        if effect.get("flip"):
            content = path.read_bytes()
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        if effect.get("truncate"):
            path.write_bytes(path.read_bytes()[:-1])
        self._answer(200, b"")

    def handle_expect_100(self) -> bool:
        """Not at once: the request is looked at first."""
        return True

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            left, self.length = self.length, 0
            while left:
                piece = self.rfile.read(min(left, 1 << 20))
                if not piece:
                    raise ConnectionError
                left -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _get(self, path: Path, effect: dict[str, Any]) -> None:
        total = path.stat().st_size
        first, last, status = 0, total - 1, 200
        headers = {"Accept-Ranges": "bytes"}
        match = _RANGE.fullmatch(self.headers.get("Range") or "")
        if match:
            first, status = int(match[1]), 206
            last = min(int(match[2]), total - 1) if match[2] else total - 1
            if first >= total:
                self._answer(416, b"", headers={"Content-Range": f"bytes */{total}"})
                return
            headers["Content-Range"] = f"bytes {first}-{last}/{total}"
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(0 if self.command == "HEAD" else last + 1 - first))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send(path, first, last + 1 - first, effect)

    def _send(self, path: Path, first: int, count: int, effect: dict[str, Any]) -> None:
        with path.open("rb") as file:
            file.seek(first)
            if "cut" in effect or "stall" in effect:
                self.wfile.write(file.read(effect.get("cut", effect.get("stall"))))
                if "stall" in effect:
                    self.rfile.read(1)
                self._hang_up()
                return
            while count:
                piece = file.read(min(count, 1 << 20))
                self.wfile.write(piece)
                count -= len(piece)
