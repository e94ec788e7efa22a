"""The iRODS connections of one worker: each has one user at a time, and is kept for the next one."""

from __future__ import annotations

from .irods_catalogue import sums_in
from .irods_client import Client
from .irods_environment import login_for
from .irods_errors import Refused
from .irods_names import authority_of, path_of, split, zone_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..credentials.kinds import Credential
    from .context import Context
    from .irods_environment import Login
    from .irods_names import Authority
    from .irods_wire import Wire
    from .locations import Location

_IDLE_MOST: Final = 2
"""Connections kept for one account: one that reads and one that writes."""
_LAST_WORDS_SECONDS: Final = 5.0


class Sessions:
    """Takes out and takes back. A connection that broke is never given again."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._clients: dict[Login, Client] = {}
        self._known: dict[tuple[str, Authority, str], tuple[Credential, Login]] = {}
        """Logins that were worked out before."""
        self._sums: dict[object, tuple[str, ...]] = {}

    def login(self, location: Location, purpose: str) -> Login:
        """The account that this location is reached with. Raises TransferError."""
        credential = self._context.credential(location, purpose)
        authority, zone = authority_of(location), zone_of(path_of(location, folder=True))
        known = self._known.get((purpose, authority, zone))
        if known is not None and known[0] == credential:
            return known[1]
        login = login_for(credential, authority, zone)
        self._known[purpose, authority, zone] = credential, login
        return login

    def take(self, location: Location, purpose: str, what: str) -> Wire:
        """A connection for the location, for one user until `give`. `what` is for messages: `cannot ...`."""
        login = self.login(location, purpose)
        client = self._clients.get(login)
        if client is None:
            client = self._clients[login] = Client(login, self._context)
        return client.take(what)

    def take_for_last_words(self, location: Location, what: str) -> Wire:
        """A new connection that the end of the run does not stop, for tidying up within seconds."""
        login = self.login(location, "write")
        return Client(login, self._context.for_last_words(_LAST_WORDS_SECONDS)).take(what)

    @staticmethod
    def resource(location: Location) -> str:
        """The resource that the URL names."""
        return authority_of(location).resource

    def sums(self, wire: Wire, path: str) -> tuple[str, ...]:
        """What beside SHA-256 has to be computed of what is written there: MD5, where that is what the zone uses.

        Nobody tells; so it is what the objects beside have, or what was seen of this login before.
        """
        known = self._sums.get(wire.client.login)
        if known is None:
            try:
                seen = sums_in(wire, split(path)[0])
            except Refused:
                seen = frozenset()
            known = self.learn(wire, seen)
        return known

    def learn(self, wire: Wire, algorithms: frozenset[str]) -> tuple[str, ...]:
        """Remembers which checksums the zone registers by itself."""
        found = ("md5",) if "md5" in algorithms else ()
        if algorithms:
            self._sums[wire.client.login] = found
        return found

    def give(self, wire: Wire) -> None:
        if not wire.usable:
            return
        if wire.client.idle >= _IDLE_MOST or wire.left or wire.context is not self._context:
            wire.leave()
        else:
            wire.client.give(wire)

    def close(self) -> None:
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()
