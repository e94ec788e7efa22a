"""Questions to the Globus Transfer API, each once: with a token that holds, and failures as ours."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

from . import globus_answers as answers
from .errors import Denied, ServerFault, TransferError, Unsupported
from .globus_access import LOGIN, SCOPES, options, tokens_of
from .globus_errors import refusal
from .statuses import seconds_of_date
from .wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

    from ..credentials.kinds import Credential
    from .context import Context
    from .globus_access import Tokens

    Document = dict[str, Any]

_PAGE: Final = 1000
"""Entries that a list is asked for at a time."""
_FIRM_SECONDS: Final = 20.0
_MAPPED: Final = "GCSv5_mapped_collection"
_HTTPS: Final = re.compile(r"https://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~/-]*)?")
"""No name, password or query in it."""


class Collection(NamedTuple):
    """What is known of a collection."""

    id: str
    https: str
    """Where its files can be had, without a slash at the end; empty where they cannot."""
    is_mapped: bool
    """A mapped collection that is not of high assurance: its files need a consent, called `data_access`."""
    is_offline: bool
    """A Globus Connect Personal that is not running, or paused."""

    @property
    def data_access(self) -> str:
        return f"{SCOPES}{self.id}/data_access"

    @property
    def data_scopes(self) -> str:
        """What a token for its files is asked for with."""
        https = f"{SCOPES}{self.id}/https"
        return f"{https} {self.data_access}" if self.is_mapped else https


class GlobusClient:
    """Transfer, by one credential, for one worker."""

    def __init__(self, tokens: Tokens, context: Context) -> None:
        self.tokens = tokens
        self._context = context
        self._wire = Wire(context)
        self._library: Any = None
        self._ahead = 0.0
        """Seconds by which the service's clock is ahead of ours."""

    def get(self, what: str, path: str, query: Mapping[str, Any] | None = None) -> Document:
        return self._ask(what, lambda client: client.get(path, query_params=dict(query or {})))

    def post(self, what: str, path: str, document: Document | None = None) -> Document:
        return self._ask(what, lambda client: client.post(path, data=document))

    def pages(self, what: str, path: str, most: int) -> list[Mapping[str, Any]]:
        """All entries of a list that is continued by markers. Raises ServerFault for one of more than `most`."""
        found: list[Mapping[str, Any]] = []
        query: dict[str, Any] = {"limit": _PAGE}
        seen: set[str] = set()
        while True:
            try:
                page = self.get(what, path, query)
            except Unsupported:
                # The size of a page is documented for other lists only.
                if not query.pop("limit", None):
                    raise
                continue
            found += answers.entries(page, what)
            marker = answers.marker(page, what)
            if not marker:
                return found
            if marker in seen or len(found) > most:
                raise ServerFault(f"{what}: the list does not end")
            seen.add(marker)
            query = {**query, "marker": marker}

    def collection(self, name: str) -> Collection:
        """Asked for once in a run."""
        key = ("globus", "collection", name, self.tokens.credential.name)
        return self._context.shared(key, lambda: self._collection(name))

    def _collection(self, name: str) -> Collection:
        found = self.get(f"looking at collection {name}", f"/v0.10/endpoint/{name}")
        https = str(found.get("https_server") or "").rstrip("/")
        if https and not _HTTPS.fullmatch(https):
            from ..credentials.redaction import printable

            raise Unsupported(
                f"collection {name} offers its files at {printable(https[:100])}, which is no https server",
                remedy="tell the administrator of the collection",
            )
        mapped = found.get("entity_type") == _MAPPED and not found.get("high_assurance")
        offline = found.get("gcp_connected") is False or found.get("gcp_paused") is True
        return Collection(name, https, bool(mapped), offline)

    def _ask(self, what: str, question: Callable[[Any], Any]) -> Document:
        """The answer; once more after a token was replaced, and after a consent was given."""
        renewed = False
        consented: set[str] = set()
        while True:
            token = self.tokens.current()
            error = self._asked(token, question)
            if isinstance(error, dict):
                return error
            if error.http_status == 401 and not renewed:
                renewed = True
                if self.tokens.replace(token):
                    continue
            scopes = _missing_scopes(error)
            # The service tells the collections one after the other.
            if not consented.issuperset(scopes) and self.tokens.consent(scopes):
                consented.update(scopes)
                continue
            raise self._refused(what, error, scopes)

    def _asked(self, token: str, question: Callable[[Any], Any]) -> Any:
        """The document, or the refusal."""
        import globus_sdk

        if self._library is None:
            self._library = globus_sdk.TransferClient(**options(self._wire))
        self._library.authorizer = globus_sdk.AccessTokenAuthorizer(token)
        try:
            answer = question(self._library)
        except globus_sdk.TransferAPIError as error:
            return error
        if not isinstance(answer.data, dict):
            raise ServerFault("asking Globus Transfer: the answer is no JSON object")
        self._ahead = _ahead(answer.headers)
        return answer.data

    def now(self) -> float:
        """Seconds since 1970 by the clock of the service, as its last answer told: times in its documents are to be
        compared with that."""
        return time.time() + self._ahead

    def scrubbed(self, text: str) -> str:
        """The text without our secrets, whoever repeats them."""
        from ..credentials.redaction import redact_known

        return redact_known(text, self.tokens.secrets())

    def _refused(self, what: str, error: Any, scopes: Sequence[str]) -> TransferError:
        if scopes:
            return consent_missing(what, scopes, self.tokens.credential)
        known = self.tokens.secrets()
        found = refusal(
            what,
            int(error.http_status),
            str(error.code or ""),
            str(error.message or error.http_reason or ""),
            error.headers,
            secrets=known,
        )
        if isinstance(found, Denied) and error.http_status == 401:
            found.remedy = f"the token has ended or was revoked: get a new one, or run `{LOGIN}`"
        return found

    def firm(self) -> GlobusClient:
        """A client whose next question the end of the run does not cut off: what it begins must be known to be ended."""
        return GlobusClient(self.tokens, self._context.for_last_words(_FIRM_SECONDS))

    def close(self) -> None:
        """Closes the connections. Never raises."""
        self._wire.close()


def client_of(credential: Credential, context: Context) -> GlobusClient:
    """A client of this worker. Raises Misconfigured for a credential of another kind."""
    return GlobusClient(tokens_of(credential, context), context)


def _ahead(headers: Mapping[str, str]) -> float:
    moment = seconds_of_date(headers.get("Date", ""))
    return 0.0 if moment is None else moment - time.time()


def _missing_scopes(error: Any) -> tuple[str, ...]:
    """The scopes of a refusal `ConsentRequired`."""
    told = error.info.consent_required
    return tuple(told.required_scopes) if told else ()


def consent_missing(what: str, scopes: Sequence[str], credential: Credential) -> Denied:
    """Of a person's login: nobody but the person can consent."""
    import re

    collections = sorted({name for scope in scopes for name in re.findall(r"scopes/([0-9a-f-]{36})/", scope)})
    words = " ".join(collections)
    return Denied(
        f"{what}: Globus asks for a consent that {credential.name} from {credential.origin} does not have "
        f"(scopes {', '.join(scopes)[:400]})",
        remedy=f"run: {LOGIN} {words}".rstrip(),
    )
