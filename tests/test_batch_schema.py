"""The JSON Schema, the documentation and the reader of batches say the same."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wf.checksum import digest
from wf.transfer import batch_schema
from wf.transfer.batches import BatchError, load_batch

FOLDER = Path(batch_schema.__file__).parent
GUIDE = Path(__file__).resolve().parents[1] / "docs" / "batch.md"
VALIDATOR = jsonschema.Draft202012Validator(batch_schema.schema())

# Good requests of every shape are drawn, then one value somewhere is replaced by a strange one, or a key is removed.
# What a schema cannot say is left out: URLs that cannot be taken apart, ids that no request has, contradictions, and
# misspelt keys.
SHA = "aB" * 32
TEXTS = st.sampled_from(["", "a", "ü\n", "\udcff"])
FLAGS = st.sampled_from([True, False, "yes", "TRUE", "tRue", "f", "0", 0, 1, 0.0])
SIZES = st.sampled_from([0, 1, 1e3, 10**18 - 1, "0", "007", "9" * 18])
PRIORITIES = SIZES | st.sampled_from([-1, "-1", -(10**18) + 1])
IDS = st.sampled_from(["", "anchor ", "x", 1, 1.0, -5, 1e300])
AFTERS = st.sampled_from(["anchor", ["anchor"], ["anchor", "anchor"], []])
URLS = st.sampled_from(["a", "file:///a b", "s3://b/k", "gopher://h/", "https://h:1/%2F"])
DIGESTS = st.sampled_from([{"value": SHA}, {"type": "SHA-256", "value": SHA}]) | st.sampled_from(
    [
        {"type": name, "value": "0f" * digest.SIZES[algorithm]}
        for name in batch_schema._spellings()
        if (algorithm := digest.canonical_algorithm(name))
    ]
)
ODD_VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, 1.0, 1.5, -1, 10**18 - 1, 10**18, 1 - 10**18, -(10**18), 1e300),
    *([], {}, [1], [None], [[]], [{"url": "a"}], {"url": "a"}, {"value": SHA}, {"type": "md5"}),
    *("", "x", "1", "-1", "+1", "1\n", "\u0661", "9" * 18, "9" * 19, "yes", "YES ", "no\n", "2", "tRUE"),
    *(SHA, SHA + "\n", SHA[:-1], "zz" * 32, "ab " * 32, *("0" * 2 * size for size in digest.SIZES.values())),
    *("blake2b-7", "blake2b-256 "),
    *("sha256", "sha256 ", "sha512", "Md5", "md5\n", "crc99", "crc32", "mkdir", "transfer", "remove"),
    *("anchor", ["anchor"], ["anchor", 1.5]),
]
STRANGE = st.sampled_from(ODD_VALUES)


def with_keys(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    unknown = {"comment": STRANGE, "zzzzzzzzz": STRANGE}
    return st.fixed_dictionaries(required, optional=optional | unknown)


PLACES = st.lists(
    with_keys(
        {"url": URLS}, {"site_label": TEXTS, "priority": PRIORITIES, "type": TEXTS, "checkpoint": STRANGE}
    ),
    min_size=1,
    max_size=2,
)
ATTRIBUTES = st.builds(
    lambda found, more: {f"checksum.{key}": value for key, value in found.items()} | more,
    DIGESTS | st.just({}),
    with_keys({}, {"size": SIZES, "": STRANGE}),
)
STATED = st.fixed_dictionaries({}, optional={"checksum": DIGESTS, "size": SIZES}) | st.fixed_dictionaries(
    {}, optional={"attributes": ATTRIBUTES}
)
TRANSFERS = st.builds(
    dict.__or__,
    with_keys(
        {"type": st.just("transfer"), "src_urls": PLACES, "dest_urls": PLACES},
        {
            "id": IDS,
            "lfn": TEXTS,
            "linkage": TEXTS,
            "generate_checksum": FLAGS,
            "verify_checksum_remote": FLAGS,
            "verify_symlink_source": FLAGS,
            "after": AFTERS,
        },
    ),
    STATED,
)
PLAIN_TARGETS = with_keys({"url": URLS}, {"site_label": TEXTS})
TARGETS = with_keys({"url": URLS}, {"site_label": TEXTS, "recursive": FLAGS})
MORE = {"id": IDS, "after": AFTERS}
REQUESTS = st.one_of(
    TRANSFERS,
    TRANSFERS,
    with_keys({"type": st.just("mkdir"), "target": TARGETS}, MORE),
    with_keys({"type": st.just("remove"), "target": TARGETS}, MORE),
    with_keys({"type": st.just("remove"), "target": PLAIN_TARGETS}, MORE | {"recursive": FLAGS}),
)


def holders(value: object) -> list[tuple[Any, Any]]:
    """Every object or array in a value, with each of its keys or indices."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    found: list[tuple[Any, Any]] = [(value, key) for key in keys]
    for key in keys:
        found += holders(value[key])  # type: ignore[index]
    return found


@st.composite
def maybe_damaged(draw: st.DrawFn) -> dict[str, Any]:
    request_: dict[str, Any] = deepcopy(draw(REQUESTS))
    damage = draw(st.sampled_from(["none", "replace", "replace", "replace", "remove"]))
    holder, key = draw(st.sampled_from(holders(request_)))
    if damage == "replace":
        holder[key] = draw(STRANGE)
    elif damage == "remove":
        del holder[key]
    return request_


ANCHOR: dict[str, Any] = {"type": "mkdir", "id": "anchor", "target": {"url": "a"}}


BEYOND_A_SCHEMA = re.compile(
    "no request has the id|is ambiguous|wait for each other|expect different content|is another one than"
)


def refusal(document: object) -> str:
    """What the reader says against a document; empty if nothing."""
    try:
        load_batch(json.dumps(document))
    except BatchError as error:
        return str(error)
    return ""


def accepted(document: object) -> bool:
    return not refusal(document)


def compare(request_: dict[str, Any]) -> None:
    document = [ANCHOR, request_]
    said = refusal(document)
    if not BEYOND_A_SCHEMA.search(said):
        assert VALIDATOR.is_valid(document) == (not said), (request_, said)


@settings(max_examples=500)
@given(maybe_damaged())
def test_the_schema_and_the_reader_agree(request_: dict[str, Any]) -> None:
    compare(request_)


FULL_PLACE = {"url": "a", "site_label": "s", "priority": 1, "type": "t", "checkpoint": "true"}
FULL_TRANSFER = {
    "type": "transfer",
    "id": 1,
    "lfn": "f",
    "src_urls": [FULL_PLACE],
    "dest_urls": [FULL_PLACE],
    "linkage": "input",
    "generate_checksum": True,
    "verify_checksum_remote": True,
    "verify_symlink_source": True,
    "after": "anchor",
}
FULL_CHECKSUM = {"checksum": {"type": "md5", "value": "0" * 32}, "size": 1}
FULL_ATTRIBUTES = {"attributes": {"checksum.type": "md5", "checksum.value": "0" * 32, "size": 1, "x": 1}}
FULL = [
    FULL_TRANSFER | FULL_CHECKSUM,
    FULL_TRANSFER | FULL_ATTRIBUTES,
    FULL_TRANSFER | {"checksum": {"value": SHA}},
    FULL_TRANSFER | {"attributes": {"checksum.value": SHA}},
    ANCHOR | {"id": 1, "after": ["anchor"], "target": {"url": "a", "site_label": "s", "recursive": "no"}},
    {"type": "remove", "id": 1, "target": {"url": "a", "site_label": "s", "recursive": 0}, "after": "anchor"},
    {"type": "remove", "target": {"url": "a"}, "recursive": "TRUE"},
]


@pytest.mark.parametrize("whole", FULL)
def test_they_agree_on_every_odd_value_at_every_place(whole: dict[str, Any]) -> None:
    for number, (_, key) in enumerate(holders(whole)):
        for value in ODD_VALUES:
            request_ = deepcopy(whole)
            holders(request_)[number][0][key] = deepcopy(value)
            compare(request_)


@pytest.mark.parametrize("whole", FULL)
def test_they_agree_on_what_may_be_left_out(whole: dict[str, Any]) -> None:
    for number, (_, key) in enumerate(holders(whole)):
        request_ = deepcopy(whole)
        del holders(request_)[number][0][key]
        compare(request_)


@pytest.mark.parametrize("algorithm", batch_schema._spellings())
def test_they_agree_on_the_length_of_every_digest(algorithm: str) -> None:
    for size in digest.SIZES.values():
        for name in (algorithm, algorithm.upper(), algorithm + " "):
            found = {"type": name, "value": "0" * 2 * size}
            compare(FULL_TRANSFER | {"checksum": found})
            compare(
                FULL_TRANSFER | {"attributes": {f"checksum.{key}": value for key, value in found.items()}}
            )


@pytest.mark.parametrize(
    "name", ["blake2b-8", "BLAKE2B-256", "blake2b504", "blake2b-7", "blake2b-520", "blake2b-"]
)
def test_they_agree_on_shortened_blake2b(name: str) -> None:
    known = digest.canonical_algorithm(name)
    size = digest.SIZES[known] if known else 8
    for value in ("0" * 2 * size, "0" * 129, "0" * 130, "zz"):
        compare(FULL_TRANSFER | {"checksum": {"type": name, "value": value}})


def test_the_full_requests_are_good() -> None:
    assert [refusal([ANCHOR, whole]) for whole in FULL] == [""] * len(FULL)
    known = {key for whole in FULL for _, key in holders(whole)}
    assert {key.name for keys in batch_schema.OBJECTS.values() for key in keys} <= known


@given(REQUESTS)
def test_a_request_made_of_good_values_is_good(request_: dict[str, Any]) -> None:
    """Guards the test above against agreeing about nothing."""
    assert accepted([ANCHOR, request_])


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        None,
        "x",
        [[]],
        [ANCHOR | {"id": "1", "after": ["anchor"]}, ANCHOR],
        [ANCHOR | {"target": {"url": "a", "recursive": "TRUE"}}],
    ],
)
def test_they_agree_on_whole_documents(document: object) -> None:
    assert VALIDATOR.is_valid(document) == accepted(document)


@pytest.mark.parametrize(
    "request_",
    [
        ANCHOR | {"target": {"url": "http:///"}},
        ANCHOR | {"after": "anchor"},
        ANCHOR | {"after": "nobody"},
        ANCHOR | {"targt": 1, "afterr": 1},
        {"type": "remove", "target": {"url": "a", "recursive": 1}, "recursive": 0},
        {"type": "transfer", "src_urls": [{"url": "a"}], "dest_urls": [{"url": "b"}]}
        | {"size": 1, "attributes": {"size": 2}},
        FULL_TRANSFER | {"attributes": {}, "checksum": {"type": "blake2b-256", "value": "00" * 31}},
    ],
)
def test_what_a_schema_cannot_say_is_left_to_the_reader(request_: object) -> None:
    assert VALIDATOR.is_valid([request_])
    assert not accepted([request_])


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(batch_schema.schema())


def test_the_schema_beside_the_package_is_current() -> None:
    text = (FOLDER / "batch.schema.json").read_text(encoding="utf-8")
    assert text == batch_schema.rendered(), "run `python -m wf.transfer.batch_schema`"


@pytest.mark.skipif(not GUIDE.exists(), reason="the documentation is not here")
def test_the_tables_of_the_guide_are_current() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert all(f"<!-- keys: {sort} -->" in text for sort in batch_schema.OBJECTS)
    assert text == batch_schema.with_tables(text), "run `python -m wf.transfer.batch_schema`"


def test_writing_renews_the_schema_and_the_tables(tmp_path: Path) -> None:
    guide = tmp_path / "batch.md"
    guide.write_text("before\n<!-- keys: checksum -->\nold\n<!-- end -->\nafter\n")
    batch_schema.write(tmp_path, guide)
    assert json.loads((tmp_path / "batch.schema.json").read_text()) == batch_schema.schema()
    assert batch_schema.table("checksum") in guide.read_text()
    assert "old" not in guide.read_text() and guide.read_text().endswith("-->\nafter\n")


def test_every_spelling_of_an_algorithm_is_in_the_schema() -> None:
    known = {*digest.SIZES, *digest._NAMES}
    assert known <= set(batch_schema._spellings())


def examples() -> list[str]:
    """The fenced `json` blocks of the guide."""
    if not GUIDE.exists():
        return []
    return [block.partition("```")[0] for block in GUIDE.read_text(encoding="utf-8").split("```json\n")[1:]]


@pytest.mark.parametrize("example", examples())
def test_the_guide_s_examples_are_valid(example: str) -> None:
    batch = load_batch(example)
    assert batch.requests and not batch.warnings
    if example.startswith("["):
        VALIDATOR.validate(json.loads(example))
