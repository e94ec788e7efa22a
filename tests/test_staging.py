"""The room that spool files may take, and who may read them."""

from __future__ import annotations

import os
import resource
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from runs import QUICK, execute, leftovers, transfer
from wf.protocols.errors import End, NoSpace, Reach, TransferError
from wf.protocols.memory import MemoryServer
from wf.transfer.staging import SpoolBudget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOUNDLESS = 1 << 62
LIMIT = 1 << 20
"""Bytes that a file may have while the space is `short`."""
LARGE = b"more than one buffer" * (LIMIT // 5)


def most_of_the_space(folder: Path) -> int:
    """More than half of what is free, but not so much that others could make it too much."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize * 3 // 5


@contextmanager
def short() -> Iterator[None]:
    """No file of this process can become larger than `LIMIT`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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


def test_a_file_waits_for_the_space_that_others_will_take(tmp_path: Path) -> None:
    budget, size = SpoolBudget(str(tmp_path), BOUNDLESS), most_of_the_space(tmp_path)
    first = budget.reserve(size)
    assert first is not None

    assert budget.reserve(size) is None
    assert budget.reserve(1 << 60) is None, "there is another file to wait for"
    budget.release(first)

    assert budget.reserve(size) is not None
    budget.close()


def test_what_others_have_written_is_not_waited_for_twice(tmp_path: Path) -> None:
    """The file has a hole for content, so that what is free stays so."""
    budget, size = SpoolBudget(str(tmp_path), BOUNDLESS), most_of_the_space(tmp_path)
    first = budget.reserve(size)
    assert first is not None and budget.reserve(size) is None

    with open(os.path.join(os.path.dirname(first.path), ".while-it-is-written"), "wb") as file:
        file.truncate(size)

    assert budget.reserve(size) is not None
    budget.close()


def test_a_finished_file_takes_no_more_space_and_hides_no_other(tmp_path: Path) -> None:
    budget, size = SpoolBudget(str(tmp_path), BOUNDLESS), most_of_the_space(tmp_path)
    first = budget.reserve(size)
    assert first is not None
    with open(first.path, "wb") as file:
        file.truncate(size)
    budget.grown(first, size)

    assert budget.reserve(size) is not None
    assert budget.reserve(size) is None, "what the first has written is not the second's"
    budget.close()


def test_a_spool_file_that_ran_out_of_space_is_tried_again(tmp_path: Path) -> None:
    server = MemoryServer()
    server.put("/a", LARGE)
    calls: list[object] = []

    with ExitStack() as space:
        space.enter_context(short())

        def relieve(call: object) -> None:
            calls.append(call)
            if len(calls) == 2:
                space.close()

        server.hook("open_read", relieve)
        done = execute(
            [transfer(0, server.location("/a", "src"), server.location("/out", "dst"))],
            server,
            settings=QUICK._replace(stage_through_file=True, spool_directory=str(tmp_path)),
        )

    assert done.exit == 0
    assert done[0].attempts[0].error.step == "spool"
    assert server.get("/out") == LARGE
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("size", [LIMIT + 1, len(LARGE)])
def test_a_spool_file_without_space_is_no_fault_of_the_destination(tmp_path: Path, size: int) -> None:
    server = MemoryServer()
    server.put("/a", LARGE[:size])

    with short():
        done = execute(
            [transfer(0, server.location("/a", "src"), server.location("/out", "dst"))],
            server,
            settings=QUICK._replace(stage_through_file=True, spool_directory=str(tmp_path)),
        )

    error = done[0].error
    assert (done.exit, error.code, error.end, error.step) == (1, "no-space", End.NEITHER, "spool")
    assert "TMPDIR" in error.remedy
    assert error.host == ""
    assert len(done[0].attempts) == QUICK.rounds
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
