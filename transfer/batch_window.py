"""The part of a batch's document that is in memory: what has been read is let go, so that a million requests are there once and not twice."""

from __future__ import annotations

from .batch_errors import BatchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    class Pieces(Protocol):
        """A binary file, or what reads like one: None where it does not block and has nothing yet."""

        def read(self, size: int, /) -> bytes | None: ...


_PIECE: Final = 64 << 10
"""Bytes that are read at a time: a hundred requests, and little enough for memory that is used again each time."""


_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")
"""What UTF-16 begins with, as bytes that are no UTF-8."""


class Window:
    """The text of a document from where it has been read to; offsets count from there.

    `name` is what errors call the document. Bytes are UTF-8, whatever the locale; a byte order mark is left out.
    """

    __slots__ = ("_begun", "_column", "_line", "_name", "_pieces", "_rest", "_size", "text")

    def __init__(self, document: str | bytes | Pieces, name: str, line: int = 1, column: int = 1) -> None:
        self.text = ""
        self._name = name
        self._line, self._column = line, column
        """Of the first character of `text`."""
        self._pieces = None if isinstance(document, (str, bytes)) else document
        self._rest = b""
        """The beginning of a character whose other bytes have not come yet."""
        self._size = _PIECE
        self._begun = False
        if isinstance(document, str):
            self.text = document.removeprefix("\ufeff")
        elif isinstance(document, bytes):
            self._take(document, last=True)

    def extend(self) -> bool:
        """Reads on; False when there is no more. Call it again when what came was not enough: then more is read at once."""
        if self._pieces is None:
            return False
        data = self._pieces.read(self._size)
        while data is None:
            _wait_for(self._pieces)
            data = self._pieces.read(self._size)
        self._size *= 2
        if not data:
            self._pieces = None
        self._take(data, last=not data)
        return bool(data)

    def whole(self) -> str:
        """All of the document, which then stays in memory."""
        while self.extend():
            pass
        return self.text

    def let_go(self, offset: int) -> bool:
        """Forgets what lies before `offset` if that is worth it; True if so, and offsets count from there now."""
        if offset < _PIECE or self._pieces is None:
            return False
        self._line, self._column = self.place(offset)
        self.text = self.text[offset:]
        self._size = _PIECE
        return True

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of the character at `offset`, both counted from 1."""
        begin = self.text.rfind("\n", 0, offset) + 1
        if begin == 0:
            return self._line, self._column + offset
        return self._line + self.text.count("\n", 0, offset), offset - begin + 1

    def _take(self, data: bytes, *, last: bool) -> None:
        data, self._rest = self._rest + data, b""
        if len(data) < len(_WIDE[0]) and not self._begun and not last:
            self._rest = data
            return
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            if last or len(data) - error.start > 3 or error.reason != "unexpected end of data":
                self._refuse(data, error.start)
            text, self._rest = data[: error.start].decode("utf-8"), data[error.start :]
        if not self._begun and text:
            self._begun = True
            text = text.removeprefix("\ufeff")
        self.text = self.text + text if self.text else text

    def _refuse(self, data: bytes, offset: int) -> None:
        """Raises the error for bytes that are no UTF-8 from `offset` on."""
        before = data[:offset].decode("utf-8")
        self.text += before if self._begun else before.removeprefix("\ufeff")
        line, column = self.place(len(self.text))
        wide = not self._begun and data[:2] in _WIDE
        raise BatchError(
            f"not UTF-8: the byte 0x{data[offset]:02x} makes no sense here",
            line=line,
            column=column,
            expected="UTF-8",
            hint="this looks like UTF-16"
            if wide
            else r'write a byte of a file name that is not UTF-8 as "\udcXX"',
            name=self._name,
        ) from None


def _wait_for(pieces: Pieces) -> None:
    """Returns when there is something to read, or the end. `select` would refuse descriptors above 1023."""
    import select

    waiting = select.poll()
    waiting.register(pieces, select.POLLIN)  # type: ignore[arg-type]
    waiting.poll()
