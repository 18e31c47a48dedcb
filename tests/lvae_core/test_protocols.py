"""Protocols: what the authors of other systems did, typed from their papers and code."""

import dataclasses
import math

import pytest

from lvae_core.config import RunConfig
from lvae_core.identity import fields_read
from lvae_core.protocols import ORIGINALS, PROTOCOLS, with_protocol
from lvae_core.systems import SYSTEMS, recipe

from . import tiny
from .training.runs import run

PARTS = ("system", "setting", "encoder", "posterior", "decoder", "inference", "averaging", "num_samples")
PARTS += ("objective", "step", "init_encoder_from", "embedding_size", "hidden_size", "seed")


def both(system: str, **arguments) -> tuple[RunConfig, RunConfig]:
    matched = recipe(system, **arguments)
    assert with_protocol(matched, "matched") == matched
    return matched, with_protocol(matched, "original")


@pytest.mark.parametrize("setting", ["standard", "inputless"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_an_original_differs_in_fields_that_the_system_reads_and_in_no_part(system, setting):
    matched, original = both(system, dataset="pydocs", setting=setting, num_samples=2, seed=3)
    changed = {name for name, value in original.to_dict().items() if getattr(matched, name) != value}
    assert (system in ORIGINALS) == bool(changed)
    assert changed <= fields_read(original, "training")
    assert changed.isdisjoint(PARTS)


def values(config: RunConfig, *names: str) -> tuple[object, ...]:
    return tuple(getattr(config, name) for name in names)


def test_xu_and_durrett():
    standard = both("lstm-vmf-vae")[1]
    inputless = both("lstm-vmf-vae", setting="inputless")[1]
    assert values(standard, "latent_size", "vmf_kappa") == (25, 25.0)
    assert values(inputless, "latent_size", "vmf_kappa") == (50, 80.0)
    names = ("batch_size", "learning_rate", "max_grad_norm", "patience", "patience_rule", "max_epochs")
    assert values(standard, *names) == (20, 10.0, 0.25, 15, "in_a_row", 100)
    assert math.isclose(standard.lr_decay * 1.2, 1)
    assert values(standard, "embedding_size", "hidden_size") == (100, 400)
    assert values(standard, "share_embeddings", "linear_bias", "dropout_encoder") == (True, True, True)
    assert standard.init_scale == 0.05  # 1/sqrt(400)
    assert (standard.dropout_hidden_word, inputless.dropout_hidden_word) == (True, False)


@pytest.mark.parametrize("system", ["cnn-lm", "cnn-vae", "cnn-vae-init"])
def test_yang_et_al(system):
    config = both(system, dataset="yahoo")[1]
    names = ("optimiser", "learning_rate", "adam_beta1", "batch_size", "max_epochs")
    assert values(config, *names) == ("adam", 1e-3, 0.5, 32, 40)
    names = ("lr_schedule", "lr_decay_from", "lr_decay_interval", "lr_decay")
    assert values(config, *names) == ("every", 30, 2, 0.5)
    if system != "cnn-lm":
        assert values(config, "kl_start", "kl_anneal_steps", "kl_weight") == (0.01, 40_000, 1.0)


@pytest.mark.parametrize("dataset", ["topics", "toy", "ptb"])
def test_a_protocol_has_its_lengths_on_every_dataset(dataset):
    assert both("sa-vae", dataset=dataset)[1].max_epochs == 30
    for system in ("lstm-vae-ain", "lstm-vae-fb", "lstm-vae-ae-fb"):
        assert values(both(system, dataset=dataset)[1], "kl_anneal_epochs", "max_epochs") == (10.0, 100)


def test_kim_et_al():
    config = both("sa-vae", dataset="yahoo")[1]
    names = ("lr_schedule", "lr_decay_from", "lr_smallest", "lr_decay", "learning_rate", "max_epochs")
    assert values(config, *names) == ("after_plateau", 15, 0.03, 0.5, 1.0, 30)
    assert values(config, "kl_start", "kl_anneal_epochs", "batching") == (0.1, 9.0, "equal_length")
    assert values(config, "svi_steps", "svi_step_size", "svi_momentum") == (20, 1.0, 0.5)
    assert values(config, "linear_bias", "init_scale", "dropout") == (True, 0.1, 0.5)


def test_he_et_al():
    config = both("lstm-vae-ain", dataset="yahoo")[1]
    names = ("lr_schedule", "lr_decay_from", "reload_after", "lr_max_decays", "lr_decay", "max_epochs")
    assert values(config, *names) == ("reload_best", 16, 2, 5, 0.5, 100)
    names = ("init_scale", "embedding_init_scale", "decoder_start", "linear_bias")
    assert values(config, *names) == (0.01, 0.1, "c0_linear_h0_tanh", False)
    assert values(config, "kl_start", "kl_anneal_epochs", "batching") == (0.1, 10.0, "equal_length")
    assert values(config, "learning_rate", "max_grad_norm", "aggressive_mi") == (1.0, 5.0, "mi_batch32")


def test_li_et_al():
    config = both("lstm-vae-ae-fb", dataset="yahoo")[1]
    assert values(config, "free_bits", "kl_start", "kl_anneal_epochs") == (8.0, 0.0, 10.0)
    assert values(config, "learning_rate", "reload_after", "lr_schedule") == (0.5, 5, "reload_best")
    assert values(config, "init_scale", "decoder_start") == (0.01, "c0_linear_h0_tanh")


def test_fu_et_al():
    config = both("lstm-vae-cyclical")[1]
    names = ("optimiser", "learning_rate", "adam_beta1", "adam_beta2", "max_grad_norm", "max_epochs")
    assert values(config, *names) == ("adam", 1e-3, 0.9, 0.999, 5.0, 40)
    # 10 epochs a cycle, beta up to 1 in the first 5 of them.
    assert values(config, "kl_schedule", "kl_cycles", "kl_start", "kl_weight") == ("cyclical", 4, 0.1, 1.0)
    assert values(config, "dropout", "init_scale", "batching") == (0.5, 0.1, "equal_length")
    assert config.lr_decay_from > config.max_epochs


@pytest.mark.parametrize("system", sorted(set(ORIGINALS) - {"cnn-vae-init", "lstm-vae-ae-fb"}))
def test_an_original_trains(system, tmp_path):
    original = both(system, dataset="toy")[1]
    small = {"max_epochs": 2, "batch_size": 4, "iw_samples": 4, "mi_samples": 2, "cnn_dilations": "1,2"}
    small |= {"svi_steps": 2, "hidden_size": 5, "latent_size": 2}
    done = run(dataclasses.replace(original, **small), tiny.folder(tmp_path))
    assert done[-1].phase == "done"


def test_there_are_two_protocols():
    assert PROTOCOLS == ("matched", "original")
