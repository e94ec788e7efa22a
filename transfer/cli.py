"""The command `wf-transfer`. Nobody imports this module; everything it needs is imported when it is needed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .command_words import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code. A word like `cp` is a command only as the first argument."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words and words[0] in COMMANDS:
            from .person_commands import run_command

            return run_command(words[0], words[1:], os.environ)
        return _batch(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for people
        return _defect(error, debug="-d" in words or "--debug" in words)


def _batch(words: list[str]) -> int:
    import threading

    from .batch_command import complain, run_batch
    from .options import batch_parser, log_everything, settings_from
    from .version import VERSION

    parser = batch_parser()
    options = parser.parse_args(words)
    if options.version:
        print(f"wf-transfer {VERSION}")
        return 0
    if options.debug:
        log_everything()
    try:
        settings = settings_from(options, os.environ)
    except ValueError as error:
        parser.error(str(error))
    if options.file == "-" and sys.stdin.isatty():
        complain("reading the batch from the terminal; end it with Ctrl-D (wf-transfer --help tells more)")
    try:
        return int(run_batch(options, settings, os.environ, threading.Event()))
    except FileNotFoundError as error:
        if error.filename != options.file:
            raise
        parser.error(f"{options.file}: {error.strerror}")
    except (PermissionError, IsADirectoryError) as error:
        if error.filename != options.file:
            raise
        parser.error(f"{options.file}: {error.strerror}")


def _defect(error: Exception, *, debug: bool) -> int:
    from ..credentials.redaction import redact

    if debug:
        import traceback

        sys.stderr.write(redact("".join(traceback.format_exception(error))))
    text = redact(f"{type(error).__name__}: {error}")
    print(f"wf-transfer: a defect of this program: {text}", file=sys.stderr)
    print("wf-transfer: please report it, with the batch and what -d prints", file=sys.stderr)
    return 70


if __name__ == "__main__":
    sys.exit(main())
