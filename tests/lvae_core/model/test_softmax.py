"""The softmax layer against torch's cross entropy; its gradients against finite differences."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lvae_core.model.layers import reference
from lvae_core.model.layers import softmax as module
from lvae_core.model.layers.precision import compute_in
from lvae_core.model.layers.softmax import Softmax

ROWS, H, V = 11, 4, 6


CHUNKS = [
    ("one chunk", 2**22, 16),
    ("several chunks", 4 * V, 1),
    ("padded", 1, 4),
    ("a row at a time", 1, 1),
]


@pytest.fixture(params=CHUNKS, ids=lambda param: param[0])
def chunked(request, monkeypatch):
    name, logits, tile = request.param
    monkeypatch.setattr(module, "CHUNK_LOGITS", {"cpu": logits})
    monkeypatch.setattr(module, "TILE_ROWS", tile)
    return name


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def inputs(request):
    """Hidden states, a layer in float64 and targets."""
    generator = torch.Generator().manual_seed(0)
    layer = layer_of(
        torch.randn(V, H, dtype=torch.float64, generator=generator),
        torch.randn(V, dtype=torch.float64, generator=generator) if request.param else None,
    )
    hidden = torch.randn(ROWS, H, dtype=torch.float64, generator=generator).requires_grad_()
    return hidden, layer, torch.randint(V, (ROWS,), generator=generator)


def layer_of(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Softmax:
    layer = Softmax(weight.shape[1], weight.shape[0], bias=bias is not None).to(weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def test_every_row_equals_cross_entropy(chunked, inputs):
    hidden, layer, targets = inputs
    expected = -F.cross_entropy(F.linear(hidden, layer.weight, layer.bias), targets, reduction="none")
    torch.testing.assert_close(layer.log_likelihood(hidden, targets), expected, rtol=1e-12, atol=1e-12)
    reference_values = reference.log_likelihood(hidden, layer.weight, layer.bias, targets)
    torch.testing.assert_close(reference_values, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("arithmetic", ["reference", "float32"])
def test_total_and_its_gradients_equal_cross_entropy(chunked, inputs, arithmetic):
    hidden, layer, targets = inputs
    compute_in(layer, arithmetic)
    leaves = [hidden, *layer.parameters()]
    logits = F.linear(hidden, layer.weight, layer.bias)
    expected = -F.cross_entropy(logits, targets, reduction="sum")
    actual = layer.total_log_likelihood(hidden, targets)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    # The factor checks that gradients made in the forward pass are scaled by the incoming gradient.
    actual_grads = torch.autograd.grad(-3.7 * actual, leaves)
    expected_grads = torch.autograd.grad(-3.7 * expected, leaves)
    for actual_grad, expected_grad in zip(actual_grads, expected_grads, strict=True):
        torch.testing.assert_close(actual_grad, expected_grad, rtol=1e-11, atol=1e-12)


def test_the_total_passes_gradcheck(chunked, inputs):
    hidden, layer, targets = inputs

    def total(hidden, *_parameters):
        return 1.3 * layer.total_log_likelihood(hidden, targets, factor=-0.7)

    assert torch.autograd.gradcheck(total, (hidden, *layer.parameters()))


def test_a_factor_argument_equals_a_factor_on_the_result(chunked, inputs):
    hidden, layer, targets = inputs
    leaves = [hidden, *layer.parameters()]
    within = layer.total_log_likelihood(hidden, targets, factor=-0.7)
    in_front = -0.7 * -F.cross_entropy(F.linear(hidden, layer.weight, layer.bias), targets, reduction="sum")
    torch.testing.assert_close(within, in_front, rtol=1e-12, atol=1e-12)
    for a, b in zip(
        torch.autograd.grad(within, leaves), torch.autograd.grad(in_front, leaves), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_a_second_backward_pass_is_refused_rather_than_wrong(inputs):
    hidden, layer, targets = inputs
    total = layer.total_log_likelihood(hidden, targets)
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="earlier backward pass"):
        total.backward()


def test_a_second_derivative_is_refused_rather_than_wrong(inputs):
    hidden, layer, targets = inputs
    total = layer.total_log_likelihood(hidden, targets)
    # The square has a second derivative, of which half would be missing.
    (first,) = torch.autograd.grad(total.square(), hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.square().sum().backward()


def test_chunks_add_up_to_the_same_numbers_in_float32(monkeypatch, inputs):
    hidden, layer, targets = inputs
    hidden, layer = hidden.float(), layer.float()
    values = []
    for logits in (2**22, 3 * V):
        monkeypatch.setattr(module, "CHUNK_LOGITS", {"cpu": logits})
        values.append(layer.total_log_likelihood(hidden, targets))
    assert values[0].dtype is torch.float32
    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=1e-5)


def test_large_logits_do_not_overflow():
    hidden = torch.tensor([[1e4, 0.0]], dtype=torch.float64)
    layer = layer_of(torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)).requires_grad_(False)
    targets = torch.tensor([0])
    assert float(layer.log_likelihood(hidden, targets)) == 0.0
    assert float(layer.log_likelihood(hidden, 1 - targets)) == -2e4
    assert float(layer.total_log_likelihood(hidden, 1 - targets)) == -2e4


@pytest.mark.parametrize("as_on_a_gpu", [False, True])
@pytest.mark.parametrize("chunk", [2**24, 1], ids=["one chunk", "several chunks"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_probability_too_small_for_its_dtype_has_its_exact_logarithm(
    dtype, chunk, as_on_a_gpu, monkeypatch
):
    """Many words share the highest logit: the normaliser lies above it by the logarithm of their number."""
    monkeypatch.setattr(module, "CHUNK_LOGITS", {"cpu": chunk})
    monkeypatch.setattr(module, "READING_SYNCS", {"cpu": as_on_a_gpu})
    words, rows = 10_000, torch.linspace(1, 10, 20)  # log p from -109 to -1009: one row does not underflow
    weight = torch.zeros(words, 1, dtype=dtype)
    weight[7] = -100.0
    layer = layer_of(weight).requires_grad_(False)
    hidden = rows.to(dtype).unsqueeze(1)
    hidden[0] = 0.01
    targets = torch.full((len(rows),), 7)
    exact = (hidden.double() @ weight.double().T).log_softmax(-1)[:, 7]
    torch.testing.assert_close(layer.log_likelihood(hidden, targets).double(), exact, rtol=1e-6, atol=0)
    assert float(layer.log_likelihood(hidden[1:2], targets[:1])) < -150


class Products(TorchDispatchMode):
    """Collect the sizes of all matrices that are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("mm", "addmm", "linear"):
            self.sizes |= {size for x in args if isinstance(x, torch.Tensor) for size in x.shape}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 75])
def test_products_have_a_multiple_of_tile_rows(rows, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_LOGITS", {"cpu": 2 * module.TILE_ROWS * V})
    layer = layer_of(torch.randn(V, H)).requires_grad_(False)
    targets = torch.zeros(rows, dtype=torch.long)
    with Products() as products:
        assert layer.log_likelihood(torch.randn(rows, H), targets).shape == (rows,)
        hidden = torch.randn(rows, H, requires_grad=True)
        layer.total_log_likelihood(hidden, targets).backward()
    assert hidden.grad.shape == (rows, H)
    assert products.sizes <= {H, V, module.TILE_ROWS, 2 * module.TILE_ROWS}
    assert products.sizes > {H, V}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("words", [2, 5, 31, 100, 4097])
def test_a_softmax_may_overwrite_its_logits(words, dtype):
    """torch does not document this, but the layer relies on it."""
    logits = (3 * torch.randn(17, words)).to(dtype)
    expected = torch.softmax(logits, -1)
    torch.softmax(logits, -1, out=logits)
    assert torch.equal(logits, expected)


@pytest.mark.parametrize("needed", [(True, False), (False, True), (False, False)])
def test_only_needed_gradients_are_computed(needed, monkeypatch):
    layer = Softmax(5, 9, bias=True).double()
    hidden = torch.randn(7, 5, dtype=torch.float64, generator=torch.manual_seed(0))
    targets = torch.arange(7)
    all_gradients = [*torch.autograd.grad(
        layer.total_log_likelihood(hidden.requires_grad_(), targets), [hidden, *layer.parameters()]
    )]  # fmt: skip
    of_hidden, of_parameters = needed
    layer.requires_grad_(of_parameters)
    given = hidden.detach().requires_grad_(of_hidden)
    products = 0
    matmul = torch.Tensor.__matmul__

    def count(a, b):
        nonlocal products
        products += 1
        return matmul(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", count)
    total = layer.total_log_likelihood(given, targets)
    assert products == of_hidden + of_parameters
    assert total.requires_grad == any(needed)
    if any(needed):
        total.backward()
        found = [given.grad, *(p.grad for p in layer.parameters())]
        for ours, theirs, wanted in zip(
            found, all_gradients, [of_hidden, *[of_parameters] * 2], strict=True
        ):
            assert (ours is not None) == wanted
            if wanted:
                torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0)


@pytest.mark.parametrize("kept", [0, 2 * 16 * 9, 2**22])
@pytest.mark.parametrize("logits", [2**22, 3 * 9])
def test_weights_multiply_the_likelihood_and_gradient_of_every_row(logits, kept, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_LOGITS", {"cpu": logits})
    monkeypatch.setattr(module, "KEPT_LOGITS", {"cpu": kept})
    generator = torch.manual_seed(0)
    layer = Softmax(5, 9, bias=True).double()
    hidden = torch.randn(40, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    targets = torch.arange(40) % 9
    inputs = [hidden, *layer.parameters()]
    weights = torch.rand(40, dtype=torch.float64, generator=generator)
    values = reference.log_likelihood(hidden, layer.weight, layer.bias, targets)
    # Constants, and weights that the likelihoods of all rows decide: those of an importance-weighted bound.
    for weigh, found in (
        (lambda _: weights, weights),
        (lambda v: v.softmax(0), values.detach().softmax(0)),
    ):
        theirs = -0.3 * (found * values).sum()
        layer.arithmetic = "float32"
        ours = layer.total_log_likelihood(hidden, targets, -0.3, weigh)
        torch.testing.assert_close(ours, theirs)
        expected = torch.autograd.grad(theirs, inputs, retain_graph=True)
        for a, b in zip(torch.autograd.grad(ours, inputs), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)
        compute_in(layer, "reference")
        torch.testing.assert_close(layer.total_log_likelihood(hidden, targets, -0.3, weigh), theirs)
