"""A file being stored on a WebDAV server: under a name of our own beside its place, then moved there.

Not every server keeps an unfinished PUT to itself, and none compares what it stored with what we read. So the final name is
touched by one MOVE, after the server has told how much it holds. Where MOVE is refused the file is stored at its place by
one PUT whose last byte is held back until its digest is known to be right.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from .errors import Broken, Exists, NotFound, ServerFault, Stopped, TransferError, Unsupported
from .http_writer import StreamWriter
from .values import Receipt
from .webdav_names import beside, has_escapes, is_misread

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeVar

    from ..checksum.digest import Digest
    from .locations import Location
    from .values import Entry, Incoming
    from .webdav import WebdavStore

    T = TypeVar("T")

NEW: Final = ("If-None-Match", "*")
"""Refuses what would replace something (RFC 9110 section 13.1.2); some servers ignore it."""
_NO_FOLDER: Final = (NotFound, ServerFault)
"""What a missing folder above looks like: 404, 409, and nginx's 500."""


class Locked(ServerFault):
    """Somebody is writing the name: XRootD says so (423) long after a connection was cut, too."""


_TAKEN: Final = (Exists, Locked)
"""What the name of a partial that somebody writes looks like where it is stored by one request."""
_MAY_BE_TAKEN: Final = (Exists, ServerFault)
"""The same where nothing was sent yet, so that another name costs nothing."""
_ABANDONED_SECONDS: Final = 3600.0
"""A live upload grows, or is moved as soon as it shows; an hour leaves room for clocks that differ."""
_CLOCKS_DIFFER: Final = 1.0


class WebdavWriter:
    """One file. Until `commit` nothing is at its final name, where the server can MOVE."""

    descriptor: int | None = None

    def __init__(self, store: WebdavStore, location: Location, incoming: Incoming) -> None:
        self._store = store
        self._location = location
        self._whole = incoming.sha256 is not None or incoming.size == 0
        self._body: memoryview | bytes = b""
        self._written = 0
        self._known = store.known(location)
        self.algorithms: tuple[str, ...] = ("adler32",) if self._known.adler else ()
        self._upload: StreamWriter | None = None
        self._began = 0.0
        if not self._whole:
            store.make_parents(location)
            if not is_misread(location):
                store.try_move(location)
                if has_escapes(location):
                    store.try_names(location)
        self._place = self._partial(incoming.token)
        self._touched = False
        """Something of ours may be at `_place`."""
        self._is_new = True
        if not self._whole:
            try:
                self._upload = self._begun(incoming.size)
            except BaseException:
                self._discard()
                raise

    @property
    def _beside(self) -> bool:
        return self._place is not self._location

    def _partial(self, token: str) -> Location:
        known, location = self._known, self._location
        if known.in_place or is_misread(location) or (known.misreads and has_escapes(location)):
            self._store.refuse_to_replace(self._location)
            return self._location
        return beside(self._location, f".wf-{token}.part")

    def _another_name(self) -> None:
        """Somebody may still be writing the partial of that name. One that nobody has touched for long is taken over."""
        from os import urandom

        try:
            modified = self._store.stat(self._place).modified
        except TransferError:
            modified = None
        self._is_new = modified is None or modified > self._began - _ABANDONED_SECONDS
        if self._is_new:
            self._place = beside(self._location, f".wf-{urandom(8).hex()}.part")

    def _begun(self, size: int | None) -> StreamWriter:
        self._note_time()
        self._touched = True
        try:
            return self._with_folders(lambda: self._store.begin_put(self._place, size, new=self._beside))
        except _MAY_BE_TAKEN:
            if not self._beside:
                raise
            self._another_name()
            return self._store.begin_put(self._place, size, new=self._is_new)

    def _note_time(self) -> None:
        from time import time

        self._began = time()

    def _with_folders(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except _NO_FOLDER:
            if not self._store.make_parents(self._location, anew=True):
                raise
            return call()

    def write(self, view: memoryview) -> None:
        if self._upload is not None:
            self._upload.write(view)
        elif self._written:
            raise ValueError("a file that was announced as whole came in pieces")
        else:
            self._body = view
        self._written += len(view)

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        receipt = self._stored(digests)
        if self._beside and not self._published():
            if self._upload is not None:
                self.abort()
                raise ServerFault(
                    f"{self._location.shown}: the server refuses to move the finished upload to its place; the next "
                    "attempt stores it there directly"
                )
            self._discard()
            self._place = self._location
            receipt = self._stored(digests)
        self._touched = False
        self._body = b""
        return receipt

    def _stored(self, digests: tuple[Digest, ...]) -> Receipt:
        """What the server says of the upload, which is complete. Raises Broken where it holds something else."""
        try:
            if self._upload is not None:
                self._upload.commit(digests)
            else:
                self._put_whole()
        except Exists as error:
            if not self._beside:
                raise
            raise Broken(f"{error.what}: another upload has the same name", host=error.host) from None
        return self._measured(digests)

    def _put_whole(self) -> None:
        self._note_time()
        self._touched = True
        try:
            self._with_folders(lambda: self._store.put_body(self._place, self._body, new=self._beside))
        except TransferError as error:
            # A refusal leaves what was at the final name as it was.
            self._touched = self._beside or isinstance(error, (Broken, ServerFault, Stopped))
            if not self._beside or not isinstance(error, _TAKEN):
                raise
            self._another_name()
            self._store.put_body(self._place, self._body, new=self._is_new)

    def _measured(self, digests: tuple[Digest, ...]) -> Receipt:
        """A server that forwards uploads may answer well and hold nothing: its own word decides."""
        try:
            size, told = self._store.held(self._place)
        except NotFound as error:
            raise Broken(f"{error.what}: the server took the upload and has nothing there") from None
        if size is not None and size != self._written:
            raise Broken(
                f"{self._place.shown}: the server took {self._written} bytes and holds {size}",
                remedy="the server, or one that it forwards uploads to, lost the data: tell its operator",
            )
        mine = {digest.algorithm: digest for digest in digests}
        for digest in told:
            if mine.get(digest.algorithm, digest) != digest:
                raise Broken(f"{self._place.shown}: the server holds {digest} instead of what was sent")
        return Receipt(size, None, told)

    def _published(self) -> bool:
        """Whether the upload is at its place now; False where the server refuses MOVE."""
        try:
            self._store.rename(self._place, self._location)
        except Unsupported:
            if has_escapes(self._location):
                self._known.misreads = True
            else:
                self._known.in_place = True
            return False
        return True

    def abort(self, *, keep: bool = False) -> None:
        if self._upload is not None:
            self._upload.abort()
        self._body = b""
        self._discard()

    def _discard(self) -> None:
        touched, self._touched = self._touched, False
        if not touched:
            return
        with suppress(TransferError):
            if self._beside:
                self._store.remove_leftover(self._place)
            else:
                self._store.remove_leftover(self._place, self._is_mine)

    def _is_mine(self, entry: Entry) -> bool:
        """Whether what is at the final name can only be what a server kept of this upload."""
        recent = entry.modified is not None and entry.modified >= self._began - _CLOCKS_DIFFER
        return recent and (entry.size or 0) <= self._written and not entry.is_directory
