"""wf-checksum as a person or script runs it, held against sha256sum."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wf.checksum.cli import main
from wf.checksum.options import parser

if TYPE_CHECKING:
    from pathlib import Path

    from servers.unprivileged import Unprivileged

COMMAND = (sys.executable, "-m", "wf.checksum.cli")
HEX = hashlib.sha256(b"abc").hexdigest()
LINE = f"{HEX}  a\n"


class Result:
    """Exit code and outputs, with the program's name taken out of the messages, and what is told of a mismatch."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr.replace(b"wf-checksum: ", b"").replace(b"sha256sum: ", b"").decode()
        self.err = "".join(
            line for line in self.err.splitlines(keepends=True) if not re.search(r": expected \w+:", line)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Result({vars(self)})"


def run(folder: Path, *arguments: str | bytes, text: bytes = b"") -> Result:
    return _run(folder, (*COMMAND, *arguments), text)


def sha256sum(folder: Path, *arguments: str | bytes, text: bytes = b"") -> Result:
    return _run(folder, ("sha256sum", *arguments), text)


def _run(folder: Path, command: tuple[str | bytes, ...], text: bytes) -> Result:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, cwd=folder, input=text, capture_output=True, env=environment, check=False, timeout=60
    )
    assert b"Traceback" not in done.stderr
    return Result(done)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files with the same content, and c with another."""
    for name, content in (("a", b"abc"), ("b", b"abc"), ("new\nline\\", b"abc"), ("c", b"xyz")):
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("a",),
        ("a", "missing", "b"),
        (".", "a"),
        ("-",),
        (),
        ("a", "-", "b"),
        ("--tag", "a", "b"),
        ("a", "--tag", "-"),
        ("-z", "a", "b"),
        ("-b", "a"),
        ("-t", "a"),
        ("--tag", "-z", "a"),
        ("--binary", "--zero", "--", "a"),
        ("--", "--", "-a"),
        ("a", "b", "--", "c"),
    ],
)
def test_lines_are_printed_as_sha256sum_prints_them(folder: Path, arguments: tuple[str, ...]) -> None:
    ours = run(folder, *arguments, text=b"on stdin")
    assert ours == sha256sum(folder, *arguments, text=b"on stdin")
    assert ours.code in (0, 1)


def test_odd_names_go_to_sha256sum_and_come_back(tmp_path: Path) -> None:
    names = [
        b"new\nline",
        b"back\\slash",
        b"re\rturn",
        b"-dash",
        b"\xff\xfe",
        b" blank ",
        b"*star",
        b"\x1b[2J",
    ]
    for name in names:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(b"abc")
    ours, theirs = run(tmp_path, "--", *names), sha256sum(tmp_path, "--", *names)
    assert ours == theirs
    assert sha256sum(tmp_path, "-c", text=ours.out) == run(tmp_path, "-c", text=theirs.out)
    assert run(tmp_path, "-c", "--quiet", text=theirs.out) == run(tmp_path, "-c", "--status", text=theirs.out)
    nul = run(tmp_path, "-z", "--", *names)
    assert nul == sha256sum(tmp_path, "-z", "--", *names)
    assert run(tmp_path, "-c", "-z", "--strict", text=nul.out).code == 0


BAD = HEX.replace("b", "c", 1)
MANIFESTS = {
    "good": LINE + f"{HEX} *b\n",
    "mismatch": LINE + f"{BAD}  a\n{BAD}  b\n",
    "missing": LINE + f"{HEX}  missing\n",
    "only missing": f"{HEX}  missing\n{HEX}  gone\n",
    "malformed": "words\n# comment\n\n" + LINE + "more words\n",
    "only malformed": "words\n",
    "empty": "",
    "folder": LINE + f"{HEX}  .\n",
    "no newline at the end": LINE + f"{HEX}  b",
    "windows": f"{HEX}  a\r\n{HEX}  c\r\n",
    "tagged": f"SHA256 (a) = {HEX}\nSHA256 (c) = {HEX}\n",
    "newline": f"\\{HEX}  new\\nline\\\\\n",
    "everything": f"x\n{LINE}{BAD}  b\n{HEX}  missing\n{HEX}  .\ny\n",
}
CHECKS = [
    (),
    ("--quiet",),
    ("--status",),
    ("--strict",),
    ("--ignore-missing",),
    ("--ignore-missing", "--quiet"),
    ("--ignore-missing", "--status"),
    ("--quiet", "--status"),
    ("--status", "--quiet"),
    ("--strict", "--status"),
]


@pytest.mark.parametrize("options", CHECKS, ids=" ".join)
@pytest.mark.parametrize("kind", MANIFESTS)
def test_manifests_are_checked_as_sha256sum_checks_them(
    folder: Path, kind: str, options: tuple[str, ...]
) -> None:
    (folder / "SUMS").write_text(MANIFESTS[kind], newline="")
    ours = run(folder, "-c", *options, "SUMS")
    assert ours == sha256sum(folder, "-c", *options, "SUMS")
    assert ours.code == (0 if _should_pass(kind, options) else 1)


def _should_pass(kind: str, options: tuple[str, ...]) -> bool:
    if kind == "malformed":
        return "--strict" not in options
    if kind == "missing":
        return "--ignore-missing" in options
    return kind in ("good", "no newline at the end", "newline")


def test_several_manifests_are_checked_one_after_another_and_each_counts(folder: Path) -> None:
    (folder / "good").write_text(LINE)
    (folder / "bad").write_text(f"{BAD}  a\n")
    for manifests in (("good", "bad"), ("bad", "good"), ("good", "absent"), ("good", "."), ("good", "good")):
        ours, theirs = run(folder, "-c", *manifests), sha256sum(folder, "-c", *manifests)
        assert (ours.code, ours.out) == (theirs.code, theirs.out)


def test_a_manifest_on_standard_input_cannot_name_standard_input(folder: Path) -> None:
    text = f"{LINE}{HEX}  -\n".encode()
    assert run(folder, "-c", "--strict", text=text) == sha256sum(folder, "-c", "--strict", text=text)
    (folder / "SUMS").write_bytes(text)
    assert run(folder, "-c", "SUMS", text=b"abc") == sha256sum(folder, "-c", "SUMS", text=b"abc")


def test_warn_names_the_lines_that_are_malformed(folder: Path) -> None:
    (folder / "SUMS").write_text("# comment\nwords\n" + LINE + "truncat")
    for options in (("-w",), ("--warn", "--strict")):
        ours = run(folder, "-c", *options, "SUMS")
        assert ours.err == (
            "SUMS: 2: improperly formatted checksum line\n"
            "SUMS: 4: improperly formatted checksum line\n"
            "WARNING: 2 lines are improperly formatted\n"
        )
        theirs = sha256sum(folder, "-c", *options, "SUMS")
        assert (ours.code, ours.out) == (theirs.code, theirs.out)
        assert ours.err == theirs.err.replace("SHA256 checksum", "checksum")


@pytest.mark.parametrize(
    "rest", [HEX[:20], HEX, f"{HEX} ", f"\\{HEX} *", "SHA256 (b", f"SHA256 (b) = {HEX[:9]}"]
)
def test_a_manifest_that_was_cut_in_a_line_is_refused_after_what_came_before(folder: Path, rest: str) -> None:
    (folder / "SUMS").write_text(f"{LINE}{HEX}  b\n{rest}")
    ours = run(folder, "-c", "SUMS")
    assert (ours.code, ours.out) == (65, b"a: OK\nb: OK\n")
    assert ours.err == "SUMS: ends in the middle of line 3; it was cut, or is still being written\n"
    assert run(folder, "diff", "SUMS", "SUMS").code == run(folder, "update", "SUMS").code == 65
    (folder / "SUMS").write_text(f"{BAD}  a\n{rest}")
    assert run(folder, "-c", "SUMS").code == 1


def test_a_last_line_by_an_algorithm_that_is_not_wanted_is_no_cut(folder: Path) -> None:
    md5 = hashlib.md5(b"abc", usedforsecurity=False).hexdigest()
    (folder / "SUMS").write_text(f"MD5 (a) = {md5}\nSHA256 (a) = {HEX}")
    done = run(folder, "-c", "-a", "md5", "SUMS")
    assert (done.code, done.out) == (0, b"a: OK\n")


@pytest.mark.parametrize("rest", ["words of a person", "-----END PGP SIGNATURE-----", "bad", f"{HEX}  b"])
def test_a_last_line_without_an_end_that_was_never_a_sum_is_no_cut(folder: Path, rest: str) -> None:
    (folder / "SUMS").write_text(LINE + rest)
    assert run(folder, "-c", "SUMS") == sha256sum(folder, "-c", "SUMS")
    assert run(folder, "-c", "SUMS").code == 0


PIECES = st.sampled_from(
    [HEX, HEX.upper(), BAD, HEX[:-1], HEX + "0", "SHA256", "MD5", "SHA256 (", "(", ")", " = ", "=", " ", "  ", " *", "\t", "\\", "#", "a", "c", "a b", "\\n", "\\\\", "\r", "-", "missing"]
)  # fmt: skip
SHAPED = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "\\", " ", "\t\\"]),
    st.sampled_from([HEX, BAD, HEX.upper(), HEX[2:]]),
    st.sampled_from([" ", "  ", " *", "\t", "   ", "\t*"]),
    st.sampled_from(["a", "c", "a b", "a\\nb", "a\\\\b", "a\\", "missing", "", "*", " "]),
)
LINES = st.lists(st.one_of(SHAPED, st.lists(PIECES, max_size=6).map("".join)), min_size=1, max_size=5).map(
    lambda lines: "\n".join(lines) + "\n"  # without that, see the test of manifests that were cut
)


def test_a_value_with_nothing_behind_it_is_no_line(tmp_path: Path) -> None:
    line = f"{hashlib.sha256(b'abc').hexdigest()}("
    for algorithm in ((), ("-a", "sha256"), ("-a", "blake2b")):
        done = run(tmp_path, *algorithm, "-c", text=line.encode())
        assert (done.code, done.out, done.err) == (1, b"", "-: no properly formatted checksum lines found\n")


def test_a_manifest_of_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "M").write_bytes(run(tmp_path, "--json", "-r", "empty").out)
    done = run(tmp_path, "-c", "M")
    assert (done.code, done.out, done.err) == (1, b"", "M: lists no file: nothing was checked\n")


@settings(max_examples=150, deadline=None)
@given(LINES, st.sampled_from([(), ("--strict",), ("--quiet",), ("--ignore-missing",)]))
def test_any_manifest_means_to_us_what_it_means_to_sha256sum(
    tmp_path_factory: pytest.TempPathFactory, text: str, options: tuple[str, ...]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("a", "a b", "a\nb", "a\\b"):
        (folder / name).write_bytes(b"abc")
    (folder / "SUMS").write_text(text, newline="")
    ours = _in_process(folder, ["-a", "sha256", "-c", *options, "SUMS"])
    theirs = sha256sum(folder, "-c", *options, "SUMS")
    assert ours == (theirs.code, theirs.out)


def _in_process(folder: Path, arguments: list[str]) -> tuple[int, bytes]:
    """Spares the start of an interpreter for each example."""
    before, kept = os.getcwd(), os.dup(1)
    os.chdir(folder)
    with open("output", "w+b") as output:
        os.dup2(output.fileno(), 1)
        try:
            code = main(arguments)
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            os.chdir(before)
        output.seek(0)
        return code, output.read()


@pytest.mark.parametrize(
    ("program", "algorithm"),
    [("md5sum", "md5"), ("sha1sum", "SHA-1"), ("sha384sum", "sha384"), ("sha512sum", "sha-512")],
)
def test_other_algorithms_agree_with_their_programs_both_ways(
    folder: Path, program: str, algorithm: str
) -> None:
    for options in ((), ("--tag",)):
        theirs = _run(folder, (program, *options, "a", "b"), b"")
        assert run(folder, "-a", algorithm, *options, "a", "b") == theirs
        assert run(folder, "-c", text=theirs.out).out == b"a: OK\nb: OK\n"
        assert run(folder, "-c", "-a", "md5" if program != "md5sum" else "sha1", text=theirs.out).code == 1


def test_short_checksums_are_checked_when_named(folder: Path) -> None:
    made = run(folder, "-a", "crc32", "a")
    assert made.out == b"352441c2  a\n"
    assert run(folder, "-c", text=made.out).code == 1
    assert run(folder, "-c", "-a", "crc32", text=made.out).out == b"a: OK\n"
    assert run(folder, "-c", text=run(folder, "--tag", "-a", "adler32", "a").out).out == b"a: OK\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--bogus",),
        ("-q",),
        ("-a", "md4", "a"),
        ("a", "-a"),
        ("--quiet", "a"),
        ("--status", "a"),
        ("-w", "a"),
        ("--strict", "a"),
        ("--ignore-missing", "a"),
        ("-c", "--tag", "SUMS"),
        ("-c", "-b", "SUMS"),
        ("-c", "-t", "SUMS"),
        ("--tag", "-t", "a"),
        ("--alg", "md5", "a"),
    ],
)
def test_wrong_usage_is_told_in_one_line_and_ends_with_2(folder: Path, arguments: tuple[str, ...]) -> None:
    done = run(folder, *arguments)
    assert (done.code, done.out) == (2, b"")
    assert done.err.count("\n") == 1
    assert done.err.endswith(" (wf-checksum --help)\n")


def test_the_option_that_was_meant_is_named_and_no_value_is_repeated(folder: Path) -> None:
    assert "there is no option --quite; --quiet is one" in run(folder, "-c", "--quite", "a").err
    done = run(folder, "--nothing=http://alice:secret@host/?token=secret")
    assert "--nothing" in done.err
    assert "secret" not in done.err


@pytest.mark.parametrize(
    "arguments", [("-c",), ("diff", "/dev/null"), ("update",), ("verify", "a", "--meta"), ("-a",)]
)
def test_a_url_in_the_place_of_a_file_is_told_without_its_secrets(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    done = run(folder, *arguments, "https://alice:secret@host/a?X-Amz-Signature=secret#secret")
    assert done.code in (1, 2)
    assert "://***@host/a?***" in done.err
    assert "secret" not in done.err


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_printed_and_names_every_option(folder: Path, option: str) -> None:
    done = run(folder, option)
    assert done.code == 0
    for action in parser()._actions:
        assert all(flag.encode() in done.out for flag in action.option_strings)


def test_the_version_is_printed(folder: Path) -> None:
    done = run(folder, "--version")
    assert done.code == 0
    assert done.out.startswith(b"wf-checksum ")


def test_a_file_nobody_may_read_fails_alone(unprivileged: Unprivileged) -> None:
    (unprivileged.folder / "open").write_bytes(b"abc")
    closed = unprivileged.folder / "closed"
    closed.write_bytes(b"abc")
    unprivileged.give(closed).chmod(0)
    command = unprivileged.command("wf-checksum")
    made = unprivileged.run([*command, "closed", "open"])
    assert (made.returncode, made.stdout) == (1, f"{HEX}  open\n".encode())
    assert made.stderr == b"wf-checksum: closed: Permission denied\n"
    checked = unprivileged.run([*command, "-c", "-"], input=f"{HEX}  closed\n{HEX}  open\n".encode())
    assert checked.returncode == 1
    assert checked.stdout == b"closed: FAILED open or read\nopen: OK\n"
    ignoring = unprivileged.run([*command, "-c", "--ignore-missing"], input=f"{HEX}  closed\n".encode())
    assert (ignoring.returncode, ignoring.stdout) == (1, b"closed: FAILED open or read\n")


def test_a_fifo_does_not_hang_the_command_and_is_read_when_asked(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    assert run(folder, "fifo", "a") == run(folder, "a", "fifo")
    assert run(folder, "fifo", "a").err == "fifo: is a FIFO, not a regular file\n"
    done = run(folder, "-c", text=f"{HEX}  fifo\n".encode())
    assert (done.code, done.out) == (1, b"fifo: FAILED open or read\n")
    reader = subprocess.Popen([*COMMAND, "--special", "fifo"], cwd=folder, stdout=subprocess.PIPE)
    (folder / "fifo").write_bytes(b"abc")
    assert reader.communicate(timeout=60)[0] == f"{HEX}  fifo\n".encode()
    assert reader.returncode == 0


def test_control_characters_do_not_reach_stderr(folder: Path) -> None:
    assert run(folder, b"gone\x1b[2J\n\xff").err == "gone\\x1b[2J\\n\\xff: No such file or directory\n"


def test_control_characters_do_not_reach_a_terminal(folder: Path) -> None:
    (folder / "\x1b[2J").write_bytes(b"abc")
    leader, follower = pty.openpty()
    try:
        subprocess.run([*COMMAND, "\x1b[2J"], cwd=folder, stdout=follower, check=True, timeout=60)
        assert os.read(leader, 1000) == f"{HEX}  \\x1b[2J\r\n".encode()
    finally:
        os.close(leader)
        os.close(follower)


@pytest.mark.parametrize("arguments", [("a", "b"), ("-c", "SUMS"), ("--help",)], ids=lambda one: one[0])
def test_a_closed_pipe_ends_it_quietly(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "SUMS").write_text(LINE)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=folder,
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_output_that_cannot_be_written_is_a_failure(folder: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "a"], cwd=folder, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert (done.returncode, done.stderr) == (1, b"wf-checksum: write error: No space left on device\n")


def test_closed_standard_streams_are_no_traceback(folder: Path) -> None:
    script = '"$@" a >&- 2>&-; [ $? = 1 ] || exit 9; "$@" a >&- 2>err; [ $? = 1 ] || exit 8; "$@" - <&-'
    done = _run(folder, ("sh", "-c", script, "sh", *COMMAND), b"")
    assert done.code == 1
    assert done.err == "-: Bad file descriptor\n"
    assert (folder / "err").read_text() == "wf-checksum: write error: Bad file descriptor\n"


def test_an_interrupt_ends_it_quietly(folder: Path) -> None:
    command = subprocess.Popen(
        [*COMMAND, "a", "-"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None
    assert command.stdout.readline() == LINE.encode()  # now it waits for standard input
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert (command.returncode, out, err) == (130, b"", b"")


def test_a_single_file_starts_without_what_only_other_calls_need(folder: Path) -> None:
    script = (
        "import sys; before = set(sys.modules); from wf.checksum.cli import main; code = main(['a'])\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr); sys.exit(code)"
    )
    done = _run(folder, (sys.executable, "-c", script), b"")
    assert (done.code, done.out) == (0, LINE.encode())
    unwanted = {
        "argparse",
        "dataclasses",
        "logging",
        "inspect",
        "tempfile",
        "threading",
        "subprocess",
        "mmap",
        "typing",
        "hashlib",
        "wf.checksum.options",
    }
    assert unwanted.isdisjoint(done.err.split())
    assert "wf.checksum.files" in done.err.split()
