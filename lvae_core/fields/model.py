"""Sizes, initialisation and dropout of the model."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lvae_core.fields.choices import DecoderStart
from lvae_core.fields.declaration import option
from lvae_core.fields.ranges import (
    BELOW_1,
    COUNT,
    NUMBER_ABOVE_0,
    NUMBER_FROM_0,
    SHARE,
    Range,
    at_least,
)

# Beyond this concentration, and in more dimensions, the table of angles becomes too coarse for its 1e-8.
_MOST_KAPPA, _MOST_DIMENSIONS = 1e4, 10_000

_KAPPA = (
    Range(f"above 0 and at most {_MOST_KAPPA:g}", lambda kappa: 0 < kappa <= _MOST_KAPPA),
    at_least(1e-300),  # below it float64 has no 2/κ, which the mean of the posterior needs
)

_SPHERE = Range(
    f"at least 2 and at most {_MOST_DIMENSIONS:,} for a sphere",
    lambda size: 2 <= size <= _MOST_DIMENSIONS,
    "von Mises-Fisher posterior",
)

_DILATIONS = Range(
    "positive whole numbers with commas between, such as 1,2,4",
    lambda text: all(re.fullmatch("[1-9][0-9]{0,5}", part) for part in text.split(",")),
)


@dataclass(frozen=True, kw_only=True)
class ModelFields:
    """Sizes, initialisation and dropout of the model."""

    # Model
    embedding_size: int = option(100, "D, word embedding", "model", ranges=COUNT)
    hidden_size: int = option(
        400, "H, LSTM state of encoder and decoder", "model", "LSTM state", ranges=COUNT
    )
    latent_size: int = option(
        32, "Z, latent variable", "model", "latent variable", ranges=(*COUNT, _SPHERE)
    )
    vmf_kappa: float = option(
        25.0,
        "concentration of the von Mises-Fisher posterior, one for all sentences",
        "model",
        "von Mises-Fisher posterior",
        added=True,
        ranges=_KAPPA,
    )
    mu_batch_norm: float = option(
        0.0,
        "scale of a batch normalisation of the posterior's mean, which keeps the KL up; 0: none",
        "model",
        "Gaussian posterior",
        added=True,
        ranges=NUMBER_FROM_0,
    )
    share_embeddings: bool = option(
        False, "encoder and decoder read one embedding table", "model", "encoder's and decoder's words"
    )
    init_encoder_from: str = option(
        "none",
        "trained run that the encoder starts from: lstm-lm, autoencoder, or a run folder of the same study",
        "model",
        "latent variable",
        added=True,
    )
    linear_bias: bool = option(False, "add a bias to M1..M4 (the paper's equations have none)", "model")
    init_scale: float = option(0.1, "every parameter starts as U(-a, a)", "model", ranges=NUMBER_ABOVE_0)
    embedding_init_scale: float = option(
        0.0,
        "a of the word embeddings; 0: the same as init_scale",
        "model",
        added=True,
        ranges=NUMBER_FROM_0,
    )
    decoder_start: DecoderStart = option(
        "h0_linear_c0_zero",
        "the LSTM decoder's first state: h = M2 z and c = 0, or c = M2 z and h = tanh(c)",
        "model",
        "LSTM decoder's start",
        added=True,
    )
    dropout: float = option(
        0.5, "on the decoder's input embedding and on the softmax's input", "model", ranges=BELOW_1
    )
    dropout_latent_input: bool = option(
        False, "the same dropout on z where it enters as input", "model", "latent variable"
    )
    dropout_encoder: bool = option(
        False, "the same dropout on the encoder's input embedding", "model", "latent variable"
    )
    word_dropout: float = option(
        0.0,
        "P(an input word is hidden from the decoder), Bowman 2016",
        "model",
        "decoder's words",
        ranges=SHARE,
    )
    dropout_hidden_word: bool = option(
        True,
        "the same dropout on the vector that stands for a hidden word",
        "model",
        "hidden word under dropout",
        added=True,
    )
    dropout_before_average: bool = option(
        False,
        "dropout on each of the L states, not on their average",
        "model",
        "averaged states under dropout",
        added=True,
    )
    separate_word_masks: bool = option(
        False,
        "each of the L samples has its own masks of dropout on the words, instead of one for all",
        "model",
        "words of several samples under dropout",
        added=True,
    )
    shared_state_masks: bool = option(
        False,
        "one mask of dropout on the states of all L samples, instead of one for each",
        "model",
        "states of several samples under dropout",
        added=True,
    )

    cnn_dilations: str = option(
        "1,2,4,8,16,1,2,4,8,16",
        "dilation of each block; SCNN 1,2,4; MCNN 1,2,4,8,16; LCNN twice, VLCNN three times that",
        "model",
        "CNN decoder",
        added=True,
        ranges=_DILATIONS,
    )
    cnn_channels: int = option(
        512, "channels inside a block", "model", "CNN decoder", added=True, ranges=COUNT
    )
    cnn_external: int = option(
        1024,
        "channels between blocks; above embedding_size",
        "model",
        "CNN decoder",
        added=True,
        ranges=COUNT,
    )
    cnn_dropout: float = option(
        0.1, "dropout between blocks", "model", "CNN decoder", added=True, ranges=BELOW_1
    )
