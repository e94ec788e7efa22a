"""SFTP servers that answer what makes no sense: a failure of the request, and never a wrong copy or a defect."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from servers.lying_sftp import LIES, lying_ssh
from sftp_tools import FarStore
from wf.protocols.conformance_tools import content, drained, make_context, within_guard, written
from wf.protocols.errors import TransferError
from wf.protocols.locations import parse_location
from wf.protocols.values import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wf.protocols.locations import Location
    from wf.protocols.sftp import SftpStore

DATA = content(700_001)
PART = 300_000


def read(there: SftpStore, place: Location) -> None:
    assert drained(there.open_read(place.below("file"))) == DATA


def write(there: SftpStore, place: Location) -> None:
    written(there, place.below("new/file"), DATA)
    with open(place.below("new/file").path, "rb") as file:
        assert file.read() == DATA


def write_parts(there: SftpStore, place: Location) -> None:
    token = there.open_parts(place.below("file"), Incoming(len(DATA), resume=True), PART)
    try:
        spans = [token.span(number) for number in range(token.total)]
        parts = tuple(
            there.put_part(token, number, first, memoryview(DATA)[first : first + length])
            for number, (first, length) in enumerate(spans)
        )
        there.commit_parts(token, parts, ())
    except BaseException:
        there.abort_parts(token)
        raise
    with open(place.below("file").path, "rb") as file:
        assert file.read() == DATA


def look_and_remove(there: SftpStore, place: Location) -> None:
    list(there.list(place, recursive=True))
    there.stat(place.below("file"))
    there.make_directory(place.below("made/folder"))
    there.remove(place.below("folder"), recursive=True)


@pytest.mark.parametrize("act", [read, write, write_parts, look_and_remove])
@pytest.mark.parametrize("lie", LIES)
def test_what_makes_no_sense_fails_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str, act: Callable[[SftpStore, Location], None]
) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{lying_ssh(tmp_path / 'bin')}:{os.environ['PATH']}")
    monkeypatch.setenv("WF_LIE", lie)
    place = tmp_path / "place"
    for name in ("folder/a", "folder/b", "kept"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"data")
    (place / "file").write_bytes(DATA)
    for at in (1, 3, 4, 6, 9):
        monkeypatch.setenv("WF_LIE_AT", str(at))
        there = FarStore(make_context(stall=2.0))
        try:
            within_guard(lambda: act(there, parse_location(f"sftp://host{place}")))  # noqa: B023
        except TransferError as error:
            assert error.what
        finally:
            there.close()
        assert (place / "kept").read_bytes() == b"data"
        assert (place / "file").read_bytes() == DATA
