"""The paths that a service tells are those that it was given, but perhaps spelled otherwise: the home written out, slashes once.

Which spelling its lists use is documented nowhere. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

T = TypeVar("T")

_SLASHES: Final = re.compile("/{2,}")


def is_spelled(told: str, given: str) -> bool:
    """Whether `told` may be what the service makes of the path that it was `given`."""
    if told == given:
        return True
    plain = _SLASHES.sub("/", given)
    if plain.startswith("/~/"):
        return told == plain or told.endswith(plain[2:])
    return _SLASHES.sub("/", told) == plain


class Spelled(Generic[T]):
    """Values by the paths that the service told; asked for by those that it was given."""

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        self._exact: dict[str, T] = {}
        for path, value in entries:
            self._exact.setdefault(path, value)
        self._by_name: dict[str, list[str]] | None = None

    def __bool__(self) -> bool:
        return bool(self._exact)

    def get(self, given: str) -> T | None:
        found = self._exact.get(given)
        if found is not None or not self._exact or not ("//" in given or given.startswith("/~/")):
            return found
        fitting = [path for path in self._named(_name(given)) if is_spelled(path, given)]
        return self._exact[fitting[0]] if len(fitting) == 1 else None

    def below(self, given: str) -> T | None:
        """The first at this path, or in the folder that it is."""
        found = self.get(given)
        if found is not None:
            return found
        folder = _SLASHES.sub("/", given.rstrip("/") + "/")
        inner = folder[2:] if folder.startswith("/~/") else folder
        for path, value in self._exact.items():
            if path.startswith(folder) or (inner is not folder and inner in path):
                return value
        return None

    def _named(self, name: str) -> list[str]:
        """The paths with this last component."""
        if self._by_name is None:
            self._by_name = {}
            for path in self._exact:
                self._by_name.setdefault(_name(path), []).append(path)
        return self._by_name.get(name, [])


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
