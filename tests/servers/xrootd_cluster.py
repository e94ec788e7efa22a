"""A redirector and two XRootD servers behind it, open to anybody: files are at one or the other, and clients are sent there."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .process import binary, free_port, short_temporary_directory
from .xrootd_server import Xrootd, give_to_server, xrootd_servers

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMON = """\
all.export /
all.manager localhost:{manager}
xrootd.chksum max 2 adler32 md5 crc32c
cms.delay startup 2 servers 2 lookup 1
cms.space min 1m 2m
"""


class XrootdCluster(NamedTuple):
    """`roots` are what the two servers have."""

    port: int
    ports: tuple[int, int]
    roots: tuple[Path, Path]

    def url(self, path: str) -> str:
        """Of the redirector."""
        return f"root://localhost:{self.port}/{path}"

    def put(self, path: str, data: bytes, server: int) -> None:
        file = self.roots[server] / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        give_to_server(self.roots[server])

    def have(self, path: str) -> list[bytes]:
        """What the servers have under a name."""
        return [(root / path).read_bytes() for root in self.roots if (root / path).exists()]


@contextlib.contextmanager
def xrootd_cluster() -> Iterator[XrootdCluster]:
    """Both servers are known to the redirector when it returns, which takes it some seconds."""
    with short_temporary_directory() as name:
        run = Path(name)
        ports = tuple(free_port() for _ in range(6))
        roots = (run / "root1", run / "root2")
        for root in roots:
            root.mkdir()
        common = _COMMON.format(manager=ports[3])
        texts = (
            f"all.role manager\n{common}",
            *(f"all.role server\noss.localroot {root}\n{common}" for root in roots),
        )
        servers = [
            Xrootd(
                f"s{number}",
                f"{text}if exec xrootd\nxrd.port {ports[number]}\nfi\n",
                (ports[number],),
                0.0,
                ports[3 + number],
            )
            for number, text in enumerate(texts)
        ]
        with xrootd_servers(run, servers):
            cluster = XrootdCluster(ports[0], (ports[1], ports[2]), roots)
            _wait_until_complete(cluster)
            yield cluster


def _wait_until_complete(cluster: XrootdCluster) -> None:
    command = [binary("xrdfs"), f"localhost:{cluster.port}", "locate", "-m", "*"]
    end = time.monotonic() + 60
    while True:
        told = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        if all(f":{port} " in told for port in cluster.ports):
            return
        if time.monotonic() > end:
            raise RuntimeError(f"the redirector knows no more than: {told!r}")
        time.sleep(0.1)
