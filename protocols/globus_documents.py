"""What is sent to the Transfer API: the documents of copies and removals. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .globus_names import place_of

if TYPE_CHECKING:
    from typing import Any, Final

    from ..checksum.digest import Digest
    from .values import Group, Item

    Document = dict[str, Any]

LABEL_MOST: Final = 128
"""Characters of a label; it holds no line ends and no blank at either end."""
ALGORITHMS: Final = {"sha256": "SHA256", "sha512": "SHA512", "sha1": "SHA1", "md5": "MD5"}
"""Digests that the service compares, by its spelling."""


def label_of(group: Group) -> str:
    """What a task of these items is found by in the list of tasks: a later process with the same items says the same."""
    return f"wf-transfer {group.mark}"[:LABEL_MOST].strip()


def document_of(group: Group, submission: str) -> Document:
    """The document that submits the group; all its items have the same answer to `GlobusService.group`."""
    is_removal = group.items[0].source is None
    return _removal(group, submission) if is_removal else _transfer(group, submission)


def _common(group: Group, submission: str) -> Document:
    common: Document = {
        "submission_id": submission,
        "label": label_of(group),
        # The default is an e-mail for each of them.
        "notify_on_succeeded": False,
        "notify_on_failed": False,
        "notify_on_inactive": False,
    }
    if group.deadline is not None:
        common["deadline"] = _spelled(group.deadline)
    return common


def _transfer(group: Group, submission: str) -> Document:
    first = group.items[0]
    assert first.source is not None
    return {
        "DATA_TYPE": "transfer",
        **_common(group, submission),
        "source_endpoint": place_of(first.source).collection,
        "destination_endpoint": place_of(first.destination).collection,
        # Always said: the documentation of the SDK and the service differ about the default.
        "verify_checksum": True,
        # Otherwise the service tries until its deadline, a day later.
        "fail_on_quota_errors": True,
        # A missing file is listed and left out, instead of holding up all others. What was left out is a failure here.
        "skip_source_errors": True,
        "DATA": [_copy(item) for item in group.items],
    }


def _copy(item: Item) -> Document:
    assert item.source is not None
    copy: Document = {
        "DATA_TYPE": "transfer_item",
        "source_path": place_of(item.source).path,
        "destination_path": place_of(item.destination).path,
        "recursive": item.recursive,
    }
    if not item.recursive and item.expected is not None and item.expected.algorithm in ALGORITHMS:
        copy.update(_external(item.expected))
    return copy


def _external(expected: Digest) -> Document:
    """The service compares it with the source and with what it wrote. Without a name it would take it for MD5."""
    return {
        "external_checksum": expected.value.hex(),
        "checksum_algorithm": ALGORITHMS[expected.algorithm],
    }


def _removal(group: Group, submission: str) -> Document:
    first = group.items[0]
    return {
        "DATA_TYPE": "delete",
        **_common(group, submission),
        "endpoint": place_of(first.destination).collection,
        "recursive": first.recursive,
        "ignore_missing": True,
        # A name with a star is a name.
        "interpret_globs": False,
        "DATA": [
            {"DATA_TYPE": "delete_item", "path": place_of(item.destination).path} for item in group.items
        ],
    }


def _spelled(moment: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, never earlier: the run is to end before its task does."""
    from datetime import UTC, datetime
    from math import ceil

    return datetime.fromtimestamp(ceil(moment), UTC).isoformat()
