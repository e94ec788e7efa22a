"""Reads a plain command line without argparse, which costs as much as all else of a small start.

Options are defined once, by calls of `add_argument`: a `Sheet` takes the same calls as a parser. What it does not
understand completely (help, abbreviations, `--option=value`, mistakes) is for argparse, so every message is argparse's.
"""

from __future__ import annotations

from types import SimpleNamespace

from ..checksum.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _Option(NamedTuple):
    name: str
    action: str
    convert: Callable[[str], object] | None
    choices: Sequence[str] | None
    rivals: set[str]
    """Names of options of which only one may be given, this one among them."""


class Sheet:
    """What options mean, and what those are that nobody gives."""

    def __init__(self, whole: Sheet | None = None) -> None:
        self._options: dict[str, _Option] = whole._options if whole else {}
        self._defaults: dict[str, object] = whole._defaults if whole else {}
        self._rivals: set[str] | None = set() if whole else None

    def add_argument_group(self, title: str) -> Sheet:
        return self

    def add_mutually_exclusive_group(self) -> Sheet:
        return Sheet(self)

    def add_argument(
        self,
        *flags: str,
        action: str = "store",
        default: object = None,
        type: Callable[[str], object] | None = None,
        choices: Sequence[str] | None = None,
        **for_people: str,
    ) -> None:
        name = next((flag for flag in flags if flag.startswith("--")), flags[0]).lstrip("-").replace("-", "_")
        self._defaults[name] = False if action == "store_true" else default
        rivals = {name} if self._rivals is None else self._rivals
        rivals.add(name)
        self._options |= dict.fromkeys(flags, _Option(name, action, type, choices, rivals))

    def read(self, words: Sequence[str]) -> SimpleNamespace | None:
        """What the words say, or None where argparse has to look at them."""
        found = dict(self._defaults)
        given: set[str] = set()
        following = iter(words)
        for word in following:
            option = self._options.get(word)
            if option is None or (given & option.rivals) - {option.name}:
                return None
            given.add(option.name)
            if option.action == "store_true":
                found[option.name] = True
            elif not _store(found, option, next(following, "--")):
                return None
        return SimpleNamespace(**found)


def _store(found: dict[str, object], option: _Option, word: str) -> bool:
    """Whether the word could be taken for the option's value."""
    if word.startswith("-") and word != "-":
        return False
    value: object = word
    if option.convert is not None:
        try:
            value = option.convert(word)
        except Exception:  # noqa: BLE001 - argparse will meet it again, and say it in its way
            return False
    if option.choices is not None and value not in option.choices:
        return False
    if option.action == "append":
        before = found[option.name]
        value = [*before, value] if isinstance(before, list) else [value]
    found[option.name] = value
    return True
