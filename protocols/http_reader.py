"""The body of an answer as the bytes of a file: only when they are the stored ones, and from the right place on."""

from __future__ import annotations

from .digest_headers import digests_of
from .errors import Broken, Changed, Denied, ServerFault, Unsupported
from .http_visit import content_range, refused, version_of
from .statuses import seconds_of_date
from .values import Traits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .exchange import Answer
    from .http_visit import Visit
    from .locations import Location

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


def make_reader(
    visit: Visit, location: Location, start: int, length: int | None, version: str | None
) -> HttpReader:
    """The reader for an answer whose head is good; raises for any other."""
    answer = visit.answer
    fields = answer.headers
    if answer.status not in (200, 206):
        if answer.status == 416 and (start or length is not None):
            return _nothing_there(visit, start, version)
        raise refused(visit)
    if visit.redirected or "content-encoding" in fields.values:
        _check_content(visit, location)
    found = version_of(fields)
    if version is not None and found is not None and found != version:
        raise Changed(f"{visit.what()}: its version is {found}, no longer {version}")
    if answer.status == 206:
        return _partial_reader(visit, start, length, found)
    if start:
        raise Changed(
            f"{visit.what()}: answered from its beginning instead of byte {start}: it has changed, or the server "
            "cannot resume",
        )
    left = size = answer.length
    exact = True
    if length is not None:
        left = length if size is None else min(length, size)
        exact = size is not None
    return HttpReader(answer, size, left, exact, found, digests_of(fields, whole=True), visit)


def _partial_reader(visit: Visit, start: int, length: int | None, version: str | None) -> HttpReader:
    answer = visit.answer
    first, last, total = content_range(answer.headers)
    wanted = None if length is None else start + max(length, 1) - 1
    if total is None and wanted is None and not start:
        raise ServerFault(
            f"{visit.what()}: a part was sent where the whole was asked for", host=visit.origin.authority
        )
    if total is not None:
        wanted = total - 1 if wanted is None else min(wanted, total - 1)
    count = last - first + 1
    if first != start or (wanted is not None and last != wanted) or answer.length not in (None, count):
        asked = f"bytes {start}-{'' if wanted is None else wanted}"
        got = answer.headers.get("content-range") or "nothing"
        raise ServerFault(f"{visit.what()}: asked for {asked}, got {got[:60]}", host=visit.origin.authority)
    left = count if length != 0 else 0
    return HttpReader(answer, total, left, True, version, digests_of(answer.headers, whole=False), visit)


def _nothing_there(visit: Visit, start: int, version: str | None) -> HttpReader:
    """A reader of nothing where the range begins exactly at the end; Changed where the object is shorter."""
    answer = visit.answer
    total = content_range(answer.headers)[2]
    if total == start:
        answer.read_all(4096)
        return HttpReader(answer, total, 0, True, version_of(answer.headers) or version, (), visit)
    raise Changed(
        f"{visit.what()}: has {'fewer' if total is None else total} bytes, byte {start} was asked for"
    )


def _check_content(visit: Visit, location: Location) -> None:
    """Raises for a body that is not the stored bytes, after a redirect or with a Content-Encoding."""
    fields = visit.answer.headers
    coding = fields.values.get("content-encoding", "identity").lower()
    path = location.path.partition("?")[0].partition("#")[0]
    if coding != "identity" and not path.endswith(_COMPRESSED.get(coding, ())):
        raise Unsupported(
            f"{visit.what()}: sent with Content-Encoding {coding[:40]} although that was not accepted: the bytes are "
            "not those of the file",
            remedy="switch off compression on this server for these files",
        )
    if visit.redirected and (fields.get("content-type") or "").lower().startswith("text/html"):
        _refuse_web_page(visit, path)


def _refuse_web_page(visit: Visit, path: str) -> None:
    """A page of another host, or of another name, in place of a file is how a login page looks."""
    same_name = path.rpartition("/")[2] == visit.target.partition("?")[0].rpartition("/")[2]
    elsewhere = visit.origin.host != visit.shown.origin.host or not same_name
    if elsewhere and not path.endswith((".html", ".htm", "/")):
        raise Denied(
            f"{visit.what()}: answered with a web page (text/html) instead of the file",
            host=visit.origin.authority,
            remedy="this is most likely a login page: configure a credential for the host in the URL",
        )


class HttpReader:
    """The body of an answer."""

    __slots__ = ("_answer", "_exact", "_left", "_visit", "digests", "size", "version")

    mode: int | None = None
    descriptor: int | None = None

    def __init__(
        self,
        answer: Answer,
        size: int | None,
        left: int | None,
        exact: bool,
        version: str | None,
        digests: tuple[Digest, ...],
        visit: Visit,
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

    def read(self) -> memoryview:
        left = self._left
        if left == 0:
            return memoryview(b"")
        view = self._answer.read()
        if left is None:
            if not view:
                self._add_trailers()
            return view
        got = len(view)
        if not got and self._exact:
            raise Broken(f"{self._visit.what()}: ended {left} bytes early", host=self._visit.origin.authority)
        if got > left:
            view = view[:left]
        self._left = left - got if 0 < got < left else 0
        return view

    def traits(self) -> Traits:
        seconds = seconds_of_date(self._visit.answer.headers.get("last-modified") or "")
        return Traits() if seconds is None else Traits(int(seconds) * 1_000_000_000)

    def _add_trailers(self) -> None:
        known = {digest.algorithm for digest in self.digests}
        found = digests_of(self._answer.trailers, whole=True)
        self.digests += tuple(digest for digest in found if digest.algorithm not in known)

    def close(self) -> None:
        self._answer.close()
