"""SSH keys: variables, the user's own ssh configuration, a running agent, and the keys that ssh takes by itself."""

from __future__ import annotations

import os

from .errors import CredentialError
from .kinds import SshAgent, SshKey
from .private import check_private, passed_over, seen_now
from .query import SSH_SCHEMES, as_variable
from .records import NamedTuple
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .kinds import Credential, Secret
    from .means import Means
    from .query import Query

_DEFAULT_KEYS: Final = ("id_ed25519", "id_ecdsa", "id_rsa")
_AGENT_SECONDS: Final = 5.0
_REQUEST_IDENTITIES: Final = b"\0\0\0\x01\x0b"
"""Length 1, SSH_AGENTC_REQUEST_IDENTITIES; the answer is SSH_AGENT_IDENTITIES_ANSWER (draft-ietf-sshm-ssh-agent, 3.5)."""
_IDENTITIES_ANSWER: Final = 12


class KeyVariables:
    """`SSH_PRIVATE_KEY_<site>`, or with `general` `SSH_PRIVATE_KEY`. Raises for a file that is missing or unsafe."""

    slow = ""

    def __init__(self, means: Means, *, general: bool) -> None:
        self._means = means
        self._general = general

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if query.scheme not in SSH_SCHEMES or not (query.site or self._general):
            return None
        suffix = "" if self._general else f"_{as_variable(query.site)}"
        for name, path in self._means.named((f"SSH_PRIVATE_KEY{suffix}",), looked):
            return key_at(path, self._means, name, f"${name}={printable(path)}")
        return None


class UserKeys:
    """What `ssh` would take by itself: keys of `~/.ssh/config`, the agent's, and the default ones.

    A key that cannot be used, because others can read it or it wants a pass phrase, is passed over.
    """

    slow = ""

    def __init__(self, means: Means) -> None:
        self._means = means

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if query.scheme not in SSH_SCHEMES:
            return None
        settings = self._settings(query)
        for path in settings.keys:
            found = self._usable(path, "~/.ssh/config", looked, settings)
            if found is not None:
                return found
        agent = self._agent(settings, looked)
        if agent is not None:
            return agent
        for name in _DEFAULT_KEYS:
            path = self._means.home(".ssh", name)
            found = self._usable(path, "", looked, settings) if path else None
            if found is not None:
                return found
        return None

    def _settings(self, query: Query) -> HostSettings:
        path = self._means.home(".ssh", "config")
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                return host_settings(file.read(), query.host.partition(":")[0], self._means.value("HOME"))
        except OSError:
            return HostSettings()

    def _usable(self, path: str, named_by: str, looked: list[str], settings: HostSettings) -> SshKey | None:
        try:
            check_private(path, self._means.policy)
        except FileNotFoundError:
            looked.append(f"{printable(path)} (not there)")
            return None
        except CredentialError as error:
            looked.append(passed_over(error))
            return None
        if _is_encrypted(path):
            looked.append(f"{printable(path)} (has a pass phrase: load it into an agent)")
            return None
        origin = f"{printable(path)} of {named_by}" if named_by else printable(path)
        return key_at(
            path,
            self._means,
            os.path.basename(path),
            origin,
            certificate=settings.certificate,
            user=settings.user,
            found_by_ssh=True,
        )

    def _agent(self, settings: HostSettings, looked: list[str]) -> SshAgent | None:
        named = settings.agent.removeprefix("$")
        path = self._means.value("SSH_AUTH_SOCK") if named in ("", "SSH_AUTH_SOCK") else settings.agent
        if not path or path == "none":
            looked.append("SSH_AUTH_SOCK")
            return None
        count = keys_in_agent(path)
        if not count:
            looked.append(f"SSH_AUTH_SOCK ({'holds no key' if count == 0 else 'nobody answers there'})")
            return None
        return SshAgent(
            path, user=settings.user, name="ssh-agent", origin=f"$SSH_AUTH_SOCK={printable(path)}"
        )


class HostSettings(NamedTuple):
    """What an ssh configuration says about one host."""

    user: str = ""
    keys: tuple[str, ...] = ()
    certificate: str = ""
    agent: str = ""


def key_at(
    path: str,
    means: Means,
    name: str,
    origin: str,
    passphrase: Secret | None = None,
    certificate: str = "",
    user: str = "",
    found_by_ssh: bool = False,
) -> SshKey:
    """The key in a file. Raises MissingCredential and UnsafeFile.

    `<key>-cert.pub` beside it is its certificate, as ssh has it.
    """
    seen = means.named_file(path, origin)
    beside = f"{path}-cert.pub"
    if not certificate and os.path.exists(beside):
        certificate = beside
    public = seen_now(certificate) if certificate else None
    return SshKey(
        path,
        passphrase=passphrase,
        certificate=certificate,
        user=user,
        found_by_ssh=found_by_ssh,
        name=name,
        origin=origin,
        seen=(seen, public) if public is not None else (seen,),
    )


def keys_in_agent(path: str) -> int | None:
    """How many keys the agent behind a socket holds; None where no agent answers."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_AGENT_SECONDS)
        try:
            connection.connect(path)
            connection.sendall(_REQUEST_IDENTITIES)
            answer = b""
            while len(answer) < 9:
                piece = connection.recv(9 - len(answer))
                if not piece:
                    return None
                answer += piece
        except (OSError, ValueError):
            return None
    return int.from_bytes(answer[5:9]) if answer[4] == _IDENTITIES_ANSWER else None


def host_settings(text: str, host: str, home: str) -> HostSettings:
    """What the text of an ssh configuration says about `host`: the first value of each word counts (ssh_config(5)).

    `Match` blocks and `Include` are not read.
    """
    found: dict[str, str] = {}
    keys: list[str] = []
    applies = True
    for word, value in _lines(text):
        if word == "host":
            applies = _matches(host, value.split())
        elif word == "match":
            applies = False
        elif applies and word == "identityfile":
            keys.append(_path(value, home, host))
        elif applies:
            found.setdefault(word, value)
    certificate, agent = found.get("certificatefile", ""), found.get("identityagent", "")
    return HostSettings(
        found.get("user", ""),
        tuple(key for key in keys if key != "none"),
        _path(certificate, home, host) if certificate else "",
        _path(agent, home, host) if agent else "",
    )


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        word, _, value = line.replace("=", " ", 1).partition(" ")
        yield word.lower(), value.strip().strip('"')


def _matches(host: str, patterns: list[str]) -> bool:
    from fnmatch import fnmatchcase

    refused = any(fnmatchcase(host, pattern[1:].lower()) for pattern in patterns if pattern.startswith("!"))
    return not refused and any(fnmatchcase(host, pattern.lower()) for pattern in patterns)


def _path(value: str, home: str, host: str) -> str:
    if value.startswith("~/"):
        value = os.path.join(home, value[2:])
    return value.replace("%d", home).replace("%h", host).replace("%%", "%")


def _is_encrypted(path: str) -> bool:
    """Whether a private key wants a pass phrase. OpenSSH's own form names its cipher after `openssh-key-v1`."""
    from binascii import Error, a2b_base64

    try:
        with open(path, "rb") as file:
            content = file.read(1 << 16)
    except OSError:
        return False
    if b"ENCRYPTED" in content:
        return True
    _, mark, rest = content.partition(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    try:
        body = a2b_base64(rest.partition(b"-----END")[0]) if mark else b""
    except Error:
        return False
    return body.startswith(b"openssh-key-v1\0") and body[19:23] != b"none"
