"""A bad batch moves nothing, and its error names the place, what was expected, and what was probably meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wf.transfer.batch_positions import offset_of, spots
from wf.transfer.batches import BatchError, load_batch

GOOD = '{"type": "transfer", "src_urls": [{"url": "a"}], "dest_urls": [{"url": "b"}]%s}'
ONE = f"[{GOOD}]"
SHA = "0" * 64


def error_of(text: str | bytes) -> BatchError:
    with pytest.raises(BatchError) as caught:
        load_batch(text, name="batch.json")
    return caught.value


def test_an_error_is_one_sentence_with_its_place() -> None:
    text = '[\n  {"type": "transfer",\n   "src_urls": [{"url": "a", "priority": "high"}], "dest_urls": [{"url": "b"}]}]'
    error = error_of(text)
    assert str(error) == 'batch.json:3:42: [0].src_urls[0].priority: expected an integer, found "high"'
    assert (error.path, error.line, error.column) == ("[0].src_urls[0].priority", 3, 42)
    assert error.expected == "an integer"
    assert text.splitlines()[2][41:].startswith('"high"')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "1:1: the batch is empty (a batch without requests is [])"),
        ("\n ", "2:2: the batch is empty (a batch without requests is [])"),
        ("null", '1:1: expected a JSON array of requests, found "n"'),
        ("# hello", '1:1: expected a JSON array of requests, found "#"'),
        ("[", "1:2: [0]: not JSON: expected a value, found the end of the batch"),
        ("[] x", '1:4: expected nothing after the array, found "x"'),
        ('{"transfers": []}', "1:1: expected a JSON array of requests, found an object"),
        (
            '{\n"type": "mkdir", "target": {"url": "a"}}',
            "1:1: expected a JSON array of requests, found an object",
        ),
        (f"[{GOOD % ''},]", '1:80: [1]: not JSON: expected a value, found "]"'),
        (
            f"[{GOOD % ''}\n{GOOD % ''}]",
            '2:1: expected a comma or the closing bracket of the array, found "{"',
        ),
        (
            f"[{GOOD % ''}",
            "1:79: expected a comma or the closing bracket of the array, found the end of the batch",
        ),
        (f"{GOOD % ''},\n{GOOD % ''}", '1:78: expected one object a line, found ","'),
        (f"{GOOD % ''}\n[]", "2:1: [1]: expected an object, found an empty array"),
        (f"{GOOD % ''}\n{{\n}}", "2:1: [1]: expected one object a line, found one in several lines"),
        ("[3]", "1:2: [0]: expected an object, found 3"),
        ("[{'type': 1}]", '1:3: [0]: not JSON: expected a key in double quotes, found "\'"'),
        (
            '[{"type": "mkdir", "target": {"url": "a\nb"}}]',
            "1:40: [0].target.url: not JSON: expected the string",
        ),
        ('[{"type": "mkdir", "target": {"url": "a', "1:38: [0].target: not JSON: expected a closing quote"),
        ('[{"type": "mkdir", "target": {"url": "a"b"}}]', "1:41: [0].target.url: not JSON: expected a comma"),
        (
            '[{"type": "mkdir", "target": {"url": "C:\\d"}}]',
            "1:41: [0].target.url: not JSON: expected a known escape",
        ),
        ('[{"type" "mkdir"}]', "1:10: [0]: not JSON: expected a colon after the key, found a quote"),
    ],
)
def test_what_is_not_a_batch_document(text: str, sentence: str) -> None:
    assert str(error_of(text)).startswith(f"batch.json:{sentence}")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (', "lfn": 1', "[0].lfn: expected a string, found 1"),
        (', "lfn": null', "[0].lfn: expected a string, found null"),
        (', "lfn": "a", "lfn": "b"', "[0].lfn: the key occurs twice in this object"),
        (', "id": true', "[0].id: expected an integer or a string, found true"),
        (', "id": 1.5', "[0].id: expected an integer or a string, found 1.5"),
        (', "size": NaN', "[0].size: expected a number, found NaN (JSON has no NaN and no Infinity)"),
        (', "attributes": {"x": [-Infinity]}', "[0].attributes.x[0]: expected a number, found -Infinity"),
        (', "size": -1', "[0].size: expected a whole number of bytes, found -1"),
        (', "size": "1e3"', '[0].size: expected a whole number of bytes, found "1e3"'),
        (', "size": 1e400', "[0].size: expected a whole number of bytes, found Infinity"),
        (f', "size": {"9" * 60}', "[0].size: expected a whole number of bytes, found a very long number"),
        (f', "attributes": {{"x": {"9" * 9000}}}', "[0].attributes.x: the number is too long"),
        (', "attributes": []', "[0].attributes: expected an object, found an empty array"),
        (
            ', "attributes": {"size": "big"}',
            '[0].attributes.size: expected a whole number of bytes, found "big"',
        ),
        (
            ', "attributes": {"checksum.type": "crc99", "checksum.value": "00"}',
            '[0].attributes["checksum.type"]: expected one of sha256, ',
        ),
        (', "attributes": {"checksum.type": "md5"}', '[0].attributes: the key "checksum.value" is missing'),
        (
            ', "attributes": {"checksum.value": ""}',
            '[0].attributes["checksum.value"]: a sha256 value has 32 bytes, not 0',
        ),
        (
            f', "checksum": "{SHA}"',
            "[0].checksum: expected an object with type and value, found a string of 64",
        ),
        (
            f', "checksum": {{"type": "md5", "value": "{SHA}"}}',
            "[0].checksum.value: a md5 value has 16 bytes, not 32",
        ),
        (f', "checksum": {{"value": " {SHA}"}}', "[0].checksum.value: the digest contains blanks"),
        (', "checksum": {"value": "xyz"}', "[0].checksum.value: the sha256 value is not hexadecimal"),
        (
            f', "checksum": {{"valeu": "{SHA}"}}',
            '[0].checksum.valeu: unknown key "valeu" ("value" was probably meant)',
        ),
        (', "after": 7', '[0].after: no request has the id "7"'),
        (', "after": [{}]', "[0].after[0]: expected an integer or a string, found an empty object"),
        (', "after": ""', '[0].after: no request has the id ""'),
        (', "id": "x", "after": "x"', "[0].after: the requests wait for each other: [0] after [0]"),
        (', "lfn": "\\ud800"', "[0].lfn: the string contains half a surrogate pair"),
        (
            ', "generate_checksum": "perhaps"',
            '[0].generate_checksum: expected true or false, found "perhaps"',
        ),
    ],
)
def test_wrong_values_of_a_transfer(more: str, sentence: str) -> None:
    assert f": {sentence}" in str(error_of(ONE % more))


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ("{}", '1:2: [0]: the key "type" is missing'),
        ('{"tpye": "mkdir"}', '1:2: [0]: the key "type" is missing ("tpye" may have been meant for it)'),
        (
            '{"type": "transfr"}',
            '[0].type: expected "transfer", "mkdir" or "remove", found "transfr" ("transfer" was',
        ),
        ('{"type": "delete"}', '[0].type: expected "transfer", "mkdir" or "remove", found "delete"'),
        ('{"type": ["mkdir"]}', '[0].type: expected "transfer", "mkdir" or "remove", found an array'),
        ('{"type": "mkdir"}', '1:2: [0]: the key "target" is missing'),
        ('{"type": "mkdir", "target": {}}', '1:30: [0].target: the key "url" is missing'),
        ('{"type": "mkdir", "target": "a"}', '[0].target: expected an object with a url, found "a"'),
        ('{"type": "mkdir", "target": {"url": ""}}', "[0].target.url: expected a URL, found an empty string"),
        ('{"type": "mkdir", "target": {"url": 1}}', "[0].target.url: expected a URL, found 1"),
        ('{"type": "mkdir", "target": {"url": "http:///x"}}', "1:38: [0].target.url: the URL names no host"),
        (
            '{"type": "mkdir", "target": {"url": "a", "site_label": 1}}',
            "[0].target.site_label: expected a string",
        ),
        ('{"type": "transfer", "src_urls": [{"url": "a"}]}', '[0]: the key "dest_urls" is missing'),
        (
            '{"type": "transfer", "src_urls": [], "dest_urls": [{"url": "b"}]}',
            "[0].src_urls: expected a non-empty array of URL objects, found an empty array",
        ),
        (
            '{"type": "transfer", "src_urls": ["a"], "dest_urls": [{"url": "b"}]}',
            '[0].src_urls[0]: expected a URL object, found "a" (write { "url": ... })',
        ),
        (
            '{"type": "transfer", "src_urls": {"url": "a"}, "dest_urls": [{"url": "b"}]}',
            "[0].src_urls: expected a non-empty array of URL objects, found an object",
        ),
    ],
)
def test_wrong_objects(item: str, sentence: str) -> None:
    assert sentence in str(error_of(f"[{item}]"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# src 1 a\nfile:///x\n", "2:1: [0]: the source URL has no destination"),
        ("# src 1 a\n# dst 1 b\nfile:///x\n", "2:1: [0]: the source URL is missing before this line"),
        ("# src 1 a\na\nb\na\n# src 2 a\n", "5:1: [1]: the destination URL is missing before this line"),
        ("# src\na\nb\n", "1:1: [0]: the site is missing"),
        ("# src 1 a\n\nhttp:///x\nb\n", "3:1: [0].src_urls[0].url: the URL names no host"),
        ("# src 1 a\na\n# dst 1 b\nhttp:///x", "4:1: [0].dest_urls[0].url: the URL names no host"),
    ],
)
def test_errors_in_the_old_text_form(text: str, sentence: str) -> None:
    assert str(error_of(text)).startswith(f"batch.json:{sentence}")


def test_an_id_of_several_requests_is_ambiguous_only_where_it_is_referred_to() -> None:
    twice = [GOOD % ', "id": 1', GOOD % ', "id": "1"']
    assert len(load_batch(f"[{','.join(twice)}]").requests) == 2
    error = error_of("[" + ",\n".join([*twice, GOOD % ', "after": 1']) + "]")
    assert (error.line, error.path) == (3, "[2].after")
    assert 'the id "1" is ambiguous, [0] and [1] have it' in str(error)


def test_a_circle_is_told_in_order() -> None:
    items = [GOOD % f', "id": {n}, "after": {after}' for n, after in enumerate(["[1]", "[2]", "[3]", "[1]"])]
    assert "wait for each other: [1] after [2] after [3] after [1]" in str(
        error_of("[" + ",".join(items) + "]")
    )


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b'[\n{"type": "m\xffkdir"}]', 2, 12),
        ('[\n  "äöü'.encode() + b"\xc3", 2, 7),
        (b"\xef\xbb\xbf\xff", 1, 1),
    ],
)
def test_bytes_that_are_not_utf_8_have_a_place(data: bytes, line: int, column: int) -> None:
    error = error_of(data)
    assert "not UTF-8" in str(error)
    assert (error.line, error.column) == (line, column)


def test_utf_16_is_recognised() -> None:
    assert "looks like UTF-16" in str(error_of("[]".encode("utf-16")))


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("before", ["[", ONE[:-4] + ', "attributes": {"x": '])
def test_deep_nesting_is_an_error_and_no_crash(opening: str, before: str) -> None:
    assert "nested too deeply" in str(error_of(before + opening * 200_000))


def test_an_error_never_repeats_what_may_be_secret() -> None:
    for text in (
        '[{"type": "mkdir", "target": "https://u:secret@h/"}]',
        '[{"type": "mkdir", "target": {"url": "https://u:secret@h:x/"}}]',
        '[{"type": "mkdir", "target": {"url": ["https://u:secret@h/"]}}]',
        '["https://h/x?X-Amz-Signature=secret"]',
        '[{"type": "transfer", "src_urls": "https://u:secret@h/", "dest_urls": []}]',
    ):
        assert "secret" not in str(error_of(text))


def test_an_error_has_no_control_characters() -> None:
    text = str(error_of('[{"type": "\\u001b[31m\\n", "\\u001b": 1}]') or "")
    assert text.isprintable()
    assert str(error_of("\x1b[]")).isprintable()
    assert str(
        error_of('[{"type": "mkdir", "target": {"url": "a"}, "\\u001b]x\\u0007": 1, "targte\\n": 2}, 3]')
    ).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def below(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], object]]:
    found: list[tuple[tuple[str | int, ...], object]] = [(path, value)]
    if isinstance(value, dict):
        steps = list(value.items())
    else:
        steps = list(enumerate(value)) if isinstance(value, list) else []
    for step, inner in steps:
        found += below(inner, (*path, step))
    return found


@given(JSON, st.sampled_from([None, 2]), st.booleans())
def test_every_value_is_found_where_it_stands(value: object, indent: int | None, ascii_only: bool) -> None:
    text = "  " + json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert [spot.path for spot in spots(text, 2)] == [path for path, _ in below(value)]
    for path, inner in below(value):
        decoded, _ = json.JSONDecoder().raw_decode(text, offset_of(text, 2, path))
        assert decoded == inner
        if path and isinstance(path[-1], str):
            key, _ = json.JSONDecoder().raw_decode(text, offset_of(text, 2, path, at_key=True))
            assert key == path[-1]


@given(st.text('[]{}":,\\ \n#srcdt1aue0-.N', max_size=40))
@example('[{"":')
@example('{"a":1}}')
@example('["\\')
def test_no_text_does_anything_but_load_or_raise_a_batch_error(text: str) -> None:
    try:
        load_batch(text)
    except BatchError as error:
        assert 1 <= error.line <= text.count("\n") + 1
        assert str(error).isprintable()


@given(st.integers(0, len(ONE % "") - 1), st.text('[]{}":,\\ \n1a', max_size=2), st.integers(0, 2))
def test_a_damaged_batch_loads_or_raises_a_batch_error(place: int, instead: str, removed: int) -> None:
    text = ONE % ""
    try:
        load_batch(text[:place] + instead + text[place + removed :])
    except BatchError as error:
        assert str(error).isprintable()


@given(st.binary(max_size=30))
def test_any_bytes_load_or_raise_a_batch_error(data: bytes) -> None:
    try:
        load_batch(data)
    except BatchError as error:
        assert error.line >= 1 and error.column >= 1
