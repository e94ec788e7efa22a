"""Copies that no byte of passes through here: COPY inside one server (RFC 4918), and HTTP-TPC between two.

HTTP-TPC is what dCache, EOS, StoRM and XRootD speak ("HTTP Third Party Copy", WLCG). One server is asked by COPY to fetch
from the other (`Source:`) or to send to it (`Destination:`). It answers 201 or 202 before it has moved anything, then tells
how far it is, and in the last line whether it worked.

Either way the copy is made under a name of our own and moved to its place when it has the size of its source.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from .errors import Broken, Denied, NotFound, ServerFault, TransferError, Unsupported
from .http_visit import refused
from .values import CopyStep, Receipt
from .webdav_names import beside
from .wire import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .http_visit import Visit
    from .locations import Location
    from .webdav import WebdavStore

_STARTED: Final = frozenset({200, 201, 202})
_LINE_MOST: Final = 4096
_STATUS_TOLD: Final = re.compile(r"\b([45][0-9]{2})\b")
_NO_SUCH_COPY: Final = frozenset({400, 403, 404, 405, 409, 412, 415, 422, 424, 500, 501, 502, 503, 504})
"""Answers after which the bytes had better stream: the streams tell what is really wrong."""


def copied(store: WebdavStore, source: Location, destination: Location) -> CopyStep:
    """The finished copy. Raises NotFound for an absent source, Unsupported where no server will do it."""
    here, there = origin_of(source.url)[0], origin_of(destination.url)[0]
    if here != there:
        _insist_on_tls(source, destination)
    entry = store.refuse_folder(source)
    size = entry.size
    place = beside(destination, f".wf-{_token(source, destination)}.part")
    store.make_parents(destination)
    try:
        if here == there:
            _copy_inside(store, source, place)
        else:
            _copy_between(store, source, place)
        held, digests = store.held(place)
        if size is not None and held is not None and held != size:
            raise Broken(f"copying {source.shown} to {place.shown}: {held} of {size} bytes are there")
        store.rename(place, destination)
    except BaseException:
        with suppress(TransferError):
            store.remove_leftover(place)
        raise
    return CopyStep(Receipt(held, None, digests), bytes=held or 0)


def _token(source: Location, destination: Location) -> str:
    names = f"{source.url}\n{destination.url}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(names).hexdigest()[:16]


def _insist_on_tls(source: Location, destination: Location) -> None:
    if not all(origin_of(end.url)[0].tls for end in (source, destination)):
        raise Unsupported(
            "a copy between two servers needs TLS at both, for one is given leave for the other"
        )


def _copy_inside(store: WebdavStore, source: Location, place: Location) -> None:
    try:
        from .webdav_verbs import Verbs
    except ImportError:
        raise Unsupported(
            f"{source.shown}: the copy inside the server needs webdav4",
            remedy="pip install 'wf-transfer[webdav]'",
        ) from None
    try:
        Verbs(store).copy(source, place)
    except (Denied, ServerFault) as error:
        raise Unsupported(error.what, host=error.host) from None


def _copy_between(store: WebdavStore, source: Location, place: Location) -> None:
    """Has the destination fetch; where it cannot, has the source send."""
    try:
        _third_party(store, place, source, "Source", "DOWNLOAD,LIST", "read")
    except Unsupported as pull:
        try:
            _third_party(store, source, place, "Destination", "UPLOAD,DELETE,LIST", "write")
        except Unsupported as push:
            raise Unsupported(f"{pull.what}; {push.what}", host=push.host) from None


def _third_party(
    store: WebdavStore, active: Location, passive: Location, field: str, activity: str, purpose: str
) -> None:
    """One COPY: `active` is asked, `passive` is where it gets or puts the bytes."""
    from .webdav_leave import leave_for

    origin, target = origin_of(passive.url)
    fields = [
        (field, origin.url(target)),
        ("Overwrite", "T"),
        ("Credential", "none"),
        ("RequireChecksumVerification", "false"),
        *leave_for(store, active, passive, activity, purpose),
    ]
    visit = store.status_of("COPY", active, fields, purpose="write" if field == "Source" else "read")
    if visit.answer.status not in _STARTED:
        error = refused(visit)
        if visit.answer.status in _NO_SUCH_COPY:
            raise Unsupported(error.what, host=error.host)
        raise error
    _await_end(visit)


def _await_end(visit: Visit) -> None:
    """Returns when the server says `success`. Raises Unsupported for `failure`, Broken for an end without either."""
    last = ""
    try:
        for line in _lines(visit):
            words = line.strip()
            if words.lower().startswith(("success", "failure", "failed", "aborted")):
                last = words
    finally:
        visit.answer.close()
    if last.lower().startswith("success"):
        return
    if not last:
        raise Broken(
            f"{visit.what()}: ended without telling whether the copy worked", host=visit.origin.authority
        )
    raise _failure(visit, last)


def _failure(visit: Visit, last: str) -> TransferError:
    from ..credentials.redaction import printable, redact

    text = f"{visit.what()}: {printable(redact(last))[:200]}"
    status = _STATUS_TOLD.search(last)
    if visit.method == "COPY" and status and status[1] == "404":
        return NotFound(text, host=visit.origin.authority)
    return Unsupported(text, host=visit.origin.authority)


def _lines(visit: Visit) -> Iterator[str]:
    """The lines of the body, of which each is short."""
    rest = b""
    while view := visit.answer.read():
        *lines, rest = (rest + bytes(view)).split(b"\n")
        if len(rest) > _LINE_MOST:
            raise ServerFault(
                f"{visit.what()}: the progress of the copy makes no sense", host=visit.origin.authority
            )
        yield from (line.decode("utf-8", "replace") for line in lines)
    yield rest.decode("utf-8", "replace")
