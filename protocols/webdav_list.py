"""Looking at names by PROPFIND (RFC 4918 section 9.1): one name with `Depth: 0`, one folder with `Depth: 1`.

A tree is walked folder by folder, since many servers refuse `Depth: infinity`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import LocalRefused, NotFound, ServerFault
from .http_visit import refused
from .statuses import seconds_of_date
from .values import Entry
from .webdav_names import as_folder, href_parts, is_name, parts_of, spelled, split
from .webdav_xml import ASK, NotMultistatus, responses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from .exchange import Answer
    from .http_visit import Visit
    from .locations import Location
    from .webdav_xml import Found

    Propfind = Callable[[Location, str], Visit]
    """The answer to a PROPFIND at a location, with a depth."""

_XML: Final = ("Content-Type", 'application/xml; charset="utf-8"')
_LENGTH = re.compile(r"[0-9]{1,18}")
WITHOUT: Final = frozenset({400, 405, 415, 501})
"""What servers answer that know no PROPFIND."""


def fields_of(depth: str) -> tuple[tuple[str, str], ...]:
    return (("Depth", depth), _XML)


BODY: Final = ASK


def entry_at(visit: Visit) -> Entry | None:
    """The entry of the name that was asked for with `Depth: 0`; None where the server knows no PROPFIND."""
    answer = visit.answer
    if answer.status in WITHOUT:
        answer.read_all(4096)
        return None
    found = list(_found(visit))
    if len(found) != 1 and found:
        # A server that ignores Depth: the folder's own entry is the one with the shortest path.
        found.sort(key=lambda one: len(href_parts(one.href)))
    if not found or found[0].status == 404:
        raise NotFound(f"{visit.what()}: the server found nothing there", host=visit.origin.authority)
    return _entry("", found[0], answer)


def entries(propfind: Propfind, folder: Location, *, recursive: bool) -> Iterator[Entry]:
    """What is below a folder. Each folder's answer is read to its end before the first of its names is handed on."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        inner = as_folder(folder.below(prefix) if prefix else folder)
        try:
            found = _children(propfind(inner, "1"), inner)
        except NotFound:
            if not prefix:
                raise
            continue  # it has vanished meanwhile
        for entry in found:
            full = entry._replace(path=f"{prefix}/{entry.path}" if prefix else entry.path)
            if recursive and full.is_directory:
                waiting.append(full.path)
            yield full


def _children(visit: Visit, folder: Location) -> list[Entry]:
    """The entries directly below `folder`. Raises LocalRefused for what is no folder, ServerFault for a strange answer."""
    # Servers resolve `.` in what they are asked for (RFC 3986 section 5.2.4).
    here = tuple(part for part in parts_of(split(folder)[0]) if part != b".")
    children: dict[bytes, Entry] = {}
    itself = False
    for one in _found(visit):
        parts = href_parts(one.href)
        if parts == here:
            itself = True
            if not one.folder:
                raise LocalRefused(f"{visit.what()}: it is not a folder", remedy="name a folder")
        elif parts[:-1] == here and one.status // 100 == 2:
            name = parts[-1]
            if not is_name(name):
                raise ServerFault(f"{visit.what()}: lists {name[:60]!r}, which is no name")
            children[name] = _entry(spelled(name), one, visit.answer)
    if not itself:
        raise ServerFault(
            f"{visit.what()}: the answer speaks of other places than the one that was asked for",
            host=visit.origin.authority,
        )
    return list(children.values())


def _found(visit: Visit) -> Iterator[Found]:
    """The responses in the answer, which is drained. Raises what any other answer means."""
    answer = visit.answer
    if answer.status != 207:
        raise refused(visit)
    try:
        yield from responses(_pieces(answer))
    except NotMultistatus as error:
        raise ServerFault(f"{visit.what()}: {error}", host=visit.origin.authority) from None
    finally:
        answer.close()


def _pieces(answer: Answer) -> Iterator[memoryview]:
    while view := answer.read():
        yield view


def _entry(path: str, found: Found, answer: Answer) -> Entry:
    modified = seconds_of_date(found.modified) if found.modified else None
    if found.folder:
        return Entry(path, None, None, True, modified)
    size = int(found.length) if _LENGTH.fullmatch(found.length) else None
    return Entry(path, size, _version(found, answer), False, modified)


def _version(found: Found, answer: Answer) -> str | None:
    """The ETag where it is strong: by the rule that holds for a GET, too (`http_visit.version_of`)."""
    tag = found.etag
    strong = len(tag) > 2 and tag[0] == tag[-1] == '"'
    fresh = bool(found.modified) and found.modified == answer.headers.get("date")
    return tag if strong and not fresh else None
