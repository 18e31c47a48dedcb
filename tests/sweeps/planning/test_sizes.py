"""The estimated storage and memory of a grid, against real models and real checkpoints."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from lvae_core.config import RunConfig
from lvae_core.data.corpus import load
from lvae_core.model.counts import parameter_count
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.study import Study
from lvae_core.systems import SYSTEMS, recipe
from lvae_core.training.optimisation.learning_rate import RateState
from lvae_core.training.optimisation.parts import make_optimiser
from lvae_core.training.state import TrainState, copy_parameters, save_checkpoint
from sweeps.planning.sizes import corpus_bytes, format_bytes, storage_bytes

SIZES = {"embedding_size": 5, "hidden_size": 7, "latent_size": 3}
CASES = list(itertools.product(SYSTEMS, ("standard", "inputless"), (False, True), (False, True)))


@pytest.mark.parametrize(("system", "setting", "share", "bias"), CASES)
def test_parameters_of_every_system_as_torch_counts_them(system, setting, share, bias):
    base = recipe(system, dataset="toy", setting=setting, num_samples=2)
    config = dataclasses.replace(base, share_embeddings=share, linear_bias=bias, **SIZES)
    words = 0.0 if setting == "inputless" else 0.25
    for changed in (config, dataclasses.replace(config, word_dropout=words)):
        model = TextModel(changed, 11)
        assert parameter_count(changed, 11) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("system", ["lstm-vae", "cnn-vae"])  # by SGD, and by Adam
def test_a_checkpoint_of_the_papers_size_is_as_large_as_estimated(system, tmp_path):
    config, classes = recipe(system, dataset="ptb"), 10_000
    model = TextModel(config, classes)
    parameters, optimiser = copy_parameters(model), make_optimiser(model, config).state()
    best = {name: value.clone() for name, value in parameters.items()}
    words = [f"word{i}" for i in range(classes)]
    folder = Study(str(tmp_path)).run("run")
    state = TrainState("0" * 64, parameters, best, RateState(1.0), words, optimiser=optimiser)
    save_checkpoint(folder, state)
    written = (tmp_path / "run" / "checkpoint.pt").stat().st_size
    # The folder keeps two of them.
    assert 0.85 < 2 * written / storage_bytes([(config, classes)]) <= 1.0


def test_storage_is_the_sum_over_runs():
    small, large = (RunConfig(hidden_size=size) for size in (10, 1000))
    apart = storage_bytes([(small, 50)]) + storage_bytes([(large, 500)])
    assert storage_bytes([(small, 50), (large, 500)]) == pytest.approx(apart, abs=1)
    assert storage_bytes([]) == 0


def test_a_corpus_is_its_arrays():
    toy = load("toy")
    arrays = [
        array for split in (toy.train, toy.valid, toy.test) for array in (split.tokens, split.offsets)
    ]
    assert corpus_bytes(toy) == sum(np.ascontiguousarray(array).nbytes for array in arrays) > 1000


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (2048, "2 KiB"),
        (812 * 2**20, "812 MiB"),
        (3.25 * 2**30, "3.2 GiB"),
        (5 * 2**40, "5120.0 GiB"),
    ],
)
def test_bytes_are_formatted_for_reading(size, words):
    assert format_bytes(size) == words
