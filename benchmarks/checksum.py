"""wf-checksum beside openssl, sha256sum, hashlib and pegasus-integrity: `python benchmarks/checksum.py --help`.

Run it by a Python beside which wf-transfer is installed from its wheel, with `--into benchmarks/RESULTS.md`, where it
replaces its own section.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import measure
import profiling
from measure import Contender, Ratio, Results, Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KIB, MIB = 1 << 10, 1 << 20


class Scale(NamedTuple):
    """How much there is to do."""

    large_bytes: int
    small_files: int
    entries: int
    """In the manifest that is verified; each of 10,000 files is listed so often as that takes."""
    fewer_entries: int
    rounds: int
    slow_rounds: int


FULL = Scale(1 << 30, 10_000, 1_000_000, 10_000, 7, 2)
QUICK = Scale(128 * MIB, 2_000, 60_000, 2_000, 3, 1)


class Section(NamedTuple):
    title: str
    contenders: list[Contender]
    goals: list[Ratio]
    note: str = ""
    most_mib: int = 0
    """Goal of the peak of each of our processes; 0: none."""


# --- data


def large_file(folder: Path, size: int) -> Path:
    path = folder / "large"
    with path.open("wb") as file:
        for start in range(0, size, 4 * MIB):
            file.write(os.urandom(min(4 * MIB, size - start)))
    return path


def small_files(folder: Path, count: int, size: int) -> dict[str, str]:
    """Files with random content and their SHA-256 by path."""
    folder.mkdir()
    digests = {}
    for number in range(count):
        data = os.urandom(size)
        path = folder / f"{number:06d}"
        path.write_bytes(data)
        digests[str(path)] = hashlib.sha256(data).hexdigest()
    return digests


# --- what must come out


def says(value: str, *, times: int = 1) -> Callable[[bytes], None]:
    def check(output: bytes) -> None:
        if output.count(value.encode()) != times:
            raise Wrong(f"{value} is not there {times} times")

    return check


def lists(digests: dict[str, str]) -> Callable[[bytes], None]:
    """The digest of each file, in the forms `hex  name`, `hex *name` and `SHA2-256(name)= hex`."""

    def check(output: bytes) -> None:
        found = dict(map(_pair, output.decode().splitlines()))
        if found != digests:
            raise Wrong(f"{len(found)} digests, of which not all are right")

    return check


def _pair(line: str) -> tuple[str, str]:
    if line.startswith("SHA"):
        name, _, value = line.partition("(")[2].rpartition(")= ")
        return name, value
    value, _, name = line.partition(" ")
    return name.removeprefix(" ").removeprefix("*"), value


def weighs(digests: dict[str, str]) -> Callable[[bytes], None]:
    """As many bytes as the lines of openssl have: of two that write at once the lines may be mixed."""

    def check(output: bytes) -> None:
        expected = sum(len(f"SHA2-256({name})= {value}\n") for name, value in digests.items())
        if len(output) != expected:
            raise Wrong(f"{len(output)} bytes, not {expected}")

    return check


def counts(expected: int) -> Callable[[bytes], None]:
    def check(output: bytes) -> None:
        if output.count(b": OK\n") != expected:
            raise Wrong(f"{output.count(b': OK')} of {expected} files matched")

    return check


# --- sections

OURS = "wf-checksum"
FILE_DIGEST = (
    "import hashlib, sys\n"
    "with open(sys.argv[1], 'rb') as file:\n"
    "    print(hashlib.file_digest(file, 'sha256').hexdigest())\n"
)


class Programs(NamedTuple):
    wf_checksum: str
    python: str
    pegasus: tuple[str, ...] | None


def one_large_file(programs: Programs, folder: Path, scale: Scale) -> Section:
    path = str(large_file(folder, scale.large_bytes))
    with open(path, "rb") as file:
        check = says(hashlib.file_digest(file, "sha256").hexdigest())
    contenders = [
        Contender(OURS, (programs.wf_checksum, path), check),
        Contender("openssl dgst", ("openssl", "dgst", "-sha256", path), check),
        Contender("hashlib.file_digest", (programs.python, "-c", FILE_DIGEST, path), check),
        Contender("sha256sum", ("sha256sum", path), check, rounds=scale.slow_rounds),
    ]
    goals = [
        Ratio(OURS, ("openssl dgst",), "cpu", 1.0),
        Ratio(OURS, ("hashlib.file_digest",), "cpu", 0.7),
        Ratio(OURS, ("sha256sum",), "cpu", 1 / 6),
    ]
    return Section(f"SHA-256 of {scale.large_bytes // MIB} MiB in cache", contenders, goals)


def many_small_files(programs: Programs, folder: Path, scale: Scale) -> Section:
    digests = small_files(folder / "small", scale.small_files, 64 * KIB)
    names = folder / "names"
    names.write_text("".join(f"{name}\n" for name in digests))
    check = lists(digests)
    contenders = [
        Contender(OURS, (programs.wf_checksum, "-r", str(folder / "small")), check),
        Contender("xargs openssl dgst", ("xargs", "openssl", "dgst", "-sha256"), check, stdin=names),
        Contender(
            "xargs -P2 openssl dgst",
            ("xargs", "-P2", "-n500", "openssl", "dgst", "-sha256"),
            weighs(digests),
            stdin=names,
        ),
        Contender("xargs sha256sum", ("xargs", "sha256sum"), check, stdin=names, rounds=scale.slow_rounds),
    ]
    goals = [
        Ratio(OURS, ("xargs openssl dgst",), "wall", 0.7),
        Ratio(OURS, ("xargs openssl dgst",), "cpu", 1.1),
    ]
    if programs.pegasus:
        some = dict(list(digests.items())[: max(20, scale.small_files // 100)])
        command = (*programs.pegasus, f"--generate={';;;'.join(some)}")
        share = len(some) / len(digests)
        contenders.append(Contender("pegasus-integrity", command, lists(some), share, scale.slow_rounds))
        goals.append(Ratio(OURS, ("pegasus-integrity",), "cpu", 1 / 100))
    return Section(f"{scale.small_files} files of 64 KiB", contenders, goals)


def many_entries(programs: Programs, folder: Path, scale: Scale) -> Section:
    digests = small_files(folder / "tiny", min(10_000, scale.fewer_entries), KIB)
    lines = [f"{value}  {os.path.basename(name)}\n" for name, value in digests.items()]
    contenders = []
    for name, count in (("fewer entries", scale.fewer_entries), (OURS, scale.entries)):
        manifest = folder / f"SUMS{count}"
        with manifest.open("w") as file:
            for _ in range(count // len(lines)):
                file.writelines(lines)
        share = count / scale.entries
        command = (programs.wf_checksum, "-c", str(manifest))
        contenders.append(Contender(name, command, counts(count), share, folder=folder / "tiny"))
    goals = [Ratio(OURS, ("fewer entries",), "cpu", 1.2), Ratio(OURS, ("fewer entries",), "wall", 1.2)]
    return Section(
        f"Verifying {scale.entries} entries of 1 KiB",
        contenders,
        goals,
        f"The smaller manifest has {scale.fewer_entries} entries; both name {len(lines)} files, again and again. The peak is "
        "that of the largest process; there are three.",
        120,
    )


def several_digests(programs: Programs, folder: Path, scale: Scale) -> Section:
    path = str(folder / "large")
    single = [
        Contender(name, (programs.wf_checksum, "-a", name, path), says(path))
        for name in ("sha256", "md5", "crc32c")
    ]
    all_of_them = (programs.wf_checksum, "--tag", "-a", "sha256,md5,crc32c", path)
    contenders = [Contender("one pass", all_of_them, says(path, times=3)), *single]
    goals = [Ratio("one pass", ("sha256", "md5", "crc32c"), "cpu", 1.1)]
    return Section(
        f"SHA-256, MD5 and CRC-32C of {scale.large_bytes // MIB} MiB in one pass", contenders, goals
    )


def start(programs: Programs, folder: Path, scale: Scale) -> Section:
    path = folder / "one"
    path.write_bytes(b"abc")
    check = says(hashlib.sha256(b"abc").hexdigest())
    contenders = [
        Contender(OURS, (programs.wf_checksum, str(path)), check),
        Contender("python -c pass", (programs.python, "-c", "pass")),
        Contender("openssl dgst", ("openssl", "dgst", "-sha256", str(path)), check),
    ]
    if programs.pegasus:
        contenders.append(Contender("pegasus-integrity", (*programs.pegasus, f"--generate={path}"), check))
    return Section(
        "Start to the line of one small file", contenders, [Ratio(OURS, ("python -c pass",), "wall", 2.2)]
    )


SECTIONS = (one_large_file, many_small_files, many_entries, several_digests, start)


ROUNDS = {"start": 21, "many_entries": 3}
"""Other than the scale's, for what is short or long."""


# --- peers


def pegasus(folder: Path, python: str) -> tuple[str, ...] | None:
    """The command of pegasus-integrity, installed into an environment of its own; None where that fails."""
    place = folder / "pegasus"
    commands = (
        (python, "-m", "venv", str(place)),
        (str(place / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "pegasus-wms.worker"),
    )
    for command in commands:
        if subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        ).returncode:
            return None
    found = next(place.rglob("pegasus-integrity.py"), None)
    return None if found is None else (str(place / "bin/python"), str(found))


# --- the report

BEGIN, END = "<!-- wf-checksum -->", "<!-- end of wf-checksum -->"
NOTES, NOTES_END = "<!-- wf-checksum: notes -->", "<!-- wf-checksum: end of notes -->"
"""Around what somebody wrote by hand, which a later run keeps."""
SET_UP = """\
Files lie in memory (`/dev/shm`), so that hashing is measured and no disk, and all have been read before; output goes to a file. Rounds,
ratios and peaks are those of the whole page. pegasus-integrity is that of `pegasus-wms.worker`, in an environment of its own; it hashes one
file in a hundred, and its seconds are multiplied. wf-checksum is installed from its wheel, and uses both cores by default.
"""


def measured(section: Section, results: Results, py_spy: str | None) -> Iterator[str]:
    """The section's tables, what ran, and where the time of missed goals went."""
    yield f"\n### {section.title}\n\n{measure.goals(results, section.goals)}"
    if section.most_mib:
        peak = results.median(OURS, "peak")
        verdict = "met" if peak <= section.most_mib else "**missed**"
        yield f"| {OURS} | peak | {peak:.0f} MiB | <= {section.most_mib} MiB | {verdict} |\n"
    yield f"\n{measure.table(results, section.contenders)}\n"
    if section.note:
        yield f"- {section.note}\n"
    for one in section.contenders:
        yield f"- {one.name}: `{shown(one)}`\n"
    yield f"- load of the machine afterwards: {os.getloadavg()[0]:.1f}\n"
    missed = {one.of for one in section.goals if results.ratio(one) > one.goal}
    for one in section.contenders:
        if one.name in missed:
            yield f"\nWhere the time goes (py-spy): {profiling.profile(py_spy, one)}\n"


def shown(one: Contender) -> str:
    """The command with short names for programs and folders."""
    words = [
        os.path.basename(word) if at == 0 or word.endswith(".py") else word
        for at, word in enumerate(map(os.fsdecode, one.command))
    ]
    text = " ".join("$DATA/" + os.path.basename(word) if word.startswith("/") else word for word in words)
    text = text.replace("\n", "; ")
    return f"{text[:120]}..." if len(text) > 120 else text + (" < $DATA/names" if one.stdin else "")


def report(programs: Programs, folder: Path, scale: Scale, wanted: str) -> Iterator[str]:
    yield f"{BEGIN}\n\n## wf-checksum\n\n"
    yield f"{measure.machine()}. {SET_UP}\n"
    versions = [
        measure.version("openssl", "version"),
        measure.version("sha256sum", "--version"),
        measure.version(programs.wf_checksum, "--version"),
    ]
    yield f"{'; '.join(versions)}.\n\n{NOTES}\n{NOTES_END}\n"
    if scale is QUICK:
        yield "\nToo little work for the goals: what a process costs to start is most of it.\n"
    if programs.pegasus is None:
        yield "pegasus-integrity could not be installed: its rows are missing.\n"
    py_spy = shutil.which("py-spy", path=os.path.dirname(sys.executable)) or shutil.which("py-spy")
    for make in SECTIONS:
        if wanted in make.__name__ or (
            wanted and make is one_large_file and wanted in several_digests.__name__
        ):
            section = make(programs, folder, scale)
            rounds = min(scale.rounds * 3, ROUNDS.get(make.__name__, scale.rounds))
            results = measure.run(
                section.contenders, rounds, progress=lambda text: print(text, file=sys.stderr)
            )
            yield from measured(section, results, py_spy)
    yield f"\n{END}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="less of everything, in less than a minute")
    parser.add_argument("--only", default="", metavar="WORD", help="the sections whose name has this word")
    parser.add_argument(
        "--into", metavar="FILE", help="the page whose section is replaced; else it is printed"
    )
    parser.add_argument("--no-pegasus", action="store_true", help="do not install pegasus-integrity")
    options = parser.parse_args()
    program = shutil.which("wf-checksum", path=os.path.dirname(sys.executable)) or shutil.which("wf-checksum")
    if program is None:
        parser.error("wf-checksum is not installed beside this Python")
    scale = QUICK if options.quick else FULL
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place, prefix="wf-benchmark-") as name:
        folder = Path(name)
        peer = None if options.no_pegasus else pegasus(folder, sys.executable)
        text = "".join(report(Programs(program, sys.executable, peer), folder, scale, options.only))
    if options.into:
        page = Path(options.into)
        page.write_text(replaced(page.read_text(encoding="utf-8"), text), encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


def replaced(page: str, section: str) -> str:
    """The page with this section in place of that of before, or at its end."""
    notes = page.partition(NOTES)[2].partition(NOTES_END)[0].strip()
    section = section.replace(f"{NOTES}\n", f"{NOTES}\n\n{notes}\n\n" if notes else f"{NOTES}\n")
    before, begin, rest = page.partition(BEGIN)
    after = rest.partition(END)[2].lstrip("\n") if begin else ""
    return f"{before.rstrip()}\n\n{section}{f'{chr(10)}{after}' if after else ''}"


if __name__ == "__main__":
    sys.exit(main())
