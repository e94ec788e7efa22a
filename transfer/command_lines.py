"""Command lines as values, read from their parsers: the one source of manual pages and completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .command_words import COMMANDS
from .options import batch_parser
from .person_parsers import CHOICES, command_parser

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser


class Option(NamedTuple):
    """One option. `value` is what its value is called, empty for one without."""

    flags: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    repeated: bool
    help: str

    @property
    def is_file(self) -> bool:
        return self.value == "FILE"


class Group(NamedTuple):
    title: str
    options: tuple[Option, ...]


class CommandLine(NamedTuple):
    """`wf-transfer`, `wf-transfer cp` or `wf-checksum`."""

    name: str
    synopsis: str
    """Without the name."""
    description: str
    epilog: str
    words: str
    """What is said of the words that are no options; empty if there are none."""
    choices: tuple[str, ...]
    """What such a word can be, where that is known."""
    groups: tuple[Group, ...]

    @property
    def options(self) -> tuple[Option, ...]:
        return tuple(option for group in self.groups for option in group.options)


def batch_line() -> CommandLine:
    line = _read(batch_parser(), ())
    return line._replace(synopsis="[OPTION]... [-f FILE]")


def command_line(word: str) -> CommandLine:
    return _read(command_parser(word), CHOICES.get(word, ()))


def checksum_line() -> CommandLine:
    from ..checksum.options import parser

    return _read(parser(), ())


def all_lines() -> tuple[CommandLine, ...]:
    """The batch mode, each command word, and `wf-checksum`."""
    return (batch_line(), *(command_line(word) for word in COMMANDS), checksum_line())


def _read(parser: ArgumentParser, choices: tuple[str, ...]) -> CommandLine:
    words = [action for action in parser._actions if not action.option_strings]
    usage = parser.format_usage().removeprefix("usage: ").removeprefix(parser.prog)
    return CommandLine(
        parser.prog,
        " ".join(usage.split()),
        parser.description or "",
        parser.epilog or "",
        _help(parser, words[0]) if words else "",
        choices,
        tuple(_groups(parser)),
    )


def _groups(parser: ArgumentParser) -> list[Group]:
    groups = []
    for group in parser._action_groups:
        options = [_option(parser, action) for action in group._group_actions if action.option_strings]
        if options:
            groups.append(Group(group.title or "", tuple(options)))
    return groups


def _option(parser: ArgumentParser, action: Action) -> Option:
    valued = action.nargs != 0
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper().replace("_", "-")
    return Option(
        tuple(action.option_strings),
        value if valued else "",
        tuple(str(choice) for choice in action.choices or ()),
        type(action).__name__ == "_AppendAction",
        _help(parser, action),
    )


def _help(parser: ArgumentParser, action: Action) -> str:
    return parser._get_formatter()._expand_help(action) if action.help else ""
