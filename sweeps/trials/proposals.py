"""What a search tries next: a function of the space, the seed and what is known of the trials before.

Optuna's samplers propose; its storages, and the order in which trials happen to end, have no part in it. So
a search that is killed proposes the same again, on any number of machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.trials.space import Values, contains

Sampler = Literal["tpe", "random"]

State = Literal["open", "done", "dropped", "diverged", "failed"]
"""Of a trial: under way or to be done; trained to its end; left behind at a rung; its loss was no number;
anything else that ends a run."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A point of the space and what training there has given."""

    number: int
    values: Values
    state: State = "open"
    scores: tuple[float, ...] = ()
    """Lowest validation perplexity so far, after each epoch."""

    @property
    def score(self) -> float | None:
        """What trials are compared by; lower is better. None before the end of the first epoch."""
        return self.scores[-1] if self.scores else None


_PATIENCE = 50
"""Times that a point is asked for until it counts as not to be found."""


def propose(
    space: Mapping[str, BaseDistribution],
    known: Sequence[Trial],
    count: int,
    *,
    sampler: Sampler,
    seed: int,
    first: Values,
    startup: int,
) -> list[Values]:
    """The next points of a search, none of them known: ``count``, or fewer where no more are found.

    Args:
        space: field -> what it may be.
        known: all trials so far; none of them open.
        count: how many.
        sampler: tpe: the tree-structured Parzen estimator (Bergstra et al. 2011). random: none of what is
            known counts.
        seed: of the search.
        first: the point that it begins with, if it lies in the space.
        startup: trials that are drawn at random before tpe begins.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=_sampler(sampler, seed, len(known), startup))
    study.add_trials([_frozen(trial, space) for trial in known])
    seen = [dict(trial.values) for trial in known]
    points: list[Values] = [dict(first)] if not known and contains(space, first) else []
    for _ in range(count * _PATIENCE):
        if len(points) >= count:
            break
        point = dict(study.ask(dict(space)).params)
        if point not in seen and point not in points:
            points.append(point)
    return points


def _sampler(name: Sampler, seed: int, known: int, startup: int) -> BaseSampler:
    # A stream of its own for each time it is asked: nothing has to be replayed.
    own = int(np.random.SeedSequence([seed, known]).generate_state(1)[0])
    if name == "random":
        return RandomSampler(seed=own)
    return TPESampler(seed=own, n_startup_trials=startup, multivariate=True, constant_liar=True)


def _frozen(trial: Trial, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
    states = {"done": TrialState.COMPLETE, "failed": TrialState.FAIL}
    state = states.get(trial.state, TrialState.PRUNED)  # diverged without an epoch: the worst there is
    return create_trial(
        params=dict(trial.values),
        distributions=dict(space),
        state=state,
        value=trial.score if state is TrialState.COMPLETE else None,
        intermediate_values={len(trial.scores): trial.scores[-1]} if trial.state == "dropped" else {},
    )


def promoted(trials: Sequence[Trial], epoch: int, keep: int) -> list[Trial]:
    """The better ones of those that have come to a rung: one in ``keep``, rounded up.

    Args:
        trials: that are in the running.
        epoch: of the rung; a trial whose training ended before counts with its end.
        keep: see above.
    """
    there = [trial for trial in trials if trial.scores]
    ranked = sorted(there, key=lambda trial: (trial.scores[:epoch][-1], trial.number))
    return ranked[: -(-len(ranked) // keep)]
