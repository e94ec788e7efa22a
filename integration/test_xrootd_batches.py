"""Whole jobs with data at XRootD servers: other services at the other end, killed runs, tokens, one bad item, by hand."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import (
    Job,
    Neighbours,
    assert_failed,
    contents,
    mkdir,
    partials,
    program,
    remove,
    run_program,
    site_sections,
    stored,
    transfer,
    wait_for,
)
from servers.faults import fault_proxy, stall
from servers.process import binary, missing
from servers.sshd import make_keys, sshd
from servers.xrootd_root import GSI, OPEN, OTHER, TOKENS
from xrootd_tools import fresh, xrootd, xrootd_service

if TYPE_CHECKING:
    from servers.nginx import Nginx
    from servers.seaweed import Seaweed
    from servers.xrootd_root import XrootdRoot

__all__ = ["xrootd", "xrootd_service"]

MIB = 1 << 20
SIZE = 40 * MIB + 12_345
DATA = os.urandom(MIB) * (SIZE // MIB) + os.urandom(SIZE % MIB)
SMALL = b"small" * 1000
LONG_AGO = (1_000_000_000, 1_000_000_000)


def sha256(data: bytes) -> dict[str, dict[str, str]]:
    return {"checksum": {"type": "sha256", "value": hashlib.sha256(data).hexdigest()}}


@pytest.fixture
def job(tmp_path: Path, xrootd: XrootdRoot) -> Job:
    """A job that believes the servers' certificates, and has no token."""
    job = Job(tmp_path)
    job.environment["X509_CERT_DIR"] = str(xrootd.authorities)
    return job


@pytest.fixture
def folder(xrootd: XrootdRoot) -> Path:
    return fresh(xrootd)


def url(xrootd: XrootdRoot, path: Path, server: int = OPEN, scheme: str = "root") -> str:
    return xrootd.url(f"/{path.relative_to(xrootd.roots[server])}", server, scheme)


def plant(xrootd: XrootdRoot, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    os.utime(path, LONG_AGO)
    xrootd.give(path)


def processes_below(parent: int) -> set[int]:
    """The process and all that it has started, as far as they live."""
    found = {parent}
    for _ in range(5):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(words[1]) in found:
                    found.add(int(entry.name))
    return found


class TestWithOtherServices:
    def test_there_and_back(self, xrootd: XrootdRoot, folder: Path, job: Job) -> None:
        (job.folder / "large").write_bytes(DATA)
        (job.folder / "small").write_bytes(SMALL)
        there = url(xrootd, folder / "new")
        run = job.run(
            [
                mkdir(there),
                transfer("large", "large", f"{there}/large", **sha256(DATA)),
                transfer("small", "small", f"{there}/deeper/small"),
            ]
        )
        assert run.exit == 0, run.err
        assert contents(folder) == {"new/large": DATA, "new/deeper/small": SMALL}
        assert [run.request(name)["evidence"] for name in ("large", "small")] == ["checksum", "checksum"]

        run = job.run(
            [
                transfer("large", f"{there}/large", job.url("large"), **sha256(DATA)),
                transfer("small", f"{there}/deeper/small", job.url("small")),
                remove(there, recursive=True),
            ]
        )
        assert run.exit == 0, run.err
        assert contents(job.out) == {"large": DATA, "small": SMALL}
        assert contents(folder) == {}

    def test_the_other_end_is_s3(
        self, xrootd: XrootdRoot, folder: Path, job: Job, s3: Seaweed, bucket: str
    ) -> None:
        job.credentials(site_sections(f"http://127.0.0.1:{s3.port}", s3.admin))
        plant(xrootd, folder / "source", DATA)
        place = f"s3://alice@store/{bucket}/f"
        run = job.run([transfer("f", url(xrootd, folder / "source"), place, **sha256(DATA))])
        assert run.exit == 0, run.err
        assert stored(s3, bucket, "f") == DATA
        run = job.run([transfer("f", place, url(xrootd, folder / "back"), **sha256(DATA))], "--stage", "file")
        assert run.exit == 0, run.err
        assert (folder / "back").read_bytes() == DATA

    def test_the_other_end_is_an_sftp_server(
        self, xrootd: XrootdRoot, folder: Path, job: Job, tmp_path: Path
    ) -> None:
        (tmp_path / "keys").mkdir()
        with sshd(make_keys(tmp_path / "keys")) as server:
            job.environment["PATH"] = f"{server.path}:{job.environment['PATH']}"
            plant(xrootd, folder / "source", DATA)
            there = f"{server.url}{server.folder}/f"
            run = job.run([transfer("f", url(xrootd, folder / "source"), there)])
            assert run.exit == 0, run.err
            run = job.run([transfer("f", there, url(xrootd, folder / "back"))])
            assert run.exit == 0, run.err
        assert (folder / "back").read_bytes() == DATA

    def test_the_other_end_is_a_web_server(
        self, xrootd: XrootdRoot, folder: Path, job: Job, web: Nginx
    ) -> None:
        (web.root / "f").write_bytes(DATA)
        run = job.run([transfer("f", f"{web.url}/f", url(xrootd, folder / "f"), **sha256(DATA))])
        assert run.exit == 0, run.err
        run = job.run([transfer("f", url(xrootd, folder / "f"), f"{web.url}/put/back")])
        assert run.exit == 0, run.err
        assert (web.root / "put/back").read_bytes() == DATA

    def test_one_server_fetches_from_the_other(self, xrootd: XrootdRoot, folder: Path, job: Job) -> None:
        plant(xrootd, folder / "f", DATA)
        there = fresh(xrootd, OTHER)
        run = job.run([transfer("f", url(xrootd, folder / "f"), url(xrootd, there / "new/f", OTHER))])
        assert run.exit == 0, run.err
        assert run.request("f")["route"] == "third-party-copy"
        assert contents(there) == {"new/f": DATA}

    def test_a_wrong_checksum_is_not_published(self, xrootd: XrootdRoot, folder: Path, job: Job) -> None:
        (job.folder / "f").write_bytes(DATA)
        run = job.run([transfer("f", "f", url(xrootd, folder / "f"), **sha256(SMALL))])
        assert run.exit == 3
        assert contents(folder) == {}


class TestManyFiles:
    def test_many_small_files_go_and_come_at_the_first_try(
        self, xrootd: XrootdRoot, folder: Path, job: Job
    ) -> None:
        data = {f"{number:03}": f"{number}".encode() * 100 for number in range(400)}
        for name, content in data.items():
            (job.folder / name).write_bytes(content)
        place = url(xrootd, folder)
        run = job.run([transfer(name, name, f"{place}/{name}") for name in data], "-n", "2")
        assert run.exit == 0, run.err
        assert contents(folder) == data
        back = job.run([transfer(name, f"{place}/{name}", job.url(name)) for name in data], "-n", "2")
        assert back.exit == 0, back.err
        assert contents(job.out) == data
        for one in (run, back):
            assert [len(request["attempts"]) for request in one.document["requests"]] == [1] * len(data)


class TestOneBadItem:
    def test_what_is_missing_fails_alone(
        self, xrootd: XrootdRoot, folder: Path, job: Job, neighbours: Neighbours
    ) -> None:
        run = job.run(
            neighbours.around(transfer("bad", url(xrootd, folder / "absent"), job.url("bad"))), "-m", "1"
        )
        assert run.exit == 1
        assert_failed(run, "bad", "not-found", end="source")
        neighbours.assert_done(run)

    def test_a_server_that_is_not_there_holds_up_nobody(self, job: Job, neighbours: Neighbours) -> None:
        batch = neighbours.around(transfer("bad", "root://localhost:1//f", job.url("bad")))
        run = job.run(batch, "-m", "1")
        assert_failed(run, "bad", "unreachable", end="source")
        neighbours.assert_done(run)

    def test_a_refused_certificate_is_one_refused_request(
        self, xrootd: XrootdRoot, job: Job, neighbours: Neighbours
    ) -> None:
        run = job.run(neighbours.around(transfer("bad", xrootd.url("/f", GSI), job.url("bad"))))
        assert_failed(run, "bad", "denied", end="source")
        neighbours.assert_done(run)

    def test_another_replica_is_taken(self, xrootd: XrootdRoot, folder: Path, job: Job) -> None:
        plant(xrootd, folder / "f", DATA)
        sources = ["root://localhost:1//f", url(xrootd, folder / "absent"), url(xrootd, folder / "f")]
        run = job.run([transfer("f", sources, job.url("f"))])
        assert run.exit == 0, run.err
        assert (job.out / "f").read_bytes() == DATA


class TestTokens:
    def test_a_token_of_the_environment_is_presented(self, xrootd: XrootdRoot, job: Job) -> None:
        kept = fresh(xrootd, TOKENS)
        plant(xrootd, kept / "f", SMALL)
        token = xrootd.issuer.token("storage.read:/ storage.create:/ storage.modify:/")
        there = url(xrootd, kept, TOKENS, "roots")
        batch = [
            transfer("f", f"{there}/f", job.url("f"), id="f"),
            transfer("g", job.url("f"), f"{there}/new/g", after="f"),
        ]
        run = job.run(batch[:1])
        assert_failed(run, "f", "denied")
        run = job.run(batch, environment={"BEARER_TOKEN": token})
        assert run.exit == 0, run.err
        assert (kept / "new/g").read_bytes() == SMALL
        assert token not in str(run)


class TestKilledRuns:
    def test_an_upload_goes_on_where_a_killed_one_was(
        self, xrootd: XrootdRoot, folder: Path, job: Job
    ) -> None:
        """What was under way is sent again; and no process is left behind."""
        (job.folder / "f").write_bytes(DATA)
        os.utime(job.folder / "f", LONG_AGO)
        with fault_proxy(xrootd.ports[OPEN]) as proxy:
            place = f"root://localhost:{proxy.port}//{folder.relative_to(xrootd.roots[OPEN])}/f"
            batch = [transfer("f", "f", place, **sha256(DATA))]
            proxy.inject(stall(30 * MIB, upward=True), first=1)
            process = job.start(batch, "-n", "1")
            wait_for(lambda: proxy.bytes_up >= 30 * MIB, "the stall")
            everybody = processes_below(process.pid)
            assert len(everybody) > 1
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
            wait_for(lambda: not any(alive(one) for one in everybody), "the end of all processes")
            proxy.cut_all()
            sent = proxy.bytes_up
            assert len(partials(folder)) == 1

            run = job.run(batch, "-n", "1")

            assert (run.exit, contents(folder)) == (0, {"f": DATA}), run.err
            assert proxy.bytes_up - sent < SIZE - 15 * MIB

    def test_a_stopped_upload_is_gone_on_with_from_its_last_byte(
        self, xrootd: XrootdRoot, folder: Path, job: Job
    ) -> None:
        (job.folder / "f").write_bytes(DATA)
        os.utime(job.folder / "f", LONG_AGO)
        with fault_proxy(xrootd.ports[OPEN], rate=20 * MIB) as proxy:
            place = f"root://localhost:{proxy.port}//{folder.relative_to(xrootd.roots[OPEN])}/f"
            batch = [transfer("f", "f", place, **sha256(DATA))]
            process = job.start(batch, "-n", "1")
            wait_for(lambda: proxy.bytes_up >= 10 * MIB, "ten MiB")
            process.send_signal(signal.SIGTERM)
            stopped = job.finish(process)
            assert stopped.exit == 75
            assert len(partials(folder)) == 1
            proxy.rate = 0

            run = job.run(batch, "-n", "1")

            assert (run.exit, contents(folder)) == (0, {"f": DATA}), run.err
            assert proxy.bytes_up < SIZE * 1.1


def alive(process: int) -> bool:
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


class TestByHand:
    def test_the_commands_for_people(self, xrootd: XrootdRoot, folder: Path, job: Job) -> None:
        place = url(xrootd, folder)

        def command(*words: str) -> str:
            done = run_program(
                [program("wf-transfer"), *words], folder=job.folder, environment=job.environment
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        (job.folder / "tree/sub").mkdir(parents=True)
        (job.folder / "tree/sub/one").write_bytes(SMALL)
        (job.folder / "two words").write_bytes(b"2")
        command("mkdir", f"{place}/made/deep")
        command("cp", "two words", f"{place}/made/deep/")
        command("cp", "-r", "tree", f"{place}/made/")
        assert contents(folder) == {"made/deep/two words": b"2", "made/tree/sub/one": SMALL}
        assert "two words" in command("ls", f"{place}/made/deep")
        command("cp", "-r", f"{place}/made/tree", "back")
        assert (job.folder / "back/sub/one").read_bytes() == SMALL
        command("rm", f"{place}/made/deep/two words")
        command("rm", "-r", f"{place}/made/tree")
        assert contents(folder) == {}


class TestGfal:
    """Another client of the same servers, with Debian's library instead of ours."""

    @pytest.fixture
    def gfal(self, job: Job) -> list[str]:
        if not Path("/usr/bin/gfal-copy").exists() or not list(
            Path("/usr/lib").glob("*/gfal2-plugins/*xrootd*")
        ):
            missing("gfal-copy with its plug-in for XRootD", "sudo make servers")
        # The commands look for `python` on the path, and the one there need not have their modules.
        job.environment["GFAL_PYTHONBIN"] = shutil.which("python3", path="/usr/bin") or ""
        return [binary("gfal-copy"), "-f", "-p", "-K", "ADLER32"]

    def test_each_reads_what_the_other_wrote(
        self, xrootd: XrootdRoot, folder: Path, job: Job, gfal: list[str]
    ) -> None:
        (job.folder / "f").write_bytes(DATA)
        place = url(xrootd, folder)
        assert job.run([transfer("f", "f", f"{place}/ours")]).exit == 0
        for words in ((f"{place}/ours", job.url("theirs")), (f"file://{job.folder}/f", f"{place}/theirs")):
            done = run_program([*gfal, *words], folder=job.folder, environment=job.environment)
            assert done.returncode == 0, done.stderr
        assert (job.out / "theirs").read_bytes() == DATA
        assert job.run([transfer("f", f"{place}/theirs", job.url("back"))]).exit == 0
        assert (job.out / "back").read_bytes() == DATA
