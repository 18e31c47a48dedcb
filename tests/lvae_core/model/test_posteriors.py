"""The conformance suite of posteriors: every one that is registered in ``POSTERIORS`` must pass it."""

import dataclasses

import pytest
import torch

from lvae_core.model import counts
from lvae_core.model.contracts import Posterior
from lvae_core.model.noise import BatchNoise, SentenceNoise
from lvae_core.model.parts import POSTERIORS
from lvae_core.rng import Key

from .. import tiny

B, Z, H = 4, 5, 6
KEY = Key(3, "latent", (0,))


def config_of(name: str):
    # Close to the prior, as far as the family can be.
    return tiny.config(posterior=name, latent_size=Z, hidden_size=H, vmf_kappa=2.0)


def head_of(name: str, seed: int = 0) -> torch.nn.Module:
    """Make a head with small parameters, as after training: its posteriors are close to the prior."""
    torch.manual_seed(seed)
    head = POSTERIORS[name].head(config_of(name))
    for parameter in head.parameters():
        torch.nn.init.uniform_(parameter, -0.15, 0.15)
    return head.requires_grad_(False).double()


def states(seed: int = 1, count: int = B) -> torch.Tensor:
    return torch.randn(count, H, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=POSTERIORS)
def name(request) -> str:
    return request.param


@pytest.fixture
def q(name) -> Posterior:
    return head_of(name)(states(), None)


def noise_of(q: Posterior, *size: int, index: int = 0) -> torch.Tensor:
    return type(q).noise(KEY.at(index), (*size, len(q.mean)), Z).to(q.mean.dtype)


def test_parameters_are_counted_without_torch_under_the_same_name(name):
    head = POSTERIORS[name].head(config_of(name))
    assert counts.POSTERIORS[name](config_of(name)).parameters == sum(p.numel() for p in head.parameters())
    assert counts.POSTERIORS.keys() == POSTERIORS.keys()


def test_results_have_the_shapes_in_the_contract(q):
    noise = noise_of(q, 3, 2)
    assert noise.shape[:3] == (3, 2, B)
    assert q.mean.shape == (B, Z)
    assert q.sample(noise).shape == (3, 2, B, Z)
    assert q.log_ratio(noise).shape == q.log_density(noise).shape == (3, 2, B)
    assert q.kl().shape == (B,)
    assert q.kl_terms().shape[0] == B
    assert q.log_prob(q.sample(noise)[0, 0]).shape == (B, B)
    assert type(q).prior(KEY, (7, 2), Z).shape == (7, 2, Z)


def test_noise_and_prior_depend_only_on_their_key(name):
    family = POSTERIORS[name]
    for draw in (family.noise, family.prior):
        first = draw(KEY, (2, 3), Z)
        assert first.dtype is torch.float32
        assert first.device.type == "cpu"
        torch.rand(3)
        assert torch.equal(draw(KEY, (2, 3), Z), first)
        assert not torch.equal(draw(KEY.at("inference", 1), (2, 3), Z), first)
        assert not torch.equal(draw(Key(4, "latent", (0,)), (2, 3), Z), first)


def test_the_mean_of_many_draws_has_the_direction_of_the_mean(q):
    z = q.sample(noise_of(q, 40_000))  # (S, B, Z)
    average, error = z.mean(0), z.std(0) / len(z) ** 0.5
    # E z is the mean, or a multiple of it for a distribution on a sphere: one factor per sentence.
    factor = (average * q.mean).sum(-1, keepdim=True) / q.mean.square().sum(-1, keepdim=True)
    assert (factor > 0).all()
    assert ((average - factor * q.mean).abs() < 5 * error).all()


def test_draws_from_the_prior_have_mean_zero_and_uncorrelated_dimensions(name):
    """The priors are symmetric: mean 0, uncorrelated dimensions, the same variance in each."""
    z = POSTERIORS[name].prior(KEY, (40_000,), Z).double()
    assert (z.mean(0).abs() < 5 * z.std(0) / len(z) ** 0.5).all()
    covariance = torch.cov(z.T) / z.var()
    assert float((covariance - torch.eye(Z, dtype=torch.float64)).abs().max()) < 0.05


def test_the_log_ratio_averages_to_minus_the_kl(q):
    ratio = q.log_ratio(noise_of(q, 40_000))
    error = ratio.std(0) / len(ratio) ** 0.5
    assert (q.kl() > 0).all()
    # The constant allows for a posterior equal to the prior, whose ratio has no variance.
    assert ((ratio.mean(0) + q.kl()).abs() <= 4.5 * error + 1e-9).all()


def test_the_kl_is_the_sum_of_its_terms(q):
    torch.testing.assert_close(q.kl(), q.kl_terms().sum(-1))


def test_importance_weights_against_the_prior_average_to_one(q):
    weights = q.log_ratio(noise_of(q, 40_000)).exp()
    error = weights.std(0) / len(weights) ** 0.5
    assert ((weights.mean(0) - 1).abs() <= 5 * error + 1e-9).all()


def test_the_density_at_draws_equals_the_density_of_all_pairs(q):
    noise = noise_of(q, 6)
    z = q.sample(noise)  # (S, B, Z)
    pairs = torch.stack([q.log_prob(z[s]).diagonal() for s in range(6)])
    torch.testing.assert_close(q.log_density(noise), pairs, rtol=1e-9, atol=1e-9)


def test_the_log_ratio_at_z_equals_that_of_its_noise_and_is_differentiable(q):
    noise = noise_of(q, 3, 2)
    z = q.sample(noise).requires_grad_()
    ratio = q.log_ratio_at(z)
    torch.testing.assert_close(ratio, q.log_ratio(noise), rtol=1e-9, atol=1e-9)
    (gradient,) = torch.autograd.grad(ratio.sum(), z)
    step = torch.zeros_like(z)
    step[1, 0, 2, 3] = 1e-6
    with torch.no_grad():
        slope = (q.log_ratio_at(z + step).sum() - q.log_ratio_at(z - step).sum()) / 2e-6
    assert float(gradient[1, 0, 2, 3]) == pytest.approx(float(slope), rel=1e-5, abs=1e-7)


def test_the_density_integrates_to_one(q):
    """E exp(log q(z|x) − log p(z)) = 1 over draws of the prior, whose log-density depends on |z|² alone."""
    noise = noise_of(q, 2)
    z = q.sample(noise)
    log_prior = (q.log_ratio(noise) + q.log_density(noise)).flatten()  # of these z
    square = z.square().sum(-1).flatten()
    slope = 0.0  # on a sphere
    if float(square.std()) > 1e-6:
        highest, lowest = square.argmax(), square.argmin()
        slope = (log_prior[highest] - log_prior[lowest]) / (square[highest] - square[lowest])
    offset = log_prior - slope * square
    torch.testing.assert_close(offset, offset[:1].expand_as(offset), rtol=1e-9, atol=1e-9)

    draws = type(q).prior(KEY.at("prior"), (40_000,), Z).double()
    weights = (q.log_prob(draws) - offset[0] - slope * draws.square().sum(-1, keepdim=True)).exp()  # (N, B)
    error = weights.std(0) / len(weights) ** 0.5
    assert ((weights.mean(0) - 1).abs() < 5 * error + 1e-9).all()


def test_the_draws_of_a_sentence_do_not_depend_on_its_batch(name):
    keys = [Key(1, "evaluation", ("test", i)) for i in range(B)]
    q = head_of(name)(states(), None)
    z = q.sample(SentenceNoise(POSTERIORS[name], Z, keys)(size=(3, 2)).double())
    order = torch.tensor([2, 0, 3, 1])
    shuffled = SentenceNoise(POSTERIORS[name], Z, [keys[i] for i in order.tolist()])(size=(3, 2))
    torch.testing.assert_close(q.rows(order).sample(shuffled.double()), z[:, :, order], rtol=0, atol=0)
    alone = SentenceNoise(POSTERIORS[name], Z, keys[1:2])(size=(3, 2))
    torch.testing.assert_close(q.rows(slice(1, 2)).sample(alone.double()), z[:, :, 1:2], rtol=0, atol=0)


def test_the_noise_of_a_step_is_drawn_once_for_the_whole_batch(name):
    noise = BatchNoise(POSTERIORS[name], Z, KEY, B)
    assert torch.equal(noise(size=(3, 2)), POSTERIORS[name].noise(KEY, (3, 2, B), Z))
    assert torch.equal(
        noise("inference", 4, size=(1,)), POSTERIORS[name].noise(KEY.at("inference", 4), (1, B), Z)
    )


def test_float32_agrees_with_float64(q):
    rounded = q.with_parameters({name: value.float() for name, value in q.parameters.items()})
    noise = noise_of(q, 50)
    for ours, exact in (
        (rounded.sample(noise.float()), q.sample(noise)),
        (rounded.kl(), q.kl()),
        (rounded.log_ratio(noise.float()), q.log_ratio(noise)),
        (rounded.log_density(noise.float()), q.log_density(noise)),
    ):
        assert ours.dtype is torch.float32
        torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-5)


def test_rows_join_double_and_detach_keep_the_values(q):
    parts = [q.rows(slice(0, 1)), q.rows(torch.tensor([1, 2])), q.rows(slice(3, None))]
    joined = type(q).join(parts)
    for field in dataclasses.fields(q):
        ours, theirs = getattr(joined, field.name), getattr(q, field.name)
        assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs
    single = q.with_parameters({n: v.float().requires_grad_() for n, v in q.parameters.items()})
    assert all(v.dtype is torch.float64 for v in single.double().parameters.values())
    assert not any(v.requires_grad for v in single.detach().parameters.values())
    torch.testing.assert_close(single.double().kl(), q.kl(), rtol=1e-5, atol=1e-6)


def test_gradients_through_z_agree_with_finite_differences(q):
    parameters = {n: v.clone().requires_grad_() for n, v in q.parameters.items()}
    noise = noise_of(q, 2)
    weights = torch.linspace(-1, 1, Z, dtype=torch.float64)

    def value(changed: dict[str, torch.Tensor]) -> torch.Tensor:
        moved = q.with_parameters(changed)
        return (moved.sample(noise) * weights).sum() + moved.kl().sum()

    gradients = torch.autograd.grad(value(parameters), list(parameters.values()))
    assert any(float(g.abs().max()) > 0 for g in gradients)
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        step = torch.zeros_like(parameter)
        step.view(-1)[3] = 1e-6
        ends = [value({**parameters, name: (parameter + sign * step).detach()}).item() for sign in (1, -1)]
        assert gradient.view(-1)[3].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_the_encoder_registers_the_layers_of_the_head_without_a_prefix(name):
    model = tiny.double_model(config_of(name), 7)
    head = POSTERIORS[name].head(config_of(name))
    names = {f"encoder.{key}" for key, _ in head.named_parameters()}
    assert names <= {key for key, _ in model.named_parameters()}
    assert not any("head" in key for key in model.state_dict())
    # The registered layers are the ones that compute the posterior.
    batch = tiny.batch([[3, 1, 0], [0]])
    before = model.encoder(batch).mean
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key in names:
                parameter.mul_(-1.5)
    assert not torch.equal(model.encoder(batch).mean, before)
