"""webdav4's client, with its hands tied: our names, our credentials, our connections.

Left to itself it takes `per%20cent` for `per cent`, cannot name what has `?`, `#` or a newline in it, and knows neither our
proxies nor who a credential belongs to. So it is given our targets as they are, and a transport that sends over `wire` what it asks
for; redirects and credentials are the store's, errors come from the one table, and it repeats nothing. Import this module only where
webdav4 is wanted: with httpx it takes 250 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from webdav4.client import Client  # type: ignore[import-untyped]
from webdav4.http import Client as Sender  # type: ignore[import-untyped]

from .errors import ServerFault
from .http_visit import refused
from .statuses import kind_of
from .webdav_progress import await_end
from .webdav_xml import NotMultistatus, responses
from .wire import origin_of

if TYPE_CHECKING:
    from typing import Final

    from .http_visit import Visit
    from .locations import Location
    from .webdav import WebdavStore

_OURS: Final = ("Destination", "Overwrite", "Depth")
"""What of a request's head is webdav4's to say."""


class Verbs:
    """COPY and DELETE at one server, for one store."""

    def __init__(self, store: WebdavStore) -> None:
        self._store = store

    def delete(self, folder: Location) -> None:
        """Removes a folder with all that is in it. Raises what the first refused name means."""
        self._client(folder).remove(_target(folder))

    def copy(self, source: Location, destination: Location) -> None:
        """Copies a file over whatever is at `destination`, which must be at the same server."""
        self._client(source).copy(_target(source), _target(destination), depth=0, overwrite=True)

    def _client(self, location: Location) -> Any:
        sender = Sender(transport=_OverWire(self._store, location), trust_env=False, follow_redirects=False)
        origin = origin_of(location.url)[0]
        return _Client(origin.url(""), http_client=sender, retry=False)


class _Client(Client):  # type: ignore[misc]
    """webdav4's client that takes request targets for paths, and leaves them as they are."""

    def join_url(self, path: str, add_trailing_slash: bool = False) -> httpx.URL:
        url: httpx.URL = self.base_url
        return url.copy_with(raw_path=path.encode("ascii"))


class _OverWire(httpx.BaseTransport):
    """Sends a request as a request of the store at `location`. Raises our errors for all but success."""

    def __init__(self, store: WebdavStore, location: Location) -> None:
        self._store = store
        self._location = location

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        target = request.url.raw_path.decode("ascii")
        if target != _target(self._location):
            raise ServerFault(f"{self._location.shown}: webdav4 asks for {target[:200]!r} instead")
        fields = [(name, request.headers[name]) for name in _OURS if name in request.headers]
        visit = self._store.status_of(request.method, self._location, fields)
        absent = request.method == "DELETE" and visit.answer.status in (404, 410)
        if visit.answer.status not in (200, 201, 204) and not absent:
            _raise_refusal(visit)
        await_end(visit, insist=False)
        return httpx.Response(204)


def _raise_refusal(visit: Visit) -> None:
    if visit.answer.status != 207:
        raise refused(visit, writing=visit.method == "COPY")
    try:
        failed = [one for one in responses([visit.answer.read_all()]) if one.status >= 400]
    except NotMultistatus as error:
        raise ServerFault(f"{visit.what()}: {error}") from None
    if failed:
        first = failed[0]
        text = f"{visit.what()}: {len(failed)} names were refused, the first with status {first.status}"
        raise kind_of(first.status)(text, host=visit.origin.authority)


def _target(location: Location) -> str:
    return origin_of(location.url)[1]
