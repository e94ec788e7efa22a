"""What `.meta` files add to a batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wf.checksum.digest import Digest
from wf.checksum.meta import Expectation, Expectations, MetaError, load_meta, read_meta_files
from wf.transfer.batches import load_batch
from wf.transfer.expectations import apply_expectations
from wf.transfer.requests import Transfer

A, B = "aa" * 32, "bb" * 32
DIGEST_A, DIGEST_B = (Digest("sha256", bytes.fromhex(text)) for text in (A, B))


def meta(*entries: tuple[str, dict[str, object]]) -> str:
    return json.dumps([{"_type": "file", "_id": lfn, "_attributes": found} for lfn, found in entries])


def batch_of(**more: object) -> object:
    item = {
        "type": "transfer",
        "src_urls": [{"url": "a"}, {"url": "b"}],
        "dest_urls": [{"url": "c"}],
        "lfn": "f",
    }
    return load_batch(json.dumps([item | more, {"type": "mkdir", "target": {"url": "d"}}]))


def told(text: str) -> Expectations:
    found = Expectations()
    for lfn, expectation in load_meta(text.encode(), origin="x.meta"):
        found.add(lfn, expectation)
    return found


def problem(found: Expectations, lfn: str = "f") -> str:
    expectation = found.get(lfn)
    assert expectation is not None
    return expectation.problem


def informed(text: str, **more: object) -> Transfer:
    batch = apply_expectations(batch_of(**more), told(text))  # type: ignore[arg-type]
    assert len(batch.requests) == 2
    request = batch.requests[0]
    assert isinstance(request, Transfer)
    return request


def test_an_entry_is_an_expectation() -> None:
    found = told(meta(("f", {"size": "3", "checksum.type": "sha256", "checksum.value": A, "user": "x"})))
    assert (list(found), found.get("g")) == (["f"], None)
    assert found.get("f") == Expectation(DIGEST_A, 3, "x.meta")


@pytest.mark.parametrize("text", ["", "[]", "\ufeff[]", " [ ] ", "\n"])
def test_a_document_without_entries_says_nothing(text: str) -> None:
    assert len(told(text)) == 0


def test_an_entry_without_expectation_asks_for_nothing() -> None:
    text = '[{"_id": "f"}, {"_id": "g", "_attributes": {"user": "x"}}]'
    assert informed(text) == batch_of().requests[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [3, "3", 3.0])
def test_a_size_is_a_number_or_its_digits(size: object) -> None:
    assert informed(meta(("f", {"size": size}))).size == 3


@pytest.mark.parametrize("size", [-1, "-1", 3.5, True, "3 B", "9" * 19, float("inf"), [3]])
def test_what_is_no_size_is_the_problem_of_its_file(size: object) -> None:
    assert problem(told(meta(("f", {"size": size})))) == "x.meta: [0]: size is not a number of bytes"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"{{", "x.meta: not JSON .*: line 1 column 2"),
        (b'{"_id": "f"}', "x.meta: expected a JSON list"),
        (b"[[]]", r"x.meta: \[0\]: expected an object"),
        (b"[{}, 1]", r'x.meta: \[0\]: "_id" is not a logical name'),
        (b'[{"_id": "f", "_attributes": []}]', r'x.meta: \[0\]: "_attributes" is not an object'),
        (b'["\xff"]', "x.meta: not JSON in UTF-8"),
        (b"[" * 100_000, "x.meta: not JSON"),
    ],
)
def test_what_is_no_meta_document(document: bytes, message: str) -> None:
    with pytest.raises(MetaError, match=message):
        list(load_meta(document, origin="x.meta"))


def test_a_transfer_without_expectation_gets_that_of_its_logical_name() -> None:
    request = informed(meta(("f", {"size": 3, "checksum.value": A}), ("g", {"checksum.value": B})))
    assert (request.expected, request.size) == (DIGEST_A, 3)


def test_a_transfer_of_another_name_gets_nothing() -> None:
    assert informed(meta(("g", {"checksum.value": B}))) == batch_of().requests[0]  # type: ignore[attr-defined]


def test_the_batch_s_own_expectation_wins() -> None:
    request = informed(meta(("f", {"size": 3, "checksum.value": B})), checksum={"value": A})
    assert (request.expected, request.size) == (DIGEST_A, None)
    request = informed(meta(("f", {"size": 3, "checksum.value": A})), size=4)
    assert (request.expected, request.size) == (DIGEST_A, 4)


def test_an_entry_completes_an_expectation_that_agrees() -> None:
    request = informed(meta(("f", {"size": 3, "checksum.value": A})), checksum={"value": A})
    assert (request.expected, request.size) == (DIGEST_A, 3)


def test_entries_that_differ_fail_the_request_that_needs_them(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("1.meta", "2.meta")]
    Path(paths[0]).write_text(meta(("f", {"checksum.value": A}), ("g", {"checksum.value": A})))
    Path(paths[1]).write_text(meta(("f", {"checksum.value": B}), ("g", {"checksum.value": A, "size": 1})))
    found = read_meta_files(paths)
    assert problem(found) == f"{paths[0]} and {paths[1]} expect different content of f"
    assert found.get("g") == Expectation(DIGEST_A, 1, paths[0])
    (request, _) = apply_expectations(batch_of(), found).requests  # type: ignore[arg-type]
    assert isinstance(request, Transfer)
    assert {source.problem for source in request.sources} == {problem(found)}
    (own, _) = apply_expectations(batch_of(checksum={"value": A}), found).requests  # type: ignore[arg-type]
    assert isinstance(own, Transfer) and own.sources[0].problem == ""


def test_a_third_entry_does_not_heal_a_contradiction() -> None:
    entries = [("f", {"checksum.value": value}) for value in (A, B, A)]
    assert "expect different content" in problem(told(meta(*entries)))  # type: ignore[arg-type]


def test_sizes_that_differ_are_a_contradiction_too() -> None:
    assert "expect different content" in problem(told(meta(("f", {"size": 1}), ("f", {"size": "2"}))))


def test_digests_of_two_algorithms_do_not_contradict_each_other() -> None:
    md5 = {"checksum.type": "md5", "checksum.value": "0" * 32}
    found = told(meta(("f", {"checksum.value": A}), ("f", md5)))
    assert found.get("f") == Expectation(DIGEST_A, None, "x.meta")


def test_a_malformed_digest_is_the_problem_of_its_file_alone() -> None:
    found = told(meta(("f", {"checksum.value": "xyz"}), ("g", {"checksum.value": A})))
    assert problem(found) == "x.meta: [0]: the sha256 value is not hexadecimal"
    assert problem(found, "g") == ""


def test_a_file_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    good, bad, absent = (tmp_path / name for name in ("good.meta", "bad\n.meta", "absent.meta"))
    good.write_text(meta(("f", {"checksum.value": A})))
    bad.write_text("[")
    found = read_meta_files([str(absent), str(bad), str(good)])
    assert list(found) == ["f"]
    first, second = found.faults
    assert first == f"{absent}: No such file or directory"
    assert second.startswith(f"{tmp_path}/bad\\n.meta: not JSON in UTF-8: Expecting value: line 1 column 2")
