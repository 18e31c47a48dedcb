"""The benchmark of reading results: both readers find exactly the runs that it wrote."""

from pathlib import Path

import pytest
from collate import measure, table
from collation.measure import collate, summarize
from collation.synthetic import write_runs
from rich.console import Console

RUNS = 130
"""More runs than the paper's grid has, so that a second variant begins."""


@pytest.mark.slow
def test_our_reader_finds_every_run_with_and_without_its_cache(tmp_path: Path) -> None:
    write_runs(tmp_path / "study", RUNS)
    assert collate(tmp_path).runs == RUNS
    again = collate(tmp_path)
    assert again.runs == RUNS
    assert again.seconds > 0
    assert 10 < again.peak_mib < 10_000
    stages = summarize(tmp_path)
    assert {cost.runs for cost in stages.values()} == {RUNS}
    assert list(stages)[:3] == ["reading", "statistics", "files of tables"]
    assert (tmp_path / "summary" / "report.html").exists()
    text = (tmp_path / "summary" / "runs.csv").read_text()
    assert text.count(",done,") == RUNS


@pytest.mark.slow
def test_the_table_has_both_readers(tmp_path: Path) -> None:
    costs = measure(tmp_path, RUNS, 12)
    *ours, tune = costs.values()
    assert [cost.runs for cost in ours] == [RUNS] * len(ours)
    assert tune.runs == 12
    console = Console(width=120, record=True)
    console.print(table(costs, RUNS))
    assert "12 read by Tune, its time scaled" in console.export_text()
