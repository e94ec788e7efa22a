"""An origin and two caches of a federation: XRootD and its proxy file cache, as sites of the OSDF run them.

Anybody may read below `/open/`, below `/kept/` only who has a token of the issuer; writing takes a token at both. Paths in
tokens are below the namespace, as `base-path` says in the federation. Caches ask the origin over XRootD's own protocol, which nobody
else can reach, as a user whom the origin trusts; they judge the tokens of those who ask them by themselves.
"""

from __future__ import annotations

import contextlib
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
_DELAY = 0.003
"""XRootD 5 sometimes never looks at a request that comes at once."""


class Servers(NamedTuple):
    """Ports speak HTTPS, and plain HTTP too: for what is put in front of them."""

    origin: int
    caches: tuple[int, ...]
    root: Path
    """What the origin serves: `root/open` is `/open`."""
    daemon: Daemon

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


@contextlib.contextmanager
def federation_servers(
    tls: TlsFiles, issuer: Issuer, *, caches: int = 2, delay: float = _DELAY
) -> Iterator[Servers]:
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
            yield Servers(origin, tuple(doors), root, daemon)


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
