"""Access tokens for Google Cloud Storage, made by Google's own library over our wire, once for all workers."""

from __future__ import annotations

import json
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from .errors import Denied, Misconfigured, MissingExtra, TransferError, Unreachable
from .wire import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    from ..credentials.kinds import Credential, Google
    from .wire import Wire

_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.full_control",)
_ANSWER_MOST: Final = 1 << 20


class Tokens:
    """The tokens of one credential. Safe for all threads: who comes while one is made waits for it."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential
        self._lock = threading.Lock()
        self._maker: Any = None
        self._replacement = ""

    def current(self, wire: Wire) -> str:
        """A token that holds. Raises Denied, Unreachable, Misconfigured and MissingExtra."""
        from ..credentials.kinds import Bearer

        if isinstance(self._credential, Bearer):
            return self._credential.token.reveal()
        with self._lock:
            if self._maker is None:
                self._maker = _maker(self._credential)  # type: ignore[arg-type]
            if not self._maker.valid:
                self._refresh(wire)
            return str(self._maker.token)

    def replace(self, refused: str, wire: Wire) -> bool:
        """Whether there is another token than the refused one now. One that was made for this and refused is the last."""
        if self._maker is None:
            return False
        with self._lock:
            if self._maker.token != refused:
                return True
            if refused == self._replacement:
                return False
            self._refresh(wire)
            self._replacement = str(self._maker.token)
            return self._replacement != refused

    def _refresh(self, wire: Wire) -> None:
        exceptions = _library("google.auth.exceptions")
        try:
            self._maker.refresh(_Transport(wire))
        except TransferError:
            raise
        except exceptions.TransportError as error:
            raise Unreachable(self._failed(error), remedy="") from None
        except exceptions.GoogleAuthError as error:
            raise Denied(
                self._failed(error), remedy="check that the credential is valid and not revoked"
            ) from None

    def _failed(self, error: Exception) -> str:
        from ..credentials.redaction import printable, redact

        credential = self._credential
        told = printable(redact(str(error.args[0] if error.args else "")))[:200]
        return (
            f"getting a token for {credential.name}, from {credential.origin}: {told or type(error).__name__}"
        )


@lru_cache(maxsize=64)
def tokens_of(credential: Credential) -> Tokens:
    """The one maker of tokens of all workers with this credential. Raises Misconfigured."""
    if credential.kind not in ("google", "bearer"):
        raise Misconfigured(
            f"credential {credential.name} from {credential.origin} is of kind {credential.kind}, "
            "which Cloud Storage does not take",
            remedy="set GOOGLE_APPLICATION_CREDENTIALS, or google_credentials for this site, to a JSON key",
        )
    return Tokens(credential)


class _Response:
    """What Google's library expects of an answer (`google.auth.transport.Response`)."""

    def __init__(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data


class _Transport:
    """Google's library speaks to its token servers through our wire: our proxies, our trust, our end of the run."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **further: Any,
    ) -> _Response:
        origin, target = origin_of(url)
        sent = body.encode() if isinstance(body, str) else body
        answer = self._wire.exchange(method, origin, target, tuple((headers or {}).items()), sent)
        return _Response(answer.status, dict(answer.headers.items()), answer.read_all(_ANSWER_MOST))


def _maker(credential: Google) -> Any:
    """The library's object that makes tokens of a credential."""
    try:
        return _MAKERS[credential.form](credential)
    except ImportError as error:
        raise MissingExtra(
            f"{credential.name} from {credential.origin} needs the Python module {error.name}",
            remedy="pip install 'wf-transfer[gcs]'",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # What they say may repeat the document.
        raise Misconfigured(
            f"{credential.name} from {credential.origin} is not complete ({type(error).__name__})",
            remedy="get a new JSON key, or configuration, from Google",
        ) from None


def _service_account(credential: Google) -> Any:
    made = _library("google.oauth2.service_account").Credentials
    return made.from_service_account_info(json.loads(credential.document.reveal()), scopes=_SCOPES)


def _authorized_user(credential: Google) -> Any:
    info = json.loads(credential.document.reveal())
    made = _library("google.oauth2.credentials").Credentials
    return made.from_authorized_user_info(info, scopes=info.get("scopes"))


def _external_account(credential: Google) -> Any:
    """Workload identity: the document says where the token of the other side is."""
    info = json.loads(credential.document.reveal())
    name = "identity_pool"
    if info.get("subject_token_type") == "urn:ietf:params:aws:token-type:aws4_request":
        name = "aws"
    elif "executable" in info.get("credential_source", {}):
        name = "pluggable"
    return _library(f"google.auth.{name}").Credentials.from_info(info, scopes=_SCOPES)


def _default(credential: Google) -> Any:
    """The service account of this machine of Google's."""
    return _library("google.auth.compute_engine").Credentials(scopes=_SCOPES)


def _library(name: str) -> Any:
    from importlib import import_module

    return import_module(name)


_MAKERS: Final = {
    "service_account": _service_account,
    "authorized_user": _authorized_user,
    "external_account": _external_account,
    "default": _default,
}
