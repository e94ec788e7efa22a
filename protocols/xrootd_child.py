"""The program that talks XRootD, in a process of its own: a crash or a hang of the native library ends only this.

It is started by `xrootd_link.py` with a socket, a file of shared memory and the process id of its parent. Frames on the socket
are JSON behind four bytes of length. The parent sends `[number, operation, ...]` and gets `[number, result]` or `[number, None,
[code, errno, message]]`; number 0 wants no answer. Of an open file it also gets `[-file, ...]`: see `Reading` and `Writing`.

Bytes go through the shared memory. A region of it belongs to one open file; its slots are used in turn, and belong to one side
at a time. Nothing of ours is imported here, so that starting costs little.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from mmap import mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

SLOT: Final = 1 << 20
SLOTS: Final = 8
REGION: Final = SLOT * SLOTS
REGIONS: Final = 8
_PIECE_LEAST: Final = 128 << 10
"""Asked for in one request to begin with, so that a slow connection shows that it is alive."""
_SOON: Final = 1.0
_ALIVE_SECONDS: Final = 0.5
_LONG: Final = 60_000
"""Seconds; the parent knows better how long is too long."""


class Refused(Exception):
    """A status of the library that is not a success."""

    def __init__(self, status: Any) -> None:
        super().__init__(status.message)
        self.fields = _fields(status)


def checked(answer: tuple[Any, Any]) -> Any:
    """The second of the two values that every call of the bindings returns, if the first one is a success."""
    if not answer[0].ok:
        raise Refused(answer[0])
    return answer[1]


class Line:
    """The socket to the parent. Any thread may send."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()
        self._held = b""

    def send(self, *frame: object) -> None:
        body = json.dumps(frame, separators=(",", ":")).encode("ascii")
        with self._lock:
            self._socket.sendall(len(body).to_bytes(4, "big") + body)

    def receive(self) -> list[Any]:
        """The next frame; empty when the parent has gone."""
        while True:
            if len(self._held) >= 4:
                end = 4 + int.from_bytes(self._held[:4], "big")
                if len(self._held) >= end:
                    body, self._held = self._held[4:end], self._held[end:]
                    frame: list[Any] = json.loads(body)
                    return frame
            try:
                more = self._socket.recv(1 << 16)
            except OSError:
                more = b""
            if not more:
                return []
            self._held += more


class Pieces:
    """How much to ask for, or to write, in one request: more while that takes less than a second."""

    __slots__ = ("_heard", "size")

    def __init__(self) -> None:
        self.size = _PIECE_LEAST
        self._heard = 0.0

    def took(self, seconds: float) -> None:
        if seconds < _SOON:
            self.size = min(SLOT, self.size * 2)
        else:
            self.size = max(_PIECE_LEAST, self.size // 2)

    def silent_for_long(self) -> bool:
        """Whether the parent should be told that something came."""
        now = time.monotonic()
        if now - self._heard < _ALIVE_SECONDS:
            return False
        self._heard = now
        return True


class Reading:
    """A file that is read ahead. `[-file, index, bytes]`: slot `index` is full; `[-file, -1, bytes]`: some bytes came.

    `[-file, -2, error]`: it ended in the middle. The parent gives a slot back with `free`.
    """

    def __init__(self, child: Child, number: int, file: Any, view: memoryview) -> None:
        self._child = child
        self._number = number
        self.file = file
        self._view = view
        self._pieces = Pieces()
        self._lock = threading.RLock()
        self._missing: dict[int, int] = {}
        """Of each slot that is being filled, the bytes that have not come."""
        self._next = 0
        self._taken = 0
        self._ahead = 2
        self._start = self._end = 0
        self._under_way = 0
        self._closing = self._look_again = False

    def begin(self, start: int, end: int, *, look_again: bool) -> None:
        """Without `look_again` the file is closed with its last byte: while a file is open, a server gives who opens its name
        what was there then, even if that was replaced."""
        self._start, self._end = start, end
        self._look_again = look_again
        if start >= end:
            self._ended()
        self.more(0)

    def more(self, freed: int) -> None:
        """Fills as many slots as may be full at a time. That begins with two and doubles, so that closing early wastes little."""
        with self._lock:
            self._taken += freed
            if freed:
                self._ahead = min(SLOTS, self._ahead * 2)
            while self._next < self._taken + self._ahead:
                index, first = self._next, self._start + self._next * SLOT
                count = min(SLOT, self._end - first)
                if count <= 0:
                    return
                self._next += 1
                self._missing[index] = count
                self._ask_slot(index, first, count)

    def _ask_slot(self, index: int, first: int, count: int) -> None:
        place, piece = (index % SLOTS) * SLOT, self._pieces.size
        for at in range(0, count, piece):
            self._ask(index, first + at, place + at, min(piece, count - at))

    def _ask(self, index: int, offset: int, place: int, count: int) -> None:
        began = time.monotonic()
        self._under_way += 1

        def came(status: Any, data: bytes | None, hosts: object) -> None:
            if status.ok:
                self._pieces.took(time.monotonic() - began)
            self._arrived(index, offset, place, count, data or b"", status)

        status = self.file.read(offset, count, 0, came)
        if not status.ok:
            self._arrived(index, offset, place, count, b"", status)

    def _arrived(self, index: int, offset: int, place: int, count: int, data: bytes, status: Any) -> None:
        """Puts the bytes to their place, unless the file is being closed: then the region may be another's already."""
        got = len(data)
        with self._lock:
            self._under_way -= 1
            if self._closing:
                if not self._under_way:
                    self.file.close(0, _ignored)
                return
            if not got:
                self._failed(status)
                return
            self._view[place : place + got] = data
            self._missing[index] -= got
            full = not self._missing[index]
            if full:
                del self._missing[index]
            elif got < count:
                self._ask(index, offset + got, place + got, count - got)
            if full and not self._missing and self._start + self._next * SLOT >= self._end:
                self._ended()
        if full:
            whole = min(SLOT, self._end - self._start - index * SLOT)
            self._child.line.send(-self._number, index, whole)
        elif self._pieces.silent_for_long():
            self._child.line.send(-self._number, -1, got)

    def _ended(self) -> None:
        if not self._look_again:
            self._closing = True
            self.file.close(0, _ignored)

    def _failed(self, status: Any) -> None:
        error = [0, 0, "it has become shorter"] if status.ok else _fields(status)
        self._child.line.send(-self._number, -2, error)

    def close(self) -> None:
        """Closes the file when nothing of it is under way any more: the library closes no sooner."""
        with self._lock:
            closed, self._closing = self._closing, True
            if not self._under_way and not closed:
                self.file.close(0, _ignored)


class Writing:
    """A file that is written. `[-file, index, bytes]`: slot `index` is written; `[-file, -1, bytes]`: some of its bytes are.

    `[-file, -2, error]`: something could not be written.
    """

    def __init__(
        self, child: Child, number: int, file: Any, view: memoryview, memory: mmap, begin: int
    ) -> None:
        self._child = child
        self._number = number
        self.file = file
        self._view = view
        self._memory = memory
        self._begin = begin
        self._pieces = Pieces()
        self._calm = threading.Condition()
        self._missing: dict[int, int] = {}
        self._under_way = 0
        self._closing = False
        self._failed: list[Any] | None = None

    def write(self, index: int, offset: int, place: int, count: int) -> None:
        """Writes `count` bytes at `place` of the region to `offset` of the file."""
        piece = self._pieces.size
        starts = range(0, count, piece)
        with self._calm:
            self._missing[index] = count
            self._under_way += len(starts)
        for at in starts:
            self._send(index, offset + at, place + at, min(piece, count - at))

    def _send(self, index: int, offset: int, place: int, count: int) -> None:
        from ctypes import c_char

        # The bindings take no memoryview; such an array is one to them, and nothing is copied.
        data = (c_char * count).from_buffer(self._memory, self._begin + place)
        began = time.monotonic()

        def done(status: Any, response: object, hosts: object) -> None:
            self._pieces.took(time.monotonic() - began)
            self._settled(index, count, status, data)

        status = self.file.write(data, offset, count, 0, done)
        if not status.ok:
            self._settled(index, count, status, data)

    def _settled(self, index: int, count: int, status: Any, data: object) -> None:
        with self._calm:
            self._under_way -= 1
            self._missing[index] -= count
            full = not self._missing[index]
            if not status.ok and self._failed is None:
                self._failed = _fields(status)
                self._child.line.send(-self._number, -2, self._failed)
            elif full and status.ok:
                self._child.line.send(-self._number, index, count)
            elif self._pieces.silent_for_long():
                self._child.line.send(-self._number, -1, count)
            if self._closing and not self._under_way:
                self.file.close(0, _ignored)
            self._calm.notify_all()

    def settle(self) -> None:
        """Returns when nothing is under way; raises what failed."""
        with self._calm:
            self._calm.wait_for(lambda: not self._under_way)
            if self._failed is not None:
                raise Failed(self._failed)

    def close(self) -> None:
        with self._calm:
            self._closing = True
            if not self._under_way:
                self.file.close(0, _ignored)


class Failed(Exception):
    def __init__(self, fields: list[Any]) -> None:
        super().__init__(fields[2])
        self.fields = fields


def _fields(status: Any) -> list[Any]:
    return [status.code, status.errno, status.message]


def _ignored(status: object, response: object, hosts: object) -> None:
    """The answer to a close of what nobody needs any more."""


class Child:
    """The operations, by name. Those that answer return what JSON can say."""

    def __init__(self, line: Line, memory: mmap) -> None:
        from XRootD import client  # type: ignore[import-not-found, import-untyped, unused-ignore]
        from XRootD.client import flags  # type: ignore[import-not-found, import-untyped, unused-ignore]

        self.line = line
        self._memory = memory
        self._view = memoryview(memory)
        self._client: Any = client
        self._flags: Any = flags
        self._files: dict[int, Any] = {}
        self._systems: dict[str, Any] = {}

    def serve(self) -> None:
        while frame := self.line.receive():
            number, operation, *values = frame
            try:
                result = getattr(self, f"do_{operation}")(*values)
            except (Refused, Failed) as error:
                answer: tuple[object, ...] = (number, None, error.fields)
            except Exception as error:  # noqa: BLE001 - the parent decides what it means
                answer = (number, None, [-1, 0, f"{type(error).__name__}: {error}"])
            else:
                answer = (number, result)
            if number:
                self.line.send(*answer)

    # --- names

    def _system(self, server: str) -> Any:
        found = self._systems.get(server)
        if found is None:
            found = self._systems[server] = self._client.FileSystem(server)
        return found

    def do_stat(self, server: str, path: str) -> list[Any]:
        return _facts(checked(self._system(server).stat(path)))

    def do_list(self, server: str, path: str) -> list[Any]:
        found = checked(self._system(server).dirlist(path, self._flags.DirListFlags.STAT))
        return [[entry.name, _facts(entry.statinfo) if entry.statinfo else None] for entry in found]

    def do_mkdir(self, server: str, path: str, mode: int) -> None:
        checked(self._system(server).mkdir(path, self._flags.MkDirFlags.MAKEPATH, mode))

    def do_rm(self, server: str, path: str) -> None:
        checked(self._system(server).rm(path))

    def do_rmdir(self, server: str, path: str) -> None:
        checked(self._system(server).rmdir(path))

    def do_mv(self, server: str, path: str, to: str) -> None:
        checked(self._system(server).mv(path, to))

    def do_checksum(self, server: str, path: str) -> str:
        answer = checked(self._system(server).query(self._flags.QueryCode.CHECKSUM, path))
        return bytes(answer).rstrip(b"\0\n ").decode("ascii", "replace")

    def do_config(self, server: str, names: str) -> str:
        answer = checked(self._system(server).query(self._flags.QueryCode.CONFIG, names))
        return bytes(answer).rstrip(b"\0").decode("ascii", "replace")

    # --- files

    def _file(self) -> Any:
        """A file that the library does not open anew behind our back when its connection breaks."""
        file = self._client.File()
        file.set_property("ReadRecovery", "false")
        file.set_property("WriteRecovery", "false")
        return file

    def do_read(self, number: int, region: int, url: str, start: int, length: int | None) -> list[Any]:
        """Opens a file and begins to read it ahead; what it is."""
        file = self._file()
        checked(file.open(url, self._flags.OpenFlags.READ))
        facts = _facts(checked(file.stat(False)))
        view = self._view[region * REGION : (region + 1) * REGION]
        reading = self._files[number] = Reading(self, number, file, view)
        end = facts[0] if length is None else min(facts[0], start + length)
        reading.begin(start, end, look_again=end == facts[0] and end - start > SLOT)
        return facts

    def do_unzip(
        self, number: int, region: int, url: str, member: str, start: int, length: int | None
    ) -> list[Any]:
        """Opens a zip archive and begins to read one of its members; what that is."""
        from wf.protocols.xrootd_unzip import Unzipping

        file = self._file()
        checked(file.open(url, self._flags.OpenFlags.READ))
        facts = _facts(checked(file.stat(False)))
        view = self._view[region * REGION : (region + 1) * REGION]
        reading = self._files[number] = Unzipping(self.line, number, file, view, facts, member)
        facts[0] = reading.size
        reading.begin(start, facts[0] if length is None else min(facts[0], start + length))
        return facts

    def do_free(self, number: int) -> None:
        reading = self._files.get(number)
        if reading is not None:
            reading.more(1)

    def do_end(self, number: int) -> list[Any]:
        """What an open file is now that it was read; it is closed."""
        file = self._files.pop(number).file
        facts = _facts(checked(file.stat(True)))
        checked(file.close())
        return facts

    def do_create(self, number: int, region: int, url: str, mode: int) -> None:
        flags = self._flags.OpenFlags
        self._open_to_write(number, region, url, flags.NEW | flags.UPDATE | flags.MAKEPATH, mode)

    def do_reopen(self, number: int, region: int, url: str) -> list[Any]:
        writing = self._open_to_write(number, region, url, self._flags.OpenFlags.UPDATE, 0)
        return _facts(checked(writing.file.stat(True)))

    def _open_to_write(self, number: int, region: int, url: str, flags: int, mode: int) -> Writing:
        file = self._file()
        checked(file.open(url, flags, mode))
        begin = region * REGION
        view = self._view[begin : begin + REGION]
        writing = self._files[number] = Writing(self, number, file, view, self._memory, begin)
        return writing

    def do_write(self, number: int, index: int, offset: int, place: int, count: int) -> None:
        self._files[number].write(index, offset, place, count)

    def do_fetch(self, number: int, offset: int, count: int) -> int:
        """The number of bytes that were read, at once, into the beginning of the region."""
        writing = self._files[number]
        data = checked(writing.file.read(offset, count))
        writing._view[: len(data)] = data
        return len(data)

    def do_settle(self, number: int) -> int:
        """The size of the file, after everything was written."""
        writing = self._files[number]
        writing.settle()
        size: int = checked(writing.file.stat(True)).size
        return size

    def do_truncate(self, number: int, size: int) -> None:
        checked(self._files[number].file.truncate(size))

    def do_finish(self, number: int) -> None:
        """Closes a written file and tells whether that went well."""
        checked(self._files.pop(number).file.close())

    def do_copy(self, number: int, source: str, target: str) -> None:
        """Has the target's server fetch a file. `[-number, -1, bytes]` tells that it goes on."""
        handler = self._client.utils.CopyProgressHandler()
        heard = Pieces()
        moved = 0

        def update(job: int, processed: int, total: int) -> None:
            nonlocal moved
            if heard.silent_for_long():
                self.line.send(-number, -1, max(0, processed - moved))
                moved = processed

        handler.update, handler.should_cancel = update, lambda job: False
        process = self._client.CopyProcess()
        process.add_job(source, target, force=True, mkdir=True, thirdparty="only", tpctimeout=_LONG)
        for status in (process.prepare(), process.run(handler)[0]):
            if not status.ok:
                raise Refused(status)

    def do_close(self, number: int) -> None:
        file = self._files.pop(number, None)
        if file is not None:
            file.close()


def _facts(found: Any) -> list[Any]:
    """Size, flags, times of the last changes of content and of attributes, and the number of the file."""
    changed = getattr(found, "ctime", None) if getattr(found, "extended", False) else None
    return [found.size, found.flags, found.modtime, changed, found.id]


def main() -> None:
    """Never returns. Arguments: the socket's and the memory's descriptors, and the parent's process id."""
    descriptor, memory, parent = (int(text) for text in sys.argv[-3:])
    _end_with(parent)
    line = Line(descriptor)
    try:
        child = Child(line, mmap(memory, REGION * REGIONS))
        line.send(0, "ready")
        child.serve()
    except ImportError as error:
        line.send(0, "missing", str(error))
    # Not through the interpreter's end: the library's threads may still call back.
    os._exit(0)


def _end_with(parent: int) -> None:
    """Has the kernel kill us when the parent's thread ends, also in the middle of a call that hangs (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    main()
