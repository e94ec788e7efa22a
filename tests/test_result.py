"""The result document: what is in it, that it is exact, and that it is there whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from outcomes_made import (
    NAMES,
    attempt,
    done,
    ending,
    failed,
    location,
    made_directory,
    removed,
    skipped,
    start,
    transfer,
)
from wf.checksum.digest import Digest
from wf.protocols import errors
from wf.transfer import result_schema
from wf.transfer.outcomes import Outcome, Status
from wf.transfer.result import ResultSink, json_outcome
from wf.transfer.settings import Evidence

if TYPE_CHECKING:
    from pathlib import Path

SHA = Digest("sha256", bytes(range(32)))
MD5 = Digest("md5", bytes(16))


def document_of(path: Path, *outcomes: Outcome, stopped: bool = False) -> dict[str, Any]:
    sink = ResultSink(str(path), tool_version="1.2.3")
    sink.begin(start(len(outcomes)))
    for outcome in outcomes:
        sink.take(outcome)
    sink.end(ending(*outcomes, stopped=stopped))
    document: dict[str, Any] = json.loads(path.read_bytes())
    jsonschema.validate(document, result_schema.schema())
    return document


def all_kinds() -> list[Outcome]:
    """One outcome of every status, with everything that an outcome can hold."""
    broken = errors.Broken("cut after 3 of 6 bytes", end=errors.End.SOURCE, step="read")
    request = transfer(3, linkage="input", id="x")
    healed = (attempt(request, broken, bytes=3), attempt(request))
    return [
        done(request, digest=SHA, digests=(MD5,), evidence=Evidence.DIGEST, checked=True, attempts=healed),
        failed(errors.Mismatch("differs"), transfer(4, linkage="input"), checked=True, left_behind="/data/f"),
        skipped(errors.NotFound("nothing there")),
        Outcome(transfer(5), Status.STOPPED, error=errors.Stopped("SIGTERM")),
        made_directory(),
        removed(),
    ]


def test_the_document_of_an_empty_batch_is_complete(tmp_path: Path) -> None:
    document = document_of(tmp_path / "r.json")
    assert document["requests"] == []
    assert document["integrity"] == {}
    assert (document["version"], document["exit"]) == (1, 0)
    assert document["tool"] == {"name": "wf-transfer", "version": "1.2.3"}
    assert document["started"] == "2026-11-22T07:46:06.250000Z"
    assert document["finished"] == "2026-11-22T07:46:08.250000Z"


def test_every_status_is_told_with_all_that_is_known(tmp_path: Path) -> None:
    document = document_of(tmp_path / "r.json", *all_kinds())
    first, second, third, fourth, folder, removal = document["requests"]
    assert (first["index"], first["id"], first["lfn"], first["type"]) == (3, "x", "f.3", "transfer")
    assert (first["digest"], first["digests"], first["evidence"]) == (str(SHA), [str(MD5)], "digest")
    assert [each["bytes"] for each in first["attempts"]] == [3, 6]
    assert first["error"] is None and first["attempts"][0]["error"]["code"] == "broken"
    assert (second["status"], second["left_behind"]) == ("failed", "/data/f")
    assert second["error"] == {
        "code": "mismatch",
        "step": "read",
        "end": "source",
        "reach": "replica",
        "message": "differs",
        "remedy": errors.Mismatch.default_remedy,
    }
    assert (third["status"], third["source"], third["destination"], third["attempts"]) == (
        "skipped",
        None,
        None,
        [],
    )
    assert fourth["status"] == "stopped" and fourth["error"]["end"] == "neither"
    assert (folder["type"], folder["lfn"], folder["destination"]) == ("mkdir", "", "file:///data/new")
    assert (removal["type"], removal["source"], removal["destination"]) == ("remove", None, "s3://bucket/key")
    assert document["integrity"] == {"input": {"checked": 2, "failed": 1, "seconds": 0.0}}
    assert document["totals"] == {
        "requests": 6,
        "done": 3,
        "failed": 1,
        "skipped": 1,
        "stopped": 1,
        "attempts": 3,
        "bytes": 6,
    }
    assert document["exit"] == 75


@pytest.mark.parametrize("kind", result_schema.error_classes(), ids=lambda kind: kind.code)
def test_every_error_can_be_told(tmp_path: Path, kind: type[errors.TransferError]) -> None:
    document = document_of(tmp_path / "r.json", failed(kind("what happened")))
    assert document["requests"][0]["error"]["code"] == kind.code


def test_the_fields_are_exactly_those_of_the_schema(tmp_path: Path) -> None:
    document = document_of(tmp_path / "r.json", *all_kinds())
    names = {name: [field.name for field in fields] for name, fields in result_schema.OBJECTS.items()}
    assert sorted(document) == sorted(names["document"])
    assert list(document["tool"]) == names["tool"]
    assert list(document["totals"]) == names["totals"]
    assert list(document["integrity"]["input"]) == names["checks"]
    for request in document["requests"]:
        assert list(request) == names["request"]
    assert list(document["requests"][0]["attempts"][0]) == names["attempt"]
    assert list(document["requests"][1]["error"]) == names["error"]


def test_the_schema_is_valid_and_refuses_what_it_does_not_describe(tmp_path: Path) -> None:
    schema = result_schema.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    document = document_of(tmp_path / "r.json", *all_kinds())
    validator = jsonschema.Draft202012Validator(schema)
    for spoil in (
        lambda bad: bad.pop("exit"),
        lambda bad: bad["requests"][0].update(status="finished"),
        lambda bad: bad["requests"][0].update(bytes=-1),
        lambda bad: bad["requests"][1]["error"].update(code="oops"),
        lambda bad: bad["requests"][0].update(digest="sha256:XYZ"),
    ):
        bad = json.loads(json.dumps(document))
        spoil(bad)
        assert not validator.is_valid(bad)
    assert validator.is_valid({**document, "a_field_of_tomorrow": 1})


@given(lfn=NAMES, path=NAMES)
def test_names_come_back_exactly(lfn: str, path: str) -> None:
    """Also those with quotes, line ends, escapes, and bytes that are not UTF-8."""
    url = "file:///" + path
    request = transfer(lfn=lfn, destinations=(location(url),))
    text = json_outcome(done(request))
    assert text.isascii() and "\n" not in text
    told = json.loads(text)
    assert (told["lfn"], told["destination"]) == (lfn, url)


def test_a_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    name = os.fsdecode(b"/data/\xff\xfe")
    document = document_of(tmp_path / "r.json", done(transfer(destinations=(location(name),))))
    assert os.fsencode(document["requests"][0]["destination"]) == b"/data/\xff\xfe"


def test_secrets_in_urls_are_hidden_and_local_names_are_not(tmp_path: Path) -> None:
    source = "https://user:pa55word@data.example/f?X-Amz-Signature=c0ffee&part=1"
    request = transfer(
        sources=(location(source),), destinations=(location("file:///data/f?token=1&key=2@x"),)
    )
    said = f"GET {source}: 403 Forbidden; Authorization: Bearer abcdefgh12345"
    document_of(tmp_path / "r.json", failed(errors.Denied(said), request))
    text = (tmp_path / "r.json").read_text()
    assert "pa55word" not in text and "c0ffee" not in text and "abcdefgh12345" not in text
    told = json.loads(text)["requests"][0]
    assert told["destination"] == "file:///data/f?token=1&key=2@x"
    assert told["source"].startswith("https://user:***@data.example/f?") and told["source"].endswith(
        "&part=1"
    )
    assert "403 Forbidden" in told["error"]["message"]


def test_a_secret_is_hidden_beside_a_name_that_cannot_be_printed() -> None:
    source = "sftp://me:pa55word@host/a\nb\udcff"
    told = json.loads(json_outcome(done(transfer(sources=(location(source),)))))
    assert told["source"] == "sftp://me:***@host/a\nb\udcff"


def test_the_old_document_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("old")
    sink = ResultSink(str(path), tool_version="1")
    sink.begin(start())
    sink.take(done())
    assert path.read_text() == "old"
    sink.end(ending(done()))
    assert json.loads(path.read_text())["exit"] == 0
    assert os.listdir(tmp_path) == ["r.json"]


def test_the_document_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        document_of(tmp_path / "r.json")
    finally:
        os.umask(before)
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o640


def test_a_link_is_followed_to_the_document_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "r.json").symlink_to(tmp_path / "elsewhere" / "real.json")
    document_of(tmp_path / "r.json")
    assert (tmp_path / "r.json").is_symlink()
    assert json.loads((tmp_path / "elsewhere" / "real.json").read_text())["version"] == 1


def test_a_missing_folder_is_reported_before_the_run(tmp_path: Path) -> None:
    sink = ResultSink(str(tmp_path / "no" / "r.json"), tool_version="1")
    with pytest.raises(errors.NotFound, match="writing the result document") as caught:
        sink.begin(start())
    assert "folder exists" in caught.value.remedy


def test_a_folder_as_document_is_refused_and_stays(tmp_path: Path) -> None:
    sink = ResultSink(str(tmp_path), tool_version="1")
    with pytest.raises(errors.LocalRefused, match="Is a directory"):
        sink.begin(start())
    assert tmp_path.is_dir()


def test_a_full_disk_fails_the_end_and_no_transfer() -> None:
    sink = ResultSink("/dev/full", tool_version="1")
    sink.begin(start())
    for _ in range(500):  # more than one block
        sink.take(done())
    with pytest.raises(errors.NoSpace, match="/dev/full"):
        sink.end(ending(done()))


def test_a_document_that_could_not_be_written_leaves_no_partial(tmp_path: Path) -> None:
    """A folder that takes the document's name meanwhile stands for everything that can go wrong at the end."""
    sink = ResultSink(str(tmp_path / "r.json"), tool_version="1")
    sink.begin(start())
    (tmp_path / "r.json").mkdir()
    with pytest.raises(errors.LocalRefused):
        sink.end(ending())
    assert os.listdir(tmp_path) == ["r.json"]


WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from outcomes_made import done, ending, start
from wf.transfer.result import ResultSink
sink = ResultSink(sys.argv[2], tool_version="1")
sink.begin(start())
sink.take(done())
sink.end(ending(done()))
"""


@pytest.mark.parametrize("path", ["-", "/dev/stdout"])
def test_standard_output_carries_the_document_through_a_pipe(path: str) -> None:
    tests = os.path.dirname(__file__)
    run = subprocess.run([sys.executable, "-c", WRITER, tests, path], capture_output=True, check=True)
    assert json.loads(run.stdout)["totals"]["done"] == 1
    assert run.stderr == b""


def test_the_schema_file_is_up_to_date() -> None:
    """`python -m wf.transfer.result_schema > transfer/result.schema.json` renews it."""
    beside = os.path.join(os.path.dirname(result_schema.__file__), "result.schema.json")
    with open(beside, encoding="utf-8") as file:
        assert file.read() == result_schema.schema_text()


def test_the_sinks_load_nothing_heavy() -> None:
    """They are part of every start that asks for them."""
    names = ("result", "events", "metrics", "summary", "progress", "manifest_sink", "pegasus_records")
    heavy = (
        "{'argparse', 'asyncio', 'dataclasses', 'logging', 'rich', 'ssl', 'subprocess', 'tenacity', 'yaml'}"
    )
    code = (
        f"import sys, {', '.join('wf.transfer.' + name for name in names)}; print({heavy} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    assert run.stdout == b"set()\n"
