"""The small models and sentences that the checks compute, one for every system."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, make_batch
from lvae_core.data.corpus import Corpus, Split
from lvae_core.data.vocabulary import Vocabulary
from lvae_core.fields.choices import Setting
from lvae_core.model.text_model import TextModel
from lvae_core.systems import recipe

SMALL: dict[str, Any] = {"embedding_size": 24, "hidden_size": 40, "latent_size": 8}
TINY: dict[str, Any] = {"embedding_size": 5, "hidden_size": 7, "latent_size": 3}
SETTINGS: tuple[Setting, ...] = ("standard", "inputless")


def config_of(system: str, setting: Setting = "standard", *, tiny: bool, **fields: Any) -> RunConfig:
    """Make the config of a system at small sizes, with L = 2, without dropout and with large parameters.

    What has no exact formula is left out: the clipping of the reverse pass of semi-amortised inference.
    """
    sizes = TINY if tiny else SMALL
    # With fewer channels a single ReLU that bfloat16 switches on would be most of an error.
    cnn = {"cnn_channels": 24, "cnn_external": 49, "cnn_dilations": "1,2", "cnn_dropout": 0.0}
    # Larger steps would amplify the rounding of bfloat16 until it hides everything else.
    inference = {
        "svi_steps": 3,
        "svi_step_size": 1.0,
        "svi_max_sentence_norm": 0.5,
        "sa_clip": "none",
    }
    config = recipe(system, num_samples=2, setting=setting)
    changes = {**sizes, **cnn, **inference, "dropout": 0.0, "init_scale": 0.4, "batch_size": 6}
    return replace(config, **{**changes, **fields})


def num_classes(*, tiny: bool) -> int:
    """V."""
    return 23 if tiny else 600


def sentences(count: int, V: int, longest: int, seed: int = 0) -> list[list[int]]:
    """Draw sentences of unequal lengths, one of them of ``</s>`` alone."""
    generator = np.random.default_rng(seed)
    lengths = [0, longest - 1, *generator.integers(0, longest, size=max(0, count - 2))][:count]
    return [[*generator.integers(1, V, size=n).tolist(), 0] for n in lengths]


def batch_of(texts: list[list[int]], device: str) -> Batch:
    """Make a batch of sentences."""
    T = max(map(len, texts))
    rows = torch.tensor([[*text, *[0] * (T - len(text))] for text in texts])
    lengths = torch.tensor([len(text) for text in texts])
    return make_batch(rows, lengths, np.arange(len(texts))).to(device)


def split_of(texts: list[list[int]]) -> Split:
    """Make a split of sentences."""
    tokens = np.array([word for text in texts for word in text], dtype=np.int32)
    return Split(tokens, np.cumsum([0, *map(len, texts)]).astype(np.int64))


def corpus(V: int, count: int, longest: int) -> Corpus:
    """Make a corpus of random sentences: ``count`` to train on, a third as many to validate and to test."""
    splits = [
        split_of(sentences(n, V, longest, seed)) for seed, n in enumerate((count, count // 3, count // 3))
    ]
    words = ("</s>", *(f"w{k}" for k in range(1, V)))
    return Corpus(
        "toy", Vocabulary(words, None), *splits, data_sha256=f"gpu-check-{V}-{count}", warnings=()
    )


def parameters(model: TextModel) -> dict[str, Tensor]:
    """Copy the parameters to the CPU as float64 leaves."""
    return {
        name: value.detach().cpu().double().clone().requires_grad_()
        for name, value in model.named_parameters()
    }
