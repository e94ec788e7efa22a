"""The command `wf-transfer`. Nobody imports this module; everything it needs is imported when it is needed."""

from __future__ import annotations

import errno
import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code. A word like `cp` is a command only as the first argument."""
    _open_closed_streams()
    code = _flushed(_command(list(sys.argv[1:] if arguments is None else arguments)))
    gc.enable()
    if arguments is None:
        _end_at_once(code)
    return code


def _end_at_once(code: int) -> None:
    """Ends the process without taking the interpreter apart, where nothing waits for that."""
    import atexit
    import threading

    watched = sys.gettrace() is not None or sys.getprofile() is not None
    waited_for = any(not thread.daemon for thread in threading.enumerate()[1:])
    if not (watched or waited_for or atexit._ncallbacks()):
        os._exit(code)


def _command(words: list[str]) -> int:
    try:
        if words and _is_command(words[0]):
            from .person_commands import run_command

            return run_command(words[0], words[1:], os.environ)
        return _batch(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            return _defect(error, debug="-d" in words or "--debug" in words)
        print(f"wf-transfer: standard output: {error.strerror}", file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for people
        return _defect(error, debug="-d" in words or "--debug" in words)


def _is_command(word: str) -> bool:
    if word.startswith("-"):
        return False
    from .command_words import COMMANDS

    return word in COMMANDS


def _open_closed_streams() -> None:
    """Opens the standard streams that whoever started us had closed; a file of ours would get their numbers.

    What is written to standard output is lost then, so that has to fail.
    """
    for name, mode, flag in (
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flag), mode))


def _flushed(code: int) -> int:
    """The exit code when everything was written; not 0 where standard output did not take it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            # Or the interpreter tries again at its end, and makes its own exit code of it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if stream is sys.stdout:
                print(f"wf-transfer: standard output: {error.strerror}", file=sys.stderr)
                code = code or 1
    return code


def _batch(words: list[str]) -> int:
    # What is made until the run begins stays: looking for garbage among it would find none.
    gc.disable()
    import threading

    from .batch_command import run_batch
    from .logs import complain
    from .options import batch_parser, log_everything, plain_options, settings_from

    options = plain_options(words) or batch_parser().parse_args(words)
    if options.version:
        from .version import VERSION

        print(f"wf-transfer {VERSION}")
        return 0
    if (options.online or options.expected_end is not None) and not options.check_credentials:
        batch_parser().error("--online and --expected-end belong to --check-credentials")
    if options.debug:
        log_everything()
    try:
        settings = settings_from(options, os.environ)
    except ValueError as error:
        batch_parser().error(str(error))
    if options.file == "-" and sys.stdin.isatty():
        complain("reading the batch from the terminal; end it with Ctrl-D (wf-transfer --help tells more)")
    try:
        return int(run_batch(options, settings, os.environ, threading.Event()))
    except FileNotFoundError as error:
        if error.filename != options.file:
            raise
        batch_parser().error(f"{options.file}: {error.strerror}")
    except (PermissionError, IsADirectoryError) as error:
        if error.filename != options.file:
            raise
        batch_parser().error(f"{options.file}: {error.strerror}")


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
