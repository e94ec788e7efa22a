"""S3: many small objects and a large one, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopback import BUCKET
from rows import OURS, Bench, Finding, cpu, wall
from rows_web import IN_PYTHON

if TYPE_CHECKING:
    from measure import Contender, Results
    from rows import Row


def s3_many_get(bench: Bench) -> Row:
    names = bench.small(bench.scale.many)
    check = bench.small_arrived(names)
    triples = (
        (f"s3://{BUCKET}/small/{one}", f"file://{bench.out}/{one}", digest) for one, digest in names.items()
    )
    pairs = bench.listing("gets", (f"small/{one}\t{bench.out}/{one}" for one in names))
    contenders = [
        bench.ours(OURS, bench.batch("s3-get", triples), check),
        s5cmd_gets(bench, names, bench.web.s3),
        _library(bench, "obstore", "get", pairs, check),
        _library(bench, "boto3", "get", pairs, check, rounds=1),
    ]
    return _many(bench, "s3-many-get", "get", contenders)


def s3_many_put(bench: Bench) -> Row:
    names = bench.small(bench.scale.many)
    source = bench.web.root / "small"
    check = bench.small_arrived(names, bench.web.store / BUCKET / "put")
    triples = (
        (f"file://{source}/{one}", f"s3://{BUCKET}/put/{one}", digest) for one, digest in names.items()
    )
    pairs = bench.listing("puts", (f"{source}/{one}\tput/{one}" for one in names))
    lines = bench.listing("s5cmd-puts", (f"cp {source}/{one} s3://{BUCKET}/put/{one}" for one in names))
    s5cmd = bench.programs.s5cmd
    contenders = [
        bench.ours(OURS, bench.batch("s3-put", triples), check, before=bench.no_objects),
        s5cmd
        and bench.peer(
            "s5cmd run, put",
            (s5cmd, "--endpoint-url", bench.web.s3, "run", lines),
            check,
            before=bench.no_objects,
        ),
        _library(bench, "obstore", "put", pairs, check, before=bench.no_objects),
        _library(bench, "boto3", "put", pairs, check, before=bench.no_objects, rounds=1),
    ]
    return _many(bench, "s3-many-put", "put", contenders)


def _many(bench: Bench, name: str, direction: str, contenders: list[Contender | None]) -> Row:
    peer = f"s5cmd run, {direction}"
    ratios = [cpu(OURS, peer, 0.25), wall(OURS, peer, 0.45), cpu(OURS, "obstore, 8 threads", 1.2)]
    title = f"{bench.scale.many:,} x 64 KiB S3 {direction}, with SHA-256"
    return bench.measured(name, title, contenders, ratios, rounds=bench.scale.rounds)


def s5cmd_gets(bench: Bench, names: dict[str, str], endpoint: str) -> Contender | None:
    lines = (f"cp s3://{BUCKET}/small/{one} {bench.out}/{one}" for one in names)
    s5cmd = bench.programs.s5cmd
    return s5cmd and bench.peer(
        "s5cmd run, get",
        (s5cmd, "--endpoint-url", endpoint, "run", bench.listing("s5cmd-gets", lines)),
        bench.small_arrived(names),
    )


def _library(bench: Bench, name: str, direction: str, pairs: str, check, **options) -> Contender | None:
    python = getattr(bench.programs, name)
    return python and bench.peer(
        f"{name}, 8 threads", (python, IN_PYTHON, name, direction, pairs), check, **options
    )


def s3_large(bench: Bench) -> Row:
    """Put over HTTPS signs no part's digest, so there is one hash; over HTTP each part is hashed as well."""
    source, digest = bench.large()
    there, put = f"s3://{BUCKET}/large", f"s3://{BUCKET}/put/large"
    upload = bench.batch("large-put", [(f"file://{source}", put, digest)])
    download = bench.batch("large-get", [(there, f"file://{bench.out}/large", digest)])
    secure = {"AWS_ENDPOINT_URL_S3": bench.web.tls_s3}
    s5cmd = bench.programs.s5cmd
    arrived, was_put = bench.large_arrived(), bench.large_was_put()
    contenders = [
        bench.ours("put, one SHA-256", upload, was_put, before=bench.no_objects, environment=secure),
        bench.ours("put, part hashes as well", upload, was_put, before=bench.no_objects),
        bench.ours("get", download, arrived),
    ]
    for name, endpoint, words, check in (
        ("s5cmd put, HTTPS", bench.web.tls_s3, (str(source), put), was_put),
        ("s5cmd put", bench.web.s3, (str(source), put), was_put),
        ("s5cmd get", bench.web.s3, (there, f"{bench.out}/large"), arrived),
    ):
        before = bench.no_objects if check is was_put else bench.fresh
        command = (str(s5cmd), "--no-verify-ssl", "--endpoint-url", endpoint, "cp", *words)
        contenders.append(bench.peer(name, command, check, before=before) if s5cmd else None)
    ratios = [
        cpu("put, one SHA-256", "s5cmd put, HTTPS", 0.55),
        cpu("put, part hashes as well", "s5cmd put", 0.8),
        cpu("get", "s5cmd get", 1.0),
    ]

    def peaks(results: Results) -> list[Finding]:
        return [
            Finding(f"peak memory of {name}", results.median(name, "peak"), 80, " MiB")
            for name in ("put, one SHA-256", "put, part hashes as well", "get")
        ]

    title = f"{bench.scale.large >> 20} MiB S3 put and get, with SHA-256"
    notes = ["The put with one SHA-256 is over HTTPS for both, where parts are signed without their digests."]
    rounds = max(1, bench.scale.rounds - 2)
    return bench.measured("s3-large", title, contenders, ratios, rounds=rounds, more=peaks, notes=notes)
