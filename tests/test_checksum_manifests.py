"""Manifest lines and files: whatever a name is made of, it comes back, and coreutils agrees."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wf.checksum.digest import KNOWN, SIZES, Digest
from wf.checksum.gnu import (
    LONGEST_LINE,
    Entry,
    Line,
    LineParser,
    parse_line,
    read_lines,
    write_manifest_line,
)
from wf.checksum.manifests import ManifestWriter
from wf.checksum.names import escape, printable, unescape

if TYPE_CHECKING:
    from pathlib import Path

ABC = Digest("sha256", hashlib.sha256(b"abc").digest())
MD5 = Digest("md5", hashlib.md5(b"abc", usedforsecurity=False).digest())
HEX = ABC.hex.encode()

NAMES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\\", b"\n", b"\r", b"n", b" ", b"*", b")", b"(", b"=", b"#", b"-", b"\xff", b"\t"]
        ),
        st.binary(min_size=1, max_size=4),
    ),
    min_size=1,
).map(lambda pieces: b"".join(pieces).replace(b"\0", b"0"))

ODD_NAMES = [
    b"plain",
    b"new\nline",
    b"back\\slash",
    b"\\n",
    b"carriage\rreturn",
    b"ends in return\r",
    b"-x",
    b"--tag",
    b" leading and trailing ",
    b"*star",
    b"not utf-8 \xff\xfe",
    b"ends) = " + HEX,
    "\u00e9\u4e2d".encode(),
    b"#comment",
    b"$(touch x);%41'\"",
]


@given(
    NAMES,
    st.sampled_from(sorted(KNOWN)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
@example(name=b"\r", algorithm="sha256", binary=False, tag=False, zero=False)
def test_any_file_name_survives_write_and_parse(
    name: bytes, algorithm: str, binary: bool, tag: bool, zero: bool
) -> None:
    digest = Digest(algorithm, bytes(range(SIZES[algorithm])))
    line = write_manifest_line(digest, name, binary=binary, tag=tag, zero=zero)
    assert zero or line.count(b"\n") == 1
    assert parse_line(line, None if tag else algorithm, zero=zero) == Entry(digest, name, binary and not tag)


@given(st.lists(NAMES, max_size=8), st.booleans(), st.booleans())
def test_any_file_names_survive_a_whole_manifest(names: list[bytes], tag: bool, zero: bool) -> None:
    text = b"".join(write_manifest_line(ABC, one, tag=tag, zero=zero) for one in names)
    lines = list(read_lines(io.BytesIO(text), zero=zero))
    assert [line.entry.name for line in lines if line.entry] == names
    assert [line.number for line in lines] == list(range(1, len(names) + 1))


@given(st.binary())
def test_unescape_undoes_escape_and_nothing_else_is_taken(text: bytes) -> None:
    if b"\0" not in text:
        assert unescape(escape(text)) == text
    if (plain := unescape(text)) is not None:
        assert escape(plain) == text.replace(b"\n", b"\\n").replace(b"\r", b"\\r")


@given(st.binary(max_size=200))
def test_no_line_of_any_bytes_makes_the_parser_fail(text: bytes) -> None:
    for zero in (False, True):
        for line in (text, HEX + text, b"SHA256 (" + text, HEX + b"  " + text):
            entry = parse_line(line, zero=zero)
            assert entry is None or (entry.name and len(entry.digest.value) == SIZES[entry.digest.algorithm])


def _coreutils(folder: Path, *command: str | bytes, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, cwd=folder, input=text, capture_output=True, env=environment, check=False)


@pytest.fixture
def odd_files(tmp_path: Path) -> Path:
    for name in ODD_NAMES:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(b"abc")
    return tmp_path


@pytest.mark.parametrize("options", [(), ("-b",), ("--tag",), ("-z",), ("--tag", "-z")])
@pytest.mark.parametrize("program", ["sha256sum", "md5sum"])
def test_lines_are_byte_for_byte_those_of_coreutils(
    odd_files: Path, program: str, options: tuple[str, ...]
) -> None:
    digest = ABC if program == "sha256sum" else MD5
    theirs = _coreutils(odd_files, program, *options, "--", *ODD_NAMES).stdout
    flags = {"binary": "-b" in options, "tag": "--tag" in options, "zero": "-z" in options}
    assert theirs == b"".join(write_manifest_line(digest, name, **flags) for name in ODD_NAMES)
    read = list(read_lines(io.BytesIO(theirs), zero="-z" in options))
    assert [line.entry.name for line in read if line.entry] == ODD_NAMES


@pytest.mark.parametrize("tag", [False, True])
def test_coreutils_verifies_what_we_write(odd_files: Path, tag: bool) -> None:
    text = b"".join(write_manifest_line(ABC, name, tag=tag) for name in ODD_NAMES)
    done = _coreutils(odd_files, "sha256sum", "-c", "--strict", "--quiet", text=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@settings(max_examples=25, deadline=None)
@given(
    st.sets(
        NAMES.filter(lambda one: b"/" not in one and one not in (b".", b"..") and len(one) < 200), min_size=1
    )
)
def test_coreutils_reads_any_name_as_we_meant_it(
    tmp_path_factory: pytest.TempPathFactory, names: set[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in names - {b"-"}:
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(b"abc")
    text = b"".join(write_manifest_line(ABC, name) for name in names - {b"-"})
    done = _coreutils(folder, "sha256sum", "-c", "--strict", "--quiet", text=text)
    assert done.stdout == b""
    assert done.returncode == (1 if names == {b"-"} else 0), done.stderr


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"# comment\n",
        b"nonsense\n",
        HEX + b"\n",
        HEX + b" \n",
        HEX[:-1] + b"  name\n",
        HEX + b"00  name\n",
        b"g" + HEX[1:] + b"  name\n",
        b"\\" + HEX + b"  ends in \\\n",
        b"\\" + HEX + b"  bad \\x escape\n",
        HEX + b"  nul\0inside\n",
        b"SHA256 (name) = " + HEX[:-2] + b"\n",
        b"SHA256 (name) " + HEX + b"\n",
        b"SHA256 (name = " + HEX + b"\n",
        b"SHA256 () = " + HEX + b"\n",
        b"MD5 (name) = " + HEX + b"\n",
        b"SHA3 (name) = " + HEX + b"\n",
        b"cbf43926  which of the short ones\n",
        HEX + b"  " + b"x" * LONGEST_LINE + b"\n",
    ],
)
def test_what_is_not_an_entry_is_none(line: bytes) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (HEX.upper() + b"  name", b"name"),
        (b" \t" + HEX + b"  name\r\n", b"name"),
        (HEX + b" name\n", b"name"),
        (HEX + b"\tname\n", b"name"),
        (b"SHA256(name)= " + HEX, b"name"),
        (b"SHA2-256(name)= " + HEX + b"\n", b"name"),
        (b"\\SHA256 (a\\nb) = " + HEX + b"\n", b"a\nb"),
    ],
)
def test_the_other_shapes_that_programs_write_are_read(line: bytes, name: bytes) -> None:
    assert parse_line(line) == Entry(ABC, name)


def test_an_algorithm_that_was_asked_for_is_insisted_on() -> None:
    assert parse_line(write_manifest_line(MD5, "a"), "sha256") is None
    assert parse_line(write_manifest_line(MD5, "a", tag=True), "sha256") is None
    assert parse_line(b"cbf43926  a\n", "crc32") == Entry(Digest("crc32", b"\xcb\xf4\x39\x26"), b"a")


def test_the_reversed_form_and_the_usual_one_do_not_mix() -> None:
    usual, other = HEX + b"  name\n", HEX + b" name\n"
    parser = LineParser()
    assert parser.parse(usual) == Entry(ABC, b"name")
    assert parser.parse(other) is None
    parser = LineParser()
    assert parser.parse(other) == Entry(ABC, b"name")
    assert parser.parse(usual) == Entry(ABC, b" name")


def test_reading_goes_on_after_malformed_lines_and_counts_all_lines() -> None:
    text = b"# head\n\nbad\n" + HEX + b"  a\r\n" + HEX[:30] + b"\n"
    assert list(read_lines(io.BytesIO(text))) == [
        Line(3, None),
        Line(4, Entry(ABC, b"a")),
        Line(5, None),
    ]


@pytest.mark.parametrize("zero", [False, True])
def test_an_endless_line_is_one_malformed_line_and_not_kept(zero: bool) -> None:
    end = b"\0" if zero else b"\n"
    text = b"x" * (5 * LONGEST_LINE) + end + write_manifest_line(ABC, "a", zero=zero)
    assert list(read_lines(io.BytesIO(text), zero=zero)) == [Line(1, None), Line(2, Entry(ABC, b"a"))]


@pytest.mark.parametrize("name", ["", b"a\0b"])
def test_what_cannot_be_a_file_name_is_not_written(name: str | bytes) -> None:
    with pytest.raises(ValueError, match="file name"):
        write_manifest_line(ABC, name)


def test_control_characters_in_names_are_shown_harmless() -> None:
    assert printable(b"a\x1b[2J\n\xff\xc2\x9b\xe2\x80\xae\xc3\xa9") == "a\\x1b[2J\\n\\xff\\x9b\\u202e\u00e9"


# --- ManifestWriter -------------------------------------------------------------------------------------------


def test_a_manifest_appears_whole_and_names_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "SUMS").write_text("old")
    with ManifestWriter(tmp_path / "data" / "SUMS") as writer:
        writer.add(ABC, tmp_path / "data" / "deep" / "file")
        writer.add(ABC, tmp_path / "data" / "-")
        writer.add(ABC, tmp_path / "database")
        assert (tmp_path / "data" / "SUMS").read_text() == "old"
    names = [parse_line(line) for line in (tmp_path / "data" / "SUMS").read_bytes().splitlines()]
    assert names == [
        Entry(ABC, b"deep/file"),
        Entry(ABC, b"./-"),
        Entry(ABC, os.fsencode(tmp_path / "database")),
    ]
    assert os.listdir(tmp_path / "data") == ["SUMS"]


def test_what_a_manifest_lists_verifies_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"abc")
    monkeypatch.chdir(tmp_path)
    with ManifestWriter("out/SUMS") as writer:
        for name in ODD_NAMES:
            with open(os.path.join(b"out", name), "wb") as file:
                file.write(b"abc")
            writer.add(ABC, os.path.join(b"out", name))
        writer.add(ABC, "elsewhere")
    done = _coreutils(tmp_path / "out", "sha256sum", "-c", "--strict", "--quiet", "SUMS")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_path_through_a_link_and_up_names_the_file_that_open_would_take(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/inner")
    with ManifestWriter(tmp_path / "SUMS") as writer:
        assert writer.name_of(tmp_path / "link" / ".." / "file") == b"real/file"
        assert writer.name_of(f"{tmp_path}//./a") == b"a"


def test_a_manifest_whose_making_failed_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "SUMS").write_text("old")
    with pytest.raises(ZeroDivisionError), ManifestWriter(tmp_path / "SUMS") as writer:
        writer.add(ABC, tmp_path / "a")
        raise ZeroDivisionError
    assert (tmp_path / "SUMS").read_text() == "old"
    assert os.listdir(tmp_path) == ["SUMS"]
    writer.abort()


def test_a_manifest_that_cannot_get_its_name_leaves_no_partial(tmp_path: Path) -> None:
    writer = ManifestWriter(tmp_path / "SUMS")
    (tmp_path / "SUMS").mkdir()
    with pytest.raises(OSError, match="irectory"):
        writer.commit()
    assert os.listdir(tmp_path) == ["SUMS"]


def test_a_full_disk_is_reported_and_leaves_no_traceback_in_abort() -> None:
    writer = ManifestWriter("/dev/full")
    writer.add(ABC, "/a")
    with pytest.raises(OSError, match="No space"):
        writer.commit()
    writer.abort()


def test_a_missing_folder_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ManifestWriter(tmp_path / "missing" / "SUMS")


def test_a_link_at_the_manifests_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep")
    (tmp_path / "SUMS").symlink_to("target")
    with ManifestWriter(tmp_path / "SUMS") as writer:
        writer.add(ABC, tmp_path / "a")
    assert (tmp_path / "target").read_text() == "keep"
    assert not (tmp_path / "SUMS").is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444])
def test_a_published_manifest_keeps_the_permissions_of_the_one_before(tmp_path: Path, mode: int) -> None:
    (tmp_path / "SUMS").write_text("before")
    (tmp_path / "SUMS").chmod(mode)
    with ManifestWriter(tmp_path / "SUMS") as writer:
        writer.add(ABC, tmp_path / "a")
    assert (tmp_path / "SUMS").stat().st_mode & 0o7777 == mode
    assert (tmp_path / "SUMS").read_text() != "before"


def test_the_permissions_of_what_a_link_leads_to_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep")
    (tmp_path / "target").chmod(0o666)
    (tmp_path / "SUMS").symlink_to("target")
    before = os.umask(0o077)
    try:
        with ManifestWriter(tmp_path / "SUMS") as writer:
            writer.add(ABC, tmp_path / "a")
    finally:
        os.umask(before)
    assert (tmp_path / "SUMS").stat().st_mode & 0o777 == 0o600
