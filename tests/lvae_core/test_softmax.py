"""The chunked log-likelihoods against torch's cross entropy, and their gradients by finite differences."""

import pytest
import torch
import torch.nn.functional as F

from lvae_core.model import softmax

ROWS, H, V = 11, 4, 6


@pytest.fixture(params=["one chunk", "several chunks", "a row at a time"])
def chunked(request, monkeypatch):
    logits = {"one chunk": 2**22, "several chunks": 4 * V, "a row at a time": 1}[request.param]
    monkeypatch.setattr(softmax, "CHUNK_LOGITS", logits)
    return request.param


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def inputs(request):
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(*size, dtype=torch.float64, generator=generator).requires_grad_()

    targets = torch.randint(V, (ROWS,), generator=generator)
    return draw(ROWS, H), draw(V, H), draw(V) if request.param else None, targets


def test_every_row_equals_cross_entropy(chunked, inputs):
    hidden, weight, bias, targets = inputs
    expected = -F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="none")
    actual = softmax.log_likelihood(hidden, weight, bias, targets)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_total_and_its_gradients_equal_cross_entropy(chunked, inputs):
    hidden, weight, bias, targets = inputs
    leaves = [x for x in (hidden, weight, bias) if x is not None]
    expected = -F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="sum")
    actual = softmax.total_log_likelihood(hidden, weight, bias, targets)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    # A factor in front: the gradient made in the forward pass must be scaled by what comes in.
    actual_grads = torch.autograd.grad(-3.7 * actual, leaves)
    expected_grads = torch.autograd.grad(-3.7 * expected, leaves)
    for actual_grad, expected_grad in zip(actual_grads, expected_grads, strict=True):
        torch.testing.assert_close(actual_grad, expected_grad, rtol=1e-11, atol=1e-12)


def test_total_passes_gradcheck(chunked, inputs):
    hidden, weight, bias, targets = inputs
    assert torch.autograd.gradcheck(
        lambda *x: softmax.total_log_likelihood(x[0], x[1], x[2] if bias is not None else None, targets),
        (hidden, weight) if bias is None else (hidden, weight, bias),
    )


def test_a_second_derivative_is_refused_rather_than_wrong(inputs):
    hidden, weight, bias, targets = inputs
    total = softmax.total_log_likelihood(hidden, weight, bias, targets)
    # Through the square a second derivative exists, and half of it would be missing.
    (first,) = torch.autograd.grad(total.square(), hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.square().sum().backward()


def test_chunks_add_up_to_the_same_numbers_in_float32(monkeypatch, inputs):
    *leaves, targets = inputs
    hidden, weight, bias = (None if x is None else x.float() for x in leaves)
    values = []
    for logits in (2**22, 3 * V):
        monkeypatch.setattr(softmax, "CHUNK_LOGITS", logits)
        values.append(softmax.total_log_likelihood(hidden, weight, bias, targets))
    assert values[0].dtype is torch.float32
    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=1e-5)


def test_large_logits_do_not_overflow():
    hidden = torch.tensor([[1e4, 0.0]], dtype=torch.float64)
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    targets = torch.tensor([0])
    assert float(softmax.log_likelihood(hidden, weight, None, targets)) == 0.0
    assert float(softmax.log_likelihood(hidden, weight, None, 1 - targets)) == -2e4
    assert float(softmax.total_log_likelihood(hidden, weight, None, 1 - targets)) == -2e4
