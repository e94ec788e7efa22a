"""OpenSSH's server for the account that runs the tests, and the `ssh` program configured for it.

Nothing of the account's own `~/.ssh` is read or written: a folder with a small `ssh` comes first in PATH, which runs the real one
with a configuration of the test's, as a user's own configuration would be.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .process import Daemon, binary, free_port, short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator


class Keys(NamedTuple):
    """Made once for many servers: they take some tenths of a second."""

    host: Path
    user: Path
    stranger: Path
    """A user's key that no server knows."""
    other_host: Path
    locked: Path
    """A user's key with the pass phrase PHRASE."""


PHRASE = "open it, please"


class Sshd(NamedTuple):
    """A running server. `folder` is the test's own; `configuration` and `known_hosts` are the client's and may be rewritten."""

    port: int
    user: str
    folder: Path
    keys: Keys
    path: str
    """For PATH: a folder with the configured `ssh`."""
    configuration: Path
    known_hosts: Path
    daemon: Daemon

    @property
    def url(self) -> str:
        return f"sftp://{self.user}@127.0.0.1:{self.port}"

    def trust(self, port: int, key: Path | None = None) -> None:
        """Lets the client believe a host key (the server's own) at a port of 127.0.0.1."""
        public = (key or self.keys.host).with_suffix(".pub").read_text().split()
        with self.known_hosts.open("a") as file:
            file.write(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")

    def configure(self, *lines: str, key: Path | None = None) -> None:
        """Rewrites the client's configuration, `lines` first."""
        self.configuration.write_text(
            "\n".join(
                (
                    *lines,
                    "Host *",
                    f"  IdentityFile {key or self.keys.user}",
                    "  IdentitiesOnly yes",
                    "  IdentityAgent none",
                    f"  UserKnownHostsFile {self.known_hosts}",
                    "  GlobalKnownHostsFile /dev/null",
                    "",
                )
            )
        )

    @contextlib.contextmanager
    def one_connection(self) -> Iterator[None]:
        """The client's configuration shares one connection among all its processes (ControlMaster)."""
        socket = self.configuration.parent / "shared-%p-%r"
        self.configure("Host *", "  ControlMaster auto", f"  ControlPath {socket}", "  ControlPersist 60")
        try:
            yield
        finally:
            command = [
                binary("ssh"),
                "-F",
                str(self.configuration),
                "-O",
                "exit",
                f"-p{self.port}",
                "127.0.0.1",
            ]
            subprocess.run(command, capture_output=True, check=False)
            self.configure()

    def logins(self) -> int:
        return self.daemon.log.read_text(errors="replace").count("Accepted ")


def make_keys(folder: Path) -> Keys:
    program = binary("ssh-keygen")
    keys = Keys(*(folder / name for name in Keys._fields))
    for key in keys:
        phrase = PHRASE if key == keys.locked else ""
        command = [program, "-q", "-t", "ed25519", "-N", phrase, "-C", key.name, "-f", str(key)]
        subprocess.run(command, check=True)
    return keys


@contextlib.contextmanager
def sshd(keys: Keys, *settings: str, subsystem: str = "internal-sftp", port: int = 0) -> Iterator[Sshd]:
    """A server with these further settings (`sshd_config`); without a subsystem it speaks no SFTP."""
    program = binary("sshd")
    port = port or free_port()
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", 0o755, exist_ok=True)  # its empty root for the time before a login
    with short_temporary_directory() as name:
        run = Path(name)
        run.chmod(0o755)
        publics = (key.with_suffix(".pub").read_text() for key in (keys.user, keys.locked))
        (run / "authorized_keys").write_text("".join(publics))
        configuration = run / "sshd_config"
        configuration.write_text("\n".join((*_settings(run, keys, port, subsystem), *settings, "")))
        command = [program, "-D", "-e", "-f", str(configuration)]
        daemon = Daemon(command, port=port, log=run / "output.log")
        try:
            yield _client(run, keys, port, daemon)
        finally:
            daemon.stop()


def _settings(run: Path, keys: Keys, port: int, subsystem: str) -> tuple[str, ...]:
    return (
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {keys.host}",
        f"AuthorizedKeysFile {run}/authorized_keys",
        "PidFile none",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UseDNS no",
        "LogLevel INFO",
        *((f"Subsystem sftp {subsystem}",) if subsystem else ()),
    )


def _client(run: Path, keys: Keys, port: int, daemon: Daemon) -> Sshd:
    configuration, folder = run / "ssh_config", run / "bin"
    folder.mkdir()
    ssh = folder / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {binary("ssh")} -F {shlex.quote(str(configuration))} "$@"\n')
    ssh.chmod(0o755)
    files = run / "files"
    files.mkdir(exist_ok=True)
    user = pwd.getpwuid(os.getuid()).pw_name
    server = Sshd(port, user, files, keys, str(folder), configuration, run / "known_hosts", daemon)
    server.configure()
    server.trust(port)
    return server


_ASYNCSSH = """\
import asyncio, sys
import asyncssh
port, host_key, authorized, password, rename = int(sys.argv[1]), *sys.argv[2:6]
if rename != "posix":
    asyncssh.sftp.SFTPServerHandler._extensions = []

class Server(asyncssh.SSHServer):
    def password_auth_supported(self):
        return True
    def validate_password(self, user, given):
        return given == password

async def run(process):
    child = await asyncio.create_subprocess_exec(
        "sh", "-c", process.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    await process.redirect(stdin=child.stdin, stdout=child.stdout)
    process.exit(await child.wait())

async def main():
    server = await asyncssh.create_server(Server, "127.0.0.1", port, server_host_keys=[host_key],
        authorized_client_keys=authorized, sftp_factory=True, process_factory=run, encoding=None)
    await server.wait_closed()

asyncio.run(main())
"""
PASSWORD = "it:is=secret"


@contextlib.contextmanager
def asyncssh_server(keys: Keys, *, rename: str = "posix") -> Iterator[Sshd]:
    """asyncssh's server. It also takes PASSWORD, from anybody. With another `rename` it cannot replace files by it."""
    port = free_port()
    with short_temporary_directory() as name:
        run = Path(name)
        (run / "authorized_keys").write_text(keys.user.with_suffix(".pub").read_text())
        arguments = [str(port), str(keys.host), str(run / "authorized_keys"), PASSWORD, rename]
        command = [sys.executable, "-c", _ASYNCSSH, *arguments]
        daemon = Daemon(command, port=port, log=run / "output.log")
        try:
            yield _client(run, keys, port, daemon)
        finally:
            daemon.stop()


@contextlib.contextmanager
def rclone_sftp(keys: Keys) -> Iterator[Sshd]:
    """`rclone serve sftp` for `folder`, which is its root: it runs no commands and cannot write out of order."""
    program = binary("rclone", enable="make env")
    port = free_port()
    with short_temporary_directory() as name:
        run = Path(name)
        (run / "authorized_keys").write_text(keys.user.with_suffix(".pub").read_text())
        command = [program, "serve", "sftp", str(run / "files"), "--addr", f"127.0.0.1:{port}"]
        command += ["--key", str(keys.host), "--authorized-keys", str(run / "authorized_keys")]
        command += ["--config", "/dev/null", "--cache-dir", str(run / "cache")]
        (run / "files").mkdir()
        daemon = Daemon(command, port=port, log=run / "output.log")
        try:
            yield _client(run, keys, port, daemon)
        finally:
            daemon.stop()
