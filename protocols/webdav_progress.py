"""How far a third-party copy is, as the server that makes it tells while it does.

The status of the answer says that the copy has begun. Its body has blocks of lines between `Perf Marker` and `End`, one every
few seconds, and ends with a line that begins with `success` or `failure`.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from .errors import Broken, NotFound, ServerFault, TransferError, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from .http_visit import Visit

_LINE_MOST: Final = 4096
_STRIPES_MOST: Final = 10_000
_BYTES: Final = re.compile(r"[0-9]{1,18}")
_STATUS_TOLD: Final = re.compile(r"\b([45][0-9]{2})\b")


def await_end(
    visit: Visit, *, insist: bool, patience: float = 0.0, moved: Callable[[int], None] | None = None
) -> None:
    """Returns when the server says `success`; without `insist` also at the end of a body that says neither that nor `failure`.

    Raises NotFound and Unsupported for `failure`, Broken for a body that ends without a last word, and for a copy that for
    `patience` seconds, if any, is where it was: a server that waits for another one goes on telling so. `moved` is told
    how many bytes are there whenever there are more.
    """
    last = ""
    progress = _Progress(patience, moved)
    try:
        for line in _lines(visit):
            words = line.strip()
            if words.lower().startswith(("success", "failure", "failed", "aborted")):
                last = words
            elif progress.has_stopped(words):
                raise Broken(
                    f"{visit.what()}: {progress.moved} bytes were copied, and for {patience:.0f} s no more",
                    host=visit.origin.authority,
                )
    finally:
        visit.answer.close()
    if last.lower().startswith("success"):
        return
    if not last and not insist:
        return
    if not last:
        raise Broken(
            f"{visit.what()}: ended without telling whether the copy worked", host=visit.origin.authority
        )
    raise _failure(visit, last)


class _Progress:
    """How many bytes of all stripes are there, and since when no more have come."""

    def __init__(self, patience: float, tell: Callable[[int], None] | None) -> None:
        self._patience = patience
        self._tell = tell
        self._stripes: dict[str, int] = {}
        self._stripe = ""
        self._since = time.monotonic()

    @property
    def moved(self) -> int:
        return sum(self._stripes.values())

    def has_stopped(self, line: str) -> bool:
        """Whether after this line of a marker the copy has been where it is for too long."""
        name, _, value = line.partition(":")
        if name == "Stripe Index":
            self._stripe = value.strip()[:20]
        elif name == "Stripe Bytes Transferred" and _BYTES.fullmatch(value.strip()):
            count = int(value)
            if count > self._stripes.get(self._stripe, 0) and len(self._stripes) < _STRIPES_MOST:
                self._stripes[self._stripe] = count
                self._since = time.monotonic()
                if self._tell is not None:
                    self._tell(self.moved)
        return 0 < self._patience < time.monotonic() - self._since


def _failure(visit: Visit, last: str) -> TransferError:
    from ..credentials.redaction import printable, redact

    text = f"{visit.what()}: {printable(redact(last))[:200]}"
    status = _STATUS_TOLD.search(last)
    if status and status[1] == "404":
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
