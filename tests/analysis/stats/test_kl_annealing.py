"""KL annealing of runs against figures made by hand: its length, and β at the epoch that is tested."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.kl_annealing import annealing_epochs, kl_weights_within_annealing
from analysis.stats.over_seeds import average_cells
from lvae_core.identity import fingerprint
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study

from ...lvae_core.training.runs import CORPUS, run, short
from ..conftest import WriteRun

RUN = {
    "kl_schedule": "linear", "kl_weight": 1.0, "kl_start": 0.0, "kl_anneal_epochs": 10.0,
    "kl_anneal_steps": 0, "max_epochs": 30, "best_epoch": 4, "epochs": 12, "steps": 120,
    "steps_per_epoch": None, "tested_epoch": "best",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "length", "weight"),
    [
        ({}, 10, 0.4),  # four of ten epochs, though training went on for twelve
        ({"tested_epoch": None}, 10, 0.4),  # of a result from before the field
        ({"tested_epoch": "last", "epochs": 7}, 10, 0.7),
        ({"tested_epoch": "last"}, 10, None),  # over
        ({"best_epoch": 10}, 10, None),
        ({"kl_start": 0.5}, 10, 0.7),  # from a half, 0.5 + 0.5 * 0.4
        ({"kl_weight": 0.5}, 10, 0.2),  # to a half
        ({"best_epoch": None, "max_epochs": 3}, 10, 0.3),  # at most that of the last planned epoch
        ({"kl_anneal_steps": 160}, 16, 0.25),  # of ten steps an epoch; kl_anneal_epochs does not count
        ({"kl_anneal_steps": 40}, 4, None),
        ({"kl_anneal_steps": None}, 10, 0.4),
        ({"kl_anneal_steps": 160, "steps": None}, None, None),
        ({"kl_anneal_steps": 160, "steps": 0}, None, None),
        ({"kl_anneal_epochs": None}, None, None),
        # max_steps has ended the second epoch in its middle.
        ({"steps": 15, "steps_per_epoch": 10, "epochs": 2, "best_epoch": 2}, 10, 0.15),
        ({"steps": 15, "steps_per_epoch": 10, "epochs": 2, "best_epoch": 1}, 10, 0.1),
        ({"kl_anneal_steps": 30, "steps": 15, "steps_per_epoch": 10, "best_epoch": 2}, 3, 0.5),
        ({"kl_anneal_steps": 15, "steps": 15, "steps_per_epoch": 10, "best_epoch": 2}, 1.5, None),
        ({"kl_anneal_epochs": 0.0}, 0, None),
        # β falls again, or never rises.
        ({"kl_schedule": "cyclical"}, 0, None),
        ({"kl_schedule": None}, 0, None),
        ({"kl_start": 1.0}, 0, None),
        ({"kl_weight": 0.0}, 0, None),
        ({"kl_weight": None}, 0, None),
    ],
)
@pytest.mark.parametrize("kind", ["object", "own"])
def test_the_length_of_annealing_and_the_weight_at_the_tested_epoch(
    change: dict[str, object], length: float | None, weight: float | None, kind: str
) -> None:
    """Beside another run, whose values must not mix with it, in columns of objects and of numbers."""
    other = {**RUN, "best_epoch": 9}
    frame = pd.DataFrame([{**RUN, **change}, other], dtype=object)
    if kind == "own":
        frame = frame.convert_dtypes()
    for found, expected, of_other in (
        (annealing_epochs(frame), length, 10),
        (kl_weights_within_annealing(frame), weight, 0.9),
    ):
        wanted = [math.nan if expected is None else expected, of_other]
        assert found.tolist() == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize(
    ("best", "mi", "weight"),
    [
        ((4, 7, 2), 0.01, 0.7),
        ((4, 7, 2), 1.0, None),  # z is used
        ((3, 10, 1), 0.01, 0.3),  # one of three was held to the full KL
        ((3, 10), 0.01, 0.3),
        # Most were, so z is unused in spite of it.
        ((3, 10, 11), 0.01, None),
        ((10, 11), 0.01, None),
    ],
)
def test_most_runs_decide_whether_a_cell_was_tested_within_annealing(
    tmp_path: Path, write_run: WriteRun, best: tuple[int, ...], mi: float, weight: float | None
) -> None:
    for seed, epoch in enumerate(best):
        write_run(
            seed=seed, kl_anneal_epochs=10.0, kl_schedule="linear",
            estimates={"nll_elbo": 100.0, "mi": mi}, result={"best_epoch": epoch, "epochs": 12},
        )  # fmt: skip
    (cell,) = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    assert cell.tested_kl_weight == (None if weight is None else pytest.approx(weight))
    assert cell.collapsed == (mi < 0.1 and weight is None)
    assert cell.annealing_runs == sum(epoch < 10 for epoch in best)


def test_the_last_epoch_of_a_run_may_be_held_to_the_full_kl_though_its_best_was_not(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for tested in ("best", "last"):
        write_run(
            study=tested, kl_anneal_epochs=4.0, tested_epoch=tested,
            estimates={"nll_elbo": 100.0, "mi": 0.01}, result={"best_epoch": 3, "epochs": 6},
        )  # fmt: skip
        (cell,) = average_cells(collect([open_source(str(tmp_path / tested))]).frame)
        assert cell.collapsed == (tested == "last")


@pytest.mark.parametrize(
    "fields",
    [
        {"max_steps": 4, "kl_anneal_epochs": 2.0},  # of three steps an epoch
        {"max_steps": 4, "kl_anneal_epochs": 1.3},
        {"max_steps": 5, "kl_anneal_steps": 7, "kl_start": 0.25},
        {"max_steps": 5, "kl_anneal_steps": 4},
        {"max_epochs": 2, "kl_anneal_epochs": 4.0},
    ],
)
def test_the_weight_is_that_of_the_metrics(tmp_path: Path, fields: dict[str, float]) -> None:
    study, config = Study(str(tmp_path / "study")), short(**fields)
    corpus = replace(CORPUS, data_sha256="0" * 64)
    folder = study.run(run_name(config, fingerprint(config, corpus.data_sha256)))
    run(config, folder, corpus=corpus)
    frame = collect([open_source(study.url)]).frame
    row = folder.read_metrics()[int(frame["best_epoch"].item()) - 1]
    expected = row["kl_weight"] if row["kl_weight"] < 1 else math.nan
    assert kl_weights_within_annealing(frame).tolist() == pytest.approx([expected], nan_ok=True)
