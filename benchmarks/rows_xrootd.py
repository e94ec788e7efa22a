"""XRootD: one large file, both ways, against XRootD's own client. The server is Debian's."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from rows import OURS, Bench, cpu, wall
from rows_ssh import same
from servers.tls import make_tls_files
from servers.xrootd_root import xrootd_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Contender
    from rows import Row

PEER = "xrdcp"
GOAL = 1.2


def xrootd_large(bench: Bench) -> Row:
    """The certificates are for the servers that take them; nothing here is encrypted."""
    certificates = bench.folder / "tls"
    certificates.mkdir()
    source, digest = bench.large()
    with xrootd_root(make_tls_files(certificates), place=bench.folder.parents[1]) as server:
        there, put = server.roots[0] / "large", server.roots[0] / "put"
        shutil.copy(source, there)
        server.give(there)
        arrived = bench.out / "large"
        get_batch = bench.batch("xrootd-get", [(server.url("/large"), f"file://{arrived}", digest)])
        put_batch = bench.batch("xrootd-put", [(f"file://{source}", server.url("/put"), digest)])

        def fresh() -> None:
            bench.fresh()
            put.unlink(missing_ok=True)

        program = shutil.which("xrdcp")
        words = (str(program), "--force", "--silent", "--nopbar", "--cksum", "adler32:source")

        def both(way: str, batch: str, check: Callable[[bytes], None], *ends: str) -> list[Contender | None]:
            ours = bench.ours(f"{OURS} {way}", batch, check, before=fresh)
            ours = ours._replace(command=(bench.programs.ours_xrootd, *ours.command[1:]))
            peer = bench.peer(f"{PEER} {way}", (*words, *ends), check, before=fresh) if program else None
            return [ours, peer]

        contenders = [
            *both("get", get_batch, same(source, arrived), server.url("/large"), str(arrived)),
            *both("put", put_batch, same(source, put), str(source), server.url("/put")),
        ]
        ratios = [cpu(f"{OURS} {way}", f"{PEER} {way}", GOAL) for way in ("get", "put")]
        ratios += [wall(f"{OURS} {way}", f"{PEER} {way}", 0) for way in ("get", "put")]
        return bench.measured(
            "xrootd-large",
            f"{bench.scale.large >> 20} MiB root:// get and put, with SHA-256",
            contenders,
            ratios,
            rounds=bench.scale.rounds,
            notes=[
                "xrdcp computes adler32 and compares it with the server's; no SHA-256.",
                (
                    "wf-transfer is installed with its extra `xrootd`. What it writes it compares by the server's CRC-32C. "
                    "The processor time is that of all its processes."
                ),
            ],
        )
