"""The same numbers on every device there is; on a machine without a GPU that is the CPU alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lvae_core.data.batches import Batch, collate
from lvae_core.evaluation.likelihood import sentence_statistics
from lvae_core.model.layers.precision import compute_in
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.folder import reproducible
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.optimisation.objective import objective
from lvae_core.training.optimisation.parts import make_optimiser
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute

from .. import tiny

CORPUS = tiny.corpus()
V = len(CORPUS.vocabulary)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def step(model: TextModel, config, batch: Batch, number: int = 0) -> torch.Tensor:
    """One gradient step as the trainer takes it."""
    terms = objective(model, batch, config, kl_weight=0.5, step=number)
    terms.loss.backward()
    make_optimiser(model, config).step(config.learning_rate)
    return terms.loss.detach()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("system", tiny.SYSTEMS)
def test_steps_and_estimates_are_those_of_the_plain_formulas_in_float64(device, system):
    # Dropout draws other masks on every device; all else is the same.
    config = tiny.config(system, dropout=0.0, iw_samples=6, learning_rate=0.5)
    set_arithmetic(config, Runtime(device=device))
    model, judge = TextModel(config, V).to(device), tiny.double_model(config, V)
    compute_in(judge, "reference")
    batch = collate(CORPUS.train, np.arange(4))
    for number in range(3):
        loss, expected = step(model, config, batch.to(device), number), step(judge, config, batch, number)
        torch.testing.assert_close(loss.cpu().double(), expected, rtol=1e-5, atol=1e-5)
    for (name, ours), theirs in zip(model.named_parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(
            ours.detach().cpu().double(), theirs.detach(), rtol=1e-4, atol=1e-5, msg=name
        )
    rows, exact = (
        torch.cat(list(sentence_statistics(m, CORPUS.test, config, split_name="test", samples=6)))
        for m in (model, judge)
    )
    torch.testing.assert_close(rows, exact, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_stopped_and_resumed_is_the_same_on_every_device(device, precision, tmp_path):
    config = tiny.config("lstm-vae", batch_size=4, max_epochs=2, iw_samples=3, mi_samples=2)
    config = replace(config, precision=precision)
    runtime = Runtime(device=device, progress_seconds=0)
    whole, stopped = tiny.folder(tmp_path, "whole"), tiny.folder(tmp_path, "stopped")
    for _ in execute(config, CORPUS, whole, runtime):
        pass
    run = execute(config, CORPUS, stopped, runtime)
    for _ in range(4):
        next(run)
    run.close()
    for _ in execute(config, CORPUS, stopped, runtime):
        pass
    assert stopped.read_metrics() == whole.read_metrics()
    results = [folder.read_json("result.json") for folder in (whole, stopped)]
    assert reproducible(results[0]) == reproducible(results[1])
