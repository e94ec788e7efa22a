"""Wrong usage is told in one line, with the option that was probably meant."""

from __future__ import annotations

import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter

from .names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import Never


class Formatter(RawDescriptionHelpFormatter):
    """Knows its width. argparse asks a module for it that loads compression libraries, at every option that is defined."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size().columns or 80
    except OSError:
        return 80


class Parser(ArgumentParser):
    """Ends the program with 2 and one line, where argparse prints all of its usage."""

    def error(self, message: str) -> Never:
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
            flag = unknown[0].partition("=")[0]  # a value may be secret
            self.error(
                self._no_option(flag) if flag[:1] == "-" != flag else f"{unknown[0]} is one word too many"
            )
        return found

    def _no_option(self, flag: str) -> str:
        from difflib import get_close_matches

        meant = get_close_matches(
            flag, [one for one in self._option_string_actions if one.startswith("--")], 1
        )
        hint = f"; {meant[0]} is one" if meant else ""
        return f"there is no option {flag}{hint}; a file of that name is ./{flag}"
