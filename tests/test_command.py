"""`wf-transfer` as a job runs it: a batch on standard input, reports, and an exit code that scripts depend on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers.process import free_port
from wf.transfer import explain, load_batch, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SMALL = b"the bytes of a small file"
BIG = os.urandom(1 << 20) * 20
PATIENCE = 60.0
"""Seconds, against hanging only."""

Request = dict[str, Any]


def transfer(source: Path | str, destination: Path | str, **more: Any) -> Request:
    return {
        "type": "transfer",
        "lfn": "f",
        "src_urls": [{"url": _url(source), "site_label": "here"}],
        "dest_urls": [{"url": _url(destination), "site_label": "here"}],
        **more,
    }


def remove(target: Path | str, **more: Any) -> Request:
    return {"type": "remove", "target": {"url": _url(target), "site_label": "here"}, **more}


def mkdir(target: Path | str, **more: Any) -> Request:
    return {"type": "mkdir", "target": {"url": _url(target), "site_label": "here"}, **more}


def _url(place: Path | str) -> str:
    return f"file://{place}" if isinstance(place, Path) else place


class Job:
    """A working directory, and the command in it. `out` and `err` are those of the last run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "LC_ALL": "C",
        }
        for name in ("home", "tmp"):
            (folder / name).mkdir()
        self.out = self.err = ""

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "wf.transfer", *options]

    def run(self, batch: Sequence[Request] | str | bytes, *options: str, **more: Any) -> int:
        """The exit code. Whatever happened, people see no traceback."""
        data = batch if isinstance(batch, (str, bytes)) else json.dumps(batch)
        done = subprocess.run(
            self.command(*options),
            input=data if isinstance(data, bytes) else data.encode(),
            capture_output=True,
            cwd=self.folder,
            env=self.environment,
            timeout=PATIENCE,
            check=False,
            **more,
        )
        self.out, self.err = done.stdout.decode(), done.stderr.decode(errors="replace")
        assert "Traceback" not in self.err, self.err
        return done.returncode

    def start(self, batch: Sequence[Request], *options: str) -> subprocess.Popen[bytes]:
        (self.folder / "batch.json").write_text(json.dumps(batch))
        return subprocess.Popen(
            self.command("-f", "batch.json", "--result", "result.json", *options),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def result(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return document

    def requests(self) -> list[Request]:
        return sorted(self.result()["requests"], key=lambda request: request["index"])

    def leftovers(self) -> list[str]:
        return sorted(path.name for pattern in (".wf-*", "wf-spool-*") for path in self.folder.rglob(pattern))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Returns when it is so; fails when the process ends before."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise AssertionError(f"it never happened: {process.communicate()}")
        time.sleep(0.005)


def wait_for_partial(folder: Path, size: int, process: subprocess.Popen[bytes]) -> None:
    """Returns when there is a partial of at least `size` bytes in `folder`."""
    wait_for(lambda: any(path.stat().st_size >= size for path in folder.glob(".wf-*.part")), process)


# --- exit codes


def _sleeps(process: subprocess.Popen[bytes]) -> bool:
    """It waits for something (proc_pid_stat(5))."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="nobody tells whether a process waits")
def test_standard_input_that_does_not_block_is_waited_for(job: Job, tmp_path: Path) -> None:
    """A parent's event loop leaves it so, and the batch may come later than the command asks for it."""
    (tmp_path / "a").write_bytes(SMALL)
    batch = json.dumps([transfer(tmp_path / "a", tmp_path / "b")]).encode()
    receiving, sending = os.pipe()
    os.set_blocking(receiving, False)
    command = subprocess.Popen(
        job.command(), stdin=receiving, stderr=subprocess.PIPE, cwd=job.folder, env=job.environment
    )
    os.write(sending, batch[:100])
    wait_for(lambda: not select.select([receiving], [], [], 0)[0], command)
    wait_for(lambda: _sleeps(command), command)
    os.write(sending, batch[100:])
    os.close(sending)
    os.close(receiving)
    _, told = command.communicate(timeout=PATIENCE)
    assert command.returncode == 0, told
    assert (tmp_path / "b").read_bytes() == SMALL


def test_0_when_everything_is_done(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/x").write_bytes(SMALL)

    code = job.run(
        [
            {"type": "remove", "target": {"url": f"file://{tmp_path}/old", "recursive": "True"}},
            transfer(tmp_path / "a", tmp_path / "new/b"),
            mkdir(tmp_path / "new"),
        ]
    )

    assert code == 0
    assert (tmp_path / "new/b").read_bytes() == SMALL
    assert not (tmp_path / "old").exists()
    assert job.out == ""
    assert "all done" in job.err
    assert not job.leftovers()


def test_0_for_an_empty_batch(job: Job) -> None:
    assert job.run([]) == 0


def test_1_when_a_source_is_missing_and_the_others_are_done(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    code = job.run(
        [
            transfer(tmp_path / "none", tmp_path / "x", lfn="lost.txt"),
            transfer(tmp_path / "a", tmp_path / "b"),
        ]
    )

    assert code == 1
    assert (tmp_path / "b").exists()
    assert "lost.txt" in job.err and "not-found" in job.err and "what to do" in job.err


@pytest.mark.parametrize(
    "options",
    [
        ["-n", "-1"],
        ["-m", "0"],
        ["-m", "many"],
        ["--existing", "maybe"],
        ["--no-such-option"],
        ["--deadline", "soon"],
        ["--bwlimit", "fast"],
        ["-f", "/no/such/batch.json"],
        ["-f", "/"],
    ],
    ids=" ".join,
)
def test_2_for_a_wrong_command_line(job: Job, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    assert job.run([transfer(tmp_path / "a", tmp_path / "b")], *options) == 2
    assert not (tmp_path / "b").exists()
    assert "wf-transfer" in job.err


def test_3_when_a_digest_does_not_match(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    wrong = {"type": "sha256", "value": hashlib.sha256(b"other").hexdigest()}

    code = job.run(
        [
            transfer(tmp_path / "a", tmp_path / "b", checksum=wrong),
            transfer(tmp_path / "none", tmp_path / "c"),
            transfer("http://127.0.0.1:1/x", tmp_path / "d"),
        ],
        "-m",
        "1",
    )

    assert code == 3
    assert not (tmp_path / "b").exists()
    assert wrong["value"] in job.err


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ('[{"type": "transfer",', "standard input:1:22"),
        ('[\n  {"type": "mkdir", "target": {"url": "/x"}},\n  nonsense\n]', "standard input:3:3"),
        ("nonsense", "array"),
        ('[{"type": "transfer", "lfn": "f", "src_urls": [], "dest_urls": []}]', "src_urls"),
        ('[{"type": "remov", "target": {"url": "/x"}}]', "type"),
        ('[{"type": "mkdir", "target": {"url": "http://"}}]', "host"),
        ('[{"type": "mkdir", "targt": {"url": "/x"}}]', "target"),
    ],
)
def test_65_for_a_bad_batch_and_nothing_starts(job: Job, tmp_path: Path, batch: str, words: str) -> None:
    assert job.run(batch) == 65
    assert words in job.err
    assert job.out == ""


def test_65_moves_nothing_although_the_first_requests_are_good(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    good = json.dumps(transfer(tmp_path / "a", tmp_path / "b"))

    assert job.run(f"[{good}, {{'type'}}]") == 65
    assert not (tmp_path / "b").exists()


def test_65_for_after_in_a_circle(job: Job, tmp_path: Path) -> None:
    code = job.run([mkdir(tmp_path / "a", id="x", after="y"), mkdir(tmp_path / "b", id="y", after="x")])

    assert code == 65
    assert not (tmp_path / "a").exists()


def test_75_when_every_failure_is_worth_a_later_retry(job: Job, tmp_path: Path) -> None:
    code = job.run([transfer(f"http://127.0.0.1:{free_port()}/a", tmp_path / "a")], "-m", "1")

    assert code == 75
    assert "unreachable" in job.err


def test_77_when_every_failure_is_a_missing_credential(job: Job, tmp_path: Path) -> None:
    code = job.run([transfer("s3://user@nowhere/bucket/key", tmp_path / "a")])

    assert code == 77, job.err
    assert "missing-credential" in job.err and "what to do" in job.err


def test_77_when_the_credentials_file_is_open_to_others(job: Job, tmp_path: Path) -> None:
    file = tmp_path / "credentials.conf"
    file.write_text(
        "[nowhere]\nendpoint = http://127.0.0.1:1\n[user@nowhere]\naccess_key = a\nsecret_key = b\n"
    )
    file.chmod(0o644)

    code = job.run([transfer("s3://user@nowhere/bucket/key", tmp_path / "a")], "--credentials", str(file))

    assert code == 77, job.err
    assert "chmod 600" in job.err


def test_78_when_every_failure_is_one_of_configuration(job: Job, tmp_path: Path) -> None:
    file = tmp_path / "credentials.conf"
    file.write_text("this is not a credentials file\n")
    file.chmod(0o600)

    code = job.run([transfer("s3://user@nowhere/bucket/key", tmp_path / "a")], "--credentials", str(file))

    assert code == 78, job.err
    assert "line 1" in job.err


def test_a_skipped_request_has_the_kind_of_what_it_waited_for(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    code = job.run(
        [
            transfer(f"http://127.0.0.1:{free_port()}/a", tmp_path / "x", id="first"),
            transfer(tmp_path / "a", tmp_path / "y", id="second", after="first"),
            remove(tmp_path / "x"),
        ],
        "-m",
        "1",
        "--result",
        "result.json",
    )

    assert code == 75
    assert [request["status"] for request in job.requests()] == ["failed", "skipped", "skipped"]
    assert {request["error"]["code"] for request in job.requests()} == {"unreachable"}


def test_an_unknown_scheme_fails_that_request_alone(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    code = job.run(
        [transfer("gopher://host/a", tmp_path / "x"), transfer(tmp_path / "a", tmp_path / "b")],
        "--result",
        "result.json",
    )

    assert code == 1
    assert [request["status"] for request in job.requests()] == ["failed", "done"]
    assert "gopher" in job.err and "wf-transfer protocols" in job.err


# --- reports


def test_the_result_document_on_standard_output_is_all_that_is_there(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    code = job.run([transfer(tmp_path / "a", tmp_path / "b")], "--result", "-")

    document = json.loads(job.out)
    assert (code, document["exit"]) == (0, 0)
    assert document["requests"][0]["digest"] == f"sha256:{hashlib.sha256(SMALL).hexdigest()}"


@pytest.mark.parametrize(
    "names", [["plain"], ["plain", "line\nbreak", "back\\slash", " blank ", "-dash", "öé"]]
)
def test_the_manifest_is_what_sha256sum_checks(job: Job, tmp_path: Path, names: list[str]) -> None:
    tool = shutil.which("sha256sum")
    assert tool, "coreutils' sha256sum is needed"
    (tmp_path / "a").write_bytes(SMALL)
    (tmp_path / "data").mkdir()

    code = job.run(
        [transfer(tmp_path / "a", tmp_path / "data" / name) for name in names], "--manifest", "data/SUMS"
    )
    checked = subprocess.run([tool, "-c", "SUMS"], cwd=tmp_path / "data", capture_output=True, check=False)

    assert code == 0
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(b": OK") == len(names)

    (tmp_path / "data" / names[0]).write_bytes(b"damaged")
    again = subprocess.run([tool, "-c", "SUMS"], cwd=tmp_path / "data", capture_output=True, check=False)
    assert again.returncode == 1


def test_a_checksum_that_was_to_be_recorded_and_cannot_be_fails_the_request(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    code = job.run(
        [
            transfer(tmp_path / "a", tmp_path / "b", generate_checksum=True),
            transfer(tmp_path / "a", tmp_path / "c"),
        ],
        "--manifest",
        "no/such/folder/SUMS",
        "--result",
        "result.json",
    )

    assert code == 1
    assert [request["status"] for request in job.requests()] == ["failed", "done"]


def test_a_result_document_that_cannot_be_written_fails_the_run_and_not_the_requests(
    job: Job, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(SMALL)

    code = job.run([transfer(tmp_path / "a", tmp_path / "b")], "--result", "no/such/folder/result.json")

    assert code == 1
    assert (tmp_path / "b").read_bytes() == SMALL
    assert "result" in job.err and "all done, but the run failed" in job.err


def test_a_meta_file_in_the_working_directory_is_the_expectation(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    meta = [
        {
            "_type": "file",
            "_id": "f",
            "_attributes": {
                "checksum.type": "sha256",
                "checksum.value": hashlib.sha256(b"other").hexdigest(),
            },
        }
    ]
    (tmp_path / "task.meta").write_text(json.dumps(meta))

    assert job.run([transfer(tmp_path / "a", tmp_path / "b")]) == 3

    meta[0]["_attributes"]["checksum.value"] = hashlib.sha256(SMALL).hexdigest()  # type: ignore[index]
    (tmp_path / "task.meta").write_text(json.dumps(meta))

    assert job.run([transfer(tmp_path / "a", tmp_path / "b", verify_checksum_remote=True)]) == 0
    assert "1 digest compared" in job.err


def test_a_dry_run_does_nothing_and_tells_how_it_would_be_done(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    batch = [
        transfer(tmp_path / "a", tmp_path / "b"),
        mkdir(tmp_path / "d"),
        remove(tmp_path / "a"),
        transfer("https://user:SECRET@host/x?X-Amz-Signature=SECRET", tmp_path / "c"),
    ]

    assert job.run(batch, "--dry-run") == 0
    assert "local-copy" in job.out and "direct" in job.out
    text = job.out
    assert job.run(batch, "--dry-run", "--json") == 0
    lines = [json.loads(line) for line in job.out.splitlines()]

    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    assert (lines[0]["route"], lines[3]["route"]) == ("local-copy", "direct")
    assert "SECRET" not in text + job.out + job.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "home", "tmp"]


def test_a_dry_run_tells_what_cannot_start(job: Job, tmp_path: Path) -> None:
    code = job.run([remove("file:///"), transfer("gopher://x/a", tmp_path / "b")], "--dry-run")

    assert code == 1
    assert job.out.count("cannot start") == 2


def test_a_dry_run_tells_why_there_is_no_credential(job: Job, tmp_path: Path) -> None:
    batch = [transfer(tmp_path / "a", f"s3://alice@osn/b/{name}") for name in "xy"]

    assert job.run(batch, "--dry-run") == 0
    text = job.out
    assert job.run(batch, "--dry-run", "--json") == 0
    lines = [json.loads(line) for line in job.out.splitlines()]

    assert text.count("credential (destination): missing: s3://alice@osn needs an access key") == 1
    assert "credential (destination): missing, as above" in text
    assert "section [alice@osn]" in text and "credential (source)" not in text
    assert [line["credentials"] for line in lines] == [["-", "missing"]] * 2
    assert all("needs an access key" in line["missing"][0] for line in lines)


def test_an_explanation_reads_like_a_dry_run(job: Job, tmp_path: Path) -> None:
    batch = [transfer(tmp_path / "a", tmp_path / "b"), remove(tmp_path / "a"), remove("quux://h/a")]

    assert job.run(batch, "--dry-run") == 1
    made = plan(load_batch(json.dumps(batch)))
    assert "\n".join(str(explain(made, request)) for request in made.requests) + "\n" == job.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["batch.json"], "there is no command batch.json: is a batch meant? -f batch.json"),
        (["/"], "there is no command /: is a batch meant? -f /"),
        (["mkdri"], "there is no command mkdri; mkdir is one"),
        (["-n", "2", "cp"], "cp is a command only as the first word"),
        (["entirely-else"], "there is no command entirely-else"),
        (["--dryrun"], "there is no option --dryrun; --dry-run is one"),
        (
            ["--dry-run", "--check-credentials"],
            "argument --check-credentials: not allowed with argument --dry-run",
        ),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_in_one_line(job: Job, words: list[str], told: str) -> None:
    assert job.run([], *words) == 2
    assert (job.out, job.err) == ("", f"wf-transfer: {told} (wf-transfer --help)\n")


def test_secrets_of_urls_are_in_no_report(job: Job, tmp_path: Path) -> None:
    url = f"http://user:SECRET@127.0.0.1:{free_port()}/x?X-Amz-Signature=SECRET&sig=SECRET"

    code = job.run(
        [transfer(url, tmp_path / "a"), transfer(tmp_path / "none", url), remove(url)],
        *("-m", "1", "-d", "--result", "-", "--events", "events", "--metrics-file", "metrics"),
    )

    assert code != 0
    reports = job.out + job.err + (tmp_path / "events").read_text() + (tmp_path / "metrics").read_text()
    assert "SECRET" not in reports


def test_the_batch_is_utf_8_whatever_the_locale(job: Job, tmp_path: Path) -> None:
    (tmp_path / "ä").write_bytes(SMALL)
    data = json.dumps([transfer(tmp_path / "ä", tmp_path / "日本")], ensure_ascii=False).encode()

    assert job.run(data) == 0
    assert (tmp_path / "日本").read_bytes() == SMALL


def test_odd_names_reach_the_terminal_only_escaped(job: Job, tmp_path: Path) -> None:
    name = "\x1b[31mred\nnext"

    assert job.run([transfer(tmp_path / name, tmp_path / "b", lfn=name)]) == 1
    assert "\x1b" not in job.err
    assert "\\x1b" in job.err


# --- trouble with the machine


def test_a_full_disk_is_told_and_leaves_nothing(job: Job, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk; the kernel's own copy meets it too."""
    (tmp_path / "small").write_bytes(SMALL)
    (tmp_path / "big").write_bytes(BIG)
    os.mkfifo(tmp_path / "fifo")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    code = job.run(
        [
            transfer(tmp_path / "big", tmp_path / "out/big", lfn="big.dat"),
            transfer(tmp_path / "small", tmp_path / "out/small"),
        ],
        "--result",
        "result.json",
        preexec_fn=limited,
    )

    assert code == 1, job.err
    failed, done = job.requests()
    assert (failed["status"], failed["error"]["code"], failed["error"]["end"]) == (
        "failed",
        "no-space",
        "destination",
    )
    assert len(failed["attempts"]) == 1
    assert done["status"] == "done"
    assert "big.dat" in job.err and "free some space" in job.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["small"]
    assert not job.leftovers()


def test_a_tiny_disk_that_is_full_is_told_and_leaves_nothing(job: Job, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tiny file system needs root")
    try:
        code = job.run([transfer(tmp_path / "big", disk / "big")], "--result", "result.json")
        left = list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)

    assert code == 1
    assert job.requests()[0]["error"]["code"] == "no-space"
    assert not left


def test_a_result_for_a_standard_output_that_is_closed_is_a_failure(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SMALL)
    (tmp_path / "batch.json").write_text(json.dumps([transfer(tmp_path / "a", tmp_path / "b")]))
    program = "import os, sys; os.close(1); os.execv(sys.argv[1], sys.argv[1:])"
    words = job.command("-f", str(tmp_path / "batch.json"), "--result", "-")

    done = subprocess.run([sys.executable, "-c", program, *words], stderr=subprocess.PIPE, check=False)
    quiet = subprocess.run([sys.executable, "-c", program, *words[:-2]], stderr=subprocess.PIPE, check=False)

    assert (done.returncode, quiet.returncode) == (1, 0)
    assert b"cannot be written" in done.stderr
    assert (tmp_path / "b").read_bytes() == SMALL


# --- stopping


@contextlib.contextmanager
def slow(job: Job, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in the middle of a copy that would take 20 seconds; a removal waits for it."""
    (tmp_path / "a").write_bytes(BIG)
    batch = [transfer(tmp_path / "a", tmp_path / "out/b"), remove(tmp_path / "a")]
    with running(job.start(batch, "--bwlimit", "1M")) as process:
        wait_for_partial(tmp_path / "out", 1 << 20, process)
        yield process


@contextlib.contextmanager
def running(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        with process:
            yield process
    finally:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_signal_ends_the_run_in_order(job: Job, tmp_path: Path, number: signal.Signals) -> None:
    with slow(job, tmp_path) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 75, err
    assert job.result()["exit"] == 75
    assert [request["status"] for request in job.requests()] == ["stopped", "skipped"]
    assert b"Traceback" not in err and b"not finished" in err
    assert not (tmp_path / "out/b").exists()
    assert (tmp_path / "a").exists(), "nothing was removed after the stop"

    assert job.run([transfer(tmp_path / "a", tmp_path / "out/b")]) == 0
    assert (tmp_path / "out/b").read_bytes() == BIG
    assert not job.leftovers()


def test_the_deadline_ends_the_run_in_order(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BIG)

    code = job.run(
        [transfer(tmp_path / "a", tmp_path / "b")],
        *("--bwlimit", "1M", "--deadline", "0.5", "--result", "result.json"),
    )

    assert code == 75
    assert job.requests()[0]["error"]["code"] == "stopped"
    assert "deadline" in job.err or "stopped" in job.err
    assert not (tmp_path / "b").exists()


def test_a_second_signal_ends_at_once(job: Job, tmp_path: Path) -> None:
    """A FIFO that nobody writes keeps the first signal waiting for a moment."""
    os.mkfifo(tmp_path / "fifo")
    keeper = os.open(tmp_path / "fifo", os.O_RDWR)
    try:
        with running(job.start([transfer(tmp_path / "fifo", tmp_path / "b")])) as process:
            wait_for(lambda: _reads(process.pid, tmp_path / "fifo"), process)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)
    finally:
        os.close(keeper)

    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT)
    assert not (tmp_path / "b").exists()


def _reads(pid: int, path: Path) -> bool:
    folder = Path(f"/proc/{pid}/fd")
    try:
        return any(os.readlink(entry) == str(path) for entry in folder.iterdir())
    except OSError:
        return False


def test_after_a_kill_the_next_run_gets_it_right(job: Job, tmp_path: Path) -> None:
    with slow(job, tmp_path) as process:
        process.kill()
        process.communicate(timeout=PATIENCE)

    assert not (tmp_path / "out/b").exists()
    assert not (tmp_path / "result.json").exists()

    assert job.run([transfer(tmp_path / "a", tmp_path / "out/b")], "--result", "result.json") == 0
    assert (tmp_path / "out/b").read_bytes() == BIG
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out/b"], "the abandoned partial is gone"


def test_two_runs_of_one_batch_at_a_time_do_not_hurt_each_other(job: Job, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BIG)
    batch = [transfer(tmp_path / "a", tmp_path / f"out/{n}") for n in range(5)]

    with running(job.start(batch)) as one, running(job.start(batch)) as other:
        for process in (one, other):
            process.communicate(timeout=PATIENCE)

    assert (one.returncode, other.returncode) == (0, 0)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == list("01234")
    assert all(path.read_bytes() == BIG for path in (tmp_path / "out").iterdir())
