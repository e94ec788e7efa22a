"""The command lines of `wf-checksum`, as parsers. Help, manual pages and completions come from them."""

from __future__ import annotations

from .digest import KNOWN_IN_WORDS, canonical_algorithm
from .output import PROGRAM, put
from .remote import Access

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ActionsContainer
    from collections.abc import Callable, Sequence
    from typing import Final

COMMANDS: Final = {
    "generate": "write a .meta file for files under logical names",
    "verify": "check files under logical names against .meta files",
    "diff": "compare two manifests, without looking at any file",
    "update": "bring a manifest or a replica catalogue up to date",
    "integrity": "do what pegasus-integrity does",
}
"""The words that are commands as the first argument, and what each does in a few others."""

EXIT_STATUS: Final = (
    "exit status: 0 all well; 1 a file does not match, or cannot be read; 2 wrong usage; 65 a manifest that is none,"
    " or is cut; 75/77/78 as wf-transfer, where URLs alone failed"
)
"""The manual page cuts it at each semicolon."""


def parser() -> ArgumentParser:
    """The command line's definition, from which the manual page and completions are made as well."""
    words = "".join(f"\n  {word:<10}{sentence}" for word, sentence in COMMANDS.items())
    made = _parser(
        PROGRAM,
        "[OPTION]... [FILE|DIR|URL]...",
        "Print or check checksums (SHA-256 unless told otherwise), as sha256sum does.",
        epilog="With no FILE, or when FILE is -, standard input is read.\n\n"
        f"As the first argument these words are commands (a file of that name is ./diff):{words}\n\n{EXIT_STATUS}",
    )
    made.add_argument(
        "files", nargs="*", metavar="FILE", help="files or URLs to digest; with -c, manifests to check"
    )
    _add_general(made)
    _add_remote(made)
    _add_checking(made)
    return made


def command_parser(word: str) -> ArgumentParser:
    """The parser of a command word."""
    return _DEFINITIONS[word]()


def integrity_parser() -> ArgumentParser:
    """Options may be shortened, since pegasus-integrity allows it and its callers do it."""
    made = _parser(
        f"{PROGRAM} integrity",
        "[OPTION]...",
        f"{_sentence('integrity')} FILES are joined by ;;; and may be given logical names: lfn=path;;;lfn=path",
        short=True,
    )
    for flag, metavar, text in (
        ("--generate", "FILES", "print a line as sha256sum does for each file; here = is part of a name"),
        ("--generate-yaml", "FILES", "print checksum and time for an entry of kickstart's record"),
        (
            "--generate-fullstat-yaml",
            "FILES",
            "whole entries of kickstart's record, added to $KICKSTART_INTEGRITY_DATA, else printed",
        ),
        ("--generate-xmls", "FILES", "not offered"),
        ("--generate-fullstat-xmls", "FILES", "not offered"),
        (
            "--verify",
            "FILES",
            "check against all *.meta of the working directory; stdin: read FILES from standard input",
        ),
    ):
        made.add_argument(flag, metavar=metavar, help=text)
    made.add_argument(
        "--print-timings", action="store_true", help="leave a record in $PEGASUS_MULTIPART_DIR after --verify"
    )
    made.add_argument("--debug", action="store_true", help="tell of files that match, too")
    made.add_argument("-h", "--help", action="store_true", help="print this text and exit")
    return made


def _generate_parser() -> ArgumentParser:
    made = _command("generate", "--meta OUT.meta LFN=PATH...")
    _add_items(made)
    made.add_argument(
        "--meta", metavar="FILE", required=True, help="the file to write; it appears whole, or not at all"
    )
    _add_algorithm(made, "the default is sha256, which is the one that Pegasus knows")
    return made


def _verify_parser() -> ArgumentParser:
    made = _command("verify", "--meta FILE... LFN=PATH...")
    _add_items(made)
    made.add_argument(
        "--meta",
        metavar="FILE",
        action="append",
        required=True,
        help="a .meta file, or a quoted pattern such as 'DIR/*.meta'; may be given again",
    )
    _add_reporting(made)
    return made


def _diff_parser() -> ArgumentParser:
    made = _command(
        "diff", "[OPTION]... A B", "\n\nexit status: 0 no difference; 1 differences; 2 wrong usage"
    )
    made.add_argument("manifests", nargs="*", metavar="MANIFEST", help="a manifest of any format")
    made.add_argument("--json", action="store_true", help="one JSON object a line")
    made.add_argument("-q", "--quiet", action="store_true", help="print nothing; the exit status tells")
    return made


def _update_parser() -> ArgumentParser:
    made = _command("update", "[OPTION]... MANIFEST [FILE|DIR]...")
    made.add_argument(
        "places",
        nargs="*",
        metavar="FILE",
        help="the manifest, or the replica catalogue; then files, and folders to look through for new ones, by default"
        " those that the manifest names",
    )
    made.add_argument("--paranoid", action="store_true", help="read every file again, whatever its time says")
    made.add_argument("-n", "--dry-run", action="store_true", help="only tell what would change")
    made.add_argument("-q", "--quiet", action="store_true", help="do not print what changed")
    _add_allow_absolute(made)
    _add_jobs(made)
    _add_remote(made)
    return made


_DEFINITIONS: Final[dict[str, Callable[[], ArgumentParser]]] = {
    "generate": _generate_parser,
    "verify": _verify_parser,
    "diff": _diff_parser,
    "update": _update_parser,
    "integrity": integrity_parser,
}


# --- what was given


def parse(made: ArgumentParser, arguments: Sequence[str], words: str) -> Namespace:
    """What the arguments say. Everything behind the first `--` is one of `words`, whatever it looks like.

    SystemExit is raised for wrong usage, and after `--help`, which is printed.
    """
    given = list(arguments)
    at = (
        given.index("--") if "--" in given else len(given)
    )  # argparse itself loses it between options and words
    found = made.parse_intermixed_args(given[:at])
    if found.help:
        put(made.format_help().encode())
        raise SystemExit(0)
    setattr(found, words, [*getattr(found, words), *given[at + 1 :]])
    return found


def algorithms(made: ArgumentParser, names: str | None) -> tuple[str, ...]:
    """The canonical names that a list with commas means; none for None."""
    found = []
    for name in names.split(",") if names is not None else ():
        algorithm = canonical_algorithm(name)
        if algorithm is None:
            made.error(f"unknown algorithm {name!r}; known are {KNOWN_IN_WORDS}")
        found.append(algorithm)
    return tuple(dict.fromkeys(found))


def access(found: Namespace) -> Access:
    """What the options about URLs say."""
    return Access(
        found.site,
        found.credentials,
        insecure=found.insecure_credentials,
        fix_permissions=found.fix_permissions,
        accept_new_host_keys=found.accept_new_host_keys,
    )


def number(made: ArgumentParser, option: str, text: str | None, default: int = 0) -> int:
    """The number from 1 on that an option was given, or the default for None."""
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 20):
        made.error(f"argument {option}: {text!r} is not a number from 1 on")
    return int(text)


# --- pieces


def _parser(
    prog: str, usage: str, description: str, *, epilog: str = "", short: bool = False
) -> ArgumentParser:
    from .usage import Formatter, Parser

    return Parser(
        prog=prog,
        usage=f"%(prog)s {usage}",
        description=description,
        epilog=epilog or None,
        formatter_class=Formatter,
        allow_abbrev=short,
        add_help=False,  # printed by us, as --version is, so that a closed pipe ends both quietly
    )


def _command(word: str, usage: str, epilog: str = f"\n\n{EXIT_STATUS}") -> ArgumentParser:
    made = _parser(f"{PROGRAM} {word}", usage, _sentence(word), epilog=epilog.lstrip())
    made.add_argument("-h", "--help", action="store_true", help="print this text and exit")
    return made


def _sentence(word: str) -> str:
    sentence = COMMANDS[word]
    return f"{sentence[0].upper()}{sentence[1:]}."


def _add_items(made: ArgumentParser) -> None:
    made.add_argument(
        "items",
        nargs="*",
        metavar="LFN=PATH",
        help="logical name and path, or a path that is both; several may be joined by ;;; - reads them from"
        " standard input, one a line or joined",
    )
    made.add_argument("-z", "--zero", action="store_true", help="on standard input items end in NUL")


def _add_algorithm(made: ArgumentParser, text: str) -> None:
    made.add_argument("-a", "--algorithm", metavar="NAME", help=f"{KNOWN_IN_WORDS}; {text}")


def _add_general(made: ArgumentParser) -> None:
    add = made.add_argument
    _add_algorithm(
        made, "the default is sha256, with -c what each line says; several, with commas, in --json and --tag"
    )
    for short, word, text in (
        ("-b", "binary", "mark names with an asterisk"),
        ("-t", "text", "mark names with a blank (default)"),
    ):
        add(short, f"--{word}", action="store_const", const=word, dest="mode", help=text)
    add("-r", "--recursive", action="store_true", help="all regular files in folders and below")
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="write the lines to FILE, which appears whole at the end, instead of printing them",
    )
    add("--tag", action="store_true", help="print BSD-style lines: SHA256 (name) = value")
    add("-z", "--zero", action="store_true", help="lines end in NUL, not newline, and names are not escaped")
    add("--json", action="store_true", help="print a manifest of JSON lines, with size, time and inode")
    add(
        "--blocks",
        metavar="MIB",
        help="with --json: digests of blocks of so many MiB too, for files larger than one",
    )
    add("--special", action="store_true", help="read FIFOs and devices as well, to their end")
    add(
        "--from-disk",
        action="store_true",
        help="drop what memory holds of each file first, so that the disk is read",
    )
    _add_jobs(made)
    add("-h", "--help", action="store_true", help="print this text and exit")
    add("--version", action="store_true", help="print the version and exit")


def _add_jobs(made: ArgumentParser) -> None:
    made.add_argument(
        "-j", "--jobs", metavar="N", help="read so many files at a time; default: what this process may use"
    )


def _add_remote(made: ArgumentParser) -> None:
    add = made.add_argument_group("URLs").add_argument
    add("--site", metavar="LABEL", default="", help="site label of the URLs, which chooses their credentials")
    add(
        "--credentials",
        metavar="FILE",
        default="",
        help="a credentials file that is looked into first",
    )
    add(
        "--insecure-credentials",
        action="store_true",
        help="use files with secrets that others can read or change, with a warning",
    )
    add(
        "--fix-permissions",
        action="store_true",
        help="set the mode of files of yours with secrets to 0600 where others could read them",
    )
    add(
        "--accept-new-host-keys",
        action="store_true",
        help="believe SSH hosts that were never seen before, and record their keys",
    )


def _add_reporting(made: _ActionsContainer) -> None:
    # As in sha256sum these three exclude each other, and the last one given counts.
    for flags, word, text in (
        (("--quiet",), "quiet", "do not print OK for each file that matches"),
        (("--status",), "status", "print nothing; the exit status tells"),
        (("-w", "--warn"), "warn", "warn about each malformed line"),
    ):
        made.add_argument(*flags, action="store_const", const=word, dest="report", default="all", help=text)


def _add_allow_absolute(made: _ActionsContainer) -> None:
    made.add_argument(
        "--allow-absolute", action="store_true", help="follow names that lead out of the working directory"
    )


def _add_checking(made: ArgumentParser) -> None:
    group = made.add_argument_group("checking")
    add = group.add_argument
    add("-c", "--check", action="store_true", help="read checksums from the FILEs and check them")
    add("--ignore-missing", action="store_true", help="do not fail or report status for missing files")
    _add_reporting(group)
    add("--strict", action="store_true", help="malformed lines are a failure")
    _add_allow_absolute(group)
    add("--quarantine", metavar="DIR", help="move files that do not match to DIR")
    add(
        "--reference",
        metavar="DIR",
        help="a folder with good copies under the same names: what differs in files that do not match is told exactly",
    )
