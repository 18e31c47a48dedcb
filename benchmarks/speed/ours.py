"""A pass of lvae_core over the batches of a case, as in training or evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice

import numpy as np
import torch
from torch import Tensor

from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, collate
from lvae_core.data.corpus import Corpus, Split
from lvae_core.data.vocabulary import Vocabulary
from lvae_core.evaluation.likelihood import COLUMNS, sentence_statistics
from lvae_core.model.layers.precision import compute_in, resolve
from lvae_core.model.text_model import TextModel
from lvae_core.training.optimisation.aggressive import AggressiveStep
from lvae_core.training.optimisation.parts import make_learner
from lvae_core.training.optimisation.step import JointStep, Learner, Memory, Moment
from speed.cases import ENCODER_UPDATES


class FixedAggressiveStep(AggressiveStep):
    """An aggressive step with a fixed number of encoder updates, whatever their losses."""

    def _batches(self, learner: Learner, batch: Batch, step: int) -> Iterator[Batch]:
        return islice(super()._batches(learner, batch, step), ENCODER_UPDATES)


def training(config: RunConfig, num_classes: int, split: Split, device: str) -> Callable[[], Tensor]:
    """Make a function that takes one step per batch of ``split`` and returns the last loss.

    The loss is in nats per sentence.
    """
    words = Vocabulary(tuple(map(str, range(num_classes))), None)
    corpus = Corpus("synthetic", words, split, split, split, data_sha256="", warnings=())
    learner = make_learner(config, corpus, device)
    compute_in(learner.model, resolve(config.precision, device))
    order = np.arange(len(split)).reshape(-1, config.batch_size)
    step = FixedAggressiveStep() if config.step == "aggressive" else JointStep()
    memory: Memory = {}
    steps = count()

    def run() -> Tensor:
        for indices in order:
            batch = collate(split, indices).to(device)
            moment = Moment(next(steps), kl_weight=1.0, learning_rate=config.learning_rate)
            terms = step.take(learner, batch, moment, memory)
        return terms.loss

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
