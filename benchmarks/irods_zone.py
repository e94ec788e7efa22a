"""wf-transfer beside python-irodsclient, at the iRODS zone of the tests: `python benchmarks/irods_zone.py --help`.

Run it by a Python beside which `wf-transfer[irods]` is installed, with `--into benchmarks/RESULTS.md`, where it replaces its own
section. What is counted is the processor time of the clients; the zone is a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import in_irodsclient
import measure
from measure import Contender, Ratio, Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KIB, MIB = 1 << 10, 1 << 20
HERE = Path(__file__).resolve().parent
ZONE = HERE.parent / "tests/servers/irods_server.py"
OURS, PLAIN, COMPARED = "wf-transfer", "python-irodsclient", "python-irodsclient, compared"
HOME = "/tempZone/home/alice"
BEGIN, END = "<!-- irods -->", "<!-- end of irods -->"
SET_UP = """\
The zone is the one of the tests, a process of its own on this machine, its vault and all files in memory. Only the clients' processor time has
goals. `compared` is python-irodsclient with what wf-transfer always does: it hashes each file and has the server compare the checksum, or compares the
catalogue's itself. Without that (`python-irodsclient` alone) a large file costs less than its SHA-256, and nobody knows whether it arrived.
"""


class Scale(NamedTuple):
    large: int
    many: int
    rounds: int


FULL = Scale(1 << 30, 1_000, 5)
QUICK = Scale(128 * MIB, 200, 1)


class Section(NamedTuple):
    title: str
    contenders: list[Contender]
    goals: list[Ratio]


class Place:
    """Sources, targets and a zone, for one size of file."""

    def __init__(self, folder: Path, name: str, count: int, size: int) -> None:
        self.folder = folder / name
        self.out = self.folder / "out"
        self.vault = folder / "zone/vault"
        self.environment = {
            "IRODS_ENVIRONMENT_FILE": str(folder / "zone/irods_environment.json"),
            "HOME": str(folder),
        }
        (self.folder / "in").mkdir(parents=True)
        self.sums = {f"{number:06d}": self._made(f"{number:06d}", size) for number in range(count)}

    def _made(self, name: str, size: int) -> str:
        block = os.urandom(min(size, MIB))
        path = self.folder / "in" / name
        with path.open("wb") as file:
            for _ in range(size // len(block)):
                file.write(block)
        return digest_of(path)

    # --- commands

    def put(self, name: str, manner: str = "") -> Contender:
        collection = f"{HOME}/{self.folder.name}-{name.replace(' ', '-').replace(',', '')}"
        pairs = [(f"{self.folder}/in/{one}", f"{collection}/{one}") for one in self.sums]
        command = self._command(
            f"put {name}", "put", manner, [(one, f"irods://{two}") for one, two in pairs], pairs
        )
        return Contender(
            name,
            command,
            lambda _: self._stored(),
            before=lambda: self._emptied(collection),
            environment=self.environment,
            folder=self.folder,
        )

    def get(self, name: str, source: str, manner: str = "") -> Contender:
        pairs = [(f"{HOME}/{source}/{one}", f"{self.out}/{one}") for one in self.sums]
        command = self._command(
            f"get {name}", "get", manner, [(f"irods://{one}", two) for one, two in pairs], pairs
        )
        return Contender(
            name,
            command,
            lambda _: self._arrived(),
            before=self._fresh,
            environment=self.environment,
            folder=self.folder,
        )

    def _command(
        self,
        name: str,
        direction: str,
        manner: str,
        urls: list[tuple[str, str]],
        pairs: list[tuple[str, str]],
    ) -> tuple[str, ...]:
        path = self.folder / name.replace(" ", "-").replace(",", "")
        if not manner:
            path.write_text(json.dumps([request(number, *pair) for number, pair in enumerate(urls)]))
            return (str(Path(sys.executable).parent / "wf-transfer"), "-f", str(path))
        path.write_text("".join(f"{one}\t{two}\n" for one, two in pairs))
        return (sys.executable, str(HERE / "in_irodsclient.py"), direction, manner, str(path))

    # --- before and after

    def _fresh(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()

    def _emptied(self, collection: str) -> None:
        with zone_of(self.environment) as session:
            if session.collections.exists(collection):
                session.collections.remove(collection, force=True)
            session.collections.create(collection)

    def planted(self, collection: str) -> None:
        """What is to be got."""
        with zone_of(self.environment) as session:
            session.collections.create(f"{HOME}/{collection}")
            for name in self.sums:
                session.data_objects.put(
                    str(self.folder / "in" / name), f"{HOME}/{collection}/{name}", regChksum=""
                )

    def _stored(self) -> None:
        """The newest files of the vault are what was put."""
        newest = sorted(self.vault.iterdir(), key=lambda path: path.stat().st_mtime_ns)[-len(self.sums) :]
        if sorted(map(digest_of, newest)) != sorted(self.sums.values()):
            raise Wrong("the vault holds something else")

    def _arrived(self) -> None:
        if {path.name: digest_of(path) for path in self.out.iterdir()} != self.sums:
            raise Wrong("something else arrived")


def request(number: int, source: str, target: str) -> dict[str, object]:
    places = [
        [{"site_label": "local", "url": url if "://" in url else f"file://{url}"}] for url in (source, target)
    ]
    return {"type": "transfer", "lfn": f"f{number}", "src_urls": places[0], "dest_urls": places[1]}


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def zone_of(environment: dict[str, str]) -> Iterator[object]:
    os.environ.update(environment)
    with in_irodsclient.opened() as session:
        yield session


@contextlib.contextmanager
def served(folder: Path) -> Iterator[None]:
    """The zone, in `folder`, as a process of its own."""
    folder.mkdir()
    process = subprocess.Popen([sys.executable, str(ZONE), str(folder)])
    try:
        while not (folder / "irods_environment.json").exists():
            if process.poll() is not None:
                raise Wrong("the zone ended before it listened")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def sections(folder: Path, scale: Scale) -> Iterator[Section]:
    sizes: tuple[tuple[str, str, int, int, float], ...] = (
        ("many", f"{scale.many:,} files of 64 KiB", scale.many, 64 * KIB, 0.7),
        ("large", f"one file of {scale.large // MIB:,} MiB", 1, scale.large, 0.9),
    )
    for name, title, count, size, goal in sizes:
        place = Place(folder, name, count, size)
        puts = [place.put(OURS), place.put(PLAIN, "plain"), place.put(COMPARED, "compared")]
        yield Section(f"{title}, put", puts, goals(goal))
        place.planted(f"{name}-given")
        gets: list[Callable[[], Contender]] = [
            lambda: place.get(OURS, f"{name}-given"),  # noqa: B023 - called at once
            lambda: place.get(PLAIN, f"{name}-given", "plain"),  # noqa: B023
            lambda: place.get(COMPARED, f"{name}-given", "compared"),  # noqa: B023
        ]
        yield Section(f"{title}, get", [made() for made in gets], goals(goal))
        shutil.rmtree(place.folder)


def goals(goal: float) -> list[Ratio]:
    return [Ratio(OURS, (COMPARED,), "cpu", goal), Ratio(OURS, (PLAIN,), "cpu", goal)]


def report(folder: Path, scale: Scale) -> Iterator[str]:
    yield f"{BEGIN}\n\n## iRODS\n\n{measure.machine()}. {SET_UP}\n"
    yield f"python-irodsclient {measure.version(sys.executable, '-c', 'import irods; print(irods.__version__)')}.\n"
    for section in sections(folder, scale):
        results = measure.run(
            section.contenders, scale.rounds, progress=lambda text: print(text, file=sys.stderr)
        )
        yield f"\n### {section.title}\n\n{measure.goals(results, section.goals)}\n{measure.table(results, section.contenders)}"
    yield f"\n{END}\n"


def put_into(path: Path, text: str) -> None:
    """Replaces the section, or appends it."""
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    before, begin, rest = page.partition(BEGIN)
    after = rest.partition(f"{END}\n")[2] if begin else ""
    separator = "" if begin or not before else "\n"
    path.write_text(f"{before}{separator}{text}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="the page whose section is replaced; else standard output"
    )
    options = parser.parse_args()
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place, prefix="wf-irods-") as folder, served(Path(folder) / "zone"):
        text = "".join(report(Path(folder), QUICK if options.quick else FULL))
    if options.into:
        put_into(options.into, text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
