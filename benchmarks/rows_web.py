"""HTTP and HTTPS: one large file, many small ones, and many small ones far away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import loopback
from measure import Ratio
from rows import OURS, Bench, cpu, wall

if TYPE_CHECKING:
    from measure import Contender
    from rows import Row

IN_PYTHON = str(Path(__file__).resolve().parent / "in_python.py")


def http_large(bench: Bench) -> Row:
    return _large(bench, "http-large", "HTTP to a file, with SHA-256", bench.web.url, 1.15, 1.0)


def https_large(bench: Bench) -> Row:
    title = f"HTTPS ({loopback.CIPHER}) to a file, with SHA-256"
    return _large(bench, "https-large", title, bench.web.tls_url, 1.5, None)


def _large(bench: Bench, name: str, title: str, url: str, cpu_goal: float, wall_goal: float | None) -> Row:
    source, digest = bench.large()
    check = bench.large_arrived()
    target = str(bench.out / "large")
    batch = bench.batch(name, [(f"{url}/large", f"file://{target}", digest)])
    tls = ("--cacert", str(bench.web.tls.ca)) if url.startswith("https") else ()
    contenders: list[Contender | None] = [
        bench.ours(OURS, batch, check),
        bench.peer("curl", ("curl", "-s", "--fail", *tls, "-o", target, f"{url}/large"), check),
    ]
    if bench.programs.aria2 and not tls:
        command = (bench.programs.aria2, "-q", "--file-allocation=none", "-d", str(bench.out), f"{url}/large")
        contenders.append(bench.peer("aria2c", command, check, rounds=1))
    contenders.append(bench.peer("openssl dgst", ("openssl", "dgst", "-sha256", str(source)), lambda _: None))
    ratios = [cpu(OURS, "curl", cpu_goal), wall(OURS, "curl", wall_goal or 1.0)]
    size = f"{bench.scale.large >> 20} MiB"
    notes = [
        "curl checks nothing; the hash alone is the row of openssl, which reads the file in the page cache."
    ]
    if wall_goal is None:
        ratios.pop()
    ratios += _beside_hash("curl")
    return bench.measured(name, f"{size} {title}", contenders, ratios, rounds=bench.scale.rounds, notes=notes)


def http_many(bench: Bench) -> Row:
    """Beside libraries and pegasus-transfer too."""
    names = bench.small(bench.scale.many)
    some = dict(list(names.items())[:: bench.scale.slow])
    url = f"{bench.web.url}/small"
    pairs = bench.listing("pairs", (f"{url}/{name}\t{bench.out}/{name}" for name in names))
    python = bench.programs.requests
    pegasus = bench.programs.pegasus
    few = bench.batch("some", ((f"{url}/{name}", f"file://{bench.out}/{name}", None) for name in some))
    aria2 = bench.programs.aria2
    listing = bench.listing("aria2", (f"{url}/{name}" for name in names))
    contenders = [
        *_small(bench, "http-many", url, names),
        aria2
        and bench.peer(
            "aria2c",
            (aria2, "-q", "--file-allocation=none", "-j16", "-d", str(bench.out), "-i", listing),
            bench.small_arrived(names),
            rounds=2,
        ),
        python
        and bench.peer(
            "requests, 8 threads",
            (python, IN_PYTHON, "requests", "get", pairs),
            bench.small_arrived(names),
            rounds=2,
        ),
        pegasus
        and bench.peer(
            "pegasus-transfer",
            (*pegasus, "-n", str(max(1, min(8, len(some) // 10))), "-f", few),  # they start two seconds apart
            bench.small_arrived(some),
            share=len(some) / len(names),
            rounds=1,
        ),
    ]
    ratios = [
        cpu(OURS, "curl -Z", 2.0),
        cpu(OURS, "requests, 8 threads", 1 / 6),
        cpu(OURS, "aria2c", 0),
        cpu(OURS, "pegasus-transfer", 1 / 40),
        *_beside_hash("curl -Z"),
    ]
    title = f"{len(names):,} x 64 KiB over HTTP, with SHA-256"
    notes = [
        f"pegasus-transfer moves {len(some)} of the files; its start is in that figure as often as the rest."
    ]
    return bench.measured("http-many", title, contenders, ratios, rounds=bench.scale.many_rounds, notes=notes)


def https_many(bench: Bench) -> Row:
    names = bench.small(bench.scale.many)
    contenders = _small(bench, "https-many", f"{bench.web.tls_url}/small", names)
    title = f"{len(names):,} x 64 KiB over HTTPS, with SHA-256"
    return bench.measured(
        "https-many",
        title,
        contenders,
        [cpu(OURS, "curl -Z", 0), *_beside_hash("curl -Z")],
        rounds=bench.scale.rounds,
        notes=["No goal."],
    )


def _small(bench: Bench, name: str, url: str, names: dict[str, str]) -> list[Contender]:
    check = bench.small_arrived(names)
    triples = ((f"{url}/{one}", f"file://{bench.out}/{one}", digest) for one, digest in names.items())
    lines = (f'url="{url}/{one}"\noutput="{bench.out}/{one}"' for one in names)
    tls = ("--cacert", str(bench.web.tls.ca)) if url.startswith("https") else ()
    configuration = bench.listing(f"{name}.curl", lines)
    files = [str(bench.web.root / "small" / one) for one in names]
    return [
        bench.ours(OURS, bench.batch(name, triples), check),
        bench.peer("curl -Z", ("curl", "-s", "--fail", "-Z", *tls, "-K", configuration), check),
        bench.peer("openssl dgst", ("openssl", "dgst", "-sha256", *files), lambda _: None),
    ]


def _beside_hash(peer: str) -> list[tuple[Ratio, str]]:
    """No goal: what the peer and the hash that it leaves out would cost together."""
    return [(Ratio(OURS, (peer, "openssl dgst"), what, 0), "") for what in ("cpu", "wall")]


def far_many(bench: Bench) -> Row:
    """50 ms away, with everybody's own idea of how many connections to open."""
    names = bench.small(bench.scale.many)
    some = dict(list(names.items())[:: bench.scale.slow])
    with loopback.relay(bench.web.port) as port, loopback.relay(bench.web.s3_port) as s3_port:
        url = f"http://127.0.0.1:{port}/small"
        table = bench.listing("urls.csv", (f"{url}/{one},{one}" for one in some))
        endpoint = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3_port}"}
        from rows_s3 import s5cmd_gets

        objects = (
            (f"s3://{loopback.BUCKET}/small/{one}", f"file://{bench.out}/{one}", digest)
            for one, digest in names.items()
        )
        rclone = bench.programs.rclone
        contenders = [
            *_small(bench, "far", url, names),
            rclone
            and bench.peer(
                "rclone copyurl",
                (rclone, "copyurl", "--urls", table, str(bench.out)),
                bench.small_arrived(some),
                share=len(some) / len(names),
                rounds=1,
            ),
            bench.ours(
                f"{OURS}, S3",
                bench.batch("far-s3", objects),
                bench.small_arrived(names),
                environment=endpoint,
            ),
            s5cmd_gets(bench, names, endpoint["AWS_ENDPOINT_URL_S3"]),
        ]
        ratios = [
            wall(OURS, "curl -Z", 0.9),
            wall(OURS, "rclone copyurl", 1 / 10),
            wall(f"{OURS}, S3", "s5cmd run, get", 0.4),
        ]
        title = f"{len(names):,} x 64 KiB at a round trip of 50 ms, default options, with SHA-256"
        notes = [
            f"The relay is a process on the same cores. rclone copyurl moves {len(some)} of the files.",
            "curl -Z has 50 connections, rclone 4, s5cmd 256.",
        ]
        rounds = max(1, bench.scale.rounds - 1)
        return bench.measured("far", title, contenders, ratios, rounds=rounds, notes=notes)
