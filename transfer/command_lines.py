"""Command lines as values, read from their parsers: the one source of manual pages and completions."""

from __future__ import annotations

from argparse import SUPPRESS
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

    def shared_with(self, other: CommandLine) -> tuple[Option, ...]:
        """The options that mean the same in another command line."""
        return tuple(option for option in self.options if option in other.options)

    def own(self, other: CommandLine) -> tuple[Option, ...]:
        return tuple(option for option in self.options if option not in other.options)


class Program(NamedTuple):
    """What a program does without a command word, and the command lines of its words."""

    main: CommandLine
    commands: dict[str, CommandLine]
    sentences: dict[str, str]
    """What each word does, in a few others."""

    @property
    def name(self) -> str:
        return self.main.name

    @property
    def lines(self) -> tuple[CommandLine, ...]:
        return (self.main, *self.commands.values())


def transfer_program() -> Program:
    commands = {word: _read(command_parser(word), CHOICES.get(word, ())) for word in COMMANDS}
    return Program(_read(batch_parser())._replace(synopsis="[OPTION]... [-f FILE]"), commands, COMMANDS)


def checksum_program() -> Program:
    from ..checksum import options

    commands = {word: _read(options.command_parser(word)) for word in options.COMMANDS}
    return Program(_read(options.parser()), commands, options.COMMANDS)


def programs() -> tuple[Program, Program]:
    return transfer_program(), checksum_program()


def _read(parser: ArgumentParser, choices: tuple[str, ...] = ()) -> CommandLine:
    words = [action for action in parser._actions if not action.option_strings]
    usage = parser.format_usage().removeprefix("usage: ").removeprefix(parser.prog)
    return CommandLine(
        parser.prog,
        " ".join(usage.split()),
        parser.description or "",
        parser.epilog or "",
        "; ".join(_help(parser, action) for action in words),
        choices,
        tuple(_groups(parser)),
    )


def _groups(parser: ArgumentParser) -> list[Group]:
    groups = []
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.option_strings]
        options = [_option(parser, action) for action in actions if action.help != SUPPRESS]
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
