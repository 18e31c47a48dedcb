"""The results that the repository keeps: their run folders are whole, and the tables follow from them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.collect import collect
from analysis.reading.sources import find_sources

RESULTS = Path(__file__).parent.parent / "results"
STUDIES = sorted(path.name for path in RESULTS.iterdir() if path.is_dir() and path.name != "summary")


@pytest.fixture(scope="module", params=STUDIES)
def study(request):
    return request.param


@pytest.fixture(scope="module")
def runs(study):
    return collect(find_sources([str(RESULTS / study)]))


def test_every_run_is_done_and_undamaged(runs):
    assert len(runs.frame)
    assert set(runs.frame["status"]) == {"done"}
    assert list(runs.problems) == []


def test_no_checkpoint_and_no_path_of_a_machine_is_kept(study):
    files = [path for path in (RESULTS / study).rglob("*") if path.is_file()]
    assert {path.name for path in files} <= {
        "config.json",
        "provenance.json",
        "metrics.jsonl",
        "result.json",
    }
    assert not [path for path in files if b'"dataset":"/' in path.read_bytes().replace(b": ", b":")]


def test_the_table_of_runs_holds_the_numbers_of_the_folders(study, runs):
    """What ``make results`` wrote must follow from the run folders beside it."""
    kept = pd.read_csv(RESULTS / "summary" / study / "runs.csv").set_index("run")
    frame = runs.frame.set_index("run")
    assert set(kept.index) == set(frame.index)
    for name in ("nll", "nll_elbo", "nll_joint", "nll_iw", "nll_iw_joint", "kl"):
        if name in kept:
            ours = frame.loc[kept.index, name].astype(float)
            pd.testing.assert_series_equal(kept[name].astype(float), ours, check_names=False)
