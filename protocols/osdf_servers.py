"""The servers of a federation, caches and origins: WebDAV as XRootD speaks it, with the tokens of the namespace.

A place is an https (or, for public caches, http) location that a resolver made. A token goes to the server that the director named, over
TLS, and nowhere else: never to the director, nor to where a server redirects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .digest_headers import digests_of
from .errors import LocalRefused, MissingCredential, TransferError
from .http_visit import Shown, entry_of, presented, refused
from .locations import Location
from .osdf_names import name_of
from .osdf_reader import FederatedReader
from .webdav import WebdavStore
from .webdav_digests import want
from .webdav_list import entry_at
from .webdav_names import split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from ..checksum.digest import Digest
    from ..credentials.kinds import Credential
    from .context import Context
    from .exchange import Answer
    from .http_reader import HttpReader
    from .http_visit import Visit
    from .http_writer import StreamWriter
    from .osdf_director import Guide
    from .osdf_known import Known as Federations
    from .osdf_names import Name
    from .values import Entry
    from .webdav_server import Known
    from .wire import Origin

_ASK_FOR_THE_END: Final = (("X-Transfer-Status", "true"), ("TE", "trailers"))
"""Have the server say behind the data whether all went well: it began to send before it knew."""
_ALGORITHMS: Final = ("adler32", "crc32c", "md5")
_LAST_WORDS_SECONDS: Final = 5.0
_MOMENTARY: Final = frozenset({429, 502, 503, 504})
"""Statuses that say nothing of what a server can do."""
_BLAMED: Final = frozenset({"broken", "server-error", "unreachable"})
"""Failures after which a server is asked last."""


class ObjectServers(WebdavStore):
    """Places, for one worker."""

    def __init__(
        self, context: Context, federations: Federations, guide: Callable[[Name, str], Guide]
    ) -> None:
        """`guide` gives the director's answer for a name and a purpose; it was asked before there was a place."""
        super().__init__(context)
        self._federations = federations
        self._guide = guide
        self._answer: Answer | None = None
        """What the last GET brought."""
        self._told_size: tuple[str, int] | None = None
        """The logical name that was opened last, and the size of that object."""

    def known(self, location: Location) -> Known:
        """Files are stored at their place at once: a name beside it is another object, and nobody may move one."""
        found = super().known(location)
        found.in_place = found.adler = True
        return found

    # --- what is presented

    def _shown(self, location: Location, origin: Origin, purpose: str) -> Shown:
        name = name_of(location)
        guide = self._namespace(name, purpose)
        if purpose == "read" and not guide.needs_token and not name.token:
            return Shown(origin, (), None, "no credential (everybody may read there)")
        credential = self._context.credential(question(location, name, guide), purpose)
        if credential.kind == "anonymous":
            if guide.issuers or guide.needs_token:
                raise _no_token(location, guide, credential)
            return Shown(origin, (), None, f"no credential ({credential.origin})")
        if not origin.tls:
            raise LocalRefused(
                f"{location.shown}: the director names a server without TLS for what takes a token",
                remedy="tell the operators of the federation",
            )
        fields, certificate = presented(credential)
        return Shown(origin, fields, certificate, f"{credential.name} from {credential.origin}")

    def _namespace(self, name: Name, purpose: str) -> Guide:
        return self._federations.namespace(name, purpose, lambda: self._guide(name, purpose))

    def _renewed(self, location: Location, purpose: str, refused: Shown) -> Shown | None:
        if not refused.fields and refused.certificate is None:
            return None
        name = name_of(location)
        asked = question(location, name, self._namespace(name, purpose))
        shown = self._shown(location, refused.origin, purpose)
        if shown[1:3] == refused[1:3]:
            if self._context.renew(asked, purpose, self._context.credential(asked, purpose)) is None:
                return None
            shown = self._shown(location, refused.origin, purpose)
        return shown if shown[1:3] != refused[1:3] else None

    # --- reading

    def open_read(  # type: ignore[override]
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> FederatedReader:
        server = location.host
        try:
            digests = self._digests_of(location) if not start and length is None else ()
            reader = self._opened(location, start, length, version)
        except TransferError as error:
            self._blame(server, error)
            raise
        answer, self._answer = self._answer, None
        assert answer is not None
        due = None
        if reader.size is None and (size := self._size_of(location, reader.close)) is not None:
            reader.size = size
            due = max(size - start, 0) if length is None else min(max(size - start, 0), length)
        if reader.size is not None:
            self._told_size = (location.logical, reader.size)
        # What is sent besides the range that was asked for is nobody's.
        whole = length is None or answer.status == 206
        return FederatedReader(
            reader, answer, digests, location.shown, due, whole, lambda error: self._blame(server, error)
        )

    def _opened(self, location: Location, start: int, length: int | None, version: str | None) -> HttpReader:
        """The reader. XRootD 5 answers ranges without an end wrongly, so they get one where the size was told before."""
        told = self._told_size
        if not start or length is not None or told is None or told[0] != location.logical or told[1] <= start:
            return super().open_read(location, start=start, length=length, version=version)
        reader = super().open_read(location, start=start, length=told[1] - start, version=version)
        if reader.size == told[1]:
            return reader
        reader.close()
        return super().open_read(location, start=start, version=version)

    def _get(self, location: Location, start: int, length: int | None, version: str | None) -> Visit:
        visit = super()._get(location, start, length, version)
        self._answer = visit.answer
        return visit

    def _size_of(self, location: Location, close: Callable[[], None]) -> int | None:
        """The size by HEAD: what ends with a trailer has no length."""
        try:
            visit = self._request("HEAD", location, "read", ())
        except BaseException:
            close()
            raise
        return visit.answer.length if visit.answer.status == 200 else None

    def _digests_of(self, location: Location) -> tuple[Digest, ...]:
        """What the server says when it is asked for a digest. Caches of XRootD 5 refuse the question: asked once."""
        server = location.host
        if self._federations.is_mute(server):
            return ()
        visit = self._request("HEAD", location, "read", want(*_ALGORITHMS))
        if visit.answer.status == 200 and (found := digests_of(visit.answer.headers, whole=False)):
            return found
        visit.answer.close()
        if visit.answer.status in (401, 403, 404):
            raise refused(visit)
        if visit.answer.status not in _MOMENTARY:
            self._federations.note_mute(server)
        return ()

    def _blame(self, server: str, error: TransferError) -> None:
        if error.code in _BLAMED:
            self._federations.failed(server)

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
        if method == "GET":
            fields = (*fields, *_ASK_FOR_THE_END)
        return super()._request(method, location, purpose, fields, body=body, into=into)

    # --- looking, writing, removing

    def stat(self, location: Location) -> Entry:
        """The entry; by HEAD where the server lists nothing, as caches do."""
        visit = self.propfind(location, "0")
        if visit.answer.status == 403:
            visit.answer.read_all(4096)
            entry = None
        else:
            entry = entry_at(visit)
        if entry is not None:
            return entry
        visit = self._request("HEAD", location, "read", ())
        if visit.answer.status != 200:
            raise refused(visit)
        return entry_of(visit.answer.headers, visit.answer.length)

    def make_parents(self, location: Location, *, anew: bool = False) -> bool:
        """Most origins make the folders above by themselves: only where that was seen to fail."""
        return anew and super().make_parents(location, anew=True)

    def try_move(self, location: Location) -> None:
        """Not tried: see `known`."""

    try_names = try_move

    def begin_put(self, place: Location, size: int | None, *, new: bool) -> StreamWriter:
        return super().begin_put(_announcing(place, size), size, new=new)

    def put_body(self, place: Location, body: memoryview | bytes, *, new: bool) -> None:
        super().put_body(_announcing(place, len(body)), body, new=new)

    def remove_leftover(self, place: Location, ours: Callable[[Entry], bool] | None = None) -> None:
        """As for all WebDAV servers, with the credentials of this one."""
        store = ObjectServers(
            self._context.for_last_words(_LAST_WORDS_SECONDS), self._federations, self._guide
        )
        try:
            if ours is None or ours(store.stat(place)):
                store.delete(place)
        finally:
            store.close()

    def delete_folder(self, folder: Location) -> bool:
        """Never: origins remove empty folders only."""
        return False


def question(location: Location, name: Name, guide: Guide) -> Location:
    """The location for which a credential is asked: the object in its federation, with what the director said of tokens."""
    from urllib.parse import urlencode

    hints = [("issuer", issuer) for issuer in guide.issuers]
    if guide.base_path:
        hints.append(("base-path", guide.base_path))
    scheme = f"{name.token.lower()}+osdf" if name.token else "osdf"
    before = f"{scheme}://{name.federation}"
    return Location(
        f"{before}{name.path}?{urlencode(hints)}", scheme, name.federation, len(before), location.site
    )


def _announcing(place: Location, size: int | None) -> Location:
    """The place with the size of what comes, by which an origin chooses where to put it (`oss.asize` of XRootD)."""
    if size is None:
        return place
    path, query = split(place)
    return place.with_path(f"{path}{f'{query}&' if query else '?'}oss.asize={size}")


def _no_token(location: Location, guide: Guide, credential: Credential) -> MissingCredential:
    from ..credentials.redaction import printable, redact_url

    made = f", made by {printable(redact_url(guide.issuers[0]))}" if guide.issuers else ""
    shown = printable(redact_url(location.logical or location.url))
    return MissingCredential(
        f"{shown} needs a token for {printable(guide.namespace)}{made}: {credential.origin}",
        host=location.host,
        remedy="have the job bring such a token: BEARER_TOKEN_FILE, or HTCondor's _CONDOR_CREDS",
    )
