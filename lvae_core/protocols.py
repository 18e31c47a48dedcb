"""Training protocols: one for all systems, or the one of the system's authors.

``matched``, the recipes of ``systems.py``: everything is as in Kruengkrai (2019), so that two systems
differ only in the method; the CNN systems keep Adam, its rate and the dropout of Yang et al. (2017).
``original``: optimiser, schedules and initialisation follow the system's authors, as far as this project
supports them. Each function here says what it leaves out. The sizes are those of the dataset, and a run
keeps its system's name under both protocols.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from lvae_core.config import RunConfig

Protocol = Literal["matched", "original"]
PROTOCOLS: tuple[Protocol, ...] = ("matched", "original")


def xu2018(matched: RunConfig) -> RunConfig:
    """Xu & Durrett (2018), from their code: SGD at rate 10, no annealing, Z and κ by setting.

    In the inputless setting no dropout is on the vector that stands for every word.

    Z and κ are chosen so that the KL fits their table: 25 and 25 in the standard, 50 and 80 in the
    inputless setting. An author named Z = 50, κ = 35, too. Not reproduced: their decoder's c_0 is an affine
    image of z, too; their encoder reads padding, and its head the last cell state, too; PyTorch's default
    initialisation has a scale for each layer, here there is one for embeddings and one for all others;
    they decode the mean of three z and count the KL of one; they leave out sentences of one word.
    """
    inputless = matched.setting == "inputless"
    return replace(
        matched,
        latent_size=50 if inputless else 25,
        vmf_kappa=80.0 if inputless else 25.0,
        linear_bias=True,
        share_embeddings=not inputless,
        dropout_encoder=True,
        dropout_hidden_word=not inputless,
        init_scale=1 / math.sqrt(matched.hidden_size),
        embedding_init_scale=math.sqrt(3),  # the variance of N(0, 1)
        kl_anneal_epochs=0.0,
        batch_size=20,
        learning_rate=10.0,
        max_grad_norm=0.25,
        lr_decay=1 / 1.2,
        patience=15,
        patience_rule="in_a_row",
        max_epochs=100,
    )


def yang2017(matched: RunConfig) -> RunConfig:
    """Yang et al. (2017): Adam for 40 epochs, halved every 2 from epoch 30; β from 0.01 to 1.

    β rises over 40,000 steps, the middle of the three lengths that they tried. Their code is not public.
    Not reproduced: the bias of their softmax; dropout of 0.3 or 0.5 on the encoder; the search over rates
    and latent sizes; how the language model behind "+ init" was trained, for which LSTM-LM's recipe is
    used. Adam's constants and the decoder are those of the matched recipe, which follows the paper.
    """
    annealing: dict[str, Any] = {"kl_start": 0.01, "kl_anneal_steps": 40_000}
    if matched.encoder == "none":
        annealing = {}
    trained = replace(
        matched, lr_schedule="every", lr_decay=0.5, lr_decay_from=30, lr_decay_interval=2, max_epochs=40
    )
    return replace(trained, **annealing)


def kim2018(matched: RunConfig) -> RunConfig:
    """Kim et al. (2018), from their code: batches of one length, β from 0.1, halving after a plateau.

    Not reproduced: their encoder reads <s> first; a step of SVI is α/32 of a sentence's own gradient here,
    and α/B in their smaller batches; clipping, which is by batch there and by sentence here; the errors of
    their reverse pass, which takes differences of clipped gradients.
    """
    return replace(
        matched,
        linear_bias=True,
        batching="equal_length",
        kl_start=0.1,
        kl_anneal_epochs=9.0,
        lr_schedule="after_plateau",
        lr_decay_from=15,
        lr_smallest=0.03,
        max_epochs=30,
    )


def he2019(matched: RunConfig) -> RunConfig:
    """He et al. (2019), from their code: small weights, c_0 from z, batches of one length, best reloaded.

    The aggressive phase ends when the mutual information within batches of 32 falls, as theirs. Not
    reproduced: their encoder reads <s> first; they draw one sample for that information.
    """
    return replace(
        matched,
        init_scale=0.01,
        embedding_init_scale=0.1,
        decoder_start="c0_linear_h0_tanh",
        batching="equal_length",
        kl_start=0.1,
        kl_anneal_epochs=10.0,
        lr_schedule="reload_best",
        lr_decay_from=16,
        lr_max_decays=5,
        reload_after=2,
        max_epochs=100,
    )


def li2019(matched: RunConfig) -> RunConfig:
    """Li et al. (2019), from their code: as He et al. (2019), at rate 0.5, β from 0, more patience.

    An autoencoder that the encoder starts from is trained in the same way. Not reproduced: their encoder
    reads <s> first; their sizes on PTB (D = H = 256).
    """
    return replace(he2019(matched), kl_start=0.0, learning_rate=0.5, reload_after=5)


def fu2019(matched: RunConfig) -> RunConfig:
    """Fu et al. (2019), from their code for PTB: Adam for 40 epochs, β from 0.1 in each of four cycles.

    Not reproduced: within each cycle their rate falls along half a cosine, here it is constant; β reaches 1
    half an epoch earlier in their cycles; their encoder reads <s> first; their sizes (D = H = 256).
    """
    return replace(
        matched,
        linear_bias=True,
        optimiser="adam",
        learning_rate=1e-3,
        batching="equal_length",
        kl_start=0.1,
        kl_cycles=4,
        lr_schedule="every",
        lr_decay_from=41,  # never
        max_epochs=40,
    )


ORIGINALS: dict[str, Callable[[RunConfig], RunConfig]] = {
    "lstm-vmf-vae": xu2018,
    "cnn-lm": yang2017,
    "cnn-vae": yang2017,
    "cnn-vae-init": yang2017,
    "sa-vae": kim2018,
    "lstm-vae-ain": he2019,
    "lstm-vae-fb": li2019,
    "lstm-vae-ae-fb": li2019,
    "lstm-vae-cyclical": fu2019,
}
"""System -> its authors' protocol, applied to the matched recipe. A system that is not listed has only the
matched one: it is Kruengkrai's or this project's, or no code of its authors for text is public."""


def with_protocol(matched: RunConfig, protocol: Protocol) -> RunConfig:
    """A system's config under a protocol.

    Args:
        matched: the config that :func:`lvae_core.systems.recipe` returns.
        protocol: see the module.
    """
    original = ORIGINALS.get(matched.system) if protocol == "original" else None
    return original(matched) if original else matched
