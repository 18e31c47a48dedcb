"""bfloat16 against float64 with operands and results rounded by hand, and the meaning of "auto".

Every machine tests both kinds of product: real bfloat16, which torch computes slowly without instructions
for it, and the emulation by rounded numbers in float32.
"""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lvae_core.model.layers import precision
from lvae_core.model.layers import softmax as softmax_module
from lvae_core.model.layers.lstm import LSTM
from lvae_core.model.layers.precision import cast, compute_in, resolve
from lvae_core.model.layers.softmax import Softmax
from lvae_core.model.text_model import TextModel
from lvae_core.training.optimisation.objective import objective

from .. import tiny
from ..oracles import hand_model
from ..oracles.bfloat16 import STEP, rounded

ROWS, H, V = 37, 24, 70
CPUINFO = Path("/proc/cpuinfo")


@pytest.fixture(params=[True, False], ids=["in bfloat16", "emulated"])
def real(request, monkeypatch) -> bool:
    """Whether the code believes that the processor multiplies bfloat16."""
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: request.param)
    return request.param


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def layer(request) -> Softmax:
    layer = Softmax(H, V, bias=request.param)
    with torch.no_grad():
        for seed, parameter in enumerate(layer.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=seed) / 2)
    compute_in(layer, "bfloat16")
    return layer


@pytest.fixture(params=[1, 4], ids=["one chunk", "four chunks"])
def chunks(request, monkeypatch) -> list[slice]:
    """Chunks of the rows; the last of four is shorter."""
    step = {1: ROWS, 4: 10}[request.param]
    monkeypatch.setattr(softmax_module, "CHUNK_LOGITS", {"cpu": step * V})
    monkeypatch.setattr(softmax_module, "TILE_ROWS", 1)
    monkeypatch.setattr(softmax_module, "UNKEPT_LOGITS", {"cpu": step * V})
    return [slice(start, start + step) for start in range(0, ROWS, step)]


def normal(*size: int, seed: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def assert_rounded_alike(actual: Tensor, expected: Tensor, unrounded: Tensor) -> None:
    """Assert equality except for a few values that were rounded the other way after another order of sums.

    One step in one of hundreds of values is 5e-4 of the norm. Rounding itself changes far more.
    """
    expected, unrounded = expected.detach(), unrounded.detach()
    assert actual.dtype is torch.float32
    difference = actual.detach().double() - expected
    assert difference.norm() < 5e-4 * expected.norm()
    assert difference.abs().max() <= STEP * expected.abs().max()
    assert (expected - unrounded).norm() > 1e-3 * expected.norm()


def test_the_rounding_by_hand_is_to_nearest_with_ties_to_even():
    one = 1.0 + STEP * torch.tensor([0.0, 0.49, 0.5, 0.51, 1.0, 1.49, 1.5, 1.51, 126.5, 127.5])
    expected = 1.0 + STEP * torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 126.0, 128.0])
    for factor in (1.0, -1.0, 2.0**-100, 2.0**90):
        assert torch.equal(rounded(one * factor), expected.double() * factor)


# --- softmax ---


@pytest.mark.usefixtures("real", "chunks")
def test_log_likelihoods_equal_those_of_rounded_operands(layer):
    """The operands round to small whole numbers, so that their products are exact."""
    whole = torch.randint(-3, 4, (ROWS + V, H), generator=torch.Generator().manual_seed(0)).float()
    chance = torch.rand(whole.shape, generator=torch.Generator().manual_seed(1))
    near = whole + 0.49 * STEP * chance * whole.sign()
    assert torch.equal(rounded(near), whole.double())
    hidden, targets = near[:ROWS], torch.arange(ROWS) % V
    with torch.no_grad():
        layer.weight.copy_(near[ROWS:])
        if layer.bias is not None:
            layer.bias.copy_(1 + torch.arange(V) % 5 + 0.3 * STEP)  # rounds to whole numbers, too
        bias = 0.0 if layer.bias is None else rounded(layer.bias)
        logits = whole[:ROWS].double() @ whole[ROWS:].double().T + bias
        assert logits.abs().max() < 256, "bfloat16 represents every whole number up to 256"
        every = logits.softmax(1)
        p = every[torch.arange(ROWS), targets]
        assert (p < 1e-30).any(), "no probability is too small"
        own = logits[torch.arange(ROWS), targets]
        below = own - logits.amax(1)
        expected = torch.where(p > 1.2e-38, rounded(p).log(), below + rounded(every.amax(1)).log())
        actual = layer.log_likelihood(hidden, targets)
        assert actual.dtype is torch.float32
        torch.testing.assert_close(actual.double(), expected, rtol=1e-6, atol=1e-5)
        total = layer.total_log_likelihood(hidden, targets)
        of_training = torch.where(p > 1.2e-38, rounded(p).log(), below)
        torch.testing.assert_close(total.double(), of_training.sum(), rtol=1e-6, atol=0)
        compute_in(layer, "float32")
        assert (layer.log_likelihood(hidden, targets) - actual).abs().max() > 0.1


@pytest.mark.usefixtures("real")
def test_total_and_gradients_equal_those_of_rounded_products(layer, chunks):
    hidden = normal(ROWS, H, seed=7).requires_grad_()
    targets = torch.randint(V, (ROWS,), generator=torch.Generator().manual_seed(8))
    scale = -0.25  # a power of two, so that scaling is exact
    total = layer.total_log_likelihood(hidden, targets)
    (scale * total).backward()

    h, w = rounded(hidden), rounded(layer.weight)
    bias = 0.0 if layer.bias is None else rounded(layer.bias)
    delta = rounded(rounded(h @ w.T + bias).softmax(1))
    expected = delta[torch.arange(ROWS), targets].log().sum()
    # A logit rounded the other way changes the sum by at most one rounding step.
    torch.testing.assert_close(total.detach().double(), expected, rtol=2e-4, atol=0)

    delta[torch.arange(ROWS), targets] -= 1
    delta = -scale * rounded(delta)
    d_weight = sum(rounded(delta[rows].T @ h[rows]) for rows in chunks)
    assert_rounded_alike(hidden.grad, rounded(delta @ w), delta @ w)
    # A sum over chunks is float32; a single product keeps its rounded dtype.
    product = cast(layer.weight, "bfloat16").dtype  # float32 where bfloat16 is emulated
    assert layer.weight.grad.dtype is (product if len(chunks) == 1 else torch.float32)
    assert_rounded_alike(layer.weight.grad.float(), d_weight, delta.T @ h)
    if layer.bias is not None:
        assert layer.bias.grad.dtype is torch.float32
        torch.testing.assert_close(layer.bias.grad.double(), delta.sum(0), rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("real", "chunks")
def test_uninitialised_memory_is_never_read(layer, monkeypatch):
    """torch is made to fill uninitialised memory with NaN."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(2).isnan().all()
        hidden = normal(ROWS, H, seed=7).requires_grad_()
        layer.total_log_likelihood(hidden, torch.zeros(ROWS, dtype=torch.int64)).backward()
    finally:
        torch.use_deterministic_algorithms(before)
    assert all(bool(x.grad.isfinite().all()) for x in (hidden, *layer.parameters()))


# --- LSTM ---

NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


@pytest.mark.parametrize("given", [True, False], ids=["state given", "from zeros"])
def test_an_lstm_equals_the_loop_over_rounded_operands(given, real):
    rows, T, D, H = 6, 7, 5, 9
    layer = LSTM(D, H)
    compute_in(layer, "bfloat16")
    with torch.no_grad():
        for seed, name in enumerate(NAMES):
            layer.get_parameter(name).copy_(normal(*layer.get_parameter(name).shape, seed=seed) / 2)
    inputs = normal(rows, T, D, seed=4).requires_grad_()
    h, c = (normal(1, rows, H, seed=seed).requires_grad_(given) for seed in (5, 6))
    out, (last_h, last_c) = layer(inputs, (h, c) if given else None)
    weights = normal(rows, T, H, seed=7)
    (out * weights).sum().backward()

    p = {f"lstm.{name}": rounded(layer.get_parameter(name)).requires_grad_() for name in NAMES}
    x = rounded(inputs).requires_grad_()
    start = [
        (rounded(part[0]) if given else torch.zeros(rows, H).double()).requires_grad_() for part in (h, c)
    ]
    states = torch.stack(hand_model.lstm(p, "lstm", list(x.unbind(1)), *start), dim=1)
    (states * weights).sum().backward()

    pairs = [(inputs, x), *((layer.get_parameter(name), p[f"lstm.{name}"]) for name in NAMES)]
    if given:
        pairs += [(h, start[0]), (c, start[1])]
    assert out.dtype is (torch.bfloat16 if real else torch.float32)
    assert {last_h.dtype, last_c.dtype, *(ours.grad.dtype for ours, _ in pairs)} == {torch.float32}
    assert torch.equal(last_h[0], out[:, -1].float())
    if real:
        # Every step rounds its state: results are bfloat16 values within a few rounding steps of the exact.
        assert torch.equal(rounded(out.float()), out.detach().double())
        assert 1e-3 < distance(out.detach(), states.detach()) < 3 * STEP
        for ours, exact in pairs:
            assert torch.equal(rounded(ours.grad), ours.grad.double())
            assert 1e-3 < distance(ours.grad, exact.grad.view_as(ours.grad)) < 5 * STEP
    else:
        torch.testing.assert_close(out.detach().double(), states.detach(), rtol=1e-5, atol=1e-6)
        for ours, exact in pairs:
            exact_grad = exact.grad.view_as(ours.grad)
            assert_rounded_alike(ours.grad, rounded(exact_grad), exact_grad)


def distance(actual: Tensor, exact: Tensor) -> float:
    """2-norm of the difference, relative to the 2-norm of ``exact``."""
    return float((actual - exact).norm() / exact.norm())


# --- whole models ---


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("system", tiny.SYSTEMS)
def test_only_the_gradient_of_the_softmax_weight_is_not_float32(system):
    config = tiny.config(system, init_scale=0.5)
    batch = tiny.batch(tiny.sentences(5, 9, seed=0))
    model = TextModel(config, 9)
    found = {}
    for arithmetic in ("float32", "bfloat16"):
        compute_in(model, arithmetic)
        loss = objective(model, batch, config, kl_weight=1.0, step=0).loss
        loss.backward()
        assert loss.dtype is torch.float32
        kinds = {name: p.grad.dtype for name, p in model.named_parameters()}
        assert kinds.pop("output.weight") is cast(model.output.weight, arithmetic).dtype
        assert {*kinds.values(), *(p.dtype for p in model.parameters())} == {torch.float32}
        found[arithmetic] = torch.cat([p.grad.to_dense().flatten() for p in model.parameters()])
        model.zero_grad()
    assert 1e-3 < distance(found["bfloat16"], found["float32"]) < 5 * STEP
    layers = [m for m in model.modules() if isinstance(m, LSTM | Softmax)]
    assert [layer.arithmetic for layer in layers] == ["bfloat16"] * (2 if system == "lstm-lm" else 3)


# --- which arithmetic ---


def test_auto_means_bfloat16_if_the_processor_multiplies_it(real):
    assert resolve("auto", "cpu") == ("bfloat16" if real else "float32")
    assert resolve("float32", "cpu") == "float32"
    assert resolve("bfloat16", "cpu") == "bfloat16"


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"neon": True, "bf16": True}, False),
    ],
)
def test_bfloat16_instructions_are_detected_by_torch_capabilities(capabilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    precision._has_bfloat16.cache_clear()
    try:
        assert precision.multiplies_bfloat16(torch.device("cpu")) is expected
    finally:
        precision._has_bfloat16.cache_clear()


@pytest.mark.skipif(not CPUINFO.exists(), reason="this system has no /proc/cpuinfo")
def test_detection_agrees_with_the_flags_of_this_processor():
    flags = set(re.findall(r"\w+", "".join(re.findall(r"^flags\s*:(.*)$", CPUINFO.read_text(), re.M)[:1])))
    expected = bool(flags & {"amx_bf16", "avx512_bf16"}) and hasattr(torch.cpu, "get_capabilities")
    assert precision.multiplies_bfloat16(torch.device("cpu")) is expected
