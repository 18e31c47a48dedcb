"""The closed forms of the Gaussian posterior against torch.distributions and against its own draws."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from lvae_core.model.gaussian import Gaussian

B, Z = 5, 3


@pytest.fixture
def q() -> Gaussian:
    generator = torch.Generator().manual_seed(7)
    mean = 2 * torch.randn(B, Z, dtype=torch.float64, generator=generator)
    log_variance = 1.5 * torch.randn(B, Z, dtype=torch.float64, generator=generator)
    return Gaussian(mean, log_variance)


def torch_posterior(q: Gaussian) -> Independent:
    return Independent(Normal(q.mean, (q.log_variance / 2).exp()), 1)


def torch_prior() -> Independent:
    zero = torch.zeros(B, Z, dtype=torch.float64)
    return Independent(Normal(zero, zero + 1), 1)


def test_kl_equals_torch_distributions(q):
    torch.testing.assert_close(
        q.kl(), kl_divergence(torch_posterior(q), torch_prior()), rtol=1e-12, atol=1e-12
    )


def test_kl_of_the_prior_is_zero():
    zero = torch.zeros(B, Z, dtype=torch.float64)
    assert torch.equal(Gaussian(zero, zero).kl(), torch.zeros(B, dtype=torch.float64))


def test_a_sample_is_mean_plus_deviation_times_noise(q):
    noise = torch.randn(4, 2, B, Z, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    z = q.sample(noise)
    for s, g, b in [(0, 0, 0), (3, 1, 4), (1, 0, 2)]:
        for k in range(Z):
            deviation = math.sqrt(math.exp(float(q.log_variance[b, k])))
            expected = float(q.mean[b, k]) + deviation * float(noise[s, g, b, k])
            assert float(z[s, g, b, k]) == pytest.approx(expected, rel=1e-14)


def test_log_ratio_equals_torch_distributions(q):
    noise = torch.randn(4, 2, B, Z, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    z = q.sample(noise)
    expected = torch_prior().log_prob(z) - torch_posterior(q).log_prob(z)
    assert q.log_ratio(noise).shape == (4, 2, B)
    torch.testing.assert_close(q.log_ratio(noise), expected, rtol=1e-12, atol=1e-12)


def test_log_prob_of_all_pairs_equals_torch_distributions(q):
    z = 2 * torch.randn(9, Z, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    expected = torch.stack([torch_posterior(q).log_prob(point.expand(B, Z)) for point in z])
    assert q.log_prob(z).shape == (9, B)
    torch.testing.assert_close(q.log_prob(z), expected, rtol=1e-11, atol=1e-11)


def test_log_prob_is_accurate_for_a_narrow_posterior():
    # σ = 0.007 far from the origin: the matrix products cancel many digits and must leave enough.
    q = Gaussian(torch.full((2, Z), 3.0).double(), torch.full((2, Z), -10.0).double())
    z = q.mean + 0.01
    expected = torch.stack([Normal(q.mean, (q.log_variance / 2).exp()).log_prob(p).sum(-1) for p in z])
    torch.testing.assert_close(q.log_prob(z), expected, rtol=0, atol=1e-8)


def test_double_converts_the_parameters_to_float64():
    q = Gaussian(torch.tensor([[0.1]]), torch.tensor([[-0.3]]))
    assert q.double().mean.dtype is q.double().log_variance.dtype is torch.float64
    assert float(q.double().mean) == float(torch.tensor(0.1))
