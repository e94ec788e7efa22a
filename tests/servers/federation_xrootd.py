"""An origin and two caches of a federation: XRootD and its proxy file cache, as sites of the OSDF run them.

Anybody may read below `/open/`, below `/kept/` only who has a token of the issuer; writing takes a token at both. Paths in
tokens are below the namespace, as `base-path` says in the federation. Caches ask the origin over XRootD's own protocol, which nobody
else can reach, as a user whom the origin trusts; they judge the tokens of those who ask them by themselves.
"""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .process import free_port, short_temporary_directory
from .xrootd_server import Xrootd, certificates_for, give_to_server, insist_on_plugin, xrootd_servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .process import Daemon
    from .tls import TlsFiles
    from .xrootd_server import Issuer

NAMESPACES = ("open", "kept")
_STARTS = 3
"""How often the servers are started anew when one of them does not come up."""
_PATIENCE = 30.0
"""Seconds; only against hanging."""
_DELAY = 0.003
"""XRootD 5 sometimes never looks at a request that comes at once."""


class Servers(NamedTuple):
    """Ports speak HTTPS, and plain HTTP too: for what is put in front of them."""

    origin: int
    caches: tuple[int, ...]
    root: Path
    """What the origin serves: `root/open` is `/open`."""
    daemon: Daemon
    processes: dict[Path, str]
    """What their files with process ids said when all of them answered."""

    def settle(self) -> None:
        """Returns when all servers answer: one that has crashed is started again, which takes a moment."""
        running = {file: file.read_text() for file in self.processes}
        if running == self.processes and all(map(runs, running.values())):
            return
        until = time.monotonic() + _PATIENCE
        while not all(map(runs, (file.read_text() for file in running))):
            assert time.monotonic() < until, self.daemon.output()
            time.sleep(0.02)
        for port in (self.origin, *self.caches):
            while not _answers(port):
                assert time.monotonic() < until, self.daemon.output()
        self.processes.update({file: file.read_text() for file in running})

    def put(self, path: str, content: bytes) -> None:
        """Stores an object at the origin without asking it."""
        place = self.root / path.lstrip("/")
        missing = [folder for folder in place.parents if not folder.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        for made in (*missing, place):
            give_to_server(made)

    def make_folder(self, path: str) -> None:
        place = self.root / path.lstrip("/")
        place.mkdir()
        give_to_server(place)


def runs(process: str) -> bool:
    """Whether it runs, which one that has crashed and that nobody has looked at yet does not."""
    try:
        state = Path(f"/proc/{int(process)}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return False
    return state not in "ZX"


def _answers(port: int) -> bool:
    """Whether a byte of an answer comes; what stands in front of a server accepts also when that is gone."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return bool(connection.recv(1))
    return False


@contextlib.contextmanager
def federation_servers(
    tls: TlsFiles, issuer: Issuer, *, caches: int = 2, delay: float = _DELAY
) -> Iterator[Servers]:
    with contextlib.ExitStack() as held:
        for left in reversed(range(_STARTS)):
            try:
                servers = held.enter_context(_servers(tls, issuer, caches, delay))
                break
            except RuntimeError:
                if not left:
                    raise
        yield servers


@contextlib.contextmanager
def _servers(tls: TlsFiles, issuer: Issuer, caches: int, delay: float) -> Iterator[Servers]:
    for plugin in ("XrdHttp", "XrdPss", "XrdPfc", "XrdAccSciTokens"):
        insist_on_plugin(plugin)
    with short_temporary_directory() as name:
        run = Path(name)
        certificates = certificates_for(run, tls)
        issuer.seed(run / "cache")
        root = run / "objects"
        for folder in NAMESPACES:
            (root / folder).mkdir(parents=True)
        origin, inner, *doors = (free_port() for _ in range(2 + caches))
        servers = [
            Xrootd("origin", _origin(run, root, origin, inner, certificates, issuer), (origin,), delay),
            *(
                Xrootd(
                    f"cache{number}", _cache(run, number, door, inner, certificates, issuer), (door,), delay
                )
                for number, door in enumerate(doors)
            ),
        ]
        with xrootd_servers(run, servers) as daemon:
            files = (run / f"{server.name}.pid" for server in servers)
            yield Servers(origin, tuple(doors), root, daemon, {file: file.read_text() for file in files})


def _origin(run: Path, root: Path, port: int, inner: int, certificates: Path, issuer: Issuer) -> str:
    (run / "origin.rights").write_text("u * /open rl\nu xrootd /open rl /kept rl\n")
    return f"""\
xrd.port {inner}
all.export /
oss.localroot {root}
xrootd.chksum max 2 adler32 md5 crc32 crc32c
xrootd.seclib libXrdSec.so
sec.protocol unix
{_web(run, "origin", port, certificates, issuer)}
http.listingdeny no
"""


def _cache(run: Path, number: int, port: int, inner: int, certificates: Path, issuer: Issuer) -> str:
    store = run / f"store{number}"
    store.mkdir()
    (run / f"cache{number}.rights").write_text("u * /open rl\n")
    return f"""\
xrd.port {free_port()}
all.export /
oss.localroot {store}
ofs.osslib libXrdPss.so
pss.cachelib libXrdPfc.so
pss.origin localhost:{inner}
pfc.ram 1g
pfc.blocksize 256k
pfc.prefetch 0
{_web(run, f"cache{number}", port, certificates, issuer)}
http.listingdeny yes
"""


def _web(run: Path, name: str, port: int, certificates: Path, issuer: Issuer) -> str:
    """HTTPS, and who may do what there."""
    (run / f"{name}.tokens").write_text(
        "[Global]\naudience = https://wlcg.cern.ch/jwt/v1/any\nonmissing = passthrough\n"
        f"[Issuer test]\nissuer = {issuer.name}\nbase_path = /open,/kept\n"
    )
    return f"""\
xrd.tls {certificates}/server.pem {certificates}/server.key
xrd.tlsca certdir {certificates}/authorities
xrd.protocol http:{port} libXrdHttp.so
http.header2cgi Authorization authz
http.selfhttps2http no
ofs.authorize 1
ofs.authlib ++ libXrdAccSciTokens.so config={run}/{name}.tokens
acc.authdb {run}/{name}.rights
"""
