"""Channels of paramiko, for passwords and pass phrases, and for machines without the `ssh` program.

The user's configuration, known hosts included, counts here too (`ssh_settings.py`). One connection carries all
channels of an account. Host keys are verified: an unknown one is refused unless `Context.accept_new_host_keys`, a
changed one always.
"""

from __future__ import annotations

import os
import select

from .errors import Busy, Denied, MissingExtra, TransferError, TurnedAway, Unreachable
from .ssh_errors import DROPPED, NoSubsystem, error_of_words
from .ssh_settings import far_side

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from typing import Final

    import paramiko

    from ..credentials.kinds import Credential
    from .context import Context
    from .ssh import Account
    from .ssh_settings import FarSide

_PIECE: Final = 32 << 10
"""What one SSH packet carries."""
_KEEP_ALIVE_SECONDS: Final = 15
_WORDS_MOST: Final = 8192
_UNKNOWN_HOST: Final = "Host key verification failed: its key is not known"
_CHANGED_HOST: Final = "REMOTE HOST IDENTIFICATION HAS CHANGED"


class ParamikoOpener:
    """One connection, made when the first channel is asked for."""

    def __init__(
        self, program: str | None, context: Context, account: Account, credential: Credential
    ) -> None:
        self._program = program
        self._context = context
        self._account = account
        self._credential = credential
        self._transport: paramiko.Transport | None = None

    def subsystem(self, name: str, *, alone: bool = False) -> ParamikoChannel:
        channel = self._channel()
        try:
            channel.raw.invoke_subsystem(name)
        except Exception as error:
            channel.close()
            if self._alive():
                raise NoSubsystem(
                    f"cannot log in to {self._account.shown}: the server runs no {name}",
                    host=self._account.shown,
                ) from error
            raise self._failure(error) from error
        return channel

    def command(self, text: bytes) -> ParamikoChannel:
        channel = self._channel()
        try:
            channel.raw.exec_command(text)
        except Exception as error:
            channel.close()
            raise self._failure(error) from error
        return channel

    def _channel(self) -> ParamikoChannel:
        try:
            if self._transport is None or not self._transport.is_active():
                self._transport = self._connected()
            raw = self._transport.open_session(timeout=self._context.connect)
            raw.settimeout(self._context.connect)
            return ParamikoChannel(raw, self._account.shown, self._credential)
        except TransferError:
            raise
        except Exception as error:
            raise self._failure(error) from error

    def _alive(self) -> bool:
        return self._transport is not None and self._transport.is_active()

    def _connected(self) -> paramiko.Transport:
        _insist_on_paramiko()
        import paramiko

        side = far_side(self._program, self._account)
        transport = paramiko.Transport(_socket(side, self._context.connect))
        try:
            transport.banner_timeout = transport.auth_timeout = self._context.connect
            known = _known_keys(side)
            _prefer(transport, known)
            transport.start_client(timeout=self._context.connect)
            self._verify(transport.get_remote_server_key(), known, side)
            self._log_in(transport, side)
            transport.set_keepalive(_KEEP_ALIVE_SECONDS)
        except BaseException:
            transport.close()
            raise
        return transport

    def _verify(self, key: paramiko.PKey, known: dict[str, paramiko.PKey], side: FarSide) -> None:
        if not known:
            if not self._context.accept_new_host_keys:
                raise self._said(_UNKNOWN_HOST)
            _record(side, key)
        elif known.get(key.get_name()) != key:
            raise self._said(_CHANGED_HOST)

    def _log_in(self, transport: paramiko.Transport, side: FarSide) -> None:
        """Presents what the credential holds. Raises Denied when none of it was taken."""
        import paramiko

        from ..credentials.kinds import Basic

        last: Exception | None = None
        if isinstance(self._credential, Basic):
            transport.auth_password(side.user, self._credential.password.reveal())
            return
        for key in self._keys(side):
            try:
                transport.auth_publickey(side.user, key)
                return
            except paramiko.AuthenticationException as error:
                last = error
        raise self._said("Permission denied (publickey)") from last

    def _keys(self, side: FarSide) -> Iterator[paramiko.PKey]:
        """With its certificate first, then without: a certificate whose authority the server does not know must not
        hide the key."""
        import paramiko

        from ..credentials.kinds import SshAgent, SshKey

        credential = self._credential
        if isinstance(credential, SshKey):
            phrase = credential.passphrase.reveal() if credential.passphrase else None
            if credential.certificate:
                certified = _load(credential.private_key, phrase)
                certified.load_certificate(credential.certificate)
                yield certified
            yield _load(credential.private_key, phrase)
            return
        if not isinstance(credential, SshAgent) or credential.socket == os.environ.get("SSH_AUTH_SOCK"):
            yield from paramiko.Agent().get_keys()
        for path in side.keys:
            try:
                yield _load(path, None)
            except (Denied, OSError):
                continue

    def _failure(self, error: Exception) -> TransferError:
        """paramiko's exceptions and those of sockets, as our errors."""
        import paramiko

        doing, host = f"cannot log in to {self._account.shown}", self._account.shown
        if isinstance(error, paramiko.AuthenticationException):
            return self._said(f"Permission denied ({type(error).__name__})")
        if isinstance(error, paramiko.ChannelException):
            return Busy(f"{doing}: the server opens no further session: {error}", host=host)
        words = " ".join(str(each) for each in (error, error.__cause__) if each is not None)
        if isinstance(error, (EOFError, ConnectionResetError)):
            return TurnedAway(
                f"{doing}: {words or 'the server closed the connection'}", host=host, remedy=DROPPED
            )
        if isinstance(error, OSError):
            return Unreachable(f"{doing}: {words or type(error).__name__}", host=host)
        return self._said(words or type(error).__name__)

    def _said(self, words: str) -> TransferError:
        doing, host = f"cannot log in to {self._account.shown}", self._account.shown
        return error_of_words(words, Unreachable, doing, host, self._credential)

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()


class ParamikoChannel:
    """One channel; paramiko's own thread reads the socket."""

    __slots__ = ("_credential", "raw", "silent", "what")

    def __init__(self, raw: paramiko.Channel, what: str, credential: Credential) -> None:
        self.raw = raw
        self.what = what
        self.silent = False
        self._credential = credential

    def write(self, pieces: list[bytes | memoryview]) -> int:
        packet = bytearray()
        for piece in pieces:
            packet += piece[: _PIECE - len(packet)]
            if len(packet) == _PIECE:
                break
        self.raw.settimeout(0.0)
        try:
            return self.raw.send(bytes(packet))
        except TimeoutError:
            return 0
        except EOFError:
            # What paramiko raises when the socket under it is gone, beside OSError.
            raise ConnectionResetError("the connection was cut") from None

    def read(self, view: memoryview) -> int:
        self.raw.settimeout(0.0)
        try:
            data = self.raw.recv(min(len(view), 256 << 10))
        except TimeoutError:
            return -1
        except EOFError:
            raise ConnectionResetError("the connection was cut") from None
        view[: len(data)] = data
        return len(data)

    def wait(self, seconds: float, *, to_write: bool) -> None:
        # paramiko tells by a descriptor only when something can be read.
        if to_write:
            seconds = 0.0 if self.raw.send_ready() else min(seconds, 0.005)
        select.select([self.raw.fileno()], [], [], seconds)

    def settled(self) -> None:
        """paramiko keeps no words."""

    def end_of_input(self) -> None:
        self.raw.shutdown_write()

    def why(self, kind: type[TransferError], doing: str) -> TransferError:
        self.raw.settimeout(0.5)
        try:
            words = self.raw.recv_stderr(_WORDS_MOST).decode("utf-8", "replace")
        except OSError:
            words = ""
        return error_of_words(words, kind, doing, self.what, self._credential)

    def close(self, *, at_once: bool = False) -> None:
        try:
            self.raw.close()
        except (OSError, EOFError):
            return


def _insist_on_paramiko() -> None:
    """Returns with paramiko silenced: it prints whole tracebacks about connections that were dropped."""
    from importlib.util import find_spec

    if find_spec("paramiko") is None:
        raise MissingExtra(
            "this needs the Python module paramiko: there is no ssh program here that could present the credential",
            remedy="install the ssh client, or pip install 'wf-transfer[ssh]'",
        )
    import logging

    logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)


def _socket(side: FarSide, seconds: float) -> socket.socket | paramiko.ProxyCommand:
    if side.command:
        import paramiko

        return paramiko.ProxyCommand(side.command)
    import socket

    return socket.create_connection((side.host, side.port), timeout=seconds)


def _known_keys(side: FarSide) -> dict[str, paramiko.PKey]:
    """The keys under which the host is known, by type."""
    import paramiko

    keys = paramiko.HostKeys()
    for path in side.known_hosts:
        try:
            keys.load(path)
        except (OSError, paramiko.SSHException):
            continue
    found = keys.lookup(side.known_as)
    return dict(found.items()) if found else {}


def _prefer(transport: paramiko.Transport, known: dict[str, paramiko.PKey]) -> None:
    """Asks the host for a key of a type that is known, as OpenSSH does."""
    options = transport.get_security_options()
    wanted = {name for name in options.key_types if name in known}
    if "ssh-rsa" in known:
        wanted |= {name for name in options.key_types if name.startswith("rsa-sha2")}
    options.key_types = (
        *(name for name in options.key_types if name in wanted),
        *(name for name in options.key_types if name not in wanted),
    )


def _record(side: FarSide, key: paramiko.PKey) -> None:
    """Adds a new host's key to the user's known hosts."""
    if not side.known_hosts:
        return
    path = side.known_hosts[0]
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{side.known_as} {key.get_name()} {key.get_base64()}\n")


def _load(path: str, phrase: str | None) -> paramiko.PKey:
    """The private key in a file. Raises Misconfigured and OSError."""
    import paramiko

    problem = "its form is not known"
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key_file(path, password=phrase)
        except paramiko.PasswordRequiredException:
            problem = "it has a pass phrase"
            break
        except (paramiko.SSHException, ValueError) as error:
            if "ecrypt" in str(error) or "checkints" in str(error):
                problem = "the pass phrase is wrong"
    from ..credentials.redaction import printable

    raise Denied(
        f"cannot read the private key {printable(path)}: {problem}",
        remedy="give the pass phrase in the credentials file, or use another key",
    )
