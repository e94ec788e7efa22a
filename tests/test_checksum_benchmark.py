"""The page of results keeps what somebody wrote by hand, and everybody else's part."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the benchmarks are not part of what was installed"
)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield importlib.import_module("checksum")
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_section_replaces_itself_alone_and_keeps_its_notes(benchmark: Any) -> None:
    def section(text: str) -> str:
        return f"{benchmark.BEGIN}\n{text}\n{benchmark.NOTES}\n{benchmark.NOTES_END}\n{benchmark.END}\n"

    page = benchmark.replaced("# Results\n\nothers\n", section("first"))
    noted = page.replace(f"{benchmark.NOTES}\n", f"{benchmark.NOTES}\n\nby hand\n\n") + "\n## After\n"
    again = benchmark.replaced(noted, section("second"))
    assert again == noted.replace("first", "second")
    assert benchmark.replaced(again, section("second")) == again


@pytest.mark.parametrize("order", [("wf-checksum", "irods"), ("irods", "wf-checksum")])
def test_the_sections_of_others_outlive_a_new_page(benchmark: Any, order: tuple[str, ...]) -> None:
    page_of = importlib.import_module("report")
    others = "".join(f"\n<!-- {name} -->\n\n## {name}\n\n<!-- end of {name} -->\n" for name in order)
    first = page_of.document([], [], quick=False, notes="by hand") + others
    again = page_of.document([], [], quick=False, notes=page_of.notes_in(first)) + page_of.others_in(first)
    assert again == first
    assert page_of.others_in(page_of.document([], [], quick=False)) == ""
    assert benchmark.BEGIN in again and benchmark.END in again


def test_a_command_is_shown_without_the_folders_of_this_run(benchmark: Any) -> None:
    contender = benchmark.Contender("a", ("/usr/bin/env", "/tmp/peers/b.py", "-r", "/dev/shm/x/small"))
    assert benchmark.shown(contender) == "env b.py -r $DATA/small"
