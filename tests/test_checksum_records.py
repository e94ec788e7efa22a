"""The bases of value types that are cheap to define are those of the standard library in all that users see."""

from __future__ import annotations

import copy
import enum
import inspect
import pickle
from typing import NamedTuple as TypingsNamedTuple

import pytest
from wf.checksum.records import NamedTuple, StrEnum
from wf.credentials.records import NamedTuple as CredentialsNamedTuple
from wf.transfer.settings import Settings


class Ours(NamedTuple):
    """Three fields."""

    size: int
    name: str = "n"
    more: tuple[int, ...] = ()

    @property
    def doubled(self) -> int:
        return 2 * self.size

    def __str__(self) -> str:
        return f"{self.name}: {self.size}"


class Theirs(TypingsNamedTuple):
    size: int
    name: str = "n"
    more: tuple[int, ...] = ()


class OfCredentials(CredentialsNamedTuple):
    size: int
    name: str = "n"
    more: tuple[int, ...] = ()


class Colour(StrEnum):
    """Two members."""

    RED = "red"
    DARK_BLUE = "dark-blue"

    @property
    def length(self) -> int:
        return len(self)


@pytest.mark.parametrize("kind", [Ours, OfCredentials])
def test_a_record_is_a_named_tuple(kind: type[Ours]) -> None:
    value, like = kind(1, more=(2,)), Theirs(1, more=(2,))
    assert value == like == (1, "n", (2,))
    assert hash(value) == hash(like)
    assert repr(value) == repr(like).replace("Theirs", kind.__name__)
    assert value._asdict() == like._asdict()
    assert value._replace(name="m") == like._replace(name="m")
    assert kind._make([1, "n", ()]) == kind(1)
    assert (kind._fields, kind._field_defaults) == (Theirs._fields, Theirs._field_defaults)
    assert kind.__match_args__ == Theirs.__match_args__
    assert [*inspect.signature(kind).parameters] == [*Theirs._fields]
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    assert type(copy.copy(value)) is kind


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Ours(),
        lambda: Ours(1, "n", (), 4),
        lambda: Ours(1, colour="red"),
        lambda: Ours(1, size=2),
        lambda: Ours._make([1]),
        lambda: Settings(*range(len(Settings._fields) + 1)),
        lambda: Settings(1, workers=2),
        lambda: Settings(colour="red"),
    ],
)
def test_a_record_takes_each_of_its_fields_once(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(TypeError):
        wrong()


def test_a_record_cannot_be_changed_and_keeps_its_methods() -> None:
    value = Ours(3)
    with pytest.raises(AttributeError):
        value.size = 4
    with pytest.raises(AttributeError):
        value.other = 4
    with pytest.raises(ValueError, match="colour"):
        value._replace(colour="red")
    assert (value.doubled, str(value), Ours.__doc__) == (6, "n: 3", "Three fields.")


def test_a_wide_record_takes_names_positions_and_defaults() -> None:
    assert Settings(3, rounds=5) == Settings()._replace(workers=3, rounds=5)
    assert Settings() == tuple(Settings._field_defaults.values())


def test_an_enumeration_is_one_of_the_standard_library() -> None:
    assert issubclass(Colour, enum.StrEnum)
    assert list(Colour) == [Colour.RED, Colour.DARK_BLUE] == ["red", "dark-blue"]
    assert Colour("dark-blue") is Colour["DARK_BLUE"] is Colour.DARK_BLUE
    assert f"{Colour.RED:<4}|{Colour.RED!r}" == "red |<Colour.RED: 'red'>"
    assert (Colour.RED.name, Colour.RED.value, Colour.RED.length) == ("RED", "red", 3)
    assert pickle.loads(pickle.dumps(Colour.RED)) is copy.deepcopy(Colour.RED) is Colour.RED
    with pytest.raises(ValueError, match="not a valid Colour"):
        Colour("green")
    with pytest.raises(AttributeError):
        Colour.RED = "green"
