"""The double of Globus: its answers have the fields of those that come with the SDK, and the SDK can work with it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from globus_tools import folders, globus
from servers.globus_service import CLIENT, GUEST, PERSONAL, SECRET, TRANSFER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import globus_sdk
    from servers.globus_service import GlobusService

__all__ = ["globus"]

PATIENCE = 30.0


@pytest.fixture
def client(globus: GlobusService) -> globus_sdk.TransferClient:
    return transfer_client()


def transfer_client(**options: Any) -> globus_sdk.TransferClient:
    import globus_sdk

    auth = globus_sdk.ConfidentialAppAuthClient(CLIENT, SECRET)
    authorizer = globus_sdk.ClientCredentialsAuthorizer(auth, TRANSFER)
    return globus_sdk.TransferClient(authorizer=authorizer, **options)


def finished(client: globus_sdk.TransferClient, task: str) -> dict[str, Any]:
    """The task when it is over."""
    return shown_when(client, task, lambda shown: shown["status"] in ("SUCCEEDED", "FAILED"))


def shown_when(
    client: globus_sdk.TransferClient, task: str, holds: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while not holds(shown := client.get_task(task).data):
        assert time.monotonic() < deadline, shown
        time.sleep(0.01)
    return dict(shown)


def a_transfer(source: str, destination: str, *items: tuple[str, str], **more: Any) -> Any:
    import globus_sdk

    data = globus_sdk.TransferData(source, destination, **more)
    for start, end in items:
        data.add_item(start, end)
    return data


# --- the fields


def fields(value: object) -> object:
    """The names of all fields, at every level; of a list those of its first element."""
    if isinstance(value, dict):
        return {key: fields(part) for key, part in value.items()}
    if isinstance(value, list):
        return [fields(value[0])] if value else []
    return None


def asked(globus: GlobusService, method: str, path: str, body: object = None) -> dict[str, Any]:
    """What the service answers, as it comes over the wire, also where it refuses."""
    request = Request(f"{globus.url}{path}", method=method)
    request.add_header("Authorization", f"Bearer {globus.access_token(owner=CLIENT)}")
    try:
        with urlopen(request, json.dumps(body).encode() if body is not None else None) as response:
            return dict(json.load(response))
    except HTTPError as error:
        with error:
            return dict(json.load(error))


def given(name: str, case: str = "default") -> dict[str, Any]:
    """The answer that comes with the SDK."""
    pytest.importorskip("responses")
    from globus_sdk.testing import get_response_set

    return dict(get_response_set(f"transfer.{name}").lookup(case).json)


# Of the real service, without being in the SDK's examples.
_FURTHER = {
    "get_endpoint": {"high_assurance", "https_server"},
    "operation_stat": set(),
}
_ONLY_IN_LISTS = {"DATA"}


def test_the_fields_of_its_answers_are_those_that_come_with_the_sdk(
    globus: GlobusService, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file1.txt").write_bytes(b"four")
    one = globus.collection(tmp_path / "a", entity_type=GUEST, denied=["/foo"])
    other = globus.collection(tmp_path / "b", entity_type=GUEST)
    globus.settings(tells_checksums=False)
    operation = f"/v0.10/operation/endpoint/{one}"
    number = asked(globus, "GET", "/v0.10/submission_id")
    document = {
        "DATA_TYPE": "transfer",
        "submission_id": number["value"],
        "source_endpoint": one,
        "destination_endpoint": other,
        "DATA": [{"DATA_TYPE": "transfer_item", "source_path": "/file1.txt", "destination_path": "/x"}],
    }
    began = asked(globus, "POST", "/v0.10/transfer", document)
    finished(transfer_client(), began["task_id"])
    second = {**document, "submission_id": asked(globus, "GET", "/v0.10/submission_id")["value"]}
    removal = {
        "DATA_TYPE": "delete",
        "submission_id": asked(globus, "GET", "/v0.10/submission_id")["value"],
        "endpoint": other,
        "DATA": [{"DATA_TYPE": "delete_item", "path": "/nothing"}],
        "ignore_missing": True,
    }
    task = f"/v0.10/task/{began['task_id']}"
    found = {
        ("get_submission_id", "default"): number,
        ("submit_transfer", "default"): began,
        ("submit_transfer", "failure"): asked(globus, "POST", "/v0.10/transfer", {**second, "DATA": []}),
        ("submit_delete", "default"): asked(globus, "POST", "/v0.10/delete", removal),
        ("get_endpoint", "default"): asked(globus, "GET", f"/v0.10/endpoint/{one}"),
        ("task_list", "default"): asked(globus, "GET", "/v0.10/task_list?filter=type:TRANSFER"),
        ("cancel_task", "default"): asked(globus, "POST", f"{task}/cancel"),
        ("endpoint_manager_task_successful_transfers", "default"): asked(
            globus, "GET", f"{task}/successful_transfers"
        ),
        ("operation_mkdir", "default"): asked(globus, "POST", f"{operation}/mkdir", {"path": "/new"}),
        ("operation_rename", "default"): asked(
            globus, "POST", f"{operation}/rename", {"old_path": "/new", "new_path": "/newer"}
        ),
        ("operation_stat", "default"): asked(globus, "GET", f"{operation}/stat?path=/file1.txt"),
        ("operation_stat", "not_found"): asked(globus, "GET", f"{operation}/stat?path=/nothing"),
        ("operation_stat", "permission_denied"): asked(globus, "GET", f"{operation}/stat?path=/foo"),
    }
    for (name, case), ours in found.items():
        theirs = given(name, case)
        further = _FURTHER.get(name, set())
        # A task list's entries carry a type here, as a task alone does.
        for entry in ours["DATA"] if name == "task_list" else ():
            entry.pop("DATA_TYPE")
        if name == "get_endpoint":
            theirs["DATA"] = ours["DATA"] = []
        assert fields({key: value for key, value in ours.items() if key not in further}) == fields(theirs), (
            name
        )
    codes = ("submit_transfer", "failure"), ("operation_stat", "not_found"), ("cancel_task", "default")
    assert found[codes[0]]["code"] == given(*codes[0])["code"]
    assert found[codes[1]]["code"] == given(*codes[1])["code"]
    assert found[codes[2]]["code"] == "TaskComplete"


def test_every_answer_of_the_sdk_that_this_service_has_a_route_for_is_compared() -> None:
    """A new example of the SDK is noticed."""
    pytest.importorskip("responses")
    import globus_sdk.testing.data.transfer as examples

    names = {name.removesuffix(".py") for name in os.listdir(os.path.dirname(examples.__file__))}
    others = {
        *("__init__", "__pycache__", "_common", "v2", "endpoint_manager_task_list", "update_endpoint"),
        *("set_subscription_id", "set_subscription_admin_verified", "get_stream_access_point"),
        *(
            "create_tunnel",
            "delete_tunnel",
            "get_tunnel",
            "get_tunnel_events",
            "list_tunnels",
            "update_tunnel",
        ),
    }
    compared = {
        *(
            "get_submission_id",
            "submit_transfer",
            "submit_delete",
            "get_endpoint",
            "task_list",
            "cancel_task",
        ),
        *("endpoint_manager_task_successful_transfers", "operation_mkdir", "operation_rename"),
        "operation_stat",
    }
    assert compared <= names
    assert not {
        name for name in names - others - compared if name.startswith(("task_", "submit_", "operation_"))
    }


# --- the SDK at work


def test_files_are_really_copied_and_verified(
    globus: GlobusService, client: globus_sdk.TransferClient, tmp_path: Path
) -> None:
    a, b = folders(tmp_path, "a", "b")
    contents = {f"f{number}": os.urandom(1000 + number) for number in range(20)}
    for name, content in contents.items():
        (a / name).write_bytes(content)
    one, other = globus.collection(a, entity_type=PERSONAL), globus.collection(b, entity_type=PERSONAL)
    data = a_transfer(one, other, verify_checksum=True, preserve_timestamp=True)
    for name, content in contents.items():
        digest = hashlib.sha256(content).hexdigest()
        data.add_item(f"/{name}", f"/out/{name}", external_checksum=digest, checksum_algorithm="SHA256")
    task = client.submit_transfer(data)["task_id"]
    assert finished(client, task)["files_transferred"] == 20
    assert {path.name: path.read_bytes() for path in (b / "out").iterdir()} == contents
    assert int((b / "out/f3").stat().st_mtime) == int((a / "f3").stat().st_mtime)
    done = list(client.task_successful_transfers(task))
    assert {entry["checksum"] for entry in done} == {hashlib.sha256(c).hexdigest() for c in contents.values()}


def test_the_same_submission_again_is_the_same_task(
    globus: GlobusService, client: globus_sdk.TransferClient, tmp_path: Path
) -> None:
    a, b = folders(tmp_path, "a", "b")
    (a / "f").write_bytes(b"x")
    one, other = globus.collection(a, entity_type=PERSONAL), globus.collection(b, entity_type=PERSONAL)
    globus.rule("POST /v0.10/transfer", hang_up="after")
    answer = client.submit_transfer(a_transfer(one, other, ("/f", "/f")))
    # The connection was cut after the task had begun; the SDK asked again with the same submission.
    assert answer["code"] == "Duplicate" and answer.http_status == 200
    assert len(globus.tasks()) == 1


def test_a_second_task_with_the_same_paths_is_refused_while_the_first_is_active(
    globus: GlobusService, client: globus_sdk.TransferClient, tmp_path: Path
) -> None:
    import globus_sdk

    a, b = folders(tmp_path, "a", "b")
    one, other = globus.collection(a, entity_type=PERSONAL), globus.collection(b, entity_type=PERSONAL)
    first = client.submit_transfer(a_transfer(one, other, ("/missing", "/f")))["task_id"]
    with pytest.raises(globus_sdk.TransferAPIError) as refused:
        client.submit_transfer(a_transfer(one, other, ("/missing", "/f")))
    assert (refused.value.http_status, refused.value.code) == (409, "Conflict")
    assert client.cancel_task(first)["code"] == "Canceled"
    assert client.submit_transfer(a_transfer(one, other, ("/missing", "/f")))["code"] == "Accepted"


def test_a_missing_source_keeps_a_task_active_with_growing_faults(
    globus: GlobusService, client: globus_sdk.TransferClient, tmp_path: Path
) -> None:
    a, b = folders(tmp_path, "a", "b")
    one, other = globus.collection(a, entity_type=PERSONAL), globus.collection(b, entity_type=PERSONAL)
    task = client.submit_transfer(a_transfer(one, other, ("/missing", "/f")))["task_id"]
    shown = shown_when(client, task, lambda shown: shown["faults"] > 2)
    assert (shown["status"], shown["is_ok"], shown["nice_status"]) == ("ACTIVE", False, "FILE_NOT_FOUND")
    client.cancel_task(task)
    ended = finished(client, task)
    assert (ended["status"], ended["fatal_error"]["code"]) == ("FAILED", "CANCELED")
    # What the SDK's own waiting says of a task that failed.
    assert client.task_wait(task, timeout=1, polling_interval=1)


def test_source_errors_are_skipped_and_listed_when_asked_for(
    globus: GlobusService, client: globus_sdk.TransferClient, tmp_path: Path
) -> None:
    a, b = folders(tmp_path, "a", "b")
    (a / "good").write_bytes(b"x")
    one, other = globus.collection(a, entity_type=PERSONAL), globus.collection(b, entity_type=PERSONAL)
    items = ("/missing", "/m"), ("/good", "/g")
    task = client.submit_transfer(a_transfer(one, other, *items, skip_source_errors=True))["task_id"]
    assert finished(client, task)["status"] == "SUCCEEDED"
    skipped = [(entry["source_path"], entry["error_code"]) for entry in client.task_skipped_errors(task)]
    assert skipped == [("/missing", "FILE_NOT_FOUND")]
    assert [entry["source_path"] for entry in client.task_successful_transfers(task)] == ["/good"]


def test_a_flipped_byte_is_a_fault_and_the_copy_is_repeated(
    globus: GlobusService, client: globus_sdk.TransferClient, tmp_path: Path
) -> None:
    a, b = folders(tmp_path, "a", "b")
    (a / "f").write_bytes(b"content")
    one, other = globus.collection(a, entity_type=PERSONAL), globus.collection(b, entity_type=PERSONAL)
    globus.rule("copy /f", flip=True)
    task = client.submit_transfer(a_transfer(one, other, ("/f", "/f"), verify_checksum=True))["task_id"]
    assert (finished(client, task)["status"], (b / "f").read_bytes()) == ("SUCCEEDED", b"content")
    events = client.task_event_list(task, query_params={"filter": "is_error:1"})
    assert [event["code"] for event in events] == ["VERIFY_CHECKSUM"]


def test_a_mapped_collection_needs_a_consent_which_a_client_gives_itself_by_asking_for_the_scope(
    globus: GlobusService, client: globus_sdk.TransferClient, tmp_path: Path
) -> None:
    import globus_sdk

    one = globus.collection(tmp_path / "a")
    with pytest.raises(globus_sdk.TransferAPIError) as refused:
        client.operation_ls(one, path="/")
    assert refused.value.code == "ConsentRequired"
    scopes = refused.value.info.consent_required.required_scopes
    globus_sdk.ConfidentialAppAuthClient(CLIENT, SECRET).oauth2_client_credentials_tokens(scopes)
    assert client.operation_ls(one, path="/")["length"] == 0


def test_expired_tokens_are_refused_and_renewed_by_the_sdk(
    globus: GlobusService, client: globus_sdk.TransferClient, tmp_path: Path
) -> None:
    one = globus.collection(tmp_path / "a", entity_type=PERSONAL)
    client.operation_ls(one, path="/")
    globus.expire_tokens()
    client.operation_ls(one, path="/")
    assert globus.requests().count("POST /v2/oauth2/token") == 2


def test_a_refresh_token_can_be_made_to_work_once(globus: GlobusService) -> None:
    import globus_sdk

    globus.settings(rotate=True)
    auth = globus_sdk.NativeAppAuthClient(CLIENT)
    first = globus.refresh_token()
    second = auth.oauth2_refresh_token(first)["refresh_token"]
    assert second != first
    with pytest.raises(globus_sdk.AuthAPIError):
        auth.oauth2_refresh_token(first)
    auth.oauth2_refresh_token(second)


def test_sync_levels_leave_out_what_is_the_same(
    globus: GlobusService, client: globus_sdk.TransferClient, tmp_path: Path
) -> None:
    a, b = folders(tmp_path, "a", "b")
    (a / "f").write_bytes(b"content")
    one, other = globus.collection(a, entity_type=PERSONAL), globus.collection(b, entity_type=PERSONAL)
    counts = []
    for _ in range(2):
        data = a_transfer(one, other, sync_level="checksum")
        data.add_item("/", "/all", recursive=True)
        ended = finished(client, client.submit_transfer(data)["task_id"])
        counts.append((ended["files_transferred"], ended["files_skipped"]))
    assert counts == [(1, 0), (0, 1)]
