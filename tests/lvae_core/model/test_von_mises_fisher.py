"""The von Mises-Fisher posterior against published constants, closed forms, quadrature and moments."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special
from scipy.stats import norm

from lvae_core.errors import InputError
from lvae_core.model.von_mises_fisher import VonMisesFisher, _table, kl, log_m, resultant_length
from lvae_core.rng import Key

from .. import tiny

KEY = Key(7, "latent", (0,))

# d, kappa: KL, A, log M, to six digits. The KL of d = 32 agrees with constants in the public code of DG-VAE
# (Zhang et al. 2022) for kappa = 13, 25, 50, 100, 200.
CONSTANTS = [
    (16, 13, 3.058360, 0.567577, 4.320138),
    (25, 25, 6.090855, 0.624205, 9.514264),
    (32, 1, 0.015603, 0.031221, 0.015618),
    (32, 13, 2.172591, 0.356931, 2.467508),
    (32, 25, 5.755404, 0.551530, 8.032856),
    (32, 35, 8.593535, 0.647311, 14.062335),
    (32, 50, 12.253369, 0.734830, 24.488154),
    (32, 80, 17.863068, 0.823873, 48.046773),
    (32, 100, 20.758528, 0.856287, 64.870132),
    (32, 200, 30.373301, 0.925320, 154.690601),
    (32, 400, 40.552959, 0.961954, 344.228584),
    (32, 800, 51.015126, 0.980801, 733.625506),
    (50, 35, 7.743044, 0.517125, 10.356321),
    (50, 80, 19.515208, 0.738287, 39.547721),
    (100, 100, 24.134965, 0.619566, 37.821597),
    (100, 800, 106.779137, 0.940001, 645.221799),
]

QUANTILES = {
    (32, 25): (0.264056, 0.407076, 0.559569, 0.685530, 0.768820),
    (32, 85): (0.719979, 0.777444, 0.836777, 0.884550, 0.915615),
    (100, 100): (0.487354, 0.550806, 0.621838, 0.685398, 0.731774),
}
"""d, kappa -> quantiles of w = mu z at 0.01, 0.1, 0.5, 0.9 and 0.99."""

VARIANCES = [
    (16, 13, 0.022960),
    (25, 25, 0.011132),
    (32, 13, 0.021458),
    (32, 25, 0.011916),
    (32, 80, 0.001982),
    (32, 200, 0.000359),
    (50, 80, 0.002732),
    (100, 100, 0.002768),
]
"""d, kappa, variance of w = mu z, to six digits."""


def posterior(d: int, kappa: float, sentences: int = 1, seed: int = 0) -> VonMisesFisher:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(sentences, d, generator=generator, dtype=torch.float64)
    return VonMisesFisher(torch.nn.functional.normalize(mean, dim=-1), float(kappa))


def draws(q: VonMisesFisher, count: int) -> torch.Tensor:
    return q.sample(VonMisesFisher.noise(KEY, (count, len(q.mean)), q.mean.shape[1]).double())


@pytest.mark.parametrize(("d", "kappa", "divergence", "length", "log_normaliser"), CONSTANTS)
def test_constants_are_the_published_ones(d, kappa, divergence, length, log_normaliser):
    assert kl(d, kappa) == pytest.approx(divergence, abs=6e-7)
    assert resultant_length(d, kappa) == pytest.approx(length, abs=6e-7)
    assert log_m(d, kappa) == pytest.approx(log_normaliser, abs=6e-7)


@pytest.mark.parametrize("kappa", [0.01, 1.0, 5.0, 300.0])
def test_three_dimensions_have_a_closed_form(kappa):
    log_normaliser = kappa + math.log1p(-math.exp(-2 * kappa)) - math.log(2 * kappa)  # log sinh(k)/k
    length = 1 / math.tanh(kappa) - 1 / kappa
    assert log_m(3, kappa) == pytest.approx(log_normaliser, rel=1e-10, abs=1e-12)
    assert resultant_length(3, kappa) == pytest.approx(length, rel=1e-10)


@pytest.mark.parametrize(("d", "kappa"), [(2, 3.0), (5, 0.5), (24, 40.0), (64, 200.0)])
def test_the_normaliser_is_that_of_bessel_functions_and_of_quadrature(d, kappa):
    order = d / 2 - 1
    bessel = math.log(special.ive(order, kappa)) + kappa - order * math.log(kappa / 2) + math.lgamma(d / 2)
    assert log_m(d, kappa) == pytest.approx(bessel, rel=1e-9)

    def weight(angle: float, sharpness: float) -> float:
        return math.exp(sharpness * (math.cos(angle) - 1)) * math.sin(angle) ** (d - 2)

    def integral(sharpness: float) -> float:
        value, _ = integrate.quad(weight, 0, math.pi, args=(sharpness,), epsabs=0, epsrel=1e-10, limit=200)
        return value

    assert log_m(d, kappa) == pytest.approx(math.log(integral(kappa) / integral(0.0)) + kappa, rel=1e-7)


def test_a_small_kappa_is_nearly_the_prior():
    assert kl(20, 1e-3) == pytest.approx(1e-6 / 40, rel=1e-4)  # kappa^2 / 2d
    z = draws(posterior(4, 1e-3), 40_000)[:, 0]
    assert z.mean(0).abs().max() < 0.02
    assert (z.T @ z / len(z) - torch.eye(4) / 4).abs().max() < 0.01


@pytest.mark.parametrize(("d", "kappa"), QUANTILES)
def test_the_cosine_has_the_exact_quantiles(d, kappa):
    noise = torch.zeros(5, 1, d + 1, dtype=torch.float64)
    noise[..., 0] = 1.0
    noise[:, 0, -1] = torch.from_numpy(norm.ppf([0.01, 0.1, 0.5, 0.9, 0.99]))
    q = posterior(d, kappa)
    cosines = (q.sample(noise) * q.mean).sum(-1)[:, 0]
    assert cosines.numpy() == pytest.approx(np.array(QUANTILES[d, kappa]), abs=1e-6)


@pytest.mark.parametrize(("d", "kappa"), [(2, 3.0), (3, 5.0), (32, 25.0), (50, 80.0)])
def test_draws_lie_on_the_sphere_with_the_exact_moments(d, kappa):
    q = posterior(d, kappa, sentences=2)
    z = draws(q, 100_000)
    assert (z.norm(dim=-1) - 1).abs().max() < 1e-9
    cosine = (z * q.mean).sum(-1)
    A = resultant_length(d, kappa)
    variance = 1 - A * A - (d - 1) * A / kappa
    assert (cosine.mean(0) - A).abs().max() < 5 * math.sqrt(variance / len(z))
    assert (cosine.var(0) / variance - 1).abs().max() < 0.03
    across = z - cosine.unsqueeze(-1) * q.mean  # orthogonal to mu, and uniform around it
    assert (across.mean(0)).abs().max() < 5 / math.sqrt(len(z))
    spread = (across[:, 0].T @ across[:, 0]) / len(z)
    plane = torch.eye(d, dtype=torch.float64) - torch.outer(q.mean[0], q.mean[0])
    assert (spread - plane * (1 - A * A - variance) / (d - 1)).abs().max() < 0.02


def test_the_kl_is_the_mean_log_ratio():
    q = posterior(32, 25.0)
    ratios = -q.log_ratio(VonMisesFisher.noise(KEY, (200_000, 1), 32).double())
    error = float(ratios.std()) / math.sqrt(len(ratios))
    assert float(ratios.mean()) == pytest.approx(float(q.kl()), abs=5 * error)


def test_log_ratios_in_float32_do_not_lose_kappa_digits():
    exact = posterior(32, 800.0, sentences=4)
    noise = VonMisesFisher.noise(KEY, (50, 4), 32)
    rounded = VonMisesFisher(exact.mean.float(), 800.0).log_ratio(noise)
    assert rounded.dtype is torch.float32
    assert (rounded.double() - exact.log_ratio(noise.double())).abs().max() < 1e-4


def test_the_gradient_of_a_draw_is_that_of_finite_differences():
    head = torch.nn.Linear(3, 5, bias=False).double()
    state = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    noise = VonMisesFisher.noise(KEY, (4, 2), 5).double()

    def sample(weight: torch.Tensor) -> torch.Tensor:
        return VonMisesFisher(torch.nn.functional.normalize(state @ weight.T, dim=-1), 12.0).sample(noise)

    assert torch.autograd.gradcheck(sample, (head.weight.detach().requires_grad_(),))


def test_turning_the_mean_turns_the_law_of_the_draws():
    q = posterior(6, 9.0)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(2)).double())
    noise = VonMisesFisher.noise(KEY, (3, 1), 6).double()
    turned_noise = torch.cat([noise[..., :-1] @ rotation.T, noise[..., -1:]], dim=-1)
    turned = VonMisesFisher(q.mean @ rotation.T, 9.0).sample(turned_noise)
    assert torch.allclose(turned, q.sample(noise) @ rotation.T, atol=1e-12)


# The density of the angle has its maximum at e^-842, e^-844, e^-933 and e^-6225, below float64's smallest.
UNDERFLOWING = [(400, 1e4), (512, 5e3), (1500, 1500.0), (10_000, 1e4)]


def even_cosines(q: VonMisesFisher, count: int = 4001) -> torch.Tensor:
    """mu z at evenly spaced values of its distribution function."""
    noise = torch.ones(count, 1, q.mean.shape[1] + 1, dtype=torch.float64)
    noise[:, 0, -1] = torch.from_numpy(norm.ppf((np.arange(count) + 0.5) / count))
    return (q.sample(noise) * q.mean).sum(-1)


@pytest.mark.parametrize(("d", "kappa", "variance"), VARIANCES)
def test_the_cosine_has_the_exact_variance(d, kappa, variance):
    assert float(even_cosines(posterior(d, kappa)).var()) == pytest.approx(variance, rel=2e-3)


@pytest.mark.parametrize(("d", "kappa"), [*UNDERFLOWING, (325, 1e4), (340, 1e4), (2, 1e4), (2, 1e-300)])
def test_the_cosine_has_the_exact_moments_at_the_ends_of_float64(d, kappa):
    q = posterior(d, kappa)
    cosines = even_cosines(q, 1001)
    A = resultant_length(d, kappa)
    deviation = math.sqrt(1 - A * A - (d - 1) * A / kappa) if kappa > 1 else math.sqrt(1 / d)
    assert float(cosines.mean()) == pytest.approx(A, abs=1e-3 * deviation)
    assert float(cosines.std()) == pytest.approx(deviation, rel=5e-3)


@pytest.mark.parametrize(("d", "kappa"), [(2, 3.0), (32, 25.0), (32, 85.0), (100, 800.0), (300, 1e4)])
def test_a_table_that_does_not_underflow_keeps_its_bits(d, kappa):
    """Those of the formula without its maximum taken out, from which finished runs drew their z."""
    points, weights = np.polynomial.legendre.leggauss(8)
    edges = np.linspace(math.pi, 0, 8193)
    theta = edges[:-1, None] - math.pi / 8192 * (points + 1) / 2
    density = np.exp(kappa * (np.cos(theta) - 1)) * np.sin(theta) ** (d - 2)
    mass = np.concatenate([[0.0], np.cumsum(density @ weights)])
    probability, angle = _table(d, kappa)
    assert np.isin(probability, mass / mass[-1]).all()
    assert np.isin(angle, edges).all()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"vmf_kappa": 0.0}, "vmf_kappa = 0.0: must be above 0 and at most 10000"),
        ({"vmf_kappa": 1e5}, "vmf_kappa = 100000.0: must be above 0 and at most 10000"),
        ({"vmf_kappa": 5e-324}, "vmf_kappa = 5e-324: must be at least 1e-300"),
        ({"posterior": "von_mises_fisher", "latent_size": 1}, "latent_size = 1: must be at least 2"),
        (
            {"posterior": "von_mises_fisher", "latent_size": 10_001},
            "latent_size = 10001: must be at least 2 and at most 10,000 for a sphere",
        ),
    ],
)
def test_impossible_spheres_are_refused(fields, says):
    with pytest.raises(InputError, match=says):
        tiny.config(**fields)


@pytest.mark.parametrize("end", [(0.0, 0.6, 0.8), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (-1.0, 1e-4, 0.0)])
def test_a_path_between_any_two_points_of_the_sphere_stays_on_it(end):
    start = torch.tensor([1.0, 0.0, 0.0])
    end = torch.nn.functional.normalize(torch.tensor(end), dim=-1)
    path = VonMisesFisher.path(start, end, 9)
    assert torch.equal(path[[0, -1]], torch.stack([start, end]))
    torch.testing.assert_close(path.norm(dim=-1), torch.ones(9))
    steps = (path[1:] - path[:-1]).norm(dim=-1)  # equal angles have equal chords
    torch.testing.assert_close(steps, steps[:1].expand(8), atol=1e-3, rtol=0)
    assert torch.equal(VonMisesFisher.path(start, end, 2), torch.stack([start, end]))
