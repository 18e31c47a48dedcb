"""The estimates: likelihood bounds by sampling, with their Monte Carlo standard errors.

One pass of S draws per sentence serves every estimate: each draw is one z (averaging = loss) or a
group of L (averaging = hidden), with log-likelihood ℓ_s and log-ratios r_sl = log p(z_sl) − log q(z_sl|x):

    nll_elbo      −(mean_s ℓ_s − KL)                     nll_iw        −log mean_s exp(ℓ_s + 1/L Σ_l r_sl)
    nll_joint     −(mean_s ℓ_s − L KL)                   nll_iw_joint  −log mean_s exp(ℓ_s + Σ_l r_sl)
                                                         nll_iw_one    −log mean_s exp(ℓ_s + r_s1)

Which of them are bounds on −log p(x) is in :func:`lvae_core.run_folder.estimates.bound`. The noise of a
sentence is a function of (seed, split, sentence): batches and chunks bound the memory and do not choose
the draws. Where config.iw_exact_samples says so, a few ℓ_s are computed and the others approximated: the
estimates stay what they are, with the variance that this adds (see :mod:`lvae_core.evaluation.two_phase`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, collate, eval_order
from lvae_core.data.corpus import Split
from lvae_core.evaluation.draws import Draws
from lvae_core.evaluation.two_phase import (
    corrected_log_mean_weight,
    corrected_mean,
    inclusion_probabilities,
    log_mean_weight,
    systematic_sample,
)
from lvae_core.evaluation.weights import (
    Reading,
    in_full,
    log_mean_exp,
)
from lvae_core.model.layers.precision import Arithmetic, compute_in
from lvae_core.model.noise import SentenceNoise
from lvae_core.model.text_model import TextModel, by_sentence, of_class
from lvae_core.rough_scoring import chosen_draws, scored_in_full
from lvae_core.run_folder.estimates import UNRELIABLE_SHAPE

COLUMNS = ("nll_elbo", "elbo_var", "nll_iw", "iw_var", "nll_iw_joint", "iw_joint_var", "kl")
"""Statistics of one sentence: estimates in nats, and the Monte Carlo variance of each."""

READING_COLUMNS = (
    *("nll_iw_one", "iw_one_var"),
    *(f"{r}_{d}" for r in ("iw", "iw_joint", "iw_one") for d in ("jackknife", "ess", "khat")),
)
"""Further ones of the test split: one more reading of the weight under averaging = hidden, and of each
reading the variance by the jackknife, the effective sample size and the Pareto shape."""

AMORTISED_COLUMNS = ("nll_elbo_amortised", "elbo_amortised_var")
"""Further ones of the test split if inference goes on from the encoder's posterior: the ELBO there."""

UNKNOWN_COLUMNS = ("unknown_words", "unknown_words_var")
"""Further ones of the test split if there are unknown words: what they cost, for any system."""


def columns_of(split_name: str, config: RunConfig, unknown: int | None) -> tuple[str, ...]:
    """The statistics of a sentence of a split, in their order: validation takes no longer than it must.

    ``unknown``: the class of unknown words; None if the vocabulary has none.
    """
    if split_name == "valid":
        return COLUMNS
    of_latent = () if config.encoder == "none" else READING_COLUMNS
    amortised = () if config.inference == "amortised" else AMORTISED_COLUMNS
    return (*COLUMNS, *of_latent, *amortised, *(() if unknown is None else UNKNOWN_COLUMNS))


def sentence_statistics(
    model: TextModel,
    split: Split,
    config: RunConfig,
    *,
    split_name: str,
    samples: int,
    start: int = 0,
    step: int = 1,
    rough: Arithmetic = "float32",
    unknown: int | None = None,
) -> Iterator[Tensor]:
    """Statistics of the sentences of a split, batch by batch in the order of :func:`eval_order`.

    Args:
        model: evaluated without dropout, in the precision of the split, in which it is left.
        split: B sentences a batch are taken from it.
        config: batch and chunk sizes, seed, averaging, how many draws are scored in full.
        split_name: part of the key of the noise.
        samples: S, draws per sentence.
        start: the first batch to compute, counted from 0.
        step: 1, or n to compute only every n-th batch.
        rough: arithmetic of the rough scores, where some draws are not scored in full.
        unknown: the class of unknown words; None if the vocabulary has none.

    Yields:
        (B, n) in float64 on the CPU, with the columns of :func:`columns_of`.
        A language model's has its exact nll in the first column and zeros in the rest of COLUMNS.
    """
    order = eval_order(split.lengths, config.eval_batch_size)
    device = next(model.parameters()).device
    wanted = columns_of(split_name, config, unknown)
    for indices in order[start::step]:
        keys = [(split_name, int(index)) for index in indices]
        # Not around the loop: a generator must not hold a global mode while it is suspended.
        with torch.no_grad():  # inference may need gradients, for itself
            compute_in(model, precision_of(split_name, config))
            batch = collate(split, indices).to(device)
            if model.encoder is not None:
                noise = sentence_noise(model, config, keys)
                q = model.infer(batch, noise=noise)
        with torch.inference_mode():
            if model.encoder is None:
                columns = _exact_statistics(model, batch, unknown)
            else:
                drawn = noise(size=(samples, config.group))  # (S, G, B, n)
                draws = Draws(model, batch, q, drawn, config.eval_chunk_tokens, unknown)
                columns = _latent_statistics(draws, config, keys, rough, extended=wanted != COLUMNS)
                if AMORTISED_COLUMNS[0] in wanted:
                    columns |= _amortised_statistics(draws, config)
            rows = torch.stack([columns[name] for name in wanted], dim=1).cpu()
        yield rows


def precision_of(split_name: str, config: RunConfig) -> Arithmetic:
    """Validation decides about training, so it has its own precision."""
    return config.valid_precision if split_name == "valid" else config.eval_precision


def sentence_noise(model: TextModel, config: RunConfig, keys: list[tuple[str, int]]) -> SentenceNoise:
    """Return the noise of sentences given by split and place in it."""
    return SentenceNoise(
        model.posterior, model.latent_size, [rng.Key(config.seed, "evaluation", key) for key in keys]
    )


def _exact_statistics(model: TextModel, batch: Batch, unknown: int | None) -> dict[str, Tensor]:
    """The COLUMNS and UNKNOWN_COLUMNS of a language model's sentences, each (B,)."""
    values = model.word_log_likelihood(batch, None)  # (1, P)
    nll = -by_sentence(values, batch)[0].double()
    columns = dict.fromkeys((*COLUMNS, *UNKNOWN_COLUMNS), torch.zeros_like(nll)) | {COLUMNS[0]: nll}
    if unknown is not None:
        columns[UNKNOWN_COLUMNS[0]] = -of_class(values, model.targets(batch), unknown, batch)[0].double()
    return columns


def _latent_statistics(
    draws: Draws, config: RunConfig, keys: list[tuple[str, int]], rough: Arithmetic, *, extended: bool
) -> dict[str, Tensor]:
    """The COLUMNS of the sentences, each (B,).

    If ``extended``, the READING_COLUMNS and UNKNOWN_COLUMNS, too.
    """
    ratio = draws.log_ratios()  # (S, G, B)
    S, G = ratio.shape[:2]
    # A group's counts once by the paper's convention, and for each of its samples in the joint bound.
    ratios = [ratio.mean(1)] if G == 1 else [ratio.mean(1), ratio.sum(1)]  # each (S, B)
    one = ratio[:, 0] if extended and G > 1 else None
    if scored_in_full(S, config.iw_exact_samples, draws.model.output.out_features) < S:
        mean, of_unknown, readings = _two_phase(draws, ratios, one, config, keys, rough)
    else:
        log_p, of_unknown = draws.scores()  # each (S, B)
        mean = _mean(log_p)
        readings = [in_full(log_p + r) for r in (*ratios, *([] if one is None else [one]))]
    paper, joint = readings[0], readings[len(ratios) - 1]
    kl = draws.q.double().kl()  # (B,)
    values = [kl - mean[0], mean[1], -paper.value, paper.variance, -joint.value, joint.variance, kl]
    columns = dict(zip(COLUMNS, values, strict=True))
    if extended:
        single = paper if one is None else readings[-1]
        values = [-single.value, single.variance]
        values += [value for reading in (paper, joint, single) for value in reading.diagnostics()]
        columns |= dict(zip(READING_COLUMNS, values, strict=True))
        value, variance = _mean(of_unknown)
        columns |= dict(zip(UNKNOWN_COLUMNS, (-value, variance), strict=True))
    return columns


def _amortised_statistics(draws: Draws, config: RunConfig) -> dict[str, Tensor]:
    """The AMORTISED_COLUMNS, from the draws that stand for all: each (B,)."""
    assert draws.model.encoder is not None
    count = chosen_draws(len(draws.noise), config.iw_exact_samples)
    few = replace(draws, q=draws.model.encoder(draws.batch), noise=draws.noise[:count])
    log_p, variance = _mean(few.scores()[0])
    return dict(zip(AMORTISED_COLUMNS, (few.q.double().kl() - log_p, variance), strict=True))


def _two_phase(
    draws: Draws,
    ratios: list[Tensor],
    one: Tensor | None,
    config: RunConfig,
    keys: list[tuple[str, int]],
    rough: Arithmetic,
) -> tuple[tuple[Tensor, Tensor], Tensor, list[Reading]]:
    """The values that all full scores would give, from rough scores and a few full ones.

    Returns:
        Value and variance (B,) of the mean of log p(x|z); the scores of unknown words under the draws that
        were chosen for that mean; the log-mean weight for each of ``ratios``, and for ``one`` if it is
        given, which is estimated from the draws that were chosen for the others.
    """
    about = draws.rough_scores(rough)  # (S, B)
    compute_in(draws.model, precision_of(keys[0][0], config))
    S, device = len(about), about.device
    each = config.iw_exact_samples // (1 + len(ratios))
    orders = [rng.permutation(config.seed, "evaluation", *key, "mean", size=S) for key in keys]
    chosen = [torch.from_numpy(np.stack(orders, axis=1)[:each]).to(device)]  # each (each, B)
    plans = [torch.full_like(about, each / S)]  # the chance of every draw to be chosen, (S, B)
    for number, ratio in enumerate(ratios):
        starts = [rng.uniform(config.seed, "evaluation", *key, "weight", number) for key in keys]
        plans.append(inclusion_probabilities(about + ratio, each))
        chosen.append(systematic_sample(plans[-1], plans[-1].new_tensor(starts), each))
    every = torch.cat(chosen)
    scores, of_unknown = draws.select(every).scores()
    first, *weighted = torch.split(scores, each)
    value, of_choice = corrected_mean(about, chosen[0], first)
    readings = []
    for ratio, choice, pi, exact in zip(ratios, chosen[1:], plans[1:], weighted, strict=True):
        log_weights = exact + ratio.gather(0, choice)
        found = log_mean_weight(log_weights, pi.gather(0, choice), S)
        readings.append(Reading(*found, log_mean_exp(about + ratio)[1], about + ratio))
    if one is not None:
        often = torch.stack(plans).sum(0).gather(0, every)
        found = corrected_log_mean_weight(about + one, every, often, scores - about.gather(0, every))
        readings.append(Reading(*found, log_mean_exp(about + one)[1], about + one))
    return (value, of_choice + _mean(about)[1]), of_unknown[:each], readings


def _mean(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over s of (S, B) and its Monte Carlo variance, each (B,)."""
    S = len(values)
    return values.mean(0), values.var(0) / S if S > 1 else torch.full_like(values[0], math.nan)


def likelihood_estimates(
    rows: Tensor, tokens: int, config: RunConfig, columns: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Estimates over a whole split from the statistics of all its sentences.

    Args:
        rows: (N, n).
        tokens: predicted tokens of the split, for perplexities.
        config: which estimates the system has.
        columns: the names of the n columns, those of :func:`columns_of`.

    Returns:
        name -> {"value", "stderr"}; a value that needs no sampling has no stderr. The importance-weighted
        ones of the test split have more, see :data:`lvae_core.run_folder.estimates.DIAGNOSTICS`.
    """
    N = len(rows)
    column = dict(zip(columns, rows.unbind(1), strict=True))
    of_unknown: dict[str, dict[str, float]] = {}
    if "unknown_words" in column:
        values, variances = (column[name] for name in UNKNOWN_COLUMNS)
        of_unknown["unknown_words"] = {"value": float(values.sum()) / N}
        if config.encoder != "none":
            of_unknown["unknown_words"]["stderr"] = math.sqrt(float(variances.sum())) / N
    if config.encoder == "none":
        return _with_perplexity("nll", column["nll_elbo"], None, tokens) | of_unknown
    hidden = config.averaging == "hidden"
    kl = column["kl"]
    estimates = _with_perplexity("nll_elbo", column["nll_elbo"], column["elbo_var"], tokens)
    if "nll_elbo_amortised" in column:
        nll, variance = (column[name] for name in AMORTISED_COLUMNS)
        estimates |= _with_perplexity("nll_elbo_amortised", nll, variance, tokens)
    if hidden:
        joint = column["nll_elbo"] + (config.num_samples - 1) * kl
        estimates |= _with_perplexity("nll_joint", joint, column["elbo_var"], tokens)
    for reading in ("iw", "iw_one", "iw_joint") if hidden else ("iw",):
        if f"nll_{reading}" in column:
            estimates |= _importance_weighted(reading, column, tokens)
    return estimates | {"kl": {"value": float(kl.sum()) / N}} | of_unknown


def _importance_weighted(
    reading: str, column: dict[str, Tensor], tokens: int
) -> dict[str, dict[str, float]]:
    """The NLL and perplexity by a reading of the weight, with their DIAGNOSTICS if those were computed."""
    name, nll = f"nll_{reading}", column[f"nll_{reading}"]
    estimates = _with_perplexity(name, nll, column[f"{reading}_var"], tokens)
    if f"{reading}_ess" not in column:
        return estimates
    jackknife = _with_perplexity(name, nll, column[f"{reading}_jackknife"], tokens)
    for key, entry in estimates.items():
        entry["jackknife"] = jackknife[key]["stderr"]
    estimates[name]["ess"] = float(column[f"{reading}_ess"].sum()) / len(nll)
    shape = column[f"{reading}_khat"]
    if not bool(shape.isposinf().any()):  # so of too few draws, which have no tail
        estimates[name]["khat_above"] = float((shape > UNRELIABLE_SHAPE).double().sum()) / len(nll)
    return estimates


def _with_perplexity(
    name: str, nll: Tensor, variance: Tensor | None, tokens: int
) -> dict[str, dict[str, float]]:
    """Sums over sentences, divided once: by sentences for the NLL, by tokens for its perplexity."""
    value = float(nll.sum()) / len(nll)
    perplexity = float(torch.exp(nll.sum() / tokens))  # infinite where math.exp would raise
    entry, ppl_entry = {"value": value}, {"value": perplexity}
    if variance is not None:
        entry["stderr"] = math.sqrt(float(variance.sum())) / len(nll)
        ppl_entry["stderr"] = perplexity * math.sqrt(float(variance.sum())) / tokens
    return {name: entry, name.replace("nll", "ppl"): ppl_entry}
