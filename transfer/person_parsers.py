"""The parsers of the command words. Help, manual page and completions come from them."""

from __future__ import annotations

from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from ..checksum.digest import SIZES, canonical_algorithm, parse_hex
from .command_words import COMMANDS
from .options import (
    add_copy_options,
    add_credential_options,
    add_manifest_option,
    add_pace_options,
    add_removal_options,
    add_result_option,
    engine_defaults,
)
from .usage import Parser

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ActionsContainer
    from collections.abc import Callable, Sequence
    from typing import Final

    from ..checksum.digest import Digest

SHELLS: Final = ("bash", "zsh", "fish")
PAGES: Final = ("wf-transfer", "wf-checksum")
CHOICES: Final = {"completion": SHELLS, "man": PAGES}
"""What the one word of these commands can be."""

HOW: Final = "how to do it"
"""The title of the options that say how, in whichever command."""

_PLACE = "a URL, or a path of this machine, which is taken as it is"


_INTO: Final = """\
a destination that is an existing folder, or ends with a slash, receives each source under its own name:
  cp -r results s3://bucket/          makes  s3://bucket/results/...
  cp -r results/. s3://bucket/data/   makes  s3://bucket/data/... (`SOURCE/.`: only what is in it)
  cp -r results copy                  makes  copy/..., or copy/results/... where copy is a folder already
"""
_EPILOGS: Final = {"cp": _INTO}


def command_parser(word: str) -> ArgumentParser:
    """The parser of one command word; `words` of what it returns holds what is no option."""
    usage, add = _DEFINITIONS[word]
    sentence = COMMANDS[word]
    parser = Parser(
        prog=f"wf-transfer {word}",
        usage=f"%(prog)s {usage}",
        description=f"{sentence[0].upper()}{sentence[1:]}.",
        epilog=_EPILOGS.get(word),
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add(parser)
    return parser


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """What the arguments say. Everything behind the first `--` is a word, whatever it looks like.

    argparse itself takes options and words in any order only without `--`.
    """
    given = list(arguments)
    at = given.index("--") if "--" in given else len(given)
    found = parser.parse_intermixed_args(given[:at])
    found.words = [*found.words, *given[at + 1 :]]
    return found


def _words(parser: ArgumentParser, metavar: str, text: str) -> None:
    parser.add_argument("words", nargs="*", metavar=metavar, help=text)


def _add_cp(parser: ArgumentParser) -> None:
    _words(parser, "PLACE", f"sources and then the destination, each {_PLACE}")
    group = parser.add_argument_group("what to copy")
    group.add_argument("-r", "--recursive", action="store_true", help="copy folders and what is in them")
    group.add_argument(
        "-L",
        "--follow-links",
        action="store_true",
        help="with -r: copy what symbolic links in a folder lead to; without -L each of them is a failure",
    )
    group.add_argument(
        "--checksum",
        metavar="[ALG:]HEX",
        type=checksum,
        help="the digest that a single source must have, like sha256:9f86d0...; 64 digits alone are a sha256",
    )
    group.add_argument("--source-site", metavar="LABEL", default="", help="site label of the sources")
    group.add_argument(
        "--destination-site", metavar="LABEL", default="", help="site label of the destination"
    )
    _add_dry_run(group)
    how = _add_how(parser)
    add_copy_options(how)
    add_credential_options(how)
    add_manifest_option(_add_reports(parser))


def _add_mkdir(parser: ArgumentParser) -> None:
    _words(parser, "PLACE", _PLACE)
    _add_site(parser)
    _add_dry_run(parser)
    add_credential_options(_add_how(parser))
    _add_reports(parser)


def _add_rm(parser: ArgumentParser) -> None:
    _words(parser, "PLACE", _PLACE)
    parser.add_argument("-r", "--recursive", action="store_true", help="remove folders and what is in them")
    _add_site(parser)
    _add_dry_run(parser)
    how = _add_how(parser)
    add_removal_options(how)
    add_credential_options(how)
    _add_reports(parser)


def _add_dry_run(group: _ActionsContainer) -> None:
    group.add_argument(
        "--dry-run", action="store_true", help="print for each item how it would be done; do nothing"
    )


def _add_how(parser: ArgumentParser) -> _ActionsContainer:
    parser.set_defaults(**engine_defaults())
    group = parser.add_argument_group(HOW)
    add_pace_options(group)
    return group


def _add_reports(parser: ArgumentParser) -> _ActionsContainer:
    group = parser.add_argument_group("what to leave behind")
    add_result_option(group)
    return group


def _add_ls(parser: ArgumentParser) -> None:
    _words(parser, "PLACE", f"{_PLACE}; default: the working directory")
    parser.add_argument("-l", "--long", action="store_true", help="with size and time (UTC)")
    parser.add_argument("-R", "--recursive", action="store_true", help="with everything below")
    _add_asking(parser)


def _add_stat(parser: ArgumentParser) -> None:
    _words(parser, "PLACE", _PLACE)
    parser.add_argument(
        "--digest", metavar="ALG", type=_algorithm, help="have the service tell the digest of what it holds"
    )
    _add_asking(parser)


def _add_asking(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with exact names")
    _add_site(parser)
    parser.add_argument(
        "--stall-seconds", metavar="S", type=float, default=60.0, help="give up after S seconds of silence"
    )
    add_credential_options(parser)
    parser.add_argument("-d", "--debug", action="store_true", help="log what happens, and tracebacks")


def _add_site(parser: ArgumentParser) -> None:
    parser.add_argument("--site", metavar="LABEL", default="", help="site label of the places")


def _add_protocols(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(words=[])


def _add_doctor(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--credentials", metavar="FILE", default="", help="a credentials file that is looked at, too"
    )
    parser.set_defaults(words=[])


def _add_globus(parser: ArgumentParser) -> None:
    _words(
        parser,
        "WORD",
        "login, and collections (UUIDs) that jobs will use; or logout. A login is kept in "
        "~/.config/wf-transfer/globus.json (mode 0600)",
    )
    parser.add_argument(
        "--client-id",
        metavar="UUID",
        default="",
        help="the native application to log in with; default: $GLOBUS_CLIENT_ID",
    )
    parser.add_argument("-d", "--debug", action="store_true", help="log what happens, and tracebacks")


def _add_completion(parser: ArgumentParser) -> None:
    _words(parser, "SHELL", " or ".join(SHELLS))


def _add_man(parser: ArgumentParser) -> None:
    _words(parser, "COMMAND", f"{' or '.join(PAGES)}; default: {PAGES[0]}")


_DEFINITIONS: Final[dict[str, tuple[str, Callable[[ArgumentParser], None]]]] = {
    "cp": ("[OPTION]... SOURCE... DESTINATION", _add_cp),
    "mkdir": ("[OPTION]... PLACE...", _add_mkdir),
    "rm": ("[OPTION]... PLACE...", _add_rm),
    "ls": ("[OPTION]... [PLACE]...", _add_ls),
    "stat": ("[OPTION]... PLACE...", _add_stat),
    "protocols": ("[--json]", _add_protocols),
    "doctor": ("[--json]", _add_doctor),
    "globus": ("login [COLLECTION]... | logout", _add_globus),
    "completion": ("|".join(SHELLS), _add_completion),
    "man": (f"[{'|'.join(PAGES)}]", _add_man),
}


def checksum(text: str) -> Digest:
    """The digest that `ALG:HEX`, or the 64 digits of a sha256, spells."""
    algorithm, colon, value = text.partition(":")
    if not colon:
        if len(text) != 2 * SIZES["sha256"]:
            raise ArgumentTypeError("write algorithm and value, like sha256:9f86d0...")
        algorithm, value = "sha256", text
    try:
        return parse_hex(algorithm, value)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _algorithm(text: str) -> str:
    name = canonical_algorithm(text)
    if name is None:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(SIZES)}")
    return name
