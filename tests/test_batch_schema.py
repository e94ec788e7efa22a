"""The JSON Schema, the documentation and the reader of batches say the same."""

from __future__ import annotations

import json
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
ABSENT = object()

SHA, MD5 = "aB" * 32, "0f" * 16
# Good and bad values of every kind. What a schema cannot say is left out: URLs that cannot be taken apart, ids that no
# request has, contradictions, and misspelt keys.
ANYTHING = st.sampled_from([None, True, 0, 1, 1.0, -1, 1.5, "", "x", "1", [], {}, [1], {"a": 1}])
TEXTS = st.sampled_from(["", "a", "ü\n", "\udcff"]) | ANYTHING
FLAGS = st.sampled_from([True, False, "yes", "TRUE", "tRue", "no\n", "f", "F ", "2", 2, 0.0]) | ANYTHING
SIZES = (
    st.sampled_from(["007", "9" * 18, "9" * 19, "1\n", "+1", "-1", "\u0661", 10**18 - 1, 10**18, 1e3, 1e300])
    | ANYTHING
)
IDS = st.sampled_from(["anchor", 7, 1e300]) | ANYTHING
AFTERS = st.sampled_from(
    ["anchor", ["anchor"], ["anchor", "anchor"], [], [None], [["anchor"]], {}, None, 1.5, True]
)
URLS = st.sampled_from(["a", "file:///a b", "s3://b/k", "gopher://h/", "", None, 1, [], {}])
ALGORITHMS = st.sampled_from(
    [*batch_schema._spellings(), "SHA-256", "Md5", "crc99", "sha256 ", "md5\n", "", None, 1, []]
)
VALUES = st.sampled_from(
    [
        SHA,
        MD5,
        SHA + "\n",
        SHA[:-1],
        "zz" * 32,
        "ab " * 32,
        "0" * 8,
        "0" * 40,
        "0" * 96,
        "0" * 128,
        "",
        None,
        1,
        [],
    ]
)
UNKNOWN = st.sampled_from(["", "x", "comment", "zzzzzzzzz"])


def objects(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Objects of these keys, mostly with the required ones, and now and then something else instead."""
    mostly = {
        key: values if key == "type" else st.one_of(values, values, values)
        for key, values in required.items()
    }
    whole = st.fixed_dictionaries(mostly, optional=optional | {"comment": ANYTHING, "zzzzzzzzz": ANYTHING})
    parts = st.fixed_dictionaries({}, optional=required | optional)
    return st.one_of(whole, whole, whole, parts, ANYTHING)


PLACES = objects(
    {"url": URLS}, {"site_label": TEXTS, "priority": SIZES, "type": TEXTS, "checkpoint": ANYTHING}
)
LISTS = st.lists(PLACES, max_size=2) | ANYTHING
EXPECTATIONS = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"checksum": objects({"value": VALUES}, {"type": ALGORITHMS}), "size": SIZES}
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "attributes": objects(
                {}, {"checksum.type": ALGORITHMS, "checksum.value": VALUES, "size": SIZES, "": TEXTS}
            )
        },
    ),
)
GOOD_PLACES = st.just([{"url": "a"}])
TRANSFERS = st.builds(
    dict.__or__,
    objects(
        {"type": st.just("transfer"), "src_urls": GOOD_PLACES | LISTS, "dest_urls": GOOD_PLACES},
        {
            "id": ANYTHING,
            "lfn": TEXTS,
            "linkage": TEXTS,
            "generate_checksum": FLAGS,
            "verify_checksum_remote": FLAGS,
            "verify_symlink_source": FLAGS,
            "after": AFTERS,
        },
    ).filter(lambda found: isinstance(found, dict)),
    EXPECTATIONS,
)
MKDIRS = objects(
    {"type": st.just("mkdir"), "target": objects({"url": URLS}, {"site_label": TEXTS, "recursive": FLAGS})},
    {"id": ANYTHING, "after": AFTERS},
)
REMOVES = st.one_of(
    objects(
        {
            "type": st.just("remove"),
            "target": objects({"url": URLS}, {"site_label": TEXTS, "recursive": FLAGS}),
        },
        {"id": ANYTHING, "after": AFTERS},
    ),
    objects({"type": st.just("remove"), "target": objects({"url": URLS}, {})}, {"recursive": FLAGS}),
)
REQUESTS = st.one_of(TRANSFERS, MKDIRS, REMOVES, objects({"type": TEXTS}, {}))
ANCHOR = {"type": "mkdir", "id": "anchor", "target": {"url": "a"}}


def accepted(document: object) -> bool:
    try:
        load_batch(json.dumps(document))
    except BatchError:
        return False
    return True


@settings(max_examples=600)
@given(REQUESTS)
def test_the_schema_and_the_reader_agree(request_: object) -> None:
    document = [ANCHOR, request_]
    assert VALIDATOR.is_valid(document) == accepted(document), document


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
    ],
)
def test_what_a_schema_cannot_say_is_left_to_the_reader(request_: object) -> None:
    assert VALIDATOR.is_valid([request_])
    assert not accepted([request_])


def test_generated_requests_are_good_and_bad() -> None:
    """Guards the agreement test against agreeing about nothing."""
    good = {"type": "transfer", "src_urls": [{"url": "a"}], "dest_urls": [{"url": "b"}]}
    assert VALIDATOR.is_valid([good]) and accepted([good])
    for sort, keys in batch_schema.OBJECTS.items():
        assert keys, sort


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(batch_schema.schema())


def test_the_schema_beside_the_package_is_current() -> None:
    text = (FOLDER / "batch.schema.json").read_text(encoding="utf-8")
    assert text == batch_schema.rendered(), "run `python -m wf.transfer.batch_schema`"


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
    return [block.partition("```")[0] for block in GUIDE.read_text(encoding="utf-8").split("```json\n")[1:]]


@pytest.mark.parametrize("example", examples())
def test_the_guide_s_examples_are_valid(example: str) -> None:
    batch = load_batch(example)
    assert batch.requests and not batch.warnings
    if example.startswith("["):
        VALIDATOR.validate(json.loads(example))
