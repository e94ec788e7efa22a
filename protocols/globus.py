"""Globus: collections under UUIDs, between which the Transfer service moves files by itself.

Many copies between two collections are one managed task. A file is read and written directly over the HTTPS server of its
collection, where it has one, so that everything else can be its other end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import LocalRefused, NotFound, Stopped, TransferError
from .globus_client import client_of
from .globus_files import DataServer, really_absent
from .globus_names import is_folder, place_of
from .globus_operations import Operations
from .globus_personal import find_personal, twin_of
from .globus_tasks import cancelled, group_of, polled, prepared, submitted
from .values import Group, Item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..checksum.digest import Digest
    from ..credentials.kinds import Credential
    from .context import Context
    from .globus_client import GlobusClient
    from .globus_files import GlobusWriter
    from .globus_names import Place
    from .globus_personal import Personal
    from .http_reader import HttpReader
    from .locations import Location
    from .values import Entry, Incoming, TaskProgress


class GlobusStore:
    """Store and Service for `globus:` and `go:`, for one worker."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._clients: dict[Credential, GlobusClient] = {}
        self._servers: dict[tuple[Credential, str], DataServer] = {}

    def _client(self, location: Location, purpose: str) -> GlobusClient:
        credential = self._context.credential(location, purpose)
        client = self._clients.get(credential)
        if client is None:
            client = self._clients[credential] = client_of(credential, self._context)
        return client

    def _server(self, location: Location, place: Place, purpose: str) -> DataServer:
        client = self._client(location, purpose)
        key = (client.tokens.credential, place.collection)
        server = self._servers.get(key)
        if server is None:
            collection = client.collection(place.collection)
            server = self._servers[key] = DataServer(client, collection, self._context)
        return server

    # --- Store

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> HttpReader:
        place = place_of(location)
        return self._server(location, place, "read").open_read(place, start, length, version)

    def open_write(self, location: Location, incoming: Incoming) -> GlobusWriter:
        place = place_of(location)
        if place.path.endswith("/"):
            raise is_folder(place)
        operations = Operations(self._client(location, "write"))
        return self._server(location, place, "write").open_write(place, incoming, operations)

    def stat(self, location: Location) -> Entry:
        return Operations(self._client(location, "read")).stat(place_of(location))

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        return Operations(self._client(location, "read")).list(place_of(location), recursive=recursive)

    def make_directory(self, location: Location) -> None:
        Operations(self._client(location, "write")).make_folder(place_of(location))

    def remove(self, location: Location, *, recursive: bool) -> None:
        """One removal as a task of its own, which is waited for."""
        place = place_of(location)
        try:
            entry = Operations(self._client(location, "write")).stat(place)
        except NotFound as error:
            if really_absent(error) is not error:
                raise
            return
        if entry.is_directory and not recursive:
            raise LocalRefused(f"removing {location.shown}: it is a folder", remedy="ask for `recursive`")
        self._wait_for(Group((Item(None, location, recursive=recursive),), _any_mark()))

    def _wait_for(self, group: Group) -> None:
        """Returns when the only item is done. Raises what became of it otherwise, and Stopped."""
        handle = self.submit(group, self.prepare(group))
        while True:
            progress = self.poll(group, handle)
            for _, result in progress.results:
                if isinstance(result, TransferError):
                    raise result
            if progress.again is None:
                return
            if self._context.stop.wait(progress.again):
                self.cancel(group, handle)
                raise Stopped("stopped while Globus removed it")

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        """None: no service of Globus computes one when it is asked."""
        self.stat(location)
        return None

    # --- Service

    def local_twin(self, location: Location, other: Location, *, writing: bool) -> Location | None:
        """Only while the collection of this machine is connected. It is asked for by the credential of the `other` end."""
        personal = self._context.shared(("globus", "personal"), _personal)[0]
        if personal is None:
            return None
        twin = twin_of(location, personal, writing=writing)
        if twin is None:
            return None
        if other is not None:
            twin = twin._replace(site=other.site)
        return twin if self._is_connected(other or twin, personal) else None

    def _is_connected(self, asked_by: Location, personal: Personal) -> bool:
        """Otherwise the files go over HTTPS; a task would wait for somebody to start the program."""
        try:
            return not self._client(asked_by, "read").collection(personal.collection).is_offline
        except TransferError as error:
            self._context.log.debug("the collection of this machine is not used: %s", error.what)
            return False

    def group(self, item: Item) -> str:
        return group_of(item)

    def prepare(self, group: Group) -> str:
        return prepared(self._client_of(group), group)

    def submit(self, group: Group, submission: str) -> str:
        return submitted(self._client_of(group), group, submission)

    def poll(self, group: Group, handle: str) -> TaskProgress:
        return polled(self._client_of(group), group, handle)

    def cancel(self, group: Group, handle: str) -> TaskProgress:
        return cancelled(self._client_of(group), group, handle)

    def _client_of(self, group: Group) -> GlobusClient:
        """Who writes submits: one identity has to reach both ends of a task."""
        return self._client(group.items[0].destination, "write")

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        for client in self._clients.values():
            client.close()


def _personal() -> tuple[Personal | None]:
    return (find_personal(),)


def _any_mark() -> str:
    """Of a task that no later process can find."""
    from os import urandom

    return urandom(16).hex()
