"""Heads of HTTP/1.1 answers: received, taken apart, and refused where leniency has been used to smuggle messages.

Folded lines, blanks before a colon, bare line feeds, and heads of unreasonable size are refused (RFC 9112).
"""

from __future__ import annotations

from functools import lru_cache

from ..checksum.records import NamedTuple
from .connection import Closed
from .patterns import compiled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .connection import Connection

HEAD_MOST: Final = 32 << 10
"""Bytes of a head or of a trailer section."""
_FIELDS_MOST: Final = 256
_INTERIM_MOST: Final = 32

_STATUS: Final = r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?"
_FIELD: Final = r"([!#$%&'*+.^_`|~0-9A-Za-z-]++):([^\x00-\x08\x0a-\x1f\x7f]*+)"
_SEEN_MOST: Final = 512
_SEEN_LENGTH: Final = 200


class Malformed(ValueError):
    """An answer, or a request of ours, that HTTP does not allow; the text says why."""


class _Seen(dict[str, tuple[str, str]]):
    """What field lines mean: most of an answer's are those of the answer before."""

    def __missing__(self, line: str) -> tuple[str, str]:
        """Raises Malformed."""
        found = _field(line)
        if len(line) <= _SEEN_LENGTH:
            if len(self) >= _SEEN_MOST:
                self.clear()
            self[line] = found
        return found


_field_of: Final = _Seen().__getitem__


class Fields:
    """Header or trailer fields. Names are compared without regard to case."""

    __slots__ = ("_lines", "values")

    def __init__(self, section: str = "") -> None:
        """`section` is lines that end in CRLF. Raises Malformed."""
        self._lines = lines = section.split("\r\n")
        if lines.pop():
            raise Malformed("a header field is malformed")
        if len(lines) > _FIELDS_MOST:
            raise Malformed(f"more than {_FIELDS_MOST} header fields")
        self.values = dict(map(_field_of, lines))
        """By names in lower case."""
        if len(self.values) < len(lines):
            self._join_repeated()

    def _join_repeated(self) -> None:
        """Gives fields that stand on several lines the values of all of them."""
        self.values.clear()
        for name, value in map(_field_of, self._lines):
            self.values[name] = f"{self.values[name]}, {value}" if name in self.values else value

    def get(self, name: str) -> str | None:
        """The value; those of a repeated field joined by commas (RFC 9110 section 5.3); None if it is absent."""
        return self.values.get(name.lower())

    def getlist(self, name: str) -> list[str]:
        """The values of each line of that name."""
        wanted = name.lower()
        pairs = (line.partition(":") for line in self._lines)
        return [value.strip(" \t") for key, _, value in pairs if key.lower() == wanted]

    def items(self) -> list[tuple[str, str]]:
        """Names in lower case, each once, with their values."""
        return list(self.values.items())

    def __contains__(self, name: str) -> bool:
        return name.lower() in self.values


def _field(line: str) -> tuple[str, str]:
    """The name in lower case and the value. Raises Malformed."""
    name, _, value = line.partition(":")
    if not (name.isascii() and name.replace("-", "").isalnum() and value.isprintable()):
        match = compiled(_FIELD).fullmatch(line)
        if match is None:
            raise Malformed("a header field is malformed")
        name, value = match[1], match[2]
    return name.lower(), value.strip(" \t")


class Head(NamedTuple):
    minor: int
    """1 for HTTP/1.1."""
    status: int
    reason: str
    fields: Fields


def parse_head(text: str) -> Head:
    """The status line and the fields, each ended by CRLF, without the empty line. Raises Malformed."""
    line, _, section = text.partition("\r\n")
    return Head(*parse_status(line), Fields(section))


@lru_cache(maxsize=64)
def parse_status(line: str) -> tuple[int, int, str]:
    """Minor version, status and reason. Raises Malformed."""
    match = compiled(_STATUS).fullmatch(line)
    if match is None:
        raise Malformed("the answer is not HTTP/1.1")
    return int(match[1]), int(match[2]), (match[3] or "").strip()


def receive_head(
    connection: Connection, view: memoryview, begin: int = 0, end: int = 0, *, proceed: bool = False
) -> tuple[Head, int, int]:
    """The head of the final answer, and where in `view` the bytes lie that came after it.

    `begin` and `end` say what of the answer is in `view` already. Interim answers (1xx) are skipped unless `proceed`
    is set. The head itself lies at the beginning of `view`. Raises OSError, Malformed, Stopped.
    """
    interim = 0
    while True:
        if begin:
            view[: end - begin] = view[begin:end]
            begin, end = 0, end - begin
        stop = -1
        if end:
            connection.heard = True
            # Most heads are short; looking at a kilobyte first saves copying the body's beginning.
            raw = bytes(view[: min(end, 1024)])
            stop = raw.find(b"\r\n\r\n")
            if stop < 0:
                raw = bytes(view[: min(end, HEAD_MOST)])
                stop = raw.find(b"\r\n\r\n")
        if stop < 0:
            if end:
                _look_at_beginning(raw)
            got = connection.receive(view[end:])
            if not got:
                raise Closed("the connection was closed in the head of the answer") if end else Closed()
            end += got
            continue
        head = parse_head(raw[: stop + 2].decode("latin-1"))
        begin = stop + 4
        interim += 1
        if head.status >= 200 or (proceed and head.status != 101):
            return head, begin, end
        if head.status == 101 or interim > _INTERIM_MOST:
            raise Malformed(f"an unexpected interim answer, status {head.status}")


class Ear:
    """What the server says while its request is still being sent."""

    __slots__ = ("_begin", "_connection", "_end", "_interim", "answered", "view")

    def __init__(self, connection: Connection, view: memoryview) -> None:
        self._connection = connection
        self.view = view
        self._begin = self._end = 0
        self._interim = 0
        self.answered = False
        """The final answer has begun: nobody waits for more of the request."""

    def listen(self, seconds: float) -> int:
        """The status of a head, final or not, that arrives within `seconds`; 0 for none."""
        if self.answered or (self._begin == self._end and not self._connection.readable(seconds)):
            return 0
        head, begin, end = receive_head(self._connection, self.view, self._begin, self._end, proceed=True)
        self._interim += 1
        if self._interim > _INTERIM_MOST:
            raise Malformed("too many interim answers")
        self.answered = head.status >= 200
        # A final head stays in the buffer, for `head`.
        self._begin, self._end = (0 if self.answered else begin), end
        return head.status

    def interrupts(self) -> bool:
        """Whether to send no more; takes notice of what has arrived."""
        while self.listen(0):
            pass
        return self.answered

    def head(self) -> tuple[Head, int, int]:
        """The final answer's head, as `receive_head` has it."""
        return receive_head(self._connection, self.view, self._begin, self._end)


def _look_at_beginning(raw: bytes) -> None:
    """Raises Malformed as soon as the bytes cannot become a head any more."""
    if not raw.startswith(b"HTTP/1."[: len(raw)]):
        raise Malformed("the answer is not HTTP/1.1")
    if len(raw) >= HEAD_MOST:
        raise Malformed(f"the head of the answer is longer than {HEAD_MOST} bytes")
    if b"\n\n" in raw:
        raise Malformed("the head of the answer has bare line feeds")


NO_FIELDS: Final = Fields()
