"""`wf-checksum diff`: two manifests compared, without looking at any file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .comparison import Change, compare
from .errors import ManifestError
from .formats import open_manifest
from .names import printable
from .options import command_parser, parse
from .output import BAD_MANIFEST, change_line, complain, put, reason, standard_input

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from .comparison import Difference
    from .entries import ManifestEntry
    from .formats import Manifest

SAME: Final = 0
DIFFERENT: Final = 1


class _Unreadable(Exception):
    """A manifest that cannot be compared; says which, why, and the exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def run_diff(arguments: Sequence[str]) -> int:
    """Prints one line a difference; returns 0 if there is none, 1 if there is one, 65 for what is no manifest."""
    made = command_parser("diff")
    options = parse(made, arguments, "manifests")
    if len(options.manifests) != 2:
        made.error(f"two manifests are compared, {len(options.manifests)} given")
    code = SAME
    try:
        for one in compare(*map(_entries, options.manifests)):
            code = DIFFERENT
            if options.quiet:
                break
            put(_json(one) if options.json else _line(one))
    except _Unreadable as error:
        complain(str(error))
        return error.code
    except OSError as error:
        complain(f"comparing: {reason(error)}")
        return DIFFERENT
    return code


def _entries(path: str) -> Iterator[ManifestEntry]:
    try:
        with _opened(path) as manifest:
            yield from manifest
    except OSError as error:
        raise _Unreadable(f"{printable(path)}: {reason(error)}", DIFFERENT) from error
    except ManifestError as error:
        raise _Unreadable(f"{printable(path)}: {error}", BAD_MANIFEST) from error


def _opened(path: str) -> Manifest:
    return open_manifest(standard_input()) if path == "-" else open_manifest(path)


def _line(one: Difference) -> bytes:
    names = [one.name]
    if one.change is Change.MOVED and one.after is not None:
        names.append(one.after.name)
    return change_line(one.change, *names)


def _json(one: Difference) -> bytes:
    from json import dumps

    record: dict[str, object] = {"change": str(one.change), "path": os.fsdecode(one.name)}
    if one.change is Change.MOVED and one.after is not None:
        record["to"] = os.fsdecode(one.after.name)
    for side, entry in (("before", one.before), ("after", one.after)):
        if entry is not None:
            record[side] = _content(entry)
    return dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def _content(entry: ManifestEntry) -> dict[str, object]:
    found: dict[str, object] = {} if entry.size is None else {"size": entry.size}
    return found | {digest.algorithm: digest.hex for digest in entry.digests}
