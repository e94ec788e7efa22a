"""The JSON documents of the Globus Transfer API as the test service gives them: their fields are those of `globus_sdk.testing`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from .globus_world import Collection

Document = dict[str, Any]


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def spelled(moment: dt.datetime) -> str:
    return moment.isoformat(sep=" ")


def endpoint(one: Collection, https: str) -> Document:
    """A collection. `https` is where its files can be had, or empty."""
    personal = one.entity_type.startswith("GCP")
    return {
        "DATA_TYPE": "endpoint",
        "id": one.id,
        "display_name": one.name,
        "organization": "A test",
        "username": "auser",
        "description": None,
        "entity_type": one.entity_type,
        "public": False,
        "french_english_bilingual": False,
        "is_globus_connect": personal,
        "globus_connect_setup_key": None,
        "gcp_connected": one.connected if personal else None,
        "gcp_paused": False if personal else None,
        "s3_url": None,
        "s3_owner_activated": False,
        "host_endpoint_id": None,
        "host_path": None,
        "disable_verify": one.disable_verify,
        "disable_anonymous_writes": False,
        "force_verify": one.force_verify,
        "force_encryption": False,
        "mfa_required": False,
        "myproxy_server": None,
        "myproxy_dn": None,
        "non_functional": False,
        "non_functional_endpoint_display_name": None,
        "non_functional_endpoint_id": None,
        "oauth_server": None,
        "default_directory": "/~/",
        "activated": False,
        "expires_in": -1,
        "expire_time": None,
        "shareable": True,
        "acl_available": False,
        "acl_editable": False,
        "in_use": False,
        "high_assurance": one.high_assurance,
        "https_server": https or None,
        "DATA": [],
    }


def task(task_id: str, kind: str, owner: str, document: Document, deadline: dt.datetime) -> Document:
    """A task that has just begun."""
    source = document.get("source_endpoint") or document.get("endpoint")
    destination = document.get("destination_endpoint")
    counters = (
        "canceled",
        "expired",
        "failed",
        "pending",
        "retrying",
        "skipped_errors",
        "succeeded",
        "total",
    )
    return {
        "DATA_TYPE": "task",
        "bytes_checksummed": 0,
        "bytes_transferred": 0,
        "canceled_by_admin": None,
        "canceled_by_admin_message": None,
        "command": "API 0.10",
        "completion_time": None,
        "deadline": spelled(deadline),
        "delete_destination_extra": document.get("delete_destination_extra", False),
        "destination_endpoint": None,
        "destination_endpoint_display_name": destination,
        "destination_endpoint_id": destination,
        "directories": 0,
        "effective_bytes_per_second": 0,
        "encrypt_data": document.get("encrypt_data", False),
        "fail_on_quota_errors": document.get("fail_on_quota_errors", False),
        "fatal_error": None,
        "faults": 0,
        "files": 0,
        "files_skipped": 0,
        "files_transferred": 0,
        "filter_rules": None,
        "history_deleted": False,
        "is_ok": True,
        "is_paused": False,
        "label": document.get("label"),
        "nice_status": None,
        "nice_status_details": None,
        "nice_status_expires_in": None,
        "nice_status_short_description": None,
        "owner_id": owner,
        "preserve_timestamp": document.get("preserve_timestamp", False),
        "recursive_symlinks": document.get("recursive_symlinks", "ignore"),
        "request_time": spelled(now()),
        "skip_source_errors": document.get("skip_source_errors", False),
        "source_endpoint": None,
        "source_endpoint_display_name": source,
        "source_endpoint_id": source,
        "status": "ACTIVE",
        **{f"subtasks_{name}": 0 for name in counters},
        "symlinks": 0,
        "sync_level": document.get("sync_level"),
        "task_id": task_id,
        "type": kind,
        "username": "u_auser",
        "verify_checksum": document.get("verify_checksum", True),
    }


def accepted(kind: str, code: str, submission: str, task_id: str) -> Document:
    """The answer to a submission: `kind` is `transfer` or `delete`."""
    return {
        "DATA_TYPE": f"{kind}_result",
        "code": code,
        "message": f"The {kind} has been accepted and a task has been created and queued for execution",
        "submission_id": submission,
        "task_id": task_id,
        "task_link": {
            "DATA_TYPE": "link",
            "href": f"/v0.10/task/{task_id}?format=json",
            "rel": "related",
            "resource": "task",
            "title": "related task",
        },
    }


def result(code: str, message: str, kind: str = "result") -> Document:
    return {"DATA_TYPE": kind, "code": code, "message": message}


def event(code: str, description: str, details: str, *, is_error: bool) -> Document:
    return {
        "DATA_TYPE": "event",
        "code": code,
        "description": description,
        "details": details,
        "is_error": is_error,
        "time": spelled(now()),
    }


def successful_transfer(source: str, destination: str) -> Document:
    return {"DATA_TYPE": "successful_transfer", "source_path": source, "destination_path": destination}


def skipped_error(code: str, details: str, source: str, destination: str, item: Document) -> Document:
    return {
        "DATA_TYPE": "skipped_error",
        "checksum_algorithm": item.get("checksum_algorithm"),
        "destination_path": destination,
        "error_code": code,
        "error_details": details,
        "error_time": spelled(now()),
        "external_checksum": item.get("external_checksum"),
        "is_delete_destination_extra": False,
        "is_directory": bool(item.get("recursive")),
        "is_symlink": False,
        "source_path": source,
    }


def file(name: str, status: os.stat_result, *, is_directory: bool) -> Document:
    modified = dt.datetime.fromtimestamp(int(status.st_mtime), dt.UTC)
    return {
        "DATA_TYPE": "file",
        "group": "tutorial",
        "last_modified": spelled(modified),
        "link_group": None,
        "link_last_modified": None,
        "link_size": None,
        "link_target": None,
        "link_user": None,
        "name": name,
        "permissions": f"{status.st_mode & 0o7777:04o}",
        "size": status.st_size,
        "type": "dir" if is_directory else "file",
        "user": "tutorial",
    }


def page(kind: str, entries: list[Document], offset: int, limit: int) -> Document:
    """One page of a list that is counted by offsets."""
    shown = entries[offset : offset + limit]
    return {
        "DATA_TYPE": kind,
        "DATA": shown,
        "length": len(shown),
        "limit": limit,
        "offset": offset,
        "total": len(entries),
    }


def marked_page(kind: str, entries: list[Document], marker: int, limit: int) -> Document:
    """One page of a list that is continued by a marker."""
    end = marker + limit
    return {
        "DATA_TYPE": kind,
        "DATA": entries[marker:end],
        "marker": marker,
        "next_marker": end if end < len(entries) else None,
    }
