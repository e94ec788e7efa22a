"""What a run takes from its surroundings for its workers: credentials, TLS, proxies. Asked once, then remembered."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol

from ..protocols.errors import Misconfigured, MissingCredential, TransferError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from ..credentials.kinds import Credential
    from ..protocols.locations import Location
    from ..protocols.proxies import Proxies


class CredentialSource(Protocol):
    """What `wf.credentials.Chain` offers."""

    def find(
        self, scheme: str, host: str, site: str = "", *, user: str = "", purpose: str = "read"
    ) -> Credential: ...

    def name(
        self, scheme: str, host: str, site: str = "", *, user: str = "", purpose: str = "read"
    ) -> str: ...


class Surroundings:
    """The answers of one run. Safe for all threads; every question reaches its source once."""

    def __init__(
        self, credentials: CredentialSource | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._environment: Mapping[str, str] = os.environ if environment is None else environment
        self._source = credentials
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str, str, str], Credential | TransferError] = {}
        self._tls: dict[Credential | None, ssl.SSLContext] = {}
        self._proxies: Proxies | None = None

    def credential(self, location: Location, purpose: str) -> Credential:
        """What to present at `location`. Raises `MissingCredential` or `Misconfigured`."""
        key = (location.scheme, location.host, location.site, purpose)
        with self._lock:
            found = self._found.get(key)
            if found is None:
                found = self._found[key] = self._find(location, purpose)
        if isinstance(found, TransferError):
            raise type(found)(found.what, remedy=found.remedy, host=location.endpoint)
        return found

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

    def _find(self, location: Location, purpose: str) -> Credential | TransferError:
        from ..credentials.errors import CredentialError
        from ..credentials.errors import Misconfigured as Wrong

        if self._source is None:
            from ..credentials.chain import standard_chain

            self._source = standard_chain(self._environment)
        try:
            return self._source.find(location.scheme, location.host, location.site, purpose=purpose)
        except CredentialError as error:
            kind = Misconfigured if isinstance(error, Wrong) else MissingCredential
            return kind(error.what, remedy=error.remedy)
