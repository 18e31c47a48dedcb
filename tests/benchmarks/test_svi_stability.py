"""What is said of the reverse pass of SVI, against a model in which it can be computed by hand."""

import pytest
import torch
from svi_stability import Options, curvature, main, measure

import lvae_core
from lvae_core.data.batches import collate
from lvae_core.data.corpus import load_for
from lvae_core.model.text_model import TextModel

SMALL = {"embedding_size": 4, "hidden_size": 6, "latent_size": 3, "dropout": 0.0}


def model_that_ignores_z(**fields: object) -> TextModel:
    """Its f is the KL alone, whose curvature is 1 by a mean and exp(log σ²)/2 by a log σ²."""
    config = lvae_core.recipe("sa-vae", dataset="toy", setting="inputless", **SMALL, **fields)
    model = TextModel(config, 33)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("encoder.") or "log_variance" in name:
                parameter.zero_()
    return model


def test_the_curvature_of_the_kl_is_found():
    model = model_that_ignores_z()
    corpus = load_for(model.config, None)
    found = curvature(model, collate(corpus.train, torch.arange(8).numpy()), 0)
    torch.testing.assert_close(found, torch.ones(8), rtol=2e-2, atol=0)


def test_the_gradient_of_a_sentence_contracts_as_the_steps_on_the_kl_do():
    # Without momentum a step takes 1/32 of a mean's distance: its gradient is multiplied by 31/32.
    model = model_that_ignores_z(svi_steps=4, svi_momentum=0.0)
    seen = measure(model, load_for(model.config, None), 1)
    torch.testing.assert_close(seen.growth, torch.full((32,), (31 / 32) ** 4), rtol=1e-2, atol=0)


def test_a_run_is_measured_and_a_bad_one_refused_in_one_line(tmp_path, capsys):
    for system in ("sa-vae", "lstm-vae"):
        steps = {"svi_steps": 2} if system == "sa-vae" else {}
        config = lvae_core.recipe(
            system, dataset="toy", max_epochs=1, max_steps=2, iw_samples=4, **SMALL, **steps
        )
        lvae_core.train(config, tmp_path / system)
    assert main(Options(run=str(tmp_path / "sa-vae"), batches=1)) == 0
    assert "steps grow above a curvature of 96" in capsys.readouterr().out
    for options, message in (
        (Options(run=str(tmp_path / "none")), "no run with a checkpoint"),
        (
            Options(run=str(tmp_path / "lstm-vae")),
            "lstm-vae, which has no semi-amortised inference",
        ),
        (Options(run=str(tmp_path / "sa-vae"), batches=0), "must be at least 1"),
    ):
        assert main(options) == 2
        assert message in capsys.readouterr().err


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
