"""What the workers of one run know of federations together: directors, guides, and which servers have failed."""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from .locations import Location
    from .osdf_director import Guide
    from .osdf_names import Name

_DIRECTOR_SECONDS: Final = 1800.0
_GUIDE_SECONDS: Final = 60.0
"""A director knows how loaded its caches are; so it is asked about once a minute, and not for each of a thousand objects."""
_GUIDES_MOST: Final = 10_000


class Known:
    """For all threads. Two workers that ask at once wait for one answer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._asking: dict[tuple[str, ...], Lock] = {}
        self._directors: dict[str, tuple[float, str]] = {}
        self._guides: dict[tuple[str, ...], tuple[float, Guide]] = {}
        self._failed: dict[str, int] = {}
        self._mute: set[str] = set()

    def director(self, federation: str, ask: Callable[[], str]) -> str:
        """The director's URL; `ask` is called where it is not known, or was learnt long ago."""
        with self._one_at_a_time(("", federation)):
            found = self._directors.get(federation)
            if found is None or monotonic() - found[0] > _DIRECTOR_SECONDS:
                found = self._directors[federation] = (monotonic(), ask())
            return found[1]

    def guide(self, name: Name, purpose: str, ask: Callable[[], Guide]) -> Guide:
        """The director's answer to the same question, or to one about another object of the same folder.

        Other folders may be namespaces of their own, with other servers and issuers.
        """
        found = self._fresh(name, purpose)
        if found is not None:
            return found
        question = _question(name, purpose)
        with self._one_at_a_time(question):
            found = self._fresh(name, purpose)
            if found is None:
                found = ask()
                self._keep((*question, name.path) if found.alone else question, found)
            return found

    def _keep(self, question: tuple[str, ...], guide: Guide) -> None:
        now = monotonic()
        with self._lock:
            if len(self._guides) >= _GUIDES_MOST:
                fresh = {key: one for key, one in self._guides.items() if now - one[0] < _GUIDE_SECONDS}
                self._guides = fresh if len(fresh) < _GUIDES_MOST else {}
            self._guides[question] = (now, guide)

    def namespace(self, name: Name, purpose: str, ask: Callable[[], Guide]) -> Guide:
        """As `guide`, for what is the same for all purposes: the namespace, and whose tokens it takes.

        It changes rarely, and a director that is gone for a while must not stop what caches go on serving.
        """
        other = "write" if purpose == "read" else "read"
        known = self._fresh(name, purpose, _DIRECTOR_SECONDS) or self._fresh(name, other, _DIRECTOR_SECONDS)
        return known or ask()

    def _fresh(self, name: Name, purpose: str, seconds: float = _GUIDE_SECONDS) -> Guide | None:
        question = _question(name, purpose)
        found = self._guides.get(question) or self._guides.get((*question, name.path))
        return found[1] if found is not None and monotonic() - found[0] < seconds else None

    def _one_at_a_time(self, question: tuple[str, ...]) -> Lock:
        with self._lock:
            return self._asking.setdefault(question, Lock())

    def failed(self, server: str) -> None:
        """Notes that a server (`host:port`) broke its word."""
        with self._lock:
            self._failed[server] = self._failed.get(server, 0) + 1

    def by_trust(self, places: Sequence[Location]) -> Sequence[Location]:
        """The same places; servers that have failed in this run last, those that did so most often at the very end."""
        if not self._failed:
            return places
        return sorted(places, key=lambda place: self._failed.get(place.host, 0))

    def is_mute(self, server: str) -> bool:
        """It has told no digest when it was asked for one."""
        return server in self._mute

    def note_mute(self, server: str) -> None:
        self._mute.add(server)


def _question(name: Name, purpose: str) -> tuple[str, ...]:
    """What has the same answer for all objects of one folder."""
    return (name.federation, purpose, name.of_the_director, name.decoded.rpartition("/")[0])
