"""How the doctor's facts are shown: for people, aligned; for programs, one JSON document (`docs/preflight.md`)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .doctor_facts import State
from .settings import Exit
from .version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from .doctor_facts import Fact

FORMAT: Final = 1
"""`version` of the JSON document; it stays while members are only added."""
_MARKS: Final = {State.OK: "", State.NOTE: "", State.WARNING: "warning: ", State.BROKEN: "BROKEN: "}


def exit_of(facts: Sequence[Fact]) -> Exit:
    return Exit.CONFIGURATION if any(fact.state is State.BROKEN for fact in facts) else Exit.DONE


def as_text(facts: Sequence[Fact]) -> str:
    """A block for each section, and what it comes to."""
    width = max(len(fact.name) for fact in facts if len(fact.name) <= 24) + 2
    lines: list[str] = []
    section = ""
    for fact in facts:
        if fact.section != section:
            section = fact.section
            lines += ["", section] if lines else [section]
        lines += _lines(fact, width)
    return "\n".join((*lines, "", _total(facts))) + "\n"


def as_json(facts: Sequence[Fact]) -> str:
    """The document as text."""
    import json

    document = {
        "version": FORMAT,
        "tool": {"name": "wf-transfer", "version": VERSION},
        "exit": int(exit_of(facts)),
        "facts": [fact._asdict() for fact in facts],
    }
    return json.dumps(document, indent=1) + "\n"


def _lines(fact: Fact, width: int) -> list[str]:
    text = f"{_MARKS[fact.state]}{fact.value}"
    lines = [f"  {fact.name:<{width}}{text}"] if len(fact.name) < width else [f"  {fact.name}", ""]
    if len(lines) == 2:
        lines[1] = " " * (width + 2) + text
    if fact.remedy:
        lines.append(f"{' ' * (width + 2)}what to do: {fact.remedy}")
    return lines


def _total(facts: Sequence[Fact]) -> str:
    counts = Counter(fact.state for fact in facts)
    broken, warnings = counts[State.BROKEN], counts[State.WARNING]
    told = [f"{broken} broken"] if broken else ["nothing is broken"]
    if warnings:
        told.append(f"{warnings} warning{'s' if warnings != 1 else ''}")
    return f"{', '.join(told)} (exit code {int(exit_of(facts))})"
