"""SSH servers without SFTP: bytes as the old `scp` moved them, everything else by the commands of POSIX.

The protocol of rcp, which `scp -O` still speaks: the sink says NUL, the source a line with mode, size and name, then
the bytes and a NUL. A byte 1 or 2 instead of a NUL begins a line that tells what went wrong (source(), sink() and
response() of OpenSSH's scp.c).

Names reach the far side as words of a command, quoted for a POSIX shell. Scripts are constants; names are their
arguments. There are no ranges, no versions and no listings, and the size must be known before something is written.
"""

from __future__ import annotations

import os
import re

from .errors import (
    Broken,
    Changed,
    Denied,
    LocalRefused,
    NoSpace,
    NotFound,
    ServerFault,
    TransferError,
    Unreachable,
    Unsupported,
)
from .ssh import path_of, shown_path
from .ssh_stream import Stream
from .values import Entry, Receipt, Traits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from ..checksum.digest import Digest
    from .context import Context
    from .locations import Location
    from .ssh import Connections
    from .values import Incoming

_DONE: Final = b"wf-done"
_LAST_WORDS_SECONDS: Final = 5.0
_SCRIPT_SECONDS: Final = 3600.0
_NOTHING: Final = memoryview(b"")

# Each is the argument of one `sh -c`, in single quotes, so it holds none. `$1` and `$2` are names; `$3` is a size, which is
# compared with the fifth field of `ls -ldn`.
_PUBLISH: Final = (
    'set -f; set -- "$1" "$2" "$3" $(ls -ldn "$1"); '
    'if [ -d "$2" ]; then echo "Is a directory"; elif [ "$8" != "$3" ]; then echo "$8 bytes are there"; '
    'else mv -f "$1" "$2" && echo "$8" && echo wf-done; fi'
)
_LOOK: Final = 'if [ -e "$1" ]; then ls -ldnL "$1" && echo wf-done; else echo "No such file"; fi'
_MAKE: Final = (
    'if [ -d "$1" ]; then echo wf-done; elif [ -e "$1" ]; then echo "File exists"; '
    'else mkdir -p "$1" && echo wf-done; fi'
)
_REMOVE: Final = (
    'if [ -h "$1" ] || [ ! -d "$1" ]; then rm -f "$1" && echo wf-done; '
    'elif [ "$2" = all ]; then rm -rf "$1" && echo wf-done; else echo "Is a directory"; fi'
)

_MEANS: Final[tuple[tuple[str, type[TransferError], str], ...]] = (
    (r"^[0-9]* bytes are there$", Broken, ""),
    (r"No such file", NotFound, ""),
    (r"Not a directory", NotFound, ""),
    (
        r"[Pp]ermission denied|Operation not permitted|Read-only",
        Denied,
        "check the permissions at the server",
    ),
    (r"No space left|[Qq]uota|File too large", NoSpace, ""),
    (r"not a regular file|Is a directory|ambiguous target", LocalRefused, "name a file, and no folder"),
    (r"File exists", LocalRefused, "remove the file that is in its place"),
    (r"name too long|Invalid argument", LocalRefused, "check the path"),
    (
        r"not found|not recognized|not allowed|sftp connections only",
        Unsupported,
        "the account may not run this command",
    ),
)
"""What scp and the commands say, in the language of the C locale."""


def quoted(path: bytes) -> bytes:
    """The path as one word of a POSIX shell, which cannot be taken for an option either."""
    path = path if path.startswith(b"/") else b"./" + path
    return b"'" + path.replace(b"'", b"'\\''") + b"'"


class ScpReader:
    """One file that a remote `scp -f` sends. Delivered from the worker's buffer."""

    def __init__(self, stream: Stream, size: int, doing: str, buffer: memoryview) -> None:
        self.size: int | None = size
        self.version: str | None = None
        self.digests: tuple[Digest, ...] = ()
        self.mode: int | None = None
        self.descriptor: int | None = None
        self._stream: Stream | None = stream
        self._left = size
        self._doing = doing
        self._buffer = buffer

    def traits(self) -> Traits:
        """None: an `scp` that was not asked to keep them tells no times."""
        return Traits()

    def read(self) -> memoryview:
        stream = self._stream
        if stream is None or not self._left:
            return self._finish()
        view = self._buffer[: min(self._left, len(self._buffer))]
        if stream.into(view) < len(view):
            raise stream.ended()
        self._left -= len(view)
        if not self._left:
            self._finish()
        return view

    def _finish(self) -> memoryview:
        """The source says last whether it could read all that it promised."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                _insist_on_ok(stream, self._doing, Broken)
                stream.send(b"\0")
            finally:
                stream.close()
        return _NOTHING

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.broken = True
            stream.close()


class ScpWriter:
    """A remote `scp -t` that writes a partial, which `mv` publishes."""

    def __init__(
        self, store: ScpStore, location: Location, partial: bytes, stream: Stream, size: int
    ) -> None:
        self.algorithms: tuple[str, ...] = ()
        self.descriptor: int | None = None
        self.held = 0
        self._store = store
        self._location = location
        self._partial = partial
        self._stream: Stream | None = stream
        self._size = self._left = size
        self._doing = f"cannot write {shown_path(path_of(location))}"

    def read_held(self, offset: int, view: memoryview) -> int:
        """Nothing is ever gone on with."""
        return 0

    def write(self, view: memoryview) -> None:
        stream = self._stream
        assert stream is not None
        if len(view) > self._left:
            raise Changed(f"{self._doing}: more bytes came than were promised")
        self._left -= len(view)
        stream.send(view)

    def commit(self, digests: tuple[Digest, ...]) -> Receipt:
        stream = self._stream
        assert stream is not None
        if self._left:
            raise Broken(f"{self._doing}: {self._left} bytes are missing")
        stream.send(b"\0")
        _insist_on_ok(stream, self._doing, Broken)
        self._close_stream()
        path = path_of(self._location)
        doing = f"cannot publish {shown_path(path)}"
        names, size = (self._partial, path), b"%d" % self._size
        said = self._store.shell(self._location, _PUBLISH, doing, *names, word=size)
        self._partial = b""
        return Receipt(size=int(said))

    def abort(self, *, keep: bool = False) -> None:
        if self._stream is not None:
            self._stream.broken = True
        self._close_stream()
        partial, self._partial = self._partial, b""
        if partial and not keep:
            self._store.tidy_up(self._location, partial)

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class ScpStore:
    """SSH servers without SFTP, for one worker."""

    def __init__(self, context: Context, connections: Connections) -> None:
        self._context = context
        self._connections = connections

    def open_read(
        self, location: Location, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> ScpReader:
        path = path_of(location)
        doing = f"cannot read {shown_path(path)}"
        if start or length is not None:
            raise Unsupported(f"{doing} from its middle: this server has no SFTP")
        if version is not None:
            raise Changed(f"{doing}: without SFTP nobody knows whether it is still the same")
        stream = self._command(location, "read", b"scp -f " + quoted(path), doing)
        try:
            stream.send(b"\0")
            size = _announced_size(stream, doing)
            stream.about(doing, Broken)
            stream.settled()
            stream.send(b"\0")
        except BaseException:
            stream.close()
            raise
        return ScpReader(stream, size, doing, self._context.view)

    def open_write(self, location: Location, incoming: Incoming) -> ScpWriter:
        path = path_of(location)
        doing = f"cannot write {shown_path(path)}"
        folder, slash, name = path.rpartition(b"/")
        if incoming.size is None:
            raise Unsupported(f"{doing}: without SFTP the size must be known beforehand")
        if name in (b"", b".", b".."):
            raise LocalRefused(
                f"{doing}: it does not end with a name", remedy="name the file, not its folder"
            )
        partial = b"%s%s.wf-%s.part" % (folder, slash, os.urandom(8).hex().encode("ascii"))
        try:
            stream = self._sink(location, partial, incoming, doing)
        except NotFound:
            self.shell(location, _MAKE, doing, folder or b"/")
            stream = self._sink(location, partial, incoming, doing)
        assert incoming.size is not None
        return ScpWriter(self, location, partial, stream, incoming.size)

    def _sink(self, location: Location, partial: bytes, incoming: Incoming, doing: str) -> Stream:
        """A remote scp that waits for the first byte."""
        size = incoming.size
        assert size is not None
        stream = self._command(location, "write", b"scp -t " + quoted(partial), doing)
        mode = 0o666 if incoming.mode is None else incoming.mode & 0o777
        try:
            _insist_on_ok(stream, doing, Unreachable)
            stream.about(doing, Broken)
            stream.settled()
            stream.send(b"C%04o %d f\n" % (mode, size))
            _insist_on_ok(stream, doing, Broken)
        except BaseException:
            stream.close()
            raise
        return stream

    def stat(self, location: Location) -> Entry:
        """Type and size out of the one line of `ls -ldn`, whose first fields POSIX fixes."""
        path = path_of(location)
        said = self.shell(location, _LOOK, f"cannot look at {shown_path(path)}", path, purpose="read")
        fields = said.split(None, 5)
        if len(fields) < 5 or not fields[4].isdigit() or not fields[0].startswith(b"-"):
            return Entry("", None, None, said.startswith(b"d"))
        return Entry("", int(fields[4]))

    def list(self, location: Location, *, recursive: bool) -> Iterator[Entry]:
        raise Unsupported(f"cannot list {shown_path(path_of(location))}: this server has no SFTP")

    def make_directory(self, location: Location) -> None:
        path = path_of(location)
        self.shell(location, _MAKE, f"cannot make the folder {shown_path(path)}", path)

    def remove(self, location: Location, *, recursive: bool) -> None:
        path = path_of(location).rstrip(b"/")
        doing = f"cannot remove {shown_path(path)}"
        if path.rpartition(b"/")[2] in (b"", b".", b".."):
            raise LocalRefused(f"{doing}: it does not end with a name", remedy="name what to remove")
        try:
            self.shell(location, _REMOVE, doing, path, word=b"all" if recursive else b"one")
        except NotFound:  # below what is no folder
            return

    def digest(self, location: Location, algorithm: str) -> Digest | None:
        """None: the store that has this one computes digests."""
        return None

    def close(self) -> None:
        """Every command has ended already."""

    def shell(
        self,
        location: Location,
        script: str,
        doing: str,
        *names: bytes,
        word: bytes = b"",
        purpose: str = "write",
        context: Context | None = None,
    ) -> bytes:
        """What a script printed before it said that all went well. Raises the error that its words mean.

        `word` is its last argument, and as it stands part of a command: one of ours.
        """
        words = b" ".join((*map(quoted, names), word))
        text = b"exec env LC_ALL=C sh -c 'exec 2>&1; " + script.encode("ascii") + b"' sh " + words
        stream = self._command(location, purpose, text, doing, context)
        # `ssh` itself finds out that the host is gone; a large tree takes its time.
        stream.about(doing, Unreachable, _SCRIPT_SECONDS if context is None else 0.0)
        try:
            stream.end_of_input()
            said = stream.rest()
            if not said:
                raise stream.ended()
        finally:
            stream.close()
        before, done, _ = said.rpartition(_DONE)
        if not done:
            raise _error_of(said, doing, stream.host)
        return before

    def tidy_up(self, location: Location, partial: bytes) -> None:
        """Removes a partial; what fails is not told."""
        context = self._context.for_last_words(_LAST_WORDS_SECONDS)
        try:
            self.shell(location, _REMOVE, "cannot tidy up", partial, word=b"one", context=context)
        except TransferError:
            return

    def _command(
        self, location: Location, purpose: str, text: bytes, doing: str, context: Context | None = None
    ) -> Stream:
        _, opener = self._connections.opener(location, purpose)
        return Stream(opener.command(text), context or self._context, doing)


def _announced_size(stream: Stream, doing: str) -> int:
    """The size in a source's line `C0644 12345 name`. Lines with times are passed over."""
    line = _answer(stream, doing)
    while line.startswith(b"T"):
        stream.send(b"\0")
        line = _answer(stream, doing)
    match = re.match(rb"C[0-7]{1,6} ([0-9]{1,19}) ", line)
    if match is None:
        raise stream.fail(ServerFault(f"{doing}: the far side does not speak the protocol of scp"))
    return int(match[1])


def _answer(stream: Stream, doing: str) -> bytes:
    """The next line of the protocol. Raises the error that one of complaint means."""
    first = stream.byte()
    if first < 0:
        raise stream.ended()
    if first in (1, 2):
        raise _complaint(stream, doing)
    return bytes((first,)) + stream.line()


def _insist_on_ok(stream: Stream, doing: str, otherwise: type[TransferError]) -> None:
    """Reads the NUL by which the other side agrees."""
    first = stream.byte()
    if first == 0:
        return
    if first < 0:
        raise stream.ended()
    if first not in (1, 2):
        raise stream.fail(ServerFault(f"{doing}: the far side does not speak the protocol of scp"))
    error = _complaint(stream, doing)
    raise otherwise(error.what, host=error.host) if type(error) is ServerFault else error


def _complaint(stream: Stream, doing: str) -> TransferError:
    """What the other side says went wrong; a name in it may hold line breaks, so all is read until it ends."""
    stream.end_of_input()
    return _error_of(stream.rest(), doing, stream.host)


def _error_of(said: bytes, doing: str, host: str) -> TransferError:
    from ..credentials.redaction import printable, redact

    words = printable(" ".join(redact(said.decode("utf-8", "replace")).split()))[-300:]
    for pattern, kind, remedy in _MEANS:
        if re.search(pattern, words):
            return kind(f"{doing}: {words}", host=host, remedy=remedy)
    return ServerFault(f"{doing}: {words or 'no reason was given'}", host=host)
