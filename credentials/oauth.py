"""Access tokens for refresh tokens and client secrets, from an OAuth 2.0 token endpoint (RFC 6749, sections 4.4 and 6).

A refresh token that the endpoint replaces is written down at once, in a file of mode 0600, and under a lock: some
endpoints accept each only once, so that two jobs must not use the same one.
"""

from __future__ import annotations

import contextlib
import json
import os

from .errors import Misconfigured, MissingCredential, UnsafeFile
from .minting import Fresh, end_of
from .private import read_private, write_private
from .records import NamedTuple
from .redaction import printable, redact, redact_url
from .tokens import token_in_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPMessage
    from typing import IO, Any, Final
    from urllib.request import OpenerDirector, Request

    from .file import Section
    from .means import Means

_SECONDS: Final = 30.0
_MOST: Final = 1 << 20


class _Answer(NamedTuple):
    status: int
    content: dict[str, object]
    """Empty where the body was no JSON object."""


def refreshed(section: Section, means: Means) -> Fresh:
    """A new access token, as the `oauth_...` keys of the section say. Raises MissingCredential and Misconfigured."""
    url = section.text("oauth_token_url")
    if not url.startswith("https://"):
        raise Misconfigured(
            f"{section.origin}: the token endpoint {redact_url(url)} is not https",
            "a refresh token is not sent without TLS: write an https:// URL",
        )
    store = _Store(section, means)
    with store.locked():
        form = _form(section, store)
        answer = _ask(url, form, section, means)
        if answer.status != 200 or "access_token" not in answer.content:
            raise _refused(url, answer, section)
        replaced = answer.content.get("refresh_token")
        if isinstance(replaced, str) and replaced and replaced != form.get("refresh_token"):
            store.write(replaced)
    token = token_in_text(str(answer.content["access_token"]), f"the answer of {redact_url(url)}")
    return Fresh(token, end_of(answer.content))


def _form(section: Section, store: _Store) -> dict[str, str]:
    """The fields of the request; the client's identity is sent in them too (RFC 6749, 2.3.1)."""
    refresh = store.read()
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    if not refresh:
        if not section.secret("oauth_client_secret"):
            raise Misconfigured(
                f"{section.origin} has a token endpoint, but neither a refresh token nor a client secret",
                "add refresh-token, refresh-token-file or client-secret to its oauth table",
            )
        form = {"grant_type": "client_credentials"}
    for key in ("client_id", "client_secret", "scope", "audience"):
        if value := section.text(f"oauth_{key}"):
            form[key] = value
    return form


class _Store:
    """Where the newest refresh token is: the file the section names, or one of ours for the token it holds."""

    def __init__(self, section: Section, means: Means) -> None:
        self._section = section
        self._means = means
        self._file = section.text("oauth_refresh_token_file")
        self._inline = section.text("oauth_refresh_token")
        self._path = self._file or (_own_file(section, means) if self._inline else "")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else on this machine uses this refresh token meanwhile."""
        if not self._path:
            yield
            return
        import fcntl

        try:
            if not self._file:
                os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            yield  # a folder that cannot be written to; `write` warns if that matters
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def read(self) -> str:
        if not self._path:
            return self._inline
        try:
            text = read_private(self._path, self._means.policy).decode("utf-8", "replace").strip()
        except UnsafeFile:
            raise
        except (FileNotFoundError, Misconfigured, MissingCredential):
            if not self._file:
                return self._inline
            raise MissingCredential(
                f"{self._section.origin} names the refresh token file {printable(self._file)}, which cannot be read",
                "check the path, and that the file was shipped with the job",
            ) from None
        return text or self._inline

    def write(self, token: str) -> None:
        try:
            write_private(self._path, token.encode() + b"\n")
        except OSError as error:
            self._means.policy.warn(
                f"the token endpoint of {self._section.origin} replaced the refresh token, and the new one could not be "
                f"written to {printable(self._path)}: {error.strerror}; the next run may need a new login"
            )


def _own_file(section: Section, means: Means) -> str:
    """Where replacements of a refresh token are kept that the credentials file itself holds; empty without a home."""
    from hashlib import sha256

    folder = means.value("XDG_STATE_HOME") or means.home(".local", "state")
    if not folder:
        return ""
    parts = (section.text(f"oauth_{key}") for key in ("token_url", "client_id", "refresh_token"))
    return os.path.join(
        folder, "wf-transfer", f"refresh-{sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"
    )


def _ask(url: str, form: dict[str, str], section: Section, means: Means) -> _Answer:
    from urllib.error import HTTPError, URLError
    from urllib.parse import urlencode
    from urllib.request import Request

    fields = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    request = Request(url, urlencode(form).encode("ascii"), fields)
    try:
        with _opener(means).open(request, timeout=_SECONDS) as response:
            return _Answer(response.status, _object(response.read(_MOST)))
    except HTTPError as error:
        with error:
            return _Answer(error.code, _object(error.read(_MOST)))
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise MissingCredential(
            f"the token endpoint {redact_url(url)} of {section.origin} cannot be reached: {redact(str(reason))}",
            "check its URL and the network, or use a token that is valid for the whole job",
        ) from None


def _opener(means: Means) -> OpenerDirector:
    """Verifies the server and follows no redirect: the refresh token is for one endpoint."""
    from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener

    class NoRedirects(HTTPRedirectHandler):
        def redirect_request(
            self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
        ) -> None:
            return None

    return build_opener(NoRedirects(), HTTPSHandler(context=_tls(means)))


def _tls(means: Means) -> Any:
    """A verifying context with the authorities that the environment names, or the system's."""
    import ssl

    files = [path for name in ("SSL_CERT_FILE",) if (path := means.value(name))]
    folders = [path for name in ("SSL_CERT_DIR", "X509_CERT_DIR") if (path := means.value(name))]
    if not files and not folders:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        for path in files:
            context.load_verify_locations(cafile=path)
        for path in folders:
            context.load_verify_locations(capath=path)
    except OSError as error:
        raise Misconfigured(
            f"the authorities that the environment names cannot be used: {error.strerror or error}",
            "check SSL_CERT_FILE, SSL_CERT_DIR and X509_CERT_DIR",
        ) from None
    return context


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refused(url: str, answer: _Answer, section: Section) -> MissingCredential:
    """The endpoint's word for it (RFC 6749, 5.2), never the rest of its answer."""
    word = answer.content.get("error")
    told = f" ({printable(word)})" if isinstance(word, str) and len(word) < 50 else ""
    return MissingCredential(
        f"the token endpoint {redact_url(url)} of {section.origin} refused: {answer.status}{told}",
        "log in anew and put the new refresh token there"
        if word == "invalid_grant"
        else "check client id, client secret, scope and audience of this section",
    )
