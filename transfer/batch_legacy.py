"""The text form of a batch that is older than JSON: comment lines with sites, and URLs below them.

::

    # src 1 siteA
    gsiftp://host/path/f.a
    # dst 1 siteB
    file:///path/f.a

Each pair of URLs is one transfer. Comments may be missing after the first pair: the sites stay. Further words of a
comment are ignored. A URL may contain blanks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .batch_errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .batch_errors import Path

_LINE: Final = re.compile(r"[^\n]*")
_SITE: Final = re.compile(r"#[ \t]*(src|dst)[ \t]+\S+[ \t]+([\w.-]+)")
_SIDE: Final = re.compile(r"#[ \t]*(src|dst)\b")


def is_legacy(text: str) -> bool:
    """The text begins as the old form does."""
    return _SIDE.match(text.lstrip()) is not None


def transfers(text: str) -> Iterator[tuple[int, int, dict[str, object]]]:
    """Every transfer, as JSON would have it, and where its source URL begins and its destination's ends."""
    sites = {"src": "", "dst": ""}
    source: tuple[int, str] | None = None
    for offset, line in _lines(text):
        side = "src" if source is None else "dst"
        if line.startswith("#"):
            _remember(sites, line, side, offset)
        elif source is None:
            source = (offset, line)
        else:
            places = (_place(source[1], sites["src"]), _place(line, sites["dst"]))
            yield (
                source[0],
                offset + len(line),
                {"type": "transfer", "src_urls": [places[0]], "dest_urls": [places[1]]},
            )
            source = None
    if source is not None:
        raise Fault(
            (), "the source URL has no destination", expected="a destination URL below", offset=source[0]
        )


def offset_of(text: str, start: int, path: Path) -> int:
    """Where the URL stands that `path` is about; `start` is where the transfer's source URL begins."""
    if path[:1] != ("dest_urls",):
        return start
    urls = [offset for offset, line in _lines(text, start) if not line.startswith("#")]
    return urls[1]


def _lines(text: str, start: int = 0) -> Iterator[tuple[int, str]]:
    """Every line that is not blank, without its end, and where it begins."""
    for match in _LINE.finditer(text, start):
        line = match[0].rstrip("\r")
        if line.strip():
            yield match.start(), line


def _place(url: str, site: str) -> dict[str, object]:
    return {"url": url, "site_label": site}


def _remember(sites: dict[str, str], line: str, side: str, offset: int) -> None:
    """Takes the site out of a comment. One that is for the other side means that a URL is missing."""
    told = _SIDE.match(line)
    if told is None:
        return
    if told[1] != side:
        missing = "source" if side == "src" else "destination"
        raise Fault((), f"the {missing} URL is missing before this line", expected="a URL", offset=offset)
    match = _SITE.match(line)
    if match is None:
        raise Fault((), "the site is missing", expected=f"# {side} NUMBER SITE", offset=offset)
    sites[side] = match[2]
