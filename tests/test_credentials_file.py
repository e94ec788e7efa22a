"""The credentials file: its form, and that one which others can read is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from wf.credentials.errors import Misconfigured, MissingCredential, UnsafeFile
from wf.credentials.file import check_private, parse_credentials, read_credentials_file, read_private


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_percent_colon_and_hash_inside_a_value_are_plain_text() -> None:
    file = parse_credentials("# comment\n[h:80]\npassword = 100%(x)s #1 ; a = b: c\n", "f")
    assert file.sections["h:80"].text("password") == "100%(x)s #1 ; a = b: c"


def test_both_delimiters_and_windows_line_ends_are_understood() -> None:
    file = parse_credentials("[s]\r\n  A : 1\r\n  b=2\r\n\r\n; c = 3\r\n", "f")
    assert {key: value.reveal() for key, value in file.sections["s"].values.items()} == {"a": "1", "b": "2"}
    assert file.sections["s"].spelled["a"] == "A"


def test_a_section_may_have_brackets_in_its_name_and_a_comment_behind_it() -> None:
    file = parse_credentials("[http://[::1]:80]  # [v6]\nx = 1\n[b]\n", "f")
    assert list(file.sections) == ["http://[::1]:80", "b"]


def test_a_site_with_a_dash_may_be_written_with_an_underscore() -> None:
    file = parse_credentials("[my_site]\nendpoint = x\n", "f")
    section = file.first(("my-site",))
    assert section is not None and section.text("endpoint") == "x"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[a]\nx=1\n[b]\n[a]\n", 4, "section [a] appears again; it began in line 1"),
        ("[a]\nx=1\ny=2\nX=SECRET\n", 4, "X appears again in its section; first in line 2"),
        ("x=SECRET\n", 1, "a [section] must come before the first key"),
        ("[a]\nSECRET\n", 2, "a key is written `name = value`"),
        ("[a]\n=SECRET\n", 2, "a key is written `name = value`"),
        ("[a\n", 1, "a section is written [name]"),
        ("[a]\nx = 1\n   SECRET = 2\n", 3, "a value cannot go on in a new line"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_its_value(text: str, line: int, words: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse_credentials(text, "creds.conf")
    assert f"creds.conf, line {line}: " in caught.value.what
    assert words in caught.value.what
    assert "SECRET" not in caught.value.what + caught.value.remedy


@pytest.mark.parametrize("mode", [0o660, 0o604, 0o620, 0o601, 0o644, 0o777])
def test_a_file_that_others_can_read_or_write_is_refused_and_left_alone(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "c.conf", "[a]\nx=1\n")
    path.chmod(mode)
    with pytest.raises(UnsafeFile, match="others can read") as caught:
        read_credentials_file(str(path))
    assert isinstance(caught.value, MissingCredential)
    assert "chmod 600" in caught.value.remedy
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "c.conf", "[a]\nx=1\n")
    os.chown(path, 12345, 12345)
    with pytest.raises(UnsafeFile, match="belongs to another user"):
        check_private(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_file_of_roots_may_let_a_group_read_for_somebody_who_is_not_root(tmp_path: Path) -> None:
    path = private(tmp_path / "c.conf", "[a]\nx=1\n")
    path.chmod(0o640)
    os.chown(path, 0, 65534)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            code = 0 if read_private(str(path)) == b"[a]\nx=1\n" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_directory_a_fifo_and_a_giant_are_not_credentials_files(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    giant = tmp_path / "giant"
    giant.touch(0o600)
    os.truncate(giant, 1 << 30)
    for path in (tmp_path, fifo, giant):
        with pytest.raises(Misconfigured):
            read_private(str(path))


def test_sections_do_not_show_their_values() -> None:
    file = parse_credentials("[a]\nsecret_key = hunter2\n", "f")
    assert (
        "hunter2" not in repr(file) + str(file.sections["a"]) + f"{file.sections['a'].values['secret_key']}"
    )
