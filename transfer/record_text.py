"""How values are written in the records that a run leaves: times, URLs, texts and errors.

Machine records hold names exactly, less their secrets; what people read also has its control characters escaped.
"""

from __future__ import annotations

import time
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote

from ..credentials.redaction import printable, redact, redact_url
from .requests import Transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols.errors import TransferError
    from ..protocols.locations import Location
    from .requests import Request

__all__ = [
    "display_name",
    "display_url",
    "exact_text",
    "exact_url",
    "json_error",
    "json_url",
    "message",
    "quote",
    "target_of",
    "timestamp",
]


def timestamp(seconds: float) -> str:
    """`2026-11-22T07:52:07.005707Z` (RFC 3339) for seconds since 1970."""
    whole = int(seconds)
    return f"{_to_the_second(whole)}.{int((seconds - whole) * 1e6):06d}Z"


@lru_cache(maxsize=64)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def exact_url(location: Location) -> str:
    """The URL without secrets, otherwise character by character. A local path has nothing to hide."""
    return location.url if location.is_local else exact_text(location.url)


def exact_text(text: str) -> str:
    """A URL, or a name that may be one, without secrets and otherwise exact."""
    if text.startswith(("/", "file:")):
        return text
    # redact_url would escape what cannot be printed; `redact` hides at least as much, and escapes nothing.
    return redact_url(text) if text.isprintable() else redact(text)


def display_url(location: Location | None) -> str:
    """The URL for people: no secrets, one line, nothing a terminal obeys; `-` if there is none."""
    if location is None:
        return "-"
    return printable(location.url) if location.is_local else redact_url(location.url)


def display_name(name: str) -> str:
    """A logical name or a path or URL, for people."""
    return printable(exact_text(name))


def message(error: TransferError) -> str:
    """What the error says, without secrets. It may have line breaks."""
    return redact(error.what)


def json_url(location: Location | None) -> str:
    return "null" if location is None else _quoted(location.url, location.is_local)


@lru_cache(maxsize=16)
def _quoted(url: str, is_local: bool) -> str:
    """One request's URLs are written several times, one after the other: as outcome, as attempt, and as event."""
    return quote(url if is_local else exact_text(url))


def json_error(error: TransferError | None) -> str:
    """`error` of the result document as JSON text."""
    if error is None:
        return "null"
    return (
        f'{{"code":{quote(error.code)},"step":{quote(error.step)},"end":"{error.end or "neither"}",'
        f'"reach":"{error.reach}","message":{quote(message(error))},"remedy":{quote(redact(error.remedy))}}}'
    )


def target_of(request: Request) -> Location | None:
    """The one place that a folder's creation or a removal is about; None for a transfer."""
    return None if isinstance(request, Transfer) else request.target
