"""The weight of the KL in the course of a run, as a pure function of the step."""

from __future__ import annotations

from lvae_core.config import RunConfig


def kl_weight(config: RunConfig, step: int, steps_per_epoch: int) -> float:
    """β at gradient step ``step`` (from 0), by the schedule that the config names.

    linear: from ``kl_start`` over ``kl_anneal_steps``, or over ``kl_anneal_epochs`` if they are 0; then
    constant. cyclical (Fu et al. 2019): training is divided into ``kl_cycles`` equal cycles; in each, β
    rises linearly from ``kl_start`` over the first half and is constant over the second.
    """
    if config.kl_schedule == "cyclical":
        cycle = config.max_epochs * steps_per_epoch / config.kl_cycles
        risen = min(1.0, 2 * (step % cycle) / cycle)
    else:
        annealing = config.kl_anneal_steps or config.kl_anneal_epochs * steps_per_epoch
        risen = min(1.0, step / annealing) if annealing else 1.0
    return config.kl_weight * (config.kl_start + (1 - config.kl_start) * risen)
