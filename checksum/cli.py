"""The command `wf-checksum`: checksums as sha256sum prints and checks them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from .digest import SIZES, canonical_algorithm
from .errors import ChecksumError
from .files import FileDigest, digest_file, digest_stream, new_buffer
from .gnu import Line, read_manifest, write_manifest_line
from .names import printable
from .options import PROGRAM, parser

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from .reporting import Tally
    from .verification import Checked

OK = 0
FAILED = 1
USAGE = 2
DEFECT = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
"""The last two are what a shell reports of a program that died of the signal."""


class Options(NamedTuple):
    """The command line, understood. `report` is `all`, `quiet`, `status` or `warn`."""

    files: tuple[str, ...]
    algorithm: str | None = None
    check: bool = False
    binary: bool = False
    tag: bool = False
    zero: bool = False
    special: bool = False
    report: str = "all"
    strict: bool = False
    ignore_missing: bool = False


class OutputFailed(Exception):
    """Standard output does not take what is written; the cause is the OSError."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code. SystemExit is raised for --help and for usage errors."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        return _run(given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputFailed as failure:
        return _output_failed(failure.__cause__)
    except Exception as error:  # noqa: BLE001 - people get a sentence instead of a traceback
        _complain(f"defect: {type(error).__name__}: {error}; please report this with the command line")
        return DEFECT


def _run(arguments: Sequence[str]) -> int:
    if any(one.startswith("-") and one != "-" for one in arguments):
        options = _parsed(arguments)
    else:
        options = Options(tuple(arguments))  # the usual call, spared the import of argparse
    return _check(options) if options.check else _generate(options)


def _output_failed(cause: BaseException | None) -> int:
    if isinstance(cause, BrokenPipeError):
        return BROKEN_PIPE
    _complain(f"write error: {_reason(cause)}")
    return FAILED


# --- the command line -----------------------------------------------------------------------------------------


def _parsed(arguments: Sequence[str]) -> Options:
    made = parser()
    before, after = _around_dashes(arguments)
    found = made.parse_intermixed_args(before)
    if found.help:
        _print_and_exit(made.format_help())
    if found.version:
        _print_and_exit(f"{PROGRAM} {_version()}\n")
    options = Options(
        files=(*found.files, *after),
        algorithm=_algorithm(made, found.algorithm),
        check=found.check,
        binary=found.mode == "binary",
        tag=found.tag,
        zero=found.zero,
        special=found.special,
        report=found.report,
        strict=found.strict,
        ignore_missing=found.ignore_missing,
    )
    _refuse_nonsense(made, options, found.mode)
    return options


def _around_dashes(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The arguments before and after the first `--`: argparse itself loses it between options and files."""
    if "--" not in arguments:
        return arguments, ()
    at = list(arguments).index("--")
    return arguments[:at], arguments[at + 1 :]


def _algorithm(made: ArgumentParser, name: str | None) -> str | None:
    if name is None:
        return None
    algorithm = canonical_algorithm(name)
    if algorithm is None:
        made.error(f"unknown algorithm {name!r}; known are {', '.join(SIZES)}")
    return algorithm


def _refuse_nonsense(made: ArgumentParser, options: Options, mode: str | None) -> None:
    if options.check:
        if options.tag:
            made.error("the --tag option is meaningless when verifying checksums")
        if mode is not None:
            made.error("the --binary and --text options are meaningless when verifying checksums")
        return
    if options.tag and mode == "text":
        made.error("--tag does not support --text mode")
    given = (
        ("ignore-missing", options.ignore_missing),
        (options.report, options.report != "all"),
        ("strict", options.strict),
    )
    for name, is_given in given:
        if is_given:
            made.error(f"the --{name} option is meaningful only when verifying checksums")


def _version() -> str:
    from importlib.metadata import version

    return version("wf-transfer")


def _print_and_exit(text: str) -> NoReturn:
    for line in text.splitlines(keepends=True):
        _put(line.encode())
    raise SystemExit(OK)


# --- printing checksums ---------------------------------------------------------------------------------------


def _generate(options: Options) -> int:
    # Mapped once for many files; for a single one digest_file finds what suits its size.
    buffer = new_buffer() if len(options.files) > 1 else None
    code = OK
    for name in options.files or ("-",):
        try:
            found = _digest(name, options, buffer)
        except (OSError, ChecksumError) as error:
            _complain_about(name, error)
            code = FAILED
        else:
            _put(
                write_manifest_line(
                    found.digests[0], name, binary=options.binary, tag=options.tag, zero=options.zero
                )
            )
    return code


def _digest(name: str, options: Options, buffer: memoryview | None) -> FileDigest:
    algorithms = (options.algorithm or "sha256",)
    if name == "-":
        return digest_stream(0, algorithms, buffer=buffer)
    return digest_file(name, algorithms, buffer=buffer, special=options.special)


# --- checking manifests ---------------------------------------------------------------------------------------


def _check(options: Options) -> int:
    code = OK
    for manifest in options.files or ("-",):
        try:
            passed = _check_one(manifest, options)
        except OSError as error:
            _complain_about(manifest, error)
            passed = False
        if not passed:
            code = FAILED
    return code


def _check_one(manifest: str, options: Options) -> bool:
    from .reporting import Tally
    from .verification import verify_lines

    tally = Tally(strict=options.strict, ignore_missing=options.ignore_missing)
    with _opened(manifest) as stream:
        lines = _lines(stream, manifest, options)
        for checked in verify_lines(lines, standard_input=True, special=options.special):
            tally.count(checked)
            _tell(checked, manifest, options)
    _sum_up(tally, manifest, options)
    return tally.passed


def _opened(manifest: str) -> BinaryIO:
    return open(0, "rb", closefd=False) if manifest == "-" else open(manifest, "rb")


def _lines(stream: BinaryIO, manifest: str, options: Options) -> Iterator[Line]:
    for line in read_manifest(stream, options.algorithm, zero=options.zero):
        if manifest == "-" and line.entry is not None and line.entry.name == b"-":
            yield Line(line.number, None)  # a manifest on standard input cannot speak of standard input
        else:
            yield line


def _tell(checked: Checked, manifest: str, options: Options) -> None:
    from .reporting import status_line
    from .verification import Verdict

    if checked.entry is None:
        if options.report == "warn":
            _complain(f"{printable(manifest)}: {checked.number}: improperly formatted checksum line")
        return
    if checked.verdict is Verdict.MISSING and options.ignore_missing:
        return
    if checked.error is not None:
        _complain_about(checked.entry.name, checked.error)
    quiet = options.report == "quiet" and checked.verdict is Verdict.MATCH
    if options.report != "status" and not quiet:
        _put(status_line(checked.verdict, checked.entry.name))


def _sum_up(tally: Tally, manifest: str, options: Options) -> None:
    if not tally.well_formed:
        _complain(f"{printable(manifest)}: no properly formatted checksum lines found")
    elif options.report != "status":
        for warning in tally.warnings():
            _complain(f"WARNING: {warning}")
        if options.ignore_missing and not tally.matched:
            _complain(f"{printable(manifest)}: no file was verified")


# --- what people and programs read ----------------------------------------------------------------------------


def _put(line: bytes) -> None:
    """Writes one whole line to standard output at once, so that processes running side by side do not mix theirs."""
    try:
        if os.isatty(1):
            line = _for_terminal(line)
        while line:
            line = line[os.write(1, line) :]
    except OSError as error:
        raise OutputFailed from error


def _for_terminal(line: bytes) -> bytes:
    """A name must not be able to send commands to the terminal. Programs get the bytes as they are."""
    text = printable(line.removesuffix(b"\n"))
    return os.fsencode(text) + b"\n"


def _complain_about(name: str | bytes, error: OSError | ChecksumError) -> None:
    _complain(f"{printable(name) or repr('')}: {_reason(error)}")


def _reason(error: BaseException | None) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _complain(text: str) -> None:
    if sys.stderr is not None:
        print(f"{PROGRAM}: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
