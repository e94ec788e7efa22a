"""Digest values, their spellings, and several algorithms in one pass."""

from __future__ import annotations

import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wf.checksum.digest import (
    KNOWN,
    SIZES,
    Digest,
    Hashes,
    canonical_algorithm,
    checked,
    names_of,
    new_hash,
    parse_base64,
    parse_hex,
    value_of,
)

# FIPS 180-4 examples (sha*), RFC 1321 A.5 (md5), RFC 1950 and the check value of CRC-32/ISO-HDLC.
VECTORS = [
    ("sha256", b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("sha256", b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ("sha256", b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    (
        "sha384",
        b"abc",
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    ),
    (
        "sha512",
        b"abc",
        (
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        ),
    ),
    ("sha1", b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
    ("sha1", b"a" * 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
    ("md5", b"", "d41d8cd98f00b204e9800998ecf8427e"),
    ("md5", b"abc", "900150983cd24fb0d6963f7d28e17f72"),
    ("crc32", b"123456789", "cbf43926"),
    ("crc32", b"", "00000000"),
    ("adler32", b"Wikipedia", "11e60398"),
    ("adler32", b"", "00000001"),
    # Of b2sum, and of the implementations of RFC 7693 that people compare theirs with.
    ("blake2b-256", b"abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
    ("blake2b-160", b"", "3345524abf6bbe1809449224b5972c41790b6cf2"),
]


@pytest.mark.parametrize(("algorithm", "data", "expected"), VECTORS)
def test_the_standards_own_vectors(algorithm: str, data: bytes, expected: str) -> None:
    one = new_hash(algorithm)
    one.update(data)
    assert one.digest().hex() == expected


@pytest.mark.parametrize("algorithm", sorted(KNOWN))
def test_every_known_algorithm_has_the_length_it_promises(algorithm: str) -> None:
    assert len(new_hash(algorithm).digest()) == SIZES[algorithm]


def test_an_unknown_algorithm_is_refused_even_if_hashlib_knows_it() -> None:
    with pytest.raises(ValueError, match="shake_128"):
        new_hash("shake_128")


@given(st.binary(max_size=400), st.lists(st.integers(0, 400)), st.sampled_from(sorted(KNOWN)))
def test_any_chunking_gives_the_same_digest(data: bytes, cuts: list[int], algorithm: str) -> None:
    chunked = Hashes((algorithm, "md5"))
    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        chunked.update(memoryview(data)[start:end])
    at_once = new_hash(algorithm)
    at_once.update(data)
    assert chunked.digests()[0] == Digest(algorithm, at_once.digest())


def test_one_pass_gives_each_digest_in_the_order_asked() -> None:
    hashes = Hashes(("md5", "sha256", "crc32", "md5"))
    hashes.update(b"ab")
    hashes.update(b"c")
    assert [str(one) for one in hashes.digests()] == [
        "md5:900150983cd24fb0d6963f7d28e17f72",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        f"crc32:{zlib.crc32(b'abc'):08x}",
    ]


@given(st.sampled_from(sorted(KNOWN)), st.data())
def test_hexadecimal_and_base64_survive_the_round_trip(algorithm: str, data: st.DataObject) -> None:
    size = SIZES[algorithm]
    digest = Digest(algorithm, data.draw(st.binary(min_size=size, max_size=size)))
    assert parse_hex(algorithm, digest.hex) == digest
    assert parse_hex(algorithm, f" {digest.hex.upper()}\n") == digest
    assert parse_base64(algorithm, digest.base64) == digest


@given(st.sampled_from(sorted(KNOWN)), st.data())
def test_a_line_s_value_is_neither_blank_nor_shorter_nor_longer(algorithm: str, data: st.DataObject) -> None:
    value = data.draw(st.binary(min_size=SIZES[algorithm], max_size=SIZES[algorithm]))
    assert value_of(algorithm, value.hex()) == value_of(algorithm, value.hex().upper().encode()) == value
    for odd in (
        value.hex() + "00",
        value.hex()[2:],
        " " + value.hex(),
        value.hex()[:-1] + "g",
        "\u0660\u0660",
    ):
        assert value_of(algorithm, odd) is None


def test_base64_is_that_of_the_rfc_9530_example() -> None:
    # RFC 9530, appendix B.1: the representation {"hello": "world"} and a newline.
    one = new_hash("sha256")
    one.update(b'{"hello": "world"}\n')
    assert Digest("sha256", one.digest()).base64 == "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="


@pytest.mark.parametrize(
    ("algorithm", "text", "complaint"),
    [
        ("sha256", "00", "32 bytes, not 1"),
        ("md5", "x" * 32, "not hexadecimal"),
        ("md5", "00 " * 16, "not hexadecimal"),
        ("md5", "0" * 31, "not hexadecimal"),
        ("md4", "0" * 32, "unknown digest algorithm 'md4'"),
        ("md5", "\u0660" * 32, "not hexadecimal"),
    ],
)
def test_what_is_not_such_a_value_in_hexadecimal_is_refused(
    algorithm: str, text: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_hex(algorithm, text)


@pytest.mark.parametrize(
    "text", ["kAFQmDzST7DWlj99KOF/cg", "kAFQmDzST7DWlj99KOF_cg==", "kAFQ mDzST7DWlj99KOF/cg==", "=", "\xe9"]
)
def test_sloppy_base64_is_refused(text: str) -> None:
    assert parse_base64("md5", "kAFQmDzST7DWlj99KOF/cg==").hex == "900150983cd24fb0d6963f7d28e17f72"
    with pytest.raises(ValueError, match="not base64"):
        parse_base64("md5", text)


def test_base64_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        parse_base64("sha256", "kAFQmDzST7DWlj99KOF/cg==")


def test_a_value_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="20 bytes, not 4"):
        checked("sha1", b"four")


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("SHA-256", "sha256"), (" sha ", "sha1"), ("sha2", "sha256"), ("Adler32", "adler32"), ("rot13", None)]
    + [("BLAKE2b-256", "blake2b-256"), ("blake2b8", "blake2b-8"), ("BLAKE2b-512", "blake2b")]
    + [(f"blake2b-{bits}", None) for bits in ("0", "7", "08", "-8", "520", "")],
)
def test_algorithms_are_known_by_all_their_names(name: str, canonical: str | None) -> None:
    assert canonical_algorithm(name) == canonical


@pytest.mark.parametrize("algorithm", sorted(KNOWN))
def test_the_names_listed_are_those_that_are_understood(algorithm: str) -> None:
    assert names_of(algorithm)[0] == algorithm
    assert {canonical_algorithm(name.upper()) for name in names_of(algorithm)} == {algorithm}
