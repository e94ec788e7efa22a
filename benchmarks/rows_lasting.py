"""What lasts: dead hosts among good ones, two stages, and a run that was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import measure
from loopback import BUCKET
from measure import Results, Wrong
from rows import OURS, Bench, Finding, Row, load
from servers.faults import FaultProxy, fault_proxy
from servers.seaweed import seaweed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 300.0


# --- a dead host


@contextlib.contextmanager
def _dead(bench: Bench) -> Iterator[dict[str, int]]:
    """Ports by how they are dead; none for the run without one."""
    with socket.socket() as refusing, socket.socket() as silent:
        refusing.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen(1024)  # accepted by the kernel and answered by nobody
        ports = (refusing.getsockname()[1], silent.getsockname()[1], bench.web.busy)
        yield {"alone": 0, **dict(zip(("refusing", "silent", "503"), ports, strict=True))}


def dead_host(bench: Bench) -> Row:
    """The time until the requests to nine good hosts are done, with a tenth of the requests to a dead one."""
    names = list(bench.small(bench.scale.many))
    rounds = max(1, bench.scale.rounds - 2)
    times: dict[str, list[float]] = {}
    before = load()
    with _dead(bench) as dead:
        batches = {kind: _ten_hosts(bench, kind, port, names) for kind, port in dead.items()}
        for number in range(0 if rounds > 1 else 1, rounds + 1):
            for kind, batch in batches.items():
                seconds = _until_done(bench, batch, 9 * len(names))
                print(f"dead-host: round {number}: {kind}: {seconds:.3f} s", flush=True)
                if number:
                    times.setdefault(kind, []).append(seconds)
    findings = [
        Finding(
            f"(time of the nine with one {kind} - 0.1 s) / time alone",
            statistics.median(
                (one - 0.1) / alone for one, alone in zip(times[kind], times["alone"], strict=True)
            ),
            1.2,
        )
        for kind in ("refusing", "silent", "503")
    ]
    lines = [
        "| the tenth host | rounds | seconds until nine are done, median (least) |",
        "| --- | ---: | ---: |",
    ]
    for kind, found in times.items():
        name = "not there" if kind == "alone" else kind
        lines.append(f"| {name} | {rounds} | {statistics.median(found):.3f} ({min(found):.3f}) |")
    title = f"A dead host among ten, {len(names):,} x 64 KiB from each"
    notes = ["Default options. Time is until the last event of a good host; then the run is ended."]
    flags = [f"{OURS}: `wf-transfer -f batch.json --events events.jsonl`"]
    return Row(
        "dead-host", title, "\n".join(lines) + "\n", findings, flags, notes, f"{before}, then {load()}"
    )


def _ten_hosts(bench: Bench, kind: str, dead: int, names: list[str]) -> str:
    ports = [*bench.web.hosts, *([dead] if dead else [])]
    return bench.batch(
        kind,
        (
            (f"http://127.0.0.1:{port}/small/{name}", f"file://{bench.out}/{port}-{name}", None)
            for name in names
            for port in ports
        ),
    )


def _until_done(bench: Bench, batch: str, wanted: int) -> float:
    """Seconds from the start of the process to that many requests done."""
    bench.fresh()
    events = bench.folder / "events.jsonl"
    events.write_bytes(b"")
    command = (bench.programs.ours, "-f", batch, "--events", str(events))
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **bench.environment()},
        cwd=bench.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return _awaited(process, events, wanted, began)
    finally:
        process.kill()
        process.wait()


def _awaited(process: subprocess.Popen[bytes], events: Path, wanted: int, began: float) -> float:
    done, torn = 0, b""
    with events.open("rb") as file:
        while done < wanted:
            if time.perf_counter() - began > PATIENCE:
                raise Wrong(f"{done} of {wanted} requests were done in {PATIENCE:.0f} s")
            ended = process.poll() is not None
            *lines, torn = (torn + file.read()).split(b"\n")
            done += sum(b'"request-finished"' in line and b'"done"' in line for line in lines)
            seconds = time.perf_counter() - began
            if ended and done < wanted:
                raise Wrong(f"ended after {done} of {wanted} requests")
            if done < wanted:
                time.sleep(0.005)
    return seconds


# --- two stages


def two_stage(bench: Bench) -> Row:
    source, digest = bench.large()
    put = f"s3://{BUCKET}/put/large"
    get = bench.batch("leg-get", [(f"{bench.web.url}/large", f"file://{bench.out}/large", digest)])
    upload = bench.batch("leg-put", [(f"file://{source}", put, digest)])
    through = bench.batch("through", [(f"{bench.web.url}/large", put, digest)])

    def before() -> None:
        bench.fresh()
        bench.no_objects()

    check = bench.large_was_put()
    streamed = bench.ours("streamed", through, check, before=before)
    legs = ("HTTP to file", "file to S3")
    contenders = [
        bench.ours(legs[0], get, bench.large_arrived(), before=before),
        bench.ours(legs[1], upload, check, before=before),
        streamed,
        bench.ours("staged", through, check, "--stage", "file", before=before),
    ]
    findings = [Finding("bytes of disk that a streamed run used", disk_used(bench, streamed), 0, " MiB")]

    def slower(results: Results) -> list[Finding]:
        found = [
            Finding(f"wall, {name} / slower leg", results.slower(name, legs), 1.15)
            for name in ("streamed", "staged")
        ]
        return [*found, *findings]

    title = f"HTTP to S3, {bench.scale.large >> 20} MiB, streamed and staged"
    notes = [
        "The streamed run is done once more with files limited to 64 KiB (`prlimit --fsize`): it needs no larger one."
    ]
    rounds = max(1, bench.scale.rounds - 2)
    return bench.measured("two-stage", title, contenders, [], rounds=rounds, more=slower, notes=notes)


def disk_used(bench: Bench, streamed: measure.Contender) -> float:
    """0 where it is done without a file of more than 64 KiB, else what it would have needed."""
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        raise Wrong("prlimit is not installed")
    limited = (prlimit, "--fsize=65536", "--", *streamed.command)
    try:
        measure.once(streamed._replace(command=limited))
    except Wrong as error:
        print(error)
        return bench.scale.large / (1 << 20)
    return 0.0


# --- killed


class Wire(NamedTuple):
    """A proxy that counts, and a request whose bytes pass it."""

    proxy: FaultProxy
    source: str
    destination: str
    upward: bool
    environment: dict[str, str]

    def passed(self) -> int:
        return self.proxy.bytes_up if self.upward else self.proxy.bytes_down


def killed(bench: Bench) -> Row:
    """How many bytes went over the wire in two runs, of which the first was killed at half."""
    before = load()
    lines = ["| what | bytes over the wire / size of the file |", "| --- | ---: |"]
    findings = []
    for name, wire in _wires(bench):
        at_kill, sent = _killed_and_run_again(bench, name, wire)
        lines.append(
            f"| {name}, killed at {at_kill / bench.scale.large:.2f} | {sent / bench.scale.large:.3f} |"
        )
        twice = sent / bench.scale.large - 1
        findings.append(Finding(f"share of the bytes sent twice, {name}", twice, 0.05))
    flags = [f"{OURS}: `wf-transfer -f batch.json --result result.json`, SIGKILL at half, and again"]
    notes = [
        "The S3 service is SeaweedFS here; a proxy before each server counts what passes, heads included."
    ]
    title = f"kill -9 at half of {bench.scale.large >> 20} MiB, run again"
    return Row("killed", title, "\n".join(lines) + "\n", findings, flags, notes, f"{before}, then {load()}")


def _wires(bench: Bench) -> Iterator[tuple[str, Wire]]:
    source, _ = bench.large()
    out = f"file://{bench.out}/large"
    with fault_proxy(bench.web.port) as proxy:
        yield "HTTP get", Wire(proxy, f"{proxy.url}/large", out, False, {})
    with seaweed() as service:
        service.new_bucket(BUCKET)
        service.client().upload_file(str(source), BUCKET, "large")
        with fault_proxy(service.port) as proxy:
            keys = {
                "AWS_ENDPOINT_URL_S3": proxy.url,
                "AWS_ACCESS_KEY_ID": service.admin.access,
                "AWS_SECRET_ACCESS_KEY": service.admin.secret,
            }
            yield "S3 get", Wire(proxy, f"s3://{BUCKET}/large", out, False, keys)
            yield "S3 put", Wire(proxy, f"file://{source}", f"s3://{BUCKET}/put", True, keys)
        bench.fresh()
        service.client().download_file(BUCKET, "put", str(bench.out / "large"))
        bench.large_arrived()(b"")


def _killed_and_run_again(bench: Bench, name: str, wire: Wire) -> tuple[int, int]:
    """Bytes that had passed when it was killed, and at the end."""
    _, digest = bench.large()
    bench.fresh()
    batch = bench.batch("killed", [(wire.source, wire.destination, digest)])
    for left in bench.folder.glob("result*"):
        left.unlink()
    begun = wire.passed()
    _kill_at_half(bench, batch, wire)
    wire.proxy.cut_all()
    at_kill = wire.passed() - begun
    check = (lambda _: None) if wire.upward else bench.large_arrived()
    again = bench.ours(
        name, batch, check, "--result", "result.json", before=lambda: None, environment=wire.environment
    )
    measure.once(again)
    return at_kill, wire.passed() - begun


def _kill_at_half(bench: Bench, batch: str, wire: Wire) -> None:
    process = subprocess.Popen(
        (bench.programs.ours, "-f", batch, "--result", "result.json"),
        env={**os.environ, **bench.environment(), **wire.environment},
        cwd=bench.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    half = wire.passed() + bench.scale.large / 2
    deadline = time.monotonic() + PATIENCE
    while wire.passed() < half and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    process.wait()
    if process.returncode != -signal.SIGKILL:
        raise Wrong("it was not there any more to be killed at half")
