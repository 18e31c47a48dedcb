"""The importance-weighted objective against hand loops and autograd in float64, one sentence at a time."""

import math

import pytest
import torch

from lvae_core.errors import InputError
from lvae_core.model.layers import softmax
from lvae_core.training import trained
from lvae_core.training.optimisation.objective import objective

from ... import tiny
from ...oracles import hand_model, noise
from ..runs import CORPUS, run, sentences_of, short

CLASSES = 7
SENTENCES = [[3, 1, 5, 0], [0], [2, 2, 6, 4, 1, 3, 0], [6, 0]]
STEP = 17


def config_of(L: int, **fields):
    base = {"dropout": 0.0, "init_scale": 0.8, "seed": 5, "objective": "importance_weighted"}
    return tiny.config("lstm-vae", num_samples=L, **{**base, **fields})


def log_q(z, mean, log_variance):
    square = (z - mean) ** 2 * torch.exp(-log_variance)
    return -0.5 * (square + log_variance + math.log(2 * math.pi)).sum(-1)


def log_prior(z):
    return -0.5 * (z * z + math.log(2 * math.pi)).sum(-1)


def by_hand(p, config, beta: float):
    """For each sentence: mu, log sigma^2, z (L, Z), and log w as a function of z and q's parameters."""
    epsilon = noise.normal(
        config.seed, "latent", STEP, size=(config.num_samples, len(SENTENCES), config.latent_size)
    )
    for b, words in enumerate(SENTENCES):
        mean, log_variance = hand_model.posterior(p, words)
        z = mean + torch.exp(0.5 * log_variance) * epsilon[:, b]

        def log_w(z, mean, log_variance, words=words, beta=beta):
            likelihood = hand_model.log_p(p, hand_model.states(p, words, z, hide=False), words)
            return likelihood + beta * (log_prior(z) - log_q(z, mean, log_variance))

        yield mean, log_variance, z, log_w


def bound(p, config, beta: float):
    """-log mean w, mean over sentences."""
    total = torch.zeros((), dtype=torch.float64)
    for mean, log_variance, z, log_w in by_hand(p, config, beta):
        total = total - torch.log(torch.exp(log_w(z, mean, log_variance)).mean())
    return total / len(SENTENCES)


def gradients_of(config, beta: float):
    model = tiny.double_model(config, CLASSES)
    terms = objective(model, tiny.batch(SENTENCES), config, kl_weight=beta, step=STEP)
    terms.loss.backward()
    return model, terms, {name: p.grad.to_dense() for name, p in model.named_parameters()}


@pytest.mark.parametrize("gradient", ["reparameterised", "doubly_reparameterised"])
@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("L", [1, 4])
def test_the_value_is_the_bound_of_the_hand_loop(L, beta, gradient):
    config = config_of(L, encoder_gradient=gradient)
    model, terms, _ = gradients_of(config, beta)
    p = tiny.parameters(model)
    assert terms.loss.item() == pytest.approx(bound(p, config, beta).item(), rel=1e-11)
    assert terms.nll.item() == pytest.approx(bound(p, config, 1.0).item(), rel=1e-11)
    assert not terms.nll.requires_grad


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("L", [1, 4])
def test_the_reparameterised_gradient_is_that_of_the_bound(L, beta):
    config = config_of(L, encoder_gradient="reparameterised")
    model, _, gradients = gradients_of(config, beta)
    p = tiny.parameters(model)
    names = list(gradients)
    expected = torch.autograd.grad(bound(p, config, beta), [p[name] for name in names])
    for name, gradient in zip(names, expected, strict=True):
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-8, atol=1e-11, msg=name)


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_the_doubly_reparameterised_gradient_goes_through_z_with_squared_weights(beta):
    config = config_of(4)
    model, _, gradients = gradients_of(config, beta)
    p = tiny.parameters(model)
    encoder = [name for name in gradients if name.startswith("encoder.")]
    decoder = [name for name in gradients if not name.startswith("encoder.")]
    expected = {name: torch.zeros_like(p[name]) for name in gradients}
    for mean, log_variance, z, log_w in by_hand(p, config, beta):
        leaf = z.detach().requires_grad_()
        values = log_w(leaf, mean.detach(), log_variance.detach())
        weights = torch.exp(values.detach()) / torch.exp(values.detach()).sum()
        through_z, *of_decoder = torch.autograd.grad(
            (weights * values).sum(), [leaf, *(p[name] for name in decoder)]
        )
        for name, gradient in zip(decoder, of_decoder, strict=True):
            expected[name] -= gradient / len(SENTENCES)
        # through_z holds one weight already: Tucker et al. (2019) want it squared.
        scale = (beta * weights + 1 - beta).unsqueeze(-1)
        of_encoder = torch.autograd.grad(z, [p[name] for name in encoder], through_z * scale)
        for name, gradient in zip(encoder, of_encoder, strict=True):
            expected[name] -= gradient / len(SENTENCES)
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-8, atol=1e-11, msg=name)


@pytest.mark.parametrize("beta", [1.0, 0.4])
def test_both_estimators_have_the_same_mean(beta):
    """Over many noise draws, 20 at a time; each difference is within its Monte Carlo error."""
    model, batch = tiny.double_model(config_of(3), CLASSES), tiny.batch(SENTENCES[:1] * 20)
    differences = []
    for step in range(40):
        both = []
        for gradient in ("reparameterised", "doubly_reparameterised"):
            model.zero_grad()
            config = config_of(3, encoder_gradient=gradient)
            objective(model, batch, config, kl_weight=beta, step=1000 + step).loss.backward()
            both.append(model.encoder.to_mean.weight.grad.flatten().clone())
        differences.append(both[1] - both[0])
    gaps = torch.stack(differences)
    error = gaps.std(0) / math.sqrt(len(gaps))
    assert (gaps.mean(0).abs() <= 4.5 * error).all()
    assert (error > 0).all(), "two equal estimators would test nothing"


def test_one_sample_has_the_mean_loss_of_the_elbo():
    """E over noise of -log w_1 is the negative ELBO with its exact KL."""
    model = tiny.double_model(config_of(1), CLASSES)
    batch = tiny.batch(SENTENCES * 40)

    def losses(name: str) -> torch.Tensor:
        config = config_of(1, objective=name)
        values = [objective(model, batch, config, kl_weight=1.0, step=s).loss.item() for s in range(60)]
        return torch.tensor(values)

    gap = losses("importance_weighted") - losses("elbo")
    assert abs(float(gap.mean())) < 5 * float(gap.std()) / math.sqrt(len(gap))


def test_dropout_has_the_same_masks_in_both_passes():
    config = config_of(1, dropout=0.5, encoder_gradient="reparameterised")
    model = tiny.double_model(config, CLASSES)
    terms = objective(model, tiny.batch(SENTENCES), config, kl_weight=0.0, step=STEP)
    plain = tiny.config("lstm-vae", num_samples=1, dropout=0.5, init_scale=0.8, seed=5)
    expected = objective(model, tiny.batch(SENTENCES), plain, kl_weight=0.0, step=STEP)
    # One sample and beta = 0: both are the reconstruction alone.
    assert terms.loss.item() == pytest.approx(expected.loss.item(), rel=1e-12)
    wanted = torch.autograd.grad(expected.loss, list(model.decoder.lstm.parameters()))
    found = torch.autograd.grad(terms.loss, list(model.decoder.lstm.parameters()))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_averaged_states_are_not_weighted():
    with pytest.raises(InputError, match="weighted there, not averaged"):
        config_of(2, averaging="hidden")


def test_validation_takes_the_bound_of_l_samples(tmp_path):
    """A hand loop over the validation split in float64, with the noise that the rule of streams gives."""
    folder = tiny.folder(tmp_path)
    config = short("lstm-iwae", num_samples=3, valid_samples=2, max_epochs=1, kl_anneal_epochs=0.0)
    row = next(progress.metrics for progress in run(config, folder) if progress.metrics)
    p = {name: value.double() for name, value in tiny.parameters(trained.load(folder).model).items()}
    nll = 0.0
    for i, words in enumerate(sentences_of(CORPUS.valid)):
        mean, log_variance = hand_model.posterior(p, words)
        shape = (6, 1, config.latent_size)
        epsilon = noise.normal(config.seed, "evaluation", "valid", i, size=shape)[:, 0]
        z = mean + torch.exp(0.5 * log_variance) * epsilon
        log_w = hand_model.log_p(p, hand_model.states(p, words, z, hide=False), words)
        log_w = log_w + log_prior(z) - log_q(z, mean, log_variance)
        nll -= torch.log(torch.exp(log_w).mean()).item()
    assert row["valid_nll"] == pytest.approx(nll / len(CORPUS.valid), rel=1e-5)
    tokens = sum(map(len, sentences_of(CORPUS.valid)))
    assert row["valid_ppl"] == pytest.approx(math.exp(nll / tokens), rel=1e-5)


def test_the_logits_of_a_step_are_computed_once(monkeypatch):
    rows = []
    logits = softmax._logits

    def counted(hidden, *rest):
        rows.append(len(hidden))
        return logits(hidden, *rest)

    monkeypatch.setattr(softmax, "_logits", counted)
    config = config_of(3)
    model, batch = tiny.double_model(config, CLASSES), tiny.batch([[1, 2, 0], [3, 0]])
    objective(model, batch, config, kl_weight=1.0, step=0).loss.backward()
    assert sum(rows) == 16  # 3 draws of 5 words, padded to a tile
