"""Files and folders on WebDAV servers (RFC 4918): `webdav:` and `dav:` over http, `webdavs:`, `davs:`, `gsidavs:` over TLS.

Bytes, looks, folders and single names go over `wire`. What takes a whole tree or copies inside the server is webdav4's where
it is installed (`webdav_verbs.py`), and is done without it elsewhere.
"""

from __future__ import annotations

import re
from contextlib import suppress
from os import urandom
from typing import TYPE_CHECKING

from .digest_headers import digests_of
from .errors import Changed, Denied, LocalRefused, NotFound, ServerFault, TransferError, Unsupported
from .http_reader import HttpReader, make_reader
from .http_visit import Visit, entry_of, refused
from .http_writer import CONTENT_TYPE, STORED, StreamWriter, receipt_of
from .webdav_list import BODY, entries, entry_at, fields_of
from .webdav_names import as_folder, beside, has_escapes, over_http, split
from .webdav_server import NO_MOVE, NO_PARENT, WebdavRequests
from .webdav_writer import NEW, Locked, WebdavWriter
from .wire import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from ..checksum.digest import Digest
    from .context import Context
    from .http_visit import Shown
    from .locations import Location
    from .values import CopyStep, Entry, Incoming

_ANY_RANGE = re.compile(r"bytes ([0-9]{1,18})-(-?[0-9]{1,18})/([0-9]{1,18})")
_MOVED: Final = frozenset({200, 201, 204})
_LAST_WORDS_SECONDS: Final = 5.0
"""How long the removal of an unfinished upload may take after the run was stopped."""


class WebdavStore(WebdavRequests):
    """Store and Copier for WebDAV servers, for one worker."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._servers = {}

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> HttpReader:
        location = over_http(location)
        visit = self._get(location, start, length, version)
        try:
            total = impossible_range(visit)
            if total is not None:
                visit.answer.close()
                if start > total:
                    raise Changed(f"{visit.what()}: has {total} bytes, byte {start} was asked for")
                visit = self._get(location, start, total - start, version)
                length = total - start
            _insist_on_version(visit, version)
            self._refuse_folder_page(visit, location)
            return make_reader(visit, location, start, length, version)
        except BaseException:
            visit.answer.close()
            raise

    def _get(self, location: Location, start: int, length: int | None, version: str | None) -> Visit:
        fields: list[tuple[str, str]] = []
        if start or length is not None:
            last = "" if length is None else str(start + max(length, 1) - 1)
            fields.append(("Range", f"bytes={start}-{last}"))
            if version is not None:
                fields.append(("If-Range", version))
        return self._request("GET", location, "read", fields, into=self._context.view)

    def _refuse_folder_page(self, visit: Visit, location: Location) -> None:
        """Raises LocalRefused where the answer is a server's view of a folder, which is no file."""
        if not _may_be_folder(visit, split(location)[0]):
            return
        # Who may not look gets what the GET itself was told.
        with suppress(NotFound, Denied, Unsupported):
            if self.stat(location).is_directory:
                raise _a_folder(location)

    def open_write(self, location: Location, incoming: Incoming) -> WebdavWriter:  # type: ignore[override]
        """A writer. Missing folders above are made; a file that comes in pieces makes them before its first byte."""
        if split(location)[0].endswith("/"):
            raise LocalRefused(
                f"cannot write {location.shown}: the path ends in /, as only folders do",
                remedy="name the file in the destination",
            )
        return WebdavWriter(self, over_http(location), incoming)

    def stat(self, location: Location) -> Entry:
        """The entry. Without PROPFIND a folder cannot be told from a file."""
        location = over_http(location)
        entry = entry_at(self.propfind(location, "0"))
        return super().stat(location) if entry is None else entry

    def propfind(self, location: Location, depth: str) -> Visit:
        return self._request("PROPFIND", location, "read", fields_of(depth), body=BODY)

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        return entries(self.propfind, over_http(location), recursive=recursive)

    def make_directory(self, location: Location) -> None:
        folder = as_folder(over_http(location))
        visit = self.status_of("MKCOL", folder)
        if visit.answer.status in NO_PARENT and self.make_parents(_as_name(folder), anew=True):
            visit.answer.read_all(4096)
            visit = self.status_of("MKCOL", folder)
        if visit.answer.status == 201:
            visit.answer.read_all(4096)
            return
        error = refused(visit, writing=True)
        try:
            entry = self.stat(_as_name(folder))
        except NotFound:
            raise _no_folder(error, folder) from None
        if not entry.is_directory:
            raise LocalRefused(
                f"cannot make folder {location.shown}: a file is in its place", remedy="remove it"
            )

    def remove(self, location: Location, *, recursive: bool) -> None:
        """A DELETE takes a folder with all that is in it, so the server is asked first what the name is."""
        location = over_http(location)
        try:
            entry = self.stat(location)
        except NotFound:
            return
        if not entry.is_directory:
            self._delete(location)
        elif not recursive:
            raise LocalRefused(f"removing {location.shown}: it is a folder", remedy="ask for `recursive`")
        else:
            from .webdav_tree import remove_tree

            remove_tree(self, as_folder(location))

    def _delete(self, location: Location) -> None:
        visit = self.status_of("DELETE", location)
        if visit.answer.status not in (*STORED, 404, 410):
            raise refused(visit)
        visit.answer.read_all(4096)

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        """The digest that the server tells when asked for it in a HEAD (RFC 9530, RFC 3230); many tell none."""
        from .webdav_digests import want

        visit = self._request("HEAD", over_http(location), "read", want(algorithm))
        if visit.answer.status == 404:
            raise refused(visit)
        found = digests_of(visit.answer.headers, whole=False) if visit.answer.status == 200 else ()
        return next((digest for digest in found if digest.algorithm == algorithm), None)

    def copy(self, source: Location, destination: Location, handle: str) -> CopyStep:
        """The whole copy in one step: COPY inside one server, else between two by HTTP-TPC."""
        from .webdav_copy import copied

        return copied(self, over_http(source), over_http(destination))

    # What the writer and the copies ask for; locations are over http.

    def begin_put(self, place: Location, size: int | None, *, new: bool) -> StreamWriter:
        """A PUT under way, begun where an earlier one was redirected to too late."""
        extra = (NEW,) if new else ()

        def anew(refused: Shown) -> Shown | None:
            shown = self.shown_anew("PUT", place, refused)
            return None if shown is None else shown._replace(fields=(*shown.fields, *extra))

        shown = self.shown_for("PUT", place, "write")
        here = origin_of(place.url)
        return StreamWriter(
            self._wire,
            shown._replace(fields=(*shown.fields, *extra)),
            self._moved.pop(here, here),
            size,
            self._moved,
            anew,
        )

    def put_body(self, place: Location, body: memoryview | bytes, *, new: bool) -> None:
        """Raises Locked where somebody else may be writing this name."""
        fields = (CONTENT_TYPE, NEW) if new else (CONTENT_TYPE,)
        visit = self._request("PUT", place, "write", fields, body=body)
        if visit.answer.status == 423:
            error = refused(visit, writing=True)
            raise Locked(error.what, host=error.host)
        receipt_of(visit)

    def held(self, place: Location) -> tuple[int | None, tuple[Digest, ...]]:
        """How much the server says it holds, and its digests. Raises NotFound."""
        from .webdav_digests import want

        known = self.known(place)
        visit = self._request("HEAD", place, "read", want("sha256", "adler32"))
        if visit.answer.status != 200:
            if visit.answer.status == 404:
                raise refused(visit)
            visit.answer.close()
            return self.stat(place).size, ()
        entry = entry_of(visit.answer.headers, visit.answer.length)
        known.adler = known.adler or any(digest.algorithm == "adler32" for digest in entry.digests)
        size = entry.size if entry.size is not None else self.stat(place).size
        return size, entry.digests

    def rename(self, place: Location, final: Location) -> None:
        """Moves a file, also over another one. Raises Unsupported where that is refused, LocalRefused for a folder there.

        With `Overwrite: T` a folder at the destination would go with all that is in it (RFC 4918 section 9.9.3), so the
        first try is without.
        """
        visit = self._move(place, final, "F")
        if visit.answer.status == 412:
            visit.answer.read_all(4096)
            self.refuse_to_replace(final)
            visit = self._move(place, final, "T")
        status = visit.answer.status
        if status in _MOVED:
            visit.answer.read_all(4096)
            self._insist_on_name(final)
            return
        error = refused(visit, writing=True)
        self.refuse_to_replace(final)
        if status in NO_MOVE or has_escapes(final):
            raise Unsupported(error.what, host=error.host)
        if isinstance(error, (Denied, NotFound)):
            raise ServerFault(error.what, host=error.host)
        raise error

    def _insist_on_name(self, final: Location) -> None:
        """Raises Unsupported where the file was moved to another name: XRootD 5 takes the escapes for part of it."""
        if not has_escapes(final):
            return
        try:
            self.stat(final)
        except NotFound:
            path, query = split(final)
            self._delete(final.with_path(path.replace("%", "%25") + query))
            raise Unsupported(
                f"{final.shown}: the server does not decode names in the field Destination"
            ) from None

    def try_names(self, location: Location) -> None:
        """Learns, once, whether the server understands escapes in `Destination`, by moving an empty file."""
        known = self.known(location)
        if known.names_tried or known.in_place:
            return
        known.names_tried = True
        name = f".wf-{urandom(8).hex()}"
        place, final = beside(location, f"{name}.part"), beside(location, f"{name}%20.part")
        self.put_body(place, b"", new=True)
        try:
            self.rename(place, final)
        except Unsupported:
            known.misreads = True
            final = place
        self._delete(final)

    def refuse_to_replace(self, final: Location) -> None:
        # What may not be looked at may still be written: the PUT or MOVE will tell.
        with suppress(NotFound, Denied, Unsupported):
            if self.stat(final).is_directory:
                raise LocalRefused(
                    f"cannot write {final.shown}: a folder is in its place", remedy="remove it"
                )

    def _move(self, place: Location, final: Location, overwrite: str) -> Visit:
        origin, target = origin_of(final.url)
        return self.status_of("MOVE", place, (("Destination", origin.url(target)), ("Overwrite", overwrite)))

    def post(self, place: Location, body: bytes, fields: tuple[tuple[str, str], ...], purpose: str) -> Visit:
        return self._request("POST", place, purpose, fields, body=body)

    def remove_leftover(self, place: Location, ours: Callable[[Entry], bool] | None = None) -> None:
        """Removes an unfinished upload, over connections that do not end with the run, within a few seconds."""
        store = WebdavStore(self._context.for_last_words(_LAST_WORDS_SECONDS))
        try:
            if ours is None or ours(store.stat(place)):
                store._delete(place)
        finally:
            store.close()

    def delete(self, location: Location) -> None:
        """Removes one name, whatever it is; absence is success."""
        self._delete(location)

    def delete_folder(self, folder: Location) -> bool:
        """One DELETE for a folder and all that is in it; False where webdav4, which sends it, is not installed."""
        try:
            from .webdav_verbs import Verbs
        except ImportError:
            return False
        Verbs(self).delete(folder)
        return True

    def refuse_folder(self, location: Location) -> Entry:
        """The entry of a file. Raises LocalRefused for a folder."""
        entry = self.stat(location)
        if entry.is_directory:
            raise _a_folder(location)
        return entry


def impossible_range(visit: Visit) -> int | None:
    """The whole size, where the answer's range lies behind it or has no end: XRootD 5 counts so. None for all others."""
    match = _ANY_RANGE.fullmatch(visit.answer.headers.get("content-range") or "")
    if visit.answer.status != 206 or match is None:
        return None
    first, last, total = (int(text) for text in match.groups())
    return total if not first <= last < total else None


def _may_be_folder(visit: Visit, path: str) -> bool:
    """Whether the answer to a GET could be that of a folder: a page, or what a redirect to the name with a slash led to."""
    if visit.redirected and visit.target.partition("?")[0].endswith("/") and not path.endswith("/"):
        return True
    kind = (visit.answer.headers.get("content-type") or "").lower()
    is_page = "text/html" in kind or "directory" in kind
    return visit.answer.status == 200 and is_page and not path.lower().endswith((".html", ".htm"))


def _insist_on_version(visit: Visit, version: str | None) -> None:
    """Raises Changed where the present tag, weak or not, is another one: a weak one is no version, but it tells that."""
    tag = visit.answer.headers.get("etag")
    if version is None or tag is None or visit.answer.status not in (200, 206):
        return
    if tag.removeprefix("W/") != version:
        raise Changed(f"{visit.what()}: its version is {tag}, no longer {version}")


def _a_folder(location: Location) -> LocalRefused:
    return LocalRefused(f"{location.shown} is a folder", remedy="name a file, or copy the folder with -r")


def _no_folder(error: TransferError, folder: Location) -> TransferError:
    """A folder that could not be made because of what is above it is refused for good."""
    if not isinstance(error, NotFound):
        return error
    return LocalRefused(error.what, host=error.host, remedy=f"look at what is above {folder.shown}")


def _as_name(folder: Location) -> Location:
    path, query = split(folder)
    return folder.with_path((path.rstrip("/") or "/") + query)
