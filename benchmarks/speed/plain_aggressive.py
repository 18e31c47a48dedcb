"""The baseline of LSTM-VAE-AIN: many updates of the encoder, then one of the decoder (He et al. 2019).

In training the losses decide how often the encoder is updated, so two implementations with different noise
would do different work. Here and in ``ours.py`` the step that is measured has ENCODER_UPDATES updates of
the encoder and one of the decoder. Each takes the loss and all gradients of one batch and clips their norm.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lvae_core.config import RunConfig
from speed.cases import ENCODER_UPDATES
from speed.plain import PlainModel
from speed.plain_semi_amortised import ENCODER


def training(
    config: RunConfig,
    num_classes: int,
    batches: list[Tensor],
    make: Callable[[RunConfig, int], PlainModel],
) -> Callable[[], Tensor]:
    """Make a function that takes one aggressive step per batch (words, (B, T)) and returns the last loss.

    As in the authors' code there are two optimisers, but the norm of all gradients together is clipped. The
    loss is that of the decoder's update, in nats per sentence.
    """
    model = make(config, num_classes).to(batches[0].device)
    named = list(model.named_parameters())
    in_encoder = [name.split(".")[0] in ENCODER for name, _ in named]
    encoder, decoder = (
        torch.optim.SGD(
            [p for (_, p), inside in zip(named, in_encoder, strict=True) if inside is side],
            lr=config.learning_rate,
        )
        for side in (True, False)
    )

    def update(optimiser: torch.optim.Optimizer, words: Tensor) -> Tensor:
        encoder.zero_grad()
        decoder.zero_grad()
        loss = model.differentiate(words, config.num_samples)
        nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimiser.step()
        return loss

    def run() -> Tensor:
        for words in batches:
            inner, total = words, 0.0
            for _ in range(ENCODER_UPDATES):
                total += update(encoder, inner).item()  # which decides, in training, whether to go on
                inner = random.choice(batches)
            loss = update(decoder, words)
        return loss

    return run
