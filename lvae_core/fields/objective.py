"""The objective, and inference by steps on it."""

from __future__ import annotations

from dataclasses import dataclass

from lvae_core.fields.choices import EncoderGradient, KLSchedule, ReverseClipping
from lvae_core.fields.declaration import option
from lvae_core.fields.ranges import (
    ABOVE_0,
    BELOW_1,
    COUNT,
    COUNT_FROM_0,
    FROM_0,
    NUMBER_ABOVE_0,
    NUMBER_FROM_0,
    SHARE,
)


@dataclass(frozen=True, kw_only=True)
class ObjectiveFields:
    """The objective, and inference by steps on it."""

    # Objective
    kl_weight: float = option(
        1.0, "beta after annealing", "objective", "latent variable", ranges=NUMBER_FROM_0
    )
    kl_anneal_epochs: float = option(
        10.0, "epochs over which beta rises linearly", "objective", "latent variable", ranges=FROM_0
    )
    kl_anneal_steps: int = option(
        0,
        "gradient steps over which beta rises, instead of kl_anneal_epochs; 0: those",
        "objective",
        "linear annealing",
        added=True,
        ranges=COUNT_FROM_0,
    )
    kl_start: float = option(
        0.0,
        "beta at the first step, as a share of kl_weight",
        "objective",
        "latent variable",
        added=True,
        ranges=SHARE,
    )
    kl_schedule: KLSchedule = option(
        "linear",
        "how beta rises: once, or anew in each of kl_cycles",
        "objective",
        "latent variable",
        added=True,
    )
    kl_cycles: int = option(
        4,
        "cycles of beta, each rising over its first half",
        "objective",
        "cyclical annealing",
        added=True,
        ranges=COUNT,
    )
    free_bits: float = option(
        0.0,
        "nats of KL per sentence that cost nothing, shared by the Z dimensions; 0: none",
        "objective",
        "ELBO objective",
        added=True,
        ranges=NUMBER_FROM_0,
    )
    encoder_gradient: EncoderGradient = option(
        "doubly_reparameterised",
        "estimator of the encoder's gradient (Tucker et al. 2019)",
        "objective",
        "importance-weighted objective",
        added=True,
    )

    # Semi-amortised inference
    svi_steps: int = option(
        20,
        "K, gradient steps from the encoder's posterior; 0: the encoder's posterior itself",
        "objective",
        "semi-amortised inference",
        stage="both",
        added=True,
        ranges=COUNT_FROM_0,
    )
    svi_step_size: float = option(
        1.0,
        "alpha; a step moves a sentence by alpha/32 of its own gradient, whatever the batch",
        "objective",
        "semi-amortised inference",
        stage="both",
        added=True,
        ranges=NUMBER_ABOVE_0,
    )
    svi_momentum: float = option(
        0.5,
        "gamma of the K steps",
        "objective",
        "semi-amortised inference",
        stage="both",
        added=True,
        ranges=BELOW_1,
    )
    svi_max_sentence_norm: float = option(
        0.0,
        "2-norm at which a step clips each sentence's own gradient; 0: never",
        "objective",
        "semi-amortised inference",
        stage="both",
        added=True,
        ranges=NUMBER_FROM_0,
    )
    sa_clip: ReverseClipping = option(
        "consistent",
        "clip the reverse pass at svi_max_grad_norm; per_sentence: and let no gradient of a sentence grow",
        "objective",
        "semi-amortised inference",
        added=True,
    )
    svi_max_grad_norm: float = option(
        5.0,
        "2-norm at which products of the reverse pass are clipped",
        "objective",
        "clipped reverse pass",
        added=True,
        ranges=ABOVE_0,
    )
