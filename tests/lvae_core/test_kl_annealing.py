"""The weight of the KL against tables computed by hand."""

import pytest

from lvae_core.config import RunConfig
from lvae_core.kl_annealing import annealing_epochs, kl_weight


def test_beta_rises_linearly_over_the_annealing_and_stays():
    config = RunConfig(kl_anneal_epochs=10.0)
    # 5 steps per epoch: 50 steps of annealing.
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
        # Steps take the place of epochs.
        ({"kl_anneal_steps": 8}, 2, 0.25),
        ({"kl_anneal_steps": 8}, 8, 1.0),
        ({"kl_anneal_steps": 8, "kl_anneal_epochs": 0.0}, 4, 0.5),
        # Yang et al. (2017): 0.01 to 1 over 40,000 steps.
        ({"kl_start": 0.01, "kl_anneal_steps": 40000}, 0, 0.01),
        ({"kl_start": 0.01, "kl_anneal_steps": 40000}, 20000, 0.505),
        ({"kl_start": 0.01, "kl_anneal_steps": 40000}, 40000, 1.0),
        # Kim et al. (2018): from 0.1 by a tenth an epoch, here of 4 steps.
        ({"kl_start": 0.1, "kl_anneal_epochs": 9.0}, 0, 0.1),
        ({"kl_start": 0.1, "kl_anneal_epochs": 9.0}, 1, 0.125),
        ({"kl_start": 0.1, "kl_anneal_epochs": 9.0}, 35, 0.975),
        ({"kl_start": 0.1, "kl_anneal_epochs": 9.0}, 36, 1.0),
        # He et al. (2019): from 0.1 by 0.9 / (10 N/32) a step, N = 128.
        ({"kl_start": 0.1, "kl_anneal_steps": 40}, 1, 0.1225),
        ({"kl_start": 0.5, "kl_anneal_epochs": 0.0, "kl_weight": 0.3}, 0, 0.3),
        ({"kl_start": 0.5, "kl_anneal_epochs": 10.0, "kl_weight": 0.4}, 20, 0.4 * 0.75),
    ],
)
def test_beta_of_other_settings(fields, step, beta):
    assert kl_weight(RunConfig(**fields), step, 4) == pytest.approx(beta, rel=1e-14)


def test_cyclical_annealing_rises_over_the_first_half_of_each_cycle():
    config = RunConfig(kl_schedule="cyclical", kl_cycles=3, max_epochs=6, kl_weight=0.5)
    weights = [kl_weight(config, step, steps_per_epoch=4) for step in range(24)]
    cycle = [0.0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5]
    assert weights == pytest.approx(cycle * 3)


def test_each_cycle_rises_from_the_start():
    config = RunConfig(kl_schedule="cyclical", kl_cycles=2, max_epochs=2, kl_start=0.2)
    weights = [kl_weight(config, step, steps_per_epoch=4) for step in range(8)]
    assert weights == pytest.approx([0.2, 0.6, 1.0, 1.0] * 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"kl_anneal_epochs": 2.5, "kl_weight": 0.4},
        {"kl_anneal_steps": 7, "kl_anneal_epochs": 9.0},
        {"kl_anneal_epochs": 0.0},
        {"kl_anneal_epochs": 3.0, "kl_start": 1.0},
        {"kl_anneal_epochs": 3.0, "kl_weight": 0.0},
    ],
)
def test_beta_has_risen_after_the_annealing_epochs_and_not_before(fields):
    config, steps_per_epoch = RunConfig(**fields), 4
    length = annealing_epochs(
        schedule=config.kl_schedule,
        start=config.kl_start,
        weight=config.kl_weight,
        epochs=config.kl_anneal_epochs,
        steps=config.kl_anneal_steps,
        steps_per_epoch=steps_per_epoch,
    )
    below = [step for step in range(40) if kl_weight(config, step, steps_per_epoch) < config.kl_weight]
    assert below == [step for step in range(40) if step < length * steps_per_epoch]
