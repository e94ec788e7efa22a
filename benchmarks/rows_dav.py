"""WebDAV: one large file to and from Apache."""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING

from measure import Ratio
from rows import OURS, Bench, cpu, wall
from rows_ssh import same
from rows_web import IN_PYTHON
from servers.apache import apache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rows import Row
    from servers.apache import Apache


@contextlib.contextmanager
def _apache(bench: Bench) -> Iterator[Apache]:
    """With its files in memory, where its own user can reach them."""
    before = tempfile.tempdir
    tempfile.tempdir = str(bench.folder.parent.parent)
    try:
        with apache(bench.web.tls) as server:
            yield server
    finally:
        tempfile.tempdir = before


def webdav(bench: Bench) -> Row:
    source, digest = bench.large()
    with _apache(bench) as server:
        there, put = server.root / "large", server.root / "put"
        there.write_bytes(b"")
        there.chmod(0o644)
        with source.open("rb") as origin, there.open("wb") as copy:
            while data := origin.read(1 << 22):
                copy.write(data)
        arrived, was_put = same(source, bench.out / "large"), same(source, put)

        def no_put() -> None:
            put.unlink(missing_ok=True)

        url = f"{server.url}/dav"
        up = bench.batch("dav-put", [(f"file://{source}", server.dav("put"), digest)])
        down = bench.batch("dav-get", [(server.dav("large"), f"file://{bench.out}/large", digest)])
        python = bench.programs.webdav4
        library = (python, IN_PYTHON, "webdav4")
        pairs = (
            bench.listing("dav-gets", [f"{url}/large\t{bench.out}/large"]),
            bench.listing("dav-puts", [f"{source}\t{url}/put"]),
        )
        contenders = [
            bench.ours(f"{OURS} get", down, arrived),
            bench.ours(f"{OURS} put", up, was_put, before=no_put),
            bench.peer(
                "curl -o", ("curl", "-s", "--fail", "-o", f"{bench.out}/large", f"{url}/large"), arrived
            ),
            bench.peer(
                "curl -T", ("curl", "-s", "--fail", "-T", str(source), f"{url}/put"), was_put, before=no_put
            ),
            python and bench.peer("webdav4 get", (*library, "get", pairs[0]), arrived, rounds=2),
            python
            and bench.peer("webdav4 put", (*library, "put", pairs[1]), was_put, before=no_put, rounds=2),
            bench.peer("openssl dgst", ("openssl", "dgst", "-sha256", str(source)), lambda _: None),
        ]
        ratios = [
            cpu(f"{OURS} put", "curl -T", 1.2),
            cpu(f"{OURS} get", "curl -o", 1.2),
            cpu(f"{OURS} put", "webdav4 put", 0.5),
            cpu(f"{OURS} get", "webdav4 get", 0.5),
        ]
        for way, peer in (("put", "curl -T"), ("get", "curl -o")):
            ratios += [
                (Ratio(f"{OURS} {way}", (peer, "openssl dgst"), "cpu", 0), ""),
                (Ratio(f"{OURS} {way}", (f"webdav4 {way}", "openssl dgst"), "cpu", 0), ""),
                wall(f"{OURS} {way}", peer, 0),
            ]
        title = f"{bench.scale.large >> 20} MiB WebDAV put and get, with SHA-256"
        notes = ["The server is Apache with mod_dav. curl and webdav4 check nothing."]
        rounds = max(1, bench.scale.rounds - 2)
        return bench.measured("webdav", title, contenders, ratios, rounds=rounds, notes=notes)
