"""A demonstration: the real commands move real data between servers that are started here, without root.

Ends with 0 if everything went as announced, a caught corruption included.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo_server import DAMAGED, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

MEBIBYTE = 1 << 20
SIZES = {"events.dat": 24 * MEBIBYTE, "calibration.dat": 6 * MEBIBYTE, "it's 100% odd; $(name).txt": 4321}
BUCKET = "results"


def main() -> int:
    if not (Path(sys.executable).with_name("weed").exists() or shutil.which("weed")):
        print("The demonstration needs SeaweedFS: `make env` installs it on Linux.", file=sys.stderr)
        return 1
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wf-transfer-demo-")))
        demo = Demo(folder, stack)
        stations = (demo.prepare, demo.move, demo.show_records, demo.catch_a_corruption, demo.clean_up)
        for station in stations:
            station()
            if demo.surprises:
                break  # what follows builds on it
        return demo.verdict()


class Demo:
    """The stations of the demonstration; each says what it does, does it, and checks what came of it."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.archive, self.work = folder / "archive", folder / "work"
        self.archive.mkdir()
        self.work.mkdir()
        self.environment = {
            name: value for name, value in os.environ.items() if name in ("PATH", "TERM", "LANG", "NO_COLOR")
        }
        self.environment |= {"HOME": str(folder), "PEGASUS_CREDENTIALS": str(folder / "credentials.conf")}
        self.credentials = folder / "credentials.conf"
        self.stack = stack
        self.surprises: list[str] = []

    def prepare(self) -> None:
        tell("Servers and data")
        for name, size in SIZES.items():
            (self.archive / name).write_bytes(os.urandom(size))
        self.web = self.stack.enter_context(serving(self.archive))
        say(f"a web server at {self.web.url}, with {', '.join(SIZES)}")
        self.dead = f"http://127.0.0.1:{self.stack.enter_context(dead_port())}"
        say(f"nothing at all at {self.dead}: a replica that died")
        from servers.seaweed import seaweed

        store = self.stack.enter_context(seaweed())
        say(f"an S3 service (SeaweedFS) at {store.endpoint}")
        self.credentials.touch(mode=0o600)
        self.credentials.write_text(
            f"[store]\nendpoint = {store.endpoint}\nregion = us-east-1\n"
            f"[alice@store]\naccess_key = {store.admin.access}\nsecret_key = {store.admin.secret}\n"
        )
        say("a credentials file with its keys, readable by nobody else")

    def move(self) -> None:
        tell("One batch: folders, a known sum, a fail-over, HTTP to S3, and back from S3")
        events, calibration, odd = SIZES
        self.run(
            [
                mkdir(f"s3://alice@store/{BUCKET}", id="bucket"),
                mkdir("inputs", id="folder"),
                transfer(
                    "events.dat, with the catalogue's sum",
                    self.source(events),
                    "inputs/events.dat",
                    checksum={"type": "sha256", "value": self.sum(events)},
                ),
                transfer(
                    "calibration.dat, whose first replica is dead",
                    [f"{self.dead}/calibration.dat", self.source(calibration)],
                    "inputs/calibration.dat",
                ),
                transfer("a name that shells dislike", self.source(odd), f"file://{self.work}/inputs/{odd}"),
                transfer(
                    "events.dat, from the web to S3",
                    self.source(events),
                    f"s3://alice@store/{BUCKET}/2026/events.dat",
                    checksum={"type": "sha256", "value": self.sum(events)},
                    id="stored",
                ),
                transfer(
                    "events.dat, back from S3",
                    f"s3://alice@store/{BUCKET}/2026/events.dat",
                    "outputs/events.dat",
                    checksum={"type": "sha256", "value": self.sum(events)},
                    after="stored",
                ),
            ],
            # Slow enough to be watched.
            *("--bwlimit", "24M", "--manifest", "MANIFEST", "--result", "result.json"),
            expected=0,
        )
        for name in SIZES:
            self.check(self.holds(f"inputs/{name}", name), f"inputs/{name} is what the archive has")
        self.check(self.holds("outputs/events.dat", events), "outputs/events.dat survived its way through S3")

    def show_records(self) -> None:
        tell("What the run left behind")
        document = json.loads((self.work / "result.json").read_text())
        say(f"result.json: exit {document['exit']}, totals {json.dumps(document['totals'])}")
        for request in document["requests"]:
            if request["type"] == "transfer":
                tried = len(request["attempts"])
                say(
                    f"  {request['lfn']}: {request['status']}, {request['route']}, evidence {request['evidence']}, "
                    f"{tried} attempt{'s' * (tried > 1)}"
                )
        routes = {request["route"] for request in document["requests"] if request["route"]}
        self.check(routes == {"direct", "streamed"}, "HTTP and S3 met in memory, the rest went directly")
        checker = "sha256sum" if shutil.which("sha256sum") else "wf-checksum"
        checked = self.command([checker, "-c", "MANIFEST"])
        self.check(checked == 0, "the manifest agrees with every file")

    def catch_a_corruption(self) -> None:
        tell("A source with one wrong bit: exit code 3 is what should happen")
        events, *_ = SIZES
        self.run(
            [
                transfer(
                    "events.dat, from a bad disk",
                    f"{self.web.url}{DAMAGED}events.dat",
                    "inputs/from-a-bad-disk.dat",
                    checksum={"type": "sha256", "value": self.sum(events)},
                )
            ],
            expected=3,
        )
        self.check(
            sorted(path.name for path in (self.work / "inputs").iterdir()) == sorted(SIZES),
            "the damaged copy was never given its name, and nothing is left of it",
        )

    def clean_up(self) -> None:
        tell("Removing it all")
        self.run(
            [
                remove(f"s3://alice@store/{BUCKET}/2026", recursive=True),
                remove("inputs", recursive=True),
                remove("outputs", recursive=True),
            ],
            expected=0,
        )
        left = sorted(path.name for path in self.work.iterdir() if path.is_dir())
        self.check(left == [], "the folders are gone")

    def verdict(self) -> int:
        print()
        for surprise in self.surprises:
            print(f"NOT AS EXPECTED: {surprise}")
        if not self.surprises:
            print("Everything went as it should.")
        return 1 if self.surprises else 0

    # --- one command

    def run(self, batch: list[dict[str, Any]], *options: str, expected: int) -> None:
        """Runs wf-transfer with a batch; what it writes goes to the terminal as it is."""
        (self.work / "batch.json").write_text(json.dumps(batch, indent=2))
        code = self.command(["wf-transfer", "-f", "batch.json", *options])
        self.check(code == expected, f"exit code {code}, expected {expected}")

    def command(self, words: list[str]) -> int:
        print(f"\n$ {' '.join(words)}", flush=True)
        program = Path(sys.executable).with_name(words[0])
        command = [str(program) if program.exists() else words[0], *words[1:]]
        code = subprocess.run(command, cwd=self.work, env=self.environment, check=False).returncode
        print()
        return code

    def check(self, good: bool, what: str) -> None:
        say(f"{'ok:' if good else 'WRONG:'} {what}")
        if not good:
            self.surprises.append(what)

    # --- names

    def source(self, name: str) -> str:
        from urllib.parse import quote

        return f"{self.web.url}/{quote(name)}"

    def sum(self, name: str) -> str:
        return hashlib.sha256((self.archive / name).read_bytes()).hexdigest()

    def holds(self, path: str, name: str) -> bool:
        copy = self.work / path
        return copy.is_file() and copy.read_bytes() == (self.archive / name).read_bytes()


def transfer(lfn: str, sources: str | list[str], destination: str, **more: Any) -> dict[str, Any]:
    urls = [sources] if isinstance(sources, str) else sources
    ranked = [{"url": url, "priority": len(urls) - number} for number, url in enumerate(urls)]
    return {"type": "transfer", "lfn": lfn, "src_urls": ranked, "dest_urls": [{"url": destination}], **more}


def mkdir(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "mkdir", "target": {"url": url}, **more}


def remove(url: str, *, recursive: bool = False) -> dict[str, Any]:
    return {"type": "remove", "target": {"url": url, "recursive": recursive}}


@contextlib.contextmanager
def dead_port() -> Iterator[int]:
    """A port on which connections are refused: bound, and not listening."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def tell(heading: str) -> None:
    print(f"\n== {heading}", flush=True)


def say(line: str) -> None:
    print(f"   {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
