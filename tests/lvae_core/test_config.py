"""Configs: allowed values of every field, and one-line errors for all others."""

import dataclasses
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from lvae_core.config import FIELD_TYPES, RunConfig, dataset_label, from_dict
from lvae_core.errors import InputError, check_name, plain_value
from lvae_core.evaluation.decoding import Decoding
from lvae_core.identity import canonical_json
from lvae_core.settings import apply_settings, fields_help, format_value, parse_value
from lvae_core.systems import recipe
from lvae_core.training.runtime import make_runtime

FIELDS = {f.name: f for f in dataclasses.fields(RunConfig)}
DATA = "d" * 64

# For every field a valid value other than its default.
OTHER: dict[str, Any] = {
    "dataset": "yahoo", "system": "another", "setting": "inputless", "seed": 1, "min_count": 2,
    "max_vocabulary": 100, "max_length": 100, "encoder": "none", "averaging": "hidden", "num_samples": 2,
    "embedding_size": 99, "hidden_size": 399, "latent_size": 31, "share_embeddings": True,
    "linear_bias": True, "init_scale": 0.2, "dropout": 0.4, "dropout_latent_input": True,
    "dropout_encoder": True, "word_dropout": 0.1, "kl_weight": 0.5, "kl_anneal_epochs": 5.0,
    "batch_size": 16, "batching": "shuffled", "learning_rate": 0.5, "max_grad_norm": 1.0, "lr_decay": 0.1,
    "decay_while_annealing": True, "patience": 4, "max_epochs": 10, "max_steps": 5, "valid_samples": 2,
    "iw_samples": 100, "mi_samples": 4, "mi_batch_size": 32, "eval_batch_size": 8, "eval_chunk_tokens": 100,
    "iw_exact_samples": 0,
    "precision": "bfloat16",
    "eval_precision": "bfloat16", "valid_precision": "bfloat16", "deterministic": False,
    "decoder": "cnn", "cnn_dilations": "1,2", "cnn_channels": 7, "cnn_external": 2048, "cnn_dropout": 0.3,
    "posterior": "von_mises_fisher", "vmf_kappa": 13.0, "objective": "importance_weighted",
    "kl_schedule": "cyclical", "kl_cycles": 2, "kl_start": 0.1, "kl_anneal_steps": 100,
    "free_bits": 3.0, "encoder_gradient": "reparameterised",
    "lr_schedule": "after_plateau", "lr_decay_from": 16, "lr_decay_interval": 3, "lr_smallest": 0.1,
    "lr_max_decays": 4, "reload_after": 3, "patience_rule": "in_a_row",
    "embedding_init_scale": 0.2, "mu_batch_norm": 0.6, "decoder_start": "c0_linear_h0_tanh",
    "step": "aggressive", "aggressive_mi": "mi", "aggressive_max_epochs": 2, "aggressive_clip": "separate",
    "optimiser": "adam", "adam_beta1": 0.5, "adam_beta2": 0.9, "adam_epsilon": 1e-6,
    "init_encoder_from": "lstm-lm", "valid_kl_weight": 0.0,
    "inference": "semi_amortised", "svi_steps": 10, "svi_step_size": 0.5, "svi_momentum": 0.0,
    "svi_max_sentence_norm": 2.0,
    "dropout_hidden_word": False, "separate_word_masks": True, "shared_state_masks": True,
    "dropout_before_average": True,
    "improvement_over": "previous", "tested_epoch": "last",
    "sa_clip": "none", "svi_max_grad_norm": 1.0,
}  # fmt: skip


def error_of(call, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message, "an input error is one line"
    return message


def test_every_field_has_help_and_another_value_to_test():
    assert fields_help().keys() == FIELDS.keys()
    several = {name for name in FIELDS if len(get_args(FIELD_TYPES[name])) != 1}  # or any number of values
    assert several == OTHER.keys()
    assert all(text and "\n" not in text for text in fields_help().values())
    for name, value in OTHER.items():
        assert value != getattr(RunConfig(), name), name


def test_a_config_is_restored_from_its_dictionary():
    config = RunConfig(averaging="hidden", num_samples=7, learning_rate=0.1, seed=10**18 - 1)
    assert from_dict(config.to_dict()) == config
    assert list(config.to_dict()) == list(FIELDS)
    assert from_dict({}) == RunConfig()


def test_a_config_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().seed = 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_samples": 0}, "num_samples = 0: must be at least 1"),
        ({"num_samples": -3}, "num_samples = -3: must be at least 1"),
        ({"seed": -1}, "seed = -1: must be 0 or more"),
        ({"seed": 10**18}, "below 10**18"),
        ({"dropout": 1.0}, "dropout = 1.0: must be in [0, 1)"),
        ({"dropout": -0.1}, "dropout = -0.1: must be in [0, 1)"),
        ({"word_dropout": 1.1}, "word_dropout = 1.1: must be in [0, 1]"),
        ({"lr_decay": 0.0}, "lr_decay = 0.0: must be in (0, 1]"),
        ({"lr_decay": 1.5}, "lr_decay = 1.5: must be in (0, 1]"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0: must be above 0"),
        ({"init_scale": -1.0}, "init_scale = -1.0: must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate = nan: must be finite"),
        ({"kl_weight": float("inf")}, "kl_weight = inf: must be finite"),
        ({"kl_weight": 10**400}, "must be finite"),
        ({"kl_weight": -0.5}, "kl_weight = -0.5: must be 0 or more"),
        ({"max_vocabulary": 1}, "max_vocabulary = 1: must be 0 (all) or at least 3"),
        ({"max_vocabulary": 2}, "max_vocabulary = 2: must be 0 (all) or at least 3"),
        ({"adam_epsilon": 1e-50}, "adam_epsilon = 1e-50: must be at least 1e-38"),
        ({"mu_batch_norm": 1e39}, "mu_batch_norm = 1e+39: must be at most 1e+30"),
        ({"mu_batch_norm": 0.6, "batch_size": 1}, "no variance; use a batch_size of at least 2"),
        ({"decoder": "cnn", "cnn_external": 8}, "cnn_external = 8: must be above embedding_size, "),
        ({"iw_samples": 1}, "iw_samples = 1: must be at least 2"),
        ({"mi_samples": 1}, "mi_samples = 1: must be at least 2"),
        ({"mi_samples": 100_000_000}, "mi_samples = 100000000: must be at most 10,000"),
        ({"iw_samples": 1_000_001}, "iw_samples = 1000001: must be at most 1,000,000"),
        ({"valid_samples": 10**8}, "valid_samples = 100000000: must be at most 100,000"),
        ({"num_samples": 10**8}, "num_samples = 100000000: must be at most 100,000"),
        ({"batch_size": 10**23}, "batch_size = 100000000000000000000000: must be at most 1,000,000,000"),
        ({"hidden_size": 10**10}, "hidden_size = 10000000000: must be at most 1,000,000,000"),
        ({"init_scale": 1e308}, "init_scale = 1e+308: must be at most 1e+30"),
        ({"kl_weight": 1e300}, "kl_weight = 1e+300: must be at most 1e+30"),
        ({"mi_batch_size": 1}, "mi_batch_size = 1: must be 0 or at least 2"),
        ({"max_epochs": 0}, "max_epochs = 0: must be at least 1"),
        ({"hidden_size": 2.5}, "hidden_size = 2.5: must be a whole number"),
        ({"hidden_size": 2.0}, "hidden_size = 2.0: must be a whole number"),
        ({"hidden_size": True}, "hidden_size = True: must be a whole number"),
        ({"learning_rate": True}, "learning_rate = True: must be a number"),
        ({"linear_bias": 1}, "linear_bias = 1: must be true or false"),
        ({"learning_rate": "1"}, "learning_rate = '1': must be a number"),
        ({"dataset": None}, "dataset = None: must be text"),
        ({"setting": "inputles"}, "unknown setting 'inputles': did you mean 'inputless'?"),
        ({"setting": None}, "unknown setting 'None': choose from standard, inputless"),
        ({"averaging": "hiden"}, "unknown averaging 'hiden': did you mean 'hidden'?"),
        ({"batching": "buckets"}, "unknown batching 'buckets': did you mean 'bucketed'?"),
        ({"encoder": "none"}, "both are 'none' (a language model) or neither is"),
        ({"averaging": "none"}, "both are 'none' (a language model) or neither is"),
        ({"encoder": "none", "averaging": "none"}, "num_samples = 1: must be 0 where encoder = 'none'"),
        ({"setting": "inputless", "word_dropout": 0.2}, "the decoder reads no word there"),
        ({"system": "lstm_vae"}, "system = 'lstm_vae': use letters, digits, '.' and '-' only"),
        ({"system": ""}, "system = ''"),
        ({"dataset": ""}, "dataset '': give a dataset's name or a folder's path"),
        ({"dataset": "/"}, "dataset '/': give a dataset's name or a folder's path"),
        ({"dataset": "a/b c"}, "dataset 'a/b c': rename the folder"),
        ({"dataset": "a__b"}, "dataset 'a__b': rename the folder"),
        ({"dataset": "b_"}, "dataset 'b_': rename the folder"),
        ({"dataset": "x/.hidden"}, "dataset 'x/.hidden': rename the folder"),
        ({"dataset": ".."}, "dataset '..': rename the folder"),
        ({"svi_steps": -1}, "svi_steps = -1: must be 0 or more"),
        ({"svi_step_size": 0.0}, "svi_step_size = 0.0: must be above 0"),
        ({"svi_step_size": -1.0}, "svi_step_size = -1.0: must be above 0"),
        ({"svi_momentum": 1.0}, "svi_momentum = 1.0: must be in [0, 1)"),
        ({"svi_max_sentence_norm": -1.0}, "svi_max_sentence_norm = -1.0: must be 0 or more"),
        ({"svi_max_grad_norm": 0.0}, "svi_max_grad_norm = 0.0: must be above 0"),
        ({"sa_clip": "released"}, "unknown sa_clip 'released': choose from consistent, per_sentence, none"),
        ({"inference": "semi_amortised", "precision": "auto"}, "use precision = 'float32'"),
        ({"inference": "semi_amortised", "precision": "bfloat16"}, "use precision = 'float32'"),
        ({"inference": "semi_amortised", "posterior": "von_mises_fisher"}, "use posterior = 'gaussian'"),
        ({"lerning_rate": 0.5}, "unknown config field 'lerning_rate': did you mean 'learning_rate'?"),
        ({"zzzz": 1}, f"unknown config field 'zzzz': the most similar of {len(FIELDS)} are "),
        ({"zzzz": 1}, "; `python -m lvae_core recipe lstm-vae` prints them all, docs/reference.md"),
    ],
)  # fmt: skip
def test_bad_values_give_one_line_with_field_and_range(changes, says):
    message = error_of(from_dict, changes)
    assert says in message


@pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if type(f.default) in (int, float)])
def test_no_numeric_field_accepts_a_negative_value(name):
    value = type(FIELDS[name].default)(-1)
    assert f"{name} = {value!r}: must be" in error_of(from_dict, {name: value})


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("learning_rate=0.25", "learning_rate", 0.25),
        ("learning_rate=2", "learning_rate", 2.0),
        ("learning_rate = 1e-3 ", "learning_rate", 1e-3),
        ("hidden_size=12", "hidden_size", 12),
        ("share_embeddings=True", "share_embeddings", True),
        ("share_embeddings=1", "share_embeddings", True),
        ("deterministic=false", "deterministic", False),
        ("setting=inputless", "setting", "inputless"),
        ("dataset=a=b/c", "dataset", "a=b/c"),
    ],
)
def test_settings_are_parsed_by_the_type_of_their_field(setting, name, value):
    changed = apply_settings(RunConfig(), [setting])
    assert getattr(changed, name) == value
    assert type(getattr(changed, name)) is type(value)
    assert dataclasses.replace(changed, **{name: getattr(RunConfig(), name)}) == RunConfig()


def test_a_setting_may_choose_the_part_that_reads_another():
    mine = RunConfig(system="mine")  # with a name that no other system has
    settings = ["inference=semi_amortised", "sa_clip=none", "kl_cycles=2", "kl_schedule=cyclical"]
    changed = apply_settings(mine, settings)
    assert (changed.inference, changed.sa_clip, changed.kl_cycles) == ("semi_amortised", "none", 2)
    message = error_of(apply_settings, mine, [*settings, "svi_max_grad_norm=1"])
    assert "has no svi_max_grad_norm; leave it out" in message
    assert "has no svi_steps; leave it out" in error_of(apply_settings, RunConfig(), ["svi_steps=5"])


def test_settings_that_need_each_other_are_applied_together():
    lm = apply_settings(RunConfig(system="mine"), ["encoder=none", "averaging=none", "num_samples=0"])
    assert (lm.encoder, lm.averaging, lm.num_samples) == ("none", "none", 0)
    message = error_of(apply_settings, RunConfig(), ["seed=1", "dropout=0.1", "seed=2"])
    assert message == "--set seed=2: seed is given twice; give it once"
    assert apply_settings(RunConfig(), []) == RunConfig()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("learning_rate", "--set learning_rate: write FIELD=VALUE"),
        ("lr=1", "unknown config field 'lr': did you mean 'learning_rate'?"),
        ("Grad-Clip=1", "unknown config field 'Grad-Clip': did you mean 'max_grad_norm'?"),
        ("beta=1", "unknown config field 'beta': did you mean 'kl_weight'?"),
        ("learningrate=1", "unknown config field 'learningrate': did you mean 'learning_rate'?"),
        ("hidden_size=2.5", "--set hidden_size=2.5: must be a whole number"),
        ("hidden_size=", "--set hidden_size=: must be a whole number"),
        ("dropout=half", "--set dropout=half: must be a number"),
        ("dropout=nan", "dropout = nan: must be"),
        ("adam_beta1=0.5", "--set adam_beta1: lstm-vae has no adam_beta1; leave it out, because it needs"),
        ("deterministic=maybe", "--set deterministic=maybe: must be true or false"),
        ("setting=inputles", "unknown setting 'inputles': did you mean 'inputless'?"),
        ("num_samples=0", "num_samples = 0: must be at least 1"),
        ("averaging=hidden", "turns lstm-vae into lstm-vae-avg, which tables would then call lstm-vae"),
    ],
)
def test_bad_settings_give_one_line(setting, says):
    assert says in error_of(apply_settings, RunConfig(), [setting])


def test_an_unknown_name_gets_the_nearest_name_or_all_names():
    names = ["lstm-vae", "lstm-lm", "cnn-vae"]
    check_name("lstm-vae", names, "system")
    assert error_of(check_name, "lstm-vea", names, "system") == (
        "unknown system 'lstm-vea': did you mean 'lstm-vae'?"
    )
    assert error_of(check_name, "qqq", names, "system") == (
        "unknown system 'qqq': choose from lstm-vae, lstm-lm, cnn-vae"
    )
    assert error_of(check_name, "LSTM-VAE", names, "system").endswith("did you mean 'lstm-vae'?")
    assert (
        error_of(check_name, ["lstm-vae"], ["a"], "system") == "unknown system ['lstm-vae']: choose from a"
    )


def test_of_many_names_the_three_most_similar_are_given():
    names = [f"field_{number}" for number in range(99)]
    assert error_of(check_name, "zz7", names, "key") == (
        "unknown key 'zz7': the most similar of 99 are field_7, field_97, field_87"
    )


@pytest.mark.parametrize(
    ("dataset", "label"),
    [("ptb", "ptb"), ("/a/b/my_texts.v2", "my_texts.v2"), ("a/b/", "b"), ("./a-1", "a-1")],
)
def test_the_label_of_a_dataset_is_the_last_part_of_its_path(dataset, label):
    assert dataset_label(dataset) == label


def test_zero_has_one_fingerprint_whatever_its_sign():
    numbers = [RunConfig(dropout=value) for value in (0, 0.0, -0.0)]
    assert len({canonical_json(config.to_dict()) for config in numbers}) == 1


def test_canonical_json_has_one_text_per_value():
    assert canonical_json({"b": 1.5, "a": [True, None, "é"]}) == '{"a":[true,null,"\\u00e9"],"b":1.5}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


@pytest.mark.parametrize(
    ("averaging", "num_samples", "draws", "group"),
    [("none", 0, 1, 1), ("loss", 1, 1, 1), ("loss", 5, 5, 1), ("hidden", 1, 1, 1), ("hidden", 5, 1, 5)],
)
def test_averaging_divides_samples_into_draws_and_groups(averaging, num_samples, draws, group):
    encoder = "none" if averaging == "none" else "lstm"
    config = RunConfig(encoder=encoder, averaging=averaging, num_samples=num_samples)
    assert (config.draws, config.group) == (draws, group)


def test_only_the_decoder_of_a_latent_variable_needs_room_for_it_beside_the_word():
    assert replace(recipe("cnn-lm"), cnn_external=8).cnn_external == 8


def test_batch_norm_that_no_run_reads_is_no_error():
    assert replace(recipe("lstm-lm"), mu_batch_norm=0.6, batch_size=1).batch_size == 1


@pytest.mark.parametrize(
    ("value", "plain"),
    [(np.float32(0.5), 0.5), (np.int64(3), 3), (np.bool_(True), True), (np.str_("toy"), "toy"), ("a", "a")],
)
def test_values_of_numpy_become_those_of_python(value, plain):
    found = plain_value(value)
    assert (found, type(found)) == (plain, type(plain))


def test_what_numpy_has_no_one_value_for_stays_as_it_is():
    assert plain_value(many := np.zeros(2)) is many


def test_numbers_of_numpy_are_numbers_to_every_function():
    assert Decoding(method="sample", temperature=np.float32(0.75)).temperature == 0.75
    assert make_runtime("cpu", 1, checkpoint_minutes=np.float32(0.5)).checkpoint_seconds == 30.0
    assert type(recipe("lstm-vae", dataset=np.str_("toy")).dataset) is str
    with pytest.raises(InputError, match="temperature = 'hot': must be a number"):
        Decoding(temperature="hot")


@pytest.mark.parametrize("name", FIELDS)
def test_a_formatted_value_is_parsed_as_the_same_value(name):
    values = [getattr(RunConfig(), name), OTHER.get(name, getattr(RunConfig(), name))]
    if FIELD_TYPES[name] is float:
        values += [0.0, 2.0, 0.1 + 0.2, 1 / 3, 1e-5, 123456.0, 1234567.0, 1e30, 1e-300]
    for value in values:
        parsed = parse_value(name, format_value(value))
        assert (parsed, type(parsed)) == (value, type(value))


def test_a_formatted_number_has_no_more_digits_than_it_needs():
    values = (2.0, 0.1 + 0.2, 1e-5, True, 3, "1,2,4")
    texts = ["2", "0.30000000000000004", "1e-05", "true", "3", "1,2,4"]
    assert list(map(format_value, values)) == texts
