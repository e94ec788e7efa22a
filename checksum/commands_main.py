"""`wf-checksum` without a command word: its options understood, and who does what they ask for."""

from __future__ import annotations

from .output import OK, put
from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from .remote import Remote

MIB = 1 << 20


class Options(NamedTuple):
    """The command line, understood. `report` is `all`, `quiet`, `status` or `warn`."""

    files: tuple[str, ...]
    algorithms: tuple[str, ...] = ()
    """Canonical names; none: sha256, and when checking what the manifest says."""
    check: bool = False
    binary: bool = False
    tag: bool = False
    zero: bool = False
    json: bool = False
    block_bytes: int = 0
    """Of the blocks whose digests are told, 0: none."""
    output: str = ""
    """The file to publish the manifest as; empty: standard output."""
    recursive: bool = False
    special: bool = False
    from_disk: bool = False
    workers: int | None = None
    """None: as many as this process may use."""
    report: str = "all"
    strict: bool = False
    ignore_missing: bool = False
    allow_absolute: bool = False
    quarantine: str = ""
    reference: str = ""


def run(arguments: Sequence[str], remote: Remote) -> int:
    """Runs the command and returns its exit code. SystemExit is raised for --help and for usage errors."""
    if any(one.startswith("-") and one != "-" for one in arguments):
        options = _parsed(arguments, remote)
    else:
        options = Options(tuple(arguments))
    if options.check:
        from .commands_check import check

        return check(options, remote)
    from .commands_print import print_digests

    return print_digests(options, remote)


def _parsed(arguments: Sequence[str], remote: Remote) -> Options:
    from .options import access, algorithms, number, parse, parser

    made = parser()
    found = parse(made, arguments, "files")
    if found.version:
        put(f"{made.prog} {_version()}\n".encode())
        raise SystemExit(OK)
    options = Options(
        files=tuple(found.files),
        algorithms=algorithms(made, found.algorithm),
        check=found.check,
        binary=found.mode == "binary",
        tag=found.tag,
        zero=found.zero,
        json=found.json,
        block_bytes=MIB * number(made, "--blocks", found.blocks),
        output=found.output or "",
        recursive=found.recursive,
        special=found.special,
        from_disk=found.from_disk,
        workers=number(made, "--jobs", found.jobs) or None,
        report=found.report,
        strict=found.strict,
        ignore_missing=found.ignore_missing,
        allow_absolute=found.allow_absolute,
        quarantine=found.quarantine or "",
        reference=found.reference or "",
    )
    (_refuse_when_checking if options.check else _refuse_when_printing)(made, options, found)
    remote.configure(access(found))
    return options


def _refuse_when_checking(made: ArgumentParser, options: Options, found: Namespace) -> None:
    if options.tag:
        made.error("--tag is meaningless when verifying checksums: leave it out")
    if found.mode is not None:
        made.error("--binary and --text are meaningless when verifying checksums: leave them out")
    for name, is_given in (
        ("json", options.json),
        ("blocks", options.block_bytes),
        ("recursive", options.recursive),
        ("output", options.output),
    ):
        if is_given:
            made.error(f"--{name} is meaningless when verifying checksums: leave it out")
    if len(options.algorithms) > 1:
        made.error("several algorithms: name one when verifying checksums, or none for what the lines say")


def _refuse_when_printing(made: ArgumentParser, options: Options, found: Namespace) -> None:
    if options.tag and found.mode == "text":
        made.error("--tag knows no text mode: leave --text out")
    if options.json and (options.tag or options.zero or found.mode is not None):
        made.error("--json has lines of its own: leave out --tag, --zero, --binary and --text")
    if options.block_bytes and not options.json:
        made.error("--blocks needs --json, whose lines have room for them")
    if len(options.algorithms) > 1 and not (options.json or options.tag):
        made.error("several algorithms need --json or --tag, which tell which is which")
    given = (
        ("ignore-missing", options.ignore_missing),
        (options.report, options.report != "all"),
        ("strict", options.strict),
        ("allow-absolute", options.allow_absolute),
        ("quarantine", options.quarantine),
        ("reference", options.reference),
    )
    for name, is_given in given:
        if is_given:
            made.error(f"--{name} is meaningful only when verifying checksums: add -c, or leave it out")


def _version() -> str:
    from importlib.metadata import version

    return version("wf-transfer")
