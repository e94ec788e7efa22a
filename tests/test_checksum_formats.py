"""Manifests of every format: recognised, read, written, and taken by the programs whose formats they are."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from checksum_tools import run as wf_checksum
from hypothesis import given
from hypothesis import strategies as st
from wf.checksum import bagit, jsonl
from wf.checksum.digest import KNOWN, SIZES, Digest, Hashes
from wf.checksum.entries import BlockDigests, ManifestEntry, ManifestLine
from wf.checksum.errors import ManifestError, TruncatedManifest
from wf.checksum.files import digest_file
from wf.checksum.formats import Format, open_manifest, read_manifest, recognise
from wf.checksum.gnu import write_manifest_line
from wf.checksum.manifests import manifest_lines, write_manifest
from wf.checksum.verification import Verdict, verify_files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ABC = hashlib.sha256(b"abc").hexdigest()
MD5 = hashlib.md5(b"abc", usedforsecurity=False).hexdigest()

NAMES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\\", b"\n", b"\r", b" ", b"*", b"%", b"%0A", b"0a", b"25", b",", b"-", b"\xff", b'"']
        ),
        st.binary(min_size=1, max_size=4),
    ),
    min_size=1,
).map(lambda pieces: b"".join(pieces).replace(b"\0", b"0"))

DIGESTS = st.lists(
    st.sampled_from(sorted(KNOWN)).flatmap(
        lambda name: st.binary(min_size=SIZES[name], max_size=SIZES[name]).map(
            lambda value: Digest(name, value)
        )
    ),
    min_size=1,
    unique_by=lambda one: one.algorithm,
).map(tuple)

BLOCKS = st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(
    lambda values: BlockDigests(1 << 20, "sha256", tuple(values))
)
ENTRIES = st.builds(
    ManifestEntry,
    NAMES,
    DIGESTS,
    st.none() | st.integers(0, 2**60),
    st.none() | st.integers(-(2**60), 2**60),
    st.none() | st.integers(0, 2**60),
    st.none() | BLOCKS,
)
ODD_NAMES = [
    b"plain",
    b"new\nline",
    b"back\\slash",
    b"re\rturn",
    b"-x",
    b" lead",
    b"*star",
    b"\xff\xfe",
    b"100%25",
    b"a,b",
]


def entry(name: bytes, data: bytes, *algorithms: str) -> ManifestEntry:
    hashes = Hashes(algorithms or ("sha256",))
    hashes.update(data)
    return ManifestEntry(name, hashes.digests(), len(data))


def reading(lines: Iterable[bytes] | bytes) -> list[ManifestEntry]:
    return list(read_manifest(io.BytesIO(lines if isinstance(lines, bytes) else b"".join(lines))))


def run(folder: Path, *command: str | bytes, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, cwd=folder, input=text, capture_output=True, env=environment, check=False, timeout=60
    )


@pytest.fixture
def odd_files(tmp_path: Path) -> Path:
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ODD_NAMES:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(b"content of " + name)
    return folder


def entries_of(folder: Path, *algorithms: str) -> list[ManifestEntry]:
    found = []
    for name in sorted(os.listdir(os.fsencode(folder))):
        size, digests = digest_file(os.path.join(os.fsencode(folder), name), algorithms or ("sha256",))
        found.append(ManifestEntry(name, digests, size))
    return found


def verdicts(manifest: Path | io.BytesIO, folder: Path | None = None, **more: bool) -> set[Verdict]:
    return {one.verdict for one in verify_files(manifest, folder=folder, workers=1, **more)}


# --- recognising


@pytest.mark.parametrize(
    ("head", "format_"),
    [
        (f"{ABC}  a\n", Format.GNU),
        (f"# by me\n\n{ABC} *a (b)\n", Format.GNU),
        (f"\\{ABC}  a\\nb\n", Format.GNU),
        (f"SHA256 (a) = {ABC}\n", Format.BSD),
        (f"\\SHA256 (a\\n) = {ABC}\n", Format.BSD),
        ("%%%% HASHDEEP-1.0\n", Format.HASHDEEP),
        ("[]", Format.META),
        ('  [\n {"_id": "a"', Format.META),
        ('{"format":"wf-checksum","version":1}\n', Format.JSONL),
        ('{"format":"wf-checksum","version":9}\n', Format.JSONL),
        ('pegasus: "5.0"\nreplicas: []\n', Format.REPLICAS),
        ("# catalogue\n---\nreplicas:\n", Format.REPLICAS),
        ("", Format.GNU),
        ("words\n", Format.GNU),
    ],
)
def test_formats_are_recognised_by_what_they_hold(head: str, format_: Format) -> None:
    assert recognise(head.encode()) is format_
    assert open_manifest(io.BytesIO(head.encode())).format is format_


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        ("\ufeffabc".encode("utf-16-le"), "UTF-16"),
        (b'{"version": 1}', "no manifest"),
        (b'{"name": "wf-checksum-like"}\n', "no manifest"),
    ],
)
def test_what_is_certainly_no_manifest_is_refused(head: bytes, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        open_manifest(io.BytesIO(head))


def test_a_lent_stream_stays_open_and_a_path_is_closed(tmp_path: Path) -> None:
    stream = io.BytesIO(f"{ABC}  a\n".encode())
    with open_manifest(stream) as manifest:
        assert [one.name for one in manifest] == [b"a"]
    del manifest
    assert not stream.closed
    (tmp_path / "SUMS").write_bytes(stream.getvalue())
    before = len(os.listdir("/proc/self/fd"))
    assert len(list(read_manifest(tmp_path / "SUMS"))) == 1
    (tmp_path / "SUMS").write_bytes(b"{}")
    with pytest.raises(ManifestError):
        open_manifest(tmp_path / "SUMS")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_manifest_longer_than_its_head_is_read_whole() -> None:
    lines = [write_manifest_line(Digest("sha256", bytes(32)), f"name{number}") for number in range(3000)]
    assert [one.name for one in reading(lines)] == [b"name%d" % number for number in range(3000)]


# --- our own


@given(st.lists(ENTRIES, max_size=5))
def test_any_entries_survive_our_own_format(entries: list[ManifestEntry]) -> None:
    lines = list(manifest_lines(entries))
    assert all(line.count(b"\n") == 1 and line.isascii() for line in lines)
    assert reading(lines) == entries


@given(st.lists(ENTRIES, min_size=1, max_size=4), st.data())
def test_our_own_manifest_cut_anywhere_is_refused(entries: list[ManifestEntry], data: st.DataObject) -> None:
    whole = b"".join(manifest_lines(entries))
    cut = data.draw(st.integers(len(jsonl.HEADER), len(whole) - 2))
    with pytest.raises(ManifestError):
        reading(whole[:cut])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b'{"format":"wf-checksum","version":2}\n{"end":"wf-checksum","entries":0}\n', "is version 2"),
        (jsonl.HEADER + jsonl.trailer(1), "holds 0 entries, and its last line counts 1"),
        (jsonl.HEADER + jsonl.trailer(0) + jsonl.HEADER, "goes on after its end, at line 3"),
        (jsonl.HEADER, "ends after 0 entries"),
    ],
)
def test_a_manifest_of_ours_that_breaks_the_rules_is_refused(text: bytes, error: str) -> None:
    with pytest.raises(ManifestError, match=error):
        reading(text)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("[]", "not a JSON object"),
        ("{", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ('{"sha256":"ABC"}', "no path"),
        ('{"path":"a\\u0000","sha256":"ABC"}', "no path"),
        ('{"path":"\\ud800","sha256":"ABC"}', "surrogate"),
        ('{"path":"a"}', "no digest"),
        ('{"path":"a","sha256":"00"}', "64 hexadecimal digits"),
        ('{"path":"a","sha256":"SHORT"}', "64 hexadecimal digits"),
        ('{"path":"a","sha256":1}', "64 hexadecimal digits"),
        ('{"path":"a","sha256":"ABC","size":-1}', "size is not"),
        ('{"path":"a","sha256":"ABC","size":true}', "size is not"),
        ('{"path":"a","sha256":"ABC","size":1.5}', "size is not"),
        ('{"path":"a","sha256":"ABC","blocks":[]}', "blocks needs"),
        ('{"path":"a","sha256":"ABC","blocks":{"size":0,"md5":[]}}', "blocks needs"),
        ('{"path":"a","sha256":"ABC","blocks":{"size":9,"md5":["0"]}}', "md5 is not"),
    ],
)
def test_malformed_lines_of_ours_are_told_and_reading_goes_on(record: str, problem: str) -> None:
    good = jsonl.entry_line(entry(b"b", b"abc"))
    line = record.replace("SHORT", f"{ABC[:-1]} ").replace("ABC", ABC).encode()
    text = jsonl.HEADER + line + b"\n" + good + jsonl.trailer(2)
    bad, line = open_manifest(io.BytesIO(text)).lines()
    assert (bad.number, bad.entry) == (2, None)
    assert problem in bad.problem
    assert line == ManifestLine(3, entry(b"b", b"abc"))
    with pytest.raises(ManifestError, match="line 2"):
        reading(text)


def test_unknown_keys_are_left_to_later_versions() -> None:
    text = jsonl.HEADER + b'{"path":"a","sha3":"x","md5":"%b"}\n' % MD5.encode() + jsonl.trailer(1)
    assert [str(one.digests[0]) for one in reading(text)] == [f"md5:{MD5}"]


@given(st.binary(max_size=300))
def test_no_bytes_make_a_reader_fail_otherwise(text: bytes) -> None:
    heads = (b"", jsonl.HEADER, b"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n", b"[", b"[{", ABC.encode())
    for head in heads:
        try:
            for line in open_manifest(io.BytesIO(head + text)).lines():
                assert (line.entry is None) == bool(line.problem)
        except ManifestError as error:
            assert str(error)


def test_json_lines_are_what_other_json_programs_read(odd_files: Path, tmp_path: Path) -> None:
    entries = entries_of(odd_files)
    assert write_manifest(tmp_path / "m.jsonl", entries) == len(ODD_NAMES)
    records = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert records[0] == {"format": "wf-checksum", "version": 1}
    assert [os.fsencode(one["path"]) for one in records[1:-1]] == sorted(ODD_NAMES)
    assert records[-1] == {"end": "wf-checksum", "entries": len(ODD_NAMES)}
    assert verdicts(tmp_path / "m.jsonl", odd_files) == {Verdict.MATCH}


# --- GNU and BSD


@pytest.mark.parametrize(
    ("program", "algorithm"),
    [
        (("sha256sum",), "sha256"),
        (("sha256sum", "--tag"), "sha256"),
        (("md5sum", "--tag"), "md5"),
        (("sha512sum",), "sha512"),
        (("b2sum",), "blake2b"),
        (("b2sum", "--tag"), "blake2b"),
        (("sha1sum", "-b"), "sha1"),
        (("sha384sum",), "sha384"),
        (("cksum", "-a", "sha256"), "sha256"),
        (("openssl", "dgst", "-sha256"), "sha256"),
        (("openssl", "dgst", "-r", "-sha256"), "sha256"),
    ],
)
def test_what_the_programs_print_is_verified(
    odd_files: Path, program: tuple[str, ...], algorithm: str
) -> None:
    names = [b"plain", b"a,b", b"100%25"] if program[0] == "openssl" else ODD_NAMES
    done = run(odd_files, *program, *([] if program[0] == "openssl" else ["--"]), *names)
    assert done.returncode == 0, done.stderr
    found = list(verify_files(io.BytesIO(done.stdout), folder=odd_files, workers=1))
    assert [(one.verdict, one.entry and one.entry.name) for one in found] == [
        (Verdict.MATCH, name) for name in names
    ]
    assert {one.found.digests[0].algorithm for one in found if one.found} == {algorithm}


@pytest.mark.parametrize("form", ["gnu", "bsd"])
@pytest.mark.parametrize(
    ("program", "algorithm"),
    [("sha256sum", "sha256"), ("b2sum", "blake2b"), ("md5sum", "md5"), ("sha512sum", "sha512")],
)
def test_what_we_write_the_programs_verify(odd_files: Path, program: str, algorithm: str, form: str) -> None:
    write_manifest(odd_files / "SUMS", entries_of(odd_files, algorithm), format=form)
    done = run(odd_files, program, "-c", "--strict", "--quiet", "SUMS")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_values_that_two_algorithms_share_are_not_mistaken(odd_files: Path) -> None:
    # What b2sum and sha512sum print looks alike; a damaged file matches neither.
    b2sums = run(odd_files, "b2sum", "--", *ODD_NAMES).stdout
    (odd_files / "plain").write_bytes(b"damaged")
    found = list(verify_files(io.BytesIO(b2sums), folder=odd_files, workers=1))
    bad = [one.entry.name for one in found if one.verdict is Verdict.MISMATCH and one.entry]
    assert bad == [b"plain"]
    assert {one.verdict for one in found} == {Verdict.MATCH, Verdict.MISMATCH}


LENGTHS = pytest.mark.parametrize("bits", [8, 160, 256, 504, 512])


@LENGTHS
@pytest.mark.parametrize("options", [(), ("-b",), ("--tag",), ("-z",)])
def test_b2sum_of_any_length_is_verified(odd_files: Path, bits: int, options: tuple[str, ...]) -> None:
    sums = run(odd_files, "b2sum", "-l", str(bits), *options, "--", *ODD_NAMES).stdout
    told = () if "--tag" in options else ("-a", "blake2b")
    done = wf_checksum(odd_files, "-c", "--strict", *told, text=sums)
    assert (done.code, done.out.count(b": OK\n"), done.err) == (0, len(ODD_NAMES), "")
    assert wf_checksum(odd_files, "-c", "--strict", "-a", f"blake2b-{bits}", text=sums).code == 0
    assert wf_checksum(odd_files, "-c", "-a", "blake2b-248", text=sums).code == 1
    (odd_files / "B2SUMS.txt").write_bytes(sums)
    assert wf_checksum(odd_files, "-c", "--quiet", "--strict", "B2SUMS.txt") == (0, b"", "")
    (odd_files / "plain").write_bytes(b"damaged")
    assert wf_checksum(odd_files, "-c", "--quiet", "B2SUMS.txt").lines == ["plain: FAILED"]


@LENGTHS
@pytest.mark.parametrize("options", [(), ("-b",), ("--tag",), ("-z",)])
def test_we_print_what_b2sum_prints_of_any_length(
    odd_files: Path, bits: int, options: tuple[str, ...]
) -> None:
    ours = wf_checksum(odd_files, "-a", f"blake2b-{bits}", *options, "--", *ODD_NAMES).out
    assert ours == run(odd_files, "b2sum", "-l", str(bits), *options, "--", *ODD_NAMES).stdout
    done = run(odd_files, "b2sum", "-c", "--strict", "--quiet", *set(options) & {"-z"}, text=ours)
    assert "-z" in options or (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_lengths_of_blake2b_do_not_stand_for_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    both = (
        run(tmp_path, "b2sum", "--tag", "a").stdout + run(tmp_path, "b2sum", "--tag", "-l", "256", "a").stdout
    )
    found = list(verify_files(io.BytesIO(both), folder=tmp_path, workers=1))
    assert [one.verdict for one in found] == [Verdict.MATCH] * 2
    cut = both.splitlines()[0][:-64].replace(b"BLAKE2b", b"BLAKE2b-256")
    assert [one.verdict for one in verify_files(io.BytesIO(cut + b"\n"), folder=tmp_path)] == [
        Verdict.MISMATCH
    ]


@pytest.mark.parametrize("form", ["jsonl", "bsd", "bagit"])
def test_a_shortened_blake2b_has_its_name_in_every_format_that_has_names(tmp_path: Path, form: str) -> None:
    (tmp_path / "bagit.txt").write_bytes(b"")
    (tmp_path / "a").write_bytes(b"abc")
    path = tmp_path / ("manifest-blake2b256.txt" if form == "bagit" else "M")
    entry = ManifestEntry(b"a", digest_file(tmp_path / "a", ("blake2b-256",)).digests, 3)
    write_manifest(path, [entry], format=form)
    (read,) = read_manifest(path)
    assert read.digests == entry.digests
    assert verdicts(path, tmp_path) == {Verdict.MATCH}


def test_several_digests_of_a_file_are_lines_of_the_tagged_form(odd_files: Path) -> None:
    lines = b"".join(manifest_lines(entries_of(odd_files, "md5", "sha256"), format="bsd"))
    assert verdicts(io.BytesIO(lines), odd_files) == {Verdict.MATCH}
    for program in ("md5sum", "sha256sum"):
        assert run(odd_files, program, "-c", "--quiet", text=lines).returncode == 0


# --- hashdeep


def test_what_hashdeep_writes_is_verified(odd_files: Path) -> None:
    (odd_files / os.fsdecode(b"new\nline")).unlink()
    names = sorted(set(ODD_NAMES) - {b"new\nline"})
    for columns in ("md5,sha256", "tiger,sha1,whirlpool", "sha256"):
        done = run(odd_files, "hashdeep", "-l", "-c", columns, *(b"./" + name for name in names))
        assert done.returncode == 0, done.stderr
        assert open_manifest(io.BytesIO(done.stdout)).format is Format.HASHDEEP
        found = list(verify_files(io.BytesIO(done.stdout), folder=odd_files, workers=1))
        assert {one.verdict for one in found} == {Verdict.MATCH}
        assert sorted(one.entry.name for one in found if one.entry) == sorted(b"./" + name for name in names)


def test_what_we_write_hashdeep_audits(odd_files: Path) -> None:
    (odd_files / os.fsdecode(b"new\nline")).unlink()
    (odd_files / os.fsdecode(b"re\rturn")).unlink()
    entries = [one._replace(name=b"./" + one.name) for one in entries_of(odd_files, "md5", "sha256")]
    write_manifest(odd_files.parent / "known", entries, format="hashdeep")
    files = [one.name for one in entries]
    assert run(odd_files, "hashdeep", "-l", "-a", "-k", "../known", *files).returncode == 0
    (odd_files / "plain").write_bytes(b"damaged")
    assert run(odd_files, "hashdeep", "-l", "-a", "-k", "../known", *files).returncode != 0


def test_hashdeep_lines_that_are_none_are_told() -> None:
    head = b"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n## note\n"
    good = b"3,%b,a,b\n" % MD5.encode()
    bad = [
        b"line of a name\n",
        b"x,%b,a\n" % MD5.encode(),
        b"3,00,a\n",
        b"3,%b,\n" % MD5.encode(),
        b"9" * 5000 + b",%b,a\n" % MD5.encode(),
    ]
    lines = list(open_manifest(io.BytesIO(head + good + b"".join(bad))).lines())
    assert lines[0].entry == ManifestEntry(b"a,b", (Digest("md5", bytes.fromhex(MD5)),), 3)
    assert [line.entry for line in lines[1:]] == [None] * len(bad)


@pytest.mark.parametrize("rest", [b"3,%b,cut" % MD5.encode(), b"3,%b" % MD5.encode()[:9]])
def test_a_manifest_of_hashdeep_that_was_cut_is_refused(rest: bytes) -> None:
    text = b"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n" + b"3,%b,a\n" % MD5.encode() + rest
    lines = open_manifest(io.BytesIO(text)).lines()
    assert next(lines).entry is not None
    with pytest.raises(TruncatedManifest, match="line 4"):
        next(lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\xef\xbb\xbf%b  a\n%b  b\n" % (ABC.encode(), ABC.encode()), [b"a", b"b"]),
        (b"%b  a\0%b  b\nc\0" % (ABC.encode(), ABC.encode()), [b"a", b"b\nc"]),
        (b"%b  a\0" % ABC.encode(), [b"a"]),
        (b"SHA256 (a) = %b\0SHA256 (b) = %b\0" % (ABC.encode(), ABC.encode()), [b"a", b"b"]),
        (b"%b  a\0b\n%b  c\n" % (ABC.encode(), ABC.encode()), [None, b"c"]),
        (b"%b  a\n%b  b\0" % (ABC.encode(), ABC.encode()), [b"a", None]),
    ],
)
def test_a_mark_of_utf_8_and_ends_in_nul_are_recognised(text: bytes, expected: list[bytes | None]) -> None:
    lines = open_manifest(io.BytesIO(text)).lines()
    assert [line.entry and line.entry.name for line in lines] == expected


@pytest.mark.parametrize(
    "text",
    [
        b"%%%% HASHDEEP-2.0\n",
        b"%%%% HASHDEEP-1.0\n",
        b"%%%% HASHDEEP-1.0\n%%%% md5,size,filename\n",
        b"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n%%%% HASHDEEP-1.0\n",
    ],
)
def test_a_hashdeep_manifest_with_a_broken_header_is_refused(text: bytes) -> None:
    with pytest.raises(ManifestError):
        reading(text)


def test_what_hashdeep_cannot_hold_is_not_written(tmp_path: Path) -> None:
    for one in (
        entry(b"a\nb", b"", "md5"),
        entry(b"a", b"", "md5")._replace(size=None),
        entry(b"a", b"", "sha512"),
    ):
        with pytest.raises(ValueError):
            write_manifest(tmp_path / "known", [one], format="hashdeep")
    assert os.listdir(tmp_path) == []


# --- bags


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    folder = tmp_path / "bag"
    (folder / "deep").mkdir(parents=True)
    for name in ("plain", "deep/new\nline", "re\rturn", "100%25", "50%", " blank "):
        (folder / name).write_bytes(name.encode())
    done = run(tmp_path, sys.executable, "-m", "bagit", "--sha256", "--md5", "bag")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_manifests_that_bagit_writes_are_verified_from_anywhere(bag: Path) -> None:
    for name in ("manifest-sha256.txt", "manifest-md5.txt", "tagmanifest-sha256.txt"):
        with open_manifest(bag / name) as manifest:
            assert (manifest.format, manifest.folder) == (Format.BAGIT, os.fsencode(bag))
        assert verdicts(bag / name) == {Verdict.MATCH}
    (bag / "data" / "plain").write_bytes(b"damaged")
    assert verdicts(bag / "manifest-sha256.txt") == {Verdict.MATCH, Verdict.MISMATCH}


def test_a_bags_manifest_that_we_write_bagit_validates(bag: Path) -> None:
    entries = list(read_manifest(bag / "manifest-sha256.txt"))
    assert len(entries) == 6
    for tags in bag.glob("tagmanifest-*"):
        tags.unlink()  # they hold the digest of the manifest that is replaced
    write_manifest(bag / "manifest-sha256.txt", sorted(entries), format="bagit")
    assert verdicts(bag / "manifest-sha256.txt") == {Verdict.MATCH}
    # bagit.py does not decode %25, and takes blanks at the end of a line for nothing.
    for name in ("data/100%25", "data/50%", "data/ blank ", "bag-info.txt"):
        (bag / name).unlink()
    entries = [one for one in entries if (bag / os.fsdecode(one.name)).exists()]
    write_manifest(bag / "manifest-sha256.txt", entries, format="bagit")
    write_manifest(bag / "manifest-md5.txt", _again(bag, entries, "md5"), format="bagit")
    assert run(bag, sys.executable, "-m", "bagit", "--validate", ".").returncode == 0
    write_manifest(
        bag / "manifest-sha256.txt", [entry(entries[0].name, b"other"), *entries[1:]], format="bagit"
    )
    assert run(bag, sys.executable, "-m", "bagit", "--validate", ".").returncode != 0


def _again(bag: Path, entries: list[ManifestEntry], algorithm: str) -> list[ManifestEntry]:
    found = [digest_file(os.path.join(os.fsencode(bag), one.name), (algorithm,)) for one in entries]
    return [one._replace(digests=file.digests) for one, file in zip(entries, found, strict=True)]


def test_a_bags_manifest_elsewhere_is_gnus(bag: Path, tmp_path: Path) -> None:
    copy = tmp_path / "manifest-sha256.txt"
    copy.write_bytes((bag / "manifest-sha256.txt").read_bytes())
    with open_manifest(copy) as manifest:
        assert manifest.format is Format.GNU


def test_a_bag_of_another_algorithm_is_refused_when_one_is_asked_for(bag: Path) -> None:
    with pytest.raises(ManifestError, match="md5 was asked for"):
        open_manifest(bag / "manifest-sha256.txt", algorithm="md5")
    (bag / "manifest-whirlpool.txt").write_text("")
    with pytest.raises(ManifestError, match="unknown algorithm, whirlpool"):
        open_manifest(bag / "manifest-whirlpool.txt")


@given(NAMES)
def test_any_name_survives_a_bags_encoding(name: bytes) -> None:
    text = bagit.encode(name)
    assert bagit.decode(text) == name
    assert not set(b"\r\n") & set(text)


def test_what_older_bags_hold_is_understood() -> None:
    text = f"{ABC} *data/a%b\r\n{ABC}\tdata/c%0ad\n{ABC[:-1]}  e\nwords\n".encode()
    lines = list(bagit.read_lines(io.BytesIO(text), "sha256"))
    assert [line.entry.name for line in lines if line.entry] == [b"data/a%b", b"data/c\nd"]
    assert [line.number for line in lines if not line.entry] == [3, 4]


# --- .meta


def test_a_meta_document_is_a_manifest_of_logical_names() -> None:
    document = [
        {"_type": "file", "_id": "a", "_attributes": {"checksum.value": ABC, "size": "3"}},
        {"_type": "file", "_id": "b", "_attributes": {"checksum.type": "md5", "checksum.value": MD5}},
        {"_type": "file", "_id": "c", "_attributes": {"user": "me"}},
        {"_type": "file", "_id": "d", "_attributes": {"checksum.value": "00"}},
    ]
    lines = list(open_manifest(io.BytesIO(json.dumps(document).encode())).lines())
    assert lines[0].entry == ManifestEntry(b"a", (Digest("sha256", bytes.fromhex(ABC)),), 3)
    assert lines[1].entry is not None and lines[1].entry.digests[0].algorithm == "md5"
    assert lines[2].entry == ManifestEntry(b"c", ())
    assert lines[3].entry is None and "32 bytes" in lines[3].problem


def test_a_meta_document_that_was_cut_is_refused() -> None:
    whole = json.dumps([{"_id": "a", "_attributes": {"checksum.value": ABC}}]).encode()
    assert len(reading(whole)) == 1
    for end in range(1, len(whole)):
        with pytest.raises(TruncatedManifest):
            reading(whole[:end])


# --- writing


def test_an_algorithm_that_is_asked_for_is_picked_out_of_several() -> None:
    lines = b"".join(manifest_lines([entry(b"a", b"abc", "md5", "sha256"), entry(b"b", b"abc", "md5")]))
    found = list(open_manifest(io.BytesIO(lines), algorithm="sha256").lines())
    assert found[0].entry == entry(b"a", b"abc")
    assert found[1] == ManifestLine(3, None, "no sha256 digest")


def test_a_manifest_that_cannot_be_written_whole_is_not_published(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("old")
    for bad in (ManifestEntry(b"a", ()), ManifestEntry(b"", entry(b"a", b"").digests)):
        with pytest.raises(ValueError):
            write_manifest(tmp_path / "m", [entry(b"a", b""), bad])
    with pytest.raises(ValueError, match="not as meta"):
        write_manifest(tmp_path / "m", [], format=Format.META)
    assert (tmp_path / "m").read_text() == "old"
    assert os.listdir(tmp_path) == ["m"]


def test_a_manifest_that_ends_in_nul_is_updated_as_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"xyz")
    (tmp_path / "M").write_bytes(b"%b  a\0" % ABC.encode())
    assert wf_checksum(tmp_path, "update", "M").lines == ["changed   a"]
    assert (tmp_path / "M").read_bytes() == hashlib.sha256(b"xyz").hexdigest().encode() + b"  a\0"


def test_a_bag_of_bagit_keeps_its_spelling_of_names_when_updated(bag: Path) -> None:
    for name in ("data/100%25", "data/ blank "):  # of these bagit.py itself reads others
        (bag / name).rename(bag / name.replace("25", "%").strip())
    (bag / "data/plain").write_text("PLAIN")
    for name in ("manifest-sha256.txt", "manifest-md5.txt", "tagmanifest-sha256.txt", "tagmanifest-md5.txt"):
        assert wf_checksum(bag, "update", name).code == 0
    assert b"  data/50%\n" in (bag / "manifest-sha256.txt").read_bytes()
    validated = run(bag.parent, sys.executable, "-m", "bagit", "--validate", "--completeness-only", "bag")
    assert validated.returncode == 0, validated.stderr
    assert verdicts(bag / "tagmanifest-md5.txt") == {Verdict.MATCH}


def test_bags_with_encoded_names_keep_them_when_updated(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "bagit.txt").write_text("BagIt-Version: 1.0\n")
    for name in ("100%", "b"):
        (tmp_path / "data" / name).write_bytes(b"abc")
    manifest = tmp_path / "manifest-sha256.txt"
    manifest.write_bytes(b"%b  data/100%%25\n" % ABC.encode())
    assert wf_checksum(tmp_path, "update", str(manifest)).lines == ["added     data/b"]
    assert manifest.read_bytes() == b"%b  data/100%%25\n%b  data/b\n" % (ABC.encode(), ABC.encode())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1", "md5", "blake2b512"])
@pytest.mark.parametrize("form", [(), ("-r",)])
def test_what_openssl_prints_is_verified(tmp_path: Path, algorithm: str, form: tuple[str, ...]) -> None:
    (tmp_path / "a (1)").write_bytes(b"abc")
    done = run(tmp_path, "openssl", "dgst", f"-{algorithm}", *form, "a (1)")
    assert wf_checksum(tmp_path, "-c", text=done.stdout).lines == ["a (1): OK"]
