"""What the rows of the benchmark are made of: data, batches, checks, and what a row found."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import measure
import profiling
from measure import Contender, Ratio, Results, Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loopback import Web
    from peers import Programs

KIB, MIB = 1 << 10, 1 << 20
OURS = "wf-transfer"


class Scale(NamedTuple):
    """How much there is to do."""

    large: int
    """Bytes."""
    many: int
    """Files of 64 KiB over a network; so the next two, on this machine and tiny."""
    more: int
    most: int
    rounds: int
    many_rounds: int
    slow: int
    """For peers too slow for all the work: they do one in so many files, in one round."""


FULL = Scale(1 << 30, 1_000, 10_000, 100_000, 5, 7, 10)
QUICK = Scale(64 * MIB, 200, 1_000, 5_000, 1, 1, 10)


class Finding(NamedTuple):
    """A figure and what it should be at most. `goal` is None where nothing was promised."""

    what: str
    found: float
    goal: float | None
    unit: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.found <= self.goal


class Row(NamedTuple):
    """One line of goals, measured."""

    name: str
    title: str
    table: str
    findings: list[Finding]
    flags: list[str]
    """How each contender was called, its data folder left out."""
    notes: list[str]
    load: str
    """Of the machine, before and after."""
    profiles: list[str] = []  # noqa: RUF012  nothing is ever added to it
    """Where our time goes, of what missed its goal."""


class Bench:
    """What all rows need. `folder` is a row's own, in memory, and empty when the row begins."""

    def __init__(self, programs: Programs, scale: Scale, web: Web, folder: Path) -> None:
        self.programs, self.scale, self.web, self.folder = programs, scale, web, folder
        self.out = folder / "out"
        self._large: tuple[Path, str] | None = None
        self._small: dict[str, str] = {}

    # --- data

    def large(self) -> tuple[Path, str]:
        """A large file that nginx serves as `/large`, and its SHA-256."""
        if self._large is None:
            path = self.web.root / "large"
            self._large = path, random_file(path, self.scale.large)
            os.link(path, self.web.store / "bucket/large")
            self.web.knows("large", path)
            self.web.knows("put/large", path)
            # An ETag of nginx is believed when the file has not been modified just now.
            os.utime(path, (1_000_000_000, 1_000_000_000))
        return self._large

    def small(self, count: int) -> dict[str, str]:
        """Names of files of 64 KiB below `/small/` and in the bucket as `small/...`, and their SHA-256."""
        folder, bucket = self.web.root / "small", self.web.store / "bucket/small"
        folder.mkdir(exist_ok=True)
        bucket.mkdir(exist_ok=True)
        for number in range(len(self._small), count):
            name = f"{number:06d}"
            self._small[name] = random_file(folder / name, 64 * KIB)
            os.utime(folder / name, (1_000_000_000, 1_000_000_000))
            os.link(folder / name, bucket / name)
            self.web.knows(f"small/{name}", folder / name)
        return dict(list(self._small.items())[:count])

    # --- commands

    def batch(self, name: str, triples: Iterable[tuple[str, str, str | None]]) -> str:
        """The path of a batch of sources, destinations and SHA-256."""
        path = self.folder / f"{name}.json"
        requests = []
        for number, (source, destination, digest) in enumerate(triples):
            request = {
                "type": "transfer",
                "lfn": f"f{number}",
                "src_urls": [{"site_label": "local", "url": source}],
                "dest_urls": [{"site_label": "local", "url": destination}],
            }
            if digest:
                request["checksum"] = {"type": "sha256", "value": digest}
            requests.append(request)
        path.write_text(json.dumps(requests))
        return str(path)

    def listing(self, name: str, lines: Iterable[str]) -> str:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    def environment(self, endpoint: str = "") -> dict[str, str]:
        """Of every contender: no configuration of a user, the keys of the S3 double, the authority of HTTPS."""
        from loopback import KEYS

        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            **KEYS,
            "AWS_ENDPOINT_URL_S3": endpoint or self.web.s3,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SSL_CERT_FILE": str(self.web.tls.ca),
            "HOME": str(home),
            "TMPDIR": str(self.folder),
            "RCLONE_CONFIG": "/dev/null",
        }

    def ours(
        self, name: str, batch: str, check: Callable[[bytes], None], *more: str, **options: object
    ) -> Contender:
        environment = {**self.environment(), **options.pop("environment", {})}  # type: ignore[dict-item]
        before = options.pop("before", self.fresh)
        command = (self.programs.ours, "-f", batch, *more)
        return Contender(
            name, command, check, before=before, environment=environment, folder=self.folder, **options
        )

    def peer(
        self, name: str, command: Sequence[str], check: Callable[[bytes], None], **options: object
    ) -> Contender:
        environment = {**self.environment(), **options.pop("environment", {})}  # type: ignore[dict-item]
        before = options.pop("before", self.fresh)
        return Contender(
            name, command, check, before=before, environment=environment, folder=self.folder, **options
        )

    def fresh(self) -> None:
        """An empty `out`."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()

    def no_objects(self) -> None:
        """Nothing that was put."""
        shutil.rmtree(self.web.store / "bucket/put", ignore_errors=True)
        shutil.rmtree(self.web.parts, ignore_errors=True)
        self.web.parts.mkdir()

    # --- checks

    def large_arrived(self, path: Path | None = None) -> Callable[[bytes], None]:
        return lambda _: self._same([path or self.out / "large"])

    def large_was_put(self) -> Callable[[bytes], None]:
        return lambda _: self._same(self.web.stored("put/large"))

    def _same(self, pieces: list[Path]) -> None:
        source, _ = self.large()
        with source.open("rb") as expected:
            for piece in pieces:
                with piece.open("rb") as found:
                    while data := found.read(MIB):
                        if data != expected.read(len(data)):
                            raise Wrong(f"{piece} has other bytes")
            if expected.read(1):
                raise Wrong(f"{pieces[0]} is too short")

    def small_arrived(self, names: Iterable[str], folder: Path | None = None) -> Callable[[bytes], None]:
        expected = list(names)

        def check(_: bytes) -> None:
            place = folder or self.out
            if len(os.listdir(place)) != len(expected):
                raise Wrong(f"{len(os.listdir(place))} files, not {len(expected)}")
            for name in expected:
                if (place / name).read_bytes() != (self.web.root / "small" / name).read_bytes():
                    raise Wrong(f"{name} has other bytes")

        return check

    # --- runs

    def measured(
        self,
        name: str,
        title: str,
        contenders: Sequence[Contender | None],
        ratios: Sequence[tuple[Ratio, str]],
        *,
        rounds: int,
        more: Callable[[Results], list[Finding]] = lambda _: [],
        notes: Sequence[str] = (),
    ) -> Row:
        """Runs and judges. A contender that is None is left out, with every ratio that needs it."""
        there = [one for one in contenders if one is not None]
        names = {one.name for one in there}
        before = load()
        results = measure.run(there, rounds, progress=lambda text: print(f"{name}: {text}", flush=True))
        findings = [
            Finding(text or spelled(ratio), results.ratio(ratio), ratio.goal)
            for ratio, text in ratios
            if names.issuperset((ratio.of, *ratio.over))
        ]
        findings += more(results)
        busy = f"{before}, then {load()}"
        missed = {
            ratio.of
            for ratio, _ in ratios
            if ratio.goal and {ratio.of, *ratio.over} <= names and results.ratio(ratio) > ratio.goal
        }
        if self.scale.rounds == 1:
            missed.clear()  # one round judges nothing
        profiles = [profiling.profile(self.programs.py_spy, one) for one in there if one.name in missed]
        flags = [self.spelled(one) for one in there]
        return Row(name, title, measure.table(results, there), findings, flags, list(notes), busy, profiles)

    def spelled(self, one: Contender) -> str:
        words = " ".join(str(word) for word in one.command)
        for path, short in (
            (str(self.folder), "$DATA"),
            (str(self.web.root.parent), "$SERVER"),
            (self.programs.our_python, "python"),
            (self.programs.ours, "wf-transfer"),
        ):
            words = words.replace(path, short)
        words = words if len(words) < 600 else f"{words[:80]} ..."
        parts = [word if not word.startswith("/") else os.path.basename(word) for word in words.split(" ")]
        return f"{one.name}: `{' '.join(parts)[:240]}`"


def spelled(ratio: Ratio) -> str:
    return f"{ratio.measure} of {ratio.of} / {' + '.join(ratio.over)}"


def cpu(of: str, over: str, goal: float) -> tuple[Ratio, str]:
    return Ratio(of, (over,), "cpu", goal), ""


def wall(of: str, over: str, goal: float) -> tuple[Ratio, str]:
    return Ratio(of, (over,), "wall", goal), ""


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def random_file(path: Path, size: int) -> str:
    """Its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, 4 * MIB):
            data = os.urandom(min(4 * MIB, size - start))
            digest.update(data)
            file.write(data)
    return digest.hexdigest()
