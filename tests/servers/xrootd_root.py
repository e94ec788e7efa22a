"""XRootD servers that speak XRootD's own protocol: two open to anybody, one that wants tokens, one that wants certificates.

The two open ones speak TLS to clients that ask for it (`roots:`) and copy from each other (TPC). All of them compute
adler32, md5 and crc32c. They and what is below their roots belong to the user that XRootD runs as.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .grid_certificates import USER, GridFiles, make_grid_files
from .process import Daemon, binary, free_port, short_temporary_directory
from .xrootd_server import Issuer, Xrootd, certificates_for, give_to_server, insist_on_plugin, xrootd_servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tls import TlsFiles

OPEN, OTHER, TOKENS, GSI = range(4)


class XrootdRoot(NamedTuple):
    """`ports` and `roots` are those of the four servers, in the order `OPEN`, `OTHER`, `TOKENS`, `GSI`."""

    ports: tuple[int, ...]
    roots: tuple[Path, ...]
    run: Path
    daemon: Daemon
    issuer: Issuer
    authorities: Path
    """The folder of certificate authorities that the servers, and their clients, believe."""
    grid: GridFiles

    def url(self, path: str, server: int = OPEN, scheme: str = "root") -> str:
        return f"{scheme}://localhost:{self.ports[server]}/{path}"

    def pid(self, server: int) -> int:
        return int((self.run / f"s{server}.pid").read_text())

    def give(self, path: Path) -> None:
        """Makes what was put below a root by hand the server's."""
        give_to_server(path)


@contextlib.contextmanager
def xrootd_root(tls: TlsFiles, *, place: Path | None = None) -> Iterator[XrootdRoot]:
    """`place` is where their folder is made, the temporary one if it is not given; its path must be short."""
    insist_on_plugin("XrdAccSciTokens")
    binary("xrdcp")
    with short_temporary_directory(place) as name:
        run = Path(name)
        certificates = certificates_for(run, tls)
        grid = _grid_files(run, certificates)
        ports = tuple(free_port() for _ in range(4))
        roots = tuple(run / f"root{number}" for number in range(4))
        for root in roots:
            root.mkdir()
        texts = (
            _open(),
            _open(),
            _tokens(run, certificates),
            _gsi(run, certificates),
        )
        servers = [
            Xrootd(f"s{number}", _common(port, root, certificates) + text, (port,))
            for number, (port, root, text) in enumerate(zip(ports, roots, texts, strict=True))
        ]
        issuer = Issuer()
        issuer.seed(run / "cache")
        environment = {"X509_CERT_DIR": str(certificates / "authorities")}
        with xrootd_servers(run, servers, environment=environment) as daemon:
            yield XrootdRoot(ports, roots, run, daemon, issuer, certificates / "authorities", grid)


def _grid_files(run: Path, certificates: Path) -> GridFiles:
    """Made in a folder that is the tests' own; what the servers need is put beside their other certificates."""
    folder = run / "grid"
    folder.mkdir()
    grid = make_grid_files(folder)
    for file in grid.ca_directory.iterdir():
        shutil.copy(file, certificates / "authorities")
    shutil.copy(grid.host.certificate, certificates / "grid.pem")
    shutil.copy(grid.host.key, certificates / "grid.key")
    return grid


def _common(port: int, root: Path, certificates: Path) -> str:
    return f"""\
xrd.port {port}
all.export /
oss.localroot {root}
xrootd.chksum max 2 adler32 md5 crc32c
xrd.tls {certificates}/server.pem {certificates}/server.key
xrd.tlsca certdir {certificates}/authorities
"""


def _open() -> str:
    return f"xrootd.tls capable none\nofs.tpc ttl 15 60 xfr 9 pgm {binary('xrdcp')} --server\n"


def _tokens(run: Path, certificates: Path) -> str:
    (run / "tokens").write_text(
        f"[Global]\naudience = https://wlcg.cern.ch/jwt/v1/any\nonmissing = deny\n"
        f"[Issuer test]\nissuer = {Issuer.name}\nbase_path = /\n"
    )
    return f"""\
xrootd.tls capable all
xrootd.seclib libXrdSec.so
sec.protocol ztn
ofs.authorize 1
ofs.authlib libXrdAccSciTokens.so config={run}/tokens
acc.authdb /dev/null
"""


def _gsi(run: Path, certificates: Path) -> str:
    (run / "people").write_text(f'"{USER}" tester\n')
    (run / "rights").write_text("u tester / a\n")
    return f"""\
xrootd.seclib libXrdSec.so
sec.protocol gsi -certdir:{certificates}/authorities -cert:{certificates}/grid.pem -key:{certificates}/grid.key \
-gridmap:{run}/people -crl:0 -gmapopt:2 -dlgpxy:1 -exppxy:=creds
ofs.tpc fcreds gsi =X509_USER_PROXY ttl 15 60 xfr 9 pgm {binary("xrdcp")} --server
ofs.authorize 1
acc.authdb {run}/rights
"""
