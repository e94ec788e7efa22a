"""`wf-checksum verify --meta`: a job's inputs against what was told of them. Nothing passes that was not looked at."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from checksum_tools import run

if TYPE_CHECKING:
    from pathlib import Path

ABC = hashlib.sha256(b"abc").hexdigest()
XYZ = hashlib.sha256(b"xyz").hexdigest()


def entry(lfn: str, value: str | None = ABC, **more: Any) -> dict[str, Any]:
    attributes = {} if value is None else {"checksum.type": "sha256", "checksum.value": value}
    return {"_type": "file", "_id": lfn, "_attributes": attributes | more}


def write(folder: Path, name: str, *entries: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(entries))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"xyz")
    return tmp_path


def test_files_are_found_under_their_logical_names(folder: Path) -> None:
    write(folder, "one.meta", entry("x", size="3"))
    write(folder, "two.meta", entry("b", XYZ))
    done = run(folder, "verify", "--meta", "*.meta", "x=a", "b")
    assert (done.code, done.lines, done.err) == (0, ["x: OK", "b: OK"], "")
    assert run(folder, "verify", "--meta", "one.meta", "--meta", "two.meta", "x=a;;;b").code == 0
    assert run(folder, "verify", "--meta", "*.meta", "-", text=b"x=a\nb\n").lines == ["x: OK", "b: OK"]


@pytest.mark.parametrize(
    ("told", "explanation"),
    [
        (entry("a", XYZ), f"a: a: expected sha256:{XYZ}, found sha256:{ABC} (m.meta)\n"),
        (entry("a", size="4"), "a: a: expected 4 bytes, found 3 (m.meta)\n"),
        (entry("a", None, size="3"), "a: its entry in m.meta has no checksum\n"),
        (entry("other"), "a: no .meta file has an entry for it\n"),
        (entry("a", "xyz"), "a: m.meta: [0]: the sha256 value is not hexadecimal\n"),
        (entry("a", size="many"), "a: m.meta: [0]: size is not a number of bytes\n"),
        (entry("a") | {"_attributes": {"checksum.type": "md4", "checksum.value": "00"}}, "a: m.meta: [0]: checksum.type 'md4' is not a known algorithm\n"),
    ],
)  # fmt: skip
def test_what_is_not_as_told_fails_and_says_why(folder: Path, told: dict[str, Any], explanation: str) -> None:
    write(folder, "m.meta", told)
    done = run(folder, "verify", "--meta", "m.meta", "a")
    assert (done.code, done.lines, done.err) == (1, ["a: FAILED"], explanation)


def test_the_others_are_checked_after_a_failure(folder: Path) -> None:
    write(folder, "m.meta", entry("a"), entry("gone"), entry("folder"))
    (folder / "folder").mkdir()
    done = run(folder, "verify", "--meta", "m.meta", "gone", "folder", "a")
    assert done.code == 1
    assert done.lines == ["gone: FAILED open or read", "folder: FAILED open or read", "a: OK"]


def test_two_files_that_contradict_each_other_fail_the_file(folder: Path) -> None:
    write(folder, "1.meta", entry("a"))
    write(folder, "2.meta", entry("a", XYZ))
    for order in (("1.meta", "2.meta"), ("2.meta", "1.meta")):
        done = run(folder, "verify", "--meta", order[0], "--meta", order[1], "a")
        assert done.code == 1
        assert f"{order[0]} and {order[1]} expect different content of a" in done.err


def test_several_files_may_tell_parts(folder: Path) -> None:
    write(folder, "1.meta", entry("a", None, size=4))
    write(folder, "2.meta", entry("a"))
    done = run(folder, "verify", "--meta", "*.meta", "a")
    assert (done.code, "expected 4 bytes, found 3" in done.err) == (1, True)
    write(folder, "1.meta", entry("a", None, size=3))
    assert run(folder, "verify", "--meta", "*.meta", "a").code == 0


@pytest.mark.parametrize(
    "text", ["[", "{}", "[1]", '[{"_id": ""}]', '[{"_id": "a", "_attributes": []}]', "\xff"]
)
def test_a_meta_file_that_is_none_is_named_and_proves_nothing(folder: Path, text: str) -> None:
    (folder / "m.meta").write_text(text, encoding="latin-1")
    done = run(folder, "verify", "--meta", "m.meta", "a")
    assert (done.code, done.lines) == (1, ["a: FAILED"])
    assert done.err.startswith("m.meta: ")


@pytest.mark.parametrize(
    "arguments", [("--meta", "absent.meta", "a"), ("--meta", "*.none", "a"), ("--meta", "m.meta", "-")]
)
def test_without_anything_to_look_at_it_fails(folder: Path, arguments: tuple[str, ...]) -> None:
    write(folder, "m.meta", entry("a"))
    done = run(folder, "verify", *arguments)
    assert (done.code, done.out) == (1, b"")
    assert done.err


def test_quiet_and_status(folder: Path) -> None:
    write(folder, "m.meta", entry("a"), entry("b"))
    assert run(folder, "verify", "--meta", "m.meta", "--quiet", "a", "b").lines == ["b: FAILED"]
    status = run(folder, "verify", "--meta", "m.meta", "--status", "a", "b")
    assert (status.code, status.out, status.err) == (1, b"", "")


def test_a_meta_file_is_a_manifest_too(folder: Path) -> None:
    write(folder, "m.meta", entry("a", size="3"), entry("b"))
    done = run(folder, "-c", "m.meta")
    assert (done.code, done.lines) == (1, ["a: OK", "b: FAILED"])


def test_what_cannot_be_understood_in_a_meta_file_is_a_failure_when_all_of_it_is_checked(
    folder: Path,
) -> None:
    write(folder, "m.meta", entry("a", size="3"), entry("b", size="many"))
    for report in ((), ("--quiet",), ("--warn",)):
        done = run(folder, "-c", *report, "m.meta")
        assert done.code == 1
        assert "[1]: size is not a number of bytes" in done.err
    assert run(folder, "-c", "--status", "m.meta").err == ""


def test_a_logical_name_that_no_file_can_have_spoils_the_meta_file(folder: Path) -> None:
    (folder / "m.meta").write_text('[{"_id": "a\\ud800", "_attributes": {}}]')
    for arguments in (("-c", "m.meta"), ("diff", "m.meta", "m.meta")):
        done = run(folder, *arguments)
        assert done.code == 65
        assert '"_id" is not a logical name' in done.err
