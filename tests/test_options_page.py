"""`docs/options.md` and the man page say what the parsers say, and explain every option."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from wf.transfer.command_lines import transfer_program
from wf.transfer.command_words import COMMANDS
from wf.transfer.manual_texts import EXAMPLES, MORE, told_of
from wf.transfer.options import batch_parser
from wf.transfer.options_page import page
from wf.transfer.person_parsers import command_parser, parse

PAGE = Path(__file__).parent.parent / "docs" / "options.md"


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not part of an installed package")
def test_the_page_is_up_to_date() -> None:
    """`python -m wf.transfer.options_page > docs/options.md` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_explanation_belongs_to_an_option() -> None:
    program = transfer_program()
    known = {option.flags[-1] for option in program.main.options}
    for word, line in program.commands.items():
        known |= {f"{word} {option.flags[-1]}" for option in line.own(program.main)}
    assert MORE.keys() <= known


def test_what_is_told_of_an_option_is_made_of_sentences() -> None:
    program = transfer_program()
    for word, line in {"": program.main, **program.commands}.items():
        for option in line.options:
            text = told_of(option, word)
            assert text[0] == text[0].upper() and text.endswith("."), option
            assert ".." not in text.replace("...", ""), option


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.command)
def test_every_example_is_a_command_line_that_is_understood(example: object) -> None:
    name, *words = shlex.split(example.command.replace("HEX", "0" * 64))  # type: ignore[attr-defined]
    assert name == "wf-transfer"
    if words[0] in COMMANDS:
        parse(command_parser(words[0]), words[1:])
    else:
        batch_parser().parse_args(words)
