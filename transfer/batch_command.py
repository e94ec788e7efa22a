"""`wf-transfer` with a batch: read it, run it or explain it, and leave the reports that were asked for."""

from __future__ import annotations

import gc
import os
import sys
from functools import partial

from .batches import BatchError, load_batch
from .logs import complain
from .planning import plan
from .settings import Exit
from .surroundings import LateCredentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from argparse import Namespace
    from collections.abc import Mapping
    from typing import IO

    from .planning import Plan
    from .requests import Batch
    from .settings import Settings
    from .sinks import Sink
    from .surroundings import CredentialSource


def run_batch(
    options: Namespace,
    settings: Settings,
    environment: Mapping[str, str],
    stop: threading.Event,
) -> Exit:
    """Does what the batch says; everything for people goes to standard error."""
    try:
        batch = _batch(options, environment)
        made = plan(batch, settings)
    except BatchError as error:
        complain(str(error))
        return Exit.BAD_BATCH
    except ValueError as error:
        complain(str(error))
        return Exit.CONFIGURATION
    for warning in batch.warnings:
        complain(f"warning: {warning}")
    credentials = LateCredentials(partial(_credentials, options, environment))
    if options.dry_run:
        from .explanation import print_plan

        return print_plan(made, credentials, sys.stdout, as_json=options.json)
    if options.check_credentials:
        return _check_credentials(made, options, credentials, environment)
    sinks = sinks_for(options, environment)
    if _has_reports(options):
        from .report_places import collision

        meeting = collision(options, batch)
        if meeting:
            complain(meeting)
            return Exit.USAGE
    return execute(made, sinks, credentials, environment, stop)


def _has_reports(options: Namespace) -> bool:
    return bool(
        options.result or options.events or options.metrics_file or options.manifest or options.journal
    )


def _check_credentials(
    made: Plan, options: Namespace, credentials: CredentialSource, environment: Mapping[str, str]
) -> Exit:
    from .preflight import check_credentials
    from .preflight_report import as_json, as_text

    gc.enable()
    found = check_credentials(
        made,
        options.online,
        credentials=credentials,
        environment=environment,
        expected_end=options.expected_end,
        insecure=options.insecure_credentials,
    )
    sys.stdout.write(as_json(found) if options.json else as_text(found))
    sys.stdout.flush()
    return found.exit


def execute(
    made: Plan,
    sinks: list[Sink],
    credentials: CredentialSource,
    environment: Mapping[str, str],
    stop: threading.Event,
) -> Exit:
    """Runs a plan under the signals of a job: the first SIGTERM or SIGINT stops in order, the second at once."""
    from .execution import run
    from .signals import stopping_on_signals

    # What has been made so far stays: the batch, the plan and all that was imported.
    gc.freeze()
    gc.enable()
    with stopping_on_signals(stop):
        return run(made, sinks=sinks, credentials=credentials, environment=environment, stop=stop).exit


def sinks_for(options: Namespace, environment: Mapping[str, str]) -> list[Sink]:
    """The reports that options and environment ask for."""
    sinks: list[Sink] = []
    if options.manifest:
        from .manifest_sink import ManifestSink

        sinks.append(ManifestSink(options.manifest))
    if environment.get("KICKSTART_INTEGRITY_DATA"):
        from .pegasus_records import KickstartSink

        sinks.append(KickstartSink(environment["KICKSTART_INTEGRITY_DATA"]))
    if options.result:
        from .result import ResultSink
        from .version import VERSION

        sinks.append(ResultSink(options.result, tool_version=VERSION))
    if options.events:
        from .events import EventsSink

        sinks.append(EventsSink(options.events))
    if options.metrics_file:
        from .metrics import MetricsSink

        sinks.append(MetricsSink(options.metrics_file))
    if environment.get("PEGASUS_MULTIPART_DIR"):
        from .pegasus_records import IntegrityAttemptsSink, MonitoringSink, TransferAttemptsSink

        directory = environment["PEGASUS_MULTIPART_DIR"]
        sinks += [
            TransferAttemptsSink(directory),
            IntegrityAttemptsSink(directory),
            MonitoringSink(sys.stderr),
        ]
    return [*sinks, *people_sinks(environment)]


def people_sinks(environment: Mapping[str, str]) -> list[Sink]:
    """The progress line, where somebody can see it, and the summary."""
    from .summary import SummarySink

    terminal = sys.stderr.isatty() and environment.get("TERM") != "dumb"
    colour = terminal and not environment.get("NO_COLOR")
    sinks: list[Sink] = []
    if terminal:
        from .progress import ProgressSink

        sinks.append(ProgressSink(sys.stderr, colour=colour))
    return [*sinks, SummarySink(sys.stderr, colour=colour)]


def _batch(options: Namespace, environment: Mapping[str, str]) -> Batch:
    """The batch with the expectations of the `.meta` files. Raises BatchError."""
    name = "standard input" if options.file == "-" else options.file
    with _opened(options.file) as file:
        batch = load_batch(file, environment=environment, name=name)
    return _with_expectations(batch, options)


def _opened(name: str) -> IO[bytes]:
    """The document of that name; `-` is standard input, which may be closed behind it."""
    return open(0 if name == "-" else name, "rb", closefd=name != "-")


def _with_expectations(batch: Batch, options: Namespace) -> Batch:
    """The batch with what the `.meta` files of the working directory and of `--meta` expect.

    Raises ValueError for a file that was asked for and is none.
    """
    found = sorted(entry for entry in os.listdir(".") if entry.endswith(".meta"))
    if not found and not options.meta:
        return batch
    from ..checksum.meta import read_meta_files
    from .expectations import apply_expectations

    asked = read_meta_files(options.meta)
    if asked.faults:
        raise ValueError(asked.faults[0])
    expectations = read_meta_files([*options.meta, *found])
    for fault in expectations.faults:
        complain(f"warning: {fault}")
    return apply_expectations(batch, expectations)


def _credentials(options: Namespace, environment: Mapping[str, str]) -> CredentialSource:
    from .options import credentials_from

    return credentials_from(options, environment)
