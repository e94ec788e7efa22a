"""What `wf-checksum -c` does about files that do not match: it explains them, and keeps them away if asked."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from checksum_tools import run

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`good` and `bad` with their manifest of blocks; what `bad` holds is up to the test."""
    (tmp_path / "good").write_bytes(b"good")
    (tmp_path / "bad").write_bytes(os.urandom(3 * MIB))
    (tmp_path / "M").write_bytes(run(tmp_path, "--json", "--blocks", "1", "good", "bad").out)
    return tmp_path


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_expected_and_found_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"xyz")
    done = run(tmp_path, "-c", text=f"{hashlib.sha256(b'abc').hexdigest()}  a\n".encode())
    assert (done.code, done.lines) == (1, ["a: FAILED"])
    assert f"a: expected {sha256(b'abc')}, found {sha256(b'xyz')}" in done.err


def test_a_shorter_file_is_told_as_such(folder: Path) -> None:
    os.truncate(folder / "bad", MIB + 1)
    done = run(folder, "-c", "M")
    assert (done.code, done.lines) == (1, ["good: OK", "bad: FAILED"])
    assert f"{MIB + 1} bytes, {2 * MIB - 1} fewer than the expected {3 * MIB}" in done.err
    assert "bytes 1048576-" in done.err


def test_the_damaged_range_is_named(folder: Path) -> None:
    with open(folder / "bad", "r+b") as file:
        file.seek(MIB + 5)
        file.write(b"\0" * 8192)
    assert "differs in bytes 1048576-2097151" in run(folder, "-c", "M").err


def test_a_page_instead_of_data_is_recognised(folder: Path) -> None:
    (folder / "bad").write_bytes(b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>")
    assert "502 Bad Gateway" in run(folder, "-c", "M").err


def test_a_reference_tells_the_very_bits(folder: Path) -> None:
    (folder / "copies").mkdir()
    content = bytearray((folder / "bad").read_bytes())
    (folder / "copies/bad").write_bytes(content)
    content[7] ^= 1
    (folder / "bad").write_bytes(content)
    done = run(folder, "-c", "--reference", "copies", "M")
    assert done.code == 1
    assert "bit" in done.err and "7" in done.err
    assert "no such file to compare with" in run(folder, "-c", "--reference", "absent", "M").err


@pytest.mark.parametrize("option", ["--quiet", "--status"])
def test_quiet_and_status_explain_nothing(folder: Path, option: str) -> None:
    (folder / "bad").write_bytes(b"")
    done = run(folder, "-c", option, "M")
    assert done.code == 1
    assert "expected" not in done.err


def test_the_bad_file_is_moved_and_the_good_one_stays(folder: Path) -> None:
    (folder / "bad").write_bytes(b"damaged")
    done = run(folder, "-c", "--quarantine", "kept/away", "M")
    assert done.code == 1
    (kept,) = (folder / "kept/away").iterdir()
    assert f"bad: moved to kept/away/{kept.name}" in done.err
    assert kept.name.startswith("bad.bad-")
    assert kept.read_bytes() == b"damaged"
    assert (folder / "good").exists() and not (folder / "bad").exists()
    assert run(folder, "-c", "M").lines == ["good: OK", "bad: FAILED open or read"]


def test_quarantined_files_keep_their_folders_and_replace_nothing(tmp_path: Path) -> None:
    text = f"{hashlib.sha256(b'abc').hexdigest()}  sub/a\n".encode()
    for content in (b"1", b"2"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        (tmp_path / "sub/a").write_bytes(content)
        assert run(tmp_path, "-c", "--status", "--quarantine", "q", text=text).code == 1
    assert sorted(one.read_bytes() for one in (tmp_path / "q/sub").iterdir()) == [b"1", b"2"]


def test_a_link_is_moved_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "original").write_bytes(b"somebody else's")
    (tmp_path / "input").symlink_to(tmp_path / "original")
    text = f"{hashlib.sha256(b'abc').hexdigest()}  input\n".encode()
    assert run(tmp_path, "-c", "--quarantine", "q", text=text).code == 1
    assert (tmp_path / "original").exists()
    assert not (tmp_path / "input").is_symlink()
    (kept,) = (tmp_path / "q").iterdir()
    assert kept.is_symlink()
    assert kept.read_bytes() == b"somebody else's"


def test_a_quarantine_that_cannot_be_made_is_told(folder: Path) -> None:
    (folder / "bad").write_bytes(b"damaged")
    done = run(folder, "-c", "--quarantine", "good", "M")
    assert done.code == 1
    assert "bad: not moved to good: " in done.err
    assert (folder / "bad").exists()


def test_names_that_lead_out_of_the_folder_are_refused_unless_allowed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a").write_bytes(b"abc")
    for name in (f"{tmp_path}/a", "../a"):
        text = f"{hashlib.sha256(b'abc').hexdigest()}  {name}\n".encode()
        refused = run(tmp_path / "inner", "-c", text=text)
        assert (refused.code, refused.lines) == (1, [f"{name}: FAILED open or read"])
        assert "--allow-absolute" in refused.err
        assert run(tmp_path / "inner", "-c", "--allow-absolute", text=text).lines == [f"{name}: OK"]


def test_nothing_is_moved_away_from_where_a_linked_folder_leads(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/key").write_text("mine")
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/link").symlink_to("../outside")
    (tmp_path / "in/sub/inner").symlink_to(".")
    (tmp_path / "in/sub/bad").write_text("bad")
    for name in ("link/key", "sub/inner/bad"):
        (tmp_path / "in/M").write_text(f"{'0' * 64}  {name}\n")
        done = run(tmp_path / "in", "-c", "--quarantine", "../kept", "M")
        assert (done.code, done.lines) == (1, [f"{name}: FAILED"])
        assert ("--allow-absolute moves it" in done.err) == (name == "link/key")
    assert (tmp_path / "outside/key").exists()
    assert not (tmp_path / "in/sub/bad").exists()
    (tmp_path / "in/M").write_text(f"{'0' * 64}  link/key\n")
    assert run(tmp_path / "in", "-c", "--allow-absolute", "--quarantine", "../kept", "M").code == 1
    assert not (tmp_path / "outside/key").exists()


def test_a_manifest_that_lists_itself_is_told_why_that_fails(tmp_path: Path) -> None:
    (tmp_path / "M").write_text(f"{'0' * 64}  M\n")
    done = run(tmp_path, "-c", "M")
    assert (done.code, done.lines) == (1, ["M: FAILED"])
    assert "this is the manifest itself, which cannot hold its own checksum" in done.err
