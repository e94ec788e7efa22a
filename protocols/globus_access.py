"""Access tokens for the Globus services, by Globus' own library, made once for all workers.

A token is for one *server*: Transfer, or one collection, whose files are then read and written over HTTPS.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from ..credentials.globus_tokens import TRANSFER_SERVER
from .errors import Busy, Denied, Misconfigured, MissingCredential, ServerFault, TransferError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Final

    from ..credentials.kinds import Credential, Globus, Secret
    from .context import Context
    from .wire import Wire

TRANSFER_SCOPE: Final = "urn:globus:auth:scope:transfer.api.globus.org:all"
SCOPES: Final = "https://auth.globus.org/scopes/"
LOGIN: Final = "wf-transfer globus login"
_EARLY: Final = 60.0
"""Seconds before its end at which a token is made anew."""


class _Token(NamedTuple):
    text: str
    end: float
    """Seconds since 1970."""


class Tokens:
    """The tokens of one credential. Safe for all threads: who comes while one is made waits for it."""

    def __init__(self, credential: Globus, context: Context) -> None:
        self.credential = credential
        self._context = context
        self._lock = threading.Lock()
        self._tokens: dict[str, _Token] = {}
        self._replacements: set[str] = set()

    def current(self, server: str = TRANSFER_SERVER, scopes: str = TRANSFER_SCOPE) -> str:
        """A token that holds. Raises Denied, MissingCredential, Unreachable."""
        with self._lock:
            token = self._tokens.get(server)
            if token is None or token.end - _EARLY <= time.time():
                token = self._tokens[server] = self._made(server, scopes)
            return token.text

    def replace(self, refused: str, server: str = TRANSFER_SERVER, scopes: str = TRANSFER_SCOPE) -> bool:
        """Whether there is another token than the refused one now. One that was made for this and refused is the last."""
        with self._lock:
            token = self._tokens.get(server)
            if token is not None and token.text != refused:
                return True
            if refused in self._replacements or self.credential.form == "access":
                return False
            token = self._tokens[server] = self._made(server, scopes)
            self._replacements.add(token.text)
            return token.text != refused

    def consent(self, scopes: Iterable[str]) -> bool:
        """Whether the consent that a service misses was given: a client gives it itself, by asking for the scopes.

        The consent stays with the service, so the token that comes with it is not needed.
        """
        if self.credential.form != "client":
            return False
        with self._lock:
            self._by_secret(list(scopes))
        return True

    def secrets(self) -> tuple[str, ...]:
        """Whatever must not be shown."""
        own = (self.credential.secret, *(secret for _, secret in self.credential.others))
        return (*(secret.reveal() for secret in own), *(token.text for token in self._tokens.values()))

    # --- making them; the lock is held

    def _made(self, server: str, scopes: str) -> _Token:
        form = self.credential.form
        if form == "access":
            return _Token(self._secret_for(server).reveal(), float("inf"))
        if form == "refresh":
            return self._by_refresh(server)
        found = self._by_secret(scopes)
        if server not in found:
            raise Denied(f"getting a token for {self._shown}: Globus gave none for {server}")
        return found[server]

    def _secret_for(self, server: str) -> Secret:
        if server == TRANSFER_SERVER:
            return self.credential.secret
        for name, secret in self.credential.others:
            if name == server:
                return secret
        raise MissingCredential(
            f"{self._shown} holds no token for the files of collection {server}",
            remedy=f"{LOGIN} {server}, or use a Globus client (GLOBUS_CLIENT_ID, GLOBUS_CLIENT_SECRET)",
        )

    def _by_secret(self, scopes: str | list[str]) -> dict[str, _Token]:
        from globus_sdk import ConfidentialAppAuthClient

        one = self.credential

        def ask(wire: Wire) -> Any:
            client = ConfidentialAppAuthClient(one.client_id, one.secret.reveal(), **options(wire))
            return client.oauth2_client_credentials_tokens(requested_scopes=scopes)

        return _by_server(self._ask(ask))

    def _by_refresh(self, server: str) -> _Token:
        """Under a lock that all processes of this machine share, because some refresh tokens work once."""
        from globus_sdk import NativeAppAuthClient

        from ..credentials.globus_tokens import locked, newest
        from ..credentials.kinds import Secret

        kept, application = self.credential.kept, self.credential.client_id
        with locked(kept):
            refresh = newest(kept, server) or self._secret_for(server)

            def ask(wire: Wire) -> Any:
                client = NativeAppAuthClient(application, **options(wire))
                return client.oauth2_refresh_token(refresh.reveal())

            found = self._ask(ask)
            replaced = found.get(server, {}).get("refresh_token")
            if replaced and replaced != refresh.reveal():
                self._keep(server, Secret(str(replaced)))
        if server not in found:
            raise Denied(f"getting a token for {self._shown}: Globus gave none for {server}")
        return _by_server(found)[server]

    def _keep(self, server: str, token: Secret) -> None:
        from ..credentials.errors import CredentialError
        from ..credentials.globus_tokens import keep

        credential = self.credential
        try:
            if credential.kept:
                keep(credential.kept, credential.client_id, server, token)
                return
            reason = "there is no home folder"
        except OSError as error:
            reason = error.strerror or "it cannot be written"
        except CredentialError as error:
            reason = error.what
        self._context.log.warning(
            "Globus replaced the refresh token of %s, and the new one could not be kept: %s",
            self._shown,
            reason,
        )

    def _ask(self, question: Callable[[Wire], Any]) -> Mapping[str, Mapping[str, Any]]:
        """What Auth granted, by server."""
        import globus_sdk

        from .wire import Wire

        wire = Wire(self._context)
        try:
            return granted(question(wire))
        except globus_sdk.GlobusAPIError as error:
            raise self._refused(error) from None
        except globus_sdk.GlobusError as error:
            raise Denied(f"getting a token for {self._shown}: {type(error).__name__}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ServerFault(f"getting a token for {self._shown}: the answer is none") from None
        finally:
            wire.close()

    def _refused(self, error: Any) -> TransferError:
        """Auth's word for it (RFC 6749 section 5.2), never the rest of its answer."""
        from ..credentials.redaction import printable

        status = int(error.http_status)
        raw = error.raw_json if isinstance(error.raw_json, dict) else {}
        word = printable(str(raw.get("error") or error.code or ""))[:60]
        text = f"getting a token for {self._shown}: {status} {word}".rstrip()
        if status == 429:
            return Busy(text)
        if status >= 500:
            return ServerFault(text)
        renew = "client" if self.credential.form == "client" else "refresh"
        remedy = "check the client's id and secret" if renew == "client" else f"log in again: {LOGIN}"
        return Denied(text, remedy=remedy)

    @property
    def _shown(self) -> str:
        return f"{self.credential.name} from {self.credential.origin}"


def tokens_of(credential: Credential, context: Context) -> Tokens:
    """The one maker of tokens of all workers with this credential. Raises Misconfigured, and Denied for one that has ended."""
    from ..credentials.kinds import Globus

    if not isinstance(credential, Globus):
        raise Misconfigured(
            f"credential {credential.name} from {credential.origin} is of kind {credential.kind}, "
            "which Globus does not take",
            remedy=f"set GLOBUS_CLIENT_ID and GLOBUS_CLIENT_SECRET, or run `{LOGIN}`",
        )
    if credential.form == "access" and credential.expires is not None and credential.expires <= time.time():
        raise Denied(
            f"the access token of {credential.name} from {credential.origin} has expired",
            remedy=f"get a new one, or run `{LOGIN}`, whose tokens renew themselves",
        )
    mark = str(hash(credential))
    return context.shared(("globus", "tokens", mark), lambda: Tokens(credential, context))


def granted(answer: Any) -> dict[str, Mapping[str, Any]]:
    """The tokens of Auth's answer, by server. Raises ValueError, KeyError, TypeError or AttributeError for what is none."""
    found = dict(answer.by_resource_server)
    for token in found.values():
        float(token["expires_at_seconds"])
        if not isinstance(token["access_token"], str):
            raise TypeError
    return found


def _by_server(found: Mapping[str, Mapping[str, Any]]) -> dict[str, _Token]:
    return {
        server: _Token(str(token["access_token"]), float(token["expires_at_seconds"]))
        for server, token in found.items()
    }


def options(wire: Wire) -> dict[str, Any]:
    """What every client of the library is made with: our wire, and no repetitions of its own."""
    from globus_sdk.transport import RequestsTransport, RetryConfig

    from .globus_transport import OverWire

    transport = RequestsTransport()
    for start in ("https://", "http://"):
        transport.session.mount(start, OverWire(wire))
    return {"transport": transport, "retry_config": RetryConfig(max_retries=0)}
