"""Under which name a copy lies while it is not finished."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import transfer
from wf.protocols.locations import Location, parse_location
from wf.protocols.values import MARK_DIGITS
from wf.transfer.resuming import mark_of, token_of, token_of_bytes

NAMES = st.text(min_size=1, max_size=80).map(lambda text: text.replace("\0", "-"))


def at(name: str) -> Location:
    return parse_location(f"sftp://host/{name}")


@given(NAMES, st.binary(min_size=32, max_size=32))
def test_the_first_digits_of_a_token_are_those_of_the_destination(name: str, sha256: bytes) -> None:
    tokens = [
        token_of_bytes(sha256, at(name)),
        token_of(transfer(0, "file:///a", f"sftp://host/{name}"), at("a"), "1", at(name)),  # type: ignore[arg-type]
    ]

    for token in tokens:
        assert len(token) == 16 and int(token, 16) >= 0
        assert token[:MARK_DIGITS] == mark_of(at(name))


@given(NAMES, NAMES, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_other_bytes_or_another_destination_make_another_token(
    name: str, other: str, sha256: bytes, another: bytes
) -> None:
    same = (name, sha256) == (other, another)

    assert (token_of_bytes(sha256, at(name)) == token_of_bytes(another, at(other))) == same


def test_a_resolved_destination_goes_by_its_logical_name() -> None:
    resolved = at("a/server")._replace(logical="osdf:///a")

    assert mark_of(resolved) == mark_of(at("another/server")._replace(logical="osdf:///a"))


@pytest.mark.parametrize("form", ["f{:04d}", "run-{:05d}.root", "{}"])
def test_destinations_that_count_up_have_marks_of_their_own(form: str) -> None:
    marks = {mark_of(parse_location(f"file:///scratch/{form.format(number)}")) for number in range(10_000)}
    assert len(marks) > 9_900
