"""Plain command lines are read without argparse: never differently from how argparse reads them."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wf.transfer.options import batch_parser, plain_options

if TYPE_CHECKING:
    from collections.abc import Sequence

FLAGS = sorted(flag for action in batch_parser()._actions for flag in action.option_strings)
VALUES = [
    "-",
    "--",
    "0",
    "7",
    "-3",
    "2.5",
    "10k",
    "file",
    "verify",
    "size",
    "no such",
    "",
    "a b",
    "-f",
    "--file=x",
]
WORDS = st.lists(st.sampled_from(FLAGS) | st.sampled_from(VALUES), max_size=6)


def argparse_reads(words: Sequence[str]) -> dict[str, object] | None:
    """None for words that it refuses, or for which it prints help."""
    quiet = io.StringIO()
    with contextlib.redirect_stderr(quiet), contextlib.redirect_stdout(quiet):
        try:
            return vars(batch_parser().parse_args(words))
        except SystemExit:
            return None


@given(WORDS)
def test_what_is_read_plainly_is_what_argparse_reads(words: list[str]) -> None:
    plain = plain_options(words)

    if plain is not None:
        found = vars(plain)
        assert {**found, "deadline": 0, "expected_end": 0} == {
            **(argparse_reads(words) or {}),
            "deadline": 0,
            "expected_end": 0,
        }


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-f", "batch.json"],
        ["--file", "-", "-n", "4", "-m", "1", "-d", "--result", "r.json"],
        ["--meta", "a", "--meta", "b", "--existing", "verify", "--bwlimit", "10M"],
        ["--dry-run", "--json"],
    ],
)
def test_usual_words_need_no_argparse(words: list[str]) -> None:
    plain = plain_options(words)

    assert plain is not None
    assert vars(plain) == argparse_reads(words)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--res", "r.json"],
        ["--result=r.json"],
        ["-fbatch.json"],
        ["-n", "many"],
        ["-m", "0"],
        ["--existing", "sometimes"],
        ["-f"],
        ["-f", "--dry-run"],
        ["batch.json"],
        ["--dry-run", "--check-credentials"],
    ],
)
def test_everything_else_is_left_to_argparse(words: list[str]) -> None:
    assert plain_options(words) is None
