"""Two XRootD servers that speak HTTPS and WebDAV, copy to each other (HTTP-TPC), make macaroons and tell checksums.

What goes to them is passed on 3 ms later, as over a network: XRootD 5 sometimes never looks at a request that comes at once.

Anybody may read and write below `/open/`. Below `/kept/` only who has a macaroon or a token of the `Issuer`, or shows the
client certificate.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .process import Daemon, free_port, short_temporary_directory
from .xrootd_server import Issuer, Xrootd, certificates_for, insist_on_plugin, xrootd_servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tls import TlsFiles


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
    insist_on_plugin("XrdHttpTPC")
    with short_temporary_directory() as name:
        run = Path(name)
        certificates = certificates_for(run, tls)
        ports = (free_port(), free_port())
        servers = [
            Xrootd(f"s{number}", _configuration(run, number, port, certificates), (port,), 0.003)
            for number, port in enumerate(ports)
        ]
        issuer = Issuer()
        issuer.seed(run / "cache")
        with xrootd_servers(run, servers) as daemon:
            yield XrootdDav(ports, (run / "root0", run / "root1"), daemon, issuer)


def _configuration(run: Path, number: int, port: int, certificates: Path) -> str:
    root = run / f"root{number}"
    for folder in ("open", "kept"):
        (root / folder).mkdir(parents=True)
    (run / f"secret{number}").write_text("c2VjcmV0LW9mLXRoZS1tYWNhcm9vbnMtb2YtYS10ZXN0LXNlcnZlci1vbmx5Cg==\n")
    (run / f"tokens{number}").write_text(
        f"[Global]\naudience = https://wlcg.cern.ch/jwt/v1/any\nonmissing = passthrough\n"
        f"[Issuer test]\nissuer = {Issuer.name}\nbase_path = /\n"
    )
    (run / f"rights{number}").write_text("u * /open a\nu tester /kept a\n")
    (run / f"people{number}").write_text('"/CN=wf test client" tester\n')
    return f"""\
xrd.port {20_000 + number}
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
"""
