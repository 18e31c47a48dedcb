"""Recipes: the sizes and protocol of Kruengkrai (2019), Section 5, typed from the paper."""

import dataclasses
from dataclasses import replace

import pytest

from lvae_core.errors import InputError
from lvae_core.systems import BASELINES, SYSTEMS, baselines_of, language_model_of, recipe

PAPER = {
    "dropout": 0.5,
    "init_scale": 0.1,
    "kl_weight": 1.0,
    "kl_anneal_epochs": 10.0,
    "batch_size": 32,
    "learning_rate": 1.0,
    "max_grad_norm": 5.0,
    "lr_decay": 0.5,
    "patience": 3,
    "max_epochs": 30,
    "iw_samples": 500,
    "word_dropout": 0.0,
}
SIZES = {"ptb": (100, 400, 32), "yahoo": (512, 1024, 32)}


@pytest.mark.parametrize("dataset", SIZES)
@pytest.mark.parametrize("system", ["lstm-lm", "lstm-vae", "lstm-vae-avg"])
def test_defaults_are_the_papers(dataset, system):
    config = recipe(system, dataset=dataset)
    assert {name: getattr(config, name) for name in PAPER} == PAPER
    assert (config.embedding_size, config.hidden_size, config.latent_size) == SIZES[dataset]


def test_the_steps_of_sa_vae_are_those_of_kim_et_al():
    config = recipe("sa-vae")
    assert (config.svi_steps, config.svi_step_size, config.svi_momentum) == (20, 1.0, 0.5)
    assert config.svi_steps * config.svi_max_grad_norm == config.svi_max_sentence_norm == 5.0


def test_systems_differ_in_what_their_names_say():
    def what(system: str) -> tuple[str, str, int]:
        config = recipe(system, num_samples=5)
        assert config.system == system
        return config.encoder, config.averaging, config.num_samples

    assert what("lstm-lm") == ("none", "none", 0)
    assert what("lstm-vae") == ("lstm", "loss", 5)
    assert what("lstm-vae-avg") == ("lstm", "hidden", 5)
    assert what("lstm-vmf-vae") == what("lstm-iwae") == ("lstm", "loss", 5)
    kappas = [recipe("lstm-vmf-vae", setting=s).vmf_kappa for s in ("standard", "inputless")]
    assert kappas == [25.0, 85.0]
    assert recipe("lstm-vmf-vae").posterior == "von_mises_fisher"
    assert recipe("lstm-iwae").objective == "importance_weighted"
    assert (what("cnn-lm"), what("cnn-vae")) == (("none", "none", 0), ("lstm", "loss", 5))
    assert recipe("cnn-lm").decoder == recipe("cnn-vae").decoder == "cnn"
    assert what("lstm-vae-ain") == ("lstm", "loss", 5)
    assert recipe("lstm-vae-ain").step == "aggressive"
    init, ae = recipe("cnn-vae-init"), recipe("lstm-vae-ae-fb")
    assert init == replace(recipe("cnn-vae"), system="cnn-vae-init", init_encoder_from="lstm-lm")
    assert (ae.init_encoder_from, ae.free_bits, ae.kl_anneal_epochs) == ("autoencoder", 8.0, 10.0)
    assert recipe("lstm-vae-fb") == replace(ae, system="lstm-vae-fb", init_encoder_from="none")
    assert recipe("lstm-vae-cyclical").kl_schedule == "cyclical"
    assert recipe("lstm-beta-vae").kl_weight == 0.4
    clipping = {"svi_max_sentence_norm": 5.0, "sa_clip": "per_sentence", "svi_max_grad_norm": 0.25}
    sa = replace(recipe("lstm-vae"), system="sa-vae", inference="semi_amortised", **clipping)
    assert recipe("sa-vae") == sa
    paper = {"lstm-lm", "lstm-vae", "lstm-vae-avg", "lstm-vmf-vae", "sa-vae", "lstm-vae-ain"}
    paper |= {"cnn-lm", "cnn-vae", "cnn-vae-init"}
    others = {"lstm-iwae", "lstm-vae-fb", "lstm-vae-ae-fb", "lstm-vae-cyclical", "lstm-beta-vae"}
    assert set(SYSTEMS) == paper | others


@pytest.mark.parametrize("system", SYSTEMS)
def test_arguments_reach_the_config(system):
    config = recipe(system, dataset="pydocs", setting="inputless", num_samples=3, seed=8)
    assert (config.dataset, config.setting, config.seed) == ("pydocs", "inputless", 8)
    other = recipe(system, dataset="pydocs", setting="inputless", num_samples=3, seed=9)
    assert dataclasses.replace(other, seed=8) == config


def test_a_folder_gets_the_sizes_of_ptb_or_of_the_dataset_it_is_named_for():
    folder, named = recipe("lstm-vae", dataset="some/texts"), recipe("lstm-vae", dataset="my/yahoo")
    assert (folder.embedding_size, folder.hidden_size, folder.latent_size) == SIZES["ptb"]
    assert (named.embedding_size, named.hidden_size, named.latent_size) == SIZES["yahoo"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"system": "lstm-vea"}, "unknown system 'lstm-vea': did you mean 'lstm-vae'?"),
        ({"system": "lstm-lm", "num_samples": 0}, "num_samples = 0: must be at least 1"),
        ({"system": "lstm-vae", "num_samples": 0}, "num_samples = 0: must be at least 1"),
        ({"system": "lstm-vae", "setting": "Standard"}, "did you mean 'standard'?"),
        ({"system": "lstm-vae", "seed": -2}, "seed = -2: must be 0 or more"),
    ],
)
def test_bad_arguments_have_one_line(arguments, says):
    with pytest.raises(InputError) as caught:
        recipe(**arguments)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_system_is_compared_with_systems_and_has_a_language_model():
    assert set(BASELINES) <= set(SYSTEMS)
    for system in SYSTEMS:
        assert set(baselines_of(system)) <= set(SYSTEMS) - {system}
        language_model = language_model_of(system)
        assert recipe(language_model).encoder == "none"
        assert (language_model == system) == (baselines_of(system) == ())
    assert baselines_of("someone-elses") == ("lstm-lm", "lstm-vae")
