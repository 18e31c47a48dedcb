from __future__ import annotations

import math
from dataclasses import replace

import optuna
import pytest

from lvae_core.config import FIELD_TYPES, RunConfig
from lvae_core.errors import InputError
from lvae_core.systems import recipe
from sweeps.trials.space import contains, largest, parse_space, searchable_fields, spec_of

BASE = recipe("lstm-vae", dataset="toy")


def test_each_form_of_range_is_parsed():
    space = parse_space(
        ["learning_rate=0.5..2:log", "dropout=0..0.5", "latent_size=2..8", "hidden_size=16,64",
         "linear_bias=true,false", "batching=bucketed,shuffled"],
        BASE,
    )  # fmt: skip
    drawn = [optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask(space).params]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn += [study.ask(space).params for _ in range(400)]
    rates = [point["learning_rate"] for point in drawn]
    assert 0.5 <= min(rates) < max(rates) <= 2
    # Evenly on a log scale: half of them below the geometric mean, 1, and not the mean, 1.25.
    assert 0.4 < sum(rate < 1 for rate in rates) / len(rates) < 0.6
    assert {point["latent_size"] for point in drawn} == set(range(2, 9))
    assert {point["hidden_size"] for point in drawn} == {16, 64}
    assert {point["linear_bias"] for point in drawn} == {True, False}
    assert {point["batching"] for point in drawn} == {"bucketed", "shuffled"}
    assert all(0 <= point["dropout"] <= 0.5 for point in drawn)
    # Every point is a config of the right types.
    for point in drawn:
        RunConfig(**{**BASE.to_dict(), **point})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dropout", "write FIELD=LOW..HIGH"),
        ("droput=0..1", "did you mean 'dropout'"),
        ("lr=0.1..1", "did you mean 'learning_rate'?"),
        ("adam_beta1=0.1,0.5", "leave it out, because it needs optimiser=adam"),
        ("dropout=0..1", "dropout = 1.0: must be in [0, 1)"),
        ("dropout=0.5..0.2", "0.5 is not below 0.2"),
        ("dropout=0.2..0.2", "0.2 is not below 0.2"),
        ("dropout=0..0.5:log", "a log scale needs a lower end above 0"),
        ("dropout=0.1..0.5:ln", "unknown scale 'ln'"),
        ("dropout=0.1..much", "dropout=much: must be a number"),
        ("dropout=..0.5", "dropout=: must be a number"),
        ("dropout=nan..0.5", "must be"),
        ("dropout=0.1...3", "write two dots"),
        ("dropout=0.1:..0.3", "write the scale after the range"),
        ("dropout=0.1:0.2..0.3", "write the scale after the range"),
        ("hidden_size=16..999999999", "is above 1000000"),
        ("learning_rate=0.1..inf", "must be finite"),
        ("hidden_size=16..64.5", "hidden_size=64.5: must be a whole number"),
        ("hidden_size=0..64", "hidden_size = 0: must be at least 1"),
        ("hidden_size=16", "at least two values"),
        ("hidden_size=16,16", "each once"),
        ("linear_bias=false..true", "linear_bias is not a number"),
        ("batching=bucketed,sorted", "unknown batching 'sorted'"),
        ("seed=0..5", "seed cannot be searched"),
        ("num_samples=1,5", "num_samples cannot be searched"),
        ("min_count=1..5", "min_count cannot be searched"),
        ("iw_samples=10..500", "iw_samples cannot be searched"),
        ("max_epochs=3..30", "max_epochs cannot be searched"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_it(text, message):
    with pytest.raises(InputError) as caught:
        parse_space([text], BASE)
    assert message in str(caught.value)
    assert f"--space {text}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_is_given_once():
    with pytest.raises(InputError, match=r"--space latent_size=8,16: latent_size is given twice"):
        parse_space(["latent_size=2,4", "dropout=0..0.5", "latent_size=8,16"], BASE)


def test_a_range_must_suit_the_rest_of_the_config():
    with pytest.raises(InputError, match="lstm-vae inputless has no word_dropout"):
        parse_space(["word_dropout=0..0.5"], recipe("lstm-vae", dataset="toy", setting="inputless"))
    with pytest.raises(InputError, match="at least one field"):
        parse_space([], BASE)


def test_spaces_are_compared_in_normal_form():
    def text(spec: str) -> str:
        (distribution,) = parse_space([spec], BASE).values()
        return spec_of(distribution)

    assert text("learning_rate=0.3..3:log") == text("learning_rate = 3e-1..3.0:log")
    assert text("learning_rate=0.3..3:log") != text("learning_rate=0.3..3")
    assert text("latent_size=2..8") != text("latent_size=2,8")
    assert text("linear_bias=true,false") == "true,false"


def test_a_point_lies_in_the_space_or_not():
    space = parse_space(["learning_rate=0.3..3:log", "latent_size=2,4"], BASE)
    assert contains(space, {"learning_rate": 0.3, "latent_size": 4})
    assert not contains(space, {"learning_rate": math.nextafter(0.3, 0), "latent_size": 4})
    assert not contains(space, {"learning_rate": 1.0, "latent_size": 3})


def test_a_search_varies_all_but_the_cell_the_parts_the_data_the_budget_and_the_evaluation():
    assert set(FIELD_TYPES) - set(searchable_fields()) == {
        *("dataset", "system", "setting", "num_samples", "averaging", "seed"),
        *("encoder", "posterior", "decoder", "inference", "objective", "step", "optimiser"),
        *("cnn_dilations", "min_count", "max_vocabulary", "max_length", "max_epochs", "max_steps"),
        *("init_encoder_from", "valid_kl_weight"),
        *("valid_samples", "valid_precision", "eval_batch_size", "eval_chunk_tokens", "eval_precision"),
        *("iw_samples", "iw_exact_samples", "mi_samples", "mi_batch_size", "tested_epoch", "deterministic"),
    }


def test_a_line_break_does_not_make_two_lines_of_an_error():
    with pytest.raises(InputError) as caught:
        parse_space(["dropout=0.1\n..x"], BASE)
    assert "\n" not in str(caught.value)


def test_the_largest_config_of_a_space():
    space = parse_space(["hidden_size=16..64", "latent_size=2,8,4", "dropout=0..0.5"], BASE)
    config = largest(space, BASE)
    assert (config.hidden_size, config.latent_size, config.dropout) == (64, 8, BASE.dropout)


def test_the_largest_config_has_the_largest_sizes_of_every_part():
    base = recipe("cnn-lm", dataset="toy")
    space = parse_space(["cnn_channels=8..512:log", "cnn_external=16,64,32", "batch_size=8..64"], base)
    assert largest(space, base) == replace(base, cnn_channels=512, cnn_external=64)
