"""Globus: how many files are one task, and what each of them costs us. No peer submits more than one task a file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Wrong
from rows import OURS, Bench, Finding
from servers.globus_service import GUEST, globus_service
from servers.tls import make_tls_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Results
    from rows import Row
    from servers.globus_service import GlobusService

MILLISECONDS = 1000.0


def globus_many(bench: Bench) -> Row:
    """The double that moves the bytes has a process of its own, whose time is not ours."""
    _bring_library(bench)
    count = bench.scale.more
    source, destination = bench.folder / "globus", bench.out
    folder = bench.folder / "tls"
    folder.mkdir()
    tls = make_tls_files(folder)
    with globus_service(tls) as globus:
        one = globus.collection(source, entity_type=GUEST)
        other = globus.collection(destination, entity_type=GUEST)
        for number in range(count):
            (source / f"{number:06d}").write_bytes(b"x" * 100)
        environment = {**globus.environment, **globus.login, "SSL_CERT_FILE": str(tls.ca)}

        def batch(count: int) -> str:
            pairs = (
                (f"globus://{one}/{n:06d}", f"globus://{other}/{count}/{n:06d}", None) for n in range(count)
            )
            return bench.batch(f"globus-{count}", pairs)

        runs = {f"{OURS}, 1 file": 1, f"{OURS}, {count:,} files": count}
        contenders = [
            bench.ours(name, batch(number), _arrived(globus, bench, number), environment=environment)
            for name, number in runs.items()
        ]

        def figures(results: Results) -> list[Finding]:
            costs = [results.median(name, "cpu") for name in runs]
            each = MILLISECONDS * (costs[1] - costs[0]) / (count - 1)
            tasks = max(_tasks_of(globus, count))
            return [
                Finding("cpu a file, start taken off", each, 0.2, " ms"),
                Finding(f"tasks for {count:,} files", float(tasks), 1.0),
            ]

        return bench.measured(
            "globus-many",
            f"{count:,} files of 100 bytes between two Globus collections",
            contenders,
            [],
            rounds=max(1, bench.scale.rounds - 3),
            more=figures,
            notes=[
                "The service is a double that really copies, on this machine; wall time is mostly its own."
            ],
        )


def _bring_library(bench: Bench) -> None:
    """Our environment has nothing but our wheel; without its extra there is no Globus."""
    pip = Path(bench.programs.ours).parent / "pip"
    command = [str(pip), "install", "-q", "--disable-pip-version-check", "globus-sdk>=4"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise Wrong("globus-sdk could not be installed")


def _arrived(globus: GlobusService, bench: Bench, count: int) -> Callable[[bytes], None]:
    def check(_: bytes) -> None:
        found = sum(1 for _ in (bench.out / str(count)).iterdir())
        if found != count:
            raise Wrong(f"{found} of {count} files arrived")

    return check


def _tasks_of(globus: GlobusService, count: int) -> list[int]:
    """How many tasks each run of `count` files took: every document holds the whole run, or there were several."""
    items = [len(document["DATA"]) for document in globus.documents()]
    return [-(-count // each) for each in items if each > 1] or [count]
