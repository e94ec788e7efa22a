"""SSH: one file of 256 MiB, many small ones, and a large one on to S3. The server is OpenSSH's."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
from typing import TYPE_CHECKING

from loopback import BUCKET
from measure import Ratio, Wrong
from rows import OURS, Bench, Finding, cpu, random_file, wall
from rows_lasting import disk_used
from rows_web import IN_PYTHON
from servers.sshd import make_keys, sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from measure import Contender, Results
    from rows import Row
    from servers.sshd import Sshd

GCM = "aes128-gcm@openssh.com"
MEMORY_MOST = 120


class Ssh:
    """A server, and the commands that talk to it with the same configuration and so with the same cipher."""

    def __init__(self, bench: Bench, server: Sshd) -> None:
        self.bench = bench
        self.server = server
        self.there = bench.folder / "there"
        """What is put goes here."""
        self.environment = {"PATH": f"{server.path}{os.pathsep}{os.environ['PATH']}"}
        self._peer = f"127.0.0.1 {server.port} {server.user} {server.keys.user}"

    def url(self, path: Path) -> str:
        return f"{self.server.url}{path}"

    def place(self, path: Path) -> str:
        """As scp has it."""
        return f"{self.server.user}@127.0.0.1:{path}"

    def ours(self, name: str, batch: str, check: Callable[[bytes], None], *more: str) -> Contender:
        return self.bench.ours(name, batch, check, *more, before=self.fresh, environment=self.environment)

    def command(self, name: str, *words: str) -> Contender:
        """A command at the far side, whatever it says."""
        ssh = (
            f"{self.server.path}/ssh",
            "-p",
            str(self.server.port),
            f"{self.server.user}@127.0.0.1",
            *words,
        )
        return self.bench.peer(name, ssh, lambda _: None, environment=self.environment)

    def scp(self, name: str, check: Callable[[bytes], None], *words: str) -> Contender | None:
        program = shutil.which("scp")
        command = (str(program), "-q", "-S", f"{self.server.path}/ssh", "-P", str(self.server.port), *words)
        return self.bench.peer(name, command, check, before=self.fresh) if program else None

    def paramiko(
        self, name: str, check: Callable[[bytes], None], direction: str, pairs: str
    ) -> Contender | None:
        python = self.bench.programs.paramiko
        command = (str(python), IN_PYTHON, "paramiko", direction, pairs)
        peer = {"SSH_PEER": self._peer}
        if python is None:
            return None
        return self.bench.peer(name, command, check, before=self.fresh, environment=peer, rounds=2)

    def fresh(self) -> None:
        """An empty `out`, and nothing that was put."""
        self.bench.fresh()
        self.bench.no_objects()
        shutil.rmtree(self.there, ignore_errors=True)
        self.there.mkdir()


@contextlib.contextmanager
def _ssh(bench: Bench, *, cipher: str = "") -> Iterator[Ssh]:
    """`cipher` is the one that everybody's `ssh` is configured for; empty: what client and server agree on."""
    keys = bench.folder / (cipher or "keys")
    keys.mkdir()
    with sshd(make_keys(keys)) as server:
        if cipher:
            server.configure(f"Ciphers {cipher}")
        yield Ssh(bench, server)


# --- one file of 256 MiB


def sftp_large(bench: Bench) -> Row:
    source = bench.folder / "quarter"
    digest = random_file(source, bench.scale.large // 4)
    with _ssh(bench) as usual, _ssh(bench, cipher=GCM) as gcm:
        contenders = [
            usual.command("ssh cat", "cat", str(source)),
            *_large(usual, source, digest),
            *_large(gcm, source, digest, ", GCM"),
            bench.peer("openssl dgst", ("openssl", "dgst", "-sha256", str(source)), lambda _: None),
        ]
        ratios = []
        for way in ("get", "put"):
            ratios += [
                cpu(f"{OURS} {way}", f"scp {way}", 1.1),
                cpu(f"{OURS} {way}", f"paramiko {way}", 0.5),
                cpu(f"{OURS} {way}, GCM", f"scp {way}, GCM", 1.1),
                (Ratio(f"{OURS} {way}, GCM", (f"scp {way}, GCM", "openssl dgst"), "cpu", 0), ""),
                (Ratio(f"{OURS} {way}", (f"scp {way}", "openssl dgst"), "cpu", 0), ""),
                (Ratio(f"{OURS} {way}", (f"scp {way}", "openssl dgst"), "wall", 0), ""),
            ]
        ratios.append((Ratio(f"{OURS} get", ("ssh cat", "openssl dgst"), "cpu", 0), ""))
        return bench.measured(
            "sftp-large",
            f"{source.stat().st_size >> 20} MiB SFTP get and put, with SHA-256",
            contenders,
            ratios,
            rounds=bench.scale.rounds,
            notes=[
                (
                    "scp checks nothing. Everybody's ssh has the same configuration, and so the same cipher: the one that "
                    f"OpenSSH prefers (chacha20-poly1305), and {GCM} in the rows that say GCM. paramiko takes AES-128-CTR."
                ),
                "`ssh cat` is what receiving the bytes costs ssh alone: no check, no file.",
            ],
        )


def _large(ssh: Ssh, source: Path, digest: str, which: str = "") -> Iterator[Contender | None]:
    """Both ways, for everybody; paramiko once."""
    bench = ssh.bench
    arrived, put = bench.out / "large", ssh.there / "large"
    pairs = {"get": (source, arrived), "put": (source, put)}
    for way, (there, here) in pairs.items():
        origin, target = (
            (ssh.url(there), f"file://{here}") if way == "get" else (f"file://{there}", ssh.url(here))
        )
        batch = bench.batch(f"sftp-{way}{which[-3:]}", [(origin, target, digest)])
        check = same(there, here)
        yield ssh.ours(f"{OURS} {way}{which}", batch, check)
        words = (ssh.place(there), str(here)) if way == "get" else (str(there), ssh.place(here))
        yield ssh.scp(f"scp {way}{which}", check, *words)
        if not which:
            listing = bench.listing(f"paramiko-{way}", [f"{there}\t{here}"])
            yield ssh.paramiko(f"paramiko {way}", check, way, listing)


def same(expected: Path, found: Path) -> Callable[[bytes], None]:
    def check(_: bytes) -> None:
        if not found.exists() or not filecmp.cmp(expected, found, shallow=False):
            raise Wrong(f"{found} is not what was sent")

    return check


# --- many small ones


def sftp_many_get(bench: Bench) -> Row:
    return _many(bench, "get")


def sftp_many_put(bench: Bench) -> Row:
    return _many(bench, "put")


def _many(bench: Bench, way: str) -> Row:
    names = bench.small(bench.scale.many)
    source = bench.web.root / "small"
    files = [str(source / one) for one in names]
    with _ssh(bench) as ssh:
        if way == "get":
            place, there, here = bench.out, ssh.url(source), f"file://{bench.out}"
            words = (f"{ssh.place(source)}/.", str(bench.out))
        else:
            place, there, here = ssh.there, f"file://{source}", ssh.url(ssh.there)
            words = (f"{source}/.", ssh.place(ssh.there))
        check = bench.small_arrived(names, place)
        batch = bench.batch(f"sftp-{way}", ((f"{there}/{one}", f"{here}/{one}", names[one]) for one in names))
        pairs = bench.listing(f"paramiko-{way}", (f"{source}/{one}\t{place}/{one}" for one in names))
        contenders = [
            ssh.ours(OURS, batch, check),
            ssh.scp("scp -r", check, "-r", *words),
            ssh.paramiko("paramiko, 8 threads", check, way, pairs),
            ssh.command("ssh true", "true"),
            bench.peer("openssl dgst", ("openssl", "dgst", "-sha256", *files), lambda _: None),
        ]
        ratios = [
            wall(OURS, "scp -r", 0.5),
            cpu(OURS, "paramiko, 8 threads", 0.25),
            cpu(OURS, "scp -r", 0),
            (Ratio(OURS, ("scp -r", "openssl dgst"), "cpu", 0), ""),
            (Ratio(OURS, ("scp -r", "openssl dgst"), "wall", 0), ""),
            wall("ssh true", "scp -r", 0),
        ]
        title = f"{len(names):,} x 64 KiB SFTP {way}, with SHA-256"
        notes = [
            "`ssh true` is a login and nothing else: everybody's time begins with it. scp checks nothing."
        ]
        rounds = bench.scale.rounds
        return bench.measured(f"sftp-many-{way}", title, contenders, ratios, rounds=rounds, notes=notes)


# --- two stages


def sftp_to_s3(bench: Bench) -> Row:
    source, digest = bench.large()
    put = f"s3://{BUCKET}/put/large"
    with _ssh(bench) as ssh:
        there = ssh.url(source)
        get = bench.batch("leg-get", [(there, f"file://{bench.out}/large", digest)])
        upload = bench.batch("leg-put", [(f"file://{source}", put, digest)])
        through = bench.batch("through", [(there, put, digest)])
        was_put = bench.large_was_put()
        streamed = ssh.ours("streamed", through, was_put)
        legs = ("SFTP to file", "file to S3")
        contenders = [
            ssh.ours(legs[0], get, bench.large_arrived()),
            ssh.ours(legs[1], upload, was_put),
            streamed,
            ssh.ours("staged", through, was_put, "--stage", "file"),
        ]
        used = disk_used(bench, streamed)

        def more(results: Results) -> list[Finding]:
            routes = ("streamed", "staged")
            found = [
                Finding(f"wall, {name} / slower leg", results.slower(name, legs), 1.15) for name in routes
            ]
            found += [
                Finding(f"peak memory, {name}", results.median(name, "peak"), MEMORY_MOST, " MiB")
                for name in routes
            ]
            return [*found, Finding("bytes of disk that a streamed run used", used, 0, " MiB")]

        return bench.measured(
            "sftp-s3",
            f"SFTP to S3, {bench.scale.large >> 20} MiB, streamed and staged",
            contenders,
            [],
            rounds=max(1, bench.scale.rounds - 2),
            more=more,
            notes=[
                "The streamed run is done once more with files limited to 64 KiB (`prlimit --fsize`): it needs no larger one.",
                "Peak memory is that of the largest process; `ssh` is another one.",
            ],
        )
