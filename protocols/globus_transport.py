"""Globus' library speaks to its services over our wire: our trust, our proxies, and the end of the run ends its waiting.

Import it only where the library is in use already: it needs `requests`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from requests import Response
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from .errors import ServerFault
from .wire import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

    from requests import PreparedRequest

    from .wire import Wire

_ANSWER_MOST: Final = 64 << 20
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "connection"})
"""What the wire says itself."""


class OverWire(BaseAdapter):
    """One request, one answer, read to its end. Failures are those of the wire, as TransferError."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def send(self, request: PreparedRequest, *args: Any, **more: Any) -> Response:
        origin, target = origin_of(request.url or "")
        fields = _fields(request.headers.items())
        method = request.method or "GET"
        answer = self._wire.exchange(method, origin, target, fields, _body(request.body))
        if 300 <= answer.status < 400:
            # These services redirect nobody, and nothing of ours is to follow.
            raise ServerFault(f"{method} {origin.authority}: {answer.status}, a redirection")
        response = Response()
        response.status_code, response.reason = answer.status, answer.reason
        response.headers = CaseInsensitiveDict(answer.headers.items())
        response._content = answer.read_all(_ANSWER_MOST)
        response.url, response.request = request.url or "", request
        response.encoding = "utf-8"
        return response

    def close(self) -> None:
        """Leaves the wire to its owner."""


def _fields(given: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(name, _text(value)) for name, value in given if name.lower() not in _FRAMING]


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _body(body: Any) -> bytes | None:
    return body.encode() if isinstance(body, str) else body
