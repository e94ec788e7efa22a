"""The same work by wf-transfer and its peers, side by side, and what came out: `python benchmarks/run.py --help`.

Writes `benchmarks/RESULTS.md`, a plot beside it, and the rows as `results.json`: what is not measured in one run is what an
earlier one found. Everything that is moved lies in memory (/dev/shm where there is one)
and every server listens on 127.0.0.1. `--quick` does a little of everything, says so, and writes to standard output.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import loopback
import peers
import plot
import pytest
import report
import rows_dav
import rows_gcs
import rows_globus
import rows_lasting
import rows_local
import rows_osdf
import rows_s3
import rows_ssh
import rows_web
import rows_xrootd
from rows import FULL, QUICK, Bench, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from peers import Programs
    from rows import Scale

ROWS: dict[str, Callable[[Bench], Row]] = {
    "http-large": rows_web.http_large,
    "https-large": rows_web.https_large,
    "http-many": rows_web.http_many,
    "https-many": rows_web.https_many,
    "s3-many-get": rows_s3.s3_many_get,
    "s3-many-put": rows_s3.s3_many_put,
    "s3-large": rows_s3.s3_large,
    "copy-large": rows_local.copy_large,
    "copy-many": rows_local.copy_many,
    "far": rows_web.far_many,
    "start": rows_local.start,
    "many-tiny": rows_local.many_tiny,
    "dead-host": rows_lasting.dead_host,
    "two-stage": rows_lasting.two_stage,
    "killed": rows_lasting.killed,
    "reports": rows_local.reports,
    "sftp-large": rows_ssh.sftp_large,
    "sftp-many-get": rows_ssh.sftp_many_get,
    "sftp-many-put": rows_ssh.sftp_many_put,
    "webdav": rows_dav.webdav,
    "gcs-many": rows_gcs.gcs_many,
    "globus-many": rows_globus.globus_many,
    "xrootd-large": rows_xrootd.xrootd_large,
    "sftp-s3": rows_ssh.sftp_to_s3,
    "osdf-large": rows_osdf.osdf_large,
    "osdf-many": rows_osdf.osdf_many,
}


def measured(name: str, programs: Programs, scale: Scale) -> Row:
    """One row with a server and a folder of its own; one that failed says so, and the others go on."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix="wf-benchmark-") as base:
            data = Path(base) / "data"
            data.mkdir()
            with loopback.web(Path(base) / "server") as web:
                return ROWS[name](Bench(programs, scale, web, data))
    # A server that is not installed ends a test by the second.
    except (Exception, pytest.skip.Exception) as error:  # noqa: BLE001  whatever it was, it is shown, and other rows are measured
        traceback.print_exc()
        note = f"This row could not be measured: {type(error).__name__}: {str(error)[:300]}"
        return Row(name, name, "", [], [], [note.replace(base, "$DATA")], "")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, in less than two minutes")
    parser.add_argument("--only", metavar="ROWS", help=f"some of {', '.join(ROWS)}, with commas between")
    parser.add_argument(
        "--source", type=Path, default=HERE.parent, help="the tree that our wheel is built from"
    )
    parser.add_argument(
        "--cache", type=Path, default=HERE.parent / ".cache/benchmarks", help="where peers are"
    )
    parser.add_argument(
        "--output", type=Path, help="the Markdown; the plot lies beside it; not with --quick: standard output"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="where rows are kept as they are measured (JSON); default: results.json beside the Markdown",
    )
    parser.add_argument(
        "--label", metavar="TEXT", help="what the sources are, told with each row; default: what git says"
    )
    options = parser.parse_args()
    output = options.output or HERE / "RESULTS.md"
    keep = options.keep or (None if options.quick else output.with_name("results.json"))
    label = _sources(options.source) if options.label is None else options.label
    wanted = options.only.split(",") if options.only else list(ROWS)
    if not set(wanted) <= set(ROWS):
        parser.error(f"rows are {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and data do not stay behind
    alone = peers.reserved(options.cache)
    programs = peers.installed(options.cache, options.source)
    scale = QUICK if options.quick else FULL
    found: dict[str, Row] = report.kept(keep)
    began = time.monotonic()
    for name in wanted:
        row = measured(name, programs, scale)
        found[name] = row._replace(notes=[*row.notes, *([f"Sources: {label}."] if label else [])])
        report.keep(keep, found)
        print(report.row_text(found[name]), flush=True)
    rows = [found[name] for name in ROWS if name in found]
    print(f"{time.monotonic() - began:.0f} s in all", file=sys.stderr)
    alone.close()
    before = output.read_text(encoding="utf-8") if output.exists() else ""
    text = report.document(rows, peers.versions(programs), quick=options.quick, notes=report.notes_in(before))
    if options.quick and not options.output:
        print(report.summary(rows))
        print(report.QUICK)
        return 0
    output.write_text(text + report.others_in(before), encoding="utf-8")
    output.with_name("results.svg").write_text(plot.svg(rows), encoding="utf-8")
    return 0


def _sources(tree: Path) -> str:
    """The commit, and whether the tree differs from it; empty where there is no git."""
    command = ("git", "-C", str(tree), "describe", "--always", "--dirty= with changes")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
