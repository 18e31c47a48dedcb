"""Schedules of the learning rate: what an epoch's validation changes, and when training ends.

To add a schedule: write its class here, register it in SCHEDULES and name it in the choices of the config
field ``lr_schedule``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from lvae_core.config import RunConfig


@dataclass(frozen=True)
class RateState:
    """The learning rate and the history that decides about it: plain values, saved in every checkpoint."""

    learning_rate: float
    best: float = math.inf
    """Lowest validation perplexity so far."""
    previous: float = math.inf
    """That of the epoch before."""
    best_epoch: int = 0
    """The epoch it was reached in, from 1; 0: none yet."""
    without_improvement: int = 0
    """Epochs that did not improve and counted: in all, or in a row, by ``patience_rule``."""
    decays: int = 0
    """How often a schedule other than "plateau" has lowered the rate."""
    reference: float = math.inf
    """The perplexity that "reload_best" compares an epoch with."""
    above_reference: int = 0
    """Epochs in a row above it."""
    reload: bool = False
    """Whether training continues with the best parameters instead of the last epoch's."""


class Schedule(ABC):
    """A rule for the learning rate.

    The contract: both methods are pure functions, so that a run resumes to the same bits and a schedule
    keeps nothing outside of :class:`RateState`.
    """

    @abstractmethod
    def after(
        self, state: RateState, epoch: int, perplexity: float, config: RunConfig, *, annealing: bool
    ) -> RateState:
        """Return the state after an epoch.

        Args:
            state: its best epoch may be this one already; its ``previous`` is that of the epoch before and
                its ``reload`` is False.
            epoch: number of the epoch, from 1.
            perplexity: of its validation.
            config: rates, epochs and counts.
            annealing: whether β is still below ``config.kl_weight``.
        """

    def is_over(self, state: RateState, config: RunConfig) -> bool:
        """Whether training ends before ``config.max_epochs``."""
        return False


class Plateau(Schedule):
    """Lower the rate after each epoch without improvement; end after ``patience`` of them.

    While β is below ``config.kl_weight`` such an epoch is not held against the rate or the patience
    unless ``config.decay_while_annealing``: training does not yet minimise what it will.
    """

    def after(
        self, state: RateState, epoch: int, perplexity: float, config: RunConfig, *, annealing: bool
    ) -> RateState:
        """Return the state after an epoch; see :class:`Schedule`."""
        over_previous = config.improvement_over == "previous" and perplexity < state.previous
        if over_previous or state.best_epoch == epoch:
            return replace(state, without_improvement=0) if config.patience_rule == "in_a_row" else state
        if annealing and not config.decay_while_annealing:
            return state
        return replace(
            state,
            learning_rate=state.learning_rate * config.lr_decay,
            without_improvement=state.without_improvement + 1,
        )

    def is_over(self, state: RateState, config: RunConfig) -> bool:
        """Whether enough epochs did not improve."""
        return state.without_improvement >= config.patience


class AfterPlateau(Schedule):
    """Lower the rate after every epoch once one has not improved (Kim et al. 2018).

    Epochs before ``lr_decay_from`` do not count. Training ends when the rate is below ``lr_smallest``.
    """

    def after(
        self, state: RateState, epoch: int, perplexity: float, config: RunConfig, *, annealing: bool
    ) -> RateState:
        """Return the state after an epoch; see :class:`Schedule`."""
        has_begun = state.decays > 0
        begins = epoch >= config.lr_decay_from and state.best_epoch != epoch
        return _lowered(state, config) if has_begun or begins else state

    def is_over(self, state: RateState, config: RunConfig) -> bool:
        """Whether the rate is too small to go on."""
        return state.learning_rate < config.lr_smallest


class Every(Schedule):
    """Lower the rate after epoch ``lr_decay_from`` and every ``lr_decay_interval`` epochs from there.

    Yang et al. (2017) halve it every 2 epochs from epoch 30.
    """

    def after(
        self, state: RateState, epoch: int, perplexity: float, config: RunConfig, *, annealing: bool
    ) -> RateState:
        """Return the state after an epoch; see :class:`Schedule`."""
        since = epoch - config.lr_decay_from
        return _lowered(state, config) if since >= 0 and since % config.lr_decay_interval == 0 else state


class ReloadBest(Schedule):
    """Go back to the best parameters at a lower rate after epochs above a reference (He et al. 2019).

    The reference is the last perplexity that was not above it, or that of the last decay. A decay comes in
    epoch ``lr_decay_from`` at the earliest and after ``reload_after`` epochs in a row above the reference,
    whenever they were. Training ends with decay number ``lr_max_decays``.
    """

    def after(
        self, state: RateState, epoch: int, perplexity: float, config: RunConfig, *, annealing: bool
    ) -> RateState:
        """Return the state after an epoch; see :class:`Schedule`."""
        if perplexity <= state.reference:
            return replace(state, reference=perplexity, above_reference=0)
        above = state.above_reference + 1
        if above < config.reload_after or epoch < config.lr_decay_from:
            return replace(state, above_reference=above)
        return replace(_lowered(state, config), reference=perplexity, above_reference=0, reload=True)

    def is_over(self, state: RateState, config: RunConfig) -> bool:
        """Whether the last decay has come."""
        return state.decays >= config.lr_max_decays


SCHEDULES: dict[str, Schedule] = {
    "plateau": Plateau(),
    "after_plateau": AfterPlateau(),
    "every": Every(),
    "reload_best": ReloadBest(),
}


def after_epoch(
    state: RateState, epoch: int, perplexity: float, config: RunConfig, *, annealing: bool
) -> RateState:
    """Return the state after a validated epoch, by the schedule that the config names.

    Whatever the schedule, an epoch is the best if its perplexity is below all earlier ones.
    """
    state = replace(state, reload=False)
    if perplexity < state.best:
        state = replace(state, best=perplexity, best_epoch=epoch)
    state = SCHEDULES[config.lr_schedule].after(state, epoch, perplexity, config, annealing=annealing)
    return replace(state, previous=perplexity)


def is_over(state: RateState, config: RunConfig) -> bool:
    """Whether the schedule that the config names ends training."""
    return SCHEDULES[config.lr_schedule].is_over(state, config)


def _lowered(state: RateState, config: RunConfig) -> RateState:
    rate = state.learning_rate * config.lr_decay
    return replace(state, learning_rate=rate, decays=state.decays + 1)
