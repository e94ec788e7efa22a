"""The store of the memory protocol: reader, writer and the calls of one worker. `memory.py` holds the server."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

from .capability import Publish, Shape
from .errors import Broken, Changed, Denied, LocalRefused, NotFound, ServerFault, Unsupported
from .memory import parent
from .memory_faults import Call
from .values import CopyStep, Entry, Part, Receipt, Token, Traits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from ..checksum.digest import Digest
    from .capability import Capability
    from .context import Context
    from .locations import Location
    from .memory import MemoryServer, Stored, Upload
    from .values import Incoming


class _Visit:
    """One call at the server. With `stays` the call goes on until `leave`: an open reader or writer."""

    __slots__ = ("_call", "_context", "_server", "stays")

    def __init__(self, server: MemoryServer, call: Call, context: Context) -> None:
        self._server = server
        self._call = call
        self._context = context
        self.stays = False

    def at(self, offset: int) -> None:
        self._call = self._call._replace(offset=offset)

    def __enter__(self) -> Self:
        self._server.count_active(self._call, +1)
        try:
            self._server.before(self._call, self._context)
        except BaseException:
            self.leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._server.after(self._call)
        except BaseException:
            self.stays = False
            raise
        finally:
            if error is not None or not self.stays:
                self.leave()

    def during(self, operation: str, offset: int) -> None:
        """A call on what is open: ordered faults happen, but it does not count as one more at once."""
        call = self._call._replace(operation=operation, offset=offset, thread=_thread())
        self._server.before(call, self._context)

    def done(self, operation: str) -> None:
        self._server.after(self._call._replace(operation=operation))

    def leave(self) -> None:
        self._server.count_active(self._call, -1)


class MemoryReader:
    """Copies into the worker's buffer, so that a view that is used too long is found out."""

    def __init__(
        self,
        visit: _Visit,
        server: MemoryServer,
        path: str,
        stored: Stored,
        ends: tuple[int, int],
        view: memoryview,
    ) -> None:
        start, end = ends
        manners = server.manners
        self.size = len(stored.data) if manners.tells_size else None
        self.version: str | None = str(stored.number)
        self.digests = server.digests(manners.gives, stored.data)
        self.told = Traits()
        self.mode: int | None = None
        self.descriptor: int | None = None
        self._visit: _Visit | None = visit
        self._view = view
        self._position = start
        self._cut = server.cut(path, start, end)
        self._data = bytearray(stored.data[start:end])
        self._start = start
        server.damage(path, self._data, start, written=False)

    def traits(self) -> Traits:
        return self.told

    def read(self) -> memoryview:
        assert self._visit is not None, "read after close"
        self._visit.during("read", self._position)
        end = self._start + len(self._data)
        if self._position == self._cut and self.size is not None:
            raise Broken(f"cut at byte {self._cut} of {self.size}")
        stop = end if self._cut is None else self._cut
        count = min(stop - self._position, len(self._view))
        first = self._position - self._start
        self._view[:count] = self._data[first : first + count]
        self._position += count
        return self._view[:count]

    def close(self) -> None:
        visit, self._visit = self._visit, None
        if visit is not None:
            visit.leave()


class MemoryWriter:
    """Collects the bytes. Where `publish` is `AFTER` they are visible as they come, and stay."""

    def __init__(
        self, visit: _Visit, server: MemoryServer, path: str, incoming: Incoming, publish: Publish
    ) -> None:
        self.algorithms = server.manners.speaks
        self.descriptor: int | None = None
        self._visit: _Visit | None = visit
        self._server = server
        self._path = path
        self._incoming = incoming
        self._at_once = publish is Publish.AFTER
        self._data = bytearray()
        self._lent: memoryview | None = None
        self.held = 0

    def go_on(self, kept: bytes) -> None:
        """Begins with what an earlier writer left."""
        self._data += kept
        self.held = len(kept)

    def read_held(self, offset: int, view: memoryview) -> int:
        piece = self._data[offset : min(self.held, offset + len(view))]
        view[: len(piece)] = piece
        return len(piece)

    def write(self, view: memoryview) -> None:
        assert self._visit is not None, "write after commit or abort"
        self._visit.during("write", len(self._data))
        if self._incoming.sha256 is not None:
            assert self._lent is None, "a digest was given, and then more than one view"
            self._lent = view
            return
        self._data += view
        if self._at_once:
            self._server.put(self._path, self._data)

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        visit = self._visit
        assert visit is not None, "commit after commit or abort"
        visit.during("commit", len(self._data))
        self._take_lent()
        if self._incoming.size not in (None, len(self._data)):
            raise Broken(f"{self._incoming.size} bytes were promised and {len(self._data)} came")
        self._server.damage(self._path, self._data, 0, written=True)
        self._server.put(self._path, self._data)
        self._visit = None
        visit.leave()
        visit.done("commit")
        return self._receipt()

    def _take_lent(self) -> None:
        if self._incoming.sha256 is not None:
            self._data += self._lent or b""
            self._lent = None
            if hashlib.sha256(self._data).digest() != self._incoming.sha256:
                raise ServerFault("the digest given before the write is not that of the bytes")

    def _receipt(self) -> Receipt:
        manners = self._server.manners
        with self._server.lock:
            stored = self._server.objects[self._path]
        size = len(stored.data) + manners.receipt_extra if manners.receipt_size else None
        return Receipt(size, str(stored.number), self._server.digests(manners.echoes, stored.data))

    def abort(self, *, keep: bool = False) -> None:
        visit, self._visit = self._visit, None
        if visit is None:
            return
        if self._server.manners.leaves_on_abort and self._data:
            self._server.put(self._path, self._data)
        if keep:
            self._server.kept[self._incoming.token] = bytes(self._data)
        visit.leave()


class MemoryStore:
    """Does what `declared` says, on the objects of `server`."""

    def __init__(self, server: MemoryServer, declared: Capability, context: Context) -> None:
        self._server = server
        self._declared = declared
        self._context = context

    def _visit(self, operation: str, location: Location, allowed: bool, purpose: str = "read") -> _Visit:
        if not allowed:
            raise Unsupported(f"{self._declared.protocol} cannot {operation}")
        accepted = self._server.manners.accepts
        if accepted is not None:
            name = self._context.credential(location, purpose).name
            if name not in accepted:
                raise Denied(f"{location.host} refuses the credential {name!r}", host=location.host)
        return _Visit(self._server, Call(operation, location.host, location.path, _thread()), self._context)

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> MemoryReader:
        declared = self._declared
        ranged = start > 0 or length is not None
        allowed = declared.read and (declared.read_range or not ranged)
        with self._visit("open_read", location, allowed) as visit:
            stored = self._server.opened(location.path)
            if declared.read_version and version not in (None, str(stored.number)):
                raise Changed(f"{location.path!r} is no longer version {version}")
            whole = len(stored.data)
            if start > whole:
                raise Changed(f"{location.path!r} has {whole} bytes, {start} were read before")
            ends = (start, whole if length is None else min(whole, start + length))
            reader = MemoryReader(visit, self._server, location.path, stored, ends, self._context.view)
            if not declared.read_version:
                reader.version = None
            told = self._server.told(location.path)
            reader.told = Traits(
                told.modified if declared.read_times else None, told.mode if declared.read_modes else None
            )
            visit.stays = True
            return reader

    def open_write(self, location: Location, incoming: Incoming) -> MemoryWriter:
        server, declared, path = self._server, self._declared, location.path
        with self._visit("open_write", location, declared.write, "write") as visit, server.lock:
            if declared.write_needs_size and incoming.size is None:
                raise Unsupported(f"{declared.protocol} must know the size of {path!r} beforehand")
            if path in server.folders:
                raise LocalRefused(f"cannot write {path!r}: a folder is in its place")
            if not declared.write_create_parents and parent(path) not in server.folders:
                raise NotFound(f"cannot write {path!r}: there is no folder {parent(path)!r}")
            server.incoming.append((path, incoming))
            visit.stays = True
            writer = MemoryWriter(visit, server, path, incoming, declared.publish)
            if incoming.resume and declared.write_resume:
                writer.go_on(server.kept.pop(incoming.token, b"")[: incoming.size])
            return writer

    def send(self, location: Location, incoming: Incoming, view: memoryview) -> MemoryWriter | None:
        with self._visit("send", location, self._declared.behind > 1, "write"):
            writer = self.open_write(location, incoming)
        writer.write(memoryview(bytes(view)))
        return writer

    def has_partial(self, location: Location, mark: str) -> bool:
        with self._visit("has_partial", location, self._declared.write_resume, "write"), self._server.lock:
            tokens = [*self._server.kept, *(upload.token for upload in self._server.uploads.values())]
            return any(token.startswith(mark) for token in tokens)

    def open_parts(self, location: Location, incoming: Incoming, part: int) -> Token:
        server, path, size = self._server, location.path, incoming.size
        assert size, "nothing in parts"
        with self._visit("open_parts", location, self._declared.write_parts, "write"), server.lock:
            server.incoming.append((path, incoming))
            if incoming.resume:
                for name, upload in server.uploads.items():
                    if upload.token == incoming.token and upload.path == path and upload.part == part:
                        return Token(location, name, size, part, True)
            name = server.begin_upload(incoming.token, path, size, part)
            return Token(location, name, size, part)

    def _upload(self, operation: str, token: Token) -> tuple[_Visit, Upload]:
        """Declares nothing by itself: the visit has to be entered."""
        visit = self._visit(operation, token.location, self._declared.write_parts, "write")
        with self._server.lock:
            upload = self._server.uploads.get(token.name)
        if upload is None:
            raise NotFound(f"{self._server.name}: there is no upload {token.name!r}")
        return visit, upload

    def put_part(
        self, token: Token, number: int, offset: int, view: memoryview, sha256: bytes | None = None
    ) -> Part:
        visit, upload = self._upload("put_part", token)
        visit.at(offset)
        first, length = token.span(number)
        pieces = self._declared.write_parts_any_offset
        if not pieces and (offset, len(view)) != (first, length):
            raise ServerFault(f"part {number} has {length} bytes from {first} on")
        with visit, self._server.lock:
            upload.data[offset : offset + len(view)] = view
            if offset + len(view) == first + length:
                upload.done.add(number)
            return upload.told(number, length)

    def list_parts(self, token: Token) -> tuple[Part, ...]:
        visit, upload = self._upload("list_parts", token)
        with visit, self._server.lock:
            return tuple(upload.told(number, token.span(number)[1]) for number in sorted(upload.done))

    def read_back(self, token: Token, offset: int, view: memoryview) -> int:
        if not self._declared.write_parts_any_offset:
            raise Unsupported(f"{self._declared.protocol} does not give back what is not finished")
        visit, upload = self._upload("read_back", token)
        with visit, self._server.lock:
            piece = upload.data[offset : offset + len(view)]
            view[: len(piece)] = piece
            return len(piece)

    def commit_parts(self, token: Token, parts: tuple[Part, ...], digests: tuple[Digest, ...]) -> Receipt:
        visit, upload = self._upload("commit_parts", token)
        server = self._server
        with visit, server.lock:
            marks = [(part.number, part.mark) for part in parts]
            if marks != [(number, upload.told(number, 0).mark) for number in range(token.total)]:
                raise ServerFault("those are not the parts that are here")
            server.damage(upload.path, upload.data, 0, written=True)
            server.put(upload.path, upload.data)
            del server.uploads[token.name]
            stored = server.objects[upload.path]
        return Receipt(
            len(stored.data) + server.manners.receipt_extra if server.manners.receipt_size else None,
            str(stored.number),
            server.digests(server.manners.echoes, stored.data),
        )

    def abort_parts(self, token: Token, *, keep: bool = False) -> None:
        if not keep:
            with self._server.lock:
                self._server.uploads.pop(token.name, None)

    def set_traits(self, location: Location, traits: Traits) -> None:
        declared, path = self._declared, location.path
        allowed = (traits.modified is None or declared.write_times) and (
            traits.mode is None or declared.write_modes
        )
        with self._visit("set_traits", location, allowed, "write"), self._server.lock:
            if path not in self._server.objects:
                raise NotFound(f"{self._server.name}: there is no {path!r}")
            before = self._server.told(path)
            modified = before.modified if traits.modified is None else traits.modified
            self._server.traits[path] = Traits(modified, before.mode if traits.mode is None else traits.mode)

    def stat(self, location: Location) -> Entry:
        path = location.path
        with self._visit("stat", location, self._declared.stat), self._server.lock:
            folder = path.rstrip("/") or "/"
            if folder in self._server.folders:
                return Entry("", None, is_directory=True)
            return self._entry("", path)

    def _entry(self, name: str, path: str) -> Entry:
        stored = self._server.objects.get(path)
        if stored is None:
            raise NotFound(f"{self._server.name}: there is no {path!r}")
        manners = self._server.manners
        size = len(stored.data) if manners.tells_size else None
        version = str(stored.number) if self._declared.read_version else None
        digests = self._server.digests(manners.gives, stored.data)
        modified = self._server.told(path).modified
        assert modified is not None
        return Entry(name, size, version, False, modified / 1e9, digests)

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        server, folder = self._server, location.path.rstrip("/")
        with self._visit("list", location, self._declared.list), server.lock:
            if (folder or "/") not in server.folders:
                raise NotFound(f"{server.name}: there is no folder {folder!r}")
            first = len(folder) + 1
            names = [name for name in (*server.objects, *server.folders) if name.startswith(folder + "/")]
            shown = [name for name in names if len(name) > first and (recursive or "/" not in name[first:])]
            return iter([self._listed(name[first:], name) for name in shown])

    def _listed(self, name: str, path: str) -> Entry:
        if path in self._server.folders:
            return Entry(name, None, is_directory=True)
        return self._entry(name, path)

    def make_directory(self, location: Location) -> None:
        path = location.path.rstrip("/") or "/"
        allowed = self._declared.make_directory
        with self._visit("make_directory", location, allowed, "write"), self._server.lock:
            if path in self._server.objects:
                raise LocalRefused(f"cannot make the folder {path!r}: an object is in its place")
            self._server.add_folder(path)

    def remove(self, location: Location, *, recursive: bool) -> None:
        server, path = self._server, location.path.rstrip("/")
        allowed = self._declared.remove_recursive if recursive else self._declared.remove
        with self._visit("remove", location, allowed, "write"), server.lock:
            if path in server.folders and not recursive:
                raise LocalRefused(f"cannot remove {path!r}: it is a folder")
            server.objects.pop(path, None)
            if recursive:
                server.folders = {name for name in server.folders if not _is_within(name, path)}
                for name in [name for name in server.objects if _is_within(name, path)]:
                    del server.objects[name]

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        with self._visit("digest", location, True), self._server.lock:
            if algorithm not in self._declared.digest:
                return None
            stored = self._server.objects.get(location.path)
            if stored is None:
                raise NotFound(f"{self._server.name}: there is no {location.path!r}")
            return self._server.digests((algorithm,), stored.data)[0]

    def copy(self, source: Location, destination: Location, handle: str) -> CopyStep:
        server, declared = self._server, self._declared
        allowed = declared.offers(Shape.COPIER) and source.host == destination.host
        with self._visit("copy", destination, allowed, "write"), server.lock:
            stored = server.objects.get(source.path)
            if stored is None:
                raise NotFound(f"{server.name}: there is no {source.path!r}")
            handle = handle or f"copy-{len(server.copies) + 1}"
            left = server.copies.setdefault(handle, server.manners.copy_steps) - 1
            server.copies[handle] = left
            if left > 0:
                there = len(stored.data) * (server.manners.copy_steps - left) // server.manners.copy_steps
                return CopyStep(None, handle, server.manners.copy_pause, there)
            data = bytearray(stored.data)
            server.damage(destination.path, data, 0, written=True)
            server.put(destination.path, data)
            digests = server.digests(declared.copy_digest, bytes(data))
            return CopyStep(Receipt(len(data), None, digests), handle, 0.0, len(data))

    def close(self) -> None:
        """Nothing is connected."""


def _is_within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + "/")


def _thread() -> str:
    return threading.current_thread().name
