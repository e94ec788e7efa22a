"""Which known word somebody probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def distance(one: str, other: str) -> int:
    """Letters to insert, delete, replace or swap with their neighbour to turn one word into the other."""
    before: list[int] = []
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        line = [row]
        for column, wanted in enumerate(other, 1):
            cost = min(above[column] + 1, line[-1] + 1, above[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == wanted:
                cost = min(cost, before[column - 2] + 1)
            line.append(cost)
        before, above = above, line
    return above[-1]


def within(word: str, known: Iterable[str], most: int) -> tuple[str, ...]:
    """The known words at most `most` letters away, nearest first."""
    near = ((distance(word, other), other) for other in known if abs(len(word) - len(other)) <= most)
    return tuple(other for letters, other in sorted(near) if letters <= most)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that looks most like this one in any case; empty if none is half the same."""
    if len(word) > 40:
        return ""
    folded = {other.lower(): other for other in known}
    found = within(word.lower(), folded, max(2, len(word) // 2))
    return folded[found[0]] if found else ""
