"""What one store has learnt of a WebDAV server, and the requests that teach it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .http import HttpStore
from .http_visit import Shown, Visit, for_origin
from .redirects import STATUSES, Trail, is_redirect
from .webdav_login import challenge_of, pair_of
from .webdav_names import as_folder, over_http, split
from .wire import origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .exchange import Answer
    from .locations import Location
    from .webdav_login import Challenge, Pair
    from .wire import Origin


class Known:
    """One server's habits, as far as they showed."""

    __slots__ = ("adler", "asked", "challenge", "folders", "in_place", "no_macaroons")

    def __init__(self) -> None:
        self.asked = False
        """It was asked what it wants, before a password was sent in the clear."""
        self.challenge: Challenge | None = None
        """It wants digest authentication."""
        self.in_place = False
        """It refuses MOVE: files are stored under their final name at once."""
        self.adler = False
        """It tells the Adler-32 of what it stores."""
        self.folders: set[str] = set()
        """Paths of folders that exist."""
        self.no_macaroons = False


class WebdavRequests(HttpStore):
    """HTTP with the credentials of WebDAV servers: a user and password are proven by digest where the server can.

    Over plain http a password is not sent before the server was asked what it wants. Over TLS it is, until a digest is
    asked for. Nothing is ever presented to where a redirect leads, unless that is the same server.
    """

    _servers: dict[Origin, Known]

    def known(self, location: Location) -> Known:
        return self._known(origin_of(over_http(location).url)[0])

    def _known(self, origin: Origin) -> Known:
        found = self._servers.get(origin)
        if found is None:
            found = self._servers[origin] = Known()
        return found

    def _visit(
        self,
        method: str,
        location: Location,
        shown: Shown,
        fields: Sequence[tuple[str, str]],
        body: memoryview | bytes | None,
        into: memoryview | None,
    ) -> Visit:
        """As in `HttpStore`; besides, each hop on the server itself is proven by a digest of its own."""
        origin, target = origin_of(location.url)
        trail: Trail | None = None
        learnt = False
        while True:
            all_fields, certificate = for_origin(self._dressed(shown, method, origin, target), origin, fields)
            answer = self._wire.exchange(
                method, origin, target, all_fields, body, into=into, certificate=certificate
            )
            if answer.status == 401 and not learnt and origin == shown.origin and self._learn(shown, answer):
                learnt = True
                answer.read_all(4096)
                continue
            if answer.status not in STATUSES or not is_redirect(answer):
                return Visit(answer, origin, target, trail is not None, shown, method)
            trail = trail or Trail(method, origin, target)
            origin, target = trail.follow(answer)

    def _dressed(self, shown: Shown, method: str, origin: Origin, target: str) -> Shown:
        """What is presented with this one request."""
        pair = _pair(shown)
        if pair is None or origin != shown.origin:
            return shown
        known = self._known(origin)
        if not origin.tls and not known.asked:
            self._probe(shown, target)
        if known.challenge is None:
            return shown
        proof = known.challenge.answer(pair, method, target)
        return shown._replace(fields=(("Authorization", proof),))

    def _probe(self, shown: Shown, target: str) -> None:
        """Asks what the server wants, without presenting anything."""
        self._known(shown.origin).asked = True
        answer = self._wire.exchange("OPTIONS", shown.origin, target)
        if answer.status == 401:
            self._learn(shown, answer)
        answer.read_all(4096)

    def _learn(self, shown: Shown, answer: Answer) -> bool:
        """Whether the server wants a digest that can be given."""
        known = self._known(shown.origin)
        known.asked = True
        challenge = challenge_of(answer.headers.getlist("www-authenticate")) if _pair(shown) else None
        if challenge is None:
            return False
        known.challenge = challenge
        return True

    def shown_for(self, method: str, location: Location, purpose: str) -> Shown:
        """What is presented with one request at `location`, which is over http."""
        origin, target = origin_of(location.url)
        return self._dressed(self._shown(location, origin, purpose), method, origin, target)

    def shown_anew(self, method: str, location: Location, refused: Shown) -> Shown | None:
        """What to present to the server that answered 401; None where there is nothing else."""
        origin, target = origin_of(location.url)
        known, shown = self._known(origin), self._shown(location, origin, "write")
        if _pair(shown) is None:
            return self._renewed(location, "write", refused)
        known.challenge = None
        self._probe(shown, target)
        if known.challenge is None:
            return self._renewed(location, "write", refused)
        return self._dressed(shown, method, origin, target)

    def status_of(
        self,
        method: str,
        location: Location,
        fields: Sequence[tuple[str, str]] = (),
        *,
        purpose: str = "write",
    ) -> Visit:
        """A request without a body; the answer's body is still to be read."""
        return self._request(method, over_http(location), purpose, fields)

    def make_parents(self, location: Location) -> bool:
        """Whether a folder above `location` was made: level by level from the deepest one that exists."""
        from .webdav_names import above

        folder = above(over_http(location))
        return folder is not None and folder.path != "/" and self._make_level(folder)

    def _make_level(self, folder: Location) -> bool:
        known = self.known(folder)
        path = split(folder)[0]
        if path in known.folders:
            return False
        made = self._mkcol(folder)
        if made in (404, 409, 500) and self.make_parents(folder):
            made = self._mkcol(folder)
        if made in (200, 201, 204, 405):  # 405: it exists
            known.folders.add(path)
        return made in (200, 201, 204)

    def _mkcol(self, folder: Location) -> int:
        visit = self.status_of("MKCOL", as_folder(folder))
        visit.answer.read_all(4096)
        return visit.answer.status

    def can_move(self, location: Location) -> bool:
        """Whether the server takes MOVE in the folder of `location`, by its own words; True where it says nothing."""
        from .webdav_names import beside

        known = self.known(location)
        visit = self.status_of("OPTIONS", beside(over_http(location), ""))
        visit.answer.read_all(4096)
        allowed = visit.answer.headers.get("allow") if visit.answer.status in (200, 204) else None
        if allowed and "MOVE" not in {word.strip().upper() for word in allowed.split(",")}:
            known.in_place = True
        return not known.in_place


def _pair(shown: Shown) -> Pair | None:
    """User and password, where that is all that is presented."""
    if len(shown.fields) != 1 or shown.fields[0][0] != "Authorization":
        return None
    return pair_of(shown.fields[0][1])
