"""`wf-checksum` over trees, and its manifests of JSON lines."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from checksum_tools import COMMAND, run
from servers.seaweed import ADMIN

if TYPE_CHECKING:
    from pathlib import Path

    from servers.seaweed import Seaweed


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data/sub/deep").mkdir(parents=True)
    for name in ("b", "a", "sub/c", "sub/deep/d", "sub.x"):
        (tmp_path / "data" / name).write_text(name)
    return tmp_path


def test_a_tree_is_printed_in_the_order_of_its_paths(folder: Path) -> None:
    names = ["a", "b", "sub.x", "sub/c", "sub/deep/d"]
    done = run(folder, "-r", "data")
    assert (done.code, done.err) == (0, "")
    assert done.lines == [f"{sha256(name)}  data/{name}" for name in names]
    assert subprocess.run(["sha256sum", "-c"], cwd=folder, input=done.out, capture_output=True, check=True)


def test_without_r_a_folder_is_an_error(folder: Path) -> None:
    assert run(folder, "data") == (1, b"", "data: Is a directory\n")
    assert run(folder, "data", "data/a").lines == [f"{sha256('a')}  data/a"]


def test_links_fifos_and_loops_are_left_out_and_told(folder: Path) -> None:
    (folder / "data/loop").symlink_to(".")
    (folder / "data/link").symlink_to("a")
    os.mkfifo(folder / "data/fifo")
    done = run(folder, "-r", "data")
    assert (done.code, len(done.lines)) == (0, 5)
    assert done.err == "data: 3 links, FIFOs, sockets and devices were left out\n"


def test_a_tree_that_is_not_there_fails(folder: Path) -> None:
    done = run(folder, "-r", "absent", "data/a")
    assert (done.code, done.lines) == (1, [f"{sha256('a')}  data/a"])
    assert done.err == "absent: No such file or directory\n"


def test_json_lines_have_all_that_is_known(folder: Path) -> None:
    done = run(folder, "--json", "-a", "sha256,md5", "data/a")
    header, entry, trailer = map(json.loads, done.lines)
    status = (folder / "data/a").stat()
    assert header == {"format": "wf-checksum", "version": 1}
    assert entry == {
        "path": "data/a",
        "size": 1,
        "sha256": sha256("a"),
        "md5": hashlib.md5(b"a").hexdigest(),
        "mtime_ns": status.st_mtime_ns,
        "inode": status.st_ino,
    }
    assert trailer == {"end": "wf-checksum", "entries": 1}


def test_json_of_standard_input_and_of_failures(folder: Path) -> None:
    done = run(folder, "--json", "-", "absent", text=b"a")
    _, entry, trailer = map(json.loads, done.lines)
    assert done.code == 1
    assert entry == {"path": "-", "size": 1, "sha256": sha256("a")}
    assert trailer["entries"] == 1


def test_many_files_come_in_order_whoever_reads_them(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}").write_text(str(number))
    expected = [f"{sha256(str(number))}  {number:03}" for number in range(300)]
    names = [f"{number:03}" for number in range(300)]
    for jobs in ("1", "3"):
        assert run(tmp_path, "-j", jobs, *names).lines == expected
    manifest = run(tmp_path, "--json", "-r", ".").out
    assert run(tmp_path, "-c", "-j", "2", text=manifest).lines == [f"./{name}: OK" for name in names]


def test_several_algorithms_are_tagged(folder: Path) -> None:
    done = run(folder, "--tag", "-a", "sha256,sha1", "data/a")
    assert done.lines == [
        f"SHA256 (data/a) = {sha256('a')}",
        f"SHA1 (data/a) = {hashlib.sha1(b'a').hexdigest()}",
    ]
    assert run(folder, "-c", text=done.out).lines == ["data/a: OK", "data/a: OK"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-a", "sha256,md5", "a"),
        ("--json", "--tag", "a"),
        ("--json", "-z", "a"),
        ("--blocks", "8", "a"),
        ("--json", "--blocks", "0", "a"),
        ("--json", "--blocks", "x", "a"),
        ("-j", "0", "a"),
        ("--quarantine", "q", "a"),
        ("--allow-absolute", "a"),
        ("-c", "--json", "M"),
        ("-c", "-r", "M"),
        ("-c", "-o", "x", "M"),
    ],
)
def test_wrong_usage_ends_with_2(folder: Path, arguments: tuple[str, ...]) -> None:
    done = run(folder, *arguments)
    assert (done.code, done.out) == (2, b"")
    assert done.err.count("\n") == 1


def test_reading_from_the_disk_gives_the_same(folder: Path) -> None:
    assert run(folder, "--from-disk", "-r", "data").out == run(folder, "-r", "data").out
    assert run(folder, "-c", "--from-disk", text=run(folder, "-r", "data").out).code == 0


def test_an_interrupted_manifest_of_json_lines_is_whole_and_can_be_completed(folder: Path) -> None:
    command = subprocess.Popen(
        [*COMMAND, "--json", "-j", "1", "data/a", "data/b", "-", "data/sub/c"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None and command.stdin is not None
    read = [command.stdout.readline() for _ in range(3)]  # now it waits for standard input
    command.send_signal(signal.SIGINT)
    command.stdin.close()
    command.stdin = None
    out, err = command.communicate(timeout=60)
    assert command.returncode == 130
    assert b"interrupted" in err
    (folder / "M").write_bytes(b"".join(read) + out)
    assert run(folder, "-c", "M").lines[:2] == ["data/a: OK", "data/b: OK"]
    completed = run(folder, "update", "M").lines
    assert "added     data/sub/c" in completed
    assert run(folder, "-c", "--quiet", "--ignore-missing", "M").code == 0


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["lines", "json"])
def test_a_manifest_in_a_file_is_what_would_be_printed(folder: Path, form: tuple[str, ...]) -> None:
    printed = run(folder, *form, "-r", ".").out
    for _ in range(2):  # the second time it is there, and is not listed
        assert run(folder, *form, "-r", ".", "-o", "data/M") == (0, b"", "")
        assert (folder / "data/M").read_bytes() == printed
    assert run(folder, "-c", "--quiet", "data/M").code == 0
    assert not [name for name in os.listdir(folder / "data") if name.startswith(".wf-")]


def test_a_manifest_that_cannot_be_written_is_a_failure(folder: Path) -> None:
    done = run(folder, "-o", "absent/M", "data/a")
    assert (done.code, done.out) == (1, b"")
    assert "No such file or directory" in done.err


def test_a_manifest_that_was_cut_is_refused(folder: Path) -> None:
    whole = run(folder, "--json", "-r", "data").out.splitlines(keepends=True)
    for cut in (whole[:1], whole[:3], whole[:-1], [*whole[:2], *whole[3:]], [*whole[:2], whole[2][:40]]):
        done = run(folder, "-c", text=b"".join(cut))
        assert done.code == 65
        assert "ends after" in done.err or "its last line counts" in done.err


def test_a_long_manifest_that_was_cut_is_refused_after_what_was_checked(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    header, entry, _ = run(tmp_path, "--json", "a").out.splitlines(keepends=True)
    text = header + entry.replace(sha256("a").encode(), b"0" * 64) + entry * 30_000
    done = run(tmp_path, "-c", "-j", "1", "--quiet", text=text)
    assert (done.code, done.lines) == (1, ["a: FAILED"])  # the mismatch is the worse of both
    assert "ends after 30001 entries" in done.err and "1 computed checksum did NOT match" in done.err


@pytest.mark.parametrize("there_before", [True, False])
def test_an_interrupted_manifest_replaces_none(folder: Path, there_before: bool) -> None:
    if there_before:
        (folder / "M").write_text("the old one")
    os.truncate(folder / "data/b", 64 << 30)
    command = subprocess.Popen(
        [*COMMAND, "--json", "-j", "1", "-o", "M", "data/a", "-", "data/b"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdin is not None
    command.stdin.write(b"x" * (1 << 20))  # more than a pipe holds: it has begun to read
    command.stdin.flush()
    command.send_signal(signal.SIGINT)
    command.stdin.close()
    command.stdin = None
    assert b"interrupted" in command.communicate(timeout=60)[1]
    assert command.returncode == 130
    if there_before:
        assert (folder / "M").read_text() == "the old one"
    else:
        assert run(folder, "-c", "M", "--ignore-missing").lines[0] == "data/a: OK"
    assert sorted(os.listdir(folder)) == ["M", "data"]


def test_an_interrupted_check_sums_up_what_was_checked(folder: Path) -> None:
    text = run(folder, "-r", "data").out
    bad = b"0" * 64 + b"  data/a\n"
    (folder / "M").write_bytes(bad + f"{sha256('x')}  -\n".encode() + text)
    command = subprocess.Popen(
        [*COMMAND, "-c", "-j", "1", "M"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None and command.stdin is not None
    assert command.stdout.readline() == b"data/a: FAILED\n"
    command.send_signal(signal.SIGINT)
    command.stdin.close()
    command.stdin = None
    out, err = command.communicate(timeout=60)
    assert command.returncode == 130
    assert b"data/sub" not in out
    # It may have come to standard input, which ends here.
    assert b"interrupted" in err and re.search(rb"1 computed checksum did|2 computed checksums did", err)


def test_a_tree_behind_a_url_is_listed_and_read(folder: Path, s3: Seaweed, bucket: str) -> None:
    client = s3.client()
    for name in ("t/b", "t/a", "t/sub/c", "other"):
        client.put_object(Bucket=bucket, Key=name, Body=name.encode())
    credentials = folder / "credentials.conf"
    credentials.write_text(
        f"[here]\nendpoint = {s3.endpoint}\nregion = us-east-1\n"
        f"[me@here]\naccess_key = {ADMIN.access}\nsecret_key = {ADMIN.secret}\n"
    )
    credentials.chmod(0o600)
    top = f"s3://me@here/{bucket}/t"
    done = run(folder, "-r", "--credentials", str(credentials), top)
    assert (done.code, done.err) == (0, "")
    assert done.lines == [
        f"{sha256(name)}  s3://me@here/{bucket}/{name}" for name in ("t/a", "t/b", "t/sub/c")
    ]
    one = run(folder, "-r", "--credentials", str(credentials), f"{top}/a")
    assert one.lines == done.lines[:1]
    assert run(folder, "--credentials", str(credentials), f"{top}/absent").code == 1
    assert run(folder, top, HOME=str(folder)).code == 77


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_line_of_a_file_does_not_wait_for_the_next_file(folder: Path, jobs: str) -> None:
    os.mkfifo(folder / "fifo")
    command = subprocess.Popen(
        [*COMMAND, "-j", jobs, "--special", "data/a", "fifo"], cwd=folder, stdout=subprocess.PIPE
    )
    with command:
        assert command.stdout is not None
        with open(folder / "fifo", "wb"):
            assert command.stdout.readline().endswith(b"  data/a\n")
        assert command.stdout.readline().endswith(b"  fifo\n")
    assert command.returncode == 0


def test_lines_of_processes_side_by_side_are_not_mixed(folder: Path) -> None:
    many = folder / "many"
    many.mkdir()
    for number in range(500):
        (many / f"{number:04}{'x' * 100}").write_text("abc")
    expected = run(folder, "-r", "many").lines
    reader, writer = os.pipe()
    both = [subprocess.Popen([*COMMAND, "-r", "many"], cwd=folder, stdout=writer) for _ in range(2)]
    os.close(writer)
    with open(reader, "rb") as stream:
        mixed = stream.read()
    assert [one.wait() for one in both] == [0, 0]
    assert sorted(mixed.decode().splitlines()) == sorted(expected * 2)


@pytest.mark.parametrize("output", [("-o", "data/M"), ()])
def test_the_manifest_in_the_tree_is_left_out_whatever_else_has_its_name(
    folder: Path, output: tuple[str, ...]
) -> None:
    (folder / "data/sub").mkdir(exist_ok=True)
    (folder / "data/sub/M").write_text("another")
    (folder / "data/M").write_text("before")
    with open(folder / "data/M" if not output else folder / "other", "wb") as stdout:
        command = [*COMMAND, *output, "-r", "data"]
        assert subprocess.run(command, cwd=folder, stdout=stdout, check=False).returncode == 0
    names = [line.partition("  ")[2] for line in (folder / "data/M").read_text().splitlines()]
    assert "data/sub/M" in names
    assert "data/M" not in names


def test_an_output_that_cannot_be_written_is_named_as_it_was_given(folder: Path) -> None:
    done = run(folder, "-o", "absent/M", "data/a")
    assert (done.code, done.err) == (1, "absent/M: No such file or directory\n")
