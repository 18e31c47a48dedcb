"""The schedule against tables computed by hand."""

import math

import pytest

from lvae_core.config import RunConfig
from lvae_core.training.schedule import Plateau, kl_weight


def test_beta_rises_linearly_over_the_annealing_and_stays():
    config = RunConfig(kl_anneal_epochs=10.0)
    # 5 steps an epoch: 50 steps of annealing.
    table = {0: 0.0, 1: 0.02, 5: 0.1, 24: 0.48, 25: 0.5, 49: 0.98, 50: 1.0, 51: 1.0, 1000: 1.0}
    assert {step: kl_weight(config, step, 5) for step in table} == pytest.approx(table, rel=1e-14)
    assert kl_weight(config, 50, 5) == 1.0


@pytest.mark.parametrize(
    ("fields", "step", "beta"),
    [
        ({"kl_anneal_epochs": 0.0}, 0, 1.0),
        ({"kl_anneal_epochs": 0.0, "kl_weight": 0.3}, 0, 0.3),
        ({"kl_anneal_epochs": 2.5, "kl_weight": 0.4}, 4, 0.4 * 4 / 10),
        ({"kl_anneal_epochs": 2.5, "kl_weight": 0.4}, 10, 0.4),
        ({"kl_anneal_epochs": 10.0, "kl_weight": 0.0}, 7, 0.0),
        ({"kl_anneal_epochs": 0.1}, 0, 0.0),
        ({"kl_anneal_epochs": 0.1}, 1, 1.0),
    ],
)
def test_beta_of_other_settings(fields, step, beta):
    assert kl_weight(RunConfig(**fields), step, 4) == pytest.approx(beta, rel=1e-14)


def run(perplexities, *, annealing_epochs=0, config=None):
    """(rate, best, best_epoch, without_improvement) after each epoch."""
    config = config or RunConfig()
    plateau, rows = Plateau(config.learning_rate), []
    for epoch, perplexity in enumerate(perplexities, start=1):
        plateau = plateau.after(epoch, perplexity, config, annealing=epoch <= annealing_epochs)
        rows.append((plateau.learning_rate, plateau.best, plateau.best_epoch, plateau.without_improvement))
    return rows


def test_rate_halves_and_patience_counts_in_all():
    # Epochs 3, 4 and 6 do not improve; an improvement in between forgives nothing.
    assert run([10, 9, 9.5, 9, 8, 8.1, 7]) == [
        (1.0, 10, 1, 0),
        (1.0, 9, 2, 0),
        (0.5, 9, 2, 1),
        (0.25, 9, 2, 2),  # equal is no improvement
        (0.25, 8, 5, 2),
        (0.125, 8, 5, 3),
        (0.125, 7, 7, 3),
    ]


def test_cyclical_annealing_rises_over_the_first_half_of_each_cycle():
    config = RunConfig(kl_schedule="cyclical", kl_cycles=3, max_epochs=6, kl_weight=0.5)
    weights = [kl_weight(config, step, steps_per_epoch=4) for step in range(24)]
    cycle = [0.0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5]
    assert weights == pytest.approx(cycle * 3)


def test_epochs_of_annealing_are_exempt():
    assert run([10, 11, 9, 9.5, 9.2], annealing_epochs=4) == [
        (1.0, 10, 1, 0),
        (1.0, 10, 1, 0),
        (1.0, 9, 3, 0),
        (1.0, 9, 3, 0),
        (0.5, 9, 3, 1),
    ]


def test_unless_the_config_holds_them_to_it():
    config = RunConfig(decay_while_annealing=True, lr_decay=0.1, learning_rate=2.0)
    rows = run([10, 11, 9, 9.5], annealing_epochs=4, config=config)
    assert [row[1:] for row in rows] == [(10, 1, 0), (10, 1, 1), (9, 3, 1), (9, 3, 2)]
    assert [row[0] for row in rows] == pytest.approx([2.0, 0.2, 0.2, 0.02])


def test_a_first_epoch_is_always_the_best():
    plateau = Plateau(1.0).after(1, 1e300, RunConfig(), annealing=True)
    assert (plateau.best, plateau.best_epoch) == (1e300, 1)
    assert Plateau(1.0).best == math.inf
