"""The plan: order, phases, who waits for whom, and what would be done, without touching any service."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import at, mkdir, remove, sha256, streaming, transfer
from wf.protocols.capability import Capability
from wf.protocols.locations import Location
from wf.protocols.memory import MemoryServer
from wf.protocols.registry import FILE, Registry
from wf.transfer.ordering import Ordering
from wf.transfer.planning import Plan, digest_strategy, explain, place_of, plan, ranked, repeated
from wf.transfer.requests import Batch, Remove, Request, Transfer
from wf.transfer.routes import Route
from wf.transfer.settings import Evidence, Settings


@st.composite
def batches(draw: st.DrawFn) -> tuple[Request, ...]:
    """Batches without cycles, with few places, so that requests meet each other."""
    count = draw(st.integers(0, 12))
    position = draw(st.permutations(range(count)))
    """A hidden order: `after` only points to what is earlier in it."""
    requests: list[Request] = []
    for number in range(count):
        earlier = [other for other in range(count) if position[other] < position[number]]
        after = tuple(draw(st.lists(st.sampled_from(earlier), max_size=3)) if earlier else ())
        place = f"memory://host/{draw(st.integers(0, 3))}"
        kind = draw(st.sampled_from(["transfer", "mkdir", "remove"]))
        if kind == "transfer":
            other = f"memory://host/{draw(st.integers(0, 3))}"
            requests.append(transfer(number, "memory://host/source", [place, other], after=after))
        elif kind == "mkdir":
            requests.append(mkdir(number, place, after=after))
        else:
            requests.append(remove(number, place, after=after, recursive=draw(st.booleans())))
    return tuple(requests)


def planned(
    requests: tuple[Request, ...], settings: Settings | None = None, *capabilities: Capability
) -> Plan:
    return plan(Batch(requests), settings, registry=Registry([FILE, *capabilities], entry_points=False))


@given(batches(), st.data())
def test_every_request_is_released_once_after_what_it_waits_for(
    requests: tuple[Request, ...], data: st.DataObject
) -> None:
    """Whatever ends first, and whatever fails: nothing is lost, doubled, early, or waits for ever."""
    made = planned(requests)
    ordering = Ordering(made)
    running: list[Request] = []
    ended: dict[int, bool] = {}

    def settle(released: object) -> None:
        pending = [released]
        while pending:
            found = pending.pop()
            for request in found.ready:
                assert request.number not in ended and request not in running, "released twice"
                assert all(ended.get(number) for number in request.after), "released too early"
                assert all(number in ended for number in made.behind.get(request.number, ()))
                if not request.after:
                    earlier = [other for other in requests if made.phase(other) < made.phase(request)]
                    assert all(other.number in ended for other in earlier), "a phase was passed over"
                running.append(request)
            for skip in found.skipped:
                assert skip.request.number not in ended and skip.request not in running
                assert any(ended.get(number) is False for number in skip.request.after)
                ended[skip.request.number] = False
                pending.append(ordering.ended(skip.request, skip.cause, ok=False))

    settle(ordering.begin())
    while running:
        request = running.pop(data.draw(st.integers(0, len(running) - 1)))
        ok = data.draw(st.booleans())
        ended[request.number] = ok
        settle(ordering.ended(request, None, ok=ok))

    assert sorted(ended) == list(range(len(requests)))


@given(batches())
def test_a_request_is_never_in_a_lower_phase_than_one_it_waits_for(requests: tuple[Request, ...]) -> None:
    made = planned(requests)

    for request in requests:
        for number in (*request.after, *made.behind.get(request.number, ())):
            assert made.phase(requests[number]) <= made.phase(request)


@given(batches())
def test_transfers_with_one_destination_form_one_chain(requests: tuple[Request, ...]) -> None:
    made = planned(requests)
    writers: dict[str, list[int]] = {}
    for request in requests:
        if isinstance(request, Transfer):
            for place in {location.url for location in request.destinations}:
                writers.setdefault(place, []).append(request.number)

    for numbers in writers.values():
        first = [number for number in numbers if not set(made.behind.get(number, ())) & set(numbers)]
        assert len(first) == 1, "exactly one of them may begin"


def test_transfers_to_one_place_wait_for_each_other_however_it_is_spelled() -> None:
    spellings = ["/x/a", "file:///x//a", "symlink:///x/./a"]

    made = planned(tuple(transfer(number, "/in", url) for number, url in enumerate(spellings)))

    assert made.behind == {1: (0,), 2: (1,)}


def test_a_plan_without_after_costs_nothing_extra() -> None:
    made = planned((transfer(0, "/a", "/b"), transfer(1, "/a", "/c")))

    assert (made.after, made.behind, made.phases) == ({}, {}, {})


def test_a_request_may_come_after_a_later_one() -> None:
    made = planned((transfer(0, "/a", "/b", after=(1,)), transfer(1, "/a", "/c")))

    assert [request.number for request in Ordering(made).begin().ready] == [1]


def test_a_cycle_is_refused_by_its_members() -> None:
    requests = (
        mkdir(0, "/a", after=(2,)),
        mkdir(1, "/b"),
        mkdir(2, "/c", after=(0,)),
        mkdir(3, "/d", after=(1,)),
    )

    with pytest.raises(ValueError, match=r"cyclic among requests \[0, 2\]"):
        planned(requests)


def test_a_request_after_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="cyclic"):
        planned((mkdir(0, "/a", after=(0,)),))


def test_after_something_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="do not exist"):
        planned((mkdir(0, "/a", after=(7,)),))


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="numbered"):
        planned((mkdir(1, "/a"),))


@pytest.mark.parametrize(
    "spelling", ["file:///x/a", "file:/x/a", "/x/a", "file:////x//a", "symlink:///x/./a", "moveto:/x/y/../a"]
)
def test_all_spellings_of_a_local_path_are_one_place(spelling: str) -> None:
    assert place_of(at(spelling)) == "/x/a"


def test_a_relative_path_is_taken_from_the_given_folder() -> None:
    assert place_of(at("file:a/./b"), "/work") == "/work/a/b"
    assert place_of(at("a//b")) == "a/b"


def test_places_on_different_services_differ() -> None:
    urls = ["s3://b/k", "s3://u@site/b/k", "http://h/b/k", "http://h:81/b/k", "https://h/b/k"]

    assert len({place_of(at(url)) for url in urls}) == len(urls)


# --- priorities


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 20), max_size=60))
def test_places_that_are_written_twice_are_found(hashes: list[int]) -> None:
    assert repeated(hashes) == {value for value in hashes if hashes.count(value) > 1}


def sources(*priorities: int | None) -> tuple[Location, ...]:
    return tuple(at(f"http://host{n}/f", priority=value) for n, value in enumerate(priorities))


@given(st.lists(st.none() | st.integers(-5, 200), min_size=1, max_size=8), st.text(), st.text())
def test_ranking_loses_nothing_and_is_the_same_again(
    priorities: list[int | None], lfn: str, seed: str
) -> None:
    locations = sources(*priorities)
    order = ranked(locations, lfn, seed)

    assert sorted(order, key=repr) == sorted(locations, key=repr)
    assert order == ranked(locations, lfn, seed)
    assert order == ranked(tuple(reversed(locations)), lfn, seed), "the batch's order does not matter"
    given_ones = [location.priority for location in order if location.priority is not None]
    assert given_ones == sorted(given_ones, reverse=True)


def test_a_higher_priority_than_any_draw_is_first_and_a_lower_one_last() -> None:
    locations = sources(None, 101, None, 0)

    for seed in map(str, range(50)):
        order = ranked(locations, "f", seed)
        assert (order[0].priority, order[-1].priority) == (101, 0)


def test_another_seed_spreads_the_load() -> None:
    locations = sources(None, None, None)
    first = [ranked(locations, "f", str(seed))[0].host for seed in range(300)]

    assert {host: first.count(host) > 60 for host in set(first)} == {f"host{n}": True for n in range(3)}


def test_replicas_of_different_files_are_spread_with_one_seed() -> None:
    locations = sources(5, 5)
    first = [ranked(locations, f"f{number}", "seed")[0].host for number in range(200)]

    assert 60 < first.count("host0") < 140


# --- explaining


def test_an_explanation_tells_route_protocols_and_what_would_be_tried_next() -> None:
    server = MemoryServer()
    request = transfer(0, ["memory://one/a", "memory://two/a"], "/out", expected=sha256(b""))
    made = planned((request,), None, server.capability())

    told = explain(made, request)

    assert told.decision is not None and told.decision.route is Route.DIRECT
    assert told.protocols == ("memory", "file")
    assert told.alternatives == ("memory://two/a",)
    assert "sha256" in told.digest
    assert told.problem is None


def test_an_explanation_passes_over_what_cannot_be_used() -> None:
    request = transfer(0, ["gopher://one/a", "/a"], ["gopher://x/out", "/out"])

    told = explain(planned((request,)), request)

    assert (told.source, told.destination) == (at("/a", priority=999), at("/out", priority=999))


@pytest.mark.parametrize(
    "request_",
    [transfer(0, "gopher://h/a", "/b"), transfer(0, "/a", "gopher://h/b"), remove(0, "gopher://h/a")],
)
def test_an_explanation_tells_why_a_request_cannot_start(request_: Request) -> None:
    told = explain(planned((request_,)), request_)

    assert told.problem is not None
    assert "gopher" in told.problem.what and told.problem.remedy


def test_an_unset_variable_is_a_problem_of_that_location() -> None:
    request = transfer(0, at("file:///$NOT_SET_AT_ALL/a", environment={}), "/b")

    told = explain(planned((request,)), request)

    assert told.problem is not None and "NOT_SET_AT_ALL" in told.problem.what


@pytest.mark.parametrize(
    ("ends", "settings", "details", "words"),
    [
        (("/a", "/b"), Settings(), {}, "sha256 while the bytes move"),
        (("/a", "/b"), Settings(), {"expected": sha256(b"")}, "the expected sha256"),
        (("/a", "symlink:///b"), Settings(), {}, "size"),
        (("/a", "symlink:///b"), Settings(verify_links=True), {}, "compared"),
        (("/a", "moveto:///b"), Settings(), {"expected": sha256(b"")}, "the expected sha256"),
        (("/a", "/b"), Settings(require_evidence=Evidence.DIGEST), {}, "read back"),
        (("/a", "memory://h/b"), Settings(require_evidence=Evidence.DIGEST), {}, "by server digest"),
    ],
)
def test_the_check_of_each_route_is_told_in_words(
    ends: tuple[str, str], settings: Settings, details: dict[str, object], words: str
) -> None:
    request = transfer(0, *ends, **details)
    made = planned((request,), settings, streaming(MemoryServer()))
    told = explain(made, request)

    assert told.decision is not None
    assert words in digest_strategy(made, request, told.decision.route, request.destinations[0])


def test_requests_that_are_no_transfers_are_explained_by_their_protocol() -> None:
    request: Remove = remove(0, "/a")

    told = explain(planned((request,)), request)

    assert (told.source, told.decision, told.protocols) == (None, None, ("file",))
