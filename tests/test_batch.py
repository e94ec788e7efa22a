"""What a batch means: forms, keys and values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wf.checksum.digest import Digest
from wf.protocols.locations import parse_location
from wf.transfer.batches import BatchError, load_batch
from wf.transfer.requests import MakeDirectory, Remove, Transfer

SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def transfer(**more: object) -> dict[str, object]:
    return {
        "type": "transfer",
        "src_urls": [{"url": "file:///a", "site_label": "here"}],
        "dest_urls": [{"url": "file:///b", "site_label": "there"}],
        **more,
    }


def only(item: object, **more: Any) -> Any:
    (request,) = load_batch(json.dumps([item]), **more).requests
    return request


def test_a_full_transfer_is_read() -> None:
    request = only(
        {
            "type": "transfer",
            "id": 7,
            "lfn": "f.a",
            "linkage": "input",
            "generate_checksum": True,
            "verify_checksum_remote": "True",
            "verify_symlink_source": 0,
            "attributes": {"size": "2048", "checksum.type": "sha256", "checksum.value": SHA, "user": "x"},
            "src_urls": [
                {"url": "gsiftp://h/p", "site_label": "isi-1", "priority": 50, "checkpoint": "false"},
                {"url": "http://m/f", "site_label": "mirror", "priority": "-3"},
            ],
            "dest_urls": [{"url": "file://$PWD/f.a", "site_label": "local", "type": "singularity"}],
        },
        environment={"PWD": "/work"},
    )
    assert request == Transfer(
        number=0,
        id="7",
        lfn="f.a",
        sources=(
            parse_location("gsiftp://h/p", site="isi-1", priority=50),
            parse_location("http://m/f", site="mirror", priority=-3),
        ),
        destinations=(parse_location("file:///work/f.a", site="local", kind="singularity"),),
        size=2048,
        expected=Digest("sha256", bytes.fromhex(SHA)),
        linkage="input",
        generate_checksum=True,
        verify_remote=True,
        verify_symlink_source=False,
    )


def test_what_is_left_out_has_its_default() -> None:
    request = only({"type": "transfer", "src_urls": [{"url": "a"}], "dest_urls": [{"url": "b"}]})
    assert request == Transfer(0, "", "", (parse_location("a"),), (parse_location("b"),))


def test_requests_of_all_types_are_mixed_and_numbered() -> None:
    target = {"url": "s3://u@S/b/k", "site_label": "S"}
    batch = load_batch(
        json.dumps(
            [{"type": "remove", "target": target}, {"type": "mkdir", "id": "m", "target": target}, transfer()]
        )
    )
    place = parse_location("s3://u@S/b/k", site="S")
    assert batch.requests[:2] == (Remove(0, "", place), MakeDirectory(1, "m", place))
    assert batch.requests[2].number == 2
    assert batch.warnings == ()


def test_an_empty_array_is_a_batch_without_requests() -> None:
    assert load_batch(" [\n] ").requests == ()


def test_an_unset_variable_is_not_the_batch_s_fault() -> None:
    request = only(transfer(dest_urls=[{"url": "file://$WORK/b"}]), environment={})
    assert request.destinations[0].problem == "$WORK is not set or empty"


def test_an_unknown_scheme_is_not_the_batch_s_fault() -> None:
    assert only(transfer(src_urls=[{"url": "gopher://h/x"}])).sources[0].scheme == "gopher"


@pytest.mark.parametrize("value", [True, 1, 1.0, "yes", "TRUE", "t", "1", "True"])
def test_spellings_of_true(value: object) -> None:
    assert only({"type": "remove", "target": {"url": "a", "recursive": value}}).recursive is True
    assert only({"type": "remove", "target": {"url": "a"}, "recursive": value}).recursive is True
    assert only(transfer(generate_checksum=value)).generate_checksum is True


@pytest.mark.parametrize("value", [False, 0, "no", "False", "f", "0", "FALSE"])
def test_spellings_of_false(value: object) -> None:
    assert only({"type": "remove", "target": {"url": "a", "recursive": value}}).recursive is False
    assert only(transfer(verify_symlink_source=value)).verify_symlink_source is False


@pytest.mark.parametrize("value", ["", "y", "on", 2, None, [], {}, "yes ", "no\n"])
def test_anything_else_is_neither(value: object) -> None:
    with pytest.raises(BatchError, match="expected true or false"):
        only({"type": "remove", "target": {"url": "a", "recursive": value}})


def test_recursive_stated_twice_must_be_the_same() -> None:
    item = {"type": "remove", "target": {"url": "a", "recursive": "true"}, "recursive": True}
    assert only(item).recursive is True
    with pytest.raises(BatchError, match="recursive is another one than inside target"):
        only(item | {"recursive": False})


def test_an_expected_digest_comes_from_checksum_or_attributes() -> None:
    expected = Digest("sha256", bytes.fromhex(SHA))
    assert only(transfer(checksum={"value": SHA.upper()}, size=3)).expected == expected
    assert only(transfer(checksum={"type": "SHA-256", "value": SHA})).expected == expected
    assert only(transfer(attributes={"checksum.value": SHA})).expected == expected
    both = only(transfer(checksum={"value": SHA}, attributes={"checksum.value": SHA, "size": 3}, size="3"))
    assert (both.expected, both.size) == (expected, 3)


def test_an_empty_file_has_a_size() -> None:
    assert only(transfer(size=0)).size == 0


@pytest.mark.parametrize(
    "more",
    [
        {"checksum": {"value": SHA}, "attributes": {"checksum.value": "0" * 64}},
        {"checksum": {"type": "md5", "value": "0" * 32}, "attributes": {"checksum.value": SHA}},
        {"size": 1, "attributes": {"size": "2"}},
        {"size": 0, "attributes": {"size": "2"}},
    ],
)
def test_expectations_that_contradict_each_other_are_an_error(more: dict[str, object]) -> None:
    with pytest.raises(BatchError, match="expect different content"):
        only(transfer(**more))


def test_ids_are_text_and_need_not_be_unique() -> None:
    batch = load_batch(json.dumps([transfer(id=1), transfer(id="1"), transfer(id=2.0)]))
    assert [request.id for request in batch.requests] == ["1", "1", "2"]


def test_after_becomes_the_numbers_of_other_requests() -> None:
    batch = load_batch(
        json.dumps(
            [transfer(id="b", after=["a", 3, "a"]), transfer(id="a", after=3), transfer(id="3", after=[])]
        )
    )
    assert [request.after for request in batch.requests] == [(1, 2), (2,), ()]


def test_a_long_chain_of_requests_is_no_circle() -> None:
    count = 5000
    batch = load_batch(json.dumps([transfer(id=n, after=[n + 1][: count - 1 - n]) for n in range(count)]))
    assert batch.requests[0].after == (1,) and batch.requests[-1].after == ()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n \n\t\n", "", " "])
def test_json_lines_are_a_batch_too(end: str) -> None:
    lines = [json.dumps(transfer(id=n, lfn="a\u2028b")) for n in range(3)]
    between = end if "\n" in end else "\n"
    assert load_batch(between.join(lines) + end) == load_batch("[" + ",".join(lines) + "]")
    assert len(load_batch(lines[0] + end).requests) == 1


def test_the_old_text_form() -> None:
    batch = load_batch(
        "# src 1 Work-flow prio 0\n"
        "gsiftp://h/a.txt\n"
        "# dst 1 Amazon\r\n"
        "s3://test@amazon/b/a with spaces%20.txt\r\n"
        "\n"
        "# a remark\n"
        "gsiftp://h/b.txt\n"
        "file:///b.txt\n"
    )
    assert batch.requests == (
        Transfer(
            0,
            "",
            "",
            (parse_location("gsiftp://h/a.txt", site="Work-flow"),),
            (parse_location("s3://test@amazon/b/a with spaces%20.txt", site="Amazon"),),
        ),
        Transfer(
            1,
            "",
            "",
            (parse_location("gsiftp://h/b.txt", site="Work-flow"),),
            (parse_location("file:///b.txt", site="Amazon"),),
        ),
    )


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_bytes_are_utf_8(mark: bytes) -> None:
    request = load_batch(mark + '[{"type":"mkdir","target":{"url":"/d/ü"}}]'.encode()).requests[0]
    assert isinstance(request, MakeDirectory) and request.target.path == "/d/ü"


def test_the_locale_does_not_matter() -> None:
    code = (
        "import sys; from wf.transfer.batches import load_batch;"
        "print(ascii(load_batch(sys.stdin.buffer.read()).requests[0].target.path))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input='[{"type":"mkdir","target":{"url":"/d/ü"}}]'.encode(),
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"'/d/\\xfc'\n"


def test_a_name_that_is_not_utf_8_is_written_with_lone_surrogates() -> None:
    assert os.fsencode(only(transfer(src_urls=[{"url": "/d/\udcff"}])).sources[0].path) == b"/d/\xff"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0$"), min_size=1))
def test_any_name_comes_through_exactly(name: str) -> None:
    for ascii_only in (True, False):
        text = json.dumps(
            [transfer(lfn=name, src_urls=[{"url": f"file:///{name}"}])], ensure_ascii=ascii_only
        )
        (request,) = load_batch(text.encode()).requests
        assert isinstance(request, Transfer)
        assert (request.lfn, request.sources[0].path) == (name, f"/{name}")


def test_unknown_keys_are_named_once() -> None:
    items = [
        transfer(colour=1, src_urls=[{"url": "a", "colour": 2}, {"url": "a", "colour": 2}]),
        transfer(colour=1, attributes={"colour": 1, "sise": 2}),
    ]
    assert load_batch(json.dumps(items)).warnings == (
        "unknown key [0].colour is ignored",
        "unknown key [0].src_urls[0].colour is ignored",
    )


def test_warnings_are_bounded() -> None:
    items = [transfer(**{f"x{n}": 1}) for n in range(500)]
    assert 10 < len(load_batch(json.dumps(items)).warnings) < 100


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("src_url", "src_urls"),
        ("srcurls", "src_urls"),
        ("linkgae", "linkage"),
        ("generate_checksums", "generate_checksum"),
        ("check_sum", "checksum"),
        ("atributes", "attributes"),
        ("afterr", "after"),
    ],
)
def test_a_misspelt_key_is_an_error_that_names_the_right_one(key: str, meant: str) -> None:
    item = transfer(**{key: 1})
    item.pop(meant, None)
    with pytest.raises(BatchError) as caught:
        only(item)
    assert caught.value.expected == f'"{meant}"'
    assert meant in caught.value.hint


def test_a_key_that_is_there_cannot_be_what_another_one_meant() -> None:
    batch = load_batch(json.dumps([transfer(src_urlz=1, linkage="input", linkages=1)]))
    assert len(batch.warnings) == 2


def test_short_and_strange_keys_are_not_taken_for_misspelt_ones() -> None:
    batch = load_batch(json.dumps([transfer(lnf="x", di=1, sise=2, comment="x")]))
    assert len(batch.warnings) == 4


def test_a_misspelt_key_of_a_url_is_found_too() -> None:
    with pytest.raises(BatchError, match=r'\[0\].src_urls\[0\].priorty: unknown key "priorty"'):
        only(transfer(src_urls=[{"url": "a", "priorty": 1}]))


def test_repeated_strings_are_shared() -> None:
    text = json.dumps(
        [transfer(linkage="input", src_urls=[{"url": "a", "type": "docker"}]) for _ in range(2)]
    )
    one, other = load_batch(text).requests
    assert isinstance(one, Transfer) and isinstance(other, Transfer)
    assert one.linkage is other.linkage
    assert one.destinations[0].site is other.destinations[0].site
    assert one.sources[0].kind is other.sources[0].kind


def test_a_request_takes_about_a_kibibyte() -> None:
    count = 2000
    text = json.dumps(
        [
            transfer(
                id=1000 + n,
                lfn=f"run{n:06d}/f.a",
                linkage="input",
                attributes={
                    "size": "2048",
                    "checksum.type": "sha256",
                    "checksum.value": f"{n:064x}",
                    "user": "x" * 500,
                },
                src_urls=[
                    {"url": f"https://data.example.org:8443/store/run/{n:06d}/f.a", "site_label": "store"}
                ],
            )
            for n in range(count)
        ]
    )
    tracemalloc.start()
    batch = load_batch(text)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(batch.requests) == count
    assert kept / count < 1200
    assert peak < kept + 200_000
