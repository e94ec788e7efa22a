"""What one store has learnt of a WebDAV server, and the requests that teach it."""

from __future__ import annotations

from os import urandom
from typing import TYPE_CHECKING

from .errors import LocalRefused, Unsupported
from .http import WebRequests
from .http_visit import Shown, Visit, for_origin
from .redirects import STATUSES, Trail, is_redirect
from .webdav_login import challenge_of, pair_of
from .webdav_names import above, as_folder, beside, over_http, split
from .wire import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from .exchange import Answer
    from .locations import Location
    from .webdav_login import Challenge, Pair
    from .wire import Origin

NO_MOVE: Final = frozenset({400, 403, 405, 501, 502})
"""Answers to a MOVE that the server, or this credential there, cannot do."""
LEAVE: Final = "TransferHeader"
"""What the names of fields begin with that a server is to present to the other one of a third-party copy."""
NO_PARENT: Final = frozenset({404, 409, 500})
"""Answers to a MKCOL whose folder above is missing; 500 is nginx's."""


class Known:
    """One server's habits, as far as they showed."""

    __slots__ = (
        "adler",
        "asked",
        "challenge",
        "cuts_names",
        "folders",
        "in_place",
        "misreads",
        "move_tried",
        "names_tried",
        "no_macaroons",
    )

    def __init__(self) -> None:
        self.asked = False
        """It was asked what it wants, before a password was sent in the clear."""
        self.challenge: Challenge | None = None
        """It wants digest authentication."""
        self.cuts_names: bool | None = None
        """It takes `?` in a name for the end of it; None: nobody asked."""
        self.in_place = False
        """It refuses MOVE: files are stored under their final name at once."""
        self.misreads = False
        """It moves to another name where the right one has escapes."""
        self.move_tried = self.names_tried = False
        self.adler = False
        """It tells the Adler-32 of what it stores."""
        self.folders: set[str] = set()
        """Paths of folders that exist."""
        self.no_macaroons = False


class WebdavRequests(WebRequests):
    """HTTP with the credentials of WebDAV servers: a user and password are proven by digest where the server can.

    Over plain http a password is not sent before the server was asked what it wants. Over TLS it is, until a digest is
    asked for. Nothing is ever presented to where a redirect leads, unless that is the same server.
    """

    _servers: dict[Origin, Known]

    @property
    def moved(self) -> Callable[[int], None]:
        """Told how many bytes a copy has made (`Context.moved`)."""
        return self._context.moved

    @property
    def stall(self) -> float:
        """Seconds without a byte after which a connection is given up."""
        return self._context.stall

    def known(self, location: Location) -> Known:
        return self._known(origin_of(over_http(location).url)[0])

    def _known(self, origin: Origin) -> Known:
        found = self._servers.get(origin)
        if found is None:
            found = self._servers[origin] = Known()
        return found

    def _request(
        self,
        method: str,
        location: Location,
        purpose: str,
        fields: Sequence[tuple[str, str]],
        *,
        body: memoryview | bytes | None = None,
        into: memoryview | None = None,
    ) -> Visit:
        """As in `WebRequests`, for names that the server can have."""
        self._insist_on_whole_name(location)
        return super()._request(method, location, purpose, fields, body=body, into=into)

    def _insist_on_whole_name(self, location: Location) -> None:
        """Raises LocalRefused for a `?` in a name at XRootD, which would look at, replace or remove what stands before it."""
        if "%3f" not in location.url.lower():
            return
        known = self.known(location)
        if known.cuts_names is None:
            origin = origin_of(location.url)[0]
            answer = self._wire.exchange("OPTIONS", origin, "/")
            answer.read_all(4096)
            known.cuts_names = (answer.headers.get("server") or "").lower().startswith("xrootd")
        if known.cuts_names:
            raise LocalRefused(
                f"{location.shown}: this server takes a question mark for the end of the name",
                remedy="choose another name",
            )

    def _visit(
        self,
        method: str,
        location: Location,
        shown: Shown,
        fields: Sequence[tuple[str, str]],
        body: memoryview | bytes | None,
        into: memoryview | None,
    ) -> Visit:
        """As in `WebRequests`; besides, each hop on the server itself is proven by a digest of its own."""
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
            if origin != shown.origin:
                _insist_on_no_leave(fields, location, origin)

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
        self._insist_on_whole_name(location)
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

    def presents_the_same(self, one: Location, other: Location) -> bool:
        """Whether two locations on one server are used with one credential."""
        origin = origin_of(one.url)[0]
        return self._shown(one, origin, "read")[1:3] == self._shown(other, origin, "write")[1:3]

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

    def make_parents(self, location: Location, *, anew: bool = False) -> bool:
        """Whether the folder above `location` is there now, made by us or by somebody else meanwhile.

        Made are all that are missing, from the deepest one that exists. With `anew` nothing that was learnt of folders is
        believed: somebody may have removed them.
        """
        folder = above(over_http(location))
        return folder is not None and folder.path != "/" and self._make_level(folder, anew)

    def _make_level(self, folder: Location, anew: bool) -> bool:
        known = self.known(folder)
        path = split(folder)[0]
        if path in known.folders and not anew:
            return True
        made = self._mkcol(folder)
        if made in NO_PARENT and self.make_parents(folder, anew=anew):
            made = self._mkcol(folder)
        if made not in (200, 201, 204, 405):  # 405: it exists
            return False
        known.folders.add(path)
        return True

    def _mkcol(self, folder: Location) -> int:
        visit = self.status_of("MKCOL", as_folder(folder))
        visit.answer.read_all(4096)
        return visit.answer.status

    def try_move(self, location: Location) -> None:
        """Learns, once, whether the server takes MOVE: what OPTIONS says of it is wrong at too many."""
        known = self.known(location)
        if known.move_tried:
            return
        known.move_tried = True
        absent, nowhere = (beside(over_http(location), f".wf-{urandom(8).hex()}.part") for _ in range(2))
        origin, target = origin_of(nowhere.url)
        visit = self.status_of("MOVE", absent, (("Destination", origin.url(target)), ("Overwrite", "F")))
        visit.answer.read_all(4096)
        known.in_place = known.in_place or visit.answer.status in NO_MOVE


def _insist_on_no_leave(fields: Sequence[tuple[str, str]], location: Location, origin: Origin) -> None:
    """Raises Unsupported where the request carries what only the server that was asked may present to another one."""
    if any(name.startswith(LEAVE) for name, _ in fields):
        raise Unsupported(
            f"{location.shown}: redirected to {origin.authority}, which nobody has chosen to be given leave for the copy",
            host=origin.authority,
        )


def _pair(shown: Shown) -> Pair | None:
    """User and password, where that is all that is presented."""
    if len(shown.fields) != 1 or shown.fields[0][0] != "Authorization":
        return None
    return pair_of(shown.fields[0][1])
