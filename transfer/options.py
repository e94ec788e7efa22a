"""The parser of `wf-transfer`'s batch mode and how its values are spelled. Man pages and completions come from it."""

from __future__ import annotations

import time

from .settings import Evidence, Existing, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ActionsContainer
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from ..credentials.chain import Chain
    from .plain_words import Sheet

_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_EPOCH: Final = 1_000_000_000
"""A plain number this large is a time, not a duration."""

EXIT_CODES: Final = """\
exit codes: 0 all done; 1 some requests failed; 2 usage; 3 a digest did not match; 65 bad batch; 70 a defect of this
program; 75 worth a later retry, or stopped; 77 missing or refused credential; 78 configuration
"""


def batch_parser() -> ArgumentParser:
    """The parser of everything that is not a command word."""
    from argparse import RawDescriptionHelpFormatter

    from .command_words import COMMANDS
    from .usage import BatchParser

    commands = "".join(f"  {word:<20}  {sentence}\n" for word, sentence in COMMANDS.items())
    parser = BatchParser(
        prog="wf-transfer",
        description="Move, verify and remove the data of a job, as a JSON batch says.",
        epilog=f"commands, as first word (`wf-transfer cp --help` and so on tell more):\n{commands}\n{EXIT_CODES}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    _add_batch_options(parser)
    return parser


def plain_options(words: Sequence[str]) -> Namespace | None:
    """What plain words mean, without argparse; None where its parser has to read them."""
    from .plain_words import Sheet

    sheet = Sheet()
    _add_batch_options(sheet)
    return sheet.read(words)  # type: ignore[return-value]


def _add_batch_options(parser: ArgumentParser | Sheet) -> None:
    parser.add_argument("--version", action="store_true", help="print the version and end")
    _add_work_options(parser)
    add_engine_options(parser)
    _add_report_options(parser)


def _add_work_options(parser: ArgumentParser | Sheet) -> None:
    group = parser.add_argument_group("what to do")
    group.add_argument(
        "-f", "--file", metavar="FILE", default="-", help="the batch; default and `-`: standard input"
    )
    instead = group.add_mutually_exclusive_group()
    instead.add_argument(
        "--dry-run", action="store_true", help="print for each request how it would be done; do nothing"
    )
    instead.add_argument(
        "--check-credentials",
        action="store_true",
        help="print for each endpoint which credential there is, until when and for what; do nothing",
    )
    group.add_argument(
        "--online", action="store_true", help="with --check-credentials: put one question to each server"
    )
    group.add_argument(
        "--expected-end",
        metavar="WHEN",
        type=moment,
        help="with --check-credentials: until when they are needed, spelled as --deadline, its default",
    )
    group.add_argument(
        "--json",
        action="store_true",
        help="with --dry-run: one JSON object a request; with --check-credentials: one document",
    )
    group.add_argument(
        "--meta", metavar="FILE", action="append", default=[], help="expected checksums of lfns"
    )


def add_engine_options(parser: ArgumentParser | Sheet) -> None:
    """Options of everything that the engine does."""
    group = parser.add_argument_group("how to do it")
    add_pace_options(group)
    add_copy_options(group)
    group.add_argument("--seed", metavar="TEXT", help="draws the priorities that the batch leaves open")
    add_removal_options(group)
    add_credential_options(group)


def engine_defaults() -> dict[str, object]:
    """What `settings_from` reads of a command that has not all of the options."""
    from .plain_words import Sheet

    sheet = Sheet()
    add_engine_options(sheet)
    return vars(sheet.read(()))


def add_pace_options(group: _ActionsContainer | Sheet) -> None:
    """Options of every command that makes attempts, whatever they are at."""
    group.add_argument(
        "-n", "--threads", metavar="N", type=_count, help="requests at once, at most; default and 0: adaptive"
    )
    group.add_argument(
        "--processes",
        metavar="N",
        type=_positive,
        default=1,
        help="share the work between N processes of this machine, for very many small files; default 1",
    )
    group.add_argument(
        "-m",
        "--max-attempts",
        metavar="N",
        type=_positive,
        default=3,
        help="rounds over all replicas; default 3",
    )
    group.add_argument("-d", "--debug", action="store_true", help="log every failed attempt, and tracebacks")
    group.add_argument(
        "--deadline", metavar="WHEN", type=moment, help="stop after a duration (90, 10m, 1h30m) or at a time"
    )
    group.add_argument(
        "--stall-seconds",
        metavar="S",
        type=_seconds,
        default=60.0,
        help="give an attempt up after S seconds without progress; default 60",
    )


def add_copy_options(group: _ActionsContainer | Sheet) -> None:
    """Options of what copies."""
    group.add_argument(
        "-s", "--symlink", action="store_true", help="link local files of one site instead of copying"
    )
    group.add_argument(
        "--existing",
        choices=[item.value for item in Existing],
        help="destinations that exist: overwrite them (default); update: keep those of the same digest, overwrite others; "
        "verify: keep those of the same digest, fail on others; fail on all",
    )
    group.add_argument("--stage", choices=["file"], help="between two services: through a spool file")
    group.add_argument(
        "--bwlimit",
        metavar="RATE",
        type=size,
        default=0,
        help="bytes per second of the whole run; k, M and G are understood (powers of 1024)",
    )
    group.add_argument(
        "--preserve",
        action="append",
        choices=["times", "modes"],
        default=[],
        help="give copies the time of the last change, or the permission bits, of their sources; may be given again",
    )
    group.add_argument(
        "--require-evidence",
        choices=[item.value for item in Evidence],
        default="none",
        help="fail copies that are known less well; weakest first; default none",
    )
    group.add_argument(
        "--trust-server-copy", action="store_true", help="let a service's own copy satisfy an expected digest"
    )
    group.add_argument("--verify-links", action="store_true", help="hash the file behind a link")
    group.add_argument("--keep-partials", action="store_true", help="leave partial files of failed requests")


def add_removal_options(group: _ActionsContainer | Sheet) -> None:
    """Options of what removes."""
    group.add_argument(
        "--allow-dangerous-remove", action="store_true", help="allow removing roots, homes and buckets"
    )


def add_credential_options(group: _ActionsContainer | Sheet) -> None:
    """Options of every command that presents something to somebody."""
    group.add_argument(
        "--credentials", metavar="FILE", default="", help="a credentials file that is looked into first"
    )
    group.add_argument(
        "--insecure-credentials",
        action="store_true",
        help="use files with secrets that others can read or change, with a warning",
    )
    group.add_argument(
        "--fix-permissions",
        action="store_true",
        help="set the mode of files of yours with secrets to 0600 where others could read them",
    )
    group.add_argument(
        "--accept-new-host-keys",
        action="store_true",
        help="believe SSH hosts that were never seen before, and record their keys",
    )


def credentials_from(options: Namespace, environment: Mapping[str, str]) -> Chain:
    """Where credentials are looked for, as the options say."""
    from ..credentials.chain import standard_chain
    from ..credentials.private import Policy

    policy = Policy(options.insecure_credentials, options.fix_permissions, _warn_once())
    return standard_chain(environment, file=options.credentials, policy=policy)


def _warn_once() -> Callable[[str], None]:
    """Writes each warning once to standard error."""
    told: set[str] = set()

    def warn(text: str) -> None:
        if text not in told:
            told.add(text)
            from .logs import complain

            complain(f"warning: {text}")

    return warn


def _add_report_options(parser: ArgumentParser | Sheet) -> None:
    group = parser.add_argument_group("what to leave behind")
    add_result_option(group)
    group.add_argument("--events", metavar="FILE", help="events as they happen, JSON Lines")
    group.add_argument(
        "--journal",
        metavar="FILE",
        help="what a later run can go on with beside partial files: uploads in parts; default FILE.journal of --result",
    )
    group.add_argument("--metrics-file", metavar="FILE", help="counters in the Prometheus text format")
    add_manifest_option(group)


def add_result_option(group: _ActionsContainer | Sheet) -> None:
    group.add_argument("--result", metavar="FILE", help="the result document (JSON); `-`: standard output")


def add_manifest_option(group: _ActionsContainer | Sheet) -> None:
    group.add_argument(
        "--manifest", metavar="FILE", help="SHA256 sums of local destinations, for sha256sum -c"
    )


def settings_from(options: Namespace, environment: Mapping[str, str]) -> Settings:
    """The settings that the options and the environment ask for. Raises ValueError with a sentence for people."""
    return Settings(
        workers=_workers(options.threads, environment),
        processes=options.processes,
        rounds=options.max_attempts,
        symlink=options.symlink,
        existing=Existing(options.existing) if options.existing else None,
        stage_through_file=options.stage == "file",
        trust_server_copy=options.trust_server_copy,
        verify_links=options.verify_links,
        preserve_times="times" in options.preserve,
        preserve_modes="modes" in options.preserve,
        require_evidence=Evidence(options.require_evidence),
        allow_dangerous_remove=options.allow_dangerous_remove,
        keep_partials=options.keep_partials,
        deadline=_deadline(options.deadline, environment),
        stall=options.stall_seconds,
        journal=_journal(options),
        bandwidth=options.bwlimit,
        accept_new_host_keys=options.accept_new_host_keys,
        seed=_seed(environment) if options.seed is None else options.seed,
    )


def log_everything() -> None:
    """What -d means: every log line goes to standard error."""
    import logging
    import sys

    logging.basicConfig(
        level=logging.DEBUG, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )


def moment(text: str) -> float:
    """Seconds since 1970 of a duration from now, a number of seconds since 1970, or an ISO 8601 time."""
    import re

    spelled = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    if spelled and any(spelled.groups()):
        days, hours, minutes, seconds = (float(part or 0) for part in spelled.groups())
        total = days * 86400 + hours * 3600 + minutes * 60 + seconds
        return total if total >= _EPOCH else time.time() + total
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise mistyped(f"{text!r} is neither a duration like 10m nor a time like 2030-01-31T12:00") from None


def size(text: str) -> int:
    """A number of bytes, with k, M, G or T for powers of 1024."""
    import re

    spelled = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", text.strip(), re.IGNORECASE)
    if not spelled:
        raise mistyped(f"{text!r} is not a number of bytes like 500k or 10M")
    return int(float(spelled[1]) * _UNITS[spelled[2].lower()])


def mistyped(text: str) -> Exception:
    """What a value that is spelled wrongly raises; argparse prints the text."""
    from argparse import ArgumentTypeError

    return ArgumentTypeError(text)


def _count(text: str) -> int:
    return _integer(text, 0)


def _positive(text: str) -> int:
    return _integer(text, 1)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise mistyped(f"{text!r} is not a number of seconds") from None
    if not 0 < number < float("inf"):
        raise mistyped(f"{text} is not a time above 0")
    return number


def _integer(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise mistyped(f"{text!r} is not a whole number") from None
    if number < least:
        raise mistyped(f"{number} is below {least}")
    return number


def _journal(options: Namespace) -> str:
    """Commands for people have neither a journal nor a result document."""
    asked = getattr(options, "journal", None)
    result = getattr(options, "result", None)
    if asked:
        return str(asked)
    return f"{result}.journal" if result and result != "-" else ""


def _workers(asked: int | None, environment: Mapping[str, str]) -> int:
    if asked:
        return asked
    spelled = environment.get("PEGASUS_TRANSFER_THREADS", "")
    if not spelled:
        return 0
    from argparse import ArgumentTypeError

    try:
        return _integer(spelled, 0)
    except ArgumentTypeError as error:
        raise ValueError(f"PEGASUS_TRANSFER_THREADS: {error}") from None


def _deadline(asked: float | None, environment: Mapping[str, str]) -> float | None:
    if asked is not None:
        return asked
    spelled = environment.get("SLURM_JOB_END_TIME", "")
    return float(spelled) if spelled.isascii() and spelled.isdecimal() else None


def _seed(environment: Mapping[str, str]) -> str:
    for name in ("PEGASUS_DAG_JOB_ID", "CONDOR_JOBID", "SLURM_JOB_ID"):
        if environment.get(name):
            return environment[name]
    import os

    return f"{os.uname().nodename}:{os.getpid()}"
