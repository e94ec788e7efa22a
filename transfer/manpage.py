"""Manual pages in the man macros of roff, made from the parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .command_lines import checksum_program, transfer_program
from .manual_texts import ENVIRONMENT, EXAMPLES, FILES, told_of
from .version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from .command_lines import CommandLine, Group, Option, Program

    _Told: TypeAlias = Callable[[Option, str], str]
    """What is said of an option of a command word; the word is empty for what comes without one."""

_STATUS = "exit status: "
_PARAGRAPH = "\n\n"


def page(name: str) -> str:
    """The manual page of `wf-transfer` or `wf-checksum`."""
    lines = _transfer(transfer_program()) if name == "wf-transfer" else _checksum(checksum_program())
    return "\n".join((*_head(name), *lines)) + "\n"


def _transfer(program: Program) -> Iterator[str]:
    from .results_page import EXITS

    about = (
        "Without a command word a JSON batch of transfers, folders to make and files to remove is read and done: in "
        "parallel, repeated where that may help, and every byte verified before it shows at its destination."
    )
    yield from _body(program, about, told_of)
    yield ".SH EXIT STATUS"
    yield from _terms((str(int(code)), text) for code, text in EXITS.items())
    yield ".SH ENVIRONMENT"
    yield from _terms((_names(each.names), each.meaning) for each in ENVIRONMENT)
    yield ".SH FILES"
    yield from _terms((_names(each.names), each.meaning) for each in FILES)
    yield ".SH EXAMPLES"
    yield from _terms((f"\\fB{roff(each.command)}\\fR", each.meaning) for each in EXAMPLES)
    yield from _see_also("wf-checksum")


def _checksum(program: Program) -> Iterator[str]:
    line = program.main
    before, _, statuses = line.epilog.partition(_STATUS)
    about = f"{line.description} {' '.join(before.partition(_PARAGRAPH)[0].split())}"
    yield from _body(program, about, _help)
    yield ".SH EXIT STATUS"
    split = (status.partition(" ") for status in statuses.split("; "))
    yield from _terms((code, text) for code, _, text in split)
    yield from _see_also("wf-transfer", "sha256sum")


def _body(program: Program, about: str, told: _Told) -> Iterator[str]:
    yield from _name(program.main)
    yield from _synopsis(program.lines)
    yield ".SH DESCRIPTION"
    yield roff(about)
    yield ".SH OPTIONS"
    yield from _groups(program.main.groups, told)
    yield ".SH COMMANDS"
    for word, line in program.commands.items():
        yield from _command(word, line, program.main, told)


def _head(name: str) -> Iterator[str]:
    yield ".\\\" Made from the command line's definition: wf-transfer man " + name
    yield f'.TH {roff(name.upper())} 1 "" "wf\\-transfer {VERSION}" "User Commands"'
    # Left-aligned and without hyphenation: option names must not be cut.
    yield ".nh"
    yield ".ad l"


def _name(line: CommandLine) -> Iterator[str]:
    sentence = line.description.rstrip(".")
    yield ".SH NAME"
    yield f"{roff(line.name)} \\- {roff(sentence[0].lower() + sentence[1:])}"


def _synopsis(lines: Iterable[CommandLine]) -> Iterator[str]:
    yield ".SH SYNOPSIS"
    for number, line in enumerate(lines):
        if number:
            yield ".br"
        yield f"\\fB{roff(line.name)}\\fR {roff(line.synopsis)}".rstrip()


def _command(word: str, line: CommandLine, main: CommandLine, told: _Told) -> Iterator[str]:
    yield f".SS {roff(line.name)}"
    words = f" Words that are no options: {line.words}." if line.words else ""
    yield roff(f"{line.description}{words}")
    yield from _terms(
        (_option(option), told(option, word)) for option in line.own(main) if not _is_help(option)
    )
    shared = [option.flags[-1] for option in line.shared_with(main) if not _is_help(option)]
    if shared:
        yield ".PP"
        yield f"As above: {', '.join(roff(flag) for flag in shared)}."
    if line.epilog.strip():
        yield ".PP"
        yield from _as_it_stands(line.epilog)


def _as_it_stands(text: str) -> Iterator[str]:
    yield ".nf"
    yield from (roff(row) for row in text.strip("\n").split("\n"))
    yield ".fi"


def _groups(groups: Iterable[Group], told: _Told) -> Iterator[str]:
    for group in groups:
        if group.title not in ("options", ""):
            yield f".SS {roff(group.title.capitalize())}"
        yield from _terms((_option(option), told(option, "")) for option in group.options)


def _help(option: Option, word: str) -> str:
    return option.help


def _is_help(option: Option) -> bool:
    return "--help" in option.flags


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"\\fB{roff(name)}\\fR" for name in names)


def _option(option: Option) -> str:
    """The flags of an option, already in roff."""
    value = "|".join(option.choices) or option.value
    shown = f" \\fI{roff(value)}\\fR" if value else ""
    return ", ".join(f"\\fB{roff(flag)}\\fR{shown}" for flag in option.flags)


def _terms(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Hanging paragraphs. The first of each pair is roff already."""
    for term, text in items:
        yield ".TP"
        yield term
        yield roff(text)


def _see_also(*names: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    yield ", ".join(f"\\fB{roff(name)}\\fR(1)" for name in names)


def roff(text: str) -> str:
    """The text so that roff prints it as it is, and a hyphen as one that can be copied from the page."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    escaped = escaped.replace('"', "\\(dq")
    escaped = "".join(one if one.isascii() else f"\\[u{ord(one):04X}]" for one in escaped)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
