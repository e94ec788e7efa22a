"""Which endpoint and identity is refused for good: everything alike need not try.

A credential that is missing concerns all alike at once. A refusal may concern one path only, so it takes a second one, while
nothing with the same identity has succeeded.
"""

from __future__ import annotations

import threading

from ..protocols.errors import Denied, Reach, TransferError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols.locations import Location

REFUSALS_BEFORE_GROUP = 2


class Refusals:
    """What was learnt about endpoints and identities in one run. Safe for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._succeeded: set[tuple[str, str, str, bool]] = set()
        self._denied: dict[tuple[str, str, str, bool], int] = {}
        self._hopeless: dict[tuple[str, str, str, bool], TransferError] = {}

    def succeeded(self, location: Location, *, writing: bool) -> None:
        key = _key(location, writing)
        if key not in self._succeeded:
            with self._lock:
                self._succeeded.add(key)
                if isinstance(self._hopeless.get(key), Denied):
                    del self._hopeless[key]  # it was about those paths only

    def failed(self, location: Location, error: TransferError, *, writing: bool) -> None:
        """Learns from an error at `location`; may widen its reach to GROUP."""
        if error.reach is not Reach.GROUP and not isinstance(error, Denied):
            return
        key = _key(location, writing)
        with self._lock:
            if isinstance(error, Denied):
                self._denied[key] = self._denied.get(key, 0) + 1
                if key in self._succeeded or self._denied[key] < REFUSALS_BEFORE_GROUP:
                    return
                error.reach = Reach.GROUP
            self._hopeless[key] = error

    def hopeless(self, location: Location, *, writing: bool) -> TransferError | None:
        """The error that everything alike has met, as this location's own."""
        if not self._hopeless:
            return None
        error = self._hopeless.get(_key(location, writing))
        if error is None:
            return None
        again = type(error)(
            f"{error.what} (not tried again for this one)", remedy=error.remedy, host=error.host
        )
        again.reach = Reach.GROUP
        return again


def _key(location: Location, writing: bool) -> tuple[str, str, str, bool]:
    return (location.scheme, location.endpoint, location.site, writing)
