"""Systems of the paper's tables as recipes: functions that return a complete config.

A variant calls another recipe and changes what differs; nothing here is consulted once a config exists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lvae_core.config import RunConfig, dataset_label
from lvae_core.errors import InputError, check_name, check_type, whole_number
from lvae_core.fields.choices import Setting

Recipe = Callable[[RunConfig], RunConfig]

# Kruengkrai (2019) §5 for PTB and Yahoo. Yahoo's documents are cut at 200 words by their authors. Three
# epochs without improvement end training if they come in a row: counted in all, LSTM-LM stops on PTB 4%
# and 2% above the validation perplexity that it reaches (seeds 0 and 1, results/README.md).
# The three small corpora have sizes that a laptop trains in a minute.
_PAPER: dict[str, Any] = {"latent_size": 32, "patience_rule": "in_a_row"}
_DATASETS: dict[str, dict[str, Any]] = {
    "ptb": {"embedding_size": 100, "hidden_size": 400, **_PAPER},
    "yahoo": {"embedding_size": 512, "hidden_size": 1024, **_PAPER},
    "pydocs": {"embedding_size": 64, "hidden_size": 128, "latent_size": 16, "min_count": 2},
    "toy": {"embedding_size": 8, "hidden_size": 16, "latent_size": 2},
    "topics": {
        **{"embedding_size": 8, "hidden_size": 32, "latent_size": 4, "dropout": 0.0},
        **{"kl_anneal_epochs": 15.0, "max_epochs": 20},
    },
}


def lstm_lm(base: RunConfig) -> RunConfig:
    """The decoder without z: an LSTM language model, its likelihood exact."""
    return replace(base, system="lstm-lm", encoder="none", averaging="none", num_samples=0)


def lstm_vae(base: RunConfig) -> RunConfig:
    """Bowman et al. (2016) with L samples per gradient step and averaged log-likelihoods (Eq. 3)."""
    return replace(base, system="lstm-vae", encoder="lstm", averaging="loss")


def lstm_vae_avg(base: RunConfig) -> RunConfig:
    """Kruengkrai (2019): the hidden states of L decoders averaged before one softmax (Eq. 7)."""
    return replace(lstm_vae(base), system="lstm-vae-avg", averaging="hidden")


def lstm_vmf_vae(base: RunConfig) -> RunConfig:
    """Xu & Durrett (2018): a von Mises-Fisher posterior, under the protocol of Kruengkrai (2019).

    κ is constant, and so is the KL: at Z = 32, 5.8 nats (κ = 25) in the standard and 18.6 (κ = 85) in the
    inputless setting, close to the KLs of their table. The choice is ours; theirs is not documented.
    """
    kappa = 85.0 if base.setting == "inputless" else 25.0
    return replace(lstm_vae(base), system="lstm-vmf-vae", posterior="von_mises_fisher", vmf_kappa=kappa)


def sa_vae(base: RunConfig) -> RunConfig:
    """Kim et al. (2018): K = 20 gradient steps from the encoder's posterior, differentiated through.

    The protocol is that of Kruengkrai (2019), so that it differs from LSTM-VAE in the inference alone. Each
    of the K steps takes one draw; the L samples come from the posterior after the last step. Their code
    clips gradients by λ, and each product of the reverse pass, of a batch at 5. Here each sentence is
    clipped by itself, or where a batch is clipped for a few sentences the others learn nothing; and the K
    products by θ are together at most 5 long, as the whole gradient is, or their noise drives the weights.
    """
    return replace(
        lstm_vae(base),
        system="sa-vae",
        inference="semi_amortised",
        svi_max_sentence_norm=5.0,
        sa_clip="per_sentence",
        svi_max_grad_norm=0.25,
    )


def lstm_iwae(base: RunConfig) -> RunConfig:
    """The importance-weighted bound of L samples: as costly as averaging, but a valid bound."""
    return replace(lstm_vae(base), system="lstm-iwae", objective="importance_weighted")


def lstm_vae_ain(base: RunConfig) -> RunConfig:
    """He et al. (2019): aggressive training of the encoder, under the protocol of Kruengkrai (2019)."""
    return replace(lstm_vae(base), system="lstm-vae-ain", step="aggressive")


def cnn_lm(base: RunConfig) -> RunConfig:
    """Yang et al. (2017): the dilated CNN decoder alone. Adam and dropout are theirs."""
    return replace(_with_cnn(lstm_lm(base)), system="cnn-lm")


def cnn_vae(base: RunConfig) -> RunConfig:
    """Yang et al. (2017): LSTM encoder and dilated CNN decoder, without their initialisation."""
    return replace(_with_cnn(lstm_vae(base)), system="cnn-vae")


def cnn_vae_init(base: RunConfig) -> RunConfig:
    """Yang et al. (2017), "+ init": CNN-VAE whose encoder starts from a trained LSTM-LM."""
    return replace(cnn_vae(base), system="cnn-vae-init", init_encoder_from="lstm-lm")


def lstm_vae_fb(base: RunConfig) -> RunConfig:
    """Kingma et al. (2016): LSTM-VAE with free bits, 8 nats as in Li et al. (2019)."""
    return replace(lstm_vae(base), system="lstm-vae-fb", free_bits=8.0)


def lstm_vae_ae_fb(base: RunConfig) -> RunConfig:
    """Li et al. (2019): free bits, and an encoder that starts from a trained autoencoder's."""
    return replace(lstm_vae_fb(base), system="lstm-vae-ae-fb", init_encoder_from="autoencoder")


def lstm_vae_cyclical(base: RunConfig) -> RunConfig:
    """Fu et al. (2019): LSTM-VAE with β rising again in each of four cycles."""
    return replace(lstm_vae(base), system="lstm-vae-cyclical", kl_schedule="cyclical")


def lstm_beta_vae(base: RunConfig) -> RunConfig:
    """Higgins et al. (2017): LSTM-VAE with β = 0.4 after annealing.

    In He et al. (2019) it is the largest of four weights at which z stays in use on Yahoo.
    """
    return replace(lstm_vae(base), system="lstm-beta-vae", kl_weight=0.4)


def _with_cnn(base: RunConfig) -> RunConfig:
    """The LCNN of Yang et al. for Yahoo's sizes (D 512, C 512, E 1024), smaller in proportion to D."""
    D = base.embedding_size
    return replace(
        base,
        decoder="cnn",
        cnn_channels=D,
        cnn_external=2 * D,
        dropout=0.1,
        optimiser="adam",
        learning_rate=1e-3,
        adam_beta1=0.5,
    )


SYSTEMS: dict[str, Recipe] = {
    "lstm-lm": lstm_lm,
    "lstm-vae": lstm_vae,
    "lstm-vae-avg": lstm_vae_avg,
    "lstm-vmf-vae": lstm_vmf_vae,
    "cnn-lm": cnn_lm,
    "cnn-vae": cnn_vae,
    "cnn-vae-init": cnn_vae_init,
    "sa-vae": sa_vae,
    "lstm-vae-ain": lstm_vae_ain,
    "lstm-iwae": lstm_iwae,
    "lstm-vae-fb": lstm_vae_fb,
    "lstm-vae-ae-fb": lstm_vae_ae_fb,
    "lstm-vae-cyclical": lstm_vae_cyclical,
    "lstm-beta-vae": lstm_beta_vae,
}
"""Every system by its name, in the order of the paper's tables, then the others."""

BASELINES: dict[str, tuple[str, ...]] = {
    "lstm-lm": (),
    "lstm-vae": ("lstm-lm",),
    "cnn-lm": (),
    "cnn-vae": ("cnn-lm", "lstm-vae"),
    "cnn-vae-init": ("cnn-lm", "cnn-vae"),
    "lstm-vae-ae-fb": ("lstm-lm", "lstm-vae-fb"),
}
"""System -> the systems it is compared with: its language model first, then the model that it extends. A
system that is not listed is compared with LSTM-LM and LSTM-VAE."""


def baselines_of(system: str) -> tuple[str, ...]:
    """The systems to compare ``system`` with; see BASELINES."""
    return BASELINES.get(system, ("lstm-lm", "lstm-vae"))


def language_model_of(system: str) -> str:
    """The language model that ``system`` must beat to show a gain; a language model is its own."""
    return next(iter(baselines_of(system)), system)


def has_own_sizes(dataset: str) -> bool:
    """Whether recipes have sizes for a dataset, as for all that come with the package."""
    return dataset_label(dataset) in _DATASETS


def recipe(
    system: str,
    *,
    dataset: str = "ptb",
    setting: Setting = "standard",
    num_samples: int = 1,
    seed: int = 0,
) -> RunConfig:
    """The complete config of one run of a system.

    A folder given as dataset gets PTB's sizes. A language model ignores ``num_samples`` (L). No data are
    read: :func:`lvae_core.data.new_run.recipe` also chooses the ``min_count`` that a folder's text needs.

    Raises:
        InputError: an unknown system or setting (with the nearest valid name), L < 1, a negative seed, or a
            value of another type.
    """
    check_name(system, SYSTEMS, "system")
    check_type("dataset", dataset, str, "a dataset's name or a folder's path")
    dataset = str(dataset)  # NumPy's strings are other ones
    num_samples = whole_number("num_samples", num_samples, "a whole number (the L of the paper)")
    seed = whole_number("seed", seed)
    if num_samples < 1:
        raise InputError(f"num_samples = {num_samples}: must be at least 1 (the L of the paper)")
    sizes = _DATASETS.get(dataset_label(dataset), _DATASETS["ptb"])
    base = RunConfig(dataset=dataset, setting=setting, num_samples=num_samples, seed=seed, **sizes)
    return SYSTEMS[system](base)
