"""The findings as a plot: a bar each, from nothing to its figure over its goal. What ends left of the line is met."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from report import judged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rows import Row

WIDTH, LABELS, LINE = 1100, 620, 20
MOST = 2.0
"""Bars longer than this many times their goal are cut."""
MET, MISSED = "#2a7f62", "#c0562f"


def svg(rows: Sequence[Row]) -> str:
    bars = [
        (f"{row.title}: {one.what}", one.found / one.goal, bool(one.met))
        for row in rows
        for one in row.findings
        if judged(one) and one.goal
    ]
    height = LINE * (len(bars) + 3)
    unit = (WIDTH - LABELS - 70) / MOST
    body = [_bar(number, bar, unit) for number, bar in enumerate(bars)]
    line = LABELS + unit
    body.append(
        f'<line x1="{line:.0f}" y1="{LINE}" x2="{line:.0f}" y2="{height - LINE}" stroke="#333" stroke-dasharray="4 3"/>'
        f'<text x="{line:.0f}" y="{LINE - 5}" text-anchor="middle">goal</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _bar(number: int, bar: tuple[str, float, bool], unit: float) -> str:
    text, share, met = bar
    top = LINE * (number + 1) + 4
    length = max(1.0, min(max(share, 0.0), MOST) * unit)
    return (
        f'<text x="{LABELS - 6}" y="{top + 11}" text-anchor="end">{escape(text[:105])}</text>'
        f'<rect x="{LABELS}" y="{top}" width="{length:.0f}" height="{LINE - 6}" fill="{MET if met else MISSED}"/>'
        f'<text x="{LABELS + length + 5:.0f}" y="{top + 11}">{share:.2f}</text>'
    )
