"""`wf-checksum generate --meta`: what a job tells about its outputs."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from checksum_tools import run

if TYPE_CHECKING:
    from pathlib import Path

ABC = hashlib.sha256(b"abc").hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b c").write_bytes(b"xyz\n")
    return tmp_path


def document(folder: Path) -> list[dict[str, Any]]:
    found = json.loads((folder / "out.meta").read_bytes())
    assert isinstance(found, list)
    return found


def test_each_file_has_an_entry_as_planners_and_jobs_write_it(folder: Path) -> None:
    assert run(folder, "generate", "--meta", "out.meta", "f.a=a", "b c").code == 0
    first, second = document(folder)
    assert (first["_type"], first["_id"], second["_id"]) == ("file", "f.a", "b c")
    attributes = first["_attributes"]
    assert all(isinstance(value, str) for value in attributes.values())
    assert attributes["checksum.type"] == "sha256"
    assert attributes["checksum.value"] == ABC
    assert attributes["size"] == "3"
    assert set(attributes) == {"user", "size", "ctime", "checksum.type", "checksum.value", "checksum.timing"}
    assert attributes["ctime"].endswith("+00:00")


def test_items_are_joined_or_come_from_standard_input(folder: Path) -> None:
    assert run(folder, "generate", "--meta", "out.meta", "x=a;;;y=b c").code == 0
    assert [one["_id"] for one in document(folder)] == ["x", "y"]
    assert run(folder, "generate", "--meta", "out.meta", "-", text=b"p=a\nq=b c;;;a\n").code == 0
    assert [one["_id"] for one in document(folder)] == ["p", "q", "a"]


def test_any_name_survives(folder: Path) -> None:
    name = b"new\nline \xff;"
    with open(os.fsencode(folder) + b"/" + name, "wb") as file:
        file.write(b"abc")
    assert run(folder, "generate", "--meta", "out.meta", "-z", "-", text=name + b"\0").code == 0
    (entry,) = document(folder)
    assert os.fsencode(entry["_id"]) == name
    assert run(folder, "verify", "--meta", "out.meta", "-z", "-", text=name + b"\0").code == 0


def test_nothing_is_written_if_a_file_cannot_be_read(folder: Path) -> None:
    (folder / "out.meta").write_text("old")
    done = run(folder, "generate", "--meta", "out.meta", "a", "gone", ".")
    assert done.code == 1
    assert "gone: No such file" in done.err and ".: Is a directory" in done.err and "2 of 3 files" in done.err
    assert (folder / "out.meta").read_text() == "old"
    assert sorted(os.listdir(folder)) == ["a", "b c", "out.meta"]


@pytest.mark.parametrize("text", [b"", b"\n", b"a;;;;;;b c\n", b"=a\n", b"a=\n"])
def test_an_empty_list_or_item_is_a_failure(folder: Path, text: bytes) -> None:
    done = run(folder, "generate", "--meta", "out.meta", "-", text=text)
    assert done.code == 1
    assert done.err
    assert not (folder / "out.meta").exists()


def test_one_name_for_two_files_is_refused(folder: Path) -> None:
    done = run(folder, "generate", "--meta", "out.meta", "x=a", "x=b c")
    assert (done.code, done.err) == (1, "x is the name of two files, a and b c\n")
    assert not (folder / "out.meta").exists()


def test_an_output_that_cannot_be_written_is_a_failure(folder: Path) -> None:
    done = run(folder, "generate", "--meta", "absent/out.meta", "a")
    assert done.code == 1
    assert done.err.startswith("absent/out.meta: No such file")


@pytest.mark.parametrize(
    "arguments",
    [(), ("a",), ("--meta", "m"), ("--meta", "m", "-a", "md4", "a"), ("--meta", "m", "--bogus", "a")],
)
def test_wrong_usage_ends_with_2(folder: Path, arguments: tuple[str, ...]) -> None:
    assert run(folder, "generate", *arguments).code == 2


def test_another_algorithm_is_written_and_checked(folder: Path) -> None:
    assert run(folder, "generate", "--meta", "out.meta", "-a", "sha512", "a").code == 0
    assert document(folder)[0]["_attributes"]["checksum.type"] == "sha512"
    assert run(folder, "verify", "--meta", "out.meta", "a").code == 0


def test_command_words_count_only_as_the_first_argument(folder: Path) -> None:
    for word in ("generate", "verify", "diff", "update", "integrity"):
        (folder / word).write_bytes(b"abc")
        assert run(folder, f"./{word}").lines == [f"{ABC}  ./{word}"]
        assert run(folder, "--", word).lines == [f"{ABC}  {word}"]
        assert run(folder, "a", word).lines == [f"{ABC}  a", f"{ABC}  {word}"]
