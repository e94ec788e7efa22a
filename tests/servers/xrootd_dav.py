"""Two XRootD servers that speak HTTPS and WebDAV, copy to each other (HTTP-TPC), make macaroons and tell checksums.

XRootD listens on every address it has, so it runs in a network namespace whose only interface is the loopback. What it
serves there is passed on to ports of 127.0.0.1 here; both have the same numbers, so that a server's name for the other one is ours.
What goes to it is passed on 3 ms later, as over a network: XRootD 5 sometimes never looks at a request that comes at once.

Anybody may read and write below `/open/`. Below `/kept/` only who has a macaroon or a token of the `Issuer`, or shows the
client certificate.
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

from .process import Daemon, binary, free_port, missing, short_temporary_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tls import TlsFiles

_PROGRAM = """\
import asyncio, fcntl, json, os, signal, socket, struct, subprocess, sys, time

# Up with the loopback of the new namespace: SIOCSIFFLAGS, IFF_UP | IFF_RUNNING.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
    fcntl.ioctl(handle, 0x8914, struct.pack("16sh14x", b"lo", 0x41))

servers = []
for command, port, descriptor in json.loads(sys.argv[1]):
    servers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=False))
    while True:
        if servers[-1].poll() is not None:
            sys.exit(f"{command} ended with {servers[-1].returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.02)

async def pump(reader, writer, delay):
    try:
        while data := await reader.read(65536):
            await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()

async def serve(descriptor, port):
    async def relay(reader, writer):
        try:
            there = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, there[1], 0.003), pump(there[0], writer, 0))
            there[1].close()
        except OSError:
            pass
        writer.close()

    listener = socket.socket(fileno=descriptor)
    listener.listen(64)
    await asyncio.start_server(relay, sock=listener)

async def main():
    for _, port, descriptor in json.loads(sys.argv[1]):
        await serve(descriptor, port)
    await asyncio.Event().wait()

asyncio.run(main())
"""


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
        """Puts the public key where libscitokens keeps those that it has fetched."""
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


class XrootdDav(NamedTuple):
    """`ports` and `roots` are those of the two servers."""

    ports: tuple[int, int]
    roots: tuple[Path, Path]
    daemon: Daemon
    issuer: Issuer

    def url(self, path: str, server: int = 0) -> str:
        return f"davs://localhost:{self.ports[server]}/{path}"


@contextlib.contextmanager
def xrootd_dav(tls: TlsFiles) -> Iterator[XrootdDav]:
    program = binary("xrootd")
    if not any(
        Path(folder).glob("libXrdHttpTPC-*.so")
        for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
    ):
        missing("xrootd's HTTP plug-in", "sudo make servers")
    namespace = _namespace()
    with short_temporary_directory() as name, contextlib.ExitStack() as held:
        run = Path(name)
        run.chmod(0o755)
        certificates = _certificates(run, tls)
        ports = (free_port(), free_port())
        commands = []
        for number, port in enumerate(ports):
            listener = held.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.set_inheritable(True)
            command = _server(run, program, number, port, certificates)
            commands.append((command, port, listener.fileno()))
        issuer = Issuer()
        issuer.seed(run / "cache")
        _give(run)
        descriptors = tuple(descriptor for _, _, descriptor in commands)
        daemon = Daemon(
            [*namespace, sys.executable, "-c", _PROGRAM, json.dumps(commands)],
            port=ports[1],
            log=run / "output.log",
            keep=descriptors,
            environment={"XDG_CACHE_HOME": str(run / "cache")},
        )
        try:
            yield XrootdDav(ports, (run / "root0", run / "root1"), daemon, issuer)
        finally:
            daemon.stop()


def _namespace() -> list[str]:
    unshare = binary("unshare")
    command = [unshare, "-n"]
    if os.geteuid() != 0:
        command += ["-U", "--map-current-user", "--keep-caps"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may make no network namespace")
    return command


def _server(run: Path, program: str, number: int, port: int, certificates: Path) -> list[str]:
    root = run / f"root{number}"
    for folder in ("open", "kept"):
        (root / folder).mkdir(parents=True)
    (run / f"admin{number}").mkdir()
    (run / f"secret{number}").write_text("c2VjcmV0LW9mLXRoZS1tYWNhcm9vbnMtb2YtYS10ZXN0LXNlcnZlci1vbmx5Cg==\n")
    (run / f"tokens{number}").write_text(
        f"[Global]\naudience = https://wlcg.cern.ch/jwt/v1/any\nonmissing = passthrough\n"
        f"[Issuer test]\nissuer = {Issuer.name}\nbase_path = /\n"
    )
    (run / f"rights{number}").write_text("u * /open a\nu tester /kept a\n")
    (run / f"people{number}").write_text('"/CN=wf test client" tester\n')
    (run / f"{number}.cf").write_text(f"""\
xrd.port {20_000 + number}
all.adminpath {run}/admin{number}
all.pidpath {run}/admin{number}
all.export /
oss.localroot {root}
xrootd.chksum max 2 adler32 md5 crc32c
xrd.tls {certificates}/server.pem {certificates}/server.key
xrd.tlsca certdir {certificates}/authorities
xrd.protocol http:{port} libXrdHttp.so
http.gridmap {run}/people{number}
http.exthandler xrdtpc libXrdHttpTPC.so
http.exthandler xrdmacaroons libXrdMacaroons.so
http.header2cgi Authorization authz
http.desthttps yes
macaroons.secretkey {run}/secret{number}
all.sitename test{number}
ofs.authorize 1
ofs.authlib libXrdMacaroons.so
ofs.authlib ++ libXrdAccSciTokens.so config={run}/tokens{number}
acc.authdb {run}/rights{number}
""")
    command = [
        program,
        "-I",
        "v4",
        "-n",
        f"s{number}",
        "-c",
        f"{run}/{number}.cf",
        "-l",
        f"{run}/log{number}",
    ]
    # As a user of its own, for it refuses to be root; and it ends with the program that started it.
    setpriv = [binary("setpriv"), "--pdeathsig", "KILL"]
    if os.geteuid() == 0:
        setpriv += ["--reuid", _user(), "--regid", str(pwd.getpwnam(_user()).pw_gid), "--init-groups"]
    return [*setpriv, "--", *command]


def _user() -> str:
    for name in ("xrootd", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("there is no user that XRootD could run as")


def _certificates(run: Path, tls: TlsFiles) -> Path:
    """Copies that the server's user may read; its key must be nobody else's."""
    folder = run / "certificates"
    folder.mkdir()
    shutil.copy(tls.server.certificate, folder / "server.pem")
    shutil.copy(tls.server.key, folder / "server.key")
    shutil.copytree(tls.ca_directory, folder / "authorities")
    (folder / "server.key").chmod(0o400)
    return folder


def _give(run: Path) -> None:
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(_user())
    for folder, _, files in os.walk(run):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(path, user.pw_uid, user.pw_gid)
