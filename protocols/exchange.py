"""The answer to one HTTP/1.1 request: its head taken apart, its body delivered (RFC 9112).

Contradicting lengths are refused. The byte loops are long and flat on purpose: they are the path of every byte
that comes over HTTP.
"""

from __future__ import annotations

from .connection import Closed, failure
from .errors import Broken, ServerFault, Unsupported
from .heads import HEAD_MOST, NO_FIELDS, Fields, Malformed
from .patterns import compiled, compiled_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from .connection import Connection
    from .heads import Head


__all__ = ["Answer", "Fields"]

_LINE_MOST: Final = 4096
_TLS_ENOUGH: Final = 256 << 10
"""TLS delivers records of 16 KiB; so many bytes are gathered before they are handed on."""
_NOTHING: Final = memoryview(b"")

_CHUNK: Final = rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?"
_LENGTH: Final = r"[0-9]{1,18}"


def _content_length(fields: Fields) -> int | None:
    text = fields.values.get("content-length")
    if text is None:
        return None
    if text.isdecimal() and len(text) <= 18:
        return int(text)
    first, *others = (part.strip() for part in text.split(","))
    if not compiled(_LENGTH).fullmatch(first) or any(other != first for other in others):
        raise Malformed("the Content-Length is malformed or contradicts itself")
    return int(first)


def stays_open(minor: int, fields: Fields) -> bool:
    """Whether the server means to read another request from this connection (RFC 9112 section 9.3)."""
    options = fields.values.get("connection")
    if options is None:
        return minor == 1
    options = options.lower()
    return "close" not in options and (minor == 1 or "keep-alive" in options)


class Answer:
    """One answer. Its owner drains it or calls `close`; a drained one has given its connection back by itself."""

    __slots__ = (
        "_begin",
        "_chunked",
        "_connection",
        "_end",
        "_give_back",
        "_left",
        "_reusable",
        "_view",
        "_what",
        "headers",
        "length",
        "reason",
        "status",
        "trailers",
    )

    def __init__(
        self,
        what: Callable[[], str],
        method: str,
        connection: Connection,
        view: memoryview,
        received: tuple[Head, int, int],
        give_back: Callable[[], None] | None,
    ) -> None:
        """`give_back` is called when the connection can be used again; else it is closed. Raises Malformed and Unsupported."""
        head, begin, end = received
        fields = head.fields
        self.status = head.status
        self.reason = head.reason
        self.headers = fields
        self.trailers = NO_FIELDS
        self._what = what
        self._connection: Connection | None = connection
        self._view = view
        self._begin = begin
        self._end = end
        self._give_back = give_back
        self._chunked = False
        self._left = 0
        """Bytes until the end of the body, or of the chunk; -1: until the connection is closed."""
        self._reusable = stays_open(head.minor, fields)
        self.length = _content_length(fields)
        """Bytes of the body, where the answer tells; of a HEAD those that a GET would have."""
        coding = fields.values.get("transfer-encoding")
        if method == "HEAD" or head.status in (204, 304):
            pass
        elif coding is not None:
            self._frame_by_coding(head.minor, coding)
        elif self.length is not None:
            self._left = self.length
            if end - begin > self.length:
                # What follows belongs to nothing that was asked for.
                self._end = begin + self.length
                self._reusable = False
        else:
            self._left = -1
        if not self._left and not self._chunked:
            if end > begin:
                self._reusable = False
            self._finish()

    def _frame_by_coding(self, minor: int, coding: str) -> None:
        """Transfer-Encoding overrides Content-Length, and then the connection ends (RFC 9112 section 6.3)."""
        if minor == 0:
            raise Malformed("an HTTP/1.0 answer with Transfer-Encoding")
        if coding.lower() != "chunked":
            raise Unsupported(f"{self._what()}: answered with transfer coding {coding[:40]!r}")
        if self.length is not None:
            self.length = None
            self._reusable = False
        self._chunked = True

    @property
    def reusable(self) -> bool:
        """Nothing speaks against another request on this connection."""
        return self._reusable

    @property
    def drained(self) -> bool:
        return self._connection is None

    def read(self) -> memoryview:
        """The next bytes of the body; empty at its end.

        Borrowed: valid until the next call. What is left comes in one view if it fits the buffer. Raises Broken for
        a body that ends early, ServerFault for one that makes no sense, Stopped.
        """
        connection = self._connection
        if connection is None:
            return _NOTHING
        try:
            if self._chunked:
                return self._read_chunks(connection)
            if self._left < 0:
                return self._read_until_close(connection)
            return self._read_sized(connection)
        except OSError as error:
            self.close()
            raise failure(error, self._what(), connection.peer, begun=True) from error
        except Malformed as error:
            self.close()
            raise ServerFault(f"{self._what()}: {error}", host=connection.peer) from None
        except BaseException:
            self.close()
            raise

    def _read_sized(self, connection: Connection) -> memoryview:
        view = self._view
        left = self._left
        begin = self._begin
        end = self._end
        size = len(view)
        if left <= size:
            if begin + left > size:
                view[: end - begin] = view[begin:end]
                begin, end = 0, end - begin
            stop = begin + left
            if end < stop:
                end += connection.receive(view[end:stop], stop - end)
                if end < stop:
                    raise self._too_short(stop - end)
            self._finish()
            return view[begin:stop]
        if end == begin:
            begin = 0
            enough = min(_TLS_ENOUGH, size) if connection.secure else 1
            end = connection.receive(view, enough)
            if end < enough:
                raise self._too_short(left - end)
        self._begin = self._end = 0
        self._left = left - (end - begin)
        return view[begin:end]

    def _too_short(self, missing: int) -> Broken:
        return Broken(
            f"{self._what()}: the connection was closed {missing} bytes before the end of {self.length}",
            host=self._connection.peer if self._connection else "",
        )

    def _read_until_close(self, connection: Connection) -> memoryview:
        view = self._view
        begin = self._begin
        end = self._end
        self._begin = self._end = 0
        missing = len(view) - end
        if missing:
            got = connection.receive(view[end:], missing)
            if got < missing:
                self._reusable = False
                self._finish()
            end += got
        return view[begin:end]

    def _read_chunks(self, connection: Connection) -> memoryview:
        """Decodes in place: the body's bytes move to the front of the buffer, raw ones follow behind them."""
        view = self._view
        begin = self._begin
        end = self._end
        left = self._left
        room = len(view) - _LINE_MOST
        out = 0
        while out < room:
            if left > 0:
                if begin < end:
                    take = min(end - begin, left, room - out)
                    if begin != out:
                        view[out : out + take] = view[begin : begin + take]
                    begin += take
                else:
                    take = connection.receive(view[out : min(out + left, room)])
                    if not take:
                        raise Closed("the connection was closed in the middle of a chunk")
                    begin = end = out + take
                out += take
                left -= take
                if left == 0:
                    left = -2
                continue
            # A line is due: the CRLF behind a chunk's data (-2), then the next chunk's size (0).
            raw = bytes(view[begin : min(end, begin + 64)])
            stop = raw.find(b"\r\n")
            if stop < 0 and end - begin > 64:
                raw = bytes(view[begin : min(end, begin + _LINE_MOST)])
                stop = raw.find(b"\r\n")
            if stop < 0:
                if end - begin >= _LINE_MOST:
                    raise Malformed("a chunk's size line is too long")
                if begin > out:
                    view[out : out + end - begin] = view[begin:end]
                    begin, end = out, out + end - begin
                got = connection.receive(view[end:])
                if not got:
                    raise Closed("the connection was closed between two chunks")
                end += got
                continue
            begin += stop + 2
            if left == -2:
                if stop:
                    raise Malformed("a chunk is longer than its size")
                left = 0
                continue
            match = compiled_bytes(_CHUNK).fullmatch(raw, 0, stop)
            if match is None:
                raise Malformed("a chunk's size is malformed")
            left = int(match[1], 16)
            if left == 0:
                self._read_trailers(connection, bytes(view[begin:end]))
                break
        else:
            self._begin = begin
            self._end = end
            self._left = left
        return view[:out]

    def _read_trailers(self, connection: Connection, raw: bytes) -> None:
        """Takes the trailer section that begins with `raw`; a buffer of its own, since the other one is lent."""
        small = memoryview(bytearray(_LINE_MOST))
        while not (raw.startswith(b"\r\n") or b"\r\n\r\n" in raw):
            if len(raw) > HEAD_MOST:
                raise Malformed("the trailer section is too long")
            got = connection.receive(small)
            if not got:
                raise Closed("the connection was closed before the end of the last chunk")
            raw += small[:got]
        if raw.startswith(b"\r\n"):
            rest = raw[2:]
        else:
            section, _, rest = raw.partition(b"\r\n\r\n")
            self.trailers = Fields(section.decode("latin-1") + "\r\n")
        if rest:
            self._reusable = False
        self._finish()

    def read_all(self, limit: int = 1 << 20) -> bytes:
        """The rest of the body, at most `limit` bytes of it: of a longer one the connection is closed."""
        parts: list[bytes] = []
        left = limit
        while left > 0 and (view := self.read()):
            parts.append(bytes(view[:left]))
            left -= len(view)
        self.close()
        return b"".join(parts)

    def close(self) -> None:
        """Closes the connection unless the body was drained. Never raises, and may be called again."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.close()

    def _finish(self) -> None:
        connection = self._connection
        self._connection = None
        self._left = 0
        if connection is None:
            return
        if self._reusable and self._give_back is not None:
            self._give_back()
        else:
            connection.close()


class Arrived(Answer):
    """An answer that has come with all of its body, from a connection that does not wait for this one to be read."""

    __slots__ = ()

    def __init__(self, status: int, reason: str, fields: Fields, body: memoryview) -> None:
        self.status = status
        self.reason = reason
        self.headers = fields
        self.trailers = NO_FIELDS
        self.length = len(body)
        self._connection = None
        self._view = body

    def read(self) -> memoryview:
        body, self._view = self._view, _NOTHING
        return body

    def close(self) -> None:
        """Ends nothing."""
