"""The next points of a search: a function of the space, the seed and the trials so far.

Optuna's samplers make the proposals. They depend neither on Optuna's storages nor on the order in which
trials end, so a killed search proposes the same points again, on any number of machines.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.trials.space import Values, contains

Sampler = Literal["tpe", "random"]

Direction = Literal["minimize", "maximize"]

State = Literal["open", "done", "dropped", "diverged", "failed"]
"""The state of a trial: not ended; trained to its end; dropped at a rung; its loss was not finite; ended by
any other failure."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A point of the space, and the result of training there."""

    number: int
    values: Values
    state: State = "open"
    scores: tuple[float, ...] = ()
    """The lowest validation perplexity so far, after each epoch."""
    objectives: tuple[float, ...] = ()
    """The values of a finished trial if the search has several objectives."""

    @property
    def score(self) -> float | None:
        """The score by which trials are compared; lower is better. None before the end of an epoch."""
        return self.scores[-1] if self.scores else None


_ATTEMPTS = 50
"""The number of attempts to find an untried point."""


def propose(
    space: Mapping[str, BaseDistribution],
    known: Sequence[Trial],
    count: int,
    *,
    sampler: Sampler,
    seed: int,
    first: Values,
    startup: int,
    directions: Sequence[Direction],
    valid: Callable[[Values], bool],
    key: Callable[[Values], Hashable],
) -> list[Values]:
    """Propose ``count`` untried points, or fewer if no more are found.

    Args:
        space: field -> its range or choices.
        known: all trials so far; one that waits at a rung counts by its score there.
        count: the number of points.
        sampler: tpe: the tree-structured Parzen estimator (Bergstra et al. 2011). random: independent of
            the trials so far.
        seed: the seed of the search.
        first: the first point of the search, if it lies in the space.
        startup: the number of random trials before tpe begins.
        directions: of the objectives.
        valid: whether a point of the space can be trained; others are passed over.
        key: points with the same key are one: their training is the same.
    """
    study = study_of(space, known, directions, _sampler(sampler, seed, len(known), startup))
    seen = {key(trial.values) for trial in known}
    points: list[Values] = [dict(first)] if not known and contains(space, first) and valid(first) else []
    seen.update(map(key, points))
    for _ in range(count * _ATTEMPTS):
        if len(points) >= count:
            break
        point = dict(study.ask(dict(space)).params)
        if valid(point) and key(point) not in seen:
            points.append(point)
            seen.add(key(point))
    return points


def study_of(
    space: Mapping[str, BaseDistribution],
    known: Sequence[Trial],
    directions: Sequence[Direction],
    sampler: BaseSampler | None = None,
) -> optuna.Study:
    """An Optuna study in memory with the trials so far."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=list(directions), sampler=sampler)
    if len(directions) == 1:
        study.add_trials([_frozen(trial, space) for trial in known])
    else:
        study.add_trials(_frozen_values(known, space, directions))
    return study


def _sampler(name: Sampler, seed: int, known: int, startup: int) -> BaseSampler:
    # One random stream for each round, so that nothing has to be replayed.
    stream = int(np.random.SeedSequence([seed, known]).generate_state(1)[0])
    if name == "random":
        return RandomSampler(seed=stream)
    return TPESampler(seed=stream, n_startup_trials=startup, multivariate=True, constant_liar=True)


def _frozen(trial: Trial, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
    states = {"done": TrialState.COMPLETE, "failed": TrialState.FAIL}
    # A trial that diverged in its first epoch ranks last.
    state = states.get(trial.state, TrialState.PRUNED)
    paused = trial.state in ("dropped", "open")
    return create_trial(
        params=dict(trial.values),
        distributions=dict(space),
        state=state,
        value=trial.score if state is TrialState.COMPLETE else None,
        intermediate_values={len(trial.scores): trial.scores[-1]} if paused else {},
    )


def _frozen_values(
    known: Sequence[Trial], space: Mapping[str, BaseDistribution], directions: Sequence[Direction]
) -> list[FrozenTrial]:
    """Trials of several objectives. A diverged one counts as the worst in each, if any has finished."""
    finished = np.array([trial.objectives for trial in known if trial.state == "done"])
    worst = None
    if len(finished):
        most, least = finished.max(0), finished.min(0)
        worst = [m if d == "minimize" else n for m, n, d in zip(most, least, directions, strict=True)]
    frozen = []
    for trial in known:
        values = trial.objectives if trial.state == "done" else worst if trial.state == "diverged" else None
        frozen.append(
            create_trial(
                params=dict(trial.values),
                distributions=dict(space),
                state=TrialState.FAIL if values is None else TrialState.COMPLETE,
                values=None if values is None else list(map(float, values)),
            )
        )
    return frozen
