"""Files at SSH servers, `sftp:` and `scp:`: SFTP version 3 over the `ssh` program, or over paramiko.

Both schemes do the same. A server without the SFTP subsystem is spoken to as the old `scp` did (`scp.py`).
"""

from __future__ import annotations

from .errors import NotFound, Unreachable
from .sftp_packets import Status
from .sftp_partial import remove_kept
from .sftp_reader import open_reader
from .sftp_tree import attributes_of, entries, entry_of, make_folders, partials_in, remove
from .sftp_wires import Wires
from .sftp_writer import open_writer
from .ssh import path_of, shown_path
from .ssh_digest import ALGORITHMS, Digests
from .ssh_errors import NoSubsystem, error_of_status
from .values import MARK_DIGITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from ..checksum.digest import Digest
    from .context import Context
    from .contract import Reader, Store, Writer
    from .locations import Location
    from .sftp_wire import Wire
    from .values import Entry, Incoming

    T = TypeVar("T")


class SftpStore:
    """SSH servers, for one worker."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wires = Wires(context)
        self._digests: dict[object, Digests] = {}
        self._partials: dict[tuple[str, bytes], tuple[bytes, ...]] = {}
        self._legacy: Store | None = None

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> Reader:
        path = path_of(location)
        try:
            wire = self._wires.take(location, "read", f"cannot read {shown_path(path)}")
        except NoSubsystem:
            old = self._old_way()
            return old.open_read(location, start=start, length=length, version=version)
        return open_reader(wire, self._wires, path, start, length, version)

    def open_write(self, location: Location, incoming: Incoming) -> Writer:
        path = path_of(location)
        try:
            wire = self._wires.take(location, "write", f"cannot write {shown_path(path)}")
        except NoSubsystem:
            return self._old_way().open_write(location, incoming)
        if incoming.resume:
            # What is left of other versions of the source will never be gone on with.
            remove_kept(wire, self._stale(location, path, incoming.token))
        return open_writer(wire, self._wires, location, path, incoming)

    def has_partial(self, location: Location, mark: str) -> bool:
        """What this run leaves is not looked for: one listing of a folder serves all its files."""
        begin = b".wf-" + mark.encode("ascii")
        folder = path_of(location).rpartition(b"/")[0] or b"/"
        return any(name.startswith(begin) for name in self._partials_in(location, folder))

    def _stale(self, location: Location, path: bytes, token: str) -> list[bytes]:
        """Partials of the same destination under other tokens, as far as the folder was listed."""
        folder, slash, _ = path.rpartition(b"/")
        begin, own = (f".wf-{text}".encode("ascii") for text in (token[:MARK_DIGITS], token))
        names = self._partials.get((location.host, folder or b"/"), ())
        return [
            folder + slash + name for name in names if name.startswith(begin) and not name.startswith(own)
        ]

    def _partials_in(self, location: Location, folder: bytes) -> tuple[bytes, ...]:
        found = self._partials.get((location.host, folder))
        if found is None:
            try:
                found = self._with_wire(
                    location, "write", "look for partials of", lambda w: partials_in(w, folder)
                )
            except NoSubsystem:
                found = ()
            self._partials[location.host, folder] = found
        return found

    def stat(self, location: Location) -> Entry:
        """Follows symbolic links: the size is that of the bytes a reader would get."""
        path = path_of(location)

        def look(wire: Wire) -> Entry:
            attributes = attributes_of(wire, path)
            if attributes is None:
                raise NotFound(f"cannot look at {shown_path(path)}: there is no such file", host=wire.host)
            return entry_of("", attributes)

        try:
            return self._with_wire(location, "read", "look at", look)
        except NoSubsystem:
            return self._old_way().stat(location)

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        path = path_of(location)
        what = f"cannot list {shown_path(path)}"
        try:
            wire = self._wires.take(location, "read", what)
        except NoSubsystem:
            yield from self._old_way().list(location, recursive=recursive)
            return
        try:
            yield from entries(wire, path, recursive)
        except Status as status:
            raise error_of_status(status.code, status.message, what, wire.host) from None
        finally:
            self._wires.give(wire)

    def make_directory(self, location: Location) -> None:
        path = path_of(location)
        try:
            self._with_wire(
                location,
                "write",
                "make the folder",
                lambda wire: make_folders(wire, path.rstrip(b"/") or b"/"),
            )
        except NoSubsystem:
            self._old_way().make_directory(location)

    def remove(self, location: Location, *, recursive: bool) -> None:
        """Removes a symbolic link itself, also when the path ends with a slash."""
        path = path_of(location)
        try:
            self._with_wire(location, "write", "remove", lambda wire: remove(wire, path, recursive))
        except NoSubsystem:
            self._old_way().remove(location, recursive=recursive)

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        """By a program at the far side, where the account may run one; else None."""
        if algorithm not in ALGORITHMS:
            return None
        entry = self.stat(location)
        if entry.size is None:
            return None
        key, opener = self._wires.connections.opener(location, "read")
        digests = self._digests.get(key)
        if digests is None:
            digests = self._digests[key] = Digests(self._context, opener)
        return digests.digest(path_of(location), algorithm, entry.size)

    def _with_wire(self, location: Location, purpose: str, doing: str, act: Callable[[Wire], T]) -> T:
        """What `act` returns; a Status that it raises is mapped."""
        what = f"cannot {doing} {shown_path(path_of(location))}"
        wire = self._wires.take(location, purpose, what)
        wire.about(what, Unreachable)
        try:
            return act(wire)
        except Status as status:
            raise error_of_status(status.code, status.message, what, wire.host) from None
        finally:
            self._wires.give(wire)

    def _old_way(self) -> Store:
        """The store that does without SFTP."""
        if self._legacy is None:
            from .scp import ScpStore

            self._legacy = ScpStore(self._context, self._wires.connections)
        return self._legacy

    def close(self) -> None:
        for digests in self._digests.values():
            digests.close()
        self._wires.close()
