"""The benchmark's arithmetic and its tables, without measuring anything."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
NAMES = ("measure", "profiling", "rows", "report", "plot")

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the benchmarks are not part of what was installed"
)


@pytest.fixture
def parts() -> Iterator[dict[str, Any]]:
    """The benchmark's modules by name; they are found beside its script and nowhere else."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(FOLDER))
        for name in NAMES:
            sys.modules.pop(name, None)


def results_of(measure: Any, **walls: list[float | None]) -> Any:
    results = measure.Results(list(walls))
    for name, values in walls.items():
        results.samples[name] = [
            None if wall is None else measure.Sample(wall, 2 * wall, 10.0) for wall in values
        ]
    return results


def row_of(rows: Any, *findings: Any) -> Any:
    return rows.Row("name", "A title", "| a |\n", list(findings), ["flag"], ["note"], "1.0, then 2.0")


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians(
    parts: dict[str, Any],
) -> None:
    measure = parts["measure"]
    results = results_of(measure, ours=[1.0, 4.0, 30.0], peer=[1.0, 2.0, 60.0])
    assert results.ratio(measure.Ratio("ours", ("peer",), "wall", 1.0)) == 1.0
    assert results.median("ours", "wall") / results.median("peer", "wall") == 2.0


def test_rounds_that_a_slow_peer_sat_out_do_not_count(parts: dict[str, Any]) -> None:
    measure = parts["measure"]
    results = results_of(measure, ours=[1.0, 9.0, 9.0], peer=[4.0, None, None])
    assert results.ratio(measure.Ratio("ours", ("peer",), "cpu", 1.0)) == 0.25


def test_the_denominator_may_be_a_sum(parts: dict[str, Any]) -> None:
    measure = parts["measure"]
    results = results_of(measure, ours=[3.0], cp=[1.0], openssl=[2.0])
    assert results.ratio(measure.Ratio("ours", ("cp", "openssl"), "wall", 1.0)) == 1.0


def test_two_legs_are_compared_with_the_slower_of_them_in_each_round(parts: dict[str, Any]) -> None:
    results = results_of(parts["measure"], both=[4.0, 6.0], get=[4.0, 1.0], put=[2.0, 6.0])
    assert results.slower("both", ("get", "put")) == 1.0


def test_what_a_command_used_is_its_own_and_its_output_is_checked(parts: dict[str, Any]) -> None:
    measure = parts["measure"]
    seen: list[bytes] = []
    sample = measure.once(measure.Contender("echo", ("sh", "-c", "echo hello"), seen.append, share=0.5))
    assert seen == [b"hello\n"]
    assert sample.wall > 0
    assert 0 < sample.peak < 100
    with pytest.raises(measure.Wrong, match="exit 3: sorry"):
        measure.once(measure.Contender("failing", ("sh", "-c", "echo sorry >&2; exit 3")))


def test_contenders_are_warmed_up_where_more_than_one_round_counts(parts: dict[str, Any]) -> None:
    measure, seen = parts["measure"], []
    one = measure.Contender("true", ("true",), before=lambda: seen.append(1))
    assert len(measure.run([one], 1).samples["true"]) == len(seen) == 1
    assert len(measure.run([one], 2).samples["true"]) == 2
    assert len(seen) == 1 + 3


def test_progress_is_shown_to_a_command_that_asks_for_a_terminal(parts: dict[str, Any]) -> None:
    measure = parts["measure"]
    measure.once(measure.Contender("test", ("test", "-t", "2"), terminal=True))
    with pytest.raises(measure.Wrong):
        measure.once(measure.Contender("test", ("test", "-t", "2")))


def test_the_verdict_tells_met_from_missed_from_not_promised(parts: dict[str, Any]) -> None:
    finding, verdict = parts["rows"].Finding, parts["report"].verdict
    assert verdict(finding("equal", 1.0, 1.0)) == "met"
    assert verdict(finding("above", 1.01, 1.0)) == "**missed**"
    assert verdict(finding("for comparison", 3.0, 0)) == "no goal"
    assert verdict(finding("a figure that must be nothing", 0.0, 0, " MiB")) == "met"


def test_the_tables_name_every_goal_and_every_row_that_is_missing(parts: dict[str, Any]) -> None:
    rows, report = parts["rows"], parts["report"]
    found = [row_of(rows, rows.Finding("cpu", 0.5, 1.0), rows.Finding("wall", 2.0, 1.0)), row_of(rows)]
    text = report.document(found, [("curl", "curl 8")], quick=False)
    assert "| A title | cpu | 0.5 | <= 1 | met |" in text
    assert "| A title | wall | 2 | <= 1 | **missed** |" in text
    assert "| A title | not measured | - | - | **missing** |" in text
    assert "1 of 2 goals are met" in text
    assert "| curl | curl 8 |" in text


def test_a_quick_run_says_that_it_judges_nothing(parts: dict[str, Any]) -> None:
    text = parts["report"].document([], [], quick=True)
    assert "too few rounds to judge anything" in text


def test_notes_written_by_hand_outlive_the_next_run(parts: dict[str, Any]) -> None:
    report = parts["report"]
    first = report.document([], [], quick=False, notes="The machine was busy.")
    assert report.notes_in(first) == "The machine was busy."
    assert report.notes_in(report.document([], [], quick=False)) == ""


def test_what_others_wrote_behind_the_rows_outlives_the_next_run(parts: dict[str, Any]) -> None:
    report = parts["report"]
    theirs = "<!-- wf-checksum -->\n\ntheirs\n"
    before = report.document([], [], quick=False, notes="ours") + theirs
    assert report.others_in(before).strip() == theirs.strip()
    assert report.others_in(report.document([], [], quick=False)) == ""


def test_rows_are_kept_between_runs(parts: dict[str, Any], tmp_path: Path) -> None:
    rows, report = parts["rows"], parts["report"]
    kept = {"name": row_of(rows, rows.Finding("cpu", 0.5, 1.0, " s"))}
    report.keep(tmp_path / "rows.json", kept)
    assert report.kept(tmp_path / "rows.json") == kept
    assert report.kept(tmp_path / "none.json") == {}


def test_the_plot_has_a_bar_for_each_goal_and_cuts_long_ones(parts: dict[str, Any]) -> None:
    rows, plot = parts["rows"], parts["plot"]
    findings = [
        rows.Finding("<cpu>", 0.5, 1.0),
        rows.Finding("wall", 50.0, 1.0),
        rows.Finding("none", 3.0, 0),
    ]
    tree = ElementTree.fromstring(plot.svg([row_of(rows, *findings)]))
    bars = [
        one for one in tree.iter() if one.tag.endswith("rect") and one.get("fill") in (plot.MET, plot.MISSED)
    ]
    assert [one.get("fill") for one in bars] == [plot.MET, plot.MISSED]
    assert all(float(one.get("width", "")) <= plot.WIDTH - plot.LABELS for one in bars)


def test_a_profile_names_what_ran_and_which_of_our_functions_wanted_it(parts: dict[str, Any]) -> None:
    stacks = (
        "main (cli.py:1);pump (site-packages/wf/transfer/pump.py:9);recv (socket.py:5) 3\n"
        "main (cli.py:1);pump (site-packages/wf/transfer/pump.py:9) 1\n"
    )
    assert parts["profiling"].summary(stacks) == [
        "`recv (socket.py)` in `pump (pump.py)` 75 %",
        "`pump (pump.py)` 25 %",
    ]
