"""Managed tasks of Globus Transfer: many copies between two collections, or many removals in one, as one submission."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from . import globus_answers as answers
from .errors import Oversized, TransferError, Unsupported
from .globus_documents import document_of, label_of
from .globus_errors import PathsInUse
from .globus_names import is_folder, place_of
from .globus_verdict import (
    EVENTS_LOOKED_AT,
    Ended,
    events_of,
    hopeless,
    is_over,
    results_of,
    wait_for,
    why_inactive,
)
from .values import Receipt, TaskProgress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    from .globus_client import GlobusClient
    from .globus_verdict import Event
    from .values import Group, Item

    Document = Mapping[str, Any]

_FOUND: Final = "task:"
"""Begins a submission that is no identifier for one, but a task which was found under way."""
_SOON: Final = 1.0
_LISTED_MOST: Final = 2
"""As many entries an item a list may have: each is one file."""
_LISTED_MORE: Final = 10_000


def group_of(item: Item) -> str:
    """What the items of one task have in common: the collections, the labels that choose credentials, and the kind.

    Raises LocalRefused for what is no name of a file.
    """
    destination = place_of(item.destination)
    if item.source is not None and not item.recursive and destination.path.endswith("/"):
        raise is_folder(destination)
    there = f"{destination.collection}@{item.destination.site}"
    if item.source is None:
        return f"remove {there} {item.recursive}"
    return f"copy {place_of(item.source).collection}@{item.source.site} {there}"


def prepared(client: GlobusClient, group: Group) -> str:
    """The task of these items that is under way, or the identifier for a new submission, under which nothing has begun."""
    found = _under_way(client, group)
    return f"{_FOUND}{found}" if found else _new_submission(client)


def submitted(client: GlobusClient, group: Group, submission: str) -> str:
    """The task. The same submission again is the same task, however often its answer was lost."""
    if submission.startswith(_FOUND):
        return submission.removeprefix(_FOUND)
    try:
        return _submitted(client, group, submission)
    except Oversized:
        raise
    except PathsInUse:
        # Somebody's task does the same copies at this moment. Ours, of another process, is gone on with.
        found = _under_way(client, group)
        if not found:
            raise
        return found
    except Unsupported:
        # The identifier was written down long ago and is no longer known; what it stood for never began.
        return _submitted(client, group, _new_submission(client))


def _new_submission(client: GlobusClient) -> str:
    what = "getting a submission id"
    return answers.identifier(client.get(what, "/v0.10/submission_id"), "value", what)


def _submitted(client: GlobusClient, group: Group, submission: str) -> str:
    document = document_of(group, submission)
    kind = document["DATA_TYPE"]
    what = f"submitting {len(group.items)} items to Globus {_ends(group)}"
    firm = client.firm()
    try:
        answer = firm.post(what, f"/v0.10/{kind}", document)
    finally:
        firm.close()
    return answers.identifier(answer, "task_id", what)


def _ends(group: Group) -> str:
    first = group.items[0]
    there = place_of(first.destination).collection
    return f"at {there}" if first.source is None else f"from {place_of(first.source).collection} to {there}"


def _under_way(client: GlobusClient, group: Group) -> str:
    """The task with our label that has not ended; empty for none."""
    label = label_of(group)
    query = {"filter": f"status:ACTIVE,INACTIVE/label:~{label}", "limit": 10}
    what = "looking for a running task"
    try:
        found = client.get(what, "/v0.10/task_list", query)
    except Unsupported:
        return ""
    for task in answers.entries(found, what):
        if task.get("label") == label and not is_over(task):
            return answers.identifier(task, "task_id", what)
    return ""


def polled(client: GlobusClient, group: Group, task_id: str) -> TaskProgress:
    """How far the task is. One that only a person, or nobody, can help is cancelled here."""
    task = _task(client, task_id)
    now = client.now()
    if not is_over(task):
        if task.get("status") == "INACTIVE":
            return _given_up(client, group, task)
        events = _events(client, task_id) if task.get("faults") else ()
        if not hopeless(events, now):
            return TaskProgress((), wait_for(task, now), _bytes(task))
        task = _cancelled(client, task_id)
        if not is_over(task):
            return TaskProgress((), _SOON, _bytes(task))
    return TaskProgress(_results(client, group, task, now), None, _bytes(task))


def _task(client: GlobusClient, task_id: str) -> Document:
    what = f"asking for Globus task {task_id}"
    return answers.task(client.get(what, f"/v0.10/task/{task_id}"), what)


def _bytes(task: Document) -> int:
    return int(task.get("bytes_transferred") or 0)


def _events(client: GlobusClient, task_id: str) -> tuple[Event, ...]:
    """Also those that are no faults: they tell whether it goes on."""
    what = f"asking what is wrong with Globus task {task_id}"
    found = client.get(what, f"/v0.10/task/{task_id}/event_list", {"limit": EVENTS_LOOKED_AT})
    return events_of(answers.entries(found, what))


def _cancelled(client: GlobusClient, task_id: str) -> Document:
    """The task after it was told to end; it may take a moment to do so."""
    client.post(f"cancelling Globus task {task_id}", f"/v0.10/task/{task_id}/cancel")
    return _task(client, task_id)


def _given_up(client: GlobusClient, group: Group, task: Document) -> TaskProgress:
    """Ends a task that waits for a person: what was not copied fails with the reason."""
    error = why_inactive(task, f"Globus task {task['task_id']}")
    error.what = client.scrubbed(error.what)
    ended = _cancelled(client, task["task_id"])
    done = dict(_done(client, group, ended)) if is_over(ended) else {}
    results = tuple((number, done.get(number) or copy(error)) for number in range(len(group.items)))
    return TaskProgress(results, None, _bytes(ended))


def _results(
    client: GlobusClient, group: Group, task: Document, now: float
) -> tuple[tuple[int, Receipt | TransferError], ...]:
    path = f"/v0.10/task/{task['task_id']}"
    what = f"asking what Globus task {task['task_id']} has done"
    is_copy = group.items[0].source is not None
    most = _LISTED_MOST * len(group.items) + _LISTED_MORE
    copied = client.pages(what, f"{path}/successful_transfers", most) if is_copy else []
    skips = is_copy and int(task.get("subtasks_skipped_errors") or 0) > 0
    skipped = client.pages(what, f"{path}/skipped_errors", most) if skips else []
    failed = task.get("status") != "SUCCEEDED" and task.get("faults")
    events = _events(client, task["task_id"]) if failed else ()
    results = results_of(group, Ended(task, copied, skipped, events), now)
    for _, result in results:
        if isinstance(result, TransferError):
            result.what = client.scrubbed(result.what)
    return results


def _done(client: GlobusClient, group: Group, task: Document) -> tuple[tuple[int, Receipt], ...]:
    found = _results(client, group, task, client.now())
    return tuple((number, result) for number, result in found if isinstance(result, Receipt))


def cancelled(client: GlobusClient, group: Group, task_id: str) -> TaskProgress:
    """Ends the task, and tells which items were done before."""
    task = _cancelled(client, task_id)
    done = _done(client, group, task) if is_over(task) else ()
    return TaskProgress(done, None, _bytes(task))
