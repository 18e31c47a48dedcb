"""The estimates: likelihood bounds by sampling, with their Monte Carlo standard errors.

One pass of S draws per sentence serves every estimate: each draw is one z (averaging = loss) or a
group of L (averaging = hidden), with log-likelihood ℓ_s and log-ratios r_sl = log p(z_sl) − log q(z_sl|x):

    nll_elbo      −(mean_s ℓ_s − KL)                     nll_iw        −log mean_s exp(ℓ_s + 1/L Σ_l r_sl)
    nll_joint     −(mean_s ℓ_s − L KL)                   nll_iw_joint  −log mean_s exp(ℓ_s + Σ_l r_sl)

Which of them are bounds on −log p(x) is in :func:`lvae_core.run_folder.estimates.bound`. The noise of a
sentence is a function of (seed, split, sentence): batches and chunks bound the memory and do not choose
the draws. Where config.iw_exact_samples says so, a few ℓ_s are computed and the others approximated: the
estimates stay what they are, with the variance that this adds (see :mod:`lvae_core.evaluation.two_phase`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import collate, eval_order
from lvae_core.data.corpus import Split
from lvae_core.evaluation.draws import Draws
from lvae_core.evaluation.two_phase import (
    corrected_mean,
    inclusion_probabilities,
    log_mean_weight,
    systematic_sample,
)
from lvae_core.model.layers import shortlist
from lvae_core.model.layers.precision import Arithmetic, compute_in
from lvae_core.model.noise import SentenceNoise
from lvae_core.model.text_model import TextModel

COLUMNS = ("nll_elbo", "elbo_var", "nll_iw", "iw_var", "nll_iw_joint", "iw_joint_var", "kl")
"""Statistics of one sentence: estimates in nats, and the Monte Carlo variance of each."""

AMORTISED_COLUMNS = ("nll_elbo_amortised", "elbo_amortised_var")
"""Further ones of the test split if inference goes on from the encoder's posterior: the ELBO there."""


def sentence_statistics(
    model: TextModel,
    split: Split,
    config: RunConfig,
    *,
    split_name: str,
    samples: int,
    start: int = 0,
    rough: Arithmetic = "float32",
) -> Iterator[Tensor]:
    """Statistics of the sentences of a split, batch by batch in the order of :func:`eval_order`.

    Args:
        model: evaluated without dropout, in the precision of the split, in which it is left.
        split: B sentences a batch are taken from it.
        config: batch and chunk sizes, seed, averaging, how many draws are scored in full.
        split_name: part of the key of the noise.
        samples: S, draws per sentence.
        start: batches to leave out because they are done.
        rough: arithmetic of the rough scores, where some draws are not scored in full.

    Yields:
        (B, len(COLUMNS)) in float64 on the CPU, with the AMORTISED_COLUMNS to the right if there are any.
        A language model's has its exact nll in the first column and zeros elsewhere.
    """
    order = eval_order(split.lengths, config.eval_batch_size)
    device = next(model.parameters()).device
    for indices in order[start:]:
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
                nll = -model.log_likelihood(batch, None).double().T  # (B, 1)
                rows = torch.nn.functional.pad(nll, (0, len(COLUMNS) - 1))
            else:
                drawn = noise(size=(samples, config.group))  # (S, G, B, n)
                draws = Draws(model, batch, q, drawn, config.eval_chunk_tokens)
                rows = _latent_statistics(draws, config, keys, rough)
                if config.inference != "amortised" and split_name != "valid":
                    rows = torch.cat([rows, _amortised_statistics(draws, config)], dim=1)
            rows = rows.cpu()
        yield rows


def precision_of(split_name: str, config: RunConfig) -> Arithmetic:
    """Validation decides about training, so it has its own precision."""
    return config.valid_precision if split_name == "valid" else config.eval_precision


def sentence_noise(model: TextModel, config: RunConfig, keys: list[tuple[str, int]]) -> SentenceNoise:
    """Return the noise of sentences given by split and place in it."""
    return SentenceNoise(
        model.posterior, model.latent_size, [rng.Key(config.seed, "evaluation", key) for key in keys]
    )


def _latent_statistics(
    draws: Draws, config: RunConfig, keys: list[tuple[str, int]], rough: Arithmetic
) -> Tensor:
    ratio = draws.log_ratios()  # (S, G, B)
    S, G = ratio.shape[:2]
    # A group's counts once by the paper's convention, and for each of its samples in the joint bound.
    ratios = [ratio.mean(1)] if G == 1 else [ratio.mean(1), ratio.sum(1)]  # each (S, B)
    if 0 < config.iw_exact_samples < S and draws.model.output.out_features > 2 * shortlist.SIZE:
        values = _two_phase(draws, ratios, config, keys, rough)
    else:
        log_p = draws.scores()  # (S, B)
        values = [_mean(log_p), *(_log_mean_exp(log_p + ratio) for ratio in ratios)]
    (log_p_mean, elbo_variance), (iw, iw_variance) = values[:2]
    joint, joint_variance = values[-1]
    kl = draws.q.double().kl()  # (B,)
    columns = [kl - log_p_mean, elbo_variance, -iw, iw_variance, -joint, joint_variance, kl]
    return torch.stack(columns, dim=1)


def _amortised_statistics(draws: Draws, config: RunConfig) -> Tensor:
    """The AMORTISED_COLUMNS, from as many of the draws as are scored in full: (B, 2)."""
    assert draws.model.encoder is not None
    S, exact = len(draws.noise), config.iw_exact_samples
    few = replace(
        draws, q=draws.model.encoder(draws.batch), noise=draws.noise[: exact if 0 < exact < S else S]
    )
    log_p, variance = _mean(few.scores())
    return torch.stack([few.q.double().kl() - log_p, variance], dim=1)


def _two_phase(
    draws: Draws, ratios: list[Tensor], config: RunConfig, keys: list[tuple[str, int]], rough: Arithmetic
) -> list[tuple[Tensor, Tensor]]:
    """The values that all full scores would give, from rough scores and a few full ones.

    Returns:
        Value and variance (B,) of: the mean of log p(x|z); for each of ``ratios`` the log-mean weight.
    """
    about = draws.rough_scores(rough)  # (S, B)
    compute_in(draws.model, precision_of(keys[0][0], config))
    S, device = len(about), about.device
    each = config.iw_exact_samples // (1 + len(ratios))
    orders = [rng.permutation(config.seed, "evaluation", *key, "mean", size=S) for key in keys]
    chosen = [torch.from_numpy(np.stack(orders, axis=1)[:each]).to(device)]  # each (each, B)
    chances = []
    for number, ratio in enumerate(ratios):
        starts = [rng.uniform(config.seed, "evaluation", *key, "weight", number) for key in keys]
        pi = inclusion_probabilities(about + ratio, each)
        chosen.append(systematic_sample(pi, pi.new_tensor(starts)))
        chances.append(pi.gather(0, chosen[-1]))
    scores, *weighted = torch.split(draws.select(torch.cat(chosen)).scores(), each)
    found = [(*corrected_mean(about, chosen[0], scores), _mean(about)[1])]
    for ratio, choice, chance, exact in zip(ratios, chosen[1:], chances, weighted, strict=True):
        log_weights = exact + ratio.gather(0, choice)
        found.append((*log_mean_weight(log_weights, chance, S), _log_mean_exp(about + ratio)[1]))
    return [(value, of_choice + of_draws) for value, of_choice, of_draws in found]


def _mean(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over s of (S, B) and its Monte Carlo variance, each (B,)."""
    S = len(values)
    return values.mean(0), values.var(0) / S if S > 1 else torch.full_like(values[0], math.nan)


def _log_mean_exp(log_w: Tensor) -> tuple[Tensor, Tensor]:
    """log mean_s w_s of (S, B) and its Monte Carlo variance by the delta method, each (B,)."""
    S = len(log_w)
    value = log_w.logsumexp(0) - math.log(S)
    relative = torch.exp(log_w - value)  # w_s over their mean
    variance = relative.var(0) / S if S > 1 else torch.full_like(value, math.nan)
    return value, variance


def likelihood_estimates(rows: Tensor, tokens: int, config: RunConfig) -> dict[str, dict[str, float]]:
    """Estimates over a whole split from the statistics of all its sentences.

    Args:
        rows: (N, len(COLUMNS)), or with the AMORTISED_COLUMNS.
        tokens: predicted tokens of the split, for perplexities.
        config: which estimates the system has.

    Returns:
        name -> {"value", "stderr"}; a value that needs no sampling has no stderr.
    """
    N = len(rows)
    names = (*COLUMNS, *AMORTISED_COLUMNS)[: rows.shape[1]]
    column = dict(zip(names, rows.unbind(1), strict=True))
    if config.encoder == "none":
        return _with_perplexity("nll", column["nll_elbo"], None, tokens)
    hidden = config.averaging == "hidden"
    kl = column["kl"]
    estimates = _with_perplexity("nll_elbo", column["nll_elbo"], column["elbo_var"], tokens)
    if len(names) > len(COLUMNS):
        nll, variance = (column[name] for name in AMORTISED_COLUMNS)
        estimates |= _with_perplexity("nll_elbo_amortised", nll, variance, tokens)
    if hidden:
        joint = column["nll_elbo"] + (config.num_samples - 1) * kl
        estimates |= _with_perplexity("nll_joint", joint, column["elbo_var"], tokens)
    estimates |= _with_perplexity("nll_iw", column["nll_iw"], column["iw_var"], tokens)
    if hidden:
        estimates |= _with_perplexity(
            "nll_iw_joint", column["nll_iw_joint"], column["iw_joint_var"], tokens
        )
    return estimates | {"kl": {"value": float(kl.sum()) / N}}


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
