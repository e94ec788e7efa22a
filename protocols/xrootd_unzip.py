"""A member of a zip archive that lies at an XRootD server, read by ranges. It runs in the process that has the library.

The archive's own checksum of the member is compared by `zipfile` at its end.
"""

from __future__ import annotations

import io
import threading
import zipfile
import zlib

from .xrootd_streams import SLOT, SLOTS, Failed, Refused, checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .xrootd_child import Line

_NOT_FOUND: Final = 304
_SENSELESS: Final = 303
_NOT_SUPPORTED: Final = 13
_AHEAD: Final = 1 << 20


class RemoteFile(io.RawIOBase):
    """An open file of the library as Python's own files are."""

    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._size - self._at)
        if count <= 0:
            return 0
        data = checked(self._file.read(self._at, count))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class Unzipping:
    """As `Reading`, of a member: its bytes come in order, from a thread of its own."""

    def __init__(
        self, line: Line, number: int, file: Any, view: memoryview, facts: list[Any], member: str
    ) -> None:
        self.file = file
        self._line = line
        self._number = number
        self._view = view
        self._turn = threading.Condition()
        self._taken = 0
        self._closing = False
        try:
            self._archive = zipfile.ZipFile(io.BufferedReader(RemoteFile(file, facts[0]), _AHEAD))
            self._member = self._archive.getinfo(member)
            self._stream = self._archive.open(self._member)
        except KeyError:
            raise Failed([_NOT_FOUND, 0, f"the archive has no member {member!r}"]) from None
        except zipfile.BadZipFile as error:
            raise Failed([_SENSELESS, 0, f"this is no zip archive: {error}"]) from None
        except (RuntimeError, NotImplementedError) as error:
            raise Failed([_NOT_SUPPORTED, 0, str(error)]) from None
        self.size = self._member.file_size

    def begin(self, start: int, end: int) -> None:
        threading.Thread(target=self._run, args=(start, end), daemon=True).start()

    def more(self, freed: int) -> None:
        with self._turn:
            self._taken += freed
            self._turn.notify()

    def close(self) -> None:
        with self._turn:
            self._closing = True
            self._turn.notify()

    def _run(self, start: int, end: int) -> None:
        try:
            self._stream.seek(start)
            for index, first in enumerate(range(start, end, SLOT)):
                if not self._filled(index, min(SLOT, end - first)):
                    break
            else:
                if end == self.size:
                    self._stream.read(1)  # at its end the checksum is compared
        except Refused as error:
            self._line.send(-self._number, -2, error.fields)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            self._line.send(-self._number, -2, [_SENSELESS, 0, f"the archive is damaged: {error}"])
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            self._line.send(-self._number, -2, [-1, 0, f"{type(error).__name__}: {error}"])
        finally:
            self.file.close()

    def _filled(self, index: int, count: int) -> bool:
        """Whether the slot could be filled; False when nobody wants it any more."""
        with self._turn:
            self._turn.wait_for(lambda: self._closing or index < self._taken + SLOTS)
        place, got = (index % SLOTS) * SLOT, 0
        while got < count:
            data = self._stream.read(count - got)
            if not data:
                raise EOFError("it ends too early")
            with self._turn:
                if self._closing:
                    return False
                self._view[place + got : place + got + len(data)] = data
            got += len(data)
        self._line.send(-self._number, index, count)
        return True
