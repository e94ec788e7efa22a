"""One visit to a web server: what is presented to whom, and what came back."""

from __future__ import annotations

from ..checksum.records import NamedTuple
from .digest_headers import digests_of
from .errors import Denied, Misconfigured, TransferError
from .patterns import compiled
from .statuses import error_of, kind_of, seconds_of_date
from .values import Entry
from .wire import Origin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from ..credentials.kinds import Certificate, Credential
    from .exchange import Answer, Fields

_CONTENT_RANGE: Final = r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)"

Place = tuple[Origin, str]
"""Server and target."""


class Shown(NamedTuple):
    """What is presented, and to whom alone."""

    origin: Origin
    fields: tuple[tuple[str, str], ...]
    certificate: Certificate | None
    name: str
    """The credential, for people."""


class Visit(NamedTuple):
    """The final answer to a request, and where it came from."""

    answer: Answer
    origin: Origin
    target: str
    redirected: bool
    shown: Shown
    method: str

    def what(self) -> str:
        """The request, for people."""
        from ..credentials.redaction import redact_url

        through = "redirected to " if self.redirected else ""
        return f"{self.method} {through}{redact_url(self.origin.url(self.target))}"


def for_origin(
    shown: Shown, origin: Origin, fields: Sequence[tuple[str, str]]
) -> tuple[Sequence[tuple[str, str]], Certificate | None]:
    """The fields and the client certificate for a request to `origin`."""
    if origin != shown.origin:
        return fields, None
    return (*fields, *shown.fields), shown.certificate


def presented(credential: Credential) -> tuple[tuple[tuple[str, str], ...], Certificate | None]:
    """The header fields, or the client certificate, that a credential means. Raises Misconfigured."""
    kind = credential.kind
    if kind == "anonymous":
        return (), None
    from ..credentials.kinds import Basic, Bearer, Certificate, Headers

    if isinstance(credential, Basic):
        return (basic(credential.user, credential.password.reveal()),), None
    if isinstance(credential, Bearer):
        return (("Authorization", f"Bearer {credential.token.reveal()}"),), None
    if isinstance(credential, Headers):
        return tuple((name, value.reveal()) for name, value in credential.fields), None
    if isinstance(credential, Certificate):
        return (), credential
    raise Misconfigured(
        f"credential {credential.name} from {credential.origin} is of kind {kind}, which HTTP cannot present",
        remedy="configure a user and password, a token, header fields or a certificate for this host",
    )


def basic(user: str, password: str) -> tuple[str, str]:
    """The header field by which a user and password are presented (RFC 7617)."""
    from binascii import b2a_base64

    pair = f"{user}:{password}".encode("utf-8", "surrogateescape")
    return "Authorization", "Basic " + b2a_base64(pair, newline=False).decode()


def refused(visit: Visit, *, writing: bool = False) -> TransferError:
    """The error for an answer that is no success."""
    what = visit.what()
    if kind_of(visit.answer.status) is Denied:
        given = visit.shown.name if visit.origin == visit.shown.origin else "no credential, after a redirect"
        what += f" with {given}"
    error = error_of(visit.answer, what, visit.origin.authority, writing=writing)
    from ..credentials.redaction import redact_known

    error.what = redact_known(error.what, _secrets_in(visit.shown.fields))
    error.args = (error.what,)
    return error


def _secrets_in(fields: Sequence[tuple[str, str]]) -> Iterator[str]:
    """What of the presented fields nobody may see, in every form in which a server could repeat it."""
    for name, value in fields:
        yield value
        word, _, secret = value.rpartition(" ")
        yield secret
        if name == "Authorization" and word == "Basic":
            from binascii import a2b_base64

            pair = a2b_base64(secret).decode("utf-8", "replace")
            yield pair.partition(":")[2]


def version_of(fields: Fields) -> str | None:
    """The ETag if it is a strong one and proves that bytes are equal.

    Servers make it of size and time in seconds: an object that was modified within the second of the answer may
    change once more and keep it (compare RFC 9110 section 8.8.2.2).
    """
    tag = fields.values.get("etag")
    if tag is None or len(tag) < 3 or tag[0] != '"' or tag[-1] != '"':
        return None
    modified = fields.values.get("last-modified")
    return None if modified is not None and modified == fields.values.get("date") else tag


def entry_of(fields: Fields, size: int | None) -> Entry:
    date = fields.get("last-modified")
    modified = seconds_of_date(date) if date else None
    return Entry("", size, version_of(fields), False, modified, digests_of(fields, whole=False))


def content_range(fields: Fields) -> tuple[int, int, int | None]:
    """First and last position and the whole size; -1 where no part is named. None for a size that is not told."""
    match = compiled(_CONTENT_RANGE).fullmatch(fields.get("content-range") or "")
    if match is None:
        return -1, -1, None
    total = None if match[3] == "*" else int(match[3])
    return (-1, -1, total) if match[1] is None else (int(match[1]), int(match[2]), total)
