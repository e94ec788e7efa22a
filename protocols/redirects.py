"""Where a redirect leads, and which ones are not followed."""

from __future__ import annotations

from .errors import Unsupported
from .patterns import compiled
from .wire import Origin, origin_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .exchange import Answer

STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_HOPS_MOST: Final = 20
_NOT_IN_URL: Final = r"[^!#$%&'()*+,/:;=?@\[\]A-Za-z0-9._~-]"


def is_redirect(answer: Answer) -> bool:
    return answer.status in STATUSES and "location" in answer.headers


class Trail:
    """The hops of one request so far."""

    def __init__(self, method: str, origin: Origin, target: str) -> None:
        self._method = method
        self._here = (origin, target)
        self._seen = {self._here}

    def follow(self, answer: Answer) -> tuple[Origin, str]:
        """The next server and target; the answer is drained. Raises Unsupported for a hop that is not taken.

        The method stays: only POST was ever turned into GET by 301 and 302 (RFC 9110 section 15.4), and the result
        of a write that a 303 points to is not the object.
        """
        url = self._absolute(answer.headers.getlist("location")[0])
        answer.read_all(4096)
        what = f"{self._method} {_redacted(self._here[0].url(self._here[1]))}"
        if url.partition(":")[0].lower() not in ("http", "https"):
            raise Unsupported(f"{what}: redirected to {_redacted(url)}, which is not http or https")
        origin, target = there = origin_of(url)
        shown = _redacted(origin.url(target))
        if self._here[0].tls and not origin.tls:
            raise Unsupported(
                f"{what}: redirected to {shown}, which is not encrypted",
                remedy="ask for the http URL if that is safe",
            )
        if answer.status == 303 and self._method not in ("GET", "HEAD"):
            raise Unsupported(f"{what}: answered 303 See Other to a write")
        if there in self._seen:
            raise Unsupported(
                f"{what}: the redirects go round in a circle, back to {shown}", host=origin.authority
            )
        if len(self._seen) > _HOPS_MOST:
            raise Unsupported(f"{what}: more than {_HOPS_MOST} redirects", host=origin.authority)
        self._seen.add(there)
        self._here = there
        return there

    def _absolute(self, text: str) -> str:
        """The field's value as a URL; it may be relative, and its bytes came as Latin-1."""
        text = compiled(_NOT_IN_URL).sub(lambda match: f"%{ord(match[0]):02X}", text)
        if compiled(r"[A-Za-z][A-Za-z0-9+.-]*:").match(text):
            return text
        origin, target = self._here
        if text.startswith("/") and not text.startswith("//"):
            return origin.url(text)
        from urllib.parse import urljoin

        return urljoin(origin.url(target), text)


def _redacted(url: str) -> str:
    from ..credentials.redaction import redact_url

    return redact_url(url)
