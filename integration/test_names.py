"""Names that somebody else chose, over every pair of protocols: each is one file, and never anything else."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from commands import Job, contents, keys_in, program, remove, run_program, site_sections, stored, transfer

if TYPE_CHECKING:
    from servers.nginx import Nginx
    from servers.seaweed import Seaweed

NAMES = [
    'it\'s "quoted"',
    "two\nlines",
    "100% %41 %2F",
    "a;b&c|d",
    "$(touch pwned)`touch pwned`",
    "-rf",
    "--help",
    "ünïcode 文字 \U0001f9ec",
    " blanks around ",
    "#frag?query=1",
    "back\\slash",
    "tab\tand\x1b[31mred",
    "{a,b}*[c]~!",
    "..dots..",
    "a+b=c@d:e",
]
"""No name holds `$` and a word, which local URLs replace by a variable."""

NO_S3_NAMES = frozenset({"back\\slash"})
"""SeaweedFS takes a backslash for a slash."""

FOREIGN = os.fsdecode(b"not utf-8 \xff\xfe")

PAIRS = [(source, destination) for source in ("file", "http", "s3") for destination in ("file", "http", "s3")]


def names_for(*protocols: str) -> list[str]:
    return [name for name in NAMES if "s3" not in protocols or name not in NO_S3_NAMES]


class Places:
    """The same name at each protocol: how it is written in a URL, how it is stored and looked at."""

    def __init__(self, job: Job, web: Nginx, service: Seaweed, bucket: str) -> None:
        self.job, self.web, self.service, self.bucket = job, web, service, bucket

    def url(self, protocol: str, folder: str, name: str) -> str:
        if protocol == "file":
            return self.job.url(f"{folder}/{name}")
        if protocol == "http":
            return f"{self.web.url}/put/{folder}/{quote(os.fsencode(name), safe='')}"
        return f"s3://alice@store/{self.bucket}/{folder}/{name}"

    def put(self, protocol: str, folder: str, name: str, data: bytes) -> None:
        if protocol == "s3":
            self.service.client().put_object(Bucket=self.bucket, Key=f"{folder}/{name}", Body=data)
            return
        root = self.job.out if protocol == "file" else self.web.root / "put"
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).write_bytes(data)

    def all(self, protocol: str, folder: str) -> dict[str, bytes | None]:
        if protocol == "s3":
            found = [key for key in keys_in(self.service, self.bucket) if key.startswith(f"{folder}/")]
            return {key.removeprefix(f"{folder}/"): stored(self.service, self.bucket, key) for key in found}
        root = self.job.out if protocol == "file" else self.web.root / "put"
        return dict(contents(root / folder))


@pytest.fixture
def places(job: Job, web: Nginx, s3: Seaweed, bucket: str) -> Places:
    job.credentials(site_sections(s3.endpoint, s3.admin))
    return Places(job, web, s3, bucket)


@pytest.mark.parametrize(("source", "destination"), PAIRS)
def test_every_name_arrives_as_it_is(source: str, destination: str, places: Places) -> None:
    job, names = places.job, names_for(source, destination)
    data = {name: f"{number}: {name}".encode() for number, name in enumerate(names)}
    for name, text in data.items():
        places.put(source, "from", name, text)
    batch = [
        transfer(name, places.url(source, "from", name), places.url(destination, "to", name))
        for name in names
    ]
    sums = job.out / "sums"
    run = job.run(batch, "--manifest", str(sums), environment={"PEGASUS_MULTIPART_DIR": str(job.folder)})
    assert run.exit == 0, run.err
    assert places.all(destination, "to") == data
    assert not list(job.folder.rglob("pwned"))
    assert {request["lfn"] for request in run.document["requests"]} == set(names)
    if destination == "file":
        for checker in ("sha256sum", program("wf-checksum")):
            checked = run_program([checker, "-c", "sums"], folder=job.out, environment=job.environment)
            assert (checked.returncode, checked.stderr) == (0, "")
            assert len(checked.stdout.splitlines()) == len(names)


@pytest.mark.parametrize("protocol", ["file", "http", "s3"])
def test_every_name_is_removed_and_no_other(protocol: str, places: Places) -> None:
    names = names_for(protocol)
    for name in names:
        places.put(protocol, "here", name, b"goes")
        places.put(protocol, "here", f"{name}.stays", b"stays")
    run = places.job.run([remove(places.url(protocol, "here", name)) for name in names])
    assert run.exit == 0, run.err
    assert places.all(protocol, "here") == {f"{name}.stays": b"stays" for name in names}


@pytest.mark.parametrize(("source", "destination"), [("file", "file"), ("file", "http"), ("http", "file")])
def test_names_that_are_not_utf_8_arrive_as_they_are(source: str, destination: str, places: Places) -> None:
    places.put(source, "from", FOREIGN, b"foreign")
    batch = [
        transfer("f", places.url(source, "from", FOREIGN), places.url(destination, "to", FOREIGN)),
    ]
    run = places.job.run(batch)
    assert run.exit == 0, run.err
    assert places.all(destination, "to") == {FOREIGN: b"foreign"}


def test_people_see_no_control_characters(places: Places) -> None:
    name = "red\x1b[31m\nfailed   other: all is well"
    run = places.job.run([transfer(name, places.job.url(name), places.job.url("copy"))])
    assert run.exit == 1
    assert "\x1b" not in run.err
    assert len([line for line in run.err.splitlines() if line.startswith("failed")]) == 1
    assert run.status(name) == "failed"


def test_a_name_is_no_option_of_a_shell_job(places: Places) -> None:
    """Relative names as a job writes them: a path without a scheme, in the working directory."""
    job = places.job
    for name in ("-rf", "$(touch pwned)"):
        (job.folder / name).write_bytes(name.encode())
    run = job.run([transfer(name, name, f"copy of {name}") for name in ("-rf", "$(touch pwned)")])
    assert run.exit == 0, run.err
    assert (job.folder / "copy of -rf").read_bytes() == b"-rf"
    assert (job.folder / "copy of $(touch pwned)").read_bytes() == b"$(touch pwned)"
    assert not (job.folder / "pwned").exists()


def test_sums_of_odd_names_are_those_of_the_system(places: Places) -> None:
    job = places.job
    for name in NAMES:
        places.put("file", "here", name, name.encode())
    names = [f"./{name}" for name in NAMES]
    ours, theirs = (
        subprocess.run(
            [command, *names], cwd=job.out / "here", env=job.environment, check=True, capture_output=True
        ).stdout
        for command in (program("wf-checksum"), "sha256sum")
    )
    assert ours == theirs
