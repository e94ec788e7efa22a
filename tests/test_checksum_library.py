"""The library as a worker and a planner use it: values in, values out, memory bounded."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import random
import subprocess
import sys
import threading
import typing
from pathlib import Path

import pytest
import wf.checksum
from hypothesis import given, settings
from hypothesis import strategies as st
from wf.checksum import (
    Change,
    Difference,
    Digest,
    Interrupted,
    ManifestEntry,
    ManifestLine,
    NotRegular,
    OutsideFolder,
    TruncatedManifest,
    Verdict,
    compare,
    digest_file,
    read_manifest,
    verify_files,
    write_manifest,
)
from wf.checksum.parallel import Reading
from wf.checksum.verification import verify_lines

ABC = Digest("sha256", hashlib.sha256(b"abc").digest())
NO = Digest("sha256", bytes(32))


def test_the_public_names_are_all_there_and_cost_nothing_before_they_are_used() -> None:
    for name in wf.checksum.__all__:
        assert getattr(wf.checksum, name).__name__ == name
    with pytest.raises(AttributeError):
        wf.checksum.no_such_name  # noqa: B018 - the look-up is what is tested
    code = "import sys, wf.checksum; sys.exit(any(m.startswith('wf.checksum.') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


def test_type_checkers_see_the_names_that_are_there() -> None:
    source = Path(typing.cast(str, wf.checksum.__file__)).read_text()
    typed = {
        (alias.name, node.module)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert typed == set(wf.checksum._WHERE.items())


def test_no_public_name_is_hidden_by_a_module_of_that_name() -> None:
    folder = Path(typing.cast(str, wf.checksum.__file__)).parent
    assert not {path.stem for path in folder.glob("*.py")} & set(wf.checksum.__all__)


def test_digest_manifest_and_verification_go_together(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    found = digest_file(tmp_path / "a", ("sha256", "md5"))
    entry = ManifestEntry(b"a", found.digests, found.size)
    assert write_manifest(tmp_path / "m", [entry]) == 1
    assert list(read_manifest(tmp_path / "m")) == [entry]
    (one,) = verify_files(tmp_path / "m", folder=tmp_path)
    assert (one.number, one.verdict, one.entry, one.found) == (2, Verdict.MATCH, entry, found)
    assert one.path == os.fsencode(tmp_path / "a")


# --- verify_files


def verdict(folder: Path, name: str | bytes, digest: Digest = ABC, **more: object) -> Verdict:
    entry = ManifestEntry(os.fsencode(name), (digest,), **more)
    (one,) = verify_files([entry], folder=folder)
    assert (one.error is None) == (one.verdict in (Verdict.MATCH, Verdict.MISMATCH))
    return one.verdict


def test_every_state_of_a_file_has_its_verdict(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    assert verdict(tmp_path, "a") is Verdict.MATCH
    assert verdict(tmp_path, "./a", size=3) is Verdict.MATCH
    assert verdict(tmp_path, "link") is Verdict.MATCH
    assert verdict(tmp_path, "a", NO) is Verdict.MISMATCH
    assert verdict(tmp_path, "a", size=4) is Verdict.MISMATCH
    assert verdict(tmp_path, "missing") is Verdict.MISSING
    assert verdict(tmp_path, "a/below") is Verdict.UNREADABLE
    for name in ("fifo", "loop", "."):
        assert verdict(tmp_path, name) is Verdict.UNREADABLE
    entries = [ManifestEntry(b"a", ()), ManifestEntry(b"a", (ABC, Digest("md5", bytes(16))))]
    assert [one.verdict for one in verify_files(entries, folder=tmp_path)] == [
        Verdict.NO_DIGEST,
        Verdict.MISMATCH,
    ]


def test_a_fifo_is_named_as_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (one,) = verify_files([ManifestEntry(b"fifo", (ABC,))], folder=tmp_path)
    assert isinstance(one.error, NotRegular)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "b/../../a", "b/..", "..", "b/../a", "//a"])
def test_a_name_that_could_leave_the_folder_is_not_opened_unless_that_is_allowed(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "top" / "b").mkdir(parents=True)
    entry = ManifestEntry(name.encode(), (ABC,))
    (one,) = verify_files([entry], folder=tmp_path / "top")
    assert one.verdict is Verdict.OUTSIDE
    assert isinstance(one.error, OutsideFolder)
    (one,) = verify_files([entry], folder=tmp_path / "top", allow_absolute=True)
    assert one.verdict is not Verdict.OUTSIDE


@pytest.mark.parametrize("name", ["..a", "a..", "b/..c/d", "...", "-"])
def test_dots_and_dashes_in_names_are_no_way_out(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"abc")
    assert verdict(tmp_path, name) is Verdict.MATCH


def test_a_dash_is_a_file_of_that_name_also_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_bytes(b"abc")
    assert [one.verdict for one in verify_files([ManifestEntry(b"-", (ABC,))])] == [Verdict.MATCH]


def test_malformed_lines_are_results_and_a_cut_manifest_raises_after_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    write_manifest(tmp_path / "m", [ManifestEntry(b"a", (ABC,))] * 3)
    lines = (tmp_path / "m").read_bytes().splitlines(keepends=True)
    lines[2] = b"{\n"
    (tmp_path / "m").write_bytes(b"".join(lines))
    found = list(verify_files(tmp_path / "m", folder=tmp_path))
    assert [one.verdict for one in found] == [Verdict.MATCH, Verdict.MALFORMED, Verdict.MATCH]
    assert (found[1].number, found[1].problem) == (3, "is not a JSON object")
    checked = verify_files(io.BytesIO(b"".join(lines[:-1])), folder=tmp_path, workers=1)
    with pytest.raises(TruncatedManifest):
        list(checked)


@pytest.mark.parametrize("workers", [1, 2, None])
def test_results_are_the_same_with_any_number_of_processes(tmp_path: Path, workers: int | None) -> None:
    lines: list[ManifestLine] = []
    for number in range(300):
        name = b"%d" % number
        (tmp_path / str(number)).write_bytes(name)
        good = Digest("sha256", hashlib.sha256(name).digest())
        lines += [
            ManifestLine(number, ManifestEntry(name, (good if number % 3 else NO,))),
            ManifestLine(number, None, "malformed"),
            ManifestLine(number, ManifestEntry(b"../x", (good,))),
        ]
    found = list(verify_lines(iter(lines), folder=os.fsencode(tmp_path), workers=workers))
    assert [(one.number, one.entry) for one in found] == [(line.number, line.entry) for line in lines]
    for number in range(300):
        expected = Verdict.MATCH if number % 3 else Verdict.MISMATCH
        assert [one.verdict for one in found[3 * number : 3 * number + 3]] == [
            expected,
            Verdict.MALFORMED,
            Verdict.OUTSIDE,
        ]


def test_a_set_stop_event_ends_a_verification(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    stop = threading.Event()
    checked = verify_files([ManifestEntry(b"a", (ABC,))] * 10, folder=tmp_path, stop=stop)
    next(checked)
    stop.set()
    with pytest.raises(Interrupted):
        list(checked)


def test_malformed_lines_without_end_take_no_memory() -> None:
    read = 0

    def lines() -> typing.Iterator[ManifestLine]:
        nonlocal read
        while True:
            read += 1
            yield ManifestLine(read, None, "malformed")

    checked = verify_lines(lines(), workers=1, reading=Reading())
    for _ in range(10_000):
        next(checked)
    assert read < 11_000
    typing.cast("typing.Generator[object, None, None]", checked).close()


MEMORY = """
import resource, sys
from wf.checksum import Digest, ManifestEntry, compare, verify_files
import hashlib, os
count = int(sys.argv[2])
folder = os.fsencode(sys.argv[3])
digest = (Digest("sha256", hashlib.sha256(b"abc").digest()),)
entries = lambda: (ManifestEntry(b"%d" % (number % 100), digest, 3) for number in range(count))
names = lambda more: (ManifestEntry(b"%09d%d" % (number * 7919 % count, more), digest, 3) for number in range(count))
if sys.argv[1] == "verify":
    assert sum(one.verdict == "match" for one in verify_files(entries(), folder=folder)) == count
else:
    assert sum(1 for _ in compare(names(0), names(1), run_bytes=1 << 20)) == count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("what", ["verify", "compare"])
def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path, what: str) -> None:
    for number in range(100):
        (tmp_path / str(number)).write_bytes(b"abc")

    def peak(count: int) -> int:
        command = [sys.executable, "-c", MEMORY, what, str(count), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, check=True, timeout=120)
        return int(done.stdout)

    few, many = peak(5_000), peak(40_000)
    assert many - few < 8 << 10  # KiB; each file's path and digest alone would be more


# --- compare


def entries(**content: int) -> list[ManifestEntry]:
    return [
        ManifestEntry(name.encode(), (Digest("sha256", bytes([value]) * 32),), 3)
        for name, value in content.items()
    ]


def changes(found: typing.Iterable[Difference]) -> list[tuple[Change, bytes | None, bytes | None]]:
    return [(one.change, one.before and one.before.name, one.after and one.after.name) for one in found]


def test_equal_manifests_have_no_difference_in_any_order() -> None:
    both = entries(a=1, b=2, c=3)
    assert list(compare(both, both[::-1])) == []
    assert list(compare([], [])) == []


def test_added_removed_changed_and_moved_are_told_by_name() -> None:
    before, after = entries(a=1, b=2, c=3, d=4), entries(a=1, c=9, e=4, f=6)
    assert changes(compare(before, after)) == [
        (Change.REMOVED, b"b", None),
        (Change.CHANGED, b"c", b"c"),
        (Change.MOVED, b"d", b"e"),
        (Change.ADDED, None, b"f"),
    ]
    assert Change.MOVED not in [one.change for one in compare(before, after, moves=False)]


def test_of_several_equal_files_each_moves_once() -> None:
    found = compare(entries(a=1, b=1, c=1), entries(x=1, y=1))
    assert changes(found) == [
        (Change.MOVED, b"a", b"x"),
        (Change.MOVED, b"b", b"y"),
        (Change.REMOVED, b"c", None),
    ]


def test_what_cannot_be_compared_is_unknown_unless_the_size_tells() -> None:
    def one(algorithm: str, size: int | None) -> list[ManifestEntry]:
        return [ManifestEntry(b"a", (Digest(algorithm, bytes(16)),), size)]

    assert [found.change for found in compare(one("md5", 3), one("sha1", 3))] == [Change.UNKNOWN]
    assert [found.change for found in compare(one("md5", 3), one("sha1", 4))] == [Change.CHANGED]
    assert list(compare(one("md5", None), one("md5", 4))) == []


def test_checksums_alone_prove_no_move() -> None:
    before = [ManifestEntry(b"a", (Digest("crc32", bytes(4)),))]
    after = [ManifestEntry(b"b", (Digest("crc32", bytes(4)),))]
    assert [one.change for one in compare(before, after)] == [Change.REMOVED, Change.ADDED]


def test_several_lines_for_a_file_are_one_and_a_contradiction_is_told() -> None:
    md5 = ManifestEntry(b"a", (Digest("md5", bytes(16)),))
    sha = ManifestEntry(b"a", (ABC,))
    assert list(compare([md5, sha], [sha, md5])) == []
    assert [one.change for one in compare([sha, md5, sha._replace(digests=(NO,))], [sha])] == [
        Change.CONFLICT
    ]


CONTENT = st.dictionaries(
    st.binary(min_size=1, max_size=3).filter(lambda name: b"\0" not in name), st.integers(0, 4), max_size=12
)


@settings(deadline=None)
@given(CONTENT, CONTENT, st.randoms(use_true_random=False), st.sampled_from([1, 300, 1 << 20]))
def test_the_differences_applied_to_the_first_manifest_give_the_second(
    before: dict[bytes, int], after: dict[bytes, int], order: random.Random, run_bytes: int
) -> None:
    def listed(content: dict[bytes, int]) -> list[ManifestEntry]:
        found = [
            ManifestEntry(name, (Digest("md5", bytes([value]) * 16),)) for name, value in content.items()
        ]
        order.shuffle(found)
        return found

    made = dict(before)
    found = list(compare(listed(before), listed(after), run_bytes=run_bytes))
    assert [one.name for one in found] == sorted(one.name for one in found)
    for one in found:
        if one.before:
            del made[one.before.name]
    for one in found:
        if one.after:
            assert one.after.name not in made
            made[one.after.name] = one.after.digests[0].value[0]
        if one.change is Change.MOVED:
            assert one.before and one.after and one.before.digests == one.after.digests
            assert one.before.name not in after and one.after.name not in before
    assert made == after
