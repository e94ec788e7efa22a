"""Files at SSH servers, `sftp:` and `scp:`: SFTP version 3 over the `ssh` program, or over paramiko.

Both schemes do the same. A server without the SFTP subsystem is spoken to as the old `scp` did (`scp.py`).
"""

from __future__ import annotations

from .errors import NotFound, TransferError, Unreachable, Unsupported
from .sftp_packets import Status
from .sftp_partial import remove_kept
from .sftp_reader import open_reader
from .sftp_tree import attributes_of, entries, entry_of, make_folders, partials_in, remove, set_traits
from .sftp_wires import Wires
from .sftp_writer import open_writer
from .ssh import path_of, shown_path
from .ssh_digest import ALGORITHMS, Digests
from .ssh_errors import NoSubsystem, error_of_status
from .values import MARK_DIGITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    from ..checksum.digest import Digest
    from .context import Context
    from .contract import Reader, Store, Writer
    from .locations import Location
    from .sftp_ahead import Ahead
    from .sftp_behind import Behind
    from .sftp_sent import Sent
    from .sftp_wire import Wire
    from .values import Entry, Incoming, Part, Receipt, Token, Traits

    T = TypeVar("T")


class SftpStore:
    """SSH servers, for one worker."""

    far_seconds = 0.01
    """The time of one question and its answer, from which on a large file is worth being written in parts."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wires = Wires(context)
        self._digests: dict[object, Digests] = {}
        self._partials: dict[tuple[str, bytes], tuple[bytes, ...]] = {}
        self._legacy: Store | None = None
        self._ahead: Ahead | None = None
        self._behind: Behind | None = None
        self._in_order: set[object] = set()
        """Accounts at servers that cannot write at any offset."""

    def announce(self, locations: Sequence[Location]) -> None:
        if self._ahead is None:
            from .sftp_ahead import Ahead

            self._ahead = Ahead(self._wires)
        self._ahead.announce(locations)

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> Reader:
        path = path_of(location)
        try:
            if self._ahead is not None and length is None and not start and version is None:
                reader = self._ahead.reader(location)
                if reader is not None:
                    return reader
            wire = self._wires.take(location, "read", f"cannot read {shown_path(path)}")
        except NoSubsystem:
            old = self._old_way()
            return old.open_read(location, start=start, length=length, version=version)
        return open_reader(wire, self._wires, path, start, length, version)

    def send(self, location: Location, incoming: Incoming, view: memoryview) -> Sent | None:
        if self._behind is None:
            from .sftp_behind import Behind

            self._behind = self._wires.holder = Behind(self._wires)
        return self._behind.send(location, incoming, view)

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

    # Parts (`sftp_parts.py`)

    def open_parts(self, location: Location, incoming: Incoming, part: int) -> Token:
        from . import sftp_parts

        key, _ = self._wires.connections.opener(location, "write")
        if key in self._in_order:
            raise Unsupported(f"{location.shown}: its server writes from the beginning to the end only")

        def act(wire: Wire) -> Token:
            if incoming.resume:
                remove_kept(wire, self._stale(location, path_of(location), incoming.token))
            return sftp_parts.open_parts(wire, location, incoming, part, self.far_seconds)

        try:
            return self._with_wire(location, "write", "write", act)
        except sftp_parts.InOrderOnly:
            self._in_order.add(key)
            raise

    def put_part(
        self, token: Token, number: int, offset: int, view: memoryview, sha256: bytes | None = None
    ) -> Part:
        from . import sftp_parts

        return self._with_wire(
            token.location,
            "write",
            "write",
            lambda wire: sftp_parts.put_part(wire, token, number, offset, view),
        )

    def list_parts(self, token: Token) -> tuple[Part, ...]:
        from . import sftp_parts

        return self._with_wire(
            token.location, "write", "read back", lambda wire: sftp_parts.list_parts(wire, token)
        )

    def read_back(self, token: Token, offset: int, view: memoryview) -> int:
        raise Unsupported(f"{token.location.shown}: parts are not read back while they are written")

    def commit_parts(self, token: Token, parts: tuple[Part, ...], digests: tuple[Digest, ...]) -> Receipt:
        from . import sftp_parts

        return self._with_wire(
            token.location, "write", "publish", lambda wire: sftp_parts.commit_parts(wire, token)
        )

    def abort_parts(self, token: Token, *, keep: bool = False) -> None:
        from . import sftp_parts

        act = sftp_parts.keep_parts if keep else sftp_parts.remove_parts
        try:
            wire = self._wires.take_for_last_words(token.location, "cannot tidy up")
            try:
                act(wire, token)
            finally:
                self._wires.give(wire)
        except (TransferError, OSError, Status):
            return

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

    def set_traits(self, location: Location, traits: Traits) -> None:
        path = path_of(location)
        try:
            self._with_wire(
                location,
                "write",
                "set time or permissions of",
                lambda wire: set_traits(wire, path, traits),
            )
        except NoSubsystem:
            raise Unsupported(
                f"cannot set time or permissions of {shown_path(path)}: this server has no SFTP"
            ) from None

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
        wire = self._wires.take_briefly(location, purpose, what)
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
        if self._behind is not None:
            self._behind.close()
        self._wires.close()
