"""What a Pegasus worker job expects to be left behind, for its monitoring and its integrity checks.

The forms are those that Pegasus 5 and 6 read: multipart records in `$PEGASUS_MULTIPART_DIR`, file records in
`$KICKSTART_INTEGRITY_DATA`, marked payloads in the job's output. Texts are ASCII only: PegasusLite prints the records
onto standard output, whose encoding nobody knows.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ..checksum.integrity_records import append_record, file_record, reserved, yaml_text
from ..checksum.meta import Described
from ..protocols.errors import End, Mismatch, NotFound, from_oserror
from .accounting import Accounts
from .manifest_sink import no_digest
from .outcomes import Status
from .record_text import display_url, exact_text, quote
from .report_file import ReportFile, partial_name
from .requests import Transfer
from .sinks import NullSink

if TYPE_CHECKING:
    from typing import TextIO

    from ..protocols.errors import TransferError
    from ..protocols.locations import Location
    from .outcomes import Attempt, Outcome
    from .sinks import Ending, LinkageChecks, Start


class MultipartFile:
    """One record `<directory>/<seconds since 1970>-<kind>`, there as a whole or not at all.

    The name is made unique where it is taken already: two runs may end in one second.
    """

    def __init__(self, directory: str, kind: str) -> None:
        """Raises `TransferError` where nothing can be written."""
        self._directory = directory
        self._kind = kind
        # PegasusLite prints what `*` matches when the job ends: a name with a leading dot is not among that.
        self._partial = partial_name(directory)
        self._file = ReportFile(self._partial, f"the {kind} record")

    def write(self, text: str) -> None:
        self._file.write(text)

    def discard(self) -> None:
        self._file.discard()

    def publish(self, now: float) -> None:
        self._file.publish()
        try:
            os.replace(self._partial, reserved(self._directory, f"{int(now)}-{self._kind}"))
        except OSError as error:
            os.unlink(self._partial)
            raise _explained(error, f"writing the {self._kind} record in {self._directory!r}") from error


class TransferAttemptsSink(NullSink):
    """The `transfer_attempts` record: one item for each attempt of each transfer, also when the run fails.

    `begin` and `end` raise `TransferError` where it cannot be written.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._empty = True

    def begin(self, start: Start) -> None:
        self._file = MultipartFile(self._directory, "transfer")

    def take(self, outcome: Outcome) -> None:
        request = outcome.request
        if isinstance(request, Transfer) and outcome.attempts:
            if self._empty:
                self._file.write("- transfer_attempts:\n")
                self._empty = False
            self._file.write("".join(_attempt_item(request, attempt) for attempt in outcome.attempts))

    def end(self, ending: Ending) -> None:
        if self._empty:
            self._file.write("- transfer_attempts: []\n")
        self._file.publish(ending.finished)


class IntegrityAttemptsSink(NullSink):
    """The `integrity_verification_attempts` record of transfers with `verify_checksum_remote`; none if there were none.

    With `summary` the counts are added. They and the payloads of `MonitoringSink` are counted alike by the workflow's
    monitoring, so that only one of both should be asked for.
    """

    def __init__(self, directory: str, *, summary: bool = False) -> None:
        self._directory = directory
        self._summary = summary
        self._accounts = Accounts()

    def begin(self, start: Start) -> None:
        self._file = MultipartFile(self._directory, "integrity")

    def take(self, outcome: Outcome) -> None:
        request = outcome.request
        if not _was_verified(outcome) or not isinstance(request, Transfer):
            return
        if not self._accounts.integrity():
            self._file.write("- integrity_verification_attempts:\n")
        self._accounts.add(outcome)
        self._file.write(_verification_item(request, outcome))

    def end(self, ending: Ending) -> None:
        integrity = self._accounts.integrity()
        if not integrity:
            self._file.discard()
            return
        if self._summary:
            self._file.write(_integrity_summary(integrity))
        self._file.publish(ending.finished)


class MonitoringSink(NullSink):
    """A marked line for each linkage of transfers with `verify_checksum_remote`, on `stream` at the end.

    The workflow's monitoring finds the lines anywhere in the job's output, and takes them out.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._accounts = Accounts()

    def take(self, outcome: Outcome) -> None:
        if _was_verified(outcome):
            self._accounts.add(outcome)

    def end(self, ending: Ending) -> None:
        with suppress(OSError, ValueError):  # nobody reads the output any more
            for checks in self._accounts.integrity():
                self._stream.write(monitoring_line(int(ending.finished), checks))
            self._stream.flush()


class KickstartSink(NullSink):
    """Appends the record of each file with `generate_checksum` to `path`, where kickstart takes it from.

    The file is the local destination, else the local source; where neither end is local there is nothing to record.
    """

    records_checksums = True

    def __init__(self, path: str) -> None:
        self._path = path

    def take(self, outcome: Outcome) -> None:
        """Raises `TransferError` if the digest is missing, or cannot be recorded; then nothing was appended."""
        request = outcome.request
        if not isinstance(request, Transfer) or not request.generate_checksum:
            return
        location = _local_end(outcome)
        if outcome.status is not Status.DONE or location is None:
            return
        if outcome.digest is None:
            raise no_digest(location)
        try:
            status = os.stat(location.path)
        except OSError as error:
            raise _explained(error, f"recording the checksum of {display_url(location)}") from error
        described = Described(request.lfn or location.path, outcome.digest, status, outcome.check_seconds)
        try:
            append_record(self._path, file_record(described, location.path, by="wf-transfer"))
        except OSError as error:
            raise _explained(error, f"recording a checksum in {self._path!r}") from error


def monitoring_line(now: int, checks: LinkageChecks) -> str:
    """`duration` is a text on purpose: monitoring joins it with others of its kind, and would fail on a number."""
    payload = (
        f'{{"event":"check","file_type":{quote(checks.linkage)},"succeeded":{checks.checked - checks.failed},'
        f'"failed":{checks.failed},"duration":"{checks.seconds:.3f}"}}'
    )
    document = f'{{"ts":{now},"monitoring_event":"int.metric","payload":[{payload}]}}'
    return f"@@@MONITORING_PAYLOAD - START@@@{document}@@@MONITORING_PAYLOAD - END@@@\n"


def _attempt_item(request: Transfer, attempt: Attempt) -> str:
    source, destination = attempt.source, attempt.destination
    lfn = f"    lfn: {yaml_text(request.lfn)}\n" if request.lfn else ""
    size = f"    bytes: {attempt.bytes}\n" if attempt.bytes > 0 else ""
    return (
        f"  - src_url: {_yaml_url(source)}\n"
        f"    src_label: {yaml_text(source.site if source else '')}\n"
        f"    dst_url: {_yaml_url(destination)}\n"
        f"    dst_label: {yaml_text(destination.site if destination else '')}\n"
        f"    success: {attempt.error is None}\n"
        f"    start: {int(attempt.began)}\n"
        f"    duration: {attempt.seconds:.3f}\n"
        f"{lfn}{size}"
    )


def _yaml_url(location: Location | None) -> str:
    if location is None:
        return '""'
    return yaml_text(location.url if location.is_local else exact_text(location.url))


def _was_verified(outcome: Outcome) -> bool:
    request = outcome.request
    return outcome.checked and isinstance(request, Transfer) and request.verify_remote


def _verification_item(request: Transfer, outcome: Outcome) -> str:
    destination = outcome.destination or request.destinations[0]
    good = not isinstance(outcome.error, Mismatch)
    expected = request.expected if request.expected and request.expected.algorithm == "sha256" else None
    found = outcome.digest or (expected if good else None)
    if not good and found == expected:
        found = None  # what we sent was right; what the destination holds instead was never told
    text = (
        f"  - lfn: {yaml_text(request.lfn or destination.path)}\n"
        f"    pfn: {_yaml_url(destination)}\n"
        f"    sha256: {yaml_text(found.hex) if found else 'None'}\n"
        f"    success: {good}\n"
    )
    return text if good or expected is None else f"{text}    sha256_expected: {yaml_text(expected.hex)}\n"


def _integrity_summary(integrity: tuple[LinkageChecks, ...]) -> str:
    failed = sum(each.failed for each in integrity)
    succeeded = sum(each.checked for each in integrity) - failed
    seconds = sum(each.seconds for each in integrity)
    return f"- integrity_summary:\n    succeeded: {succeeded}\n    failed: {failed}\n    duration: {seconds:.3f}\n"


def _local_end(outcome: Outcome) -> Location | None:
    for location in (outcome.destination, outcome.source):
        if location is not None and location.is_local:
            return location
    return None


def _explained(error: OSError, what: str) -> TransferError:
    found = from_oserror(error, what)
    if isinstance(found, NotFound):
        found.remedy = "check that the folder was created and not cleaned up"
    return found.at(End.NEITHER, "record")
