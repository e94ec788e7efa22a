"""Globus, the parts that decide: names, documents, the meaning of refusals, faults and ended tasks. No server."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from globus_tools import at
from hypothesis import given
from hypothesis import strategies as st
from wf.checksum.digest import Digest
from wf.protocols.errors import (
    Broken,
    Busy,
    Denied,
    LocalRefused,
    Mismatch,
    NoSpace,
    NotFound,
    Reach,
    ServerFault,
    TransferError,
    Undone,
    Unreachable,
    Unsupported,
)
from wf.protocols.globus_documents import LABEL_MOST, document_of, label_of
from wf.protocols.globus_errors import OF_ALL, PERMANENT, TRANSIENT, PathsInUse, Taken, kind_of, refusal
from wf.protocols.globus_names import place_of
from wf.protocols.globus_personal import Personal, allowed_by, twin_of
from wf.protocols.globus_spellings import Spelled, is_spelled
from wf.protocols.globus_tasks import group_of
from wf.protocols.globus_verdict import (
    PATIENCE_SECONDS,
    Ended,
    Event,
    events_of,
    hopeless,
    results_of,
    seconds_of,
    wait_for,
    why_inactive,
)
from wf.protocols.locations import Location, parse_location
from wf.protocols.values import Group, Item, Receipt

if TYPE_CHECKING:
    from pathlib import Path

A, B = "aaaaaaaa-0000-0000-0000-000000000001", "bbbbbbbb-0000-0000-0000-000000000002"
SHA = Digest("sha256", hashlib.sha256(b"content").digest())
MARK = "0123456789abcdef" * 2
NOW = 1_800_000_000.0


def copies(*names: str, **more: Any) -> Group:
    return Group(tuple(Item(at(A, f"/{name}"), at(B, f"/{name}"), **more) for name in names), MARK)


def removals(*names: str, recursive: bool = False) -> Group:
    return Group(tuple(Item(None, at(A, f"/{name}"), recursive=recursive) for name in names), MARK)


# --- names


@pytest.mark.parametrize(
    ("url", "collection", "path"),
    [
        (f"globus://{A}/x/y", A, "/x/y"),
        (f"go://{A}/x", A, "/x"),
        (f"globus://{A.upper()}/x", A, "/x"),
        (f"globus://{A}:/x", A, "/x"),
        (f"globus://{A}/~/x", A, "/~/x"),
        (f"globus://{A}", A, "/"),
        (f"globus://{A}/per%20cent?#x", A, "/per%20cent?#x"),
        (f"globus://{A}//double", A, "//double"),
    ],
)
def test_a_url_names_a_collection_and_a_literal_path(url: str, collection: str, path: str) -> None:
    assert place_of(parse_location(url)) == (collection, path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("globus://someone#laptop/x", "legacy endpoint name"),
        ("go://XSEDE#stampede/x", "legacy endpoint name"),
        (f"globus://{A}:~x/y", "not absolute"),
        ("globus://cluster.example.org/x", "is not the UUID"),
        ("globus:///x", "nothing is not the UUID"),
        (f"globus://{A}/caf\udce9", "not Unicode"),
    ],
)
def test_what_is_no_collection_is_refused_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(LocalRefused, match=said) as refused:
        place_of(parse_location(url))
    assert refused.value.remedy


# --- documents


def test_the_document_of_a_copy_says_everything_explicitly() -> None:
    document = document_of(copies("f", expected=SHA)._replace(deadline=NOW), "submission")
    assert document == {
        "DATA_TYPE": "transfer",
        "submission_id": "submission",
        "label": f"wf-transfer {MARK}",
        "notify_on_succeeded": False,
        "notify_on_failed": False,
        "notify_on_inactive": False,
        "deadline": "2027-01-15T08:00:00+00:00",
        "source_endpoint": A,
        "destination_endpoint": B,
        "verify_checksum": True,
        "fail_on_quota_errors": True,
        "skip_source_errors": True,
        "DATA": [
            {
                "DATA_TYPE": "transfer_item",
                "source_path": "/f",
                "destination_path": "/f",
                "recursive": False,
                "external_checksum": SHA.value.hex(),
                "checksum_algorithm": "SHA256",
            }
        ],
    }


def test_a_checksum_that_the_service_cannot_compare_is_not_sent_and_none_with_a_folder() -> None:
    crc = Digest("crc32c", b"\0\0\0\0")
    for group in (copies("f", expected=crc), copies("f", expected=SHA, recursive=True), copies("f")):
        assert "external_checksum" not in document_of(group, "")["DATA"][0]


def test_the_document_of_a_removal_forgives_what_is_missing_and_takes_stars_for_stars() -> None:
    document = document_of(removals("a*", "b", recursive=True), "submission")
    assert document["DATA"] == [{"DATA_TYPE": "delete_item", "path": f"/{name}"} for name in ("a*", "b")]
    told = {key: document[key] for key in ("endpoint", "recursive", "ignore_missing", "interpret_globs")}
    assert told == {"endpoint": A, "recursive": True, "ignore_missing": True, "interpret_globs": False}
    assert "deadline" not in document


@given(st.text(alphabet="0123456789abcdef", min_size=32, max_size=32))
def test_a_label_is_one_that_the_service_takes(mark: str) -> None:
    label = label_of(Group((), mark))
    assert len(label) <= LABEL_MOST and label == label.strip() and "\n" not in label and mark in label


def test_items_share_a_task_only_with_the_same_collections_credentials_and_kind() -> None:
    (one,) = copies("f").items
    others = [
        one._replace(source=at(B, "/f")),
        one._replace(destination=at(A, "/f")),
        one._replace(destination=at(B, "/f", site="elsewhere")),
        Item(None, at(B, "/f")),
        Item(None, at(B, "/f"), recursive=True),
    ]
    groups = [group_of(item) for item in (one, *others)]
    assert len(set(groups)) == len(groups)
    assert group_of(one) == group_of(copies("g").items[0])


# --- refusals

ABSENT = (
    "Path not found\nDetails: 550-GlobusError: v=1 c=PATH_NOT_FOUND\\r\\n550-GridFTP-Errno: 2\\r\\n550 End."
)


@pytest.mark.parametrize(
    ("status", "code", "text", "kind"),
    [
        (404, "NotFound", ABSENT, NotFound),
        (502, "ExternalError.DirListingFailed", ABSENT, NotFound),
        (404, "EndpointNotFound", "No such endpoint", NotFound),
        # What an ill data server says: the file may well be there.
        (404, "ENDPOINT_ERROR", "GCS Manager Internal Error", ServerFault),
        (404, "NotFound", "Details: c=ENDPOINT_ERROR", ServerFault),
        (401, "AuthenticationFailed", "Token is not active", Denied),
        (403, "PermissionDenied", "", Denied),
        (403, "EndpointPermissionDenied", "Path not allowed", Denied),
        (502, "EndpointError", "550-GridFTP-Errno: 13\\r\\n550 Permission denied", Denied),
        (502, "EndpointError", "550-GridFTP-Errno: 122\\r\\n550 Disk quota exceeded", NoSpace),
        (502, "EndpointError", "550-GridFTP-Errno: 21\\r\\n550 Is a directory", LocalRefused),
        (502, "ExternalError.MkdirFailed.Exists", "Path already exists", Taken),
        (502, "ExternalError.DirListingFailed.NotDirectory", "", LocalRefused),
        (409, "ClientError.Conflict", "endpoint is not currently connected to Globus", Unreachable),
        (409, "Conflict", "A transfer with identical paths has not yet completed", PathsInUse),
        (429, "ClientError.TooManyRequests", "", Busy),
        (503, "ServiceUnavailable", "", Busy),
        (500, "InternalError", "", ServerFault),
        (400, "ClientError.BadRequest", "", Unsupported),
    ],
)
def test_a_refusal_means(status: int, code: str, text: str, kind: type[TransferError]) -> None:
    assert kind_of(status, code, text) is kind


def test_a_refusal_tells_what_was_done_and_no_secret_and_how_long_to_wait() -> None:
    error = refusal(
        "submitting", 503, "Busy", "canary, come\\r\\nlater\x1b", {"Retry-After": "7"}, secrets=("canary",)
    )
    assert isinstance(error, Busy) and error.retry_after == 7.0
    assert error.what.startswith("submitting: 503 Busy: ") and "canary" not in error.what
    assert "\x1b" not in error.what and "\n" not in error.what


# --- faults


def event(code: str, path: str = "", at: float = NOW, *, is_error: bool = True) -> dict[str, Any]:
    details = (
        f"Error (transfer)\nServer: x\nFile: {path}\nCommand: RETR {path}\n---\nDetails: no" if path else "-"
    )
    when = seconds_text(at)
    return {"code": code, "is_error": is_error, "description": "it", "details": details, "time": when}


def seconds_text(moment: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment, UTC).isoformat(sep=" ")


def test_the_file_of_a_fault_is_read_out_of_its_details() -> None:
    odd = "/a b\nc/Command: x"
    found = events_of([event("FILE_NOT_FOUND", odd), event("STARTED", is_error=False), event("AUTH")])
    assert [(fault.code, fault.path) for fault in found if fault.is_fault] == [
        ("FILE_NOT_FOUND", odd),
        ("AUTH", ""),
    ]
    assert found[0].when == NOW


def test_a_permanent_fault_ends_the_waiting_when_it_was_seen_again() -> None:
    once = events_of([event("PERMISSION_DENIED", "/f")])
    assert hopeless(once, NOW) == ()
    assert hopeless(once * 2, NOW) == once
    other = events_of([event("PERMISSION_DENIED", "/g")])
    assert hopeless(once + other, NOW) == ()
    without_path = events_of([event("QUOTA_EXCEEDED")])
    assert hopeless(without_path * 2, NOW) == () != hopeless(without_path * 3, NOW)


@pytest.mark.parametrize("code", [*TRANSIENT, "UNKNOWN", "INTERNAL_ERROR", "ENDPOINT_ERROR", "NEVER_SEEN"])
def test_a_fault_that_may_pass_is_waited_for_until_patience_ends(code: str) -> None:
    recent = events_of([event(code, "/f", NOW - number) for number in range(50)])
    assert hopeless(recent, NOW) == ()
    long_ago = events_of([event(code, "/f", NOW - number) for number in (0, PATIENCE_SECONDS + 1)])
    assert hopeless(long_ago, NOW) == long_ago[:1]


def test_a_fault_of_long_ago_is_past_where_the_task_went_on_since() -> None:
    old = event("CONNECTION_RESET", "/f", NOW - PATIENCE_SECONDS - 5000)
    new = event("CONNECTION_RESET", "/g", NOW - 1)
    between = event("PROGRESS", "", NOW - 100, is_error=False)
    assert hopeless(events_of([new, between, old]), NOW) == ()
    assert hopeless(events_of([between, old]), NOW) == ()
    ending = event("CANCELED", "", NOW, is_error=False)
    assert [found.path for found in hopeless(events_of([ending, new, old]), NOW)] == ["/g"]


@pytest.mark.parametrize(
    ("told", "given", "same"),
    [
        ("/a/b", "/a/b", True),
        ("/a/b", "/a//b", True),
        ("/home/x/b", "/~/b", True),
        ("/~/b", "/~//b", True),
        ("/home/x/ab", "/~/b", False),
        ("/home/x/b", "/b", False),
    ],
)
def test_a_path_may_be_told_in_another_spelling(told: str, given: str, same: bool) -> None:
    assert is_spelled(told, given) is same
    assert (Spelled([(told, 1), ("/other", 2)]).get(given) == 1) is same


def test_two_paths_that_may_both_be_meant_are_neither() -> None:
    assert Spelled([("/home/x/b", 1), ("/home/y/b", 2)]).get("/~/b") is None


def test_no_code_is_both_permanent_and_transient() -> None:
    assert not set(PERMANENT) & set(TRANSIENT)
    assert set(PERMANENT) > OF_ALL


@given(st.floats(0, 1e6))
def test_waits_grow_with_the_age_of_the_task_within_bounds(age: float) -> None:
    begun = {"request_time": seconds_text(NOW)}
    assert 0.5 <= wait_for(begun, NOW + age) <= 30.0
    assert wait_for(begun, NOW + age) <= wait_for(begun, NOW + age + 1)
    # A clock that goes wrong, or a time that nobody understands, is no reason to hurry or to stop.
    assert wait_for(begun, NOW - age) == wait_for({}, NOW) == 0.5


def test_times_without_a_zone_are_utc() -> None:
    assert seconds_of("2027-01-15 08:00:00+00:00") == seconds_of("2027-01-15T08:00:00") == NOW
    assert seconds_of("soon") == float("inf")


def test_an_inactive_task_says_why() -> None:
    paused = why_inactive({"is_paused": True, "nice_status_details": "maintenance"}, "task 1")
    assert isinstance(paused, Unreachable) and "maintenance" in paused.what
    assert isinstance(why_inactive({"nice_status": "CREDENTIALS"}, "task 1"), Denied)


# --- ended tasks


def ended(status: str = "SUCCEEDED", **more: Any) -> Ended:
    task = {
        "task_id": "t",
        "status": status,
        "verify_checksum": True,
        "files_transferred": 0,
        "files_skipped": 0,
        "fatal_error": more.pop("fatal", None),
        **more.pop("task", {}),
    }
    return Ended(task, more.pop("copied", []), more.pop("skipped", []), more.pop("events", ()))


def copied(name: str, **more: Any) -> dict[str, Any]:
    return {"source_path": f"/{name}", "destination_path": f"/{name}", **more}


def kinds(group: Group, end: Ended) -> list[type]:
    found = results_of(group, end, NOW)
    assert [number for number, _ in found] == list(range(len(group.items)))
    return [type(result) for _, result in found]


def test_what_is_listed_is_done_and_what_was_skipped_has_failed_alone() -> None:
    skipped = [{"source_path": "/b", "error_code": "FILE_NOT_FOUND"}]
    end = ended(copied=[copied("a"), copied("c")], skipped=skipped, task={"files_transferred": 2})
    assert kinds(copies("a", "b", "c"), end) == [Receipt, NotFound, Receipt]


def test_a_task_that_succeeded_without_a_file_is_not_believed_about_that_file() -> None:
    end = ended(copied=[copied("a")], task={"files_transferred": 1})
    assert kinds(copies("a", "b"), end) == [Receipt, ServerFault]


def test_files_that_are_listed_by_other_names_count() -> None:
    end = ended(copied=[copied("home/user/a"), copied("home/user/b")], task={"files_transferred": 2})
    assert kinds(copies("~/a", "~/b"), end) == [Receipt, Receipt]


def test_a_folder_with_a_file_that_was_skipped_has_failed() -> None:
    skipped = [{"source_path": "/folder/in/it", "error_code": "PERMISSION_DENIED"}]
    end = ended(copied=[copied("folder/other")], skipped=skipped, task={"files_transferred": 1})
    assert kinds(copies("folder", "folder2", recursive=True), end) == [Denied, Receipt]


def test_what_the_service_says_of_a_copy_is_in_its_receipt() -> None:
    told = copied("a", size=7, checksum=SHA.value.hex(), checksum_algorithm="SHA256")
    end = ended(copied=[told], task={"files_transferred": 1})
    assert results_of(copies("a"), end, NOW) == ((0, Receipt(7, digests=(SHA,))),)


def test_an_expected_digest_was_compared_by_the_service_if_the_task_verified() -> None:
    group, listed = copies("a", expected=SHA), [copied("a")]
    end = ended(copied=listed, task={"files_transferred": 1})
    assert results_of(group, end, NOW) == ((0, Receipt(digests=(SHA,))),)
    unverified = ended(copied=listed, task={"files_transferred": 1, "verify_checksum": False})
    assert results_of(group, unverified, NOW) == ((0, Receipt()),)


def test_a_wrong_size_is_no_success() -> None:
    end = ended(copied=[copied("a", size=6)], task={"files_transferred": 1})
    (found,) = results_of(copies("a", size=7), end, NOW)
    assert isinstance(found[1], Mismatch) and not found[1].of_digest


def test_the_file_that_a_task_was_cancelled_for_fails_and_the_others_are_tried_again() -> None:
    faults = events_of([event("PERMISSION_DENIED", "/b")] * 2)
    fatal = {"code": "CANCELED", "description": "The task was canceled"}
    end = ended("FAILED", fatal=fatal, copied=[copied("a")], events=faults)
    found = results_of(copies("a", "b", "c"), end, NOW)
    assert [type(result) for _, result in found] == [Receipt, Denied, Undone]
    assert isinstance(found[2][1], Broken) and found[2][1].later


def test_a_digest_that_ended_the_task_fails_its_file_alone() -> None:
    faults = events_of([event("EXTERNAL_CHECKSUM_MISMATCH", "/b")])
    fatal = {"code": "EXTERNAL_CHECKSUM_MISMATCH", "description": "The checksum of /b is ..."}
    assert kinds(copies("a", "b"), ended("FAILED", fatal=fatal, events=faults)) == [Undone, Mismatch]


def test_without_the_name_of_the_file_all_that_was_not_done_fails() -> None:
    fatal = {"code": "EXTERNAL_CHECKSUM_MISMATCH", "description": "?"}
    end = ended("FAILED", fatal=fatal, copied=[copied("a")])
    assert kinds(copies("a", "b", "c"), end) == [Receipt, Mismatch, Mismatch]


def test_a_full_quota_is_about_all_that_was_not_done() -> None:
    faults = events_of([event("QUOTA_EXCEEDED", "/b")])
    fatal = {"code": "QUOTA_EXCEEDED", "description": "quota"}
    end = ended("FAILED", fatal=fatal, copied=[copied("a")], events=faults)
    assert kinds(copies("a", "b", "c"), end) == [Receipt, NoSpace, NoSpace]


@pytest.mark.parametrize(
    ("task", "kind", "said"),
    [
        ({"fatal_error": {"code": "CANCELED"}}, Broken, "cancelled"),
        ({"fatal_error": {"code": "CANCELED"}, "canceled_by_admin": "SOURCE"}, Denied, "administrator"),
        ({"fatal_error": {"code": "EXPIRED"}}, Broken, "deadline"),
        ({"fatal_error": {"code": "GC_NOT_CONNECTED", "description": "off"}}, Unreachable, "off"),
        ({"fatal_error": {"code": "NEW", "description": "odd"}}, ServerFault, "NEW: odd"),
        ({}, ServerFault, "failed"),
    ],
)
def test_a_failed_task_is_a_failure_of_its_files(task: dict[str, Any], kind: type, said: str) -> None:
    (found,) = results_of(copies("a"), ended("FAILED", task=task), NOW)
    assert type(found[1]) is kind and said in str(found[1])


@pytest.mark.parametrize("ours", [True, False])
def test_a_task_whose_deadline_is_ours_is_not_made_again(ours: bool) -> None:
    group = copies("a")._replace(deadline=NOW + 0.5 if ours else None)
    (found,) = results_of(group, ended("FAILED", fatal={"code": "EXPIRED"}), NOW)
    assert isinstance(found[1], Broken)
    assert found[1].reach is (Reach.REQUEST if ours else Reach.ATTEMPT)
    document = document_of(group, "x")
    # It is never before the end of the run, which ends the task itself.
    assert document.get("deadline") == ("2027-01-15T08:00:01+00:00" if ours else None)


def test_removals_are_done_together_and_fail_by_name() -> None:
    assert kinds(removals("a", "b"), ended()) == [Receipt, Receipt]
    faults = events_of([event("IS_A_DIRECTORY", "/b")] * 2)
    end = ended("FAILED", fatal={"code": "CANCELED"}, events=faults)
    assert kinds(removals("a", "b"), end) == [Undone, LocalRefused]
    inside = events_of([event("PERMISSION_DENIED", "/b/in/it")] * 2)
    end = ended("FAILED", fatal={"code": "CANCELED"}, events=inside)
    assert kinds(removals("a", "b", recursive=True), end) == [Undone, Denied]


CODES = st.sampled_from([*PERMANENT, *TRANSIENT, "UNKNOWN", ""])
NAMES = ("a", "b", "c", "d")


@given(
    st.sampled_from(["SUCCEEDED", "FAILED"]),
    st.lists(st.tuples(CODES, st.sampled_from(["/a", "/b", "/elsewhere", ""]))),
    st.sets(st.sampled_from(NAMES)),
    st.sets(st.sampled_from(NAMES)),
    st.sampled_from([None, *(PERMANENT | TRANSIENT), "CANCELED", "EXPIRED"]),
)
def test_every_item_has_one_result_and_none_is_done_that_is_not_listed(
    status: str, faults: list[tuple[str, str]], done: set[str], missed: set[str], fatal: str | None
) -> None:
    end = ended(
        status,
        copied=[copied(name) for name in done - missed],
        skipped=[{"source_path": f"/{name}", "error_code": "FILE_NOT_FOUND"} for name in missed],
        events=tuple(Event(code, path, "", NOW) for code, path in faults),
        fatal={"code": fatal} if fatal else None,
        task={"files_transferred": len(done - missed)},
    )
    found = results_of(copies(*NAMES), end, NOW)
    assert [number for number, _ in found] == [0, 1, 2, 3]
    succeeded = {NAMES[number] for number, result in found if isinstance(result, Receipt)}
    assert succeeded == done - missed
    assert all(result.what for _, result in found if isinstance(result, TransferError))


# --- the collection of this machine


def test_a_local_file_has_a_name_on_the_collection_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open/link").symlink_to("/etc")
    (tmp_path / "way").symlink_to(tmp_path / "open")
    lines = [f"{tmp_path}/open/,0,1", f"{tmp_path}/open/fixed,0,0", "nonsense", ",0,1"]
    personal = Personal(A, allowed_by(lines))

    def twin(path: str, *, writing: bool = False) -> Location | None:
        return twin_of(parse_location(f"file://{path}", site="s"), personal, writing=writing)

    found = twin(f"{tmp_path}/open/a,b %20")
    assert found is not None
    assert (found.url, found.site) == (f"globus://{A}{tmp_path}/open/a,b %20", "s")
    through = twin(f"{tmp_path}/way/f")
    assert through is not None and place_of(through).path == f"{tmp_path}/open/f"
    # What a link leads to is not given access to by where the link is.
    assert twin(f"{tmp_path}/open/link/passwd") is None
    assert twin(f"{tmp_path}/openly") is None
    assert twin("/etc/passwd") is None
    assert twin(f"{tmp_path}/open/fixed/f") is not None
    assert twin(f"{tmp_path}/open/fixed/f", writing=True) is None
    assert twin(f"{tmp_path}/open/caf\udce9") is None
