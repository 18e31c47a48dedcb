"""Fingerprints that exist stay: a run that was trained once is found again, whatever the code becomes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lvae_core.config import RunConfig, fingerprint
from lvae_core.systems import recipe

GOLDEN: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "golden_fingerprints_6.json").read_text()
)
"""Cell and seed -> fingerprint by numerics version 6, over data whose hash is all zeros."""

CELLS = {"lstm-lm": (1,), "lstm-vae": (1, 5, 10), "lstm-vae-avg": (5, 10)}
SEEDS = {"ptb": 5, "yahoo": 5, "pydocs": 1, "toy": 1}


def todays_runs() -> list[RunConfig]:
    return [
        recipe(system, dataset=dataset, setting=setting, num_samples=L, seed=seed)
        for dataset, seeds in SEEDS.items()
        for system, samples in CELLS.items()
        for L in samples
        for setting in ("standard", "inputless")
        for seed in range(seeds)
    ]


def test_the_golden_file_has_every_cell_of_the_paper_and_of_the_small_corpora():
    names = {f"{config.cell}__seed{config.seed}" for config in todays_runs()}
    assert names | {"folder"} == GOLDEN.keys()


@pytest.mark.parametrize("config", todays_runs(), ids=lambda c: f"{c.cell}__seed{c.seed}")
def test_fingerprints_of_recipes_are_the_golden_ones(config):
    assert fingerprint(config, "0" * 64) == GOLDEN[f"{config.cell}__seed{config.seed}"]


def test_the_fingerprint_of_a_folder_is_the_golden_one():
    config = replace(recipe("lstm-vae", dataset="/some/where/own"), dropout=0.3)
    assert fingerprint(config, "1" * 64) == GOLDEN["folder"]
