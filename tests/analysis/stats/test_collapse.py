"""The KL weight that a run ended with, against annealing written as a sentence per case."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.collapse import last_kl_weights
from analysis.stats.over_seeds import average_cells

from ..conftest import WriteRun

RUN = {
    "kl_schedule": "linear", "kl_weight": 1.0, "kl_start": 0.0, "kl_anneal_epochs": 10.0,
    "kl_anneal_steps": 0, "max_epochs": 30, "epochs": 4, "steps": 99,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "weight"),
    [
        ({}, 0.4),  # four of ten epochs
        ({"kl_start": 0.5}, 0.7),  # from a half, 0.5 + 0.5 * 0.4
        ({"kl_weight": 0.5}, 0.2),  # to a half
        ({"epochs": None, "max_epochs": 3}, 0.3),  # planned epochs, where those trained are unknown
        ({"kl_anneal_steps": 396}, 0.25),  # 99 of 396 steps; epochs do not count
        ({"epochs": 10}, None),  # over
        ({"kl_anneal_steps": 99}, None),
        ({"kl_anneal_epochs": 0.0}, None),  # never annealed
        ({"kl_schedule": "cyclical"}, None),
        ({"kl_schedule": None}, None),
        ({"kl_weight": None}, None),
        ({"kl_anneal_epochs": None}, None),
        ({"kl_anneal_steps": None}, 0.4),
        ({"kl_anneal_steps": 396, "steps": None}, None),
    ],
)
@pytest.mark.parametrize("kind", ["object", "own"])
def test_the_weight_at_the_end_of_a_run(change: dict[str, object], weight: float | None, kind: str) -> None:
    """Beside another run, whose values must not mix with it, in columns of objects and of numbers."""
    other = {**RUN, "epochs": 9}
    frame = pd.DataFrame([{**RUN, **change}, other], dtype=object)
    if kind == "own":
        frame = frame.convert_dtypes()
    found = last_kl_weights(frame).tolist()
    assert found == [pytest.approx(math.nan if weight is None else weight, nan_ok=True), pytest.approx(0.9)]


def test_a_cell_has_the_largest_weight_of_its_runs_if_z_is_unused(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for size, mi in ((2, 0.01), (4, 1.0)):
        for seed, epochs in enumerate((4, 7, 2)):
            write_run(
                seed=seed, latent_size=size, kl_anneal_epochs=10.0, kl_schedule="linear",
                estimates={"nll_elbo": 100.0, "mi": mi}, result={"epochs": epochs},
            )  # fmt: skip
    unused, used = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    assert unused.last_kl_weight == pytest.approx(0.7)
    assert used.last_kl_weight is None
