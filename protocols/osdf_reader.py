"""The bytes of an object as a cache or origin sends them, to the word behind them that says whether they were all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import Broken, TransferError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..checksum.digest import Digest
    from .exchange import Answer
    from .http_reader import HttpReader


class FederatedReader:
    """As `HttpReader`; a server that tells a failure in its trailer, behind a good status, is believed."""

    __slots__ = (
        *("_answer", "_blame", "_due", "_reader", "_seen", "_shown", "_whole"),
        *("descriptor", "digests", "mode", "size", "version"),
    )

    def __init__(
        self,
        reader: HttpReader,
        answer: Answer,
        digests: tuple[Digest, ...],
        shown: str,
        due: int | None,
        whole: bool,
        blame: Callable[[TransferError], None],
    ) -> None:
        """`due` is how many bytes must come, where the answer itself does not tell; `whole` says that all of the answer is wanted;
        `blame` gets what goes wrong."""
        self._due = due
        self._whole = whole
        self._reader = reader
        self._answer = answer
        self._blame = blame
        self._shown = shown
        self._seen = False
        self.size = reader.size
        self.version = reader.version
        self.digests = digests or reader.digests
        self.mode: int | None = None
        self.descriptor: int | None = None

    def read(self) -> memoryview:
        try:
            view = self._reader.read()
            if self._due is not None:
                self._count(view)
            if self._answer.drained:
                self._look_at_trailer()
            elif not view and self._whole:
                self._drain()
        except TransferError as error:
            self._blame(error)
            raise
        return view

    def _count(self, view: memoryview) -> None:
        assert self._due is not None
        self._due -= len(view)
        if self._due < 0 or (self._due and self._answer.drained):
            early = f"{self._due} bytes early" if self._due > 0 else "with more bytes than there should be"
            raise Broken(f"{self._shown}: ended {early}")

    def _drain(self) -> None:
        """Goes to the end of a body whose bytes have all come, for what is said there. Raises Broken for more bytes."""
        while not self._answer.drained:
            if self._answer.read():
                raise Broken(f"{self._shown}: ended with more bytes than there should be")
        self._look_at_trailer()

    def _look_at_trailer(self) -> None:
        """Raises Broken unless the trailer, where there is one, says 200 (`X-Transfer-Status: CODE: message`, of XRootD)."""
        if self._seen:
            return
        self._seen = True
        status = self._answer.trailers.get("x-transfer-status")
        if status is None or status.lstrip().startswith("200"):
            return
        from ..credentials.redaction import printable, redact

        raise Broken(
            f"{self._shown}: the server said after the data that it failed: {printable(redact(status))[:200]}"
        )

    def close(self) -> None:
        self._reader.close()
