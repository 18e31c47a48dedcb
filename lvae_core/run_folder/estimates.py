"""The estimates of a result, by name: unit, definition, and which of them are bounds on -log p(x)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lvae_core.config import RunConfig

Bound = Literal["exact", "upper bound", "upper bound in expectation", "not a bound"]


@dataclass(frozen=True)
class Estimate:
    """The unit and definition of one entry of ``estimates`` in ``result.json``."""

    unit: str
    meaning: str
    title: str = ""
    """Name in tables, comparisons and figures; set only if it measures the use of the latent variable."""


_NATS = "nats per sentence"
_PPL = "exp(nats per predicted token)"
ESTIMATES: dict[str, Estimate] = {
    "nll": Estimate(_NATS, "-log p(x), exact"),
    "ppl": Estimate(_PPL, "perplexity from nll"),
    "nll_elbo": Estimate(_NATS, "-(E_q log p(x|z) - KL), the KL counted once"),
    "ppl_elbo": Estimate(_PPL, "perplexity from nll_elbo"),
    "nll_elbo_amortised": Estimate(
        _NATS, "nll_elbo under the encoder's posterior, before the refinement steps"
    ),
    "ppl_elbo_amortised": Estimate(_PPL, "perplexity from nll_elbo_amortised"),
    "nll_joint": Estimate(_NATS, "-(E_q log p(x|z^(1..L)) - L KL)"),
    "ppl_joint": Estimate(_PPL, "perplexity from nll_joint"),
    "nll_iw": Estimate(_NATS, "-log mean_s w_s, log w = log p(x|z^(1..L)) + 1/L sum_l log p/q"),
    "ppl_iw": Estimate(_PPL, "perplexity from nll_iw"),
    "nll_iw_one": Estimate(_NATS, "-log mean_s w_s, log w = log p(x|z^(1..L)) + log p/q of z^(1) alone"),
    "ppl_iw_one": Estimate(_PPL, "perplexity from nll_iw_one"),
    "nll_iw_joint": Estimate(_NATS, "-log mean_s w_s, log w = log p(x|z^(1..L)) + sum_l log p/q"),
    "ppl_iw_joint": Estimate(_PPL, "perplexity from nll_iw_joint"),
    "kl": Estimate(_NATS, "KL(q(z|x) || p(z)) of one z", "KL divergence"),
    "mi": Estimate("nats", "I_q(x; z) of one z, He et al. (2019)", "mutual information"),
    "mi_batch": Estimate("nats", "mi within batches of mi_batch_size sentences; He et al. (2019): of 32"),
    "au": Estimate("dimensions", "those whose posterior mean has a variance > 0.01 over x", "active units"),
    "unknown_words": Estimate(
        _NATS, "the part of -E_q log p(x|z), or of -log p(x), that is the cost of unknown words"
    ),
}

DIAGNOSTICS = {
    "jackknife": "standard error of the value by the jackknife over draws; it holds under heavy tails, too",
    "ess": "effective sample size (sum w)^2 / sum w^2 out of S draws, mean over sentences",
    "khat_above": "share of sentences whose weights have a Pareto shape above 0.7; absent if S < 21",
}
"""Further entries of an importance-weighted estimate (ppl: the jackknife alone), and their meaning. Results
from before them have none. With iw_exact_samples they are those of the rough weights of all S draws."""

UNRELIABLE_SHAPE = 0.7
"""Above this Pareto shape, no practical S gives a reliable mean weight (Vehtari et al. 2024)."""

UNRELIABLE_SHARE = 0.05
"""The largest ``khat_above`` of a reliable estimate."""


def is_unreliable(ess: float | None, khat_above: float | None) -> bool:
    """Whether few draws decide an estimate with these entries, None if absent, or are too few to tell."""
    return ess is not None if khat_above is None else khat_above > UNRELIABLE_SHARE


ADDED = ("nll_iw_one", "ppl_iw_one", "unknown_words")
"""Estimates that results from before them lack, the first two under averaging = hidden; no version tells,
as all others have kept their numbers."""

UNUSED = 0.1
"""Nats of mutual information below which a posterior says next to nothing about a sentence, and of a
likelihood that make a difference."""


def diagnostics_of(estimate: str) -> tuple[str, ...]:
    """Names of the DIAGNOSTICS that an estimate has; () unless it is importance-weighted."""
    if estimate.startswith("nll_iw"):
        return tuple(DIAGNOSTICS)
    return ("jackknife",) if estimate.startswith("ppl_iw") else ()


LATENT_USE = {name: estimate for name, estimate in ESTIMATES.items() if estimate.title}
"""The estimates that measure the use of the latent variable."""


def announced_perplexity(estimates: Mapping[str, Any]) -> str:
    """Name the perplexity that stands for a run in one line, from the ``estimates`` of a result.

    It is exact or a valid bound, importance-weighted if possible, and the same for all runs of a cell: the
    noise of the draws does not choose it. With joint latent samples only the joint estimates are bounds.
    """
    names = ("ppl", "ppl_iw_joint", "ppl_joint", "ppl_iw", "ppl_elbo")
    return next(name for name in names if name in estimates)


def valid_ppl_is_bound(config: RunConfig) -> bool:
    """Whether the validation perplexity of a run, which counts the whole KL, bounds that of its model."""
    return bound("ppl_elbo", config.averaging, config.num_samples) != "not a bound"


def best_ppl_is_bound(config: RunConfig) -> bool:
    """Whether the score by which a run chooses its best epoch is a bound: it may weigh the KL less."""
    return valid_ppl_is_bound(config) and (config.encoder == "none" or config.valid_kl_weight >= 1)


def bound(estimate: str, averaging: str, num_samples: int) -> Bound | None:
    """Say how ``estimate`` bounds -log p(x), or the perplexity; None for what is no likelihood.

    With averaging = hidden and L > 1 the decoder conditions on all L samples, so together they are the
    latent variable. An estimate that counts the KL of only one of them is not a bound of that model.
    """
    kind = re.sub(r"^(nll|ppl)", "", estimate)
    if not estimate.startswith(("nll", "ppl")):
        return None
    if kind == "":
        return "exact"
    if averaging == "hidden" and num_samples > 1 and not kind.endswith("joint"):
        return "not a bound"
    return "upper bound in expectation" if kind.startswith("_iw") else "upper bound"
