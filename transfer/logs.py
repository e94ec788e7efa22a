"""What is told besides results: a command's complaints, and a run's log lines.

Those go through the standard library's logger `wf.transfer`, imported when the first line is written.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger

    from ..protocols.errors import TransferError
    from .work import Work


def complain(text: str) -> None:
    """One line of a command on standard error; control characters are escaped."""
    import sys

    from ..credentials.redaction import printable

    print(f"wf-transfer: {printable(text)}", file=sys.stderr)


class Log:
    """A logger that costs nothing until it is used. Successful requests write nothing."""

    __slots__ = ()

    def error(self, text: str, *values: object) -> None:
        self._logger().error(text, *values)

    def warning(self, text: str, *values: object) -> None:
        self._logger().warning(text, *values)

    def debug(self, text: str, *values: object) -> None:
        self._logger().debug(text, *values)

    def attempt_failed(self, work: Work, error: TransferError) -> None:
        """One line for an attempt that failed; whether the request did is for its outcome to tell."""
        logger = self._logger()
        if not logger.isEnabledFor(20):
            return
        source = work.source
        from_where = f"{source.shown} -> " if source is not None else ""
        logger.info(
            "attempt %d of request %d failed: %s%s: %s: %s",
            len(work.attempts),
            work.request.number,
            from_where,
            work.destination.shown,
            error.step,
            error.what,
        )

    def defect(self, where: str, error: BaseException) -> None:
        """An exception nobody expected; the traceback shows in debug mode only."""
        from ..credentials.redaction import redact

        logger = self._logger()
        text = redact(f"{type(error).__name__}: {error}")
        logger.error("%s: unexpected %s; please report it with what -d shows", where, text)
        if logger.isEnabledFor(10):
            import traceback

            logger.debug("%s", redact("".join(traceback.format_exception(error))))

    def _logger(self) -> Logger:
        import logging

        return logging.getLogger("wf.transfer")
