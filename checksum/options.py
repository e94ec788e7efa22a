"""The command line of `wf-checksum`, as a parser. Help, manual page and completions come from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .digest import SIZES

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import Final

PROGRAM: Final = "wf-checksum"


def parser() -> ArgumentParser:
    """The command line's definition, from which the manual page and completions are made as well."""
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    made = ArgumentParser(
        prog=PROGRAM,
        usage="%(prog)s [OPTION]... [FILE]...",
        description="Print or check checksums (SHA-256 unless told otherwise), as sha256sum does.",
        epilog="With no FILE, or when FILE is -, standard input is read.\n\n"
        "exit status: 0 all well; 1 a file does not match, or cannot be read; 2 wrong usage",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,  # printed by us, as --version is, so that a closed pipe ends both quietly
    )
    made.add_argument("files", nargs="*", metavar="FILE", help="files to digest; with -c, manifests to check")
    _add_general(made)
    _add_checking(made)
    return made


def _add_general(made: ArgumentParser) -> None:
    add = made.add_argument
    add(
        "-a",
        "--algorithm",
        metavar="NAME",
        help=f"{', '.join(SIZES)}; the default is sha256, with -c what each line says",
    )
    for short, word, text in (
        ("-b", "binary", "mark names with an asterisk"),
        ("-t", "text", "mark names with a blank (default)"),
    ):
        add(short, f"--{word}", action="store_const", const=word, dest="mode", help=text)
    add("--tag", action="store_true", help="print BSD-style lines: SHA256 (name) = value")
    add("-z", "--zero", action="store_true", help="lines end in NUL, not newline, and names are not escaped")
    add("--special", action="store_true", help="read FIFOs and devices as well, to their end")
    add("-h", "--help", action="store_true", help="print this text and exit")
    add("--version", action="store_true", help="print the version and exit")


def _add_checking(made: ArgumentParser) -> None:
    add = made.add_argument_group("checking").add_argument
    add("-c", "--check", action="store_true", help="read checksums from the FILEs and check them")
    add("--ignore-missing", action="store_true", help="do not fail or report status for missing files")
    # As in sha256sum these three exclude each other, and the last one given counts.
    for flags, word, text in (
        (("--quiet",), "quiet", "do not print OK for each file that matches"),
        (("--status",), "status", "print nothing; the exit status tells"),
        (("-w", "--warn"), "warn", "warn about each malformed line"),
    ):
        add(*flags, action="store_const", const=word, dest="report", default="all", help=text)
    add("--strict", action="store_true", help="malformed lines are a failure")
