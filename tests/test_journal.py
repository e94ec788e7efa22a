"""The journal tells a later run what services have of files that are not finished, whatever happened to its writer."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from wf.protocols.locations import parse_location
from wf.protocols.values import Part, Token
from wf.transfer.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG = logging.getLogger("wf.test")
PLACE = parse_location("s3://alice@store/bucket/key")
TOKEN = Token(PLACE, "upload-1", 100, 10)
FULL = 4096
"""Bytes that a file may have where `limited_files` is used: what is written behind them fails, as on a full disk."""


@pytest.fixture
def limited_files() -> Iterator[None]:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def killed_after_two_parts(path: Path) -> Journal:
    """A journal whose process is no more: not closed, and with nothing that locks it."""
    journal = Journal(str(path), LOG)
    journal.begun("copy", TOKEN)
    for number in range(2):
        journal.part(TOKEN, Part(number, 10, f'"etag-{number}"'))
    data = path.read_bytes()
    journal.ended(TOKEN)
    journal.close()
    path.write_bytes(data)
    return Journal(str(path), LOG)


def test_an_upload_and_its_parts_are_found_again(path: Path) -> None:
    found = killed_after_two_parts(path).find("copy", PLACE, 10)
    assert found is not None
    assert found.token == TOKEN._replace(found=True)
    assert found.marks == {'"etag-0"', '"etag-1"'}


@pytest.mark.parametrize(
    ("copy", "place", "part"),
    [("another", PLACE, 10), ("copy", PLACE._replace(url=PLACE.url + "2"), 10), ("copy", PLACE, 20)],
    ids=["another version", "another destination", "other parts"],
)
def test_another_copy_is_not_taken_for_it(path: Path, copy: str, place: object, part: int) -> None:
    assert killed_after_two_parts(path).find(copy, place, part) is None


def test_uploads_of_other_versions_are_known(path: Path) -> None:
    journal = killed_after_two_parts(path)
    assert [token.name for token in journal.others("another", PLACE)] == ["upload-1"]
    assert journal.others("copy", PLACE) == ()


@pytest.mark.parametrize(
    "damage",
    [
        b'{"part":7,"na',
        b"\x00\xff",
        b'{"part":1}\n[]\n{"begun":1}\n',
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000 + b"\n",
        b'{"begun":"a","url":"u","name":"n","size":Infinity,"part":1}\n',
        b'{"begun":"a","url":"u","name":"n","size":NaN,"part":1}\n',
        b'{"begun":"a","url":"u","name":"n","size":1e999,"part":' + b"9" * 5000 + b"}\n",
        b'{"begun":"a","url":"u","name":"n","size":0,"part":0}\n{"begun":"b","url":"u","name":"m","size":-7,"part":2}\n',
        b'{"ended":[]}\n{"ended":{}}\n"begun"\nnull\n7\n{"part":1,"name":[],"mark":1}\n',
    ],
    ids=lambda damage: f"{damage[:18]!r}...",
)
def test_damage_at_the_end_does_no_harm(path: Path, damage: bytes) -> None:
    killed_after_two_parts(path)
    with path.open("ab") as file:
        file.write(damage)
    journal = Journal(str(path), LOG)
    found = journal.find("copy", PLACE, 10)
    assert found is not None and len(found.marks) == 2
    journal.part(TOKEN, Part(2, 10, "third"))
    data = path.read_bytes()
    journal.ended(TOKEN)
    journal.close()
    path.write_bytes(data)
    found = Journal(str(path), LOG).find("copy", PLACE, 10)
    assert found is not None and "third" in found.marks


def test_an_upload_of_no_size_is_not_believed(path: Path) -> None:
    """Nothing could be asked for of an upload whose parts have no bytes, and it would stay in the journal for ever."""
    lines = [
        {"begun": "copy", "url": PLACE.url, "name": f"upload-{size}-{part}", "size": size, "part": part}
        for size, part in ((0, 10), (-5, 10), (100, 0), (100, -10))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    journal = Journal(str(path), LOG)
    assert journal.others("another", PLACE) == ()
    journal.close()
    assert not path.exists()


@pytest.mark.usefixtures("limited_files")
def test_a_full_disk_behind_a_torn_line_stops_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b'{"part":7,"na' + b" " * (FULL - 13))
    journal = Journal(str(path), LOG)
    assert journal.find("copy", PLACE, 10) is None
    assert "cannot be written: File too large" in caplog.text
    journal.begun("copy", TOKEN)
    assert journal.find("copy", PLACE, 10) is not None, "within the run it is known all the same"
    journal.close()


def test_it_goes_when_nothing_is_left(path: Path) -> None:
    journal = killed_after_two_parts(path)
    journal.ended(TOKEN)
    journal.close()
    assert path.exists(), "of an upload that nobody looked for nothing can have ended"
    journal = Journal(str(path), LOG)
    assert journal.find("copy", PLACE, 10)
    journal.ended(TOKEN)
    journal.close()
    assert not path.exists()


def test_without_anything_to_write_there_is_no_file(path: Path) -> None:
    Journal(str(path), LOG).close()
    assert not path.exists()


def test_two_runs_do_not_share_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Journal(str(path), LOG), Journal(str(path), LOG)
    first.begun("copy", TOKEN)
    assert second.find("copy", PLACE, 10) is None
    assert "another process uses it" in caplog.text
    second.begun("other", TOKEN._replace(name="upload-2"))
    second.close()
    assert "upload-2" not in path.read_text()
    first.close()


def test_a_folder_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(str(tmp_path / "no-folder/journal"), LOG)
    journal.begun("copy", TOKEN)
    assert "No such file" in caplog.text
    assert journal.find("copy", PLACE, 10) is not None, "within the run it is known all the same"
    journal.close()
