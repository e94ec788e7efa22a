"""Which requests may start when others have ended, and which never will."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from runs import at, mkdir, remove, transfer
from wf.protocols import errors
from wf.protocols.memory import MemoryServer
from wf.protocols.registry import FILE, Registry
from wf.transfer.ordering import Ordering
from wf.transfer.planning import plan
from wf.transfer.requests import Batch

if TYPE_CHECKING:
    from pathlib import Path

    from wf.transfer.ordering import Released
    from wf.transfer.requests import Request


def ordering(*requests: Request) -> Ordering:
    registry = Registry([FILE, MemoryServer().capability()], entry_points=False)
    return Ordering(plan(Batch(requests), registry=registry))


def numbers(released: Released) -> list[int]:
    return [request.number for request in released.ready]


def test_each_kind_waits_for_the_kind_before_it() -> None:
    requests = [remove(0, "/x"), transfer(1, "/a", "/b"), mkdir(2, "/d"), mkdir(3, "/e")]
    order = ordering(*requests)

    assert numbers(order.begin()) == [2, 3]
    assert numbers(order.ended(requests[2], None, ok=True)) == []
    assert numbers(order.ended(requests[3], errors.Denied("no"), ok=False)) == [1]
    assert numbers(order.ended(requests[1], None, ok=True)) == [0]


def test_kinds_that_are_absent_are_passed_over() -> None:
    assert numbers(ordering(remove(0, "/x"), remove(1, "/y")).begin()) == [0, 1]


def test_what_has_after_starts_when_those_have_ended_whatever_its_kind() -> None:
    """The removal does not wait for the other transfer."""
    requests = [transfer(0, "/a", "/b"), transfer(1, "/a", "/c"), remove(2, "/a", after=(0,))]
    order = ordering(*requests)
    order.begin()

    assert numbers(order.ended(requests[0], None, ok=True)) == [2]


def test_after_several_waits_for_all_of_them() -> None:
    requests = [mkdir(0, "/a"), mkdir(1, "/b"), transfer(2, "/x", "/y", after=(0, 1, 0))]
    order = ordering(*requests)
    order.begin()

    assert numbers(order.ended(requests[0], None, ok=True)) == []
    assert numbers(order.ended(requests[1], None, ok=True)) == [2]


def test_a_failure_skips_what_comes_after_it_once() -> None:
    requests = [mkdir(0, "/a"), mkdir(1, "/b"), transfer(2, "/x", "/y", after=(0, 1))]
    order = ordering(*requests)
    order.begin()
    cause = errors.Denied("no")

    first = order.ended(requests[0], cause, ok=False)
    second = order.ended(requests[1], cause, ok=False)

    assert [(skip.request.number, skip.cause) for skip in first.skipped] == [(2, cause)]
    assert "request 0" in first.skipped[0].why
    assert not second.skipped and not second.ready


def test_what_is_behind_a_failed_one_runs_all_the_same() -> None:
    requests = [transfer(0, "/a", "/out"), transfer(1, "/b", "/out")]
    order = ordering(*requests)

    assert numbers(order.begin()) == [0]
    assert numbers(order.ended(requests[0], errors.NotFound("gone"), ok=False)) == [1]


def test_a_request_both_behind_and_after_waits_for_both() -> None:
    requests = [
        transfer(0, "/a", "/out"),
        mkdir(1, "/d"),
        transfer(2, "/b", "/out", after=(1,)),
    ]
    order = ordering(*requests)

    assert numbers(order.begin()) == [1]
    assert numbers(order.ended(requests[1], None, ok=True)) == [0]
    assert numbers(order.ended(requests[0], None, ok=True)) == [2]


def test_transfers_that_share_one_of_several_destinations_do_not_run_together() -> None:
    order = ordering(
        transfer(0, "/a", ["/x", "/y"]), transfer(1, "/a", ["/z", "/y"]), transfer(2, "/a", "/w")
    )

    assert numbers(order.begin()) == [0, 2]


# --- removes


def failed(order: Ordering, request: Request) -> None:
    order.begin()
    order.ended(request, errors.Broken("cut"), ok=False)


@pytest.mark.parametrize(
    ("source", "target", "recursive", "kept"),
    [
        ("/in/a", "/in/a", False, True),
        ("/in/a", "file:////in//a/", False, True),
        ("/in/a", "/in", True, True),
        ("/in/a", "/", True, True),
        ("/in/a", "/in", False, False),
        ("/in/a", "/i", True, False),
        ("/in/a", "/in/b", True, False),
        ("/in/a", "/in/a/b", True, False),
        ("memory://h/in/a", "memory://h/in/", True, True),
        ("memory://h/in/a", "memory://h/in/a", False, True),
        ("memory://h/in/a", "memory://h/i", True, False),
        ("memory://h/in/a", "memory://other/in", True, False),
        ("s3://bucket/in/a", "s3://bucket/in", True, True),
        ("s3://bucket/in/a", "s3://bucket/in/a", False, True),
        ("s3://bucket/in/a", "s3://bucket2/in/a", False, False),
    ],
)
def test_a_removal_that_touches_what_a_failed_transfer_uses_is_not_run(
    source: str, target: str, recursive: bool, kept: bool
) -> None:
    for request in (transfer(0, source, "/somewhere/else"), transfer(0, "/somewhere/else", source)):
        removal = remove(1, target, recursive=recursive)
        order = ordering(request, removal)
        failed(order, request)

        skip = order.obstacle(removal)

        assert (skip is not None) == kept
        if skip is not None:
            assert isinstance(skip.cause, errors.Broken)
            assert "request 0" in skip.why


def test_every_replica_of_a_failed_transfer_is_kept() -> None:
    request = transfer(0, ["/in/a", "memory://h/in/a"], ["/out/a", "memory://h/out/a"])
    targets = [*request.sources, *request.destinations]
    removals = [remove(number, target) for number, target in enumerate(targets, 1)]
    order = ordering(request, *removals)
    failed(order, request)

    assert all(order.obstacle(removal) for removal in removals)


def test_what_a_successful_transfer_used_may_be_removed() -> None:
    request, removal = transfer(0, "/in/a", "/out/a"), remove(1, "/in", recursive=True)
    order = ordering(request, removal)
    order.begin()
    order.ended(request, None, ok=True)

    assert order.obstacle(removal) is None


def test_relative_and_absolute_spellings_are_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request, removal = transfer(0, at("in/a"), "/out"), remove(1, tmp_path / "in", recursive=True)
    order = ordering(request, removal)
    failed(order, request)

    assert order.obstacle(removal) is not None


def test_secrets_of_a_url_are_not_in_the_reason() -> None:
    url = "https://host/a?X-Amz-Signature=SECRET"
    request = transfer(0, url, "https://host/b?X-Amz-Signature=SECRET", lfn="")
    removal = remove(1, url)
    order = ordering(request, removal)
    failed(order, request)

    skip = order.obstacle(removal)

    assert skip is not None and "SECRET" not in skip.why
