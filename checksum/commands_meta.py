"""`wf-checksum generate` and `verify`: files under logical names, described in and checked against `.meta` files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .errors import ChecksumError
from .items import SEPARATOR, Outcome, described, examine, parse_item
from .manifests import PublishedFile
from .meta import meta_document, read_meta_files
from .names import printable
from .options import algorithms, command_parser, parse
from .output import FAILED, OK, complain, complain_about, put, reason, standard_input
from .reporting import status_line
from .verification import Verdict

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence
    from typing import Final

    from .items import Examined, Item
    from .meta import Described


def run_generate(arguments: Sequence[str]) -> int:
    """Writes the `.meta` file if every file could be read; else it stays what it was, and 1 is returned."""
    made = command_parser("generate")
    options = parse(made, arguments, "items")
    chosen = algorithms(made, options.algorithm) or ("sha256",)
    if len(chosen) > 1:
        made.error("a .meta file holds one checksum a file: name one algorithm")
    items = _items(made, options)
    if items is None or not _names_are_unique(items):
        return FAILED
    found = [one for item in items if (one := _described(item, chosen[0])) is not None]
    if len(found) < len(items):
        complain(
            f"{printable(options.meta)} is not written: {len(items) - len(found)} of {len(items)} files failed"
        )
        return FAILED
    try:
        with PublishedFile(options.meta) as file:
            file.write(meta_document(found))
    except OSError as error:
        complain_about(options.meta, error)
        return FAILED
    return OK


def _described(item: Item, algorithm: str) -> Described | None:
    try:
        return described(item, algorithm=algorithm)
    except (OSError, ChecksumError) as error:
        complain_about(item.path, error)
        return None


def _names_are_unique(items: list[Item]) -> bool:
    paths: dict[str, str] = {}
    twice = [item for item in items if paths.setdefault(item.lfn, item.path) != item.path]
    for item in twice:
        complain(
            f"{printable(item.lfn)} is the name of two files, {printable(paths[item.lfn])} and {printable(item.path)}"
        )
    return not twice


def run_verify(arguments: Sequence[str]) -> int:
    """Prints a line a file, as `-c` does; returns 0 if every one was checked and is as it should be, else 1."""
    made = command_parser("verify")
    options = parse(made, arguments, "items")
    items = _items(made, options)
    paths = [path for pattern in options.meta for path in _matching(pattern)]
    if items is None or not paths:
        return FAILED
    expectations = read_meta_files(dict.fromkeys(paths))
    for fault in expectations.faults:
        complain(fault)
    code = OK
    for one in examine(items, expectations):
        _tell(one, options.report)
        if one.outcome is not Outcome.MATCH:
            code = FAILED
    return code


def _matching(pattern: str) -> list[str]:
    """The files that a pattern names. A file whose own name looks like a pattern is meant first."""
    from glob import glob

    found = [pattern] if os.path.lexists(pattern) else sorted(glob(pattern))
    if not found:
        complain(f"{printable(pattern)}: no such .meta file")
    return found


_WORDS: Final = {
    Outcome.MATCH: Verdict.MATCH,
    Outcome.MISMATCH: Verdict.MISMATCH,
    Outcome.WRONG_SIZE: Verdict.MISMATCH,
    Outcome.UNKNOWN: Verdict.MISMATCH,
    Outcome.MISSING: Verdict.MISSING,
    Outcome.UNREADABLE: Verdict.UNREADABLE,
}


def _tell(one: Examined, report: str) -> None:
    if report != "status" and not (report == "quiet" and one.outcome is Outcome.MATCH):
        put(status_line(_WORDS[one.outcome], os.fsencode(one.item.lfn)))
    if one.outcome is not Outcome.MATCH and report != "status":
        complain(f"{printable(one.item.lfn)}: {_explained(one)}")


def _explained(one: Examined) -> str:
    expected = one.expected
    if expected is None:
        return "no .meta file has an entry for it"
    if expected.problem:
        return expected.problem
    if expected.digest is None:
        return f"its entry in {expected.origin} has no checksum"
    if one.error is not None:
        return f"{printable(one.item.path)}: {reason(one.error)}"
    texts = []
    if one.digest != expected.digest:
        texts.append(f"expected {expected.digest}, found {one.digest}")
    if expected.size not in (None, one.size):
        texts.append(f"expected {expected.size} bytes, found {one.size}")
    return f"{printable(one.item.path)}: {'; '.join(texts)} ({expected.origin})"


# --- the list of files


def _items(made: ArgumentParser, options: Namespace) -> list[Item] | None:
    """What the command line and standard input name; None after a complaint."""
    if not options.items:
        made.error("name at least one file, or - for a list on standard input")
    try:
        items = [parse_item(text) for text in _texts(options)]
    except ValueError as error:
        complain(str(error))
        return None
    except OSError as error:
        complain_about("-", error)
        return None
    if not items:
        complain("standard input names no file")
        return None
    return items


def _texts(options: Namespace) -> Iterator[str]:
    for word in options.items:
        if word != "-":
            yield from word.split(SEPARATOR)
            continue
        with standard_input() as stream:
            text = os.fsdecode(stream.read())
        end = "\0" if options.zero else "\n"
        lines = text.removesuffix(end).split(end) if text else []
        yield from lines if options.zero else (item for line in lines for item in line.split(SEPARATOR))
