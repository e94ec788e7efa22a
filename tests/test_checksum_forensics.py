"""A file that is not what it should be: what happened to it, and the evidence kept."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from wf.checksum.blocks import Range, digest_blocks, entry_of
from wf.checksum.digest import Digest
from wf.checksum.entries import ManifestEntry
from wf.checksum.forensics import Damage, Explanation, explain, quarantine

if TYPE_CHECKING:
    from collections.abc import Callable

K = 64 << 10
SIZE = 6 * K + 100
DATA = random.Random(4).randbytes(SIZE)


def plain_entry(data: bytes = DATA, *, size: bool = True) -> ManifestEntry:
    digest = Digest("sha256", hashlib.sha256(data).digest())
    return ManifestEntry(b"file", (digest,), len(data) if size else None)


@pytest.fixture
def blocks(tmp_path: Path) -> ManifestEntry:
    good = tmp_path / "good"
    good.write_bytes(DATA)
    return entry_of(b"file", digest_blocks(good, K))


def explained(tmp_path: Path, content: bytes, entry: ManifestEntry, reference: bool = False) -> Explanation:
    (tmp_path / "file").write_bytes(content)
    good = None
    if reference:
        good = tmp_path / "good"
        good.write_bytes(DATA)
    return explain(tmp_path / "file", entry, reference=good)


def told(found: Explanation) -> dict[Damage, bool]:
    return {one.damage: one.proved for one in found.findings}


def test_a_good_file_has_nothing_wrong(tmp_path: Path, blocks: ManifestEntry) -> None:
    for reference in (False, True):
        found = explained(tmp_path, DATA, blocks, reference)
        assert (found.ranges, found.findings, found.sentences()) == ((), (), [])


# --- with block digests


def test_a_truncated_file_is_told_with_the_place(tmp_path: Path, blocks: ManifestEntry) -> None:
    found = explained(tmp_path, DATA[: 3 * K + 7], blocks)
    assert told(found) == {Damage.TRUNCATED: True}
    assert found.ranges == (Range(3 * K, SIZE),)
    assert found.sentences()[0] == f"{3 * K + 7} bytes, {SIZE - 3 * K - 7} fewer than the expected {SIZE}"
    assert f"all blocks before byte {3 * K} are right" in found.sentences()[1]


def test_a_short_page_in_the_place_of_a_file_is_not_its_beginning(
    tmp_path: Path, blocks: ManifestEntry
) -> None:
    found = explained(tmp_path, b"<!DOCTYPE html><title>Sign in</title>", blocks)
    assert told(found) == {Damage.HTML: False}
    assert found.ranges == (Range(0, SIZE),)


def test_bytes_that_came_in_between_show_in_the_last_block_too(tmp_path: Path) -> None:
    (tmp_path / "two").write_bytes(DATA[: 2 * K - 100])
    entry = entry_of(b"two", digest_blocks(tmp_path / "two", K))
    found = explained(tmp_path, DATA[:50] + b"abc" + DATA[50 : 2 * K - 100], entry)
    assert told(found) == {Damage.SHIFTED: True}
    assert "3 bytes too late" in found.sentences()[1]


def test_zeros_instead_of_data_are_told_with_their_place(tmp_path: Path, blocks: ManifestEntry) -> None:
    holes = DATA[:K] + bytes(8192) + DATA[K + 8192 : 5 * K] + bytes(K) + DATA[6 * K :]
    found = explained(tmp_path, holes, blocks)
    assert told(found) == {Damage.ZERO_FILLED: True}
    assert found.ranges == (Range(K, 2 * K), Range(5 * K, 6 * K))
    assert f"bytes {K}-{K + 8191}, bytes {5 * K}-{6 * K - 1}" in found.sentences()[0]


@pytest.mark.parametrize("change", [17, -1, 512, -40])
def test_bytes_that_came_in_between_or_were_lost_shift_the_rest(
    tmp_path: Path, blocks: ManifestEntry, change: int
) -> None:
    at = K + 1000
    shifted = DATA[:at] + (b"x" * change if change > 0 else b"") + DATA[at + max(0, -change) :]
    for content in (shifted, shifted[:SIZE].ljust(SIZE, b"y")):  # the second has the right size
        found = explained(tmp_path, content, blocks)
        assert told(found)[Damage.SHIFTED]
        assert found.ranges[0].start == K
        word = "came in between" if change > 0 else "were lost"
        assert any(f"{abs(change)} bytes too" in one and word in one for one in found.sentences())


def test_blocks_in_each_others_place_are_recognised(tmp_path: Path, blocks: ManifestEntry) -> None:
    swapped = DATA[:K] + DATA[3 * K : 4 * K] + DATA[2 * K : 3 * K] + DATA[K : 2 * K] + DATA[4 * K :]
    found = explained(tmp_path, swapped, blocks)
    assert told(found) == {Damage.MISPLACED: True}
    assert f"the block at byte {K} holds what belongs at byte {3 * K}" in found.sentences()


def test_damage_of_no_known_kind_has_a_place_at_least(tmp_path: Path, blocks: ManifestEntry) -> None:
    noise = random.Random(5).randbytes(100)
    found = explained(tmp_path, DATA[: 2 * K] + noise + DATA[2 * K + 100 :], blocks)
    assert (found.findings, found.ranges) == ((), (Range(2 * K, 3 * K),))
    assert found.sentences() == [f"differs in bytes {2 * K}-{3 * K - 1}"]


# --- with a good copy


def test_single_bits_are_told_where_there_is_a_good_copy(tmp_path: Path) -> None:
    bad = bytearray(DATA)
    bad[1000] ^= 0x10
    bad[5 * K] ^= 0x81
    found = explained(tmp_path, bytes(bad), plain_entry(), reference=True)
    assert told(found) == {Damage.BITS: True}
    assert found.sentences()[0] == f"3 bits flipped: byte 1000 mask 0x10, byte {5 * K} mask 0x81"
    assert found.ranges == (Range(512, 1024), Range(5 * K, 5 * K + 512))


@pytest.mark.parametrize(
    ("content", "damage"),
    [
        (DATA[: SIZE - 10], Damage.TRUNCATED),
        (DATA + b"more", Damage.APPENDED),
        (DATA[:5000] + b"in between" + DATA[5000:], Damage.SHIFTED),
        (DATA[:5000] + DATA[5300:], Damage.SHIFTED),
        (DATA[:5000] + DATA[9000:], Damage.SHIFTED),
        (DATA[:8192] + bytes(8192) + DATA[16384:], Damage.ZERO_FILLED),
    ],
)
def test_a_good_copy_tells_the_other_kinds_too(tmp_path: Path, content: bytes, damage: Damage) -> None:
    found = explained(tmp_path, content, plain_entry(), reference=True)
    assert told(found)[damage]
    assert found.ranges


# --- with nothing but the digest


def chunked(data: bytes, size: int = K, *, signature: str = "") -> bytes:
    mark = f";chunk-signature={signature}" if signature else ""
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    body = b"".join(f"{len(part):x}{mark}\r\n".encode() + part + b"\r\n" for part in parts)
    return body + f"0{mark}\r\n".encode() + b"x-amz-checksum-crc32c:4waSgw==\r\n\r\n"


HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in\n to\x1b continue</title></head></html>"
XML = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>no</Message></Error>'


@pytest.mark.parametrize(
    ("content", "damage", "proved", "words"),
    [
        (b"", Damage.EMPTY, True, "it is empty"),
        (HTML, Damage.HTML, False, "an HTML page (Sign in to? continue) instead of data"),
        (XML, Damage.XML_ERROR, False, "an XML error, AccessDenied, instead of data"),
        (b'{"error": "expired"}', Damage.JSON_ERROR, False, "an error in JSON"),
        (chunked(DATA), Damage.AWS_CHUNKED, True, "inside is the right content"),
        (chunked(DATA, signature="0f" * 32), Damage.AWS_CHUNKED, True, "inside is the right content"),
        (
            chunked(b"other", signature="0f" * 32),
            Damage.AWS_CHUNKED,
            False,
            "begins with the aws-chunked framing",
        ),
        (gzip.compress(DATA), Damage.GZIP, True, "inside is the right content"),
        (DATA + bytes(10), Damage.APPENDED, True, f"the first {SIZE} bytes are right, and 10 follow"),
        (DATA[:-8192] + bytes(8192), Damage.ZERO_FILLED, False, "ends in zeros"),
        (bytes(SIZE), Damage.ZERO_FILLED, False, "all zeros"),
    ],
)
def test_what_took_the_place_of_the_data_is_recognised(
    tmp_path: Path, content: bytes, damage: Damage, proved: bool, words: str
) -> None:
    found = explained(tmp_path, content, plain_entry())
    assert told(found)[damage] is proved
    assert any(words in one for one in found.sentences())


def test_the_trailer_of_an_upload_at_the_end_is_recognised(tmp_path: Path) -> None:
    found = explained(tmp_path, DATA + b"\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", plain_entry())
    assert told(found) == {Damage.AWS_CHUNKED: False, Damage.APPENDED: True}


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize(
    ("change", "damage"),
    [
        (lambda text: text.replace(b"\n", b"\r\n"), Damage.CRLF),
        (lambda text: text, Damage.LF),
    ],
)
def test_a_transfer_in_text_mode_is_recognised(
    tmp_path: Path, change: Callable[[bytes], bytes], damage: Damage, size: bool
) -> None:
    unix = b"".join(b"line %d\n" % number for number in range(60_000))
    dos = unix.replace(b"\n", b"\r\n")
    entry = plain_entry(unix if damage is Damage.CRLF else dos, size=size)
    assert told(explained(tmp_path, change(unix), entry)) == {damage: True}


def test_random_bytes_are_not_taken_for_anything(tmp_path: Path) -> None:
    for seed in range(20):
        found = explained(tmp_path, random.Random(seed).randbytes(3000), plain_entry(size=False))
        assert found.findings == ()


def test_broken_framing_and_broken_gzip_prove_nothing(tmp_path: Path) -> None:
    for content in (
        chunked(DATA)[:-9000],
        chunked(DATA)[:300],
        gzip.compress(DATA)[:5000],
        b"5\r\nabc",
        b"\x1f\x8b\x08",
    ):
        assert True not in told(explained(tmp_path, content, plain_entry())).values()


def test_a_compressed_file_that_would_never_end_is_given_up(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000), 9)
    assert Damage.GZIP not in told(explained(tmp_path, bomb, plain_entry(b"small")))


# --- quarantine


def test_a_bad_file_is_kept_and_nothing_is_replaced(tmp_path: Path) -> None:
    kept = []
    for content in (b"one", b"two"):
        (tmp_path / "file\n").write_bytes(content)
        kept.append(Path(os.fsdecode(quarantine(tmp_path / "file\n", tmp_path / "bad"))))
        assert not (tmp_path / "file\n").exists()
    assert [one.read_bytes() for one in kept] == [b"one", b"two"]
    assert all(one.name.startswith("file\n.bad-") for one in kept)
    assert (tmp_path / "bad").stat().st_mode & 0o777 == 0o700


def test_the_folders_of_a_name_are_kept_and_do_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    kept = quarantine(tmp_path / "file", tmp_path / "bad", name=b"/../a/./b/file")
    assert os.path.dirname(kept) == os.fsencode(tmp_path / "bad/a/b")


def test_a_link_is_moved_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    kept = quarantine(tmp_path / "link", tmp_path / "bad")
    assert os.path.islink(kept)
    assert (tmp_path / "target").exists()


def test_a_file_system_of_its_own_is_no_hindrance(tmp_path: Path) -> None:
    other = "/dev/shm" if os.stat("/dev/shm").st_dev != os.stat(tmp_path).st_dev else "/tmp"
    if os.stat(other).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is one file system only")
    import tempfile

    with tempfile.TemporaryDirectory(dir=other) as folder:
        (tmp_path / "file").write_bytes(DATA)
        kept = quarantine(tmp_path / "file", folder)
        with open(kept, "rb") as file:
            assert file.read() == DATA
        (tmp_path / "link").symlink_to("nowhere")
        assert os.readlink(quarantine(tmp_path / "link", folder)) == b"nowhere"
        assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_moved_stays_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        quarantine(tmp_path / "missing", tmp_path / "bad")
    assert os.listdir(tmp_path / "bad") == []
