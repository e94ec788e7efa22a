"""Commands measured side by side: interleaved rounds, checked results, ratios inside one run.

A busy machine makes every figure larger, but not at one moment: so each round runs every contender once, in an
order that turns from round to round, and ratios are taken inside rounds before the median is taken over them. CPU
time is that of the command and all processes that it waited for.
"""

from __future__ import annotations

import ast
import contextlib
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

TIMEOUT = 900.0
SCALE = 1024 if sys.platform == "linux" else 1024 * 1024
"""Of ru_maxrss in a MiB."""


class Wrong(Exception):
    """A contender failed, or gave another result than it should."""


class Contender(NamedTuple):
    """A command and what it must come to.

    `check` gets what it wrote to standard output and raises Wrong. `share` is the part of the work that it does, for
    those too slow for all of it: its seconds are divided by that. `rounds` may be fewer than the others'; who is too
    slow for all rounds is not warmed up either.
    """

    name: str
    command: Sequence[str | bytes]
    check: Callable[[bytes], None] = lambda _: None
    share: float = 1.0
    rounds: int | None = None
    before: Callable[[], None] = lambda: None
    """Runs before every measurement, unmeasured."""
    environment: Mapping[str, str] = {}
    folder: Path | None = None
    stdin: Path | None = None
    terminal: bool = False
    """Standard error is a terminal, for those who show progress on one."""


class Sample(NamedTuple):
    """Seconds, and the largest process in MiB."""

    wall: float
    cpu: float
    peak: float


class Ratio(NamedTuple):
    """A goal: `measure` (wall, cpu or peak) of one contender over that of others, added up, at most `goal`."""

    of: str
    over: tuple[str, ...]
    measure: str
    goal: float


class Results:
    """Samples by contender, a round each; None where a contender sat out."""

    def __init__(self, names: Sequence[str]) -> None:
        self.samples: dict[str, list[Sample | None]] = {name: [] for name in names}

    def slower(self, of: str, over: Sequence[str]) -> float:
        """The wall time of one over that of the slowest of others, the median of the rounds' ratios."""
        ratios = []
        for one, *others in zip(self.samples[of], *(self.samples[name] for name in over), strict=True):
            walls = [other.wall for other in others if other is not None]
            if one is not None and len(walls) == len(over):
                ratios.append(one.wall / max(walls))
        return statistics.median(ratios)

    def median(self, name: str, measure: str) -> float:
        return statistics.median(self._values(name, measure))

    def least(self, name: str, measure: str) -> float:
        return min(self._values(name, measure))

    def _values(self, name: str, measure: str) -> list[float]:
        return [getattr(one, measure) for one in self.samples[name] if one is not None]

    def ratio(self, wanted: Ratio) -> float:
        """The median of the rounds' ratios, over the rounds in which all took part."""
        found: list[float] = []
        for of, *over in zip(
            self.samples[wanted.of], *(self.samples[name] for name in wanted.over), strict=True
        ):
            if of is not None and all(one is not None for one in over):
                below = sum(getattr(one, wanted.measure) for one in over)
                found.append(getattr(of, wanted.measure) / below)
        return statistics.median(found)


def run(
    contenders: Sequence[Contender], rounds: int, *, progress: Callable[[str], None] = lambda _: None
) -> Results:
    """Measures all contenders after one round that warms up and is not counted; where only one counts there is none.

    Raises Wrong."""
    results = Results([one.name for one in contenders])
    for number in range(0 if rounds > 1 else 1, rounds + 1):
        turn = number % len(contenders)
        for one in (*contenders[turn:], *contenders[:turn]):
            sits_out = number > (one.rounds or rounds) or (number == 0 and one.rounds is not None)
            sample = None if sits_out else once(one)
            if number:
                results.samples[one.name].append(sample)
            if sample is not None:
                progress(f"round {number}: {one.name}: {sample.wall:.3f} s, cpu {sample.cpu:.3f} s")
    return results


def once(contender: Contender) -> Sample:
    """One run, its result checked. Raises Wrong."""
    contender.before()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        with _terminal() if contender.terminal else contextlib.nullcontext(errors.fileno()) as stderr:
            status, wall, cpu, peak = _launched(contender, output.fileno(), stderr)
        output.seek(0)
        errors.seek(0)
        if status:
            raise Wrong(f"{contender.name}: exit {status}: {errors.read(2000).decode(errors='replace')}")
        try:
            contender.check(output.read())
        except Wrong as error:
            raise Wrong(f"{contender.name}: {error}") from None
    return Sample(wall / contender.share, cpu / contender.share, peak)


@contextlib.contextmanager
def _terminal() -> Iterator[int]:
    """A terminal whose other side is read and thrown away."""
    master, slave = os.openpty()

    def drain() -> None:
        with contextlib.suppress(OSError):  # what a master without a slave answers
            while os.read(master, 4096):
                pass

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        yield slave
    finally:
        os.close(slave)
        reader.join()
        os.close(master)


LAUNCHER = """
import os, signal, sys, time
began = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, setsigmask=[], setsigdef=[signal.SIGPIPE, signal.SIGXFSZ])
_, status, usage = os.wait4(child, 0)
wall = time.perf_counter() - began
found = os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
os.write(int(sys.argv[1]), repr(found).encode())
"""
"""Starts a command and says what it used. In between, since a process begins with the peak of the one that started it,
and this one is small."""


def _launched(contender: Contender, output: int, errors: int) -> tuple[int, float, float, float]:
    """Exit code, wall seconds, CPU seconds, peak MiB. One that never ends is killed, with its children."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **contender.environment}
    there, here = os.pipe()
    with open(contender.stdin or os.devnull, "rb") as stdin, open(there, "rb") as answer:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LAUNCHER, str(here), *contender.command],
            stdin=stdin,
            stdout=output,
            stderr=errors,
            env=environment,
            cwd=contender.folder,
            pass_fds=[here],
            start_new_session=True,
        )
        os.close(here)
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise Wrong(f"{contender.name}: not done after {TIMEOUT:.0f} s") from None
        found = ast.literal_eval(answer.read().decode() or "(127, 0.0, 0.0, 0)")
    return (*found[:3], found[3] / SCALE)


# --- what is written


def table(results: Results, contenders: Sequence[Contender]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| command | rounds | wall s, median (least) | CPU s, median | peak MiB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for one in contenders:
        count = sum(sample is not None for sample in results.samples[one.name])
        part = f" (x {1 / one.share:.0f}, from a part)" if one.share != 1 else ""
        wall = f"{results.median(one.name, 'wall'):.3f} ({results.least(one.name, 'wall'):.3f})"
        cpu, peak = results.median(one.name, "cpu"), f"{results.median(one.name, 'peak'):.0f}"
        lines.append(f"| {one.name}{part} | {count} | {wall} | {cpu:.3f} | {peak} |")
    return "\n".join(lines) + "\n"


def goals(results: Results, wanted: Sequence[Ratio]) -> str:
    """The ratios against their goals as a Markdown table."""
    lines = ["| ratio | of | found | goal | |", "| --- | --- | ---: | ---: | --- |"]
    for one in wanted:
        found = results.ratio(one)
        over = " + ".join(one.over)
        met = "met" if found <= one.goal else "**missed**"
        lines.append(f"| {one.of} / {over} | {one.measure} | {found:.4g} | <= {one.goal:.3g} | {met} |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """What it was measured on, and how busy that was, in a line."""
    model = "unknown processor"
    if os.path.exists("/proc/cpuinfo"):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{count} x {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}, load {load}"


def version(*command: str) -> str:
    """The first line that a program says of itself, or that it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return f"{command[0]}: not installed"
    return (done.stdout or done.stderr).partition("\n")[0]
