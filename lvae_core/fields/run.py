"""Fields that identify a run, choose its data, and choose the parts that it is assembled from."""

from __future__ import annotations

from dataclasses import dataclass

from lvae_core.fields.choices import (
    Averaging,
    Decoder,
    Encoder,
    Inference,
    ObjectiveName,
    Optimiser,
    Posterior,
    Setting,
    Step,
)
from lvae_core.fields.declaration import option
from lvae_core.fields.ranges import FROM_0, MOST_DRAWS, Range, at_least, none_or


@dataclass(frozen=True, kw_only=True)
class RunFields:
    """Fields that identify a run, choose its data, and choose the parts that it is assembled from."""

    # Which run
    dataset: str = option("ptb", "a dataset's name, or the path of a folder of three splits", "run")
    system: str = option("lstm-vae", "row of the paper's tables that this run belongs to", "run")
    setting: Setting = option("standard", "inputless: the decoder reads no word, only z", "run")
    seed: int = option(
        0,
        "root of every random stream of the run",
        "run",
        ranges=(FROM_0, Range("below 10**18", lambda value: value < 10**18)),
    )

    # Data
    min_count: int = option(
        1, "training words seen less often become the unknown word", "data", ranges=at_least(1)
    )
    max_vocabulary: int = option(
        0,
        "keep this many classes at most, </s> included; 0: all",
        "data",
        ranges=(FROM_0, none_or("0 (all)", at_least(3))),
    )
    max_length: int = option(
        512, "a sentence of more predicted tokens is refused", "data", ranges=at_least(1)
    )

    # Parts: what the model is assembled from, and how it is trained
    encoder: Encoder = option("lstm", "none: no latent variable, a language model", "run")
    posterior: Posterior = option("gaussian", "family of q(z|x)", "run", "latent variable", added=True)
    decoder: Decoder = option("lstm", "what reads z and the words so far", "run", added=True)
    inference: Inference = option(
        "amortised", "how q(z|x) of a sentence is found", "run", "latent variable", added=True
    )
    averaging: Averaging = option(
        "loss", "over the L samples: loss (Eq. 3) or hidden states (Eq. 7)", "run"
    )
    num_samples: int = option(
        1,
        "L, latent samples per sentence at a gradient step; 0 without a latent variable",
        "run",
        ranges=(at_least(1, " (the L of the paper)", part="latent variable"), MOST_DRAWS),
    )
    objective: ObjectiveName = option(
        "elbo", "elbo, or the importance-weighted bound of L samples", "run", "latent variable", added=True
    )
    step: Step = option("joint", "what a gradient step updates", "run", "latent variable", added=True)
    optimiser: Optimiser = option("sgd", "sgd or adam", "run", added=True)
