"""Gradient steps: batches, optimiser, learning rate, when training ends."""

from __future__ import annotations

from dataclasses import dataclass

from lvae_core.fields.choices import (
    AggressiveClip,
    AggressiveMI,
    Batching,
    ImprovementOver,
    LRSchedule,
    PatienceRule,
)
from lvae_core.fields.declaration import option
from lvae_core.fields.ranges import ABOVE_0, BELOW_1, COUNT, COUNT_FROM_0, FACTOR, FROM_0, at_least

_NORMAL = at_least(1e-38)
"""Below it float32 has no such number, and a word that was not read would be moved by 0/0."""


@dataclass(frozen=True, kw_only=True)
class OptimisationFields:
    """Gradient steps: batches, optimiser, learning rate, when training ends."""

    # Optimiser and schedule
    batch_size: int = option(32, "sentences per gradient step", "optimiser", ranges=COUNT)
    batching: Batching = option(
        "bucketed", "which sentences share a batch: of similar, any or equal length", "optimiser"
    )
    learning_rate: float = option(1.0, "before any decay", "optimiser", ranges=ABOVE_0)
    max_grad_norm: float = option(
        5.0, "the gradient's 2-norm is clipped to this; 0: no clipping", "optimiser", ranges=FROM_0
    )
    adam_beta1: float = option(
        0.9, "decay of Adam's first moment", "optimiser", "Adam", added=True, ranges=BELOW_1
    )
    adam_beta2: float = option(
        0.999, "decay of Adam's second moment", "optimiser", "Adam", added=True, ranges=BELOW_1
    )
    adam_epsilon: float = option(
        1e-8,
        "added to Adam's denominator",
        "optimiser",
        "Adam",
        added=True,
        ranges=(ABOVE_0, _NORMAL),
    )
    lr_schedule: LRSchedule = option(
        "plateau",
        "when the rate is lowered: after each epoch without improvement; after every epoch from the first "
        "such one; every few epochs; or with a return to the best parameters",
        "optimiser",
        added=True,
    )
    lr_decay: float = option(0.5, "factor on the rate when it is lowered", "optimiser", ranges=FACTOR)
    lr_decay_from: int = option(
        15,
        "first epoch, from 1, after which the rate may be lowered",
        "optimiser",
        "decay from an epoch",
        added=True,
        ranges=COUNT,
    )
    lr_decay_interval: int = option(
        2,
        "epochs between two decays of the rate",
        "optimiser",
        "decay at intervals",
        added=True,
        ranges=COUNT,
    )
    lr_smallest: float = option(
        0.03,
        "stop when the rate is below this",
        "optimiser",
        "decay after a plateau",
        added=True,
        ranges=FROM_0,
    )
    lr_max_decays: int = option(
        5,
        "stop at this many decays of the rate",
        "optimiser",
        "reload of the best",
        added=True,
        ranges=COUNT,
    )
    reload_after: int = option(
        2,
        "epochs in a row above the reference perplexity before the best parameters are loaded",
        "optimiser",
        "reload of the best",
        added=True,
        ranges=COUNT,
    )
    decay_while_annealing: bool = option(
        False,
        "an epoch with beta below kl_weight, too, may lower the rate and count against patience",
        "optimiser",
        "plateau while annealing",
    )
    patience: int = option(
        3, "stop at this many epochs without improvement", "optimiser", "plateau schedule", ranges=COUNT
    )
    patience_rule: PatienceRule = option(
        "in_all", "which of them count: all, or those in a row", "optimiser", "plateau schedule", added=True
    )
    improvement_over: ImprovementOver = option(
        "best",
        "an epoch without improvement is not below the best so far, or not below the one before",
        "optimiser",
        "plateau schedule",
        added=True,
    )
    max_epochs: int = option(30, "epochs at most", "budget", ranges=COUNT)
    max_steps: int = option(
        0, "gradient steps at most (a smoke test); 0: no limit", "budget", ranges=COUNT_FROM_0
    )

    # The phase of aggressive steps (He et al. 2019)
    aggressive_mi: AggressiveMI = option(
        "mi_batch32",
        "validation mutual information whose fall ends the phase: within batches of 32, or over all",
        "optimiser",
        "aggressive step",
        added=True,
    )
    aggressive_clip: AggressiveClip = option(
        "joint",
        "whose gradients' norm is clipped when one side is updated: of both, or of that side",
        "optimiser",
        "aggressive step",
        added=True,
    )
    aggressive_max_epochs: int = option(
        0,
        "epochs of the phase at most; 0: no limit",
        "optimiser",
        "aggressive step",
        added=True,
        ranges=COUNT_FROM_0,
    )
