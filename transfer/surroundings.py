"""What a run takes from its surroundings for its workers: credentials, TLS, proxies. Asked once, then remembered while it lasts."""

from __future__ import annotations

import os
import threading
import time

from ..checksum.records import Protocol
from ..protocols.errors import Misconfigured, MissingCredential, TransferError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from typing import Final

    from ..credentials.errors import CredentialError
    from ..credentials.kinds import Credential
    from ..protocols.locations import Location
    from ..protocols.proxies import Proxies

LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at whether a credential is still the one to present."""
PATIENCE: Final = 30.0
"""Seconds until the next try to replace one that still holds."""


class CredentialSource(Protocol):
    """What `wf.credentials.Chain` offers. `path` is passed on only for answers that depend on it.

    One with `renew(credential, reason)` can also replace a credential that was refused.
    """

    def find(
        self,
        scheme: str,
        host: str,
        site: str = "",
        *,
        user: str = "",
        purpose: str = "read",
        path: str = "",
    ) -> Credential: ...

    def name(
        self, scheme: str, host: str, site: str = "", *, user: str = "", purpose: str = "read"
    ) -> str: ...


class LateCredentials:
    """A source that is made when the first question comes: files that stay on this machine ask none."""

    def __init__(self, make: Callable[[], CredentialSource]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: CredentialSource | None = None

    def find(self, scheme: str, host: str, site: str = "", **more: str) -> Credential:
        return self._source.find(scheme, host, site, **more)

    def name(self, scheme: str, host: str, site: str = "", **more: str) -> str:
        return self._source.name(scheme, host, site, **more)

    def renew(self, credential: Credential, reason: str) -> Credential | None:
        ask = getattr(self._source, "renew", None)
        renewed: Credential | None = ask(credential, reason) if ask is not None else None
        return renewed

    @property
    def _source(self) -> CredentialSource:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


class _Answer:
    """What is presented at one end of all locations alike. Empty at first."""

    __slots__ = ("found", "lock", "look_again")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.found: Credential | TransferError | None = None
        self.look_again = 0.0
        """On the monotonic clock."""


class Surroundings:
    """The answers of one run, for all threads: a source is asked once, and again when its answer is about to end."""

    def __init__(
        self, credentials: CredentialSource | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._environment: Mapping[str, str] = os.environ if environment is None else environment
        self._source = credentials
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str, str, str], _Answer] = {}
        self._tls: dict[Credential | None, ssl.SSLContext] = {}
        self._proxies: Proxies | None = None

    def credential(self, location: Location, purpose: str) -> Credential:
        """What to present at `location` now. Raises `MissingCredential` or `Misconfigured`."""
        key = (location.scheme, location.host, location.site, purpose)
        answer = self._answers.get(key)
        if answer is None:
            with self._lock:
                answer = self._answers.setdefault(key, _Answer())
        found = answer.found
        if found is None or time.monotonic() >= answer.look_again:
            with answer.lock:
                found = self._refreshed(answer, location, purpose)
        if isinstance(found, TransferError):
            raise type(found)(found.what, remedy=found.remedy, host=location.endpoint)
        if found.by_path:
            found = self._find(location, purpose, path=location.path)
            if isinstance(found, TransferError):
                raise found
        return found

    def renew(self, location: Location, purpose: str, credential: Credential) -> Credential | None:
        """What to present instead of a credential that was refused; None where there is nothing newer.

        However many workers ask, it is renewed once. Raises `MissingCredential` or `Misconfigured`.
        """
        from ..credentials.errors import CredentialError

        ask = getattr(self._source, "renew", None)
        if ask is None:
            return None
        try:
            renewed: Credential | None = ask(credential, f"401 from {location.endpoint}")
        except CredentialError as error:
            raise _as_ours(error, location) from None
        if renewed is not None:
            with self._lock:
                answers = tuple(self._answers.values())
            for answer in answers:
                if answer.found == credential:
                    answer.found = renewed
        return renewed

    def tls(self, credential: Credential | None) -> ssl.SSLContext:
        """A verifying context, with the client certificate if that is what the credential is."""
        from ..credentials.kinds import Certificate

        key = credential if isinstance(credential, Certificate) else None
        with self._lock:
            context = self._tls.get(key)
            if context is None:
                from ..protocols.tls import tls_context

                context = self._tls[key] = tls_context(self._environment, key)
            return context

    def proxies(self) -> Proxies:
        """What the environment says of proxies."""
        if self._proxies is None:
            from ..protocols.proxies import Proxies

            self._proxies = Proxies.from_environment(self._environment)
        return self._proxies

    def _refreshed(self, answer: _Answer, location: Location, purpose: str) -> Credential | TransferError:
        """The present answer if it is still good, else a new one. Its lock is held."""
        before, now = answer.found, time.monotonic()
        if before is not None and now < answer.look_again:
            return before
        answer.look_again = now + LOOK_AGAIN
        if isinstance(before, TransferError) or (before is not None and not before.is_stale(time.time())):
            return before
        found = self._find(location, purpose)
        if before is not None and isinstance(found, TransferError) and not _has_ended(before):
            # It may serve to the end of the run, and if not the service says so.
            answer.look_again = now + PATIENCE
            return before
        answer.found = found
        return found

    def _find(self, location: Location, purpose: str, **more: str) -> Credential | TransferError:
        from ..credentials.errors import CredentialError

        if self._source is None:
            with self._lock:
                if self._source is None:
                    from ..credentials.chain import standard_chain

                    self._source = standard_chain(self._environment)
        try:
            return self._source.find(location.scheme, location.host, location.site, purpose=purpose, **more)
        except CredentialError as error:
            return _as_ours(error, location)


def _has_ended(credential: Credential) -> bool:
    return credential.expires is not None and credential.expires <= time.time()


def _as_ours(error: CredentialError, location: Location) -> TransferError:
    from ..credentials.errors import Misconfigured as Wrong

    kind = Misconfigured if isinstance(error, Wrong) else MissingCredential
    return kind(error.what, remedy=error.remedy, host=location.endpoint)
