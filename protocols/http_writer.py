"""A file being stored on a web server, by one PUT."""

from __future__ import annotations

from .digest_headers import digests_of
from .errors import Broken, Changed
from .http_visit import Place, Shown, Visit, for_origin, refused, version_of
from .redirects import Trail, is_redirect
from .values import Receipt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from ..checksum.digest import Digest
    from .exchange import Answer
    from .wire import Upload, Wire

STORED: Final = frozenset({200, 201, 202, 204})
CONTENT_TYPE: Final = ("Content-Type", "application/octet-stream")


def receipt_of(visit: Visit) -> Receipt:
    """What the answer to a PUT says of the object; raises for one that is no success."""
    answer = visit.answer
    if answer.status not in STORED:
        raise refused(visit, writing=True)
    # Beside a body the digest would be the body's (RFC 9530 section 3).
    digests = () if answer.length else digests_of(answer.headers, whole=False)
    version = version_of(answer.headers)
    answer.read_all()
    return Receipt(None, version, digests)


class WholeWriter:
    """A file that came in one view, which is kept: nothing is sent before `commit`."""

    algorithms: tuple[str, ...] = ()
    descriptor: int | None = None

    def __init__(self, put: Callable[[memoryview | bytes], Receipt]) -> None:
        self._put = put
        self._body: memoryview | bytes = b""

    def write(self, view: memoryview) -> None:
        if len(self._body):
            raise ValueError("a file that was announced as whole came in pieces")
        self._body = view

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        body, self._body = self._body, b""
        return self._put(body)

    def abort(self, *, keep: bool = False) -> None:
        self._body = b""


class StreamWriter:
    """A PUT under way. The last byte, or the end of a chunked body, is held back until `commit`."""

    algorithms: tuple[str, ...] = ()
    descriptor: int | None = None

    def __init__(
        self,
        wire: Wire,
        shown: Shown,
        place: Place,
        size: int | None,
        moved: dict[Place, Place],
        renewed: Callable[[Shown], Shown | None],
    ) -> None:
        self._wire = wire
        self._shown = shown
        self._size = self._left = size
        self._held = b""
        self._sent = False
        self._place = place
        self._moved = moved
        self._renewed = renewed
        self._may_renew = True
        self._trail = Trail("PUT", *place)
        self._upload = self._begin()

    def _begin(self) -> Upload:
        """The upload at the place where redirects lead to."""
        while True:
            origin, target = self._place
            fields, certificate = for_origin(self._shown, origin, (CONTENT_TYPE,))
            upload = self._wire.upload(
                "PUT", origin, target, fields, self._size, expect=True, certificate=certificate
            )
            if not upload.answered:
                return upload
            self._move(upload.finish())

    def _move(self, answer: Answer) -> None:
        """Takes the next place from an early answer; raises what it means if it is no redirect."""
        visit = self._visit(answer)
        if answer.status == 401 and not self._sent and self._renew(visit):
            return
        if not is_redirect(answer):
            raise refused(visit, writing=True)
        asked, self._place = self._place, self._trail.follow(answer)
        if self._sent:
            self._moved[asked] = self._place
            raise Broken(f"{visit.what()}: redirected when the body had been sent already")

    def _renew(self, visit: Visit) -> bool:
        """Whether there is another credential to begin again with: once."""
        if not self._may_renew or visit.origin != self._shown.origin:
            return False
        self._may_renew = False
        try:
            shown = self._renewed(self._shown)
        except BaseException:
            visit.answer.close()
            raise
        if shown is None:
            return False
        visit.answer.close()
        self._shown = shown
        return True

    def _visit(self, answer: Answer) -> Visit:
        return Visit(answer, *self._place, False, self._shown, "PUT")

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
            self._move(self._upload.finish())
            self._upload = self._begin()
        self._sent = self._sent or len(view) > 0

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        if self._left:
            self._upload.cut()
            raise Changed(f"the source ended {self._left} bytes before the size it announced")
        self._send(self._held)
        answer = self._upload.finish()
        if is_redirect(answer):
            self._sent = True
            self._move(answer)
        if answer.status == 401 and self._renew(self._visit(answer)):
            raise Broken("the credential was refused when the body had been sent, and could be renewed")
        return receipt_of(self._visit(answer))

    def abort(self, *, keep: bool = False) -> None:
        self._upload.cut()
