"""How people read of one item that is not done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..credentials.redaction import printable, redact
from .outcomes import Status
from .record_text import display_name, display_url, message
from .requests import Transfer, name_of

if TYPE_CHECKING:
    from typing import Final

    from ..protocols.errors import TransferError
    from .outcomes import Outcome

_INDENT: Final = " " * 9


def describe(outcome: Outcome, title: str) -> str:
    """One item that is not done, after `title`: name and reason, then its ends, the remedy and what was left behind."""
    request, error = outcome.request, outcome.error
    lines = [f"{title} {display_name(name_of(request))}{_reason(outcome.status, error)}"]
    lines.append(f"{_INDENT}{_ends(outcome)}")
    if error is not None and error.remedy:
        lines.append(f"{_INDENT}what to do: {printable(redact(error.remedy))}")
    if outcome.left_behind:
        lines.append(f"{_INDENT}left behind, wrong or unfinished: {display_name(outcome.left_behind)}")
    return "\n".join(lines)


def _reason(status: Status, error: TransferError | None) -> str:
    if error is None:
        return ": not finished when the run was stopped" if status is Status.STOPPED else ""
    where = error.step
    if error.end and error.end != "neither" and error.end not in where:
        where = f"{where} ({error.end})".lstrip()
    return f": {where + ': ' if where else ''}{printable(message(error))} [{error.code}]"


def _ends(outcome: Outcome) -> str:
    """Source and destination of the last attempt; of the first that would have been made if there was none."""
    request = outcome.request
    if not isinstance(request, Transfer):
        return display_url(outcome.destination or request.target)
    source = outcome.source or request.sources[0]
    destination = outcome.destination or request.destinations[0]
    return f"{display_url(source)} -> {display_url(destination)}"
