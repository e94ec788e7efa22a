"""Data federations: a large object and many small ones through an XRootD cache, beside pelicanfs.

Origin and cache are XRootD, the director is the double of the tests. Where this runs as root, everything is in the servers' network
namespace, so that nothing stands between; else the servers' relay does, for all alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loopback import HERE
from measure import Wrong
from rows import KIB, OURS, cpu, random_file, wall
from servers.federation_director import FederationIssuer
from servers.federation_xrootd import Servers, federation_servers
from servers.process import free_port
from servers.xrootd_server import give_to_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from measure import Contender
    from rows import Bench, Row

PEER = "pelicanfs, SHA-256"
SINGLY = "pelicanfs one by one, SHA-256"
NOTE = "pelicanfs compares nothing; the SHA-256 of what it got is computed in the same process."
WARM = "Everything is in the cache before."


class Federation(NamedTuple):
    url: str
    cache: str
    root: Path
    """What the origin serves as `/open`."""
    inside: tuple[str, ...]
    """Before a command: it runs where the servers are."""


def osdf_large(bench: Bench) -> Row:
    with _federation(bench) as federation:
        digest = random_file(federation.root / "large", bench.scale.large)
        give_to_server(federation.root)

        def check(_: bytes) -> None:
            if _sha256(bench.out / "large") != digest:
                raise Wrong("other bytes have arrived")

        batch = bench.batch("osdf", [(f"{federation.url}/open/large", f"file://{bench.out}/large", digest)])
        _warm(bench, federation, ["large"])
        contenders = _all(bench, federation, batch, {"large": digest}, check)
        size = f"{bench.scale.large >> 20} MiB"
        ratios = [cpu(OURS, PEER, 0.7), wall(OURS, PEER, 1.0)]
        title = f"{size} through an OSDF cache, with SHA-256"
        return bench.measured(
            "osdf-large", title, contenders, ratios, rounds=bench.scale.rounds,
            notes=[NOTE, WARM],
        )  # fmt: skip


def osdf_many(bench: Bench) -> Row:
    with _federation(bench) as federation:
        folder = federation.root / "many"
        folder.mkdir()
        names = {
            f"{number:06d}": random_file(folder / f"{number:06d}", 64 * KIB)
            for number in range(bench.scale.many)
        }
        give_to_server(federation.root)

        def check(_: bytes) -> None:
            if {name: _sha256(bench.out / name) for name in os.listdir(bench.out)} != names:
                raise Wrong("other files have arrived")

        triples = (
            (f"{federation.url}/open/many/{name}", f"file://{bench.out}/{name}", digest)
            for name, digest in names.items()
        )
        _warm(bench, federation, [f"many/{name}" for name in names])
        contenders = _all(bench, federation, bench.batch("osdf", triples), names, check, folder="many/")
        title = f"{len(names):,} x 64 KiB through an OSDF cache, with SHA-256"
        return bench.measured(
            "osdf-many", title, contenders, [cpu(OURS, PEER, 1 / 5), wall(OURS, PEER, 1.0), cpu(OURS, SINGLY, 1 / 5)],
            rounds=bench.scale.rounds, notes=[NOTE, WARM],
        )  # fmt: skip


def _all(
    bench: Bench,
    federation: Federation,
    batch: str,
    names: dict[str, str],
    check: Callable[[bytes], None],
    *,
    folder: str = "",
) -> list[Contender]:
    pairs = bench.listing("pairs", (f"/open/{folder}{name}\t{bench.out}/{name}" for name in names))
    python = bench.programs.pelicanfs
    found = [bench.ours(OURS, batch, check)]
    ways = [(PEER, "together"), (SINGLY, "singly")] if len(names) > 1 else [(PEER, "together")]
    for name, how in ways if python is not None else ():
        command = (python, str(HERE / "in_pelicanfs.py"), how, federation.url, pairs)
        found.append(bench.peer(name, command, check))
    return [one._replace(command=(*federation.inside, *one.command)) for one in found]


def _warm(bench: Bench, federation: Federation, names: list[str]) -> None:
    """Has the cache fetch everything, one after the other: XRootD 5.5's dies now and then of many cold objects at once."""
    lines = (f'url="{federation.cache}/open/{name}"\noutput="/dev/null"' for name in names)
    configuration = bench.listing("warm.curl", lines)
    command = ("curl", "-s", "--fail", "--cacert", str(bench.web.tls.ca), "-K", configuration)
    if subprocess.run([*federation.inside, *command], check=False).returncode:
        raise Wrong("the cache did not fetch the objects")


@contextlib.contextmanager
def _federation(bench: Bench) -> Iterator[Federation]:
    port = free_port()
    issuer = FederationIssuer(f"https://localhost:{port}")
    nsenter = shutil.which("nsenter") if os.geteuid() == 0 else None
    with federation_servers(bench.web.tls, issuer, caches=1, delay=0.0 if nsenter else 0.003) as servers:
        inside = (nsenter, f"--net=/proc/{servers.daemon.process.pid}/ns/net", "--") if nsenter else ()
        with _director(bench, servers, port, inside):
            cache = f"https://localhost:{servers.caches[0]}"
            yield Federation(f"pelican://localhost:{port}", cache, servers.root / "open", inside)


@contextlib.contextmanager
def _director(bench: Bench, servers: Servers, port: int, inside: tuple[str, ...]) -> Iterator[None]:
    pair = bench.web.tls.server
    namespace = {
        "path": "/open",
        "caches": [f"https://localhost:{each}" for each in servers.caches],
        "origins": [f"https://localhost:{servers.origin}"],
    }
    command = [sys.executable, str(HERE / "director.py"), str(port), str(pair.certificate), str(pair.key)]
    process = subprocess.Popen(
        [*inside, *command, json.dumps(namespace)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise Wrong("the director did not start")
        yield
    finally:
        process.communicate("")


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
