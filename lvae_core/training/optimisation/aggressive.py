"""The step of He et al. (2019): the encoder catches up with the posterior before each decoder update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, collate, epoch_order
from lvae_core.evaluation.latent import MI_BATCH, infer_split, mutual_information
from lvae_core.training.optimisation.objective import Objective
from lvae_core.training.optimisation.step import JointStep, Learner, Memory, Moment

CHECK_EVERY = 15
"""Encoder updates between two looks at their mean loss."""

MAX_UPDATES = 99
"""Encoder updates before one of the decoder, at most."""

MI_SAMPLES = 8
"""Draws per sentence for the mutual information; the original has one, with more noise."""


class AggressiveStep(JointStep):
    """Many updates of the encoder alone, then one of all other parameters; later the joint step.

    The encoder is updated on the batch and then on random batches of the epoch, until the mean loss per
    word over 15 updates exceeds that over the 15 before, 99 times at most. The phase ends for good once the
    mutual information of the validation split is lower than after the epoch before. As in the original,
    the norm of all gradients together is clipped, also when only one side is updated, unless
    ``aggressive_clip = "separate"``.
    """

    def __init__(self) -> None:
        self._order: tuple[int, list[np.ndarray]] = -1, []

    def take(self, learner: Learner, batch: Batch, moment: Moment, memory: Memory) -> Objective:
        """Take the step; in the aggressive phase the terms are those of the decoder's update."""
        if not _is_aggressive(learner, memory):
            return super().take(learner, batch, moment, memory)
        names = [name for name, _ in learner.model.named_parameters()]
        encoder = {name for name in names if name.startswith("encoder.")}
        updates = self._train_encoder(learner, batch, moment, encoder)
        terms = learner.differentiate(batch, kl_weight=moment.kl_weight, step=moment.step)
        _move(learner, moment, set(names) - encoder)
        memory["steps"] = memory.get("steps", 0) + 1
        memory["updates"] = memory.get("updates", 0) + updates
        return terms

    def end_epoch(self, learner: Learner, memory: Memory) -> dict[str, float]:
        """Measure the mutual information of the validation split and decide whether the phase goes on."""
        config = learner.config
        if not _is_aggressive(learner, memory):
            return {"aggressive": 0}
        information = _information(learner)
        epochs = memory.get("epochs", 0) + 1
        falls = information[config.aggressive_mi] < memory.get("information", 0.0)
        memory["information"], memory["epochs"] = information[config.aggressive_mi], epochs
        memory["aggressive"] = not falls and epochs != config.aggressive_max_epochs
        updates = memory.pop("updates", 0) / max(1, memory.pop("steps", 0))
        measured = {f"valid_{name}": value for name, value in information.items()}
        return {"aggressive": 1, "encoder_updates": updates, **measured}

    @staticmethod
    def late(config: RunConfig) -> Memory:
        """Return the memory once the phase is over; see :meth:`Step.late`."""
        return {"aggressive": False}

    def _train_encoder(self, learner: Learner, batch: Batch, moment: Moment, encoder: set[str]) -> int:
        """Update the encoder until it no longer improves; return the number of updates."""
        previous = np.inf
        total: Any = 0.0
        words = 0
        for update, inner in enumerate(self._batches(learner, batch, moment.step), start=1):
            terms = learner.differentiate(inner, kl_weight=moment.kl_weight, step=moment.step, inner=update)
            _move(learner, moment, encoder)
            total = total + terms.loss.double() * len(inner.words)
            words += inner.positions.numel()
            if update % CHECK_EVERY == 0:
                # Only here does the CPU wait for the device.
                present = float(total) / words
                if present > previous:
                    break
                previous, total, words = present, 0.0, 0
        return update

    def _batches(self, learner: Learner, batch: Batch, step: int) -> Iterator[Batch]:
        """Yield the batch of the step, then random ones of the step's epoch, with replacement."""
        yield batch
        order = self._order_at(learner, step)
        for update in range(2, MAX_UPDATES + 1):
            number = int(rng.uniform(learner.config.seed, "step", step, update) * len(order))
            yield collate(learner.corpus.train, order[number]).to(batch.words.device)

    def _order_at(self, learner: Learner, step: int) -> list[np.ndarray]:
        """Return the batches of the epoch that a step lies in; kept, as a step asks for them many times."""
        config, split = learner.config, learner.corpus.train
        epoch = step // learner.batches_per_epoch
        if self._order[0] != epoch:
            order = epoch_order(split.lengths, config.batch_size, config.batching, config.seed, epoch)
            self._order = epoch, order
        return self._order[1]


def _is_aggressive(learner: Learner, memory: Memory) -> bool:
    """Whether the phase still lasts; a language model has no encoder to train."""
    return learner.model.encoder is not None and memory.get("aggressive", True)


def _move(learner: Learner, moment: Moment, names: set[str]) -> None:
    """Update one side, with its gradients clipped as the config says."""
    apart = learner.config.aggressive_clip == "separate"
    learner.optimiser.step(moment.learning_rate, only=names, clip_apart=apart)


def _information(learner: Learner) -> dict[str, float]:
    """Mutual information of the validation split by both definitions, under the estimates' names."""
    config = learner.config
    q, drawn = infer_split(
        learner.model, learner.corpus.valid, config, samples=MI_SAMPLES, precision=config.valid_precision
    )
    return {
        "mi": mutual_information(q, drawn)["value"],
        "mi_batch32": mutual_information(q, drawn, MI_BATCH)["value"],
    }
