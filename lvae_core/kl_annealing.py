"""The weight β of the KL in the course of a run: a pure function of the step, and how long it rises."""

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


def annealing_epochs(
    *, schedule: str, start: float, weight: float, epochs: float, steps: float, steps_per_epoch: float
) -> float:
    """Epochs until β has risen by :func:`kl_weight` for good; 0 if it does not rise, or cyclically.

    Plain values, because those of a result may be unknown, NaN: an unknown length is returned as such, and
    an unknown start or weight counts as no annealing.

    Args:
        schedule: ``kl_schedule`` of the config.
        start: its ``kl_start``.
        weight: its ``kl_weight``.
        epochs: its ``kl_anneal_epochs``.
        steps: its ``kl_anneal_steps``.
        steps_per_epoch: gradient steps of an epoch.
    """
    if schedule != "linear" or not (start < 1 and weight > 0):
        return 0.0
    return steps / steps_per_epoch if steps > 0 else epochs
