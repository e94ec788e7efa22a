"""What an HTTP status means to a transfer: the one table, for every protocol that rides on HTTP."""

from __future__ import annotations

from .errors import (
    Busy,
    Changed,
    Denied,
    Exists,
    NoSpace,
    NotFound,
    ServerFault,
    Stopped,
    TransferError,
    Unsupported,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .exchange import Answer, Fields

_KINDS: Final[dict[int, type[TransferError]]] = {
    401: Denied,
    402: Denied,
    403: Denied,
    404: NotFound,
    407: Denied,
    408: ServerFault,
    410: NotFound,
    413: NoSpace,
    416: Changed,
    423: ServerFault,
    425: ServerFault,
    429: Busy,
    451: Denied,
    501: Unsupported,
    503: Busy,
    505: Unsupported,
    507: NoSpace,
    511: Denied,
}
_REMEDIES: Final = {
    407: "check the user and password of the proxy",
    413: "the server takes no upload of this size: ask its operator to raise the limit, or free some quota",
}
"""Where the status says more than its class."""
_EXCERPT_FROM: Final = 8 << 10
_EXCERPT_MOST: Final = 200
_RETRY_MOST: Final = 24 * 3600.0


def kind_of(status: int, *, writing: bool = False) -> type[TransferError]:
    """The error that a status stands for. Statuses of success are ServerFault: nobody expected them here."""
    if status == 409 and writing:
        return NotFound
    if status == 412:
        return Exists if writing else Changed
    found = _KINDS.get(status)
    if found is not None:
        return found
    return Unsupported if 300 <= status < 500 else ServerFault


def error_of(answer: Answer, what: str, host: str, *, writing: bool = False) -> TransferError:
    """The error for an answer that is no success; reads what its body says. `what` names the request."""
    status = answer.status
    text = f"{what}: {status} {answer.reason}".rstrip()
    if status == 407:
        text += ", said the proxy"
    if status == 401:
        text += _asked_for(answer.headers)
    if status == 409 and writing:
        text += " (a folder above it may be missing)"
    said = excerpt(answer)
    if said and said not in text:
        text += f": {said}"
    wait = retry_after(answer.headers) if status in (429, 503) else None
    return kind_of(status, writing=writing)(
        text, host=host, retry_after=wait, remedy=_REMEDIES.get(status, "")
    )


def _asked_for(fields: Fields) -> str:
    """How the server wants to be convinced: `Basic`, `Bearer`, `Negotiate`, ..."""
    schemes = {line.split()[0][:20] for line in fields.getlist("www-authenticate") if line}
    return f" (it asks for {' or '.join(sorted(schemes))})" if schemes else ""


def retry_after(fields: Fields) -> float | None:
    """Seconds that the server asks to wait (RFC 9110 section 10.2.3), at most a day; None if it does not say."""
    text = fields.get("retry-after")
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _RETRY_MOST)
    until = seconds_of_date(text)
    if until is None:
        return None
    # The server's own clock, so that ours may be wrong.
    now = seconds_of_date(fields.get("date") or "")
    if now is None:
        from time import time

        now = time()
    return min(max(0.0, until - now), _RETRY_MOST)


def seconds_of_date(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date (RFC 9110 section 5.6.7); None for what is none."""
    from email.utils import mktime_tz, parsedate_tz

    parts = parsedate_tz(text)
    try:
        return None if parts is None else float(mktime_tz(parts))
    except (ValueError, OverflowError):
        return None


def excerpt(answer: Answer) -> str:
    """What the body of an error says, in one line without secrets; empty if that is nothing for people."""
    kind = (answer.headers.get("content-type") or "").lower()
    if not any(word in kind for word in ("text/", "xml", "json")):
        answer.close()
        return ""
    try:
        text = answer.read_all(_EXCERPT_FROM).decode("utf-8", "replace")
    except Stopped:
        raise
    except TransferError:
        return ""
    from ..credentials.redaction import printable, redact

    return _shortened(printable(" ".join(redact(_message(text, kind)).split())))


def _shortened(text: str) -> str:
    return text if len(text) <= _EXCERPT_MOST else text[: _EXCERPT_MOST - 3] + "..."


def _message(text: str, kind: str) -> str:
    """Only what is meant for people: an S3 error, for one, also repeats what was signed."""
    if "json" in kind:
        return _json_message(text)
    if "html" in kind:
        return _element(text, "title")
    if "xml" in kind or text.lstrip().startswith("<?xml"):
        found = (_element(text, name) for name in ("Code", "Message"))
        return ": ".join(filter(None, found))
    return text


def _element(text: str, name: str) -> str:
    import re
    from html import unescape

    match = re.search(rf"(?is)<(?:\w+:)?{name}(?:\s[^>]*)?>([^<]*)<", text)
    return unescape(match[1]).strip() if match else ""


def _json_message(text: str) -> str:
    import json

    try:
        value = json.loads(text)
    except ValueError:
        return ""
    found = []
    for name in ("code", "error", "message", "msg", "error_description", "detail", "title"):
        part = value.get(name) if isinstance(value, dict) else None
        if isinstance(part, dict):
            part = part.get("message")
        if isinstance(part, str) and part not in found:
            found.append(part)
    return ": ".join(found)
