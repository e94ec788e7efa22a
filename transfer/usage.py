"""Wrong usage is told in one line, with the word that was probably meant."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..checksum import usage as checksum_usage
from .command_words import COMMANDS

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Never


class Parser(checksum_usage.Parser):
    """The same for this command, whose words are often URLs: secrets in them are not repeated."""

    def error(self, message: str) -> Never:
        from ..credentials.redaction import printable

        self.exit(2, f"{self.prog}: {printable(message)} ({self.prog} --help)\n")

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
