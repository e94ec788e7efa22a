"""`docs/options.md`: every option of `wf-transfer`. `python -m wf.transfer.options_page > docs/options.md` writes it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from .command_lines import transfer_program
from .manual_texts import ENVIRONMENT, EXAMPLES, FILES, told_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .command_lines import CommandLine, Option

_OTHER_PAGE = re.compile(r"docs/([a-z-]+\.md)")
_BEGIN = """\
# The options of wf-transfer

<!-- Generated: python -m wf.transfer.options_page > docs/options.md -->

`wf-transfer man | man -l -` shows the same as a manual page. What the exit codes mean is told in [results.md](results.md).
"""


def page() -> str:
    """The whole page."""
    return "\n".join((_BEGIN, *_lines()))


def _lines() -> Iterator[str]:
    program = transfer_program()
    main = program.main
    yield f"## {main.name} {main.synopsis}\n"
    for group in main.groups:
        if group.title != "options":
            yield f"### {group.title.capitalize()}\n"
        yield from _options(group.options, "")
    for word, line in program.commands.items():
        yield from _command(word, line, main)
    for title, variables in (("Environment", ENVIRONMENT), ("Files", FILES)):
        yield f"## {title}\n"
        for each in variables:
            yield f"- {', '.join(f'`{name}`' for name in each.names)}: {_prose(each.meaning)}"
        yield ""
    yield "## Examples\n"
    for example in EXAMPLES:
        yield f"{example.meaning}\n\n```\n{example.command}\n```\n"


def _command(word: str, line: CommandLine, main: CommandLine) -> Iterator[str]:
    yield f"## {line.name} {line.synopsis}\n"
    words = f" Words that are no options: {line.words}." if line.words else ""
    yield f"{line.description}{words}\n"
    yield from _options(line.own(main), word)
    shared = [f"`{option.flags[-1]}`" for option in line.shared_with(main) if "--help" not in option.flags]
    if shared:
        yield f"As above: {', '.join(shared)}.\n"
    if line.epilog:
        yield f"```\n{line.epilog}```\n"


def _options(options: Iterable[Option], word: str) -> Iterator[str]:
    told = [option for option in options if "--help" not in option.flags]
    for option in told:
        value = "|".join(option.choices) or option.value
        flags = ", ".join(f"`{flag}{f' {value}' if value else ''}`" for flag in option.flags)
        yield f"- {flags}: {_prose(told_of(option, word))}"
    if told:
        yield ""


def _prose(text: str) -> str:
    return _OTHER_PAGE.sub(r"[\1](\1)", text.replace("*", "\\*"))


if __name__ == "__main__":
    sys.stdout.write(page())
