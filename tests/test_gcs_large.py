"""An object of 3 GiB, there and back.

Not with the emulators: gcp-storage-emulator copies what it has of an upload for each chunk of it, so that 600 MiB take 20 s
and 3 GiB a quarter of an hour, and it needs twice the size in memory; fake-gcs-server needs five times. So the other side is a double
that counts and hashes what it is sent, and sends zeros. Nobody may look at its bucket, which is why there is one upload and no parts.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from command_runs import COMMAND
from wf.checksum.digest import Digest, new_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

SIZE = (3 << 30) + 5
MIB = 1 << 20
ZEROS = bytes(MIB)
MEASURED = (
    "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
    "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


class Double(ThreadingHTTPServer):
    """One object, which is all zeros or what an upload has sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.received = 0
        self.hashing = new_hash("crc32c")
        self.there = False

    def take(self, piece: bytes) -> None:
        self.received += len(piece)
        self.hashing.update(piece)

    def checksum(self) -> str:
        return Digest("crc32c", self.hashing.digest()).base64

    def resource(self) -> dict[str, Any]:
        return {"name": "big", "size": str(self.received), "generation": "7", "crc32c": self.checksum()}


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Double

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        host, port = self.server.server_address[:2]
        self.say(200, b"", Location=f"http://{host}:{port}/upload/storage/v1/b/b/o?upload_id=1")

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        first, total = re.fullmatch(r"bytes (\d+)-\d+/(.+)", self.headers["Content-Range"]).groups()
        assert int(first) == self.server.received
        while left:
            piece = self.rfile.read(min(left, MIB))
            self.server.take(piece)
            left -= len(piece)
        if total == "*":
            self.say(308, b"", Range=f"bytes=0-{self.server.received - 1}")
            return
        assert int(total) == self.server.received
        assert self.headers["x-goog-hash"] == f"crc32c={self.server.checksum()}"
        self.server.there = True
        self.say(200, json.dumps(self.server.resource()).encode())

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/b/b"):
            self.say(403, b"{}")
        elif not (self.server.there and path.endswith("/big")):
            self.say(404, b"{}")
        elif "alt=media" not in self.path:
            self.say(200, json.dumps(self.server.resource()).encode())
        else:
            self.send()

    def send(self) -> None:
        size = self.server.received
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2] or size - 1)) if asked else (0, size - 1)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("x-goog-generation", "7")
        self.send_header("x-goog-hash", f"crc32c={self.server.checksum()}")
        self.end_headers()
        left = last - first + 1
        try:
            while left:
                left -= self.wfile.write(ZEROS[:left])
        except OSError:
            self.close_connection = True  # only the beginning was wanted

    def say(self, status: int, body: bytes, **fields: str) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def measured(folder: Path, double: Double, *words: str) -> int:
    """Kilobytes of memory that the command took; it must succeed."""
    done = subprocess.run(
        [COMMAND[0], "-c", MEASURED, *COMMAND, *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{double.server_port}"},
        check=True,
        capture_output=True,
        text=True,
    )
    code, kilobytes = done.stdout.split()[-2:]
    assert code == "0", done.stderr
    return int(kilobytes)


def test_three_gibibytes_go_there_and_back_through_little_memory(double: Double, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(SIZE)

    up = measured(tmp_path, double, "cp", "sparse", "gs://b/big")
    down = measured(tmp_path, double, "cp", "gs://b/big", "back")

    assert double.received == SIZE
    back = tmp_path / "back"
    assert back.stat().st_size == SIZE
    hashing = new_hash("crc32c")
    with back.open("rb") as file:
        while piece := file.read(MIB):
            hashing.update(piece)
    assert hashing.digest() == double.hashing.digest()
    assert max(up, down) < 120 << 10
    back.unlink()
