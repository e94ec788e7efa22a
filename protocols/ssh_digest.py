"""Digests computed at the far side, by `sha256sum`, `shasum` or `openssl`, where the account may run commands.

One command serves all files of an account: it reads names, each ended by NUL, and answers each with one line. A name is
never part of a command, neither ours nor one that a shell there puts together: `xargs -0` hands it over as an argument.
"""

from __future__ import annotations

import re

from ..checksum.digest import Digest
from .errors import Stopped, TransferError, Unreachable
from .ssh_stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .context import Context
    from .ssh import Opener

ALGORITHMS: Final = {"sha256": "256", "sha512": "512", "sha384": "384", "sha1": "1", "md5": ""}
"""Each with what `shasum -a` calls it."""
_READY: Final = b"wf-digests-ready"
_GREETING_LINES: Final = 200
"""What a login shell prints before our command runs is passed over."""
_SLOWEST: Final = 10e6
"""Bytes per second that the far side hashes at least."""
_NO_NAME: Final = b"\xff\xff\xff\xff"
"""Sent first. No file has that name; and an SFTP server that was started in the command's place (ForceCommand) takes
it for the length of a packet, finds it too long, and ends, instead of waiting for the rest."""
_HEX: Final = re.compile(rb"\\?([0-9a-f]{32,128})\b")

# POSIX sh inside one pair of single quotes, so that whatever login shell there is hands it to sh as it stands.
_COMMAND: Final = (
    "exec sh -c '"
    "if command -v {name}sum; then t={name}sum; "
    'elif [ -n "{bits}" ] && command -v shasum; then t="shasum -a {bits}"; '
    'elif command -v openssl; then t="openssl dgst -{name} -r"; '
    "else exit 1; fi >/dev/null 2>&1; "
    "command -v xargs >/dev/null 2>&1 || exit 1; "
    "echo {ready}; "
    'exec xargs -0 -n 1 sh -c "{{ $t <\\"\\$0\\"; }} 2>/dev/null || echo failed"'
    "'"
)


def command_for(algorithm: str) -> bytes:
    text = _COMMAND.format(name=algorithm, bits=ALGORITHMS[algorithm], ready=_READY.decode())
    return text.encode("ascii")


class Digests:
    """The commands that run for one account, by algorithm; None for those that cannot be run there."""

    def __init__(self, context: Context, opener: Opener) -> None:
        self._context = context
        self._opener = opener
        self._streams: dict[str, Stream | None] = {}

    def digest(self, path: bytes, algorithm: str, size: int) -> Digest | None:
        """The digest of the file at `path`, of about `size` bytes; None where it cannot be computed there."""
        seconds = self._context.stall + size / _SLOWEST
        for again in (True, False):
            if algorithm not in self._streams:
                again = False
                self._streams[algorithm] = self._started(algorithm)
            stream = self._streams[algorithm]
            if stream is None:
                return None
            stream.about("cannot compute a digest at the far side", Unreachable, seconds)
            try:
                stream.send(path + b"\0")
                return _digest_in(stream.line(), algorithm)
            except TransferError as error:
                # A command that waited for long may have ended meanwhile.
                stream.close()
                del self._streams[algorithm]
                if isinstance(error, Stopped):
                    raise
            if not again:
                break
        return None

    def _started(self, algorithm: str) -> Stream | None:
        """The running command; None where the account may run none, or lacks the programs."""
        stream = Stream(self._opener.command(command_for(algorithm)), self._context, "cannot run a command")
        try:
            stream.send(_NO_NAME + b"\0")
            for _ in range(_GREETING_LINES):
                if stream.line() == _READY:
                    stream.line()  # that there is no such file
                    return stream
        except TransferError:
            if self._context.stop.is_set():
                stream.close()
                raise
        stream.broken = True
        stream.close()
        return None

    def close(self) -> None:
        for stream in self._streams.values():
            if stream is not None:
                stream.close()
        self._streams.clear()


def _digest_in(line: bytes, algorithm: str) -> Digest | None:
    match = _HEX.match(line)
    return Digest(algorithm, bytes.fromhex(match[1].decode("ascii"))) if match is not None else None
