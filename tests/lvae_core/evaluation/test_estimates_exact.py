"""The estimates against a model whose log p(x) is known: four classes, one latent dimension, quadrature."""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from lvae_core.evaluation.latent import latent_estimates
from lvae_core.evaluation.likelihood import COLUMNS, likelihood_estimates, sentence_statistics
from lvae_core.run_folder.estimates import bound

from .. import tiny
from ..oracles import hand_model, noise, quadrature

CLASSES = 4
SENTENCES = [[1, 3, 2, 0], [0], [2, 2, 0], [3, 1, 1, 2, 0], [1, 0]]
TOKENS = sum(map(len, SENTENCES))
SIZES = {"latent_size": 1, "hidden_size": 3, "embedding_size": 2, "dropout": 0.0}
RULE = quadrature.trapezoid(241)
CASES = [(s, t) for s in ("lstm-vae", "lstm-vae-avg") for t in tiny.SETTINGS]


@cache
def model_of(system, setting="standard", scale=1.5, seed=4):
    """A model whose posteriors are far from the prior and from each other, and its config.

    They are no narrower than the prior's half variance: importance weights would else have no variance
    that a standard error could estimate.
    """
    config = tiny.config(system, setting=setting, init_scale=scale, seed=seed, num_samples=2, **SIZES)
    model = tiny.double_model(config, CLASSES)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(2.0 / scale)
        model.encoder.to_mean.weight.mul_(2.0)
    return model, config


def frozen(model):
    return {name: value.detach() for name, value in tiny.parameters(model).items()}


@cache
def truth(system, setting):
    model, _ = model_of(system, setting)
    group = 2 if system == "lstm-vae-avg" else 1
    hide = setting == "inputless"
    p = frozen(model)
    return [quadrature.exact(p, words, group=group, hide=hide, rule=RULE) for words in SENTENCES]


def mean(values):
    return math.fsum(values) / len(SENTENCES)


def statistics(model, config, samples, *, sentences=SENTENCES, seed=0, split_name="test"):
    """Rows in the order of ``sentences``, as a dictionary of columns."""
    split = tiny.split(sentences)
    config = replace(config, seed=seed)
    parts = sentence_statistics(model, split, config, split_name=split_name, samples=samples)
    rows = torch.cat(list(parts))
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))  # shorter ones come first
    unsorted = torch.empty_like(rows)
    unsorted[order] = rows
    return dict(zip(COLUMNS, unsorted.unbind(1), strict=True)), rows


def estimates(model, config, samples, *, sentences=SENTENCES, seed=0):
    _, rows = statistics(model, config, samples, sentences=sentences, seed=seed)
    return likelihood_estimates(rows, sum(map(len, sentences)), config)


def assert_within(entry, expected, errors=4.0):
    assert abs(entry["value"] - expected) < errors * entry["stderr"], (entry, expected)


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
        for name in ("nll", "kl", "nll_elbo", "nll_joint", "nll_iw"):
            values = [getattr(result, name) for result in results]
            assert values[1] == pytest.approx(values[0], abs=1e-11)
            assert values[2] == pytest.approx(values[0], abs=1e-6)


@pytest.mark.parametrize(("system", "setting"), CASES)
def test_the_test_has_power(system, setting):
    for exact in truth(system, setting):
        assert exact.kl > 0.1
        assert exact.nll_joint - exact.nll > 0.01
        assert exact.nll_elbo - exact.nll_iw > 0.01


# --- one sentence, by the noise it is promised ---


@pytest.mark.parametrize(("system", "setting"), CASES)
def test_statistics_are_those_of_the_documented_noise(system, setting):
    model, config = model_of(system, setting)
    S, seed = 5, 12
    G = 2 if system == "lstm-vae-avg" else 1
    p = frozen(model)
    columns, _ = statistics(model, config, S, seed=seed, split_name="valid")
    for i, words in enumerate(SENTENCES):
        mu, log_variance = hand_model.posterior(p, words)
        sigma = math.exp(float(log_variance) / 2)
        epsilon = noise.normal(seed, "evaluation", "valid", i, size=(S, G, 1))
        log_p, paper, joint = [], [], []
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
        assert {name: float(columns[name][i]) for name in COLUMNS} == pytest.approx(expected, rel=1e-9)


def variance(values):
    centre = sum(values) / len(values)
    return sum((value - centre) ** 2 for value in values) / (len(values) - 1)


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
    for name, value in expected.items():
        assert_within(found[name], value)
        ppl = name.replace("nll", "ppl")
        assert_within(found[ppl], math.exp(value * len(SENTENCES) / TOKENS))
        # A standard error that would swallow the differences between them would prove nothing.
        others = [other for key, other in expected.items() if key != name]
        assert min(abs(value - other) for other in others) > 5 * found[name]["stderr"], name
    assert found["kl"] == {"value": pytest.approx(mean([e.kl for e in exact]), rel=1e-10)}
    assert found.keys() == {
        *expected, *(name.replace("nll", "ppl") for name in expected), "kl",
    }  # fmt: skip


@pytest.mark.parametrize(("system", "setting"), CASES)
def test_bounds_hold_and_tighten_in_expectation(system, setting):
    model, config = model_of(system, setting)
    exact = truth(system, setting)
    nll = mean([e.nll for e in exact])
    name = "nll_iw_joint" if system == "lstm-vae-avg" else "nll_iw"
    means, errors = [], []
    for samples in (1, 4, 32):
        # One draw has no standard error; over seeds there is one all the same.
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
    assert hidden["nll_iw_joint"] == hidden["nll_iw"] == loss["nll_iw"]
    # The L of training has no say in the evaluation of averaging = loss.
    assert loss == estimates(model, replace(config, averaging="loss", num_samples=7), samples=20)


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


# --- sums, batches, chunks ---


def test_perplexity_is_of_sums_over_very_unequal_batches():
    config = tiny.config("lstm-lm", eval_batch_size=2, init_scale=1.0)
    model = tiny.double_model(config, 5)
    sentences = [[0], [1, 0], *tiny.sentences(4, 5, seed=1), [*[1, 2, 3, 4] * 15, 0]]
    p = frozen(model)
    nats = [-float(hand_model.log_p(p, hand_model.states(p, w, None, hide=False), w)) for w in sentences]
    tokens = sum(map(len, sentences))
    found = estimates(model, config, samples=1, sentences=sentences)
    assert found == {
        "nll": {"value": pytest.approx(math.fsum(nats) / len(sentences), rel=1e-11)},
        "ppl": {"value": pytest.approx(math.exp(math.fsum(nats) / tokens), rel=1e-11)},
    }
    wrong = sum(math.exp(n / len(w)) for n, w in zip(nats, sentences, strict=True)) / len(sentences)
    assert abs(wrong / found["ppl"]["value"] - 1) > 0.01, "a mean of means would have been noticed"


@pytest.mark.parametrize("system", ["lstm-vae", "lstm-vae-avg"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_batches_and_chunks_do_not_choose_the_draws(system, dtype):
    config = tiny.config(system, init_scale=0.8, dropout=0.5)
    model = tiny.double_model(config, 6).to(dtype)
    sentences = tiny.sentences(9, 6, seed=3)
    results = []
    for batch, chunk in ((32, 16384), (1, 16384), (4, 1), (2, 60), (9, 200)):
        changed = replace(config, eval_batch_size=batch, eval_chunk_tokens=chunk)
        found = estimates(model, changed, samples=7, sentences=sentences)
        found |= latent_estimates(model, tiny.split(sentences), changed)
        results.append({(n, k): v for n, entry in found.items() for k, v in entry.items()})
    for other in results[1:]:
        assert other == pytest.approx(results[0], rel=1e-10 if dtype is torch.float64 else 2e-5)


@pytest.mark.parametrize("system", tiny.SYSTEMS)
def test_evaluation_goes_on_where_it_stopped(system):
    config = tiny.config(system, eval_batch_size=2)
    model = tiny.double_model(config, 6)
    split = tiny.split(tiny.sentences(9, 6, seed=3))
    whole = list(sentence_statistics(model, split, config, split_name="test", samples=3))
    assert [len(rows) for rows in whole] == [2, 2, 2, 2, 1]
    for start in range(6):
        rest = sentence_statistics(model, split, config, split_name="test", samples=3, start=start)
        assert all(torch.equal(a, b) for a, b in zip(whole[start:], rest, strict=True))


def test_suspended_evaluation_holds_no_global_mode():
    config = tiny.config("lstm-vae", eval_batch_size=2)
    model = tiny.double_model(config, 6)
    split = tiny.split(tiny.sentences(9, 6, seed=3))
    rows = sentence_statistics(model, split, config, split_name="test", samples=3)
    next(rows)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_noise_depends_on_seed_split_and_sentence():
    model, config = model_of("lstm-vae")
    # The same sentence thrice: another place, other draws.
    words = SENTENCES[0]
    first, _ = statistics(model, config, 4, sentences=[words] * 3, seed=1)
    again, _ = statistics(model, config, 4, sentences=[words] * 3, seed=1)
    other_seed, _ = statistics(model, config, 4, sentences=[words] * 3, seed=2)
    other_split, _ = statistics(model, config, 4, sentences=[words] * 3, seed=1, split_name="valid")
    values = [float(v) for c in (first, other_seed, other_split) for v in c["nll_iw"]]
    assert len(set(values)) == 9
    assert torch.equal(first["nll_iw"], again["nll_iw"])


def test_perplexity_beyond_any_float_is_infinite_and_no_crash():
    rows = torch.zeros(1, len(COLUMNS), dtype=torch.float64)
    rows[0, 0] = 5000.0
    found = likelihood_estimates(rows, 2, tiny.config("lstm-lm"))
    assert found == {"nll": {"value": 5000.0}, "ppl": {"value": math.inf}}


# --- mutual information and active units ---


def information_by_integration(means, log_variances):
    """I_q(x; z) of the sentences' posteriors in one dimension, by the trapezoidal rule."""
    rule = quadrature.trapezoid(4001, -15, 15)
    log_q = torch.stack(
        [quadrature.log_normal(rule.z, m, v) for m, v in zip(means, log_variances, strict=True)]
    )
    aggregated = log_q.logsumexp(0) - math.log(len(means))
    weight = rule.log_weight.exp()
    return float(sum((row.exp() * (row - aggregated) * weight).sum() for row in log_q)) / len(means)


def spread_out(gain):
    """The exact model with posteriors moved apart by ``gain``."""
    model, config = model_of("lstm-vae")
    model = tiny.double_model(config, CLASSES)
    model.load_state_dict(model_of("lstm-vae")[0].state_dict())
    with torch.no_grad():
        model.encoder.to_mean.weight.mul_(gain)
    p = frozen(model)
    posteriors = [tuple(float(v) for v in hand_model.posterior(p, w)) for w in SENTENCES]
    return model, config, posteriors


@pytest.mark.parametrize("gain", [1.0, 5.0])
def test_mutual_information_equals_integration(gain):
    model, config, posteriors = spread_out(gain)
    expected = information_by_integration(*zip(*posteriors, strict=True))
    found = latent_estimates(model, tiny.split(SENTENCES), replace(config, mi_samples=3000))["mi"]
    assert_within(found, expected)
    assert expected > 20 * found["stderr"]


def test_mutual_information_of_posteriors_far_apart_is_log_n_and_never_more():
    model, config, _ = spread_out(1000.0)
    found = latent_estimates(model, tiny.split(SENTENCES), config)["mi"]
    assert found["value"] == pytest.approx(math.log(len(SENTENCES)), rel=1e-6)
    assert found["value"] <= math.log(len(SENTENCES)) + 1e-9


def test_mutual_information_has_a_calibrated_error():
    model, config, posteriors = spread_out(5.0)
    expected = information_by_integration(*zip(*posteriors, strict=True))
    split = tiny.split(SENTENCES)
    runs = [
        latent_estimates(model, split, replace(config, mi_samples=50, seed=seed))["mi"]
        for seed in range(200)
    ]
    values = [run["value"] for run in runs]
    reported = math.sqrt(sum(run["stderr"] ** 2 for run in runs) / len(runs))
    assert 1 / 1.25 < math.sqrt(variance(values)) / reported < 1.25
    assert abs(sum(values) / len(values) - expected) < 4 * reported / math.sqrt(len(runs))


def test_mutual_information_is_zero_where_the_posterior_does_not_look():
    model, config, _ = spread_out(0.0)
    with torch.no_grad():
        model.encoder.to_log_variance.weight.zero_()
    found = latent_estimates(model, tiny.split(SENTENCES), config)
    assert found == {"mi": {"value": pytest.approx(0, abs=1e-12), "stderr": pytest.approx(0, abs=1e-12)},
                     "au": {"value": 0}}  # fmt: skip


def test_active_units_are_counted_by_hand():
    config = tiny.config("lstm-vae", latent_size=3, init_scale=0.8)
    model = tiny.double_model(config, 6)
    sentences = tiny.sentences(40, 6, seed=2)
    p = frozen(model)
    means = [hand_model.posterior(p, words)[0] for words in sentences]
    now = [variance([float(m[k]) for m in means]) for k in range(3)]
    # μ is linear in its weights, so each dimension's variance can be put where one wants it.
    with torch.no_grad():
        for k, wanted in enumerate((0.011, 0.009, 4.0)):
            model.encoder.to_mean.weight[k].mul_(math.sqrt(wanted / now[k]))
    found = latent_estimates(model, tiny.split(sentences), config)
    assert found["au"] == {"value": 2}


def test_one_sentence_tells_nothing():
    model, config = model_of("lstm-vae")
    found = latent_estimates(model, tiny.split(SENTENCES[:1]), config)
    assert found["au"] == {"value": 0}
    assert found["mi"]["value"] == pytest.approx(0, abs=1e-12)


def test_language_model_has_no_latent_estimates():
    config = tiny.config("lstm-lm")
    assert latent_estimates(tiny.double_model(config, 6), tiny.split(SENTENCES), config) == {}
