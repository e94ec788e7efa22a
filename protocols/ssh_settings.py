"""What the user's ssh configuration says about a host, for those who connect without the `ssh` program.

Where the program is there it is asked (`ssh -G`), and so its answer is the one that it would act on itself.
"""

from __future__ import annotations

import os
import shlex

from ..checksum.records import NamedTuple
from .errors import Misconfigured, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .ssh import Account

_SECONDS: Final = 10.0
_DEFAULT_KEYS: Final = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")


class FarSide(NamedTuple):
    """One host as the configuration has it."""

    host: str
    port: int
    user: str
    known_hosts: tuple[str, ...]
    """Files that vouch for host keys; new ones go into the first."""
    alias: str
    """The name under which its key is known; empty: host and port."""
    keys: tuple[str, ...]
    command: str
    """What to run and talk through instead of a connection; empty: none."""

    @property
    def known_as(self) -> str:
        if self.alias:
            return self.alias
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def far_side(program: str | None, account: Account) -> FarSide:
    """What to connect to. Raises Misconfigured where that cannot be done without the `ssh` program."""
    said = _asked(program, account) if program is not None else _read(account)
    host = said.get("hostname", [account.host])[0]
    port = int(said.get("port", ["22"])[0])
    user = said.get("user", [account.user])[0] or _own_name()
    files = shlex.split(" ".join(said.get("userknownhostsfile", ["~/.ssh/known_hosts"])))
    files += shlex.split(" ".join(said.get("globalknownhostsfile", ["/etc/ssh/ssh_known_hosts"])))
    alias = said.get("hostkeyalias", [""])[0]
    keys = tuple(map(os.path.expanduser, said.get("identityfile", _DEFAULT_KEYS)))
    known = tuple(map(os.path.expanduser, files))
    command = _command(program, said, host, port, user)
    return FarSide(host.strip("[]"), port, user, known, "" if alias == "none" else alias, keys, command)


def _asked(program: str, account: Account) -> dict[str, list[str]]:
    import subprocess

    words = [program, "-G"]
    words += [f"-p{account.port}"] if account.port else []
    words += [f"-l{account.user}"] if account.user else []
    try:
        run = subprocess.run(
            [*words, "-T", "--", account.host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreachable(f"cannot ask ssh about {account.shown}: {type(error).__name__}") from error
    if run.returncode:
        from ..credentials.redaction import printable

        words_of_ssh = printable(" ".join(run.stderr.decode("utf-8", "replace").split()))[:300]
        raise Misconfigured(
            f"ssh does not accept its configuration: {words_of_ssh}", remedy="correct the ssh configuration"
        )
    said: dict[str, list[str]] = {}
    for line in run.stdout.decode("utf-8", "surrogateescape").splitlines():
        word, _, value = line.partition(" ")
        said.setdefault(word, []).append(value)
    return said


def _read(account: Account) -> dict[str, list[str]]:
    """The user's file as paramiko reads it: without `Include` and most of `Match`."""
    import paramiko

    said: dict[str, list[str]] = {}
    path = os.path.expanduser("~/.ssh/config")
    if os.path.exists(path):
        try:
            found = paramiko.SSHConfig.from_path(path).lookup(account.host)
        except (OSError, paramiko.SSHException) as error:
            raise Misconfigured(
                f"cannot read ~/.ssh/config: {error}", remedy="correct the ssh configuration"
            ) from error
        said = {word: value if isinstance(value, list) else [value] for word, value in found.items()}
    if account.port:
        said["port"] = [str(account.port)]
    if account.user:
        said["user"] = [account.user]
    return said


def _command(program: str | None, said: dict[str, list[str]], host: str, port: int, user: str) -> str:
    """ProxyJump, or ProxyCommand with its tokens replaced (ssh_config(5))."""
    jump = said.get("proxyjump", ["none"])[0]
    if jump != "none":
        if program is None:
            raise Misconfigured(
                f"{host} is reached through {jump}, which needs the ssh program",
                remedy="install the ssh client",
            )
        before, _, last = jump.rpartition(",")
        through = ["-J", before] if before else []
        return shlex.join([program, "-oBatchMode=yes", *through, "-W", f"[{host}]:{port}", "--", last])
    command = said.get("proxycommand", ["none"])[0]
    if command == "none":
        return ""
    for token, value in (("%h", host), ("%p", str(port)), ("%r", user), ("%n", host), ("%%", "%")):
        command = command.replace(token, value)
    return command


def _own_name() -> str:
    import getpass

    return getpass.getuser()
