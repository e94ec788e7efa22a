"""Channels of the `ssh` program: its configuration, agent, jump hosts and known hosts are the user's own.

One process is one channel. `ssh` gets a session of its own, so that a signal to our terminal does not end it before
we have tidied up, and can ask nobody anything (BatchMode). Nothing secret is in its arguments.
"""

from __future__ import annotations

import os
import re
import select

from .errors import Misconfigured
from .ssh_errors import error_of_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import BinaryIO, Final

    from ..credentials.kinds import Credential
    from .context import Context
    from .errors import TransferError
    from .ssh import Account

_PIPE_BYTES: Final = 1 << 20
_SET_PIPE_SIZE: Final = 1031
"""F_SETPIPE_SZ of Linux (fcntl(2)): fewer, larger reads. Elsewhere it fails, and nothing is lost."""
_WORDS_MOST: Final = 8192
_LAST_WORDS_SECONDS: Final = 2.0
"""How long `ssh` may take to say why it ended, and to end when it was asked to."""
# As sftp(1) has it: a file transfer forwards nothing and runs nothing here, whatever the configuration says.
_QUIET: Final = (
    "-oBatchMode=yes",
    "-oClearAllForwardings=yes",
    "-oForwardAgent=no",
    "-oForwardX11=no",
    "-oPermitLocalCommand=no",
    "-oRemoteCommand=none",
    "-oRequestTTY=no",
    "-oEscapeChar=none",
    "-oLogLevel=INFO",
)
_UNSPEAKABLE: Final = re.compile(r'["\\\x00-\x1f]|\$\{')


class ProcessOpener:
    """Starts `ssh`, once for each channel."""

    def __init__(self, program: str, context: Context, account: Account, credential: Credential) -> None:
        self._context = context
        self._account = account
        self._credential = credential
        self._arguments = arguments(program, context, account, credential)

    def subsystem(self, name: str, *, alone: bool = False) -> ProcessChannel:
        words = ["-oControlPath=none"] if alone else []
        return self._start([*words, "-s", "--", self._account.host, name])

    def command(self, text: bytes) -> ProcessChannel:
        # A command may be silent for long: then only this tells whether the host is still there.
        return self._start(["-oServerAliveInterval=15", "--", self._account.host, text])

    def _start(self, rest: list[str | bytes]) -> ProcessChannel:
        return ProcessChannel([*self._arguments, *rest], self._account.shown, self._credential)

    def close(self) -> None:
        """Channels are closed by those who have them."""


def arguments(program: str, context: Context, account: Account, credential: Credential) -> list[str]:
    """The command line before `--`. Raises Misconfigured for a key's path that ssh cannot be told."""
    words = [program, *_QUIET, f"-oConnectTimeout={max(1, round(context.connect))}"]
    if context.accept_new_host_keys:
        words.append("-oStrictHostKeyChecking=accept-new")
    if account.port:
        words.append(f"-p{account.port}")
    if account.user:
        words.append(f"-l{account.user}")
    return [*words, *_identity(credential)]


def _identity(credential: Credential) -> list[str]:
    from ..credentials.kinds import SshAgent, SshKey

    if isinstance(credential, SshAgent):
        return [_option("IdentityAgent", credential.socket)]
    if not isinstance(credential, SshKey) or credential.found_by_ssh:
        return []
    words = [_option("IdentityFile", credential.private_key), "-oIdentitiesOnly=yes"]
    if credential.certificate:
        words.append(_option("CertificateFile", credential.certificate))
    return words


def _option(word: str, path: str) -> str:
    """An option whose value is a path; `ssh` expands `%` and `${}` in it and splits it at blanks (ssh_config(5))."""
    path = os.path.abspath(path)
    if _UNSPEAKABLE.search(path):
        from ..credentials.redaction import printable

        raise Misconfigured(
            f"cannot tell ssh the path {printable(path)}", remedy="rename it: without quotes, \\ and ${"
        )
    return f'-o{word}="{path.replace("%", "%%")}"'


class ProcessChannel:
    """The standard streams of one `ssh` process, not blocking."""

    __slots__ = (
        "_credential",
        "_errors",
        "_heard",
        "_input",
        "_output",
        "_poll",
        "_process",
        "_writing",
        "silent",
        "what",
    )

    def __init__(self, command: list[str | bytes], what: str, credential: Credential) -> None:
        import subprocess

        self.what = what
        self.silent = False
        self._credential = credential
        self._errors = _nameless_file()
        self._heard = 0
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise Misconfigured(
                f"cannot run ssh: {error.strerror}", remedy="check the ssh program"
            ) from error
        assert process.stdin is not None and process.stdout is not None
        self._process: subprocess.Popen[bytes] = process
        self._input = process.stdin.fileno()
        self._output = process.stdout.fileno()
        for descriptor in (self._input, self._output):
            os.set_blocking(descriptor, False)
            _enlarge(descriptor)
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN)
        self._writing = False

    def write(self, pieces: list[bytes | memoryview]) -> int:
        try:
            return os.writev(self._input, pieces)
        except BlockingIOError:
            return 0

    def read(self, view: memoryview) -> int:
        try:
            return os.readv(self._output, [view])
        except BlockingIOError:
            return -1

    def wait(self, seconds: float, *, to_write: bool) -> None:
        if to_write is not self._writing:
            self._writing = to_write
            if to_write:
                self._poll.register(self._input, select.POLLOUT)
            else:
                self._poll.unregister(self._input)
        self._poll.poll(max(0, round(seconds * 1000)))

    def settled(self) -> None:
        self._heard = os.fstat(self._errors.fileno()).st_size

    def end_of_input(self) -> None:
        if self._writing:
            self._poll.unregister(self._input)
            self._writing = False
        assert self._process.stdin is not None
        self._process.stdin.close()

    def why(self, kind: type[TransferError], doing: str) -> TransferError:
        import subprocess

        try:
            self._process.wait(_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.terminate()
        words = self._words()
        self.silent = not words.strip()
        return error_of_words(words, kind, doing, self.what, self._credential)

    def _words(self) -> str:
        try:
            size = os.fstat(self._errors.fileno()).st_size
            start = max(self._heard, size - _WORDS_MOST)
            return os.pread(self._errors.fileno(), _WORDS_MOST, start).decode("utf-8", "replace")
        except (OSError, ValueError):
            return ""

    def close(self, *, at_once: bool = False) -> None:
        import subprocess

        process = self._process
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        # Killed at once, a shared connection (ControlMaster) would take the user's other sessions with it.
        for act in (process.terminate, process.kill):
            if not at_once:
                try:
                    process.wait(_LAST_WORDS_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    pass
            act()
            at_once = False
        else:
            process.wait()
        self._errors.close()


def _nameless_file() -> BinaryIO:
    """A file in memory, where the system has such: the temporary folder may be full. Not a pipe, which somebody must
    empty."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("ssh"), "r+b", buffering=0)
    from tempfile import TemporaryFile

    return TemporaryFile()


def _enlarge(descriptor: int) -> None:
    import fcntl

    try:
        fcntl.fcntl(descriptor, _SET_PIPE_SIZE, _PIPE_BYTES)
    except OSError:
        return
