"""Trees of names that somebody else chose: what `cp -r` makes of a listing, and how refusals count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wf.credentials.chain import standard_chain
from wf.protocols import errors
from wf.protocols.locations import parse_location
from wf.protocols.memory import MemoryServer
from wf.protocols.registry import BUILT_IN, Registry
from wf.transfer.asking import Stores
from wf.transfer.copy_requests import Copies, copies
from wf.transfer.outcomes import Outcome, Status
from wf.transfer.places import below, last_name, names_a_folder, place, why_unsafe
from wf.transfer.refused_items import WithRefused, exit_with
from wf.transfer.requests import MakeDirectory, Transfer
from wf.transfer.settings import Exit
from wf.transfer.sinks import Ending, NullSink, Progress, Start, Totals

if TYPE_CHECKING:
    from pathlib import Path

EVIL = (
    "../escaped",
    "../../etc/escaped",
    "sub/../../escaped",
    "/absolute",
    "nul\0name",
    "a//b",
    "./here",
    "x/.",
)


@pytest.fixture
def server() -> MemoryServer:
    made = MemoryServer()
    for name in ("one", "sub/two", "sub/deep/three"):
        made.put(f"/tree/{name}", name.encode())
    return made


def planned(server: MemoryServer, source: str, destination: str, **capability: object) -> Copies:
    """The copies of `cp -r source destination`, where memory: can what `capability` says."""
    registry = Registry((*BUILT_IN, server.capability(**capability)), entry_points=False)
    ends = (parse_location(source), parse_location(destination))
    with Stores(standard_chain({}), {}, stall=5, registry=registry) as stores:
        return copies(stores, ends[:1], ends[1], recursive=True)


def pairs(found: Copies) -> dict[str, str]:
    transfers = (request for request in found.batch.requests if isinstance(request, Transfer))
    return {each.sources[0].path: each.destinations[0].path for each in transfers}


def made_folders(found: Copies) -> set[str]:
    return {request.target.path for request in found.batch.requests if isinstance(request, MakeDirectory)}


def test_a_remote_tree_goes_below_the_destination(server: MemoryServer, tmp_path: Path) -> None:
    found = planned(server, "memory://server/tree", f"{tmp_path}/new")
    assert pairs(found) == {
        "/tree/one": f"{tmp_path}/new/one",
        "/tree/sub/two": f"{tmp_path}/new/sub/two",
        "/tree/sub/deep/three": f"{tmp_path}/new/sub/deep/three",
    }
    assert made_folders(found) == set()
    assert found.refused == ()


@pytest.mark.parametrize("name", EVIL)
def test_a_name_that_leads_elsewhere_is_refused_alone(
    server: MemoryServer, tmp_path: Path, name: str
) -> None:
    server.objects[f"/tree/{name}"] = server.objects["/tree/one"]
    found = planned(server, "memory://server/tree", f"{tmp_path}/new")
    assert len(pairs(found)) == 3
    (refused,) = found.refused
    assert refused.status is Status.FAILED
    assert isinstance(refused.error, errors.LocalRefused)
    assert "is not copied: its name" in refused.error.what
    assert refused.error.end is errors.End.SOURCE


@pytest.mark.parametrize("name", ["..", "sub/.."])
def test_a_folder_whose_name_leads_elsewhere_is_refused(
    server: MemoryServer, tmp_path: Path, name: str
) -> None:
    server.folders.add(f"/tree/{name}")
    found = planned(server, "memory://server/tree", f"{tmp_path}/new")
    assert [type(each.error) for each in found.refused] == [errors.LocalRefused]
    assert len(pairs(found)) == 3


def test_where_there_are_no_folders_empty_parts_of_a_key_are_kept(server: MemoryServer) -> None:
    server.put("/tree/a//b", b"")
    found = planned(server, "memory://server/tree", "memory://server/new", folders=False)
    assert pairs(found)["/tree/a//b"] == "/new/a//b"


def test_empty_folders_are_made(server: MemoryServer, tmp_path: Path) -> None:
    server.add_folder("/tree/sub/empty/inner")
    found = planned(server, "memory://server/tree", f"{tmp_path}/new")
    assert made_folders(found) == {f"{tmp_path}/new/sub/empty/inner"}


def test_all_folders_are_made_where_writing_makes_none(server: MemoryServer, tmp_path: Path) -> None:
    for name in ("a", "sub/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = planned(server, str(tmp_path), "memory://server/new", write_create_parents=False)
    # One that is made brings those above it.
    assert made_folders(found) == {"/new/sub"}
    found = planned(server, f"{tmp_path}/sub", "memory://server/new", write_create_parents=False)
    assert made_folders(found) == {"/new"}


def test_a_listing_that_fails_is_that_sources_failure(server: MemoryServer, tmp_path: Path) -> None:
    server.fail("list", "/tree", times=1)
    found = planned(server, "memory://server/tree", f"{tmp_path}/new")
    assert found.batch.requests == ()
    assert len(found.refused) == 1


def test_a_destination_that_cannot_be_used_is_told_before_anything_is_listed(server: MemoryServer) -> None:
    found = planned(server, "memory://server/tree", "hpss://server/new")
    (refused,) = found.refused
    assert isinstance(refused.error, errors.Unsupported)
    assert refused.error.end is errors.End.DESTINATION
    assert found.batch.requests == ()


def test_an_existing_remote_folder_takes_the_names(server: MemoryServer, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    server.add_folder("/there")
    assert list(pairs(planned(server, f"{tmp_path}/a", "memory://server/there")).values()) == ["/there/a"]
    assert list(pairs(planned(server, f"{tmp_path}/a", "memory://server/other")).values()) == ["/other"]


# --- names


@given(st.text("ab./\0", max_size=8))
def test_a_safe_name_stays_below(name: str) -> None:
    if not name or why_unsafe(name, folders=True):
        return
    joined = below(parse_location("/data/new"), name).path
    assert joined == f"/data/new/{name}"
    assert ".." not in joined.split("/") and "\0" not in joined


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_a_name_survives_the_way_into_a_url_and_back(name: str) -> None:
    if name in (".", ".."):
        return
    assert last_name(below(parse_location("http://host/folder/"), name)) == name
    assert last_name(below(parse_location("/folder"), name)) == name


@pytest.mark.parametrize(
    ("word", "is_one"),
    [
        ("a/", True),
        ("a", False),
        (".", True),
        ("a/..", True),
        ("s3://bucket", True),
        ("s3://bucket/key", False),
        ("s3://bucket/key/", True),
        ("http://host", True),
        ("http://host/a?b=c/", False),
        ("http://host/a/?b=c", True),
    ],
)
def test_what_names_a_folder(word: str, is_one: bool) -> None:
    assert names_a_folder(place(word, "", {})) is is_one


# --- how refusals count


def refusals(*kinds: type[errors.TransferError]) -> list[Outcome]:
    location = parse_location("a")
    request = Transfer(0, "", "a", (location,), (location,))
    return [Outcome(request, Status.FAILED, error=kind("x")) for kind in kinds]


@pytest.mark.parametrize(
    ("code", "kinds", "together"),
    [
        (Exit.DONE, (), Exit.DONE),
        (Exit.MISMATCH, (), Exit.MISMATCH),
        (Exit.DONE, (errors.LocalRefused,), Exit.FAILED),
        (Exit.DONE, (errors.MissingCredential,), Exit.CREDENTIAL),
        (Exit.CREDENTIAL, (errors.Denied,), Exit.CREDENTIAL),
        (Exit.CREDENTIAL, (errors.NotFound,), Exit.FAILED),
        (Exit.LATER, (errors.LocalRefused,), Exit.FAILED),
        (Exit.MISMATCH, (errors.LocalRefused,), Exit.MISMATCH),
        (Exit.DEFECT, (errors.LocalRefused,), Exit.DEFECT),
    ],
)
def test_the_exit_code_of_both(
    code: Exit, kinds: tuple[type[errors.TransferError], ...], together: Exit
) -> None:
    assert exit_with(code, refusals(*kinds)) is together


def test_a_run_that_was_stopped_ends_with_75_whatever_was_refused() -> None:
    assert exit_with(Exit.LATER, refusals(errors.LocalRefused), stopped=True) is Exit.LATER


def test_a_sink_sees_the_refused_items_as_part_of_the_run() -> None:
    class Recording(NullSink):
        def __init__(self) -> None:
            self.calls: list[object] = []

        def begin(self, start: Start) -> None:
            self.calls.append(start)

        def take(self, outcome: Outcome) -> None:
            self.calls.append(outcome)

        def tick(self, progress: Progress) -> None:
            self.calls.append(progress)

        def end(self, ending: Ending) -> None:
            self.calls.append(ending)

    refused = refusals(errors.LocalRefused, errors.LocalRefused)
    (other,) = refusals(errors.NotFound)
    seen = Recording()
    sink = WithRefused(seen, refused)
    sink.begin(Start(0.0, 3, 2, 10))
    sink.take(other)
    sink.tick(Progress(1, 1, 1, 5, 1.0))
    sink.end(Ending(0.0, 2.0, Exit.DONE, Totals(3, 3), ()))
    assert seen.calls == [
        Start(0.0, 5, 4, 10),
        *refused,
        other,
        Progress(1, 3, 1, 5, 1.0),
        Ending(0.0, 2.0, Exit.FAILED, Totals(5, 3, 2), ()),
    ]
