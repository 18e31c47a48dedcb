"""The results that the repository keeps: their run folders are whole, and the tables follow from them."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tyro

from analysis.reading.collect import collect
from analysis.reading.sources import find_sources
from lvae_core.identity import fingerprint
from lvae_core.parents import AUTOENCODERS
from lvae_core.run_folder.names import run_name
from sweeps.grid_options import Options
from sweeps.planning.grids.files import PRESETS

RESULTS = Path(__file__).parent.parent / "results"
STUDIES = sorted(path.name for path in RESULTS.iterdir() if path.is_dir() and path.name != "summary")


@pytest.fixture(scope="module", params=STUDIES)
def study(request):
    return request.param


@pytest.fixture(scope="module")
def runs(study):
    return collect(find_sources(str(RESULTS / study)))


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
        "declared-seeds.json",
    }
    assert not [path for path in files if b'"dataset":"/' in path.read_bytes().replace(b": ", b":")]


def test_the_table_of_runs_holds_the_numbers_of_the_folders(study, runs):
    """What ``make results`` wrote must follow from the run folders beside it."""
    kept = pd.read_csv(RESULTS / "summary" / study / "runs.csv").set_index("run")
    kept = kept[kept["status"] != "missing"]  # rows for seeds that other cells have
    frame = runs.frame.set_index("run")
    assert set(kept.index) == set(frame.index)
    for name in ("nll", "nll_elbo", "nll_joint", "nll_iw", "nll_iw_joint", "kl"):
        ours = frame.loc[kept.index, name].astype(float).to_numpy()
        np.testing.assert_array_equal(kept[name].to_numpy(float), ours)


def test_the_command_beside_a_study_plans_the_runs_that_are_kept(study, runs, monkeypatch):
    monkeypatch.chdir(RESULTS.parent)
    readme = (RESULTS / "README.md").read_text()
    ((_, arguments),) = re.findall(
        rf"^\| \[({study})\].*\| `python sweeps/paper_grid.py (.*)` \|$", readme, re.M
    )
    options = tyro.cli(Options, args=shlex.split(arguments))
    (data,) = set(runs.frame["data_sha256"])
    planned = {run_name(config, fingerprint(config, data)) for config in options.grid().configs()}
    kept = runs.frame[~runs.frame["system"].isin(AUTOENCODERS)]  # these are trained for others
    assert set(kept["run"]) <= planned
    if study.startswith("topics"):  # the others have not finished
        assert set(kept["run"]) == planned


def test_on_data_of_known_likelihood_hidden_averaging_reports_less_than_the_truth_and_bounds_do_not():
    frame = collect(find_sources(str(RESULTS / "topics"))).frame
    truth = math.log(8) + 3 * math.log(4)
    assert frame["true_nll"].tolist() == pytest.approx([truth] * len(frame))
    averaged = frame[(frame["system"] == "lstm-vae-avg") & (frame["num_samples"] == 10)]
    assert len(averaged) >= 2
    assert (averaged["nll_elbo"] + 4 * averaged["nll_elbo_stderr"] < truth).all()
    for column in ("nll", "nll_joint", "nll_iw_joint"):
        assert (frame[column].dropna() > truth).all()
    weighted = frame[frame["system"] == "lstm-iwae"]
    assert (weighted["nll_iw"] > truth).all()
    assert weighted["nll_iw"].max() < averaged["nll_iw_joint"].min(), "the valid counterpart comes nearer"


def test_the_demo_trains_runs_on_data_of_known_likelihood_that_are_kept():
    """So what is asserted above of the kept runs holds in the demo's own settings."""
    frame = collect(find_sources(str(RESULTS / "topics"))).frame
    (data,) = set(frame["data_sha256"])
    configs = [config for config in PRESETS["demo"].grid.configs() if config.dataset == "topics"]
    assert ("lstm-vae-avg", 10) in {(config.system, config.num_samples) for config in configs}
    trained = {run_name(config, fingerprint(config, data)) for config in configs}
    assert trained - set(frame["run"]) == set()
    of_demo = frame[frame["run"].isin(trained)]
    assert ((of_demo["kl"] > 1.0) & (of_demo["mi"] > 0.5)).sum() >= 2, "z is used in some cells of the demo"
