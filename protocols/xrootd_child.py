"""The program that talks XRootD, in a process of its own: a crash or a hang of the native library ends only this.

It is started by `xrootd_link.py` with a socket, a file of shared memory and the process id of its parent. Frames on the socket
are JSON behind four bytes of length. The parent sends `[number, operation, ...]` and gets `[number, result]` or `[number, None,
[code, errno, message]]`; number 0 wants no answer. Of an open file it also gets `[-file, ...]`: see `Reading` and `Writing`.

Bytes go through the shared memory (`xrootd_streams.py`). Little of ours is imported here, so that starting costs little.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from mmap import mmap

from .xrootd_streams import (
    REGION,
    REGIONS,
    SLOT,
    UNSPEAKABLE,
    Failed,
    Pieces,
    Reading,
    Refused,
    Writing,
    checked,
    keep,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_LONG: Final = 60_000
"""Seconds; the parent knows better how long is too long."""
_INVALID_RESPONSE: Final = 303
_BY_NAME: Final = 0x100
"""`kXR_prefname` (XProtocol.hh): servers by their names, which their certificates have, where those are known."""


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
        try:
            found = checked(self._system(server).dirlist(path, self._flags.DirListFlags.STAT))
        except (SystemError, UnicodeDecodeError):  # what the bindings make of a name that they cannot decode
            raise Failed([UNSPEAKABLE, 0, "in it is a name that is not UTF-8"]) from None
        except Refused as refused:
            if refused.fields[0] == _INVALID_RESPONSE:
                raise Failed([UNSPEAKABLE, 0, "in it seems to be a name with a line break"]) from None
            raise
        return [[entry.name, _facts(entry.statinfo) if entry.statinfo else None] for entry in found]

    def do_locate(self, server: str, path: str) -> list[str]:
        """The addresses of the servers that have it, not of those that only know where it is."""
        found = checked(self._system(server).deeplocate(path, self._flags.OpenFlags.NONE | _BY_NAME))
        return [place.address for place in found]

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
        for name in ("ReadRecovery", "WriteRecovery"):
            keep(file.set_property(name, "false"))
        return file

    def do_read(self, number: int, region: int, url: str, start: int, length: int | None) -> list[Any]:
        """Opens a file and begins to read it ahead; what it is."""
        file = self._file()
        checked(file.open(url, self._flags.OpenFlags.READ))
        facts = _facts(checked(file.stat(False)))
        view = self._view[region * REGION : (region + 1) * REGION]
        reading = self._files[number] = Reading(self.line, number, file, view)
        end = facts[0] if length is None else min(facts[0], start + length)
        reading.begin(start, end, look_again=end == facts[0] and end - start > SLOT)
        return facts

    def do_unzip(
        self, number: int, region: int, url: str, member: str, start: int, length: int | None
    ) -> list[Any]:
        """Opens a zip archive and begins to read one of its members; what that is."""
        from .xrootd_unzip import Unzipping

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
        writing = self._files[number] = Writing(self.line, number, file, view, self._memory, begin)
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
