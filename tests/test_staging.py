"""The room that spool files may take, and who may read them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from runs import leftovers
from wf.protocols.errors import End, NoSpace, Reach, TransferError
from wf.transfer.staging import SpoolBudget

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    budget = SpoolBudget(str(tmp_path), 100)
    budget.close()

    assert not list(tmp_path.iterdir())


def test_the_folder_is_nobody_elses_and_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    budget = SpoolBudget(str(tmp_path), 100)
    location = budget.reserve(10)
    assert location is not None
    folder = os.path.dirname(location.path)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    with open(location.path, "wb") as file:
        file.write(b"spooled")

    budget.close()
    budget.close()

    assert not leftovers(tmp_path)


def test_names_differ_and_room_is_given_back(tmp_path: Path) -> None:
    budget = SpoolBudget(str(tmp_path), 100)
    first, second = budget.reserve(60), budget.reserve(40)
    assert first is not None and second is not None and first.path != second.path
    assert budget.reserve(1) is None

    budget.release(first)
    budget.release(first)

    assert budget.reserve(60) is not None
    assert budget.reserve(1) is None
    budget.close()


def test_one_file_is_always_let_in(tmp_path: Path) -> None:
    budget = SpoolBudget(str(tmp_path), 10)

    assert budget.reserve(1000) is not None
    assert budget.reserve(1) is None
    assert budget.reserve(None) is None, "the room is more than used up"
    budget.close()


def test_what_a_file_really_took_is_counted(tmp_path: Path) -> None:
    budget = SpoolBudget(str(tmp_path), 100)
    location = budget.reserve(None)
    assert location is not None

    budget.grown(location, 100)

    assert budget.reserve(1) is None
    budget.close()


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    budget = SpoolBudget(str(tmp_path), 1 << 62)

    with pytest.raises(NoSpace) as caught:
        budget.reserve(1 << 60)

    assert (caught.value.end, caught.value.step) == (End.NEITHER, "spool")
    budget.close()
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("variable", ["set", "unset"])
def test_a_folder_that_cannot_be_made_is_an_error_of_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    import tempfile

    if variable == "set":
        budget = SpoolBudget(str(tmp_path / "none"), 100)
    else:  # the system offers no folder at all
        monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
        monkeypatch.setattr(tempfile, "tempdir", None)
        budget = SpoolBudget("", 100)

    with pytest.raises(TransferError) as caught:
        budget.reserve(1)

    assert (caught.value.reach, caught.value.step) == (Reach.REQUEST, "spool")


def test_odd_names_of_the_folder_above_are_taken_as_they_are(tmp_path: Path) -> None:
    above = tmp_path / "a $HOME %41 ;\n'"
    above.mkdir()
    budget = SpoolBudget(str(above), 100)

    location = budget.reserve(1)

    assert location is not None and location.path.startswith(str(above))
    budget.close()
