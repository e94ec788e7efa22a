"""Digests in the spellings of protocols, with the standards' own examples, and the checksums Python lacks."""

from __future__ import annotations

import hashlib
import itertools
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wf.checksum import codecs
from wf.checksum.codecs import Composite
from wf.checksum.crc import CRC32C, CRC64NVME, Polynomial, new_crc, portable
from wf.checksum.digest import SIZES, Digest, new_hash, parse_base64, parse_hex

HELLO = b'{"hello": "world"}\n'
"""The representation of RFC 9530, appendix B."""


def digest_of(algorithm: str, data: bytes) -> Digest:
    one = new_hash(algorithm)
    one.update(data)
    return Digest(algorithm, one.digest())


DIGESTS = st.sampled_from(sorted(SIZES)).flatmap(
    lambda name: st.binary(min_size=SIZES[name], max_size=SIZES[name]).map(lambda value: Digest(name, value))
)


def some(*algorithms: str) -> st.SearchStrategy[list[Digest]]:
    of = {name: st.binary(min_size=SIZES[name], max_size=SIZES[name]) for name in algorithms}
    chosen = st.lists(st.sampled_from(algorithms), unique=True, min_size=1)
    return chosen.flatmap(
        lambda names: st.tuples(*(of[name] for name in names)).map(
            lambda values: [Digest(*pair) for pair in zip(names, values, strict=True)]
        )
    )


# --- RFC 9530


@pytest.mark.parametrize(
    ("field", "algorithm", "data"),
    [
        # Appendices B.1, B.5 and D; the second is of the empty content.
        ("sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", "sha256", HELLO),
        ("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", "sha256", b""),
        (
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
            "sha512",
            b'{"hello": "world"}',
        ),
        ("crc32c=:4waSgw==:", "crc32c", b"123456789"),
        ("adler=:A9oBlQ==:", "adler32", None),
    ],
)
def test_structured_fields_as_rfc_9530_has_them(field: str, algorithm: str, data: bytes | None) -> None:
    (found,) = codecs.parse_structured(field)
    expected = parse_hex("adler32", "03da0195") if data is None else digest_of(algorithm, data)
    assert found == expected
    assert codecs.format_structured([found]) == field


@given(some("sha256", "sha512", "md5", "sha1", "adler32", "crc32c"))
def test_structured_fields_survive_the_round_trip(digests: list[Digest]) -> None:
    assert list(codecs.parse_structured(codecs.format_structured(digests))) == digests


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("id-sha-512=:AAAA:, sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:;x=1", ["sha256"]),
        ('other="a, md5=:b:", md5=:kAFQmDzST7DWlj99KOF/cg==:', ["md5"]),
        ("md5=:kAFQmDzST7DWlj99KOF/cg:", ["md5"]),
        ("MD5 = :kAFQmDzST7DWlj99KOF/cg==:", ["md5"]),
        ("sha-256=:kAFQmDzST7DWlj99KOF/cg==:", []),
        ("sha-256=:not base64:", []),
        ("sha-256=9, md5=?1, token", []),
        ("sha-256", []),
        ("", []),
        (",,,", []),
        ("sha-256=:" + "A" * 10_000, []),
    ],
)
def test_what_is_not_understood_in_a_structured_field_is_left_out(field: str, names: list[str]) -> None:
    assert [one.algorithm for one in codecs.parse_structured(field)] == names


def test_of_a_key_given_twice_the_last_counts_as_rfc_8941_says() -> None:
    one, other = digest_of("md5", b"1"), digest_of("md5", b"2")
    assert codecs.parse_structured(f"md5=:{one.base64}:, md5=:{other.base64}:") == (other,)


@given(st.text(max_size=200))
def test_no_text_makes_a_list_parser_fail(text: str) -> None:
    for parse in (
        codecs.parse_structured,
        codecs.parse_instance_digests,
        codecs.parse_sri,
        codecs.parse_google,
    ):
        for spelled in (text, f"sha-256=:{text}:", f"md5={text}", f"sha256-{text}"):
            assert all(len(one.value) == SIZES[one.algorithm] for one in parse(spelled))


# --- RFC 3230


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        # Section 4.3.2 of RFC 3230, and what grid servers send.
        ("md5=HUXZLQLMuI/KZ5KDcJPcOA==", [parse_base64("md5", "HUXZLQLMuI/KZ5KDcJPcOA==")]),
        (
            "SHA=thvDyvhfIqlvFe+A9MYgxAfm1q5=,unixsum=30637,adler32=03da0195",
            [parse_base64("sha1", "thvDyvhfIqlvFe+A9MYgxAfm1q5="), parse_hex("adler32", "03da0195")],
        ),
        ("adler32=3da0195", [parse_hex("adler32", "03da0195")]),
        ("ADLER32=0", [parse_hex("adler32", "00000000")]),
        ("adler32=A9oBlQ==", [parse_hex("adler32", "03da0195")]),
        ("crc32c=e3069283", [parse_hex("crc32c", "e3069283")]),
        ("crc32c=4waSgw==", [parse_hex("crc32c", "e3069283")]),
        (f"sha-256={'0f' * 32}", [parse_hex("sha256", "0f" * 32)]),
        ("md5=03da0195", []),
        ("adler32=HUXZLQLMuI/KZ5KDcJPcOA==", []),
        ("adler32=003da0195", []),
        ("adler32=", []),
        ("crc32c=4waSgw", []),
        ("md5", []),
        ("UNIXcksum=1", []),
    ],
)
def test_digest_fields_as_rfc_3230_has_them(field: str, expected: list[Digest]) -> None:
    assert list(codecs.parse_instance_digests(field)) == expected


@given(some("sha256", "sha512", "sha1", "md5", "adler32", "crc32c"))
def test_digest_fields_survive_the_round_trip(digests: list[Digest]) -> None:
    field = codecs.format_instance_digests(digests)
    assert list(codecs.parse_instance_digests(field)) == digests
    assert all(one.hex in field for one in digests if one.algorithm in ("adler32", "crc32c"))


# --- others


def test_subresource_integrity_as_the_w3c_has_it() -> None:
    # Section 3.1 of the recommendation: the script `alert('Hello, world.');`
    text = "sha384-H8BRh8j48O9oYatfu5AZzq6A9RINhZO5H16dQZngK7T62em8MUt1FLm52t+eX6xO"
    expected = digest_of("sha384", b"alert('Hello, world.');")
    assert codecs.parse_sri(f"{text}?ct=js sha1-xx md5-yy") == (expected,)
    assert codecs.format_sri(expected) == text
    with pytest.raises(ValueError, match="not md5"):
        codecs.format_sri(digest_of("md5", b""))


def test_google_hashes_are_base64_most_significant_byte_first() -> None:
    found = codecs.parse_google("crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg==, sha1=xx")
    assert found == (digest_of("crc32c", b""), digest_of("md5", b""))
    assert (
        codecs.format_google([*found, digest_of("sha256", b"")])
        == "crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg=="
    )
    assert codecs.parse_google("crc32c=4waSgw==") == (digest_of("crc32c", b"123456789"),)
    assert codecs.parse_google("crc32c=e3069283") == ()


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        ("sha2:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "sha256"),
        ("900150983cd24fb0d6963f7d28e17f72", "md5"),
        ("sha1:qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "sha1"),
        ("adler32:024d0127", "adler32"),
    ],
)
def test_irods_checksums_are_read_and_written(text: str, algorithm: str) -> None:
    assert codecs.parse_irods(text) == digest_of(algorithm, b"abc")
    assert codecs.format_irods(digest_of(algorithm, b"abc")) == text


@pytest.mark.parametrize("text", ["", "sha2:", "sha2:024d0127", "crc64:xx", "024d0127", "sha3:abc"])
def test_what_is_no_irods_checksum_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        codecs.parse_irods(text)
    with pytest.raises(ValueError, match="no name"):
        codecs.format_irods(digest_of("blake2b", b""))


def test_oci_digests_are_lower_case_hexadecimal() -> None:
    digest = digest_of("sha256", b"abc")
    assert codecs.parse_oci(codecs.format_oci(digest)) == digest
    for wrong in (f"sha256:{digest.hex.upper()}", "sha256:00", f"md5:{'0' * 32}", digest.hex, "sha256"):
        with pytest.raises(ValueError):
            codecs.parse_oci(wrong)


def test_an_s3_composite_is_the_digest_of_the_parts_digests_and_never_the_objects() -> None:
    parts = [digest_of("sha256", b"a" * 10), digest_of("sha256", b"b")]
    made = codecs.composite_of(parts)
    value = hashlib.sha256(parts[0].value + parts[1].value).digest()
    assert made == Composite(Digest("sha256", value), 2)
    assert codecs.parse_s3("sha256", str(made)) == made
    assert codecs.parse_s3("sha256", made.digest.base64, kind="FULL_OBJECT") == made.digest
    with pytest.raises(ValueError, match="number of its parts"):
        codecs.parse_s3("sha256", made.digest.base64, kind="COMPOSITE")
    for wrong in (f"{made.digest.base64}-", f"{made.digest.base64}-0", f"{made.digest.base64}-x", "AAAA", ""):
        with pytest.raises(ValueError):
            codecs.parse_s3("sha256", wrong)
    with pytest.raises(ValueError, match="one algorithm"):
        codecs.composite_of([digest_of("md5", b""), digest_of("sha1", b"")])


def test_an_etag_is_md5_only_if_it_can_be() -> None:
    digest = digest_of("md5", b"abc")
    assert codecs.parse_etag(f'"{digest.hex}"') == digest
    assert codecs.parse_etag(f'W/"{digest.hex}-12"') == Composite(digest, 12)
    for wrong in ('"abc"', '"0x8D4BCC2E4835CD0"', f'"{digest.hex}-"', f'"{digest.hex}-1-2"'):
        with pytest.raises(ValueError):
            codecs.parse_etag(wrong)


# --- any of them


@given(DIGESTS)
def test_a_labelled_digest_is_understood_however_it_is_spelled(digest: Digest) -> None:
    spellings = [
        str(digest),
        f"{digest.algorithm}={digest.base64}",
        f"{digest.algorithm.upper()}:{digest.hex}",
    ]
    if digest.algorithm in ("sha256", "sha512"):
        spellings += [codecs.format_structured([digest]), codecs.format_sri(digest), digest.hex + ""]
    for text in spellings:
        if text == digest.hex and digest.algorithm == "sha512":
            continue
        assert codecs.parse_any(text) == digest


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("024d0127", "crc32 or crc32c or adler32"),
        ("0" * 128, "sha512 or blake2b"),
        ("0" * 31, "fits no algorithm"),
        ("", "no digest"),
        ("sha256:00", "no digest"),
        ("md5=1B2M2Y8AsgTpgAmY7PhCfg==,adler32=00000001", "spells 2 digests"),
    ],
)
def test_a_spelling_that_could_be_several_things_is_not_guessed(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        codecs.parse_any(text)


# --- CRC-32C and CRC-64/NVME

CRC32 = Polynomial(0xEDB88320, 4)
"""The one that zlib has too."""


@pytest.mark.parametrize(
    ("algorithm", "data", "expected"),
    [
        # RFC 3720 appendix B.4, and the check values of the catalogue of parametrised CRC algorithms.
        ("crc32c", bytes(32), "8a9136aa"),
        ("crc32c", b"\xff" * 32, "62a8ab43"),
        ("crc32c", bytes(range(32)), "46dd794e"),
        ("crc32c", bytes(reversed(range(32))), "113fdb5c"),
        ("crc32c", b"123456789", "e3069283"),
        ("crc32c", b"", "00000000"),
        ("crc64nvme", b"123456789", "ae8b14860a799888"),
        ("crc64nvme", b"", "0000000000000000"),
    ],
)
def test_the_vectors_of_the_standards(algorithm: str, data: bytes, expected: str) -> None:
    assert digest_of(algorithm, data).hex == expected
    update = portable(CRC32C if algorithm == "crc32c" else CRC64NVME)
    assert f"{update(data, 0):0{len(expected)}x}" == expected


SIZES_AROUND_LANES = [
    0,
    1,
    63,
    64,
    1023,
    1024,
    1025,
    2047,
    4095,
    65535,
    65536,
    262143,
    262144,
    262145,
    700_001,
]


@pytest.mark.parametrize("size", SIZES_AROUND_LANES)
def test_pythons_own_computation_agrees_with_zlib_and_the_fast_packages(size: int) -> None:
    import awscrt.checksums
    import google_crc32c

    data = random.Random(size).randbytes(size)
    assert portable(CRC32)(data, 0) == zlib.crc32(data)
    assert portable(CRC32C)(data, 0) == google_crc32c.value(data) == awscrt.checksums.crc32c(data, 0)
    assert portable(CRC64NVME)(data, 0) == awscrt.checksums.crc64nvme(data, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 9000), st.lists(st.integers(0, 9000), max_size=3))
def test_pythons_own_computation_goes_on_where_it_stopped(seed: int, size: int, cuts: list[int]) -> None:
    data = random.Random(seed).randbytes(size)
    for polynomial in (CRC32, CRC64NVME):
        update = portable(polynomial)
        value = 0
        for start, end in itertools.pairwise([0, *sorted(min(cut, size) for cut in cuts), size]):
            value = update(memoryview(data)[start:end], value)
        assert value == update(data, 0)


def test_without_the_fast_packages_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from wf.checksum import crc

    data = random.Random(1).randbytes(5000)
    fast = [digest_of("crc32c", data), digest_of("crc64nvme", data)]
    assert crc.is_fast("crc32c") and crc.is_fast("crc64nvme")
    monkeypatch.setattr(crc, "_fast_crc32c", lambda: None)
    monkeypatch.setattr(crc, "_fast_crc64nvme", lambda: None)
    slow = []
    for algorithm in ("crc32c", "crc64nvme"):
        assert not crc.is_fast(algorithm)
        one = new_crc(algorithm)
        one.update(data)
        slow.append(Digest(algorithm, one.digest()))
    assert slow == fast
