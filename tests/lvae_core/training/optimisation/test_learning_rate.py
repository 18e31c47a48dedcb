"""Schedules of the learning rate: scripted perplexities against tables worked out by hand."""

import math

import pytest

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.training.optimisation.learning_rate import SCHEDULES, RateState, after_epoch, is_over


def run(perplexities, *, annealing_epochs=0, config=None):
    """(rate, best, best_epoch, without_improvement) after each epoch."""
    config = config or RunConfig()
    state, rows = RateState(config.learning_rate), []
    for epoch, perplexity in enumerate(perplexities, start=1):
        state = after_epoch(state, epoch, perplexity, config, annealing=epoch <= annealing_epochs)
        rows.append((state.learning_rate, state.best, state.best_epoch, state.without_improvement))
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


def test_epochs_of_annealing_are_exempt():
    assert run([10, 11, 9, 9.5, 9.2], annealing_epochs=4) == [
        (1.0, 10, 1, 0),
        (1.0, 10, 1, 0),
        (1.0, 9, 3, 0),
        (1.0, 9, 3, 0),
        (0.5, 9, 3, 1),
    ]


def test_epochs_of_annealing_count_if_the_config_says_so():
    config = RunConfig(decay_while_annealing=True, lr_decay=0.1, learning_rate=2.0)
    rows = run([10, 11, 9, 9.5], annealing_epochs=4, config=config)
    assert [row[1:] for row in rows] == [(10, 1, 0), (10, 1, 1), (9, 3, 1), (9, 3, 2)]
    assert [row[0] for row in rows] == pytest.approx([2.0, 0.2, 0.2, 0.02])


def test_a_first_epoch_is_always_the_best():
    state = after_epoch(RateState(1.0), 1, 1e300, RunConfig(), annealing=True)
    assert (state.best, state.best_epoch) == (1e300, 1)
    assert RateState(1.0).best == math.inf


def rates(perplexities, config, *, annealing_epochs=0):
    """The rate after each epoch, up to the one that ends training."""
    state, found = RateState(config.learning_rate), []
    for epoch, perplexity in enumerate(perplexities, start=1):
        assert not is_over(state, config)
        state = after_epoch(state, epoch, perplexity, config, annealing=epoch <= annealing_epochs)
        found.append(state.learning_rate)
        if is_over(state, config):
            break
    return found


def test_in_all_ends_at_the_third_failure_and_in_a_row_at_the_third_consecutive_one():
    perplexities = [10, 11, 9, 12, 9, 8, 8.5, 8.4, 8.3, 7]
    assert len(rates(perplexities, RunConfig())) == 5  # failures in epochs 2, 4, 5
    assert len(rates(perplexities, RunConfig(patience_rule="in_a_row"))) == 9  # 7, 8, 9


def test_an_epoch_can_be_compared_with_the_one_before():
    # Below the one before but above the best: epochs 3 and 6.
    perplexities = [10, 12, 11, 11, 12, 11, 9]
    assert rates(perplexities, RunConfig(patience=9)) == pytest.approx(
        [2.0**-k for k in (0, 1, 2, 3, 4, 5, 5)]
    )
    config = RunConfig(patience=9, improvement_over="previous")
    assert rates(perplexities, config) == pytest.approx([2.0**-k for k in (0, 1, 1, 2, 3, 3, 3)])
    in_a_row = RunConfig(patience=2, improvement_over="previous", patience_rule="in_a_row")
    assert len(rates(perplexities, in_a_row)) == 5  # epochs 4 and 5


def test_epochs_of_annealing_neither_count_nor_break_a_row():
    config = RunConfig(patience_rule="in_a_row", patience=2)
    assert rates([10, 11, 12, 11, 11], config, annealing_epochs=3) == [1, 1, 1, 0.5, 0.25]


def test_the_rule_of_xu_and_durrett_ends_after_fifteen_failures_in_a_row():
    config = RunConfig(
        lr_decay=1 / 1.2, patience=15, patience_rule="in_a_row", learning_rate=10.0, max_epochs=100
    )
    perplexities = [10] + [11] * 14 + [9] + [9] * 30
    found = rates(perplexities, config)
    assert len(found) == 16 + 15
    assert found[14:16] == pytest.approx([10 / 1.2**14] * 2)
    assert found[-1] == pytest.approx(10 / 1.2**29)


def test_after_plateau_decays_every_epoch_from_the_first_failure_that_counts():
    config = RunConfig(lr_schedule="after_plateau", lr_decay_from=4)
    # Epochs 2 and 3 fail too early; 4 improves, 5 fails; from then on improvements do not help. The sixth
    # halving gives 1/64 < 0.03.
    perplexities = [10, 11, 12, 9, 9.5, 8, 7, 6, 5, 4, 3]
    assert rates(perplexities, config) == [1, 1, 1, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64]


def test_after_plateau_begins_in_epoch_fifteen_by_default_however_beta_rises():
    config = RunConfig(lr_schedule="after_plateau")
    assert rates([10] * 30, config, annealing_epochs=20) == [1.0] * 14 + [0.5**k for k in range(1, 7)]


def test_every_lowers_the_rate_at_intervals_whatever_the_perplexity():
    config = RunConfig(lr_schedule="every", lr_decay_from=3, lr_decay_interval=2, lr_decay=0.1)
    falling, rising = ([abs(end - k) for k in range(8)] for end in (10, -10))
    expected = [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert rates(falling, config) == pytest.approx(expected)
    assert rates(rising, config, annealing_epochs=8) == pytest.approx(expected)


def histories(perplexities, config):
    """(rate, reload, reference, best epoch) after each epoch, up to the one that ends training."""
    state, rows = RateState(config.learning_rate), []
    for epoch, perplexity in enumerate(perplexities, start=1):
        state = after_epoch(state, epoch, perplexity, config, annealing=False)
        rows.append((state.learning_rate, state.reload, state.reference, state.best_epoch))
        if is_over(state, config):
            break
    return rows


def test_reload_best_compares_with_a_reference_that_a_decay_raises():
    config = RunConfig(lr_schedule="reload_best", lr_decay_from=4, lr_max_decays=3)
    assert histories([10, 11, 12, 13, 12.5, 12, 12.2, 12.1, 11, 12, 13, 9], config) == [
        (1, False, 10, 1),
        (1, False, 10, 1),
        (1, False, 10, 1),  # two above the reference, but too early
        (0.5, True, 13, 1),  # the third: a decay, and 13 is the new reference
        (0.5, False, 12.5, 1),  # below the reference, though worse than the best
        (0.5, False, 12, 1),
        (0.5, False, 12, 1),
        (0.25, True, 12.1, 1),  # two in a row
        (0.25, False, 11, 1),
        (0.25, False, 11, 1),
        (0.125, True, 13, 1),  # the third decay ends training
    ]


def test_reload_best_does_not_count_an_equal_perplexity_as_a_failure():
    config = RunConfig(lr_schedule="reload_best", lr_decay_from=1)
    rows = histories([10, 11, 10, 11, 10, 11, 11], config)
    assert [reload for _, reload, _, _ in rows] == [False] * 6 + [True]


def test_reload_best_ends_with_its_fifth_decay():
    config = RunConfig(lr_schedule="reload_best", lr_decay_from=1, reload_after=1, max_epochs=100)
    assert [row[0] for row in histories(range(1, 50), config)] == [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_best_epoch_is_the_lowest_whatever_the_schedule(schedule):
    config = RunConfig(lr_schedule=schedule, patience=99)
    state = RateState(1.0)
    for epoch, perplexity in enumerate([9, 7, 8, 7, 6.5, 9], start=1):
        state = after_epoch(state, epoch, perplexity, config, annealing=False)
    assert (state.best, state.best_epoch) == (6.5, 5)


def test_a_rate_below_the_smallest_is_refused():
    with pytest.raises(InputError, match=r"^lr_smallest = 0.03: must be at most learning_rate, 0.01$"):
        RunConfig(lr_schedule="after_plateau", learning_rate=0.01)
