"""The estimates against a model whose log p(x) is known by quadrature."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from lvae_core.run_folder.estimates import UNRELIABLE_SHARE, bound

from ..oracles import hand_model, noise, quadrature
from .exact_model import (
    CASES,
    SENTENCES,
    TOKENS,
    assert_within,
    estimates,
    frozen,
    mean,
    model_of,
    statistics,
    truth,
    variance,
)
from .test_weights import shape_by_hand

# --- the authority itself ---


@pytest.mark.parametrize("group", [1, 2])
def test_two_rules_of_integration_agree(group):
    model, _ = model_of("lstm-vae-avg", scale=1.0)
    p = frozen(model)
    for words in SENTENCES:
        results = [
            quadrature.exact(p, words, group=group, hide=False, rule=rule)
            for rule in (
                quadrature.trapezoid(241),
                quadrature.trapezoid(161),
                quadrature.gauss_hermite(150),
            )
        ]
        for name in ("nll", "kl", "nll_elbo", "nll_joint", "nll_iw", "nll_iw_one"):
            values = [getattr(result, name) for result in results]
            assert values[1] == pytest.approx(values[0], abs=1e-11)
            assert values[2] == pytest.approx(values[0], abs=1e-6)


@pytest.mark.parametrize(("system", "setting"), CASES)
def test_the_test_has_power(system, setting):
    for exact in truth(system, setting):
        assert exact.kl > 0.1
        assert exact.nll_joint - exact.nll > 0.01
        assert exact.nll_elbo - exact.nll_iw > 0.01
        if system == "lstm-vae-avg":
            assert exact.nll_iw - exact.nll_iw_one > 0.01


# --- one sentence, by the noise it is promised ---


@pytest.mark.parametrize("split_name", ["valid", "test"])
@pytest.mark.parametrize(("system", "setting"), CASES)
def test_statistics_are_those_of_the_documented_noise(system, setting, split_name):
    model, config = model_of(system, setting)
    S, seed = 21, 12
    G = 2 if system == "lstm-vae-avg" else 1
    p = frozen(model)
    columns, _ = statistics(model, config, S, seed=seed, split_name=split_name)
    for i, words in enumerate(SENTENCES):
        mu, log_variance = hand_model.posterior(p, words)
        sigma = math.exp(float(log_variance) / 2)
        epsilon = noise.normal(seed, "evaluation", split_name, i, size=(S, G, 1))
        log_p, paper, joint, one = [], [], [], []
        for s in range(S):
            z = [mu + sigma * epsilon[s, g] for g in range(G)]
            value = float(hand_model.log_p_averaged(p, words, z, hide=setting == "inputless"))
            ratios = [
                float(
                    quadrature.log_normal(z[g])
                    - quadrature.log_normal(z[g], float(mu), float(log_variance))
                )
                for g in range(G)
            ]
            log_p.append(value)
            paper.append(math.exp(value + sum(ratios) / G))
            joint.append(math.exp(value + sum(ratios)))
            one.append(math.exp(value + ratios[0]))
        kl = float(hand_model.kl(mu, log_variance))
        expected = {
            "kl": kl,
            "nll_elbo": kl - sum(log_p) / S,
            "elbo_var": variance(log_p) / S,
            "nll_iw": -math.log(sum(paper) / S),
            "iw_var": variance(paper) / (sum(paper) / S) ** 2 / S,
            "nll_iw_joint": -math.log(sum(joint) / S),
            "iw_joint_var": variance(joint) / (sum(joint) / S) ** 2 / S,
        }
        if split_name == "test":
            expected |= {
                "nll_iw_one": -math.log(sum(one) / S),
                "iw_one_var": variance(one) / (sum(one) / S) ** 2 / S,
            }
            for name, weights in (("iw", paper), ("iw_joint", joint), ("iw_one", one)):
                left = [math.log((sum(weights) - w) / (S - 1)) for w in weights]
                expected[f"{name}_jackknife"] = (S - 1) ** 2 / S * variance(left)
                expected[f"{name}_ess"] = sum(weights) ** 2 / sum(w * w for w in weights)
                expected[f"{name}_khat"] = shape_by_hand([math.log(w) for w in weights])
        assert {name: float(column[i]) for name, column in columns.items()} == pytest.approx(
            expected, rel=1e-8
        )


# --- limits ---


@pytest.mark.parametrize(("system", "setting"), CASES)
def test_estimates_converge_to_their_own_closed_forms(system, setting):
    model, config = model_of(system, setting)
    exact = truth(system, setting)
    found = estimates(model, config, samples=4000)
    expected = {"nll_elbo": mean([e.nll_elbo for e in exact]), "nll_iw": mean([e.nll_iw for e in exact])}
    if system == "lstm-vae-avg":
        expected["nll_joint"] = mean([e.nll_joint for e in exact])
        expected["nll_iw_joint"] = mean([e.nll for e in exact])
        expected["nll_iw_one"] = mean([e.nll_iw_one for e in exact])
    for name, value in expected.items():
        assert_within(found[name], value)
        ppl = name.replace("nll", "ppl")
        assert_within(found[ppl], math.exp(value * len(SENTENCES) / TOKENS))
        # A standard error that would swallow the differences between them would prove nothing.
        # One ratio and all ratios come too near here; the documented noise tells them apart to 8 digits.
        near = {"nll_iw_one", "nll_iw_joint"}
        others = [other for key, other in expected.items() if key != name and {key, name} != near]
        assert min(abs(value - other) for other in others) > 5 * found[name]["stderr"], name
    assert found["kl"] == {"value": pytest.approx(mean([e.kl for e in exact]), rel=1e-10)}
    assert found.keys() == {
        *expected, *(name.replace("nll", "ppl") for name in expected), "kl",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("system", "setting"),
    [pytest.param(*case, marks=[pytest.mark.slow] * (case[1] == "standard")) for case in CASES],
)
def test_bounds_hold_and_tighten_in_expectation(system, setting):
    model, config = model_of(system, setting)
    exact = truth(system, setting)
    nll = mean([e.nll for e in exact])
    name = "nll_iw_joint" if system == "lstm-vae-avg" else "nll_iw"
    means, errors = [], []
    for samples in (1, 4, 32):
        # One draw has no standard error; but the spread over seeds gives one.
        values = []
        for seed in range(120):
            columns, _ = statistics(model, config, samples, seed=seed)
            values.append(float(columns[name].mean()))
        means.append(sum(values) / len(values))
        errors.append(math.sqrt(variance(values) / len(values)))
    # One importance sample is the (joint) ELBO.
    assert abs(means[0] - mean([e.nll_joint for e in exact])) < 4 * errors[0]
    assert means[0] - means[1] > 3 * math.hypot(errors[0], errors[1])
    assert means[1] - means[2] > 3 * math.hypot(errors[1], errors[2])
    assert means[2] - nll > -3 * errors[2]
    assert means[1] - nll > 3 * errors[1], "few samples: above the truth, and visibly so"


def test_papers_convention_falls_below_the_truth_and_the_joint_stays_above():
    # Widely different decoders (scale 3), and a posterior found by a search over its two numbers: each of
    # two samples brings half of what the sentence needs, and only one of them is paid for.
    model, config = model_of("lstm-vae-avg", scale=3.0, seed=3)
    words = SENTENCES[0]
    mu, log_variance = (float(v) for v in hand_model.posterior(frozen(model), words))
    with torch.no_grad():
        model.encoder.to_mean.weight.mul_(1.0 / mu)
        model.encoder.to_log_variance.weight.mul_(-0.75 / log_variance)
    p = frozen(model)
    exact = quadrature.exact(p, words, group=2, hide=False, rule=quadrature.trapezoid(481))
    # The authority alone says it: no bound.
    assert exact.nll_elbo < exact.nll - 0.2
    assert exact.nll_iw < exact.nll - 0.2
    assert exact.nll_joint > exact.nll + 0.2

    found = estimates(model, config, samples=20_000, sentences=[words])
    for name in ("nll_elbo", "nll_iw"):
        assert_within(found[name], getattr(exact, name))
        assert found[name]["value"] + 10 * found[name]["stderr"] < exact.nll
        assert bound(name, "hidden", 2) == "not a bound"
    assert_within(found["nll_joint"], exact.nll_joint)
    assert found["nll_joint"]["value"] - 10 * found["nll_joint"]["stderr"] > exact.nll
    assert_within(found["nll_iw_joint"], exact.nll)


def test_one_sample_averaged_with_itself_is_the_ordinary_model():
    model, config = model_of("lstm-vae-avg")
    hidden = estimates(model, replace(config, num_samples=1), samples=20)
    loss = estimates(model, replace(config, averaging="loss", num_samples=1), samples=20)
    assert hidden["nll_joint"] == hidden["nll_elbo"] == loss["nll_elbo"]
    assert hidden["nll_iw_joint"] == hidden["nll_iw_one"] == hidden["nll_iw"] == loss["nll_iw"]
    # The L of training has no say in the evaluation of averaging = loss.
    assert loss == estimates(model, replace(config, averaging="loss", num_samples=7), samples=20)


@pytest.mark.slow  # test_two_phase.py tests those of both phases
def test_standard_errors_are_calibrated():
    seeds = 200
    for system in ("lstm-vae", "lstm-vae-avg"):
        model, config = model_of(system)
        runs = [estimates(model, config, samples=100, seed=seed) for seed in range(seeds)]
        for name in runs[0]:
            if name == "kl":
                assert len({run["kl"]["value"] for run in runs}) == 1, "no sampling in it"
                continue
            spread = math.sqrt(variance([run[name]["value"] for run in runs]))
            reported = math.sqrt(sum(run[name]["stderr"] ** 2 for run in runs) / seeds)
            assert 1 / 1.25 < spread / reported < 1.25, (system, name, spread / reported)


def test_the_jackknife_holds_under_a_posterior_that_is_too_narrow():
    # Its variance is exp(-2.5): the weights' tail is so heavy that the delta method says far too little.
    model, config = model_of("lstm-vae")
    model, words, seeds = copy.deepcopy(model), SENTENCES[0], 200
    _, log_variance = hand_model.posterior(frozen(model), words)
    with torch.no_grad():
        model.encoder.to_log_variance.weight.mul_(-2.5 / float(log_variance))
    runs = [
        estimates(model, config, samples=100, sentences=[words], seed=seed)["nll_iw"]
        for seed in range(seeds)
    ]
    spread = math.sqrt(variance([run["value"] for run in runs]))
    errors = {
        name: math.sqrt(sum(run[name] ** 2 for run in runs) / seeds) for name in ("stderr", "jackknife")
    }
    assert spread / errors["stderr"] > 1.4
    assert 0.8 < spread / errors["jackknife"] < 1.25
    assert sum(run["khat_above"] for run in runs) / seeds > UNRELIABLE_SHARE
    assert sum(run["ess"] for run in runs) / seeds < 30
