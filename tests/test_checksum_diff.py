"""`wf-checksum diff`: two manifests compared, of whatever formats, without any file."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from checksum_tools import run

if TYPE_CHECKING:
    from pathlib import Path


def gnu(**files: str) -> str:
    return "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in files.items())


def test_each_difference_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "A").write_text(gnu(same="1", gone="2", other="3", old="4"))
    (tmp_path / "B").write_text(gnu(new="4", same="1", more="5", other="6"))
    done = run(tmp_path, "diff", "A", "B")
    assert (done.code, done.err) == (1, "")
    assert done.lines == ["removed   gone", "added     more", "moved     old -> new", "changed   other"]


def test_equal_content_in_another_order_is_no_difference(tmp_path: Path) -> None:
    (tmp_path / "A").write_text(gnu(a="1", b="2"))
    (tmp_path / "B").write_text(gnu(b="2", a="1"))
    assert run(tmp_path, "diff", "A", "B") == (0, b"", "")
    assert run(tmp_path, "diff", "A", "A") == (0, b"", "")


def test_formats_are_compared_with_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    for options, name in (((), "gnu"), (("--tag",), "bsd"), (("--json",), "jsonl")):
        (tmp_path / name).write_bytes(run(tmp_path, *options, "./a", "./a").out)
    for one in ("gnu", "bsd", "jsonl"):
        for other in ("gnu", "bsd", "jsonl"):
            assert run(tmp_path, "diff", one, other).code == 0


def test_json_tells_both_sides(tmp_path: Path) -> None:
    (tmp_path / "A").write_text(gnu(a="1", old="4"))
    (tmp_path / "B").write_text(gnu(a="2", new="4"))
    done = run(tmp_path, "diff", "--json", "A", "B")
    changed, moved = map(json.loads, done.lines)
    assert (changed["change"], changed["path"]) == ("changed", "a")
    assert changed["before"]["sha256"] == hashlib.sha256(b"1").hexdigest()
    assert changed["after"]["sha256"] == hashlib.sha256(b"2").hexdigest()
    assert (moved["change"], moved["path"], moved["to"]) == ("moved", "old", "new")


def test_odd_names_stay_one_line(tmp_path: Path) -> None:
    (tmp_path / "A").write_text("")
    (tmp_path / "B").write_text("\\" + gnu(x="1").replace("x\n", "a\\nb\n"))
    (tmp_path / "A").write_text(gnu(x="2"))
    assert run(tmp_path, "diff", "A", "B").lines == ["\\added     a\\nb", "removed   x"]


def test_quiet_tells_by_the_exit_status_alone(tmp_path: Path) -> None:
    (tmp_path / "A").write_text(gnu(a="1"))
    (tmp_path / "B").write_text(gnu(a="2"))
    assert run(tmp_path, "diff", "-q", "A", "B") == (1, b"", "")
    assert run(tmp_path, "diff", "-q", "A", "A").code == 0


def test_one_may_come_from_standard_input(tmp_path: Path) -> None:
    (tmp_path / "A").write_text(gnu(a="1"))
    assert run(tmp_path, "diff", "A", "-", text=gnu(a="1").encode()).code == 0
    assert run(tmp_path, "diff", "-", "A", text=gnu(b="1").encode()).lines == ["moved     b -> a"]


def test_what_cannot_be_compared_is_no_equality(tmp_path: Path) -> None:
    (tmp_path / "A").write_text(gnu(a="1"))
    (tmp_path / "B").write_text(f"{hashlib.md5(b'1').hexdigest()}  a\n")
    done = run(tmp_path, "diff", "A", "B")
    assert (done.code, done.lines) == (1, ["unknown   a"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("words\n", "line 1"),
        ('{"format":"wf-checksum","version":1}\n', "ends after 0 entries"),
        ("{}", "JSON"),
    ],
)
def test_what_is_no_whole_manifest_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "A").write_text(gnu(a="1"))
    (tmp_path / "B").write_text(text)
    for order in (("A", "B"), ("B", "A")):
        done = run(tmp_path, "diff", *order)
        assert (done.code, done.out) == (65, b"")
        assert done.err.startswith("B: ") and told in done.err


def test_a_manifest_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "A").write_text(gnu(a="1"))
    assert run(tmp_path, "diff", "A", "absent") == (1, b"", "absent: No such file or directory\n")


@pytest.mark.parametrize("arguments", [(), ("A",), ("A", "B", "C"), ("--bogus", "A", "B")])
def test_wrong_usage_ends_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run(tmp_path, "diff", *arguments).code == 2
