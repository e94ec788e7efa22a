"""`xrootd` processes on loopback only, whatever they speak: XRootD's own protocol, HTTPS, as origin or as cache.

XRootD listens on every address it has, so all of them run in one network namespace whose only interface is the loopback.
What they serve there is passed on from ports of 127.0.0.1 here. Both have the same numbers, so a server's name for another
one is ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from .process import Daemon, binary, missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .tls import TlsFiles

_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")

_PROGRAM = """\
import asyncio, fcntl, json, os, signal, socket, struct, subprocess, sys, time

# Up with the loopback of the new namespace: SIOCSIFFLAGS, IFF_UP | IFF_RUNNING.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
    fcntl.ioctl(handle, 0x8914, struct.pack("16sh14x", b"lo", 0x41))

given = json.loads(sys.argv[1])

def start(server):
    server["process"] = subprocess.Popen(server["command"], stdin=subprocess.DEVNULL)
    with open(server["pid"], "w") as file:
        file.write(str(server["process"].pid))

for server in given:
    start(server)

# This XRootD crashes now and then, also before it listens. What is wrong with its configuration ends it with a code of its own.
CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)

for server in given:
    crashes = 0
    for port, _ in server["doors"]:
        while True:
            code = server["process"].poll()
            if code in CRASHES and crashes < 3:
                crashes += 1
                start(server)
            elif code is not None:
                sys.exit(f"{server['command']} ended with {code}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.02)

async def pump(reader, writer, delay):
    try:
        while data := await reader.read(1 << 18):
            if delay:
                await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()

alive = set()  # asyncio itself keeps no task alive

async def serve(descriptor, port, delay):
    async def relay(reader, writer):
        task = asyncio.current_task()
        alive.add(task)
        try:
            there = await asyncio.open_connection("127.0.0.1", port, limit=1 << 18)
            await asyncio.gather(pump(reader, there[1], delay), pump(there[0], writer, 0))
            there[1].close()
        except OSError:
            pass
        writer.close()
        alive.discard(task)

    listener = socket.socket(fileno=descriptor)
    listener.listen(64)
    await asyncio.start_server(relay, sock=listener, limit=1 << 18)

async def main():
    for server in given:
        for port, descriptor in server["doors"]:
            await serve(descriptor, port, server["delay"])
    while True:
        await asyncio.sleep(0.2)
        for server in given:
            # One that has crashed costs the test that did it, not all the others.
            if server["process"].poll() in CRASHES:
                print(server["command"], "ended with", server["process"].returncode, flush=True)
                start(server)

asyncio.run(main())
"""


class Xrootd(NamedTuple):
    """One process to be started by `xrootd_servers`."""

    name: str
    """Its files in the run folder begin with it: `NAME.xrootd.cf`, `NAME/`, `NAME.admin/`, `NAME.pid`."""
    configuration: str
    """All of it but `all.adminpath` and `all.pidpath`."""
    ports: tuple[int, ...]
    """From `free_port()`: those that it serves and that are passed on. It is up when all of them accept."""
    delay: float = 0.0
    """Seconds by which what goes to it comes later, as over a network."""
    cluster: int = 0
    """The port of the `cmsd` that runs beside it, which tells a redirector of it or is that of one; 0: it has none."""


@contextlib.contextmanager
def xrootd_servers(
    run: Path, servers: Sequence[Xrootd], *, environment: Mapping[str, str] | None = None
) -> Iterator[Daemon]:
    """Starts them together; all of them accept on their ports of 127.0.0.1 when it returns.

    `run` is a folder with a short path (`short_temporary_directory()`); it and all that is in it when this is called are given
    to the user that the servers run as, for XRootD refuses to be root. They end with the test process, however it ends.
    """
    program, namespace = binary("xrootd"), _namespace()
    run.chmod(0o755)
    with contextlib.ExitStack() as held:
        started = []
        for server in servers:
            listeners = [(port, held.enter_context(_listener(port))) for port in server.ports]
            if server.cluster:
                started.append(_beside(run, server))
            started.append(
                {
                    "command": _command(run, program, server.name, server.configuration),
                    "pid": str(run / f"{server.name}.pid"),
                    "doors": [(port, listener.fileno()) for port, listener in listeners],
                    "delay": server.delay,
                }
            )
        give_to_server(run)
        daemon = Daemon(
            [*namespace, sys.executable, "-c", _PROGRAM, json.dumps(started)],
            port=servers[-1].ports[-1],
            log=run / "output.log",
            keep=[number for one in started for _, number in one["doors"]],
            environment={"XDG_CACHE_HOME": str(run / "cache"), **(environment or {})},
        )
        try:
            yield daemon
        finally:
            daemon.stop()


def insist_on_plugin(name: str) -> None:
    """Skips or fails the test where the plug-in `libNAME-*.so` of the server is not installed."""
    if not any(Path(folder).glob(f"lib{name}-*.so") for folder in _LIBRARIES):
        missing(f"xrootd's plug-in {name}", "sudo make servers")


def certificates_for(run: Path, tls: TlsFiles) -> Path:
    """A folder with `server.pem`, `server.key` and `authorities/`: copies that the server's user may read, nobody else the key."""
    folder = run / "certificates"
    folder.mkdir()
    shutil.copy(tls.server.certificate, folder / "server.pem")
    shutil.copy(tls.server.key, folder / "server.key")
    shutil.copytree(tls.ca_directory, folder / "authorities")
    (folder / "server.key").chmod(0o400)
    return folder


def give_to_server(path: Path) -> None:
    """Makes a file, or a folder with all that is in it, the server's."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(_user())
    os.chown(path, user.pw_uid, user.pw_gid)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(os.path.join(folder, name), user.pw_uid, user.pw_gid, follow_symlinks=False)


class Issuer:
    """Makes tokens as SciTokens and WLCG have them. The servers know its key beforehand, so nothing is fetched."""

    name = "https://issuer.invalid"

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

        self._key = generate_private_key(SECP256R1())

    def token(self, scope: str, *, seconds: int = 3600) -> str:
        """For everything that `scope` allows, such as `storage.read:/kept storage.modify:/kept`."""
        import jwt

        now = int(time.time())
        claims = {"iss": self.name, "sub": "tester", "scope": scope, "wlcg.ver": "1.0"}
        claims |= {"aud": "https://wlcg.cern.ch/jwt/v1/any", "jti": os.urandom(8).hex()}
        claims |= {"iat": now - 60, "nbf": now - 60, "exp": now + seconds}
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": "key"})

    def seed(self, cache: Path) -> None:
        """Puts the public key where libscitokens keeps those that it has fetched; `xrootd_servers` has it look in `run / "cache"`."""
        numbers = self._key.public_key().public_numbers()
        x, y = (
            urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
            for number in (numbers.x, numbers.y)
        )
        key = {"kty": "EC", "crv": "P-256", "kid": "key", "alg": "ES256", "use": "sig", "x": x, "y": y}
        later = int(time.time()) + 86_400
        keys = json.dumps({"jwks": {"keys": [key]}, "next_update": later, "expires": later + 86_400})
        folder = cache / "scitokens"
        folder.mkdir(parents=True)
        with contextlib.closing(sqlite3.connect(folder / "scitokens_cpp.sqllite")) as base:
            base.execute(
                "CREATE TABLE keycache (issuer text UNIQUE PRIMARY KEY NOT NULL, keys text NOT NULL)"
            )
            base.execute("INSERT INTO keycache VALUES (?, ?)", (self.name, keys))
            base.commit()


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.set_inheritable(True)
    return listener


def _beside(run: Path, server: Xrootd) -> dict[str, object]:
    """The `cmsd` of a server: it has the same name, so that they find each other."""
    text = f"{server.configuration}xrd.port {server.cluster}\n"
    return {
        "command": _command(run, binary("cmsd"), server.name, text),
        "pid": str(run / f"{server.name}.cmsd.pid"),
        "doors": [],
        "delay": 0.0,
    }


def _command(run: Path, program: str, name: str, text: str) -> list[str]:
    kind = Path(program).name
    admin = run / f"{name}.admin"
    admin.mkdir(exist_ok=True)
    configuration = run / f"{name}.{kind}.cf"
    configuration.write_text(f"all.adminpath {admin}\nall.pidpath {admin}\n{text}")
    # IPv4 only: third-party copies between servers of a namespace without IPv6 addresses do not end otherwise.
    command = [
        *(program, "-I", "v4", "-n", name),
        *("-c", str(configuration), "-l", str(run / f"{name}.{kind}.log")),
    ]
    # As a user of its own, for it refuses to be root; and it ends with the program that started it.
    setpriv = [binary("setpriv"), "--pdeathsig", "KILL"]
    if os.geteuid() == 0:
        setpriv += ["--reuid", _user(), "--regid", str(pwd.getpwnam(_user()).pw_gid), "--init-groups"]
    return [*setpriv, "--", *command]


def _namespace() -> list[str]:
    unshare = binary("unshare")
    command = [unshare, "-n"]
    if os.geteuid() != 0:
        command += ["-U", "--map-current-user", "--keep-caps"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may make no network namespace")
    return command


def _user() -> str:
    for name in ("xrootd", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("there is no user that XRootD could run as")
