"""One renewal for all threads that were refused with the same credential."""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from .kinds import Credential
    from .query import Query
    from .source import Source

_YOUNG: Final = 30.0
"""Seconds: who is refused with a credential made so recently does not lack a newer one."""


class _Renewal:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.done = False
        self.result: Credential | None = None


class Renewals:
    """Remembers who gave which credential, and renews each at most once. Safe for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._givers: dict[Credential, tuple[Source, Query]] = {}
        self._renewals: dict[Credential, _Renewal] = {}
        self._made: dict[Credential, float] = {}

    def given(self, credential: Credential, source: Source, query: Query) -> None:
        """Notes where a credential came from."""
        if credential not in self._givers:
            with self._lock:
                self._givers.setdefault(credential, (source, query))

    def renew(self, credential: Credential) -> Credential | None:
        """The credential to present from now on; None where there is no newer one. Waits for a renewal under way."""
        giver = self._givers.get(credential)
        if giver is None:
            return None
        with self._lock:
            renewal = self._renewals.setdefault(credential, _Renewal())
        with renewal.lock:
            if not renewal.done:
                renewal.result = None if self._is_young(credential) else self._again(credential, *giver)
                renewal.done = True
            return renewal.result

    def _again(self, credential: Credential, source: Source, query: Query) -> Credential | None:
        ask: Callable[[Query, Credential], Credential | None] | None = getattr(source, "renew", None)
        found = ask(query, credential) if ask is not None else source.find(query, [])
        if found is None or found == credential:
            return None
        with self._lock:
            self._made[found] = time.monotonic()
        self.given(found, source, query)
        return found

    def _is_young(self, credential: Credential) -> bool:
        made = self._made.get(credential)
        if made is None or (credential.expires is not None and credential.expires <= time.time()):
            return False
        return time.monotonic() - made < _YOUNG
