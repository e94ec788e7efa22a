"""`wf-checksum integrity`: the options and records of pegasus-integrity, for jobs that call it by that name.

Where that program reports success without having looked, this one fails: an empty list, an entry without a
checksum, a wrong size, a file that cannot be read, a record that cannot be written, an option that does nothing. After
a failure the other files are still looked at.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from .errors import ChecksumError
from .integrity_records import (
    append_record,
    checksum_record,
    file_record,
    verification_record,
    write_multipart,
)
from .items import SEPARATOR, Item, Outcome, described, examine, parse_items
from .meta import read_meta_files
from .names import printable
from .output import FAILED, OK, complain, complain_about, put, reason, standard_input

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Sequence
    from typing import Final

    from .items import Examined
    from .meta import Described

BY: Final = "wf-checksum"
_MODES: Final = (
    "generate",
    "generate_yaml",
    "generate_fullstat_yaml",
    "generate_xmls",
    "generate_fullstat_xmls",
    "verify",
)


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code: 0, 1 for any failure, 2 for an option that is none."""
    from .options import integrity_parser

    parser = integrity_parser()
    options = parser.parse_args(arguments)
    if options.help:
        put(parser.format_help().encode())
        return OK
    modes = [mode for mode in _MODES if getattr(options, mode) is not None]
    if len(modes) != 1:
        complain(
            "exactly one of --generate, --generate-yaml, --generate-fullstat-yaml and --verify is needed"
        )
        put(parser.format_help().encode())
        return FAILED
    return _run_mode(modes[0], parser, options)


def _run_mode(mode: str, parser: ArgumentParser, options: Namespace) -> int:
    if mode.endswith("xmls"):
        parser.error(f"--{mode.replace('_', '-')}: XML records are not written; use --generate-fullstat-yaml")
    if options.print_timings and mode != "verify":
        complain("warning: --print-timings does nothing without --verify")
    try:
        items = _items(mode, getattr(options, mode))
    except ValueError as error:
        _say(f"{error}: nothing was checked" if mode == "verify" else f"{error}: nothing was generated")
        return FAILED
    except OSError as error:
        _say(f"standard input cannot be read: {reason(error)}: nothing was checked")
        return FAILED
    if mode == "verify":
        return _verify(items, record=options.print_timings, debug=options.debug)
    return _generate(mode, items, debug=options.debug)


def _items(mode: str, text: str) -> list[Item]:
    if mode == "generate":  # the only mode in which `=` is part of the name
        return [Item(*_both(name)) for name in text.split(SEPARATOR)]
    if mode == "verify" and text == "stdin":
        text = _standard_input()
    return parse_items(text)


def _both(name: str) -> tuple[str, str]:
    if not name:
        raise ValueError("an empty item names no file")
    return name, name


def _standard_input() -> str:
    """The list on standard input, without the line break that a here-document ends with."""
    with standard_input() as stream:
        return os.fsdecode(stream.read()).removesuffix("\n").removesuffix("\r")


# --- generating


def _generate(mode: str, items: Iterable[Item], *, debug: bool) -> int:
    code = OK
    for item in items:
        try:
            found = described(item)
            _leave(mode, item, found)
        except (OSError, ChecksumError) as error:
            complain_about(_culprit(error, item), error)
            code = FAILED
        else:
            if debug:
                complain(f"{printable(item.path)}: {found.digest} in {found.seconds:.3f} s")
    return code


def _leave(mode: str, item: Item, found: Described) -> None:
    if mode == "generate":
        put(found.digest.hex.encode() + b"  " + os.fsencode(item.path) + b"\n")
    elif mode == "generate_yaml":
        put(checksum_record(found).encode("ascii"))
    else:
        record = file_record(found, item.path, by=BY)
        if kickstart := os.environ.get("KICKSTART_INTEGRITY_DATA"):
            append_record(kickstart, record)
        else:
            put(record.encode("ascii"))


def _culprit(error: OSError | ChecksumError, item: Item) -> str:
    """The file that the error is about: that of the records has a name of its own."""
    name = error.filename if isinstance(error, OSError) else None
    return os.fsdecode(name) if isinstance(name, str | bytes) else item.path


# --- verifying


def _verify(items: list[Item], *, record: bool, debug: bool) -> int:
    from glob import glob

    expectations = read_meta_files(sorted(glob("*.meta")))
    for fault in expectations.faults:
        _say(f"Error parsing the meta data: {fault}")
    examined = []
    for one in examine(items, expectations):
        examined.append(one)
        for sentence in sentences(one):
            _say(sentence)
        if debug and one.outcome is Outcome.MATCH:
            _say(f"{printable(one.item.path)}: the checksum matches (timing: {one.seconds:.3f})")
    code = OK if all(one.outcome is Outcome.MATCH for one in examined) else FAILED
    return code if not record or _record(examined) else FAILED


def sentences(one: Examined) -> list[str]:
    """What is to be told of an item that did not match, in the words that scripts look for."""
    path, lfn = printable(one.item.path), printable(one.item.lfn)
    if one.outcome is Outcome.MATCH:
        return []
    if one.expected is None or one.expected.digest is None:
        problem = f": {one.expected.problem}" if one.expected and one.expected.problem else ""
        return [f"No checksum in the meta data for {lfn}{problem}"]
    wrong_size = f"{path}: Expected size ({one.expected.size}) does not match the size found ({one.size})"
    if one.outcome is Outcome.WRONG_SIZE:
        return [wrong_size]
    calculated = one.digest.hex if one.digest else None
    mismatch = (
        f"{path}: Expected checksum ({one.expected.digest.hex}) does not match the calculated checksum"
        f" ({calculated}) (timing: {one.seconds:.3f})"
    )
    if one.outcome is Outcome.MISSING:
        return [f"File {path} does not exist", mismatch]
    if one.outcome is Outcome.UNREADABLE:
        return [f"File {path} cannot be read: {reason(one.error)}", mismatch]
    return [mismatch] if one.expected.size in (None, one.size) else [mismatch, wrong_size]


def _record(examined: Sequence[Examined]) -> bool:
    """Whether the record that monitoring reads is there, where a job has a place for it."""
    directory = os.environ.get("PEGASUS_MULTIPART_DIR")
    if not directory:
        return True
    try:
        write_multipart(directory, "integrity", verification_record(examined), now=time.time())
    except OSError as error:
        _say(f"writing the integrity record in {printable(directory)}: {reason(error)}")
        return False
    return True


def _say(sentence: str) -> None:
    """On standard output and with this prefix: that is where scripts of these jobs look."""
    put(f"Integrity check: {sentence}\n".encode("utf-8", "surrogateescape"))
