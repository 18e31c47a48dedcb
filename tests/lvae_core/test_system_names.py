from __future__ import annotations

from dataclasses import replace

import pytest

from lvae_core.config import from_dict
from lvae_core.errors import InputError
from lvae_core.protocols import PROTOCOLS, with_protocol
from lvae_core.settings import apply_fields
from lvae_core.system_names import check_named_rightly, check_system, system_with
from lvae_core.systems import SYSTEMS, recipe


@pytest.mark.parametrize("setting", ["standard", "inputless"])
@pytest.mark.parametrize(
    ("system", "changes", "other"),
    [
        ("lstm-vae", {"averaging": "hidden"}, "lstm-vae-avg"),
        ("lstm-vae", {"averaging": "hidden", "free_bits": 4.0}, "lstm-vae-avg"),
        ("lstm-vae", {"posterior": "von_mises_fisher"}, "lstm-vmf-vae"),
        ("lstm-vae", {"posterior": "von_mises_fisher", "vmf_kappa": 50.0}, "lstm-vmf-vae"),
        ("lstm-vae", {"decoder": "cnn"}, "cnn-vae"),
        ("lstm-vae", {"decoder": "cnn", "init_encoder_from": "lstm-lm"}, "cnn-vae-init"),
        ("lstm-vae", {"inference": "semi_amortised"}, "sa-vae"),
        ("lstm-vae", {"objective": "importance_weighted"}, "lstm-iwae"),
        ("lstm-vae", {"step": "aggressive"}, "lstm-vae-ain"),
        ("lstm-vae", {"encoder": "none", "averaging": "none"}, "lstm-lm"),
        ("lstm-vae", {"free_bits": 8.0}, "lstm-vae-fb"),
        ("lstm-vae", {"free_bits": 8.0, "init_encoder_from": "autoencoder"}, "lstm-vae-ae-fb"),
        ("lstm-vae", {"kl_schedule": "cyclical"}, "lstm-vae-cyclical"),
        ("lstm-vae", {"kl_weight": 0.4}, "lstm-beta-vae"),
        ("lstm-vae-avg", {"averaging": "loss"}, "lstm-vae"),
        ("lstm-vae-fb", {"free_bits": 0.0}, "lstm-vae"),
        ("lstm-iwae", {"objective": "elbo"}, "lstm-vae"),
        ("lstm-lm", {"decoder": "cnn"}, "cnn-lm"),
        ("cnn-vae", {"decoder": "lstm"}, "lstm-vae"),
        ("cnn-vae-init", {"init_encoder_from": "none"}, "cnn-vae"),
    ],
)
def test_a_change_that_makes_a_system_another_is_refused_with_its_name(setting, system, changes, other):
    with pytest.raises(InputError) as caught:
        check_system(recipe(system, setting=setting), changes, "--systems ")
    assert f"turns {system} into {other}, " in str(caught.value)
    assert f"--systems {other} instead" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("system", "changes"),
    [
        ("lstm-vae", {"kl_weight": 0.5}),
        ("lstm-vae", {"free_bits": 4.0}),
        ("lstm-vae", {"optimiser": "adam", "learning_rate": 1e-3, "dropout": 0.1}),
        ("lstm-vae-avg", {"kl_weight": 0.4}),
        ("lstm-vae-avg", {"averaging": "hidden"}),
        ("lstm-vae-avg", {"posterior": "von_mises_fisher"}),
        ("lstm-lm", {"kl_weight": 0.4, "free_bits": 8.0, "kl_schedule": "cyclical"}),
        ("lstm-vmf-vae", {"vmf_kappa": 100.0}),
        ("cnn-vae", {"dropout": 0.5, "optimiser": "sgd"}),
    ],
)
def test_other_changes_make_a_variant(system, changes):
    check_system(recipe(system), changes)


@pytest.mark.parametrize("setting", ["standard", "inputless"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_no_recipe_is_taken_for_another_and_each_is_found_from_every_other(system, setting):
    own = recipe(system, setting=setting)
    check_system(own, {})
    check_system(own, own.to_dict())
    for name in SYSTEMS.keys() - {system}:
        other = recipe(name, setting=setting).to_dict()
        with pytest.raises(InputError, match=f"turns {system} into {name}, "):
            check_system(own, {field: value for field, value in other.items() if field != "system"})


def test_a_system_is_not_renamed():
    with pytest.raises(
        InputError, match=r"^system=lstm-vae-avg: only renames lstm-vae, .*; use the recipe of"
    ):
        check_system(recipe("lstm-vae"), {"system": "lstm-vae-avg"})
    check_system(recipe("lstm-vae"), {"system": "mine"})
    check_system(replace(recipe("lstm-vae"), system="mine"), {"averaging": "hidden"})


def test_changes_name_the_system_that_they_make():
    init = {"init_encoder_from": "none"}
    assert system_with(recipe("cnn-vae-init"), init) == "cnn-vae"
    assert system_with(replace(recipe("lstm-vae"), init_encoder_from="lstm-lm"), init) is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("setting", ["standard", "inputless"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_recipe_is_named_rightly_under_every_protocol(system, setting, protocol):
    check_named_rightly(with_protocol(recipe(system, setting=setting), protocol))


def test_a_config_that_is_another_system_than_it_is_called_is_found():
    wrong = replace(recipe("lstm-vae"), averaging="hidden")
    with pytest.raises(InputError, match=r"^averaging=hidden: turns lstm-vae into lstm-vae-avg, "):
        check_named_rightly(wrong)
    check_named_rightly(replace(wrong, system="mine"))


def test_a_stored_config_with_another_systems_fields_is_read_and_other_fields_of_it_change():
    stored = from_dict(replace(recipe("lstm-vae"), averaging="hidden").to_dict())
    assert stored.averaging == "hidden"
    assert apply_fields(stored, {"averaging": "hidden", "iw_samples": 9}).iw_samples == 9
    with pytest.raises(InputError, match="turns lstm-vae into sa-vae"):
        apply_fields(stored, {"inference": "semi_amortised"})
