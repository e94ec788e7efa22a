"""Files on web servers: GET, PUT, HEAD and DELETE over `wire`, with redirects and credentials.

A credential goes to the scheme, host and port it was chosen for and never to where a redirect leads. A strong ETag
is the version. What a server says of a digest becomes `Reader.digests`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from . import redirects
from .digest_headers import WANT_FIELDS, digests_of
from .errors import Broken, Changed, Denied, Misconfigured, ServerFault, TransferError, Unsupported
from .redirects import Trail, is_redirect
from .statuses import error_of, kind_of, seconds_of_date
from .values import Entry, Receipt
from .wire import Origin, Wire, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from ..checksum.digest import Digest
    from ..credentials.kinds import Certificate, Credential
    from .context import Context
    from .exchange import Answer, Fields
    from .locations import Location
    from .values import Incoming
    from .wire import Upload

_STORED: Final = frozenset({200, 201, 202, 204})
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)")
_COMPRESSED: Final = {
    "gzip": (".gz", ".tgz"),
    "x-gzip": (".gz", ".tgz"),
    "bzip2": (".bz2", ".tbz2"),
    "x-bzip2": (".bz2", ".tbz2"),
    "compress": (".Z",),
    "x-compress": (".Z",),
    "xz": (".xz", ".txz"),
    "x-xz": (".xz", ".txz"),
    "zstd": (".zst",),
}
"""Servers that announce a stored, compressed file as if they had compressed it on the way."""
_TYPE: Final = ("Content-Type", "application/octet-stream")


class _Shown(NamedTuple):
    """What is presented, and to whom alone."""

    origin: Origin
    fields: tuple[tuple[str, str], ...]
    certificate: Certificate | None
    name: str
    """The credential, for people."""


class _Visit(NamedTuple):
    """The final answer to a request, and where it came from."""

    answer: Answer
    origin: Origin
    target: str
    redirected: bool
    shown: _Shown
    method: str


class HttpStore:
    """Web servers, for one worker."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wire = Wire(context)

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
        visit = self._request("GET", location, "read", fields, into=self._context.view)
        try:
            return _reader(visit, location, start, length, version)
        except BaseException:
            visit.answer.close()
            raise

    def open_write(self, location: Location, incoming: Incoming) -> WholeWriter | StreamWriter:
        """A writer. The server is asked before the body is sent, so a refusal or a redirect comes from here."""
        if incoming.sha256 is not None or incoming.size == 0:
            return WholeWriter(self, location)
        return StreamWriter(self._wire, self._shown(location, "write"), location, incoming.size)

    def stat(self, location: Location) -> Entry:
        """The entry; its size is None where the server does not tell."""
        visit = self._request("HEAD", location, "read", ())
        answer = visit.answer
        presigned = answer.status == 403 and "ignature=" in location.url
        if answer.status in (405, 501) or presigned:
            return self._stat_by_get(location)
        if answer.status != 200:
            raise _refused(visit)
        return _entry(answer.headers, answer.length)

    def _stat_by_get(self, location: Location) -> Entry:
        """For servers that know no HEAD, and for URLs that were signed for GET."""
        visit = self._request("GET", location, "read", (("Range", "bytes=0-0"),))
        answer = visit.answer
        answer.close()
        if answer.status == 200:
            return _entry(answer.headers, answer.length)
        if answer.status in (206, 416):
            total = _content_range(answer.headers)[2]
            if total is not None or answer.status == 206:
                return _entry(answer.headers, total)
        raise _refused(visit)

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        """The digest that the server tells when asked for it in a HEAD; most servers tell none."""
        visit = self._request("HEAD", location, "read", WANT_FIELDS)
        if visit.answer.status == 404:
            raise _refused(visit)
        found = digests_of(visit.answer.headers, whole=False) if visit.answer.status == 200 else ()
        return next((digest for digest in found if digest.algorithm == algorithm), None)

    def remove(self, location: Location, *, recursive: bool) -> None:
        if recursive:
            raise Unsupported("HTTP has no recursive removal", remedy="name each file in a remove of its own")
        visit = self._request("DELETE", location, "write", ())
        if visit.answer.status not in (*_STORED, 404, 410):
            raise _refused(visit)
        visit.answer.read_all()

    def make_directory(self, location: Location) -> None:
        raise Unsupported(
            "HTTP has no folders", remedy="leave this mkdir out, or use webdav:// if the server speaks it"
        )

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        raise Unsupported("HTTP has no listing of folders", remedy="name each file")

    def close(self) -> None:
        self._wire.close()

    def put(self, location: Location, body: memoryview | bytes) -> Receipt:
        """Stores a body that is at hand, also through redirects."""
        visit = self._request("PUT", location, "write", (_TYPE,), body=body)
        return _receipt(visit)

    def _request(
        self,
        method: str,
        location: Location,
        purpose: str,
        fields: Sequence[tuple[str, str]],
        *,
        body: memoryview | bytes | None = None,
        into: memoryview | None = None,
    ) -> _Visit:
        """The first answer that is no redirect."""
        shown = self._shown(location, purpose)
        origin, target = shown.origin, origin_of(location.url)[1]
        trail: Trail | None = None
        while True:
            all_fields, certificate = _for_origin(shown, origin, fields)
            answer = self._wire.exchange(
                method, origin, target, all_fields, body, into=into, certificate=certificate
            )
            if answer.status not in redirects.STATUSES or not is_redirect(answer):
                return _Visit(answer, origin, target, trail is not None, shown, method)
            trail = trail or Trail(method, origin, target)
            origin, target = trail.follow(answer)

    def _shown(self, location: Location, purpose: str) -> _Shown:
        origin = origin_of(location.url)[0]
        user, _, _ = location.host.rpartition("@")
        if ":" in user:
            return _Shown(origin, (_basic_of_url(user),), None, "the user and password of the URL")
        credential = self._context.credential(location, purpose)
        fields, certificate = _presented(credential)
        name = (
            "no credential"
            if credential.kind == "anonymous"
            else f"{credential.name} from {credential.origin}"
        )
        return _Shown(origin, fields, certificate, name)


def _for_origin(
    shown: _Shown, origin: Origin, fields: Sequence[tuple[str, str]]
) -> tuple[Sequence[tuple[str, str]], Certificate | None]:
    """The fields and the client certificate for a request to `origin`."""
    if origin != shown.origin:
        return fields, None
    return (*fields, *shown.fields), shown.certificate


def _presented(credential: Credential) -> tuple[tuple[tuple[str, str], ...], Certificate | None]:
    """The header fields, or the client certificate, that a credential means. Raises Misconfigured."""
    kind = credential.kind
    if kind == "anonymous":
        return (), None
    from ..credentials.kinds import Basic, Bearer, Certificate, Headers

    if isinstance(credential, Basic):
        return (_basic(credential.user.encode(), credential.password.reveal().encode()),), None
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


def _basic(user: bytes, password: bytes) -> tuple[str, str]:
    from binascii import b2a_base64

    return "Authorization", "Basic " + b2a_base64(user + b":" + password, newline=False).decode()


def _basic_of_url(user: str) -> tuple[str, str]:
    from urllib.parse import unquote_to_bytes

    name, _, password = user.partition(":")
    return _basic(unquote_to_bytes(name), unquote_to_bytes(password))


def _what(visit: _Visit) -> str:
    from ..credentials.redaction import redact_url

    through = "redirected to " if visit.redirected else ""
    return f"{visit.method} {through}{redact_url(visit.origin.url(visit.target))}"


def _refused(visit: _Visit, *, writing: bool = False) -> TransferError:
    """The error for an answer that is no success."""
    what = _what(visit)
    if kind_of(visit.answer.status) is Denied:
        given = visit.shown.name if visit.origin == visit.shown.origin else "no credential, after a redirect"
        what += f" with {given}"
    error = error_of(visit.answer, what, visit.origin.authority, writing=writing)
    for _, value in visit.shown.fields:
        secret = value.rpartition(" ")[2]
        if len(secret) > 3 and secret in error.what:
            error.what = error.what.replace(secret, "***")
            error.args = (error.what,)
    return error


def _version(fields: Fields) -> str | None:
    """The ETag if it is a strong one and proves that bytes are equal.

    Servers make it of size and time in seconds: an object that was modified within the second of the answer may
    change once more and keep it (compare RFC 9110 section 8.8.2.2).
    """
    tag = fields.get("etag")
    if tag is None or len(tag) < 3 or tag[0] != '"' or tag[-1] != '"':
        return None
    modified = fields.get("last-modified")
    return None if modified is not None and modified == fields.get("date") else tag


def _entry(fields: Fields, size: int | None) -> Entry:
    date = fields.get("last-modified")
    modified = seconds_of_date(date) if date else None
    return Entry("", size, _version(fields), False, modified, digests_of(fields, whole=False))


def _content_range(fields: Fields) -> tuple[int, int, int | None]:
    """First and last position and the whole size; -1 where no part is named. None for a size that is not told."""
    match = _CONTENT_RANGE.fullmatch(fields.get("content-range") or "")
    if match is None:
        return -1, -1, None
    total = None if match[3] == "*" else int(match[3])
    return (-1, -1, total) if match[1] is None else (int(match[1]), int(match[2]), total)


def _reader(
    visit: _Visit, location: Location, start: int, length: int | None, version: str | None
) -> HttpReader:
    """The reader for an answer whose head is good; raises for any other."""
    answer = visit.answer
    fields = answer.headers
    if answer.status == 416 and (start or length is not None):
        return _nothing_there(visit, start, version)
    if answer.status not in (200, 206):
        raise _refused(visit)
    _check_content(visit, location)
    found = _version(fields)
    if version is not None and found is not None and found != version:
        raise Changed(f"{_what(visit)}: its version is {found}, no longer {version}")
    if answer.status == 206:
        return _partial_reader(visit, start, length, found)
    if start:
        raise Changed(
            f"{_what(visit)}: answered from its beginning instead of byte {start}: it has changed, or the server "
            "cannot resume",
        )
    size = answer.length
    left = size if length is None else length if size is None else min(length, size)
    exact = length is None or size is not None
    return HttpReader(answer, size, left, exact, found, digests_of(fields, whole=True), visit)


def _partial_reader(visit: _Visit, start: int, length: int | None, version: str | None) -> HttpReader:
    answer = visit.answer
    first, last, total = _content_range(answer.headers)
    wanted = None if length is None else start + max(length, 1) - 1
    if total is not None:
        wanted = total - 1 if wanted is None else min(wanted, total - 1)
    count = last - first + 1
    if first != start or (wanted is not None and last != wanted) or answer.length not in (None, count):
        asked = f"bytes {start}-{'' if wanted is None else wanted}"
        got = answer.headers.get("content-range") or "nothing"
        raise ServerFault(f"{_what(visit)}: asked for {asked}, got {got[:60]}", host=visit.origin.authority)
    left = count if length != 0 else 0
    return HttpReader(answer, total, left, True, version, digests_of(answer.headers, whole=False), visit)


def _nothing_there(visit: _Visit, start: int, version: str | None) -> HttpReader:
    """A reader of nothing where the range begins exactly at the end; Changed where the object is shorter."""
    answer = visit.answer
    total = _content_range(answer.headers)[2]
    if total == start:
        answer.read_all(4096)
        return HttpReader(answer, total, 0, True, _version(answer.headers) or version, (), visit)
    raise Changed(
        f"{_what(visit)}: has {'fewer' if total is None else total} bytes, byte {start} was asked for"
    )


def _check_content(visit: _Visit, location: Location) -> None:
    """Raises for a body that is not the stored bytes."""
    fields = visit.answer.headers
    path = location.path.partition("?")[0].partition("#")[0]
    coding = (fields.get("content-encoding") or "identity").lower()
    if coding != "identity" and not path.endswith(_COMPRESSED.get(coding, ())):
        raise Unsupported(
            f"{_what(visit)}: sent with Content-Encoding {coding[:40]} although that was not accepted: the bytes are "
            "not those of the file",
            remedy="switch off compression on this server for these files",
        )
    if visit.redirected and (fields.get("content-type") or "").lower().startswith("text/html"):
        _refuse_web_page(visit, path)


def _refuse_web_page(visit: _Visit, path: str) -> None:
    """A page of another host, or of another name, in place of a file is how a login page looks."""
    same_name = path.rpartition("/")[2] == visit.target.partition("?")[0].rpartition("/")[2]
    elsewhere = visit.origin.host != visit.shown.origin.host or not same_name
    if elsewhere and not path.endswith((".html", ".htm", "/")):
        raise Denied(
            f"{_what(visit)}: answered with a web page (text/html) instead of the file",
            host=visit.origin.authority,
            remedy="this is most likely a login page: configure a credential for the host in the URL",
        )


class HttpReader:
    """The body of an answer."""

    __slots__ = ("_answer", "_exact", "_left", "_visit", "descriptor", "digests", "mode", "size", "version")

    def __init__(
        self,
        answer: Answer,
        size: int | None,
        left: int | None,
        exact: bool,
        version: str | None,
        digests: tuple[Digest, ...],
        visit: _Visit,
    ) -> None:
        """`left` bytes are due; `exact` says that fewer are a fault."""
        self._answer = answer
        self._left = left
        self._exact = exact
        self._visit = visit
        self.size = size
        self.version = version
        self.digests = digests
        """Digest fields in the trailer are added at the end of the body."""
        self.mode: int | None = None
        self.descriptor: int | None = None

    def read(self) -> memoryview:
        left = self._left
        if left == 0:
            return memoryview(b"")
        view = self._answer.read()
        if left is None:
            if not view:
                self._add_trailers()
            return view
        if not view and self._exact:
            raise Broken(f"{_what(self._visit)}: ended {left} bytes early", host=self._visit.origin.authority)
        view = view[:left]
        self._left = left - len(view) if view else 0
        return view

    def _add_trailers(self) -> None:
        known = {digest.algorithm for digest in self.digests}
        found = digests_of(self._answer.trailers, whole=True)
        self.digests += tuple(digest for digest in found if digest.algorithm not in known)

    def close(self) -> None:
        self._answer.close()


def _receipt(visit: _Visit) -> Receipt:
    """What the answer to a PUT says of the object; raises for one that is no success."""
    answer = visit.answer
    if answer.status not in _STORED:
        raise _refused(visit, writing=True)
    # Beside a body the digest would be the body's (RFC 9530 section 3).
    digests = () if answer.length else digests_of(answer.headers, whole=False)
    version = _version(answer.headers)
    answer.read_all()
    return Receipt(None, version, digests)


class WholeWriter:
    """A file that came in one view, which is kept: nothing is sent before `commit`."""

    algorithms: tuple[str, ...] = ()
    descriptor: int | None = None

    def __init__(self, store: HttpStore, location: Location) -> None:
        self._store = store
        self._location = location
        self._body: memoryview | bytes = b""

    def write(self, view: memoryview) -> None:
        if len(self._body):
            raise ValueError("a file that was announced as whole came in pieces")
        self._body = view

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        body, self._body = self._body, b""
        return self._store.put(self._location, body)

    def abort(self, *, keep: bool = False) -> None:
        self._body = b""


class StreamWriter:
    """A PUT under way. The last byte, or the end of a chunked body, is held back until `commit`."""

    algorithms: tuple[str, ...] = ()
    descriptor: int | None = None

    def __init__(self, wire: Wire, shown: _Shown, location: Location, size: int | None) -> None:
        self._wire = wire
        self._shown = shown
        self._size = self._left = size
        self._held = b""
        self._sent = False
        self._place = shown.origin, origin_of(location.url)[1]
        self._trail = Trail("PUT", *self._place)
        self._upload = self._begin()

    def _begin(self) -> Upload:
        """The upload at the place where redirects lead to."""
        while True:
            origin, target = self._place
            fields, certificate = _for_origin(self._shown, origin, (_TYPE,))
            upload = self._wire.upload(
                "PUT", origin, target, fields, self._size, expect=True, certificate=certificate
            )
            if not upload.answered:
                return upload
            self._follow(upload)

    def _follow(self, upload: Upload) -> None:
        """Takes the next place from an early answer; raises what it means if it is no redirect."""
        answer = upload.finish()
        if self._sent or not is_redirect(answer):
            raise _refused(self._visit(answer), writing=True)
        self._place = self._trail.follow(answer)

    def _visit(self, answer: Answer) -> _Visit:
        return _Visit(answer, *self._place, False, self._shown, "PUT")

    def write(self, view: memoryview) -> None:
        if self._left is not None and len(view):
            self._left -= len(view)
            if self._left < 0:
                self._upload.cut()
                raise Changed("the source has more bytes than it announced")
            if self._left == 0:
                self._held = bytes(view[-1:])
                view = view[:-1]
        self._send(view)

    def _send(self, view: memoryview | bytes) -> None:
        """Sends the piece; the first one also to where a redirect leads that came only now."""
        while not self._upload.send(view):
            self._follow(self._upload)
            self._upload = self._begin()
        self._sent = self._sent or len(view) > 0

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        if self._left:
            self._upload.cut()
            raise Changed(f"the source ended {self._left} bytes before the size it announced")
        self._send(self._held)
        return _receipt(self._visit(self._upload.finish()))

    def abort(self, *, keep: bool = False) -> None:
        self._upload.cut()
