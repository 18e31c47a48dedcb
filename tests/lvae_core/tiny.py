"""Small inputs for tests: configs, corpora and models that train in milliseconds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, make_batch
from lvae_core.data.corpus import Corpus, Split
from lvae_core.data.vocabulary import Vocabulary
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.folder import RunFolder
from lvae_core.storage.store import open_store
from lvae_core.systems import recipe

SYSTEMS = ("lstm-lm", "lstm-vae", "lstm-vae-avg")
SETTINGS = ("standard", "inputless")
SIZES = {"embedding_size": 3, "hidden_size": 5, "latent_size": 2}
SVI_STEPS = 3


def config(system: str = "lstm-vae", **fields: Any) -> RunConfig:
    """Make a config of tiny sizes on ``toy``, by default with L = 2; other fields come from the recipe."""
    samples = fields.pop("num_samples", 2)
    setting = fields.pop("setting", "standard")
    base = recipe(system, dataset="toy", setting=setting, num_samples=samples)
    return replace(base, **{**SIZES, "svi_steps": SVI_STEPS, **fields})


def split(sentences: Sequence[Sequence[int]]) -> Split:
    """Make a split of sentences, each given as class numbers that end with 0."""
    tokens = np.array([w for sentence in sentences for w in sentence], dtype=np.int32)
    return Split(tokens, np.cumsum([0, *map(len, sentences)]).astype(np.int64))


def batch(sentences: Sequence[Sequence[int]], pad: int = 0) -> Batch:
    """Make a batch whose padding has the value ``pad``."""
    T = max(map(len, sentences))
    rows = [[*sentence, *[pad] * (T - len(sentence))] for sentence in sentences]
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    return make_batch(torch.tensor(rows), lengths, np.arange(len(sentences)))


def sentences(count: int, classes: int, seed: int, longest: int = 7) -> list[list[int]]:
    """Draw sentences of unequal lengths over the classes 1..classes-1, each ending with 0."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, longest, size=count)
    return [[*generator.integers(1, classes, size=n).tolist(), 0] for n in lengths]


def corpus(
    train: int = 11, valid: int = 5, test: int = 4, classes: int = 6, unknown: int | None = None
) -> Corpus:
    """Make a corpus of random sentences over ``classes`` classes, of which ``unknown`` is of all others."""
    splits = [split(sentences(n, classes, seed)) for seed, n in enumerate((train, valid, test))]
    words = ("</s>", *"abcdefghijklmnopqrstuvwxyz"[: classes - 1])
    name = f"tiny-{train}-{valid}-{test}-{classes}"
    return Corpus("toy", Vocabulary(words, unknown), *splits, data_sha256=name, warnings=())


def double_model(config: RunConfig, classes: int) -> TextModel:
    """Make a model in float64; its initial parameters are still drawn in float32."""
    return TextModel(config, classes).double()


def parameters(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copy the parameters to float64 leaves with gradients; a shared one appears under both names."""
    return {
        name: value.detach().double().clone().requires_grad_() for name, value in model.state_dict().items()
    }


def folder(place: Path | str, name: str = "run") -> RunFolder:
    """Open a run folder in a local study."""
    return RunFolder(open_store(place), name)
