"""What was found, as Markdown, and the rows kept between runs as JSON."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

import measure
from rows import Finding, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

QUICK = "\nThis was a quick run: too little work and too few rounds to judge anything. `make bench` does."
INTRODUCTION = """\
# Results

Written by `make bench`. Each round runs every contender of a row once, in an order that turns; a ratio is taken inside a
round, and what is shown is the median over the rounds. CPU is user and system time of the command with the
processes that it waited for; peak is its largest process. One round before the first warms up and is not counted.
Output is removed before a run, and its content is compared after it, unmeasured.
"""
SERVERS = """\
All data lies in memory (`/dev/shm`), all traffic is on 127.0.0.1, and servers share the cores with the clients. HTTP and HTTPS
are nginx with two workers, `sendfile`, TLS 1.3 with AES-128-GCM. S3 is the same nginx playing S3: it stores what is put and serves
it, and checks neither signature nor digest, so that the client is what is measured. The 50 ms are a relay in a process of its own,
25 ms in each direction and one round trip more for a new connection. SSH is OpenSSH's own server, WebDAV is Apache with mod_dav,
and Google Cloud Storage an emulator that keeps everything in its memory. wf-transfer is installed from its wheel
into an environment of its own, and so is each peer; options are the defaults unless the command shows some.
"""


def row_text(row: Row) -> str:
    lines = [f"### {row.title}\n"]
    if row.findings:
        lines += [findings_table(row.findings)]
    if row.table:
        lines += [row.table]
    lines += [f"- {note}" for note in row.notes]
    lines += [f"- {flag}" for flag in row.flags]
    if row.load:
        lines.append(f"- load of the machine: {row.load}")
    if row.profiles:
        lines.append("\nWhere the time of a missed goal goes (py-spy, samples by what ran):\n")
        lines += [f"- {profile}" for profile in row.profiles]
    return "\n".join(lines) + "\n"


def findings_table(findings: Sequence[Finding]) -> str:
    lines = ["| what | found | goal | |", "| --- | ---: | ---: | --- |"]
    for one in findings:
        goal = f"<= {one.goal:.3g}{one.unit}" if one.goal is not None and judged(one) else "-"
        lines.append(f"| {one.what} | {one.found:.4g}{one.unit} | {goal} | {verdict(one)} |")
    return "\n".join(lines) + "\n"


def judged(one: Finding) -> bool:
    """A ratio with a goal of 0 is shown for comparison only; a figure with a unit may well have to be 0."""
    return one.goal is not None and (one.goal > 0 or bool(one.unit))


def verdict(one: Finding) -> str:
    if not judged(one):
        return "no goal"
    return "met" if one.met else "**missed**"


def summary(rows: Sequence[Row]) -> str:
    lines = ["| work | what | found | goal | |", "| --- | --- | ---: | ---: | --- |"]
    for row in rows:
        if not row.findings:
            lines.append(f"| {row.title} | not measured | - | - | **missing** |")
        for one in row.findings:
            goal = f"<= {one.goal:.3g}{one.unit}" if judged(one) else "-"
            lines.append(
                f"| {row.title} | {one.what} | {one.found:.4g}{one.unit} | {goal} | {verdict(one)} |"
            )
    return "\n".join(lines) + "\n"


def counts(rows: Sequence[Row]) -> str:
    verdicts = [one.met for row in rows for one in row.findings if judged(one)]
    return f"{sum(map(bool, verdicts))} of {len(verdicts)} goals are met."


NOTES, NOTES_END = "<!-- notes -->", "<!-- end of notes -->"


def notes_in(text: str) -> str:
    """What somebody wrote between the two marks; a later run keeps it."""
    return text.partition(NOTES)[2].partition(NOTES_END)[0].strip()


def others_in(text: str) -> str:
    """What other programs wrote behind the rows, each between marks of its own; to be put there again."""
    found = re.search(r"^<!-- (?!(?:end of )?notes -->)", text, re.MULTILINE)
    return f"\n{text[found.start() :]}" if found else ""


def document(
    rows: Sequence[Row], versions: Sequence[tuple[str, str]], *, quick: bool, notes: str = ""
) -> str:
    parts = [INTRODUCTION, QUICK if quick else "", "## Set-up\n", f"{machine()}.\n", SERVERS]
    parts.append(
        "\n".join(["| program | version |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in versions)]) + "\n"
    )
    parts += [
        f"## All goals\n\n{counts(rows)}\n",
        summary(rows),
        "![figures over their goals](results.svg)\n",
        f"## Notes\n\n{NOTES}\n\n{notes}\n\n{NOTES_END}\n",
        "## Rows\n",
    ]
    parts += [row_text(row) for row in rows]
    return "\n".join(part for part in parts if part)


def machine() -> str:
    memory = ""
    facts = Path("/proc/meminfo")
    if facts.exists():
        kibibytes = int(facts.read_text().split()[1])
        memory = f", {kibibytes / (1 << 20):.0f} GiB of memory"
    return f"{measure.machine()}{memory}, {platform.machine()}{_generation()}"


def _generation() -> str:
    """Family and model, where the name of a processor does not tell which one it is."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    found = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    return (
        f", family {found['cpu family'].strip()} model {found['model'].strip()}"
        if "cpu family" in found
        else ""
    )


# --- kept rows


def kept(path: Path | None) -> dict[str, Row]:
    if path is None or not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return {name: _row(fields) for name, fields in found.items()}


def _row(fields: dict[str, object]) -> Row:
    row = Row(**fields)  # type: ignore[arg-type]
    return row._replace(findings=[Finding(*one) for one in row.findings])


def keep(path: Path | None, rows: dict[str, Row]) -> None:
    if path is not None:
        fields = {name: row._asdict() for name, row in rows.items()}
        path.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
