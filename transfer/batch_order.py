"""`after`: ids become the numbers of requests, and circles are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .batch_errors import Fault, path_text, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .requests import Request

    Waiting = Mapping[int, tuple[int, ...]]


def resolved(
    requests: Sequence[Request], waiting: Mapping[int, tuple[str, ...]]
) -> dict[int, tuple[int, ...]]:
    """Number of a request -> numbers of those it waits for.

    Raises Fault, whose path begins with the request's number, for an id that no request has, for one that several
    have, and for requests that wait for each other.
    """
    wanted = {one for ids in waiting.values() for one in ids}
    holders: dict[str, list[int]] = {one: [] for one in wanted}
    for request in requests:
        if request.id in holders and len(holders[request.id]) < 2:
            holders[request.id].append(request.number)
    numbers = {
        number: tuple(dict.fromkeys(_only(holders[one], one, number) for one in ids))
        for number, ids in waiting.items()
    }
    circle = _circle(numbers)
    if circle:
        way = " after ".join(path_text((number,)) for number in circle)
        raise Fault((circle[0], "after"), f"the requests wait for each other: {way}", expected="an order")
    return numbers


def _only(holders: Sequence[int], one: str, number: int) -> int:
    """The one request that has an id."""
    where = (number, "after")
    if not holders or not one:
        name = shown(one) if one else '""'
        raise Fault(where, f"no request has the id {name}", expected="the id of a request")
    if len(holders) == 1:
        return holders[0]
    first, second = (path_text((holder,)) for holder in holders)
    raise Fault(
        where,
        f"the id {shown(one)} is ambiguous, {first} and {second} have it",
        expected="the id of one request",
        hint="give what others wait for an id of its own",
    )


def _circle(numbers: Waiting) -> list[int]:
    """Requests each of which waits for the next, the last being the first again; empty if there are none."""
    finished: set[int] = set()
    for root in numbers:
        way: dict[int, None] = {}
        stack = [(root, iter(numbers[root]))] if root not in finished else []
        while stack:
            number, others = stack[-1]
            way[number] = None
            following = next(others, None)
            if following is None:
                stack.pop()
                del way[number]
                finished.add(number)
            elif following in way:
                steps = list(way)
                return [*steps[steps.index(following) :], following]
            elif following in numbers and following not in finished:
                stack.append((following, iter(numbers[following])))
    return []
