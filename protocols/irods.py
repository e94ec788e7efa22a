"""Data objects in iRODS zones, `irods://[resource]/zone/path` and `irods://[user@]host:port/zone/path`.

python-irodsclient logs in and asks the catalogue (`irods_client`, `irods_calls`); the bytes of objects are read and written here, over the
connections that it logged in (`irods_wire`). Objects are read only where the catalogue has a good replica, and written so that the server compares
or computes their checksum.
"""

from __future__ import annotations

from . import irods_parts
from .errors import LocalRefused, Unsupported
from .irods_catalogue import absent, entries, is_collection, replicas
from .irods_copy import computed, copied
from .irods_errors import Refused
from .irods_names import path_of, shown_path
from .irods_reader import open_reader
from .irods_sessions import Sessions
from .irods_tree import looked_at, make, remove
from .irods_writer import open_writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from ..checksum.digest import Digest
    from .context import Context
    from .contract import Reader, Writer
    from .irods_wire import Wire
    from .locations import Location
    from .values import CopyStep, Entry, Incoming, Part, Receipt, Token

    T = TypeVar("T")


class IrodsStore:
    """iRODS zones, for one worker."""

    def __init__(self, context: Context) -> None:
        self._sessions = Sessions(context)

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> Reader:
        path = path_of(location)
        wire = self._sessions.take(location, "read", f"cannot read {shown_path(path)}")
        resource = self._sessions.resource(location)
        return open_reader(wire, self._sessions, path, resource, start, length, version)

    def open_write(self, location: Location, incoming: Incoming) -> Writer:
        path = path_of(location)
        resources = self._sessions.resource(location), self._sessions.login(location, "write").resource
        wire = self._sessions.take(location, "write", f"cannot write {shown_path(path)}")
        return open_writer(wire, self._sessions, location, path, resources, incoming)

    def open_parts(self, location: Location, incoming: Incoming, part: int) -> Token:
        path_of(location)
        return irods_parts.begin(self._sessions, location, incoming, part)

    def put_part(
        self, token: Token, number: int, offset: int, view: memoryview, sha256: bytes | None = None
    ) -> Part:
        return irods_parts.put(self._sessions, token, number, offset, view, sha256)

    def list_parts(self, token: Token) -> tuple[Part, ...]:
        return irods_parts.parts_there(self._sessions, token)

    def read_back(self, token: Token, offset: int, view: memoryview) -> int:
        raise Unsupported("irods: what was written in parts is not read back")

    def commit_parts(self, token: Token, parts: tuple[Part, ...], digests: tuple[Digest, ...]) -> Receipt:
        return irods_parts.finish(self._sessions, token, digests)

    def abort_parts(self, token: Token, *, keep: bool = False) -> None:
        irods_parts.let_go(self._sessions, token, keep=keep)

    def stat(self, location: Location) -> Entry:
        """`NotFound` for an object without a good replica too: nothing can be had of it."""
        path = path_of(location, folder=True)
        return self._with_wire(location, "read", "look at", path, lambda wire: looked_at(wire, path))

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        path = path_of(location, folder=True)
        what = f"cannot list {shown_path(path)}"
        wire = self._sessions.take(location, "read", what)
        try:
            if not is_collection(wire, path):
                if replicas(wire, path):
                    raise LocalRefused(
                        f"{what}: it is a data object", host=wire.host, remedy="name a collection"
                    )
                raise absent(wire, what, path)
            yield from entries(wire, path, recursive)
        except Refused as refused:
            raise wire.error(refused) from None
        finally:
            self._sessions.give(wire)

    def make_directory(self, location: Location) -> None:
        path = path_of(location, folder=True)
        self._with_wire(location, "write", "make the collection", path, lambda wire: make(wire, path))

    def remove(self, location: Location, *, recursive: bool) -> None:
        """Nothing goes to the trash."""
        path = path_of(location, folder=True)
        self._with_wire(location, "write", "remove", path, lambda wire: remove(wire, path, recursive))

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        path = path_of(location)
        what = "compute the checksum of"
        return self._with_wire(location, "read", what, path, lambda wire: computed(wire, path, algorithm))

    def copy(self, source: Location, destination: Location, handle: str) -> CopyStep:
        """In one step, inside one zone; with one path at both ends it makes a replica on the destination's resource."""
        here, there = self._sessions.login(source, "read"), self._sessions.login(destination, "write")
        if here != there:
            raise Unsupported(f"{source.shown} and {destination.shown} are reached by different logins")
        old, new = path_of(source), path_of(destination)
        resource = self._sessions.resource(destination) or there.resource
        return self._with_wire(
            destination, "write", "copy to", new, lambda wire: copied(wire, old, new, resource)
        )

    def _with_wire(
        self, location: Location, purpose: str, doing: str, path: str, act: Callable[[Wire], T]
    ) -> T:
        """What `act` returns; a refusal that it raises is mapped."""
        wire = self._sessions.take(location, purpose, f"cannot {doing} {shown_path(path)}")
        try:
            return act(wire)
        except Refused as refused:
            raise wire.error(refused) from None
        finally:
            self._sessions.give(wire)

    def close(self) -> None:
        self._sessions.close()
