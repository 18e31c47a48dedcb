"""A pass of lvae_core over the batches of a case, as in training or evaluation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from torch import Tensor

from lvae_core.config import RunConfig
from lvae_core.data.batches import collate
from lvae_core.data.corpus import Split
from lvae_core.evaluation.likelihood import COLUMNS, sentence_statistics
from lvae_core.model.layers.precision import compute_in, resolve
from lvae_core.model.text_model import TextModel
from lvae_core.training.optimisation.objective import objective
from lvae_core.training.optimisation.parts import make_optimiser


def training(config: RunConfig, num_classes: int, split: Split, device: str) -> Callable[[], Tensor]:
    """Make a function that does one gradient step per batch of ``split`` and returns the last loss.

    The loss is in nats per sentence.
    """
    model = TextModel(config, num_classes).to(device)
    compute_in(model, resolve(config.precision, device))
    optimiser = make_optimiser(model, config)
    order = np.arange(len(split)).reshape(-1, config.batch_size)
    steps = count()

    def run() -> Tensor:
        for indices in order:
            batch = collate(split, indices).to(device)
            terms = objective(model, batch, config, kl_weight=1.0, step=next(steps))
            terms.loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step(config.learning_rate)
        return terms.loss.detach()

    return run


def evaluation(config: RunConfig, num_classes: int, split: Split, device: str) -> Callable[[], Tensor]:
    """Make a function that computes ``nll_iw`` of every sentence of ``split``: (N,), nats."""
    model = TextModel(config, num_classes).to(device)
    rough = resolve(config.precision, device)

    def run() -> Tensor:
        rows = sentence_statistics(
            model, split, config, split_name="test", samples=config.iw_samples, rough=rough
        )
        return torch.cat(list(rows))[:, COLUMNS.index("nll_iw")]

    return run
