"""The processes of one worker that talk XRootD: each has one credential, and is there when it is first wanted."""

from __future__ import annotations

from .errors import Denied, TransferError, Unreachable
from .xrootd_errors import Status, error_of_status
from .xrootd_link import LAST_WORDS_SECONDS, Link
from .xrootd_login import Flavor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeVar

    from ..credentials.kinds import Credential
    from .context import Context
    from .locations import Location

    T = TypeVar("T")

_KEPT: Final = 4
"""Processes of one worker, each with another credential, at most."""
_REFUSED_LOGIN: Final = frozenset({203, 204})


class Links:
    """The processes of one worker, one for each credential and flavor."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._links: dict[tuple[Credential, Flavor], Link] = {}
        self.left: set[str] = context.shared(("xrootd", "left"), set)
        """URLs of partials that attempts of this run left, of all workers: single additions and looks, which need no lock."""

    def _of(self, location: Location, credential: Credential, flavor: Flavor) -> Link:
        key = credential, flavor
        found = self._links.pop(key, None)
        if found is None or found.dead:
            if len(self._links) >= _KEPT:
                self._links.pop(next(iter(self._links))).close()
            found = Link(self._context, credential, location.endpoint, flavor)
        self._links[key] = found  # the one that was used last is the last one
        found.host = location.endpoint
        return found

    def run(
        self,
        location: Location,
        purpose: str,
        what: str,
        act: Callable[[Link], T],
        kind: type[TransferError] = Unreachable,
        flavor: Flavor = Flavor.PLAIN,
    ) -> T:
        """What `act` returns; a Status that it raises is mapped. A login that was refused is tried again with a newer credential."""
        link = self._of(location, self._context.credential(location, purpose), flavor)
        link.about(what, kind)
        try:
            return act(link)
        except Status as status:
            again = self._renewed(location, purpose, link, status, flavor)
            if again is None:
                raise _error(status, what, link, kind) from None
        again.about(what, kind)
        try:
            return act(again)
        except Status as status:
            raise _error(status, what, again, kind) from None

    def _renewed(
        self, location: Location, purpose: str, link: Link, status: Status, flavor: Flavor
    ) -> Link | None:
        if status.code not in _REFUSED_LOGIN:
            return None
        newer = self._context.renew(location, purpose, link.credential)
        if newer is None or newer == link.credential:
            return None
        return self._of(location, newer, flavor)

    def last_words(self, location: Location, act: Callable[[Link], None]) -> None:
        """Does `act` within seconds, whether the run was stopped or the process is gone. Never raises."""
        try:
            credential = self._context.credential(location, "write")
            link = Link(self._context.for_last_words(LAST_WORDS_SECONDS), credential, location.endpoint)
        except (TransferError, OSError):
            return
        link.hurry(True)
        try:
            act(link)
        except (TransferError, Status):
            return
        finally:
            link.close()

    def close(self) -> None:
        for link in self._links.values():
            link.close()
        self._links.clear()


def _error(status: Status, what: str, link: Link, kind: type[TransferError]) -> TransferError:
    """A refusal names the credential too, for people to know which one to renew."""
    error = error_of_status(status, what, link.host, kind)
    if not isinstance(error, Denied):
        return error
    from ..credentials.redaction import printable

    shown = link.credential
    origin = "nothing" if shown.kind == "anonymous" else f"{shown.name} from {shown.origin}"
    return Denied(f"{error.what} (presented: {printable(origin)})", host=link.host)
