"""A protocol whose server is an object in memory and fails on request: for tests, and as a second reference.

Nothing is global: a test makes a `MemoryServer` and hands the capability made by it to a `Registry`.

    server = MemoryServer()
    server.put("/in/a", b"bytes")
    server.fail("read", "/in/*", times=2)
    registry = Registry((server.capability(publish=Publish.HELD),))

The path of `memory://host/in/a` is `/in/a`. One server answers for all hosts.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ..checksum.digest import Digest
from .capability import Capability, Shape
from .errors import NotFound
from .locations import parse_location
from .memory_faults import FOREVER, Call, Faults
from .values import Part, Traits

if TYPE_CHECKING:
    from typing import Any

    from .context import Context
    from .contract import Store
    from .locations import Location
    from .values import Incoming

__all__ = ["FOREVER", "Call", "Manners", "MemoryServer", "Stored"]


class Stored(NamedTuple):
    data: bytes
    number: int
    """Counts the changes of the server: the version and the time of the object."""


class Upload:
    """An object that is being written in parts."""

    def __init__(self, token: str, path: str, size: int, part: int) -> None:
        self.token = token
        self.path = path
        self.part = part
        self.data = bytearray(size)
        self.done: set[int] = set()

    def told(self, number: int, length: int) -> Part:
        """What the server says of a part: its mark is of the bytes, so that a stranger's part is not taken for another."""
        first = number * self.part
        digest = hashlib.sha256(self.data[first : first + self.part]).digest()
        return Part(number, length, digest.hex(), (Digest("sha256", digest),))


class Manners(NamedTuple):
    """How the server behaves where capabilities leave it open. Algorithms are canonical names."""

    tells_size: bool = True
    gives: tuple[str, ...] = ()
    """Digests that come with a read and a stat."""
    echoes: tuple[str, ...] = ()
    """Digests of what was stored that come with the receipt of a write."""
    lies: bool = False
    """All its digests are those of other bytes."""
    receipt_size: bool = True
    receipt_extra: int = 0
    """The receipt tells a size that is wrong by so much."""
    speaks: tuple[str, ...] = ()
    """Digests that the engine is asked to compute while writing."""
    leaves_on_abort: bool = False
    """A write that was given up leaves what had arrived under the final name, whatever `publish` says."""
    accepts: tuple[str, ...] | None = None
    """Names of the credentials that are accepted; None: nobody is asked for one."""
    copy_steps: int = 1
    copy_pause: float = 0.0
    """Seconds that the engine is asked to wait between the steps of a copy."""


class MemoryServer(Faults):
    """Objects, folders and faults. Every method may be called from any thread."""

    def __init__(self, name: str = "memory", manners: Manners | None = None) -> None:
        super().__init__()
        self.name = name
        self.manners = manners or Manners()
        self.lock = threading.RLock()
        self.objects: dict[str, Stored] = {}
        self.folders: set[str] = {"/"}
        self.traits: dict[str, Traits] = {}
        """What objects were given after they were stored."""
        self.kept: dict[str, bytes] = {}
        """What `abort(keep=True)` left, by token."""
        self.incoming: list[tuple[str, Incoming]] = []
        """What was told about each file that was opened for writing."""
        self.copies: dict[str, int] = {}
        """Steps that are left of each copy, by handle."""
        self.uploads: dict[str, Upload] = {}
        """What is being written in parts, by the name in its token."""
        self._changes = 0
        self._next: dict[str, deque[bytes]] = {}
        self._cuts: dict[str, list[tuple[int, list[int]]]] = {}
        self._flips: dict[tuple[str, bool], list[tuple[int, list[int]]]] = {}

    def capability(self, **overrides: Any) -> Capability:
        """Everything a store can do, apart from `overrides`. Its stores do what it declares, and refuse the rest."""
        declared = _EVERYTHING._replace(protocol=self.name, schemes=(self.name,))._replace(**overrides)
        return declared._replace(implementation=lambda context: _store(self, declared, context))

    def location(self, path: str, host: str = "server") -> Location:
        return parse_location(f"{self.name}://{host}{_rooted(path)}")

    def put(self, path: str, data: bytes | bytearray) -> None:
        """Stores an object, and the folders above it."""
        path = _rooted(path)
        with self.lock:
            self._changes += 1
            self.objects[path] = Stored(bytes(data), self._changes)
            self.traits.pop(path, None)
            self.add_folder(parent(path))

    def get(self, path: str) -> bytes | None:
        """What is stored, undamaged; None if nothing is."""
        with self.lock:
            found = self.objects.get(_rooted(path))
            return None if found is None else found.data

    def told(self, path: str) -> Traits:
        """Time and bits of an object; those of one that was given none follow from when it was stored."""
        with self.lock:
            found = self.traits.get(path, Traits())
            modified = self.objects[path].number * 1_000_000_000 if found.modified is None else found.modified
            return Traits(modified, 0o644 if found.mode is None else found.mode)

    def names(self) -> list[str]:
        """The paths of all objects."""
        with self.lock:
            return sorted(self.objects)

    def add_folder(self, path: str) -> None:
        while path not in self.folders:
            self.folders.add(path)
            path = parent(path)

    def begin_upload(self, token: str, path: str, size: int, part: int) -> str:
        """The name of a new upload."""
        self._changes += 1
        name = f"upload-{self._changes}"
        self.uploads[name] = Upload(token, path, size, part)
        return name

    def truncate(self, path: str, at: int, *, times: int = FOREVER) -> None:
        """Reads of an object end after `at` bytes: `Broken` where the size was told, else a quiet end."""
        with self.lock:
            self._cuts.setdefault(_rooted(path), []).append((at, [times]))

    def break_after(self, path: str, count: int, *, times: int = 1) -> None:
        """The next `times` readers that come to byte `count` of the object lose their connection there."""
        self.truncate(path, count, times=times)

    def flip(self, path: str, offset: int, *, times: int = FOREVER, written: bool = False) -> None:
        """One byte arrives damaged at the reader, or with `written` in the store."""
        with self.lock:
            self._flips.setdefault((_rooted(path), written), []).append((offset, [times]))

    def change_between(self, path: str, *contents: bytes) -> None:
        """After each opening for reading the object becomes the next of `contents`."""
        with self.lock:
            self._next[_rooted(path)] = deque(contents)

    def opened(self, path: str) -> Stored:
        """The object as a reader that opens it now will see it. Raises `NotFound`."""
        with self.lock:
            found = self.objects.get(path)
            if found is None:
                raise NotFound(f"{self.name}: there is no {path!r}")
            following = self._next.get(path)
            if following:
                self.put(path, following.popleft())
            return found

    def cut(self, path: str, start: int, end: int) -> int | None:
        """Where a reader of `start` to `end` is to be cut off. Uses the order up."""
        with self.lock:
            for at, left in self._cuts.get(path, ()):
                if left[0] > 0 and start <= at < end:
                    left[0] -= 1
                    return at
        return None

    def damage(self, path: str, data: bytearray, start: int, *, written: bool) -> None:
        """Flips what was ordered to be flipped in `data`, which is the object's content from `start` on."""
        with self.lock:
            for offset, left in self._flips.get((path, written), ()):
                if left[0] > 0 and start <= offset < start + len(data):
                    left[0] -= 1
                    data[offset - start] ^= 0x01

    def digests(self, algorithms: tuple[str, ...], data: bytes) -> tuple[Digest, ...]:
        if self.manners.lies:
            data += b"?"
        return tuple(Digest(name, hashlib.new(name, data).digest()) for name in algorithms)


def _store(server: MemoryServer, declared: Capability, context: Context) -> Store:
    from .memory_store import MemoryStore

    return MemoryStore(server, declared, context)


def _rooted(path: str) -> str:
    return path if path.startswith("/") else "/" + path


def parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


_EVERYTHING = Capability(
    protocol="memory",
    schemes=("memory",),
    implementation="",
    shapes=(Shape.STORE, Shape.COPIER),
    read=True,
    read_range=True,
    read_version=True,
    read_times=True,
    read_modes=True,
    write=True,
    write_create_parents=True,
    write_resume=True,
    write_parts=True,
    write_times=True,
    write_modes=True,
    stat=True,
    list=True,
    make_directory=True,
    remove=True,
    remove_recursive=True,
    digest=("sha256",),
    copy_digest=("sha256",),
    notes="For tests: a server in memory that fails on request.",
)
