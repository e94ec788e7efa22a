"""The result document of `--result`, written while the run goes on. `result_schema` says what its fields mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .record_text import exact_text, json_error, json_url, quote, target_of, timestamp
from .report_file import ReportFile
from .requests import Transfer, kind_of
from .sinks import NullSink

if TYPE_CHECKING:
    from typing import Final

    from .outcomes import Attempt, Outcome
    from .sinks import Ending, LinkageChecks, Start

VERSION: Final = 1
"""Of the document. It stays while fields are only added."""


class ResultSink(NullSink):
    """Writes the document to `path` (`-`: standard output); a file appears whole at the end of the run.

    `begin` raises `TransferError` where nothing can be written; `end` where the document could not be completed.
    """

    def __init__(self, path: str, *, tool_version: str) -> None:
        self._path = path
        self._tool_version = tool_version
        self._separator = "\n"

    def begin(self, start: Start) -> None:
        self._file = ReportFile(self._path, "the result document")
        self._file.write(
            f'{{"version":{VERSION},"tool":{{"name":"wf-transfer","version":{quote(self._tool_version)}}},'
            f'"started":"{timestamp(start.started)}",\n"requests":['
        )

    def take(self, outcome: Outcome) -> None:
        self._file.write(self._separator + json_outcome(outcome))
        self._separator = ",\n"

    def end(self, ending: Ending) -> None:
        self._file.write(
            f'\n],\n"totals":{json_totals(ending)},"integrity":{json_integrity(ending.integrity)},'
            f'"exit":{int(ending.exit)},"finished":"{timestamp(ending.finished)}"}}\n'
        )
        self._file.publish()


def json_outcome(outcome: Outcome) -> str:
    """One element of `requests` as JSON text. Hot: once for each request of a batch that may have millions."""
    digests = ",".join([f'"{digest}"' for digest in outcome.digests])
    attempts = ",".join([_json_attempt(attempt) for attempt in outcome.attempts])
    left_behind = quote(exact_text(outcome.left_behind)) if outcome.left_behind else "null"
    return (
        f'{{{json_members(outcome)},"digests":[{digests}],'
        f'"evidence":"{outcome.evidence}","checked":{"true" if outcome.checked else "false"},"left_behind":{left_behind},"error":{json_error(outcome.error)},'
        f'"attempts":[{attempts}]}}'
    )


def json_members(outcome: Outcome) -> str:
    """What all records say of an outcome, from `index` to `digest`, without braces."""
    request = outcome.request
    lfn = request.lfn if isinstance(request, Transfer) else ""
    digest = f'"{outcome.digest}"' if outcome.digest else "null"
    return (
        f'"index":{request.number},"id":{quote(request.id)},"lfn":{quote(lfn)},"type":"{kind_of(request)}",'
        f'"status":"{outcome.status}","route":"{outcome.route}","source":{json_url(outcome.source)},'
        f'"destination":{json_url(outcome.destination or target_of(request))},"bytes":{outcome.bytes},'
        f'"seconds":{outcome.seconds:.6f},"digest":{digest}'
    )


def json_totals(ending: Ending) -> str:
    return "{" + ",".join(f'"{name}":{count}' for name, count in ending.totals._asdict().items()) + "}"


def json_integrity(integrity: tuple[LinkageChecks, ...]) -> str:
    """By linkage, what was compared, how much of it differed, and the seconds that it took."""
    members = (
        f'{quote(each.linkage)}:{{"checked":{each.checked},"failed":{each.failed},"seconds":{each.seconds:.6f}}}'
        for each in integrity
    )
    return "{" + ",".join(members) + "}"


def _json_attempt(attempt: Attempt) -> str:
    return (
        f'{{"source":{json_url(attempt.source)},"destination":{json_url(attempt.destination)},'
        f'"route":"{attempt.route}","began":"{timestamp(attempt.began)}","seconds":{attempt.seconds:.6f},'
        f'"bytes":{attempt.bytes},"error":{json_error(attempt.error)}}}'
    )
