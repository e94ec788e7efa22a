"""On this machine alone: copies, starts, and what a request costs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from measure import Ratio
from rows import OURS, Bench, Finding, cpu, random_file, wall

if TYPE_CHECKING:
    from measure import Results
    from rows import Row


def copy_large(bench: Bench) -> Row:
    source, digest = bench.large()
    check = bench.large_arrived()
    target = str(bench.out / "large")
    batch = bench.batch("copy", [(f"file://{source}", f"file://{target}", digest)])
    contenders = [
        bench.ours(OURS, batch, check),
        bench.peer("cp", ("cp", str(source), target), check),
        bench.peer("openssl dgst", ("openssl", "dgst", "-sha256", str(source)), lambda _: None),
    ]
    over = ("cp", "openssl dgst")
    ratios = [(Ratio(OURS, over, "wall", 0.6), ""), (Ratio(OURS, over, "cpu", 0.95), "")]
    title = f"{bench.scale.large >> 20} MiB local copy, with SHA-256"
    return bench.measured("copy-large", title, contenders, ratios, rounds=bench.scale.rounds)


def copy_many(bench: Bench) -> Row:
    names = bench.small(bench.scale.more)
    check = bench.small_arrived(names)
    source = bench.web.root / "small"
    triples = (
        (f"file://{source}/{one}", f"file://{bench.out}/{one}", digest) for one, digest in names.items()
    )
    rclone = bench.programs.rclone
    contenders = [
        bench.ours(OURS, bench.batch("copies", triples), check),
        rclone and bench.peer("rclone copy", (rclone, "copy", str(source), str(bench.out)), check),
    ]
    title = f"{len(names):,} x 64 KiB local copies, with SHA-256"
    ratios = [cpu(OURS, "rclone copy", 0.5)]
    rounds = max(1, bench.scale.rounds - 2)
    notes = ["rclone compares checksums after each copy (MD5)."]
    return bench.measured("copy-many", title, contenders, ratios, rounds=rounds, notes=notes)


def start(bench: Bench) -> Row:
    source = bench.folder / "one"
    digest = random_file(source, 1024)
    target = bench.out / "one"
    batch = bench.batch("one", [(f"file://{source}", f"file://{target}", digest)])

    def check(_: bytes) -> None:
        if target.read_bytes() != source.read_bytes():
            raise OSError("the copy differs")

    rclone, pegasus = bench.programs.rclone, bench.programs.pegasus
    contenders = [
        bench.ours(OURS, batch, check),
        bench.peer("python -c pass", (bench.programs.our_python, "-c", "pass"), lambda _: None),
        rclone and bench.peer("rclone copyto", (rclone, "copyto", str(source), str(target)), check),
        pegasus and bench.peer("pegasus-transfer", (*pegasus, "-n", "1", "-f", batch), check, rounds=2),
    ]
    ratios = [
        wall(OURS, "python -c pass", 2.5),
        wall(OURS, "pegasus-transfer", 1 / 15),
        wall(OURS, "rclone copyto", 0),
    ]
    return bench.measured(
        "start",
        "One 1 KiB local copy from a cold start",
        contenders,
        ratios,
        rounds=bench.scale.rounds * 4,
        notes=["Cold is the process, not the page cache. No goal beside rclone."],
    )


def many_tiny(bench: Bench) -> Row:
    """The same 1,000 sources again and again, to ever new names."""
    folder = bench.folder / "tiny"
    folder.mkdir()
    digests = {f"{number:04d}": random_file(folder / f"{number:04d}", 100) for number in range(1000)}
    few, most = 1_000, bench.scale.most

    def batch(count: int) -> str:
        names = list(digests)
        return bench.batch(
            f"tiny-{count}",
            (
                (
                    f"file://{folder}/{names[n % 1000]}",
                    f"file://{bench.out}/{n:06d}",
                    digests[names[n % 1000]],
                )
                for n in range(count)
            ),
        )

    def arrived(count: int):
        def check(_: bytes) -> None:
            for number in range(0, count, 97):
                if (bench.out / f"{number:06d}").read_bytes() != (
                    folder / f"{number % 1000:04d}"
                ).read_bytes():
                    raise OSError(f"copy {number} differs")
            if len(os.listdir(bench.out)) != count:
                raise OSError("copies are missing")

        return check

    runs = {"1 copy": 1, f"{few:,} copies": few, f"{most:,} copies": most}
    one, _, all_of_them = runs
    contenders = [bench.ours(name, batch(count), arrived(count)) for name, count in runs.items()]

    def figures(results: Results) -> list[Finding]:
        kibibytes = (results.median(all_of_them, "peak") - results.median(one, "peak")) * 1024 / most
        found = [Finding("memory a request above the start", kibibytes, 1.0, " KiB")]
        for what in ("cpu", "wall"):
            costs = [results.median(name, what) for name in runs]
            found.append(
                Finding(f"{what} a request over that of {few:,}", (costs[2] / most) / (costs[1] / few), 1.2)
            )
        costs = [results.median(name, "cpu") for name in runs]
        bare = ((costs[2] - costs[0]) / (most - 1)) / ((costs[1] - costs[0]) / (few - 1))
        found.append(Finding(f"cpu a request over that of {few:,}, start taken off", bare, 1.2))
        return found

    return bench.measured(
        "many-tiny",
        f"{most:,} local copies of 100 bytes",
        contenders,
        [],
        rounds=max(1, bench.scale.rounds - 3),
        more=figures,
    )


def reports(bench: Bench) -> Row:
    names = bench.small(bench.scale.more)
    check = bench.small_arrived(names)
    source = bench.web.root / "small"
    triples = (
        (f"file://{source}/{one}", f"file://{bench.out}/{one}", digest) for one, digest in names.items()
    )
    batch = bench.batch("reports", triples)
    more = ("--result", str(bench.folder / "result.json"), "--events", str(bench.folder / "events.jsonl"))
    contenders = [
        bench.ours("without", batch, check),
        bench.ours("with all", batch, check, *more, terminal=True),
    ]
    return bench.measured(
        "reports",
        f"Events, result and progress, {len(names):,} x 64 KiB local copies",
        contenders,
        [cpu("with all", "without", 1.1)],
        rounds=bench.scale.rounds,
        notes=["Progress is shown on a terminal that somebody reads."],
    )
