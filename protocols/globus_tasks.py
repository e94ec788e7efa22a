"""Managed tasks of Globus Transfer: many copies between two collections, or many removals in one, as one submission."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .errors import ServerFault, TransferError, Unsupported
from .globus_documents import document_of, label_of
from .globus_errors import PathsInUse
from .globus_names import place_of
from .globus_verdict import (
    FAULTS_LOOKED_AT,
    Ended,
    faults_of,
    hopeless,
    is_over,
    results_of,
    wait_for,
    why_inactive,
)
from .values import Receipt, TaskProgress

if TYPE_CHECKING:
    from typing import Any, Final

    from .globus_client import GlobusClient
    from .globus_verdict import Fault
    from .values import Group, Item

    Document = dict[str, Any]

_FOUND: Final = "task:"
"""Begins a submission that is no identifier for one, but a task which was found under way."""
_SOON: Final = 1.0


def group_of(item: Item) -> str:
    """What the items of one task have in common: the collections, the labels that choose credentials, and the kind."""
    destination = place_of(item.destination)
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
    return str(client.get("getting a submission id", "/v0.10/submission_id")["value"])


def _submitted(client: GlobusClient, group: Group, submission: str) -> str:
    document = document_of(group, submission)
    kind = document["DATA_TYPE"]
    what = f"submitting {len(group.items)} items to Globus {_ends(group)}"
    firm = client.firm()
    try:
        answer = firm.post(what, f"/v0.10/{kind}", document)
    finally:
        firm.close()
    task = answer.get("task_id")
    if not isinstance(task, str) or not task:
        raise ServerFault(f"{what}: the answer names no task")
    return task


def _ends(group: Group) -> str:
    first = group.items[0]
    there = place_of(first.destination).collection
    return f"at {there}" if first.source is None else f"from {place_of(first.source).collection} to {there}"


def _under_way(client: GlobusClient, group: Group) -> str:
    """The task with our label that has not ended; empty for none."""
    label = label_of(group)
    query = {"filter": f"status:ACTIVE,INACTIVE/label:~{label}", "limit": 10}
    try:
        found = client.get("looking for a running task", "/v0.10/task_list", query)
    except Unsupported:
        return ""
    for task in found.get("DATA") or ():
        if task.get("label") == label and not is_over(task):
            return str(task["task_id"])
    return ""


def polled(client: GlobusClient, group: Group, task_id: str) -> TaskProgress:
    """How far the task is. One that only a person, or nobody, can help is cancelled here."""
    now = time.time()
    task = _task(client, task_id)
    faults: tuple[Fault, ...] = ()
    if not is_over(task):
        if task.get("status") == "INACTIVE":
            return _given_up(client, group, task)
        faults = _faults(client, task) if task.get("faults") else ()
        if not hopeless(faults, now):
            return TaskProgress((), wait_for(task, now), _bytes(task))
        task = _cancelled(client, task_id)
        if not is_over(task):
            return TaskProgress((), _SOON, _bytes(task))
    return TaskProgress(_results(client, group, task, now), None, _bytes(task))


def _task(client: GlobusClient, task_id: str) -> Document:
    return client.get(f"asking for Globus task {task_id}", f"/v0.10/task/{task_id}")


def _bytes(task: Document) -> int:
    return int(task.get("bytes_transferred") or 0)


def _faults(client: GlobusClient, task: Document) -> tuple[Fault, ...]:
    task_id = task["task_id"]
    query = {"filter": "is_error:1", "limit": FAULTS_LOOKED_AT}
    found = client.get(
        f"asking what is wrong with Globus task {task_id}", f"/v0.10/task/{task_id}/event_list", query
    )
    return faults_of(found.get("DATA") or ())


def _cancelled(client: GlobusClient, task_id: str) -> Document:
    """The task after it was told to end; it may take a moment to do so."""
    client.post(f"cancelling Globus task {task_id}", f"/v0.10/task/{task_id}/cancel")
    return _task(client, task_id)


def _given_up(client: GlobusClient, group: Group, task: Document) -> TaskProgress:
    """Ends a task that waits for a person: what was not copied fails with the reason."""
    error = why_inactive(task, f"Globus task {task['task_id']}")
    ended = _cancelled(client, task["task_id"])
    done = dict(_done(client, group, ended)) if is_over(ended) else {}
    results = tuple((number, done.get(number, error)) for number in range(len(group.items)))
    return TaskProgress(results, None, _bytes(ended))


def _results(
    client: GlobusClient, group: Group, task: Document, now: float
) -> tuple[tuple[int, Receipt | TransferError], ...]:
    path = f"/v0.10/task/{task['task_id']}"
    what = f"asking what Globus task {task['task_id']} has done"
    is_copy = group.items[0].source is not None
    copied = client.pages(what, f"{path}/successful_transfers") if is_copy else []
    skips = is_copy and int(task.get("subtasks_skipped_errors") or 0) > 0
    skipped = client.pages(what, f"{path}/skipped_errors") if skips else []
    faults = _faults(client, task) if task.get("status") != "SUCCEEDED" and task.get("faults") else ()
    return results_of(group, Ended(task, copied, skipped, faults), now)


def _done(client: GlobusClient, group: Group, task: Document) -> tuple[tuple[int, Receipt], ...]:
    found = _results(client, group, task, time.time())
    return tuple((number, result) for number, result in found if isinstance(result, Receipt))


def cancelled(client: GlobusClient, group: Group, task_id: str) -> TaskProgress:
    """Ends the task, and tells which items were done before."""
    task = _cancelled(client, task_id)
    done = _done(client, group, task) if is_over(task) else ()
    return TaskProgress(done, None, _bytes(task))
