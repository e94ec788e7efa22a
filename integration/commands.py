"""The commands as a job runs them: as subprocesses, with an environment of their own, and what they leave behind."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema
import wf.transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from servers.nginx import Nginx
    from servers.seaweed import Keys, Seaweed

PATIENCE = 60.0
"""Seconds; only against hanging."""

Request = dict[str, Any]
"""One element of a batch, or of the requests of a result document."""


def program(name: str) -> str:
    """The path of one of our commands, beside the interpreter that runs the tests."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed in this environment"
    return found


# --- batches


def transfer(lfn: str, sources: str | list[str], destinations: str | list[str], **more: Any) -> Request:
    """Several sources or destinations are tried in the order in which they are given."""
    return {
        "type": "transfer",
        "lfn": lfn,
        "src_urls": _ranked(sources),
        "dest_urls": _ranked(destinations),
        **more,
    }


def mkdir(url: str, **more: Any) -> Request:
    return {"type": "mkdir", "target": {"url": url, "site_label": "here"}, **more}


def remove(url: str, *, recursive: bool = False, **more: Any) -> Request:
    return {
        "type": "remove",
        "target": {"url": url, "site_label": "here", "recursive": recursive},
        **more,
    }


def _ranked(urls: str | list[str]) -> list[Request]:
    urls = [urls] if isinstance(urls, str) else urls
    return [
        {"url": url, "site_label": "here", "priority": len(urls) - number} for number, url in enumerate(urls)
    ]


# --- runs


class Run(NamedTuple):
    """What a finished `wf-transfer` left. `document` and `events` are empty where the batch was refused."""

    exit: int
    out: str
    err: str
    document: dict[str, Any]
    events: list[dict[str, Any]]

    def request(self, lfn: str) -> Request:
        (found,) = (request for request in self.document["requests"] if request["lfn"] == lfn)
        return dict(found)

    def status(self, lfn: str) -> str:
        return str(self.request(lfn)["status"])

    def told(self, start: str) -> str:
        """The lines of the summary about one item, from the one that has `start` after its status."""
        lines = self.err.splitlines()
        (first,) = (number for number, line in enumerate(lines) if line[9:].startswith(f"{start}: "))
        block = [lines[first]]
        for line in lines[first + 1 :]:
            if not line.startswith(" "):
                break
            block.append(line)
        return "\n".join(block)


class Job:
    """A folder in which commands run, and the environment that they get: nothing of the tests' own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "job"
        self.out = folder / "out"
        """Where local destinations are."""
        home = folder / "home"
        for path in (self.folder, self.out, home):
            path.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(folder),
            "LC_ALL": "C",
        }

    def url(self, name: str) -> str:
        return f"file://{self.out / name}"

    def credentials(self, text: str, *, mode: int = 0o600) -> Path:
        """Writes the credentials file that all later runs use."""
        path = self.folder / "credentials.conf"
        path.write_text(text)
        path.chmod(mode)
        self.environment["PEGASUS_CREDENTIALS"] = str(path)
        return path

    def start(self, batch: object, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """A `wf-transfer` that runs; `finish` takes it. A batch that is text is passed on as it is."""
        text = batch if isinstance(batch, bytes) else json.dumps(batch).encode()
        (self.folder / "batch.json").write_bytes(text)
        reports = ("--result", "result.json", "--events", "events.jsonl")
        for name in (reports[1], reports[3]):
            (self.folder / name).unlink(missing_ok=True)
        environment = {**self.environment, **options.pop("environment", {})}
        with (self.folder / "batch.json").open("rb") as standard_input:
            return subprocess.Popen(
                [program("wf-transfer"), *reports, *arguments],
                stdin=standard_input,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.folder,
                env=environment,
                **options,
            )

    def finish(self, process: subprocess.Popen[bytes]) -> Run:
        """Waits for the end. Whatever happened: no traceback, nothing on standard output, a valid document."""
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        run = Run(
            process.returncode,
            out.decode(),
            err.decode(),
            _document(self.folder / "result.json"),
            _lines(self.folder / "events.jsonl"),
        )
        _check(run)
        return run

    def run(self, batch: object, *arguments: str, **options: Any) -> Run:
        return self.finish(self.start(batch, *arguments, **options))


def _document(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []


def _check(run: Run) -> None:
    assert "Traceback" not in run.err, run.err
    assert "defect" not in run.err, run.err
    assert run.out == ""
    if run.document:
        jsonschema.validate(run.document, _schema())
        assert run.document["exit"] == run.exit, run.err
        assert run.events[-1]["event"] == "run-finished"


@functools.cache
def _schema() -> dict[str, Any]:
    return dict(json.loads((Path(wf.transfer.__path__[0]) / "result.schema.json").read_text()))


# --- what must hold after a run


def assert_failed(run: Run, lfn: str, code: str, *, end: str = "") -> None:
    """The item failed with `code`, and people were told so: item, step, reason and remedy."""
    request = run.request(lfn)
    assert request["status"] == "failed", request
    error = request["error"]
    assert error["code"] == code, error
    assert not end or error["end"] == end, error
    assert error["step"], error
    assert error["message"], error
    assert error["remedy"], error
    told = run.told(lfn)
    for part in (error["step"], f"[{code}]", f"what to do: {error['remedy'].splitlines()[0]}"):
        assert part in told


def partials(folder: Path) -> list[Path]:
    """What unfinished copies left below a folder."""
    return sorted(path for path in folder.rglob(".wf-*"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, partials included, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Returns when `condition` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {PATIENCE:.0f} s"
        time.sleep(0.005)


class Neighbours:
    """Requests that nothing is wrong with, around one with which something is: they must be done whatever happens."""

    def __init__(self, web: Nginx, job: Job) -> None:
        self._web, self._job = web, job
        self.root, self.port = web.root, web.port
        for name in ("before", "after"):
            (web.root / f"{name}.dat").write_bytes(name.encode() * 1000)

    def around(self, *requests: Request) -> list[Request]:
        before, after = (
            transfer(name, f"{self._web.url}/{name}.dat", self._job.url(name)) for name in ("before", "after")
        )
        return [before, *requests, after]

    def assert_done(self, run: Run) -> None:
        for name in ("before", "after"):
            assert run.status(name) == "done", run.err
            assert (self._job.out / name).read_bytes() == name.encode() * 1000


# --- S3


def site_sections(endpoint: str, keys: Keys, *, site: str = "store", user: str = "alice") -> str:
    """The sections of a credentials file for `s3://alice@store/`."""
    return (
        f"[{site}]\nendpoint = {endpoint}\nregion = us-east-1\n"
        f"[{user}@{site}]\naccess_key = {keys.access}\nsecret_key = {keys.secret}\n"
    )


def stored(service: Seaweed, bucket: str, key: str) -> bytes | None:
    """The content of an object; None if there is none."""
    client = service.client()
    try:
        return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    except client.exceptions.NoSuchKey:
        return None


def keys_in(service: Seaweed, bucket: str) -> list[str]:
    found = service.client().list_objects_v2(Bucket=bucket)
    return [item["Key"] for item in found.get("Contents", ())]


def uploads_in(service: Seaweed, bucket: str) -> list[str]:
    """Keys of the multipart uploads that were begun and neither completed nor aborted."""
    found = service.client().list_multipart_uploads(Bucket=bucket)
    return [item["Key"] for item in found.get("Uploads", ())]


@contextlib.contextmanager
def changed_directory(path: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def run_program(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs any program to its end; the caller looks at its exit code."""
    return subprocess.run(
        command,
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
