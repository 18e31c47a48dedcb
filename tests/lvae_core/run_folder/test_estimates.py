"""The estimates that a result has: their units, meanings and bounds."""

import pytest

from lvae_core.config import RunConfig
from lvae_core.run_folder.estimates import ESTIMATES, LATENT_USE, announced_perplexity, bound


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"ppl": 9.0, "nll": 1.0}, "ppl"),
        ({"ppl_elbo": 9.0, "ppl_iw": 8.5, "kl": 0.1}, "ppl_iw"),
        # Another seed of the same cell, whose draws are unlucky.
        ({"ppl_elbo": 9.0, "ppl_iw": 9.5, "kl": 0.1}, "ppl_iw"),
        ({"ppl_elbo": 9.0, "kl": 0.1}, "ppl_elbo"),
        # Of joint latent samples the KL of all must count, however low the other numbers are.
        ({"ppl_elbo": 3.0, "ppl_iw": 2.0, "ppl_joint": 9.0, "ppl_iw_joint": 9.5}, "ppl_iw_joint"),
    ],
)
def test_the_announced_perplexity_is_a_bound_and_the_same_for_all_seeds(values, name):
    assert announced_perplexity({key: {"value": value} for key, value in values.items()}) == name


def test_estimates_are_bounds_as_their_definitions_say():
    # Typed by hand from the definitions in estimates.py, for L = 5.
    single = {
        "nll_elbo": "upper bound",
        "nll_elbo_amortised": "upper bound",
        "nll_iw": "upper bound in expectation",
    }
    hidden = {
        "nll_elbo": "not a bound",
        "nll_elbo_amortised": "not a bound",
        "nll_joint": "upper bound",
        "nll_iw": "not a bound",
        "nll_iw_one": "not a bound",
        "nll_iw_joint": "upper bound in expectation",
    }
    for table, averaging in ((single, "loss"), (hidden, "hidden"), ({"nll": "exact"}, "none")):
        for name, word in table.items():
            assert bound(name, averaging, 5) == word
            assert bound(name.replace("nll", "ppl"), averaging, 5) == word
    # With L = 1 averaging changes nothing, so the bounds are those of the ordinary model.
    for name, word in single.items():
        assert bound(name, "hidden", 1) == word
    assert {bound(name, "hidden", 5) for name in (*LATENT_USE, "mi_batch", "unknown_words")} == {None}


def test_every_estimate_has_a_unit_and_a_meaning():
    assert set(ESTIMATES) == {
        *(
            f"{k}{s}"
            for k in ("nll", "ppl")
            for s in ("", "_elbo", "_joint", "_iw", "_iw_one", "_iw_joint")
        ),
        *("nll_elbo_amortised", "ppl_elbo_amortised"),
        *("kl", "mi", "mi_batch", "au", "unknown_words"),
    }
    assert all(e.unit and e.meaning for e in ESTIMATES.values())


def test_no_estimate_shares_a_name_with_a_config_field():
    assert set(ESTIMATES).isdisjoint(RunConfig().to_dict())
