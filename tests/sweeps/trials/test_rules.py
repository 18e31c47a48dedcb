"""The rules of a search."""

import pytest

from lvae_core.errors import InputError
from sweeps.trials.rules import Rules


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (Rules(trials=0, at_once=1), "--trials 0: must be at least 1"),
        (Rules(trials=1, at_once=0), "--at-once 0: must be at least 1"),
        (Rules(trials=1, at_once=1, keep=1), "--keep 1: must be at least 2"),
        (Rules(trials=1, at_once=2, rungs=(0,)), "--rungs 0: must be at least 1"),
        (Rules(trials=1, at_once=2, rungs=(2, 1)), "--rungs 2 1: must rise"),
        (Rules(trials=1, at_once=2, rungs=(2, 2)), "--rungs 2 2: must rise"),
        (Rules(trials=1, at_once=2, rungs=(1, 4)), "below max_epochs = 4"),
        (Rules(trials=4, at_once=1, rungs=(1,)), "a round of one drops no trial"),
        (Rules(trials=4, at_once=2, rule="asha"), "--rule asha: give --rungs"),
        (Rules(trials=10**20, at_once=1), "must be at most 1000000"),
    ],
)
def test_rules_that_cannot_be_used_are_one_line(rules, message):
    with pytest.raises(InputError) as caught:
        rules.check(4)
    assert message in str(caught.value)
