"""Fingerprints of training and identities of evaluation: what they cover, and that they stay the same."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lvae_core import identity
from lvae_core.config import RunConfig, from_dict
from lvae_core.identity import evaluation_id, evaluation_values, fields_read, fingerprint
from lvae_core.run_folder.names import CellName
from lvae_core.settings import apply_where_read
from lvae_core.systems import recipe

from .test_config import DATA, OTHER

FIXTURES = Path(__file__).parents[1] / "fixtures"
GOLDEN: dict[str, str] = json.loads((FIXTURES / "golden_fingerprints_6.json").read_text())
"""Cell and seed -> fingerprint by numerics version 6, over data whose hash is all zeros."""

CELLS = {"lstm-lm": (1,), "lstm-vae": (1, 5, 10), "lstm-vae-avg": (5, 10)}
SEEDS = {"ptb": 5, "yahoo": 5, "pydocs": 1, "toy": 1}


def recipe_of_version_6(system: str, **arguments: Any) -> RunConfig:
    """The recipe as it was: since then PTB, Yahoo and folders have another stop rule."""
    return replace(recipe(system, **arguments), patience_rule="in_all")


def recipes_of_version_6() -> list[RunConfig]:
    return [
        recipe_of_version_6(system, dataset=dataset, setting=setting, num_samples=L, seed=seed)
        for dataset, seeds in SEEDS.items()
        for system, samples in CELLS.items()
        for L in samples
        for setting in ("standard", "inputless")
        for seed in range(seeds)
    ]


def test_the_golden_file_has_every_cell_of_the_paper_and_of_the_small_corpora():
    names = {f"{CellName.of(config)}__seed{config.seed}" for config in recipes_of_version_6()}
    assert names | {"folder"} == GOLDEN.keys()


@pytest.mark.parametrize("config", recipes_of_version_6(), ids=lambda c: f"{CellName.of(c)}__seed{c.seed}")
def test_fingerprints_of_recipes_are_the_golden_ones(config):
    assert fingerprint(config, "0" * 64) == GOLDEN[f"{CellName.of(config)}__seed{config.seed}"]


def test_the_fingerprint_of_a_folder_is_the_golden_one():
    config = replace(recipe_of_version_6("lstm-vae", dataset="/some/where/own"), dropout=0.3)
    assert fingerprint(config, "1" * 64) == GOLDEN["folder"]


EVALUATION = {
    *("tested_epoch", "iw_samples", "iw_exact_samples", "mi_samples", "mi_batch_size", "eval_precision"),
}
"""Fields that only the estimates read."""

LATENT = {
    *("latent_size", "share_embeddings", "dropout_latent_input", "dropout_encoder", "valid_samples"),
    *("kl_weight", "kl_anneal_epochs", "kl_anneal_steps", "kl_start", "decay_while_annealing"),
}
"""Fields of training that mean nothing to a language model."""

PARTS = {
    "adam_beta1": {"optimiser": "adam"},
    "adam_beta2": {"optimiser": "adam"},
    "adam_epsilon": {"optimiser": "adam"},
    "dropout_hidden_word": {"setting": "inputless"},
    "dropout_before_average": {"averaging": "hidden", "num_samples": 2},
    "separate_word_masks": {"num_samples": 2},
    "shared_state_masks": {"num_samples": 2},
    "cnn_dilations": {"decoder": "cnn"},
    "cnn_channels": {"decoder": "cnn"},
    "cnn_external": {"decoder": "cnn"},
    "cnn_dropout": {"decoder": "cnn"},
    "vmf_kappa": {"posterior": "von_mises_fisher"},
    "kl_cycles": {"kl_schedule": "cyclical"},
    "encoder_gradient": {"objective": "importance_weighted"},
    "aggressive_mi": {"step": "aggressive"},
    "aggressive_clip": {"step": "aggressive"},
    "aggressive_max_epochs": {"step": "aggressive"},
    "lr_decay_from": {"lr_schedule": "after_plateau"},
    "lr_decay_interval": {"lr_schedule": "every"},
    "lr_smallest": {"lr_schedule": "after_plateau"},
    "lr_max_decays": {"lr_schedule": "reload_best"},
    "reload_after": {"lr_schedule": "reload_best"},
    "svi_steps": {"inference": "semi_amortised"},
    "svi_step_size": {"inference": "semi_amortised"},
    "svi_momentum": {"inference": "semi_amortised"},
    "svi_max_sentence_norm": {"inference": "semi_amortised"},
    "sa_clip": {"inference": "semi_amortised"},
    "svi_max_grad_norm": {"inference": "semi_amortised"},
}
"""Field -> the choice without which nothing reads it."""
LSTM_LM = recipe("lstm-lm")
AVG = recipe("lstm-vae-avg", num_samples=5)
INPUTLESS = recipe("lstm-vae", setting="inputless")


@pytest.mark.parametrize(
    "name", sorted(OTHER.keys() - EVALUATION - PARTS.keys() - {"encoder", "averaging"})
)
def test_every_field_that_training_reads_is_in_the_fingerprint(name):
    changed = RunConfig(**{name: OTHER[name]})
    assert fingerprint(changed, DATA) != fingerprint(RunConfig(), DATA)


@pytest.mark.parametrize("name", sorted(PARTS))
def test_fields_of_a_part_count_when_the_part_is_chosen(name):
    chosen = RunConfig(**PARTS[name])
    assert fingerprint(replace(chosen, **{name: OTHER[name]}), DATA) != fingerprint(chosen, DATA)
    assert fingerprint(RunConfig(**{name: OTHER[name]}), DATA) == fingerprint(RunConfig(), DATA)


@pytest.mark.parametrize("name", sorted(EVALUATION))
def test_fields_of_evaluation_are_in_its_identity_and_not_in_the_fingerprint(name):
    changed = RunConfig(**{name: OTHER[name]})
    assert fingerprint(changed, DATA) == fingerprint(RunConfig(), DATA)
    assert evaluation_id(changed) != evaluation_id(RunConfig())


@pytest.mark.parametrize("name", sorted(LATENT | EVALUATION - {"eval_precision", "tested_epoch"}))
def test_a_language_model_does_not_read_fields_of_the_latent_variable(name):
    changed = replace(LSTM_LM, **{name: OTHER[name]})
    assert fingerprint(changed, DATA) == fingerprint(LSTM_LM, DATA)
    assert evaluation_id(changed) == evaluation_id(LSTM_LM)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        *((replace(AVG, dropout=0.0), name) for name in ("dropout_before_average", "shared_state_masks")),
        (replace(AVG, dropout=0.0), "separate_word_masks"),
        (replace(INPUTLESS, dropout=0.0), "dropout_hidden_word"),
        (AVG, "shared_state_masks"),  # the average of the states has one mask in any case
    ],
)
def test_masks_that_make_no_difference_are_not_read(config, name):
    changed = replace(config, **{name: OTHER[name]})
    assert fingerprint(changed, DATA) == fingerprint(config, DATA)


def test_the_states_of_an_average_have_masks_if_they_are_dropped_out_before_it():
    before = replace(AVG, dropout_before_average=True)
    assert fingerprint(before, DATA) != fingerprint(AVG, DATA)
    assert fingerprint(replace(before, shared_state_masks=True), DATA) != fingerprint(before, DATA)


def test_only_a_gaussian_posterior_has_a_mean_to_normalise():
    for config in (LSTM_LM, recipe("lstm-vmf-vae")):
        assert fingerprint(replace(config, mu_batch_norm=0.6), DATA) == fingerprint(config, DATA)


def test_only_an_lstm_decoder_with_a_latent_variable_has_a_start_to_choose():
    for config in (LSTM_LM, recipe("cnn-vae")):
        changed = replace(config, decoder_start="c0_linear_h0_tanh")
        assert fingerprint(changed, DATA) == fingerprint(config, DATA)


def test_an_inputless_decoder_reads_no_word_vectors():
    assert fields_read(INPUTLESS, "training").isdisjoint({"share_embeddings", "word_dropout"})
    shared = replace(INPUTLESS, share_embeddings=True)
    assert fingerprint(shared, DATA) == fingerprint(INPUTLESS, DATA)


def test_an_evaluation_does_not_depend_on_how_the_run_was_trained():
    others = [replace(RunConfig(), seed=3), replace(RunConfig(), learning_rate=0.5, latent_size=7)]
    assert {evaluation_id(other) for other in others} == {evaluation_id(RunConfig())}
    assert set(evaluation_values(RunConfig())) == EVALUATION | {
        "eval_batch_size", "eval_chunk_tokens", "deterministic",
    }  # fmt: skip


def test_a_field_of_evaluation_that_came_later_changes_no_identity_at_its_default():
    # Written before there was mi_batch_size.
    golden = "b6c6e7b56ec45c6906db6d3315dbc2eed66b872d9b3882e09888f2cc13445855"
    assert evaluation_id(RunConfig()) == golden
    assert evaluation_values(RunConfig())["mi_batch_size"] == 0


def test_a_new_version_of_the_estimates_changes_only_the_evaluation(monkeypatch):
    before = fingerprint(RunConfig(), DATA), evaluation_id(RunConfig())
    monkeypatch.setattr(identity, "EVALUATION_VERSION", identity.EVALUATION_VERSION + 1)
    assert fingerprint(RunConfig(), DATA) == before[0]
    assert evaluation_id(RunConfig()) != before[1]


def test_validation_with_more_draws_than_are_scored_in_full_depends_on_their_number():
    many = RunConfig(valid_samples=50)
    assert fingerprint(replace(many, iw_exact_samples=0), DATA) != fingerprint(many, DATA)
    few = RunConfig(valid_samples=6)
    assert fingerprint(replace(few, iw_exact_samples=0), DATA) == fingerprint(few, DATA)


def test_a_config_from_before_validation_had_a_precision_keeps_its_fingerprint():
    values = RunConfig(eval_precision="bfloat16").to_dict()
    del values["valid_precision"]
    old = from_dict(values)
    assert (old.valid_precision, old.eval_precision) == ("bfloat16", "bfloat16")
    assert fingerprint(old, DATA) != fingerprint(RunConfig(), DATA)
    assert fingerprint(replace(old, eval_precision="float32"), DATA) == fingerprint(old, DATA)


def test_a_version_of_a_part_renames_only_the_runs_that_have_it(monkeypatch):
    adam = RunConfig(optimiser="adam")
    before = fingerprint(RunConfig(), DATA), fingerprint(adam, DATA)
    monkeypatch.setitem(identity.PART_VERSIONS, ("optimiser", "adam"), 2)
    assert fingerprint(RunConfig(), DATA) == before[0]
    assert fingerprint(adam, DATA) != before[1]


def test_settings_that_a_system_does_not_read_leave_its_config_alone():
    changed, ignored = apply_where_read(LSTM_LM, {"latent_size": 7, "dropout": 0.2})
    assert (changed, ignored) == (replace(LSTM_LM, dropout=0.2), ["latent_size"])
    changed, ignored = apply_where_read(RunConfig(), {"optimiser": "adam", "adam_beta1": 0.5})
    assert (changed.adam_beta1, ignored) == (0.5, [])


def test_changes_that_are_valid_together_are_applied_in_any_order():
    together = {
        "lr_smallest": 0.0001,  # 0.03, its default, is above the learning rate
        "lr_schedule": "after_plateau",
        "learning_rate": 0.001,
        "optimiser": "adam",
    }
    changed, ignored = apply_where_read(RunConfig(), together)
    assert (changed, ignored) == (RunConfig(**together), [])


def test_fields_that_are_not_marked_as_added_are_those_of_version_6():
    added = {f.name for f in dataclasses.fields(RunConfig) if f.metadata["added"]}
    study = FIXTURES / "study_of_version_6"
    fields = {
        name for path in study.glob("*/config.json") for name in json.loads(path.read_text())["config"]
    }
    assert set(RunConfig().to_dict()) - added == fields


def test_the_fingerprint_covers_the_data_and_the_numerics_version(monkeypatch):
    base = fingerprint(RunConfig(), DATA)
    assert fingerprint(RunConfig(), "e" * 64) != base
    monkeypatch.setattr(identity, "NUMERICS_VERSION", identity.NUMERICS_VERSION + 1)
    assert fingerprint(RunConfig(), DATA) != base


def test_the_fingerprint_ignores_field_order_number_format_and_path():
    base = RunConfig(dataset="corpora", learning_rate=2.0)
    values = base.to_dict()
    backwards = from_dict(dict(reversed(values.items())))
    whole = from_dict(values | {"learning_rate": 2})
    elsewhere = from_dict(values | {"dataset": "/somewhere/else/corpora"})
    slash = from_dict(values | {"dataset": "other/corpora/"})
    through_json = from_dict(json.loads(json.dumps(values)))
    for other in (backwards, whole, elsewhere, slash, through_json):
        assert fingerprint(other, DATA) == fingerprint(base, DATA)
    assert whole == base
    assert type(whole.learning_rate) is float
    assert fingerprint(from_dict(values | {"dataset": "/somewhere/else/corpus"}), DATA) != fingerprint(
        base, DATA
    )
