"""Validation, evaluation on the test split, and the arithmetic of it all."""

from __future__ import annotations

from dataclasses import dataclass

from lvae_core.fields.choices import FEWEST_EXACT, EvalPrecision, Precision, TestedEpoch
from lvae_core.fields.declaration import option
from lvae_core.fields.ranges import (
    COUNT,
    MOST_COUNT,
    MOST_DRAWS,
    NUMBER_FROM_0,
    at_least,
    at_most,
    none_or,
)

_FOR_AN_ERROR = at_least(2, ", or it has no standard error")

_MOST_MI_SAMPLES = at_most(10_000)
"""They are in memory for a whole split at once: of Penn Treebank's test split, 10 GB."""


@dataclass(frozen=True, kw_only=True)
class EvaluationFields:
    """Validation, evaluation on the test split, and the arithmetic of it all."""

    # Validation, after each epoch
    valid_samples: int = option(
        1,
        "draws per sentence in validation; importance-weighted: times L, for one bound of them all",
        "validation",
        "latent variable",
        ranges=(at_least(1), MOST_DRAWS),
    )
    valid_precision: EvalPrecision = option(
        "float32", "of validation's matrix products", "validation", added=True
    )
    eval_batch_size: int = option(
        32,
        "sentences encoded together in validation and evaluation",
        "validation",
        stage="both",
        ranges=COUNT,
    )
    eval_chunk_tokens: int = option(
        16384,
        "decoder positions at once in validation and evaluation",
        "validation",
        stage="both",
        ranges=COUNT,
    )

    valid_kl_weight: float = option(
        1.0,
        "beta of the validation score that the learning rate and the best epoch follow",
        "validation",
        "latent variable",
        added=True,
        ranges=NUMBER_FROM_0,
    )

    # Evaluation on the test split
    tested_epoch: TestedEpoch = option(
        "best",
        "whose parameters are evaluated: of the best epoch in validation, or of the last",
        "evaluation",
        stage="evaluation",
        added=True,
    )
    iw_samples: int = option(
        500,
        "S, importance samples per sentence for the test estimates",
        "evaluation",
        "latent variable",
        stage="evaluation",
        ranges=(_FOR_AN_ERROR, at_most(1_000_000)),
    )
    iw_exact_samples: int = option(
        24,
        "score so many of the S draws in full and all roughly, if the vocabulary has over 512 words "
        "(docs/estimates.md); 0: all in full",
        "evaluation",
        "latent variable",
        stage="evaluation",
        ranges=(none_or("0", at_least(FEWEST_EXACT)), MOST_COUNT),
    )
    mi_samples: int = option(
        8,
        "draws of z per sentence for the mutual information",
        "evaluation",
        "latent variable",
        stage="evaluation",
        ranges=(_FOR_AN_ERROR, _MOST_MI_SAMPLES),
    )
    mi_batch_size: int = option(
        0,
        "also the mutual information within batches of so many test sentences of similar length; 0: no",
        "evaluation",
        "latent variable",
        stage="evaluation",
        added=True,
        ranges=(none_or("0", at_least(2)), MOST_COUNT),
    )
    eval_precision: EvalPrecision = option(
        "float32", "of the estimates' matrix products", "evaluation", stage="evaluation"
    )

    # Arithmetic
    precision: Precision = option(
        "float32",
        "of training's matrix products; auto: bfloat16 where the processor is quick at it",
        "arithmetic",
    )
    deterministic: bool = option(
        True, "only algorithms whose result is the same every time", "arithmetic", stage="both"
    )
