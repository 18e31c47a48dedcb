from __future__ import annotations

import functools
import math

import pytest

from lvae_core.systems import recipe
from sweeps.trials import proposals
from sweeps.trials.proposals import Sampler, Trial
from sweeps.trials.space import contains, parse_space

BASE = recipe("lstm-vae", dataset="toy")
SPACE = parse_space(["learning_rate=0.01..100:log", "dropout=0..0.9", "hidden_size=16,32,64"], BASE)
FIRST = {"learning_rate": 1.0, "dropout": 0.5, "hidden_size": 16}

propose = functools.partial(
    proposals.propose,
    directions=("minimize",),
    valid=lambda point: True,
    key=lambda point: frozenset(point.items()),
)
"""For one objective; every point can be trained, and no two are trained alike."""


def height(values) -> float:
    """Lowest, 1, at learning rate 10, dropout 0.2, size 32."""
    off = math.log10(values["learning_rate"]) - 1, values["dropout"] - 0.2, values["hidden_size"] != 32
    return 1 + off[0] ** 2 + 4 * off[1] ** 2 + off[2]


def searched(sampler: Sampler, trials: int, at_once: int, seed: int = 0) -> list[Trial]:
    known: list[Trial] = []
    while len(known) < trials:
        points = propose(SPACE, known, at_once, sampler=sampler, seed=seed, first=FIRST, startup=at_once)
        known += [
            Trial(number=len(known) + k, values=values, state="done", scores=(height(values),))
            for k, values in enumerate(points)
        ]
    return known


def test_the_first_point_is_the_recipe_if_it_lies_in_the_space():
    values = [trial.values for trial in searched("tpe", 16, 8)]
    assert values[0] == FIRST
    assert all(contains(SPACE, point) for point in values)
    assert len({tuple(point.items()) for point in values}) == 16
    outside = FIRST | {"learning_rate": 0.001}
    points = propose(SPACE, [], 4, sampler="tpe", seed=0, first=outside, startup=4)
    assert len(points) == 4
    assert outside not in points


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_points_that_cannot_be_trained_are_passed_over_and_change_no_other_draw(sampler):
    """During startup both samplers draw independently of other points."""
    options = {"sampler": sampler, "seed": 3, "first": FIRST, "startup": 99}
    drawn = propose(SPACE, [], 40, **options)
    rejected = [point for point in drawn if point["dropout"] > 0.4]
    kept = [point for point in drawn if point not in rejected]
    assert rejected
    assert len(kept) >= 10
    assert propose(SPACE, [], 10, valid=lambda point: point["dropout"] <= 0.4, **options) == kept[:10]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_points_of_one_training_are_one_point(sampler):
    options = {"sampler": sampler, "seed": 3, "first": FIRST, "startup": 99}
    known = [Trial(number=0, values=FIRST | {"hidden_size": 16}, state="done", scores=(1.0,))]
    points = propose(SPACE, known, 9, key=lambda point: point["hidden_size"], **options)
    assert sorted(point["hidden_size"] for point in points) == [32, 64]
    points = propose(SPACE, [], 9, key=lambda point: point["hidden_size"], **options)
    assert points[0] == FIRST
    assert sorted(point["hidden_size"] for point in points) == [16, 32, 64]


def test_proposals_depend_only_on_known_trials_and_the_seed():
    known = searched("tpe", 16, 8)
    assert searched("tpe", 16, 8) == known
    assert searched("tpe", 16, 8, seed=1)[1:] != known[1:]

    def following(trials):
        return propose(SPACE, trials, 4, sampler="tpe", seed=0, first=FIRST, startup=8)

    assert following(known) == following(known)
    # Whichever of them has a high score is stayed away from; chance does not look.
    worse = [Trial(number=t.number, values=t.values, state="done", scores=(-t.scores[0],)) for t in known]
    assert following(known) != following(worse)


@pytest.mark.parametrize("seed", range(3))
def test_proposals_approach_the_best_point(seed):
    def late(sampler: Sampler) -> float:
        return sum(trial.scores[0] for trial in searched(sampler, 48, 8, seed)[24:]) / 24

    assert late("tpe") < 0.6 * late("random")


@pytest.mark.parametrize(
    ("state", "scores"), [("dropped", (1.0,)), ("diverged", ()), ("diverged", (1.0, 1.0))]
)
def test_proposals_avoid_points_that_were_dropped_or_diverged(state, scores):
    """However low its perplexity was then."""

    def share_below(bad: float, good: float) -> float:
        known = [
            Trial(number=k, values={**FIRST, "dropout": good + 0.01 * k}, state="done", scores=(9.0, 2.0))
            for k in range(20)
        ]
        known += [
            Trial(number=20 + k, values={**FIRST, "dropout": bad + 0.01 * k}, state=state, scores=scores)
            for k in range(20)
        ]
        points = [
            point["dropout"]
            for seed in range(20)
            for point in propose(SPACE, known, 1, sampler="tpe", seed=seed, first=FIRST, startup=4)
        ]
        return sum(point < 0.45 for point in points) / len(points)

    assert share_below(bad=0.6, good=0.1) > 0.8
    assert share_below(bad=0.1, good=0.6) < 0.2
