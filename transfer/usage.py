"""Wrong usage is told in one line, with the word that was probably meant."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import TYPE_CHECKING

from .command_words import COMMANDS

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import Never

    Found = tuple[Namespace, list[str]]


class Parser(ArgumentParser):
    """Ends the program with 2 and one line, where argparse prints all of its usage."""

    def error(self, message: str) -> Never:
        from ..credentials.redaction import printable

        self.exit(2, f"{self.prog}: {printable(message)} ({self.prog} --help)\n")

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> Namespace:  # type: ignore[override]
        found, unknown = self.parse_known_args(args, namespace)
        return self._all_known(found, unknown)

    def parse_intermixed_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> Namespace:
        found, unknown = self.parse_known_intermixed_args(args, namespace)
        return self._all_known(found, unknown)

    def _all_known(self, found: Namespace, unknown: list[str]) -> Namespace:
        if unknown:
            from ..credentials.redaction import redact_url

            word = redact_url(unknown[0])
            dash = word.startswith("-") and word != "-"
            self.error(self._not_an_option(word) if dash else self._misplaced(word))
        return found

    def _misplaced(self, word: str) -> str:
        return f"{word} is one word too many"

    def _not_an_option(self, word: str) -> str:
        from .spelling import nearest

        flag = word.partition("=")[0]
        meant = nearest(flag, (each for each in self._option_string_actions if each.startswith("--")))
        return f"there is no option {flag}{f'; {meant} is one' if meant else ''}"


class BatchParser(Parser):
    """Takes no words but options: only a batch's file or a command word can have been meant."""

    def _misplaced(self, word: str) -> str:
        if word in COMMANDS:
            return f"{word} is a command only as the first word"
        if os.path.exists(word) or word.endswith((".json", ".jsonl", ".in")):
            return f"there is no command {word}: is a batch meant? -f {word}"
        from .spelling import nearest

        meant = nearest(word, COMMANDS)
        return f"there is no command {word}{f'; {meant} is one' if meant else ''}"
