"""The contract of a training step, and the step that moves all parameters together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch
from lvae_core.data.corpus import Corpus
from lvae_core.model.text_model import TextModel
from lvae_core.training.optimisation.objective import Objective, objective
from lvae_core.training.optimisation.optimiser import Optimiser

Memory = dict[str, Any]
"""Memory of a step: plain values (numbers, text, lists of them), saved in every checkpoint."""


@dataclass(frozen=True, eq=False)
class Learner:
    """The objects that a step changes or reads: the model, its optimiser, config and data."""

    model: TextModel
    optimiser: Optimiser
    config: RunConfig
    corpus: Corpus

    @cached_property
    def batches_per_epoch(self) -> int:
        """Number of steps in an epoch."""
        return self.corpus.train.num_batches(self.config)

    def differentiate(self, batch: Batch, *, kl_weight: float, step: int, inner: int = 0) -> Objective:
        """Compute the objective on a batch and add its gradients to those of the parameters."""
        terms = objective(self.model, batch, self.config, kl_weight=kl_weight, step=step, inner=inner)
        terms.loss.backward()  # type: ignore[no-untyped-call]
        return Objective(terms.loss.detach(), terms.nll, terms.kl)


@dataclass(frozen=True)
class Moment:
    """Progress of training, as a step reads it."""

    step: int
    """Number of the step in the run, from 0."""
    kl_weight: float
    """β."""
    learning_rate: float


class Step(ABC):
    """A way to train on one batch.

    The contract:

    - A step depends on the parameters, the optimiser's state, the memory, the moment and the batch alone.
      It begins and ends without gradients. A run may be stopped after any step.
    - Between steps it remembers only what it puts into the memory, a dictionary that starts empty.
    - Batches that it chooses itself come from the stream "step" with the number of the step as first index;
      noise of its inner updates comes from ``differentiate(..., inner=1, 2, …)``.
    """

    @abstractmethod
    def take(self, learner: Learner, batch: Batch, moment: Moment, memory: Memory) -> Objective:
        """Train on ``batch`` and return the objective that its epoch's means count, without gradients."""

    def end_epoch(self, learner: Learner, memory: Memory) -> dict[str, float]:
        """Decide what follows from the epoch that has just been validated.

        Returns:
            What to add to the epoch's row of metrics.
        """
        return {}

    @staticmethod
    def late(config: RunConfig) -> Memory:
        """Return the memory of a step late in training, which a probe of its speed begins with."""
        return {}


class JointStep(Step):
    """One gradient step of all parameters together."""

    def take(self, learner: Learner, batch: Batch, moment: Moment, memory: Memory) -> Objective:
        """Take the step."""
        terms = learner.differentiate(batch, kl_weight=moment.kl_weight, step=moment.step)
        learner.optimiser.step(moment.learning_rate)
        return terms
