"""Records for Pegasus, read back by a YAML and a JSON parser as its monitoring does."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from outcomes_made import attempt, done, ending, failed, location, made_directory, skipped, start, transfer
from wf.checksum.digest import Digest
from wf.checksum.integrity_records import yaml_text
from wf.protocols import errors
from wf.transfer.pegasus_records import (
    IntegrityAttemptsSink,
    KickstartSink,
    MonitoringSink,
    TransferAttemptsSink,
)

if TYPE_CHECKING:
    from pathlib import Path

    from wf.transfer.outcomes import Outcome
    from wf.transfer.sinks import Sink

DIGEST = Digest("sha256", bytes(range(32)))
OTHER = Digest("sha256", bytes(32))


def run(sink: Sink, *outcomes: Outcome) -> None:
    sink.begin(start())
    for outcome in outcomes:
        sink.take(outcome)
    sink.end(ending(*outcomes))


def only_record(folder: Path) -> Any:
    (name,) = os.listdir(folder)
    text = (folder / name).read_bytes()
    assert text.isascii()
    return yaml.safe_load(text)


def as_yaml_has_it(text: str) -> str:
    """YAML has no lone surrogates: a foreign byte is shown as people see it."""
    return re.sub("[\ud800-\udfff]", lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)


@given(st.text(st.characters()))
def test_any_text_is_one_yaml_text(text: str) -> None:
    quoted = yaml_text(text)
    assert quoted.isascii() and quoted.isprintable()
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        assert yaml.load(f"- x: {quoted}\n", Loader=loader) == [{"x": as_yaml_has_it(text)}]


def test_each_attempt_of_each_transfer_is_one_item(tmp_path: Path) -> None:
    request = transfer(lfn='f"a\n', destinations=(location("file:///data/f: #x", "site-b"),))
    broken = errors.Broken("cut")
    healed = done(request, attempts=(attempt(request, broken, bytes=3), attempt(request)))
    run(TransferAttemptsSink(str(tmp_path)), healed, made_directory(), skipped(broken))
    assert os.listdir(tmp_path) == ["1795333568-transfer"]
    item = {
        "src_url": "http://data.example/f",
        "src_label": "far",
        "dst_url": "file:///data/f: #x",
        "dst_label": "site-b",
        "success": False,
        "start": 1795333566,
        "duration": 0.5,
        "lfn": 'f"a\n',
        "bytes": 3,
    }
    assert only_record(tmp_path) == [{"transfer_attempts": [item, {**item, "success": True, "bytes": 6}]}]


def test_a_run_that_failed_leaves_its_record(tmp_path: Path) -> None:
    run(TransferAttemptsSink(str(tmp_path)), failed(errors.NotFound("404"), transfer(lfn="")))
    (item,) = only_record(tmp_path)[0]["transfer_attempts"]
    assert item["success"] is False
    assert "bytes" not in item and "lfn" not in item


def test_a_run_without_transfers_leaves_an_empty_record(tmp_path: Path) -> None:
    run(TransferAttemptsSink(str(tmp_path)))
    assert only_record(tmp_path) == [{"transfer_attempts": []}]


def test_secrets_do_not_reach_the_record(tmp_path: Path) -> None:
    request = transfer(sources=(location("https://u:pa55word@data.example/f?sig=c0ffee"),))
    run(TransferAttemptsSink(str(tmp_path)), done(request))
    (item,) = only_record(tmp_path)[0]["transfer_attempts"]
    assert item["src_url"] == "https://u:***@data.example/f?sig=***"


def test_two_runs_of_one_second_leave_two_records(tmp_path: Path) -> None:
    for _ in range(3):
        run(TransferAttemptsSink(str(tmp_path)))
    assert sorted(os.listdir(tmp_path)) == [
        "1795333568-transfer",
        "1795333568-transfer-2",
        "1795333568-transfer-3",
    ]


def test_what_is_unfinished_is_not_printed_with_the_records(tmp_path: Path) -> None:
    """The job's wrapper prints what the shell's `*` matches."""
    sink = TransferAttemptsSink(str(tmp_path))
    sink.begin(start())
    shown = subprocess.run(["sh", "-c", "echo *"], cwd=tmp_path, capture_output=True, check=True).stdout
    assert shown == b"*\n"
    sink.end(ending())


def test_a_missing_folder_is_reported_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match="the transfer record"):
        TransferAttemptsSink(str(tmp_path / "no")).begin(start())


def verified(good: bool = True, **changes: object) -> Outcome:
    request = transfer(lfn="f.a", linkage="output", verify_remote=True, expected=DIGEST, **changes)
    if good:
        return done(request, digest=DIGEST, checked=True, check_seconds=0.25)
    return failed(errors.Mismatch("differs"), request, digest=DIGEST, checked=True, check_seconds=0.25)


def test_verified_copies_are_recorded(tmp_path: Path) -> None:
    run(
        IntegrityAttemptsSink(str(tmp_path), summary=True),
        verified(),
        verified(good=False),
        done(checked=True, digest=OTHER),
    )
    assert os.listdir(tmp_path) == ["1795333568-integrity"]
    first, second = only_record(tmp_path)
    good, bad = first["integrity_verification_attempts"]
    assert good == {"lfn": "f.a", "pfn": "file:///data/f", "sha256": DIGEST.hex, "success": True}
    assert (bad["success"], bad["sha256"], bad["sha256_expected"]) == (False, "None", DIGEST.hex)
    assert second == {"integrity_summary": {"succeeded": 1, "failed": 1, "duration": 0.5}}


def test_the_counts_are_left_out_where_the_payloads_tell_them(tmp_path: Path) -> None:
    run(IntegrityAttemptsSink(str(tmp_path)), verified())
    assert len(only_record(tmp_path)) == 1


def test_no_verification_leaves_no_record(tmp_path: Path) -> None:
    run(IntegrityAttemptsSink(str(tmp_path)), done(checked=True))
    assert os.listdir(tmp_path) == []


def test_payloads_are_found_in_the_jobs_output() -> None:
    stream = io.StringIO()
    stream.write("some output\n")
    run(MonitoringSink(stream), verified(), verified(good=False), done(checked=True))
    found = re.findall(
        "@@@MONITORING_PAYLOAD - START@@@(.*?)@@@MONITORING_PAYLOAD - END@@@", stream.getvalue()
    )
    assert [json.loads(each) for each in found] == [
        {
            "ts": 1795333568,
            "monitoring_event": "int.metric",
            "payload": [
                {"event": "check", "file_type": "output", "succeeded": 1, "failed": 1, "duration": "0.500"}
            ],
        }
    ]


def recorded(path: Path) -> Any:
    """The records as they stand in kickstart's `files:` map."""
    return yaml.safe_load("files:\n" + path.read_text("ascii"))["files"]


def checksum_wanted(source: str, destination: str, lfn: str = "f.a") -> Outcome:
    request = transfer(
        lfn=lfn, sources=(location(source),), destinations=(location(destination),), generate_checksum=True
    )
    return done(request, digest=DIGEST, check_seconds=0.063)


def test_a_checksum_is_recorded_with_the_files_status(tmp_path: Path) -> None:
    odd = tmp_path / 'f "1"\n: #\\'
    odd.write_bytes(b"123456")
    odd.chmod(0o640)
    os.utime(odd, ns=(1_795_333_000_000_000_000, 1_795_333_566_007_005_999))
    run(KickstartSink(str(tmp_path / "data")), checksum_wanted("http://data.example/f", f"file://{odd}"))
    (entry,) = recorded(tmp_path / "data").values()
    status = odd.stat()
    assert entry["file_name"] == str(odd)
    assert (entry["mode"], entry["size"], entry["inode"]) == ("0o100640", 6, status.st_ino)
    assert (entry["nlink"], entry["uid"], entry["gid"]) == (1, status.st_uid, status.st_gid)
    assert entry["mtime"] == datetime(2026, 11, 22, 7, 46, 6, 7005, UTC)
    assert entry["sha256"] == DIGEST.hex
    assert (entry["output"], entry["checksum_timing"]) == (True, 0.063)
    assert isinstance(entry["user"], str) and isinstance(entry["group"], str)


def test_records_are_added_to_those_of_others(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "data").write_text('    "before":\n      output: True\n')
    sink = KickstartSink(str(tmp_path / "data"))
    run(
        sink,
        checksum_wanted("http://data.example/f", f"file://{tmp_path}/f"),
        checksum_wanted(f"file://{tmp_path}/f", "s3://bucket/key", lfn="sent: \udcff"),
        checksum_wanted("http://data.example/f", "s3://bucket/key", lfn="never here"),
        done(transfer(destinations=(location(f"file://{tmp_path}/f"),)), digest=DIGEST),
    )
    assert list(recorded(tmp_path / "data")) == ["before", "f.a", "sent: \\xff"]
    assert sink.records_checksums


def test_a_value_that_looks_like_a_number_stays_a_text(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    outcome = checksum_wanted("http://data.example/f", f"file://{tmp_path}/f")
    run(KickstartSink(str(tmp_path / "data")), outcome._replace(digest=Digest("sha256", b"\x12" * 32)))
    assert recorded(tmp_path / "data")["f.a"]["sha256"] == "12" * 32


def test_a_checksum_that_is_missing_fails_the_request(tmp_path: Path) -> None:
    outcome = checksum_wanted("http://data.example/f", f"file://{tmp_path}/f")
    sink = KickstartSink(str(tmp_path / "data"))
    with pytest.raises(errors.Unverified):
        sink.take(outcome._replace(digest=None))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("path", "kind"), [("/dev/full", errors.NoSpace), ("no/such/folder/data", errors.NotFound)]
)
def test_a_checksum_that_cannot_be_recorded_fails_the_request(
    tmp_path: Path, path: str, kind: type[errors.TransferError]
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    sink = KickstartSink(str(path))
    with pytest.raises(kind, match="recording a checksum") as caught:
        sink.take(checksum_wanted("http://data.example/f", f"file://{tmp_path}/f"))
    assert (caught.value.end, caught.value.step) == (errors.End.NEITHER, "record")


APPENDER = """
import sys
sys.path.insert(0, sys.argv[1])
import test_pegasus_records as t
for number in range(50):
    t.KickstartSink(sys.argv[2]).take(t.checksum_wanted("http://h/f", "file://" + sys.argv[3], f"{sys.argv[4]}.{number}"))
"""


def test_processes_that_record_together_spoil_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    here = os.path.dirname(__file__)
    arguments = [sys.executable, "-c", APPENDER, here, str(tmp_path / "data"), str(tmp_path / "f")]
    processes = [subprocess.Popen([*arguments, name]) for name in ("a", "b", "c")]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    entries = recorded(tmp_path / "data")
    assert len(entries) == 150
    assert {entry["sha256"] for entry in entries.values()} == {DIGEST.hex}
