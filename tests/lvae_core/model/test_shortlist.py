"""Approximate scores against a full softmax in numpy: exact at the middle, second-order errors nearby."""

import numpy as np
import pytest
import torch

from lvae_core import rough_scoring
from lvae_core.model.layers import shortlist
from lvae_core.model.layers.shortlist import Shortlist
from lvae_core.model.layers.softmax import Softmax

V, H, P, K = 53, 6, 7, 9


@pytest.fixture(autouse=True)
def _few_words(monkeypatch):
    monkeypatch.setattr(rough_scoring, "SHORTLIST", K)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def layer(request) -> Softmax:
    layer = Softmax(H, V, bias=request.param).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    return layer


def normal(*size: int, seed: int) -> torch.Tensor:
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


TARGETS = torch.tensor([0, 3, 8, 21, 22, 40, 52])


def exact_scores(layer: Softmax, hidden: torch.Tensor) -> np.ndarray:
    """Compute log p(target) with all V words: (S, P, H) -> (S, P)."""
    logits = np.einsum("sph,vh->spv", hidden.numpy(), layer.weight.numpy())
    if layer.bias is not None:
        logits += layer.bias.numpy()
    probability = np.exp(logits)
    own = np.take_along_axis(probability, TARGETS.numpy()[None, :, None], axis=2)[..., 0]
    return np.log(own / probability.sum(2))


def score_errors(layer: Softmax, hidden: torch.Tensor) -> np.ndarray:
    """Errors of the approximate scores, (S, P); the middle is the mean of ``hidden``, (S, P, H)."""
    found = Shortlist.around(layer, layer.weight, hidden).log_likelihood(hidden, TARGETS)
    assert found.shape == hidden.shape[:2]
    return found.numpy() - exact_scores(layer, hidden)


def test_states_at_the_middle_are_scored_exactly(layer):
    middle = normal(1, P, H, seed=1).expand(3, P, H)
    assert np.abs(score_errors(layer, middle)).max() < 1e-13


def test_the_error_is_of_second_order_in_the_distance_from_the_middle(layer):
    middle, direction = normal(1, P, H, seed=1), normal(1, P, H, seed=2)
    far, near = (
        score_errors(layer, torch.cat([middle + t * direction, middle - t * direction]))
        for t in (2e-3, 1e-3)
    )
    # Not zero, and a quarter at half the distance; with a wrong slope it would be a half.
    assert np.abs(near).min() > 1e-10
    assert far / near == pytest.approx(np.full((2, P), 4.0), rel=0.03)


@pytest.mark.parametrize(("likely", "least", "most"), [(K, 0.0, 1e-12), (2 * K, 1e-3, np.inf)])
def test_scores_are_exact_if_all_likely_words_are_listed(layer, likely, least, most):
    layer.weight[:, 0] = -60.0
    layer.weight[:likely, 0] = 0.0
    hidden = normal(4, P, H, seed=3)
    hidden[..., 0] = 1.0  # e⁻⁶⁰ for every word that is not likely
    assert least <= np.abs(score_errors(layer, hidden)).max() <= most


def test_scores_are_exact_if_all_words_but_one_are_listed(layer, monkeypatch):
    monkeypatch.setattr(rough_scoring, "SHORTLIST", 10 * V)
    hidden = normal(5, P, H, seed=4)
    # With one word left, its first-order term is exact at every distance.
    assert np.abs(score_errors(layer, hidden)).max() < 1e-12


def test_the_listed_words_are_the_likeliest_at_the_middle(layer):
    hidden = normal(3, P, H, seed=5)
    lists = Shortlist.around(layer, layer.weight, hidden)
    logits = hidden.numpy().mean(0) @ layer.weight.numpy().T
    if layer.bias is not None:
        logits += layer.bias.numpy()
    for words, row in zip(lists.words.tolist(), logits, strict=True):
        assert sorted(words) == sorted(np.argsort(-row)[:K])


def test_the_block_size_does_not_change_the_scores(layer, monkeypatch):
    hidden = normal(4, P, H, seed=6)
    whole = Shortlist.around(layer, layer.weight, hidden).log_likelihood(hidden, TARGETS)
    for numbers in (1, 2 * V, 3 * V):  # one, two and three positions at once
        monkeypatch.setattr(shortlist, "BLOCK", numbers)
        parts = Shortlist.around(layer, layer.weight, hidden).log_likelihood(hidden, TARGETS)
        torch.testing.assert_close(parts, whole, rtol=1e-13, atol=1e-13)
