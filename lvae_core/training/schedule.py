"""What changes in the course of a run, as pure functions of where it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lvae_core.config import RunConfig


def kl_weight(config: RunConfig, step: int, steps_per_epoch: int) -> float:
    """β at gradient step ``step`` (from 0), by the schedule that the config names.

    linear: from 0 over ``kl_anneal_epochs``, then constant. cyclical (Fu et al. 2019): training is divided
    into ``kl_cycles`` equal cycles; in each, β rises linearly from 0 over the first half and is constant
    over the second.
    """
    if config.kl_schedule == "cyclical":
        cycle = config.max_epochs * steps_per_epoch / config.kl_cycles
        return config.kl_weight * min(1.0, 2 * (step % cycle) / cycle)
    annealing = config.kl_anneal_epochs * steps_per_epoch
    return config.kl_weight * (min(1.0, step / annealing) if annealing else 1.0)


@dataclass(frozen=True)
class Plateau:
    """The learning rate and the history that decides about it."""

    learning_rate: float
    best: float = math.inf
    """Lowest validation perplexity so far."""
    best_epoch: int = 0
    """The epoch it was reached in, from 1; 0: none yet."""
    without_improvement: int = 0
    """Epochs that did not improve on the best and counted, in all."""

    def after(self, epoch: int, perplexity: float, config: RunConfig, *, annealing: bool) -> Plateau:
        """The plateau after an epoch: a new best, or a lower rate.

        While β < 1 an epoch without improvement is not held against the rate or the patience unless
        ``config.decay_while_annealing``: the validation score has β = 1, which is not yet trained for.
        """
        if perplexity < self.best:
            return replace(self, best=perplexity, best_epoch=epoch)
        if annealing and not config.decay_while_annealing:
            return self
        return replace(
            self,
            learning_rate=self.learning_rate * config.lr_decay,
            without_improvement=self.without_improvement + 1,
        )
