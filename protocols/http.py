"""Files on web servers: GET, PUT, HEAD and DELETE over `wire`, with redirects and credentials.

A credential goes to the scheme, host and port it was chosen for and never to where a redirect leads. A strong ETag
is the version. What a server says of a digest becomes `Reader.digests`.
"""

from __future__ import annotations

from .digest_headers import WANT_FIELDS, digests_of
from .errors import TransferError, Unsupported
from .http_reader import HttpReader, make_reader
from .http_visit import (
    Place,
    Shown,
    Visit,
    basic,
    content_range,
    entry_of,
    for_origin,
    presented,
    refused,
)
from .http_writer import CONTENT_TYPE, STORED, StreamWriter, WholeWriter, receipt_of
from .locations import login_of
from .origins import Request
from .redirects import STATUSES, Trail, is_redirect
from .wire import Origin, Wire, origin_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..checksum.digest import Digest
    from ..credentials.kinds import Credential
    from .ahead import Ahead
    from .context import Context
    from .locations import Location
    from .values import Entry, Incoming, Receipt
    from .webdav import WebdavStore


class WebRequests:
    """What all stores over HTTP do alike: everything but reading."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wire = Wire(context)
        self._moved: dict[Place, Place] = {}
        """Where uploads were redirected to when it was too late to follow: the next attempt begins there."""
        self._last: tuple[Credential | None, Shown | None] = (None, None)
        """What was presented last: credentials do not change, so that it need not be made again."""
        self._speak_dav: dict[Origin, WebdavStore | None] = {}
        """Servers that were asked whether they speak WebDAV."""

    def open_write(self, location: Location, incoming: Incoming) -> WholeWriter | StreamWriter:
        """A writer. The server is asked before the body is sent, so a refusal or a redirect comes from here."""
        if incoming.sha256 is not None or incoming.size == 0:
            return WholeWriter(lambda body: self.put(location, body))
        place = origin_of(location.url)
        shown = self._shown(location, place[0], "write")
        return StreamWriter(
            self._wire,
            shown,
            self._moved.pop(place, place),
            incoming.size,
            self._moved,
            lambda refused: self._renewed(location, "write", refused),
        )

    def stat(self, location: Location) -> Entry:
        """The entry; its size is None where the server does not tell."""
        visit = self._request("HEAD", location, "read", ())
        answer = visit.answer
        presigned = answer.status == 403 and "ignature=" in location.url
        if answer.status in (405, 501) or presigned:
            return self._stat_by_get(location)
        if answer.status != 200:
            raise refused(visit)
        return entry_of(answer.headers, answer.length)

    def _stat_by_get(self, location: Location) -> Entry:
        """For servers that know no HEAD, and for URLs that were signed for GET."""
        visit = self._request("GET", location, "read", (("Range", "bytes=0-0"),))
        answer = visit.answer
        answer.close()
        if answer.status == 200:
            return entry_of(answer.headers, answer.length)
        if answer.status in (206, 416):
            total = content_range(answer.headers)[2]
            if total is not None or answer.status == 206:
                return entry_of(answer.headers, total)
        raise refused(visit)

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        """The digest that the server tells when asked for it in a HEAD; most servers tell none."""
        visit = self._request("HEAD", location, "read", WANT_FIELDS)
        if visit.answer.status == 404:
            raise refused(visit)
        found = digests_of(visit.answer.headers, whole=False) if visit.answer.status == 200 else ()
        return next((digest for digest in found if digest.algorithm == algorithm), None)

    def remove(self, location: Location, *, recursive: bool) -> None:
        """A WebDAV server would remove a folder with all that is in it, so the server is asked whether it is one."""
        server = self._as_webdav(location)
        if server is not None:
            server.remove(location, recursive=recursive)
            return
        if recursive:
            raise Unsupported("HTTP has no recursive removal", remedy="name each file in a remove of its own")
        visit = self._request("DELETE", location, "write", ())
        if visit.answer.status not in (*STORED, 404, 410):
            raise refused(visit)
        visit.answer.read_all()

    def make_directory(self, location: Location) -> None:
        server = self._as_webdav(location)
        if server is None:
            raise Unsupported(
                "HTTP has no folders, and this server does not speak WebDAV", remedy="leave this mkdir out"
            )
        server.make_directory(location)

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        server = self._as_webdav(location)
        if server is None:
            raise Unsupported(
                "HTTP has no listing of folders, and this server does not speak WebDAV",
                remedy="name each file",
            )
        return server.list(location, recursive=recursive)

    def _as_webdav(self, location: Location) -> WebdavStore | None:
        """A store that speaks WebDAV with this server, if it says that it does (RFC 4918 section 10.1)."""
        origin = origin_of(location.url)[0]
        if origin not in self._speak_dav:
            visit = self._request("OPTIONS", location, "read", ())
            visit.answer.read_all(4096)
            speaks = visit.answer.status in (200, 204) and "dav" in visit.answer.headers
            self._speak_dav[origin] = self._new_webdav() if speaks and not visit.redirected else None
        return self._speak_dav[origin]

    def _new_webdav(self) -> WebdavStore:
        from .webdav import WebdavStore

        return WebdavStore(self._context)

    def close(self) -> None:
        self._wire.close()
        for server in self._speak_dav.values():
            if server is not None:
                server.close()

    def put(self, location: Location, body: memoryview | bytes) -> Receipt:
        """Stores a body that is at hand, also through redirects."""
        visit = self._request("PUT", location, "write", (CONTENT_TYPE,), body=body)
        return receipt_of(visit)

    def _request(
        self,
        method: str,
        location: Location,
        purpose: str,
        fields: Sequence[tuple[str, str]],
        *,
        body: memoryview | bytes | None = None,
        into: memoryview | None = None,
    ) -> Visit:
        """The first answer that is no redirect. After a 401 a credential that could be renewed is tried once more."""
        shown = self._shown(location, origin_of(location.url)[0], purpose)
        visit = self._visit(method, location, shown, fields, body, into)
        if visit.answer.status != 401 or visit.origin != shown.origin:
            return visit
        try:
            renewed = self._renewed(location, purpose, shown)
        except BaseException:
            visit.answer.close()
            raise
        if renewed is None:
            return visit
        visit.answer.close()
        return self._visit(method, location, renewed, fields, body, into)

    def _visit(
        self,
        method: str,
        location: Location,
        shown: Shown,
        fields: Sequence[tuple[str, str]],
        body: memoryview | bytes | None,
        into: memoryview | None,
    ) -> Visit:
        origin, target = origin_of(location.url)
        trail: Trail | None = None
        while True:
            all_fields, certificate = for_origin(shown, origin, fields)
            answer = self._wire.exchange(
                method, origin, target, all_fields, body, into=into, certificate=certificate
            )
            if answer.status not in STATUSES or not is_redirect(answer):
                return Visit(answer, origin, target, trail is not None, shown, method)
            trail = trail or Trail(method, origin, target)
            origin, target = trail.follow(answer)

    def _renewed(self, location: Location, purpose: str, refused: Shown) -> Shown | None:
        """What to present instead, where another worker has renewed the credential already or it can be renewed now."""
        shown = self._shown(location, refused.origin, purpose)
        if shown[1:3] == refused[1:3]:
            if login_of(location).password is not None:
                return None
            credential = self._context.credential(location, purpose)
            if self._context.renew(location, purpose, credential) is None:
                return None
            shown = self._shown(location, refused.origin, purpose)
        return shown if shown[1:3] != refused[1:3] else None

    def _shown(self, location: Location, origin: Origin, purpose: str) -> Shown:
        if "@" in location.host:
            user, password, _ = login_of(location)
            if password is not None:
                return Shown(origin, (basic(user, password),), None, "the user and password of the URL")
        credential = self._context.credential(location, purpose)
        last, shown = self._last
        if credential is last and shown is not None and shown.origin == origin:
            return shown
        fields, certificate = presented(credential)
        name = (
            f"no credential ({credential.origin})"
            if credential.kind == "anonymous"
            else f"{credential.name} from {credential.origin}"
        )
        shown = Shown(origin, fields, certificate, name)
        self._last = (credential, shown)
        return shown


class HttpStore(WebRequests):
    """Web servers, for one worker."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._ahead: Ahead | None = None

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> HttpReader:
        """A reader. A server that ignores a range is read from its beginning only where the range begins there."""
        fields: list[tuple[str, str]] = []
        if start or length is not None:
            last = "" if length is None else str(start + max(length, 1) - 1)
            fields.append(("Range", f"bytes={start}-{last}"))
            if version is not None:
                fields.append(("If-Range", version))
        if self._ahead is not None and not fields:
            reader = self._announced(self._ahead, location)
            if reader is not None:
                return reader
        visit = self._request("GET", location, "read", fields, into=self._context.view)
        if self._ahead is not None and not visit.redirected:
            self._ahead.learn(visit.origin, visit.shown.certificate, visit.answer)
        try:
            return make_reader(visit, location, start, length, version)
        except BaseException:
            visit.answer.close()
            raise

    def announce(self, locations: Sequence[Location]) -> None:
        if self._ahead is None:
            from .ahead import Ahead

            self._ahead = Ahead(self._context, self._wire, self._asking)
        self._ahead.announce(locations)

    def _asking(self, location: Location) -> Request:
        """The GET of a whole file."""
        origin, target = origin_of(location.url)
        shown = self._shown(location, origin, "read")
        return Request("GET", origin, target, shown.fields, shown.certificate)

    def _announced(self, ahead: Ahead, location: Location) -> HttpReader | None:
        """A reader of what was asked for when this read was announced; None when it is to be asked for now."""
        found = ahead.answer(location)
        if found is None:
            return None
        (_, origin, target, fields, certificate), answer = found
        shown = self._last[1]
        if answer.status != 200:
            raise refused(Visit(answer, origin, target, False, self._shown(location, origin, "read"), "GET"))
        if shown is None or shown[:3] != (origin, fields, certificate):
            # Its name is for messages about refusals.
            shown = Shown(origin, tuple(fields), certificate, "")
        try:
            return make_reader(Visit(answer, origin, target, False, shown, "GET"), location, 0, None, None)
        except TransferError:
            # Another one's, perhaps.
            ahead.announce(())
            return None

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        super().close()
