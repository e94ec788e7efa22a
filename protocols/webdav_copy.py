"""Copies that no byte of passes through here: COPY inside one server (RFC 4918), and HTTP-TPC between two.

HTTP-TPC is what dCache, EOS, StoRM and XRootD speak ("HTTP Third Party Copy", WLCG). One server is asked by COPY to fetch
from the other (`Source:`) or to send to it (`Destination:`). It answers 201 or 202 before it has moved anything, then tells
how far it is, and in the last line whether it worked.

Either way the copy is made under a name of our own and moved to its place when it has the size of its source.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

from .errors import Broken, Denied, ServerFault, TransferError, Unsupported
from .http_visit import refused
from .values import CopyStep, Receipt
from .webdav_names import beside, is_misread
from .webdav_progress import await_end
from .wire import origin_of

if TYPE_CHECKING:
    from typing import Final

    from ..checksum.digest import Digest
    from .locations import Location
    from .webdav import WebdavStore

_STARTED: Final = frozenset({200, 201, 202})
_PATIENCE: Final = 5
"""Times `Context.stall`: the server that copies may wait for tapes, and tells all the while that it is there."""
_NO_SUCH_COPY: Final = frozenset({400, 403, 404, 405, 409, 412, 415, 422, 424, 500, 501, 502, 503, 504})
"""Answers after which the bytes had better stream: the streams tell what is really wrong."""


def copied(store: WebdavStore, source: Location, destination: Location) -> CopyStep:
    """The finished copy. Raises NotFound for an absent source, Unsupported where no server will do it."""
    here, there = origin_of(source.url)[0], origin_of(destination.url)[0]
    if is_misread(destination):
        raise Unsupported(
            f"{destination.shown}: some servers take this for another name in the field Destination"
        )
    if here != there:
        _insist_on_tls(source, destination)
    elif not store.presents_the_same(source, destination):
        raise Unsupported(f"{source.shown} and {destination.shown} are used with different credentials")
    entry = store.refuse_folder(source)
    size = entry.size
    place = beside(destination, f".wf-{_token(source, destination)}.part")
    store.make_parents(destination)
    try:
        if here == there:
            _copy_at_one(store, source, place)
        else:
            _copy_between(store, source, place)
        held, digests = store.held(place)
        if size is not None and held is not None and held != size:
            raise Broken(f"copying {source.shown} to {place.shown}: {held} of {size} bytes are there")
        compared = bool(digests) and _compared(source, store.held(source)[1], place, digests)
        store.rename(place, destination)
    except BaseException:
        with suppress(TransferError):
            store.remove_leftover(place)
        raise
    return CopyStep(Receipt(held, None, digests, compared), bytes=held or 0)


def _compared(
    source: Location, theirs: tuple[Digest, ...], place: Location, digests: tuple[Digest, ...]
) -> bool:
    """Whether both servers tell a digest of one algorithm. Raises Broken where they are not equal."""
    known = {digest.algorithm: digest for digest in theirs}
    common = [digest for digest in digests if digest.algorithm in known]
    for digest in common:
        if known[digest.algorithm] != digest:
            raise Broken(
                f"copying {source.shown} to {place.shown}: {known[digest.algorithm]} became {digest}"
            )
    return bool(common)


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


def _copy_at_one(store: WebdavStore, source: Location, place: Location) -> None:
    """By COPY; a server that takes that for a copy to another one needs leave for itself."""
    try:
        _copy_inside(store, source, place)
    except Unsupported:
        if not origin_of(source.url)[0].tls:
            raise
        _copy_between(store, source, place)


def _copy_between(store: WebdavStore, source: Location, place: Location) -> None:
    """Has the destination fetch; where it cannot, has the source send."""
    try:
        fetch(store, source, place)
    except Unsupported as pull:
        try:
            send(store, source, place)
        except Unsupported as push:
            raise Unsupported(f"{pull.what}; {push.what}", host=push.host) from None


def fetch(store: WebdavStore, source: Location, place: Location) -> None:
    """Has the server of `place` get the file."""
    _third_party(store, place, source, "Source", "DOWNLOAD,LIST", "read")


def send(store: WebdavStore, source: Location, place: Location) -> None:
    """Has the server of `source` put the file."""
    _third_party(store, source, place, "Destination", "UPLOAD,DELETE,LIST", "write")


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
    await_end(visit, insist=True, patience=_PATIENCE * store.stall, moved=store.moved)
