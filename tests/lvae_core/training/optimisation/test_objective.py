"""The training loss and the gradient of every parameter against the hand-written loops, in float64."""

import pytest
import torch

from lvae_core import rng
from lvae_core.model.dropout import dropout
from lvae_core.training.optimisation.objective import objective

from ... import tiny
from ...oracles import hand_model, noise

CLASSES = 7
SENTENCES = [[3, 1, 5, 0], [0], [2, 2, 6, 4, 1, 3, 0], [6, 0]]
BETA = 0.3

CASES = [
    pytest.param(system, setting, L, fields, id=f"{system}-{setting}-L{L}-{'-'.join(fields) or 'plain'}")
    for system, setting, L, fields in [
        ("lstm-lm", "standard", 1, {}),
        ("lstm-lm", "inputless", 1, {"linear_bias": True}),
        ("lstm-vae", "standard", 1, {}),
        ("lstm-vae", "standard", 3, {"linear_bias": True}),
        ("lstm-vae", "standard", 2, {"share_embeddings": True}),
        ("lstm-vae", "inputless", 3, {}),
        ("lstm-vae-avg", "standard", 3, {}),
        ("lstm-vae-avg", "standard", 2, {"share_embeddings": True, "linear_bias": True}),
        ("lstm-vae-avg", "inputless", 3, {"linear_bias": True}),
    ]
]


def by_hand(p, config, step, *, hide=None):
    """(loss, −E log p + KL, KL) of SENTENCES with the documented noise of a step."""
    epsilon = None
    if config.encoder != "none":
        size = (config.num_samples, len(SENTENCES), config.latent_size)
        epsilon = noise.normal(config.seed, "latent", step, size=size)
    reconstruction, kl = hand_model.loss_terms(
        p,
        SENTENCES,
        epsilon,
        averaging=config.averaging,
        hide=config.setting == "inputless" if hide is None else hide,
        share=config.share_embeddings,
    )
    return reconstruction + BETA * kl, reconstruction + kl, kl


@pytest.mark.parametrize(("system", "setting", "L", "fields"), CASES)
def test_loss_and_gradients_equal_the_hand_loops(system, setting, L, fields):
    config = tiny.config(
        system, setting=setting, num_samples=L, dropout=0.0, init_scale=0.8, seed=5, **fields
    )
    model = tiny.double_model(config, CLASSES)
    p = tiny.parameters(model)
    actual = objective(model, tiny.batch(SENTENCES), config, kl_weight=BETA, step=17)
    expected = by_hand(p, config, 17)
    for a, e in zip(actual, expected, strict=True):
        assert a.item() == pytest.approx(e.item(), rel=1e-11)
    assert not actual.nll.requires_grad
    assert not actual.kl.requires_grad

    actual.loss.backward()
    names = [name for name, _ in model.named_parameters()]
    gradients = torch.autograd.grad(expected[0], [p[name] for name in names])
    for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
        assert float(gradient.abs().max()) > 1e-6, f"{name}: a gradient of zero would test nothing"
        torch.testing.assert_close(parameter.grad.to_dense(), gradient, rtol=1e-9, atol=1e-11, msg=name)


def test_several_chunks_of_logits_give_the_same_loss_and_gradients(monkeypatch):
    config = tiny.config("lstm-vae", num_samples=3, dropout=0.0, init_scale=0.8)
    results = []
    for logits in (2**22, 5 * CLASSES):
        monkeypatch.setattr("lvae_core.model.layers.softmax.CHUNK_LOGITS", {"cpu": logits})
        model = tiny.double_model(config, CLASSES)
        objective(model, tiny.batch(SENTENCES), config, kl_weight=BETA, step=0).loss.backward()
        results.append([p.grad.to_dense() for p in model.parameters()])
    for one, several in zip(*results, strict=True):
        torch.testing.assert_close(one, several, rtol=1e-11, atol=1e-12)


def test_a_loss_of_beta_zero_has_no_kl_in_its_gradient():
    config = tiny.config("lstm-vae", num_samples=1, dropout=0.0)
    model = tiny.double_model(config, CLASSES)
    # A decoder that ignores z leaves only the KL to train the encoder.
    with torch.no_grad():
        model.decoder.initial.weight.zero_()
        model.decoder.lstm.weight_ih_l0[:, config.embedding_size :].zero_()
    terms = objective(model, tiny.batch(SENTENCES), config, kl_weight=0.0, step=0)
    terms.loss.backward()
    assert float(terms.kl) > 0
    assert terms.nll.item() - terms.loss.item() == pytest.approx(terms.kl.item(), rel=1e-10)
    for name, parameter in model.encoder.named_parameters():
        assert float(parameter.grad.to_dense().abs().max()) == 0, name


@pytest.mark.parametrize("free_bits", [0.02, 1.0, 50.0])
def test_free_bits_take_the_gradient_of_small_kl_terms_and_leave_the_bound_alone(free_bits):
    config = tiny.config("lstm-vae", dropout=0.0, init_scale=0.8, seed=5, free_bits=free_bits)
    model = tiny.double_model(config, CLASSES)
    p = tiny.parameters(model)
    terms = objective(model, tiny.batch(SENTENCES), config, kl_weight=BETA, step=17)
    _, nll, kl = by_hand(p, config, 17)
    assert terms.nll.item() == pytest.approx(nll.item(), rel=1e-11)
    assert terms.kl.item() == pytest.approx(kl.item(), rel=1e-11)
    counted = torch.zeros((), dtype=torch.float64)
    least = free_bits / config.latent_size
    for words in SENTENCES:
        for m, v in zip(*hand_model.posterior(p, words), strict=True):
            term = 0.5 * (m * m + torch.exp(v) - 1 - v)
            counted = counted + (term if term.item() > least else term * 0 + least)
    expected = nll - kl + BETA * counted / len(SENTENCES)
    assert terms.loss.item() == pytest.approx(expected.item(), rel=1e-11)
    gradient = torch.autograd.grad(expected, p["encoder.to_log_variance.weight"])[0]
    terms.loss.backward()
    torch.testing.assert_close(model.encoder.to_log_variance.weight.grad, gradient, rtol=1e-9, atol=1e-12)


def test_hidden_words_are_replaced_by_the_learned_vector():
    config = tiny.config("lstm-vae", dropout=0.0, word_dropout=1.0, init_scale=0.8)
    model = tiny.double_model(config, CLASSES)
    terms = objective(model, tiny.batch(SENTENCES), config, kl_weight=BETA, step=3)
    expected = by_hand(tiny.parameters(model), config, 3, hide=True)
    assert terms.loss.item() == pytest.approx(expected[0].item(), rel=1e-11)


def test_word_dropout_hides_words_at_its_rate_and_in_training_only():
    config = tiny.config("lstm-lm", dropout=0.0, word_dropout=0.3, embedding_size=2)
    model = tiny.double_model(config, CLASSES)
    inputs = torch.full((200, 50), 4)
    with torch.no_grad():
        embedded = model.decoder.read(inputs, rng.torch_generator(0, "dropout", 1), 1)[0]
        hidden = (embedded == model.decoder.hidden_word).all(-1)
        kept = (embedded == model.decoder.embedding.weight[4]).all(-1)
    assert bool((hidden ^ kept).all())
    n = inputs.numel()
    assert abs(float(hidden.double().mean()) - 0.3) < 5 * (0.3 * 0.7 / n) ** 0.5
    assert bool((model.decoder.read(inputs, None, 1) == model.decoder.embedding.weight[4]).all())


def loss_at(step: int, seed: int = 0, **fields: float) -> float:
    config = tiny.config("lstm-vae", seed=seed, **fields)
    # One model for all seeds: what differs is drawn at the step.
    model = tiny.double_model(tiny.config("lstm-vae", **fields), CLASSES)
    return objective(model, tiny.batch(SENTENCES), config, kl_weight=1.0, step=step).loss.item()


@pytest.mark.parametrize("fields", [{"dropout": 0.0}, {"dropout": 0.5}], ids=["latent", "dropout"])
def test_noise_is_a_function_of_seed_and_step(fields):
    first = loss_at(4, **fields)
    torch.manual_seed(99)
    torch.rand(7)
    assert loss_at(4, **fields) == first
    assert loss_at(5, **fields) != first
    assert loss_at(4, seed=1, **fields) != first


def test_dropout_masks_are_a_function_of_seed_and_step():
    config = tiny.config("lstm-lm", dropout=0.5)
    model = tiny.double_model(config, CLASSES)

    def loss(seed: int, step: int) -> float:
        changed = tiny.config("lstm-lm", dropout=0.5, seed=seed)
        return objective(model, tiny.batch(SENTENCES), changed, kl_weight=1.0, step=step).loss.item()

    values = {(seed, step): loss(seed, step) for seed in range(3) for step in range(3)}
    assert len(set(values.values())) == 9
    assert all(loss(*key) == value for key, value in values.items())


def test_dropout_keeps_the_mean_and_drops_at_its_rate():
    x = torch.linspace(1, 2, 40_000, dtype=torch.float64)
    rate = 0.3
    y = dropout(x, rate, torch.Generator().manual_seed(3))
    kept = y != 0
    n = x.numel()
    assert abs(float(kept.double().mean()) - (1 - rate)) < 5 * (rate * (1 - rate) / n) ** 0.5
    chance = round(2**16 * (1 - rate)) / 2**16  # what sixteen bits can have nearest
    torch.testing.assert_close(y[kept], x[kept] / chance, rtol=1e-15, atol=0)
    # Var(y) of one element is x² rate / (1 − rate).
    error = float((x.square() * rate / (1 - rate)).sum()) ** 0.5 / n
    assert abs(float(y.mean() - x.mean())) < 5 * error


@pytest.mark.parametrize(
    ("rate", "dtype"), [(0.5, torch.bfloat16), (0.75, torch.bfloat16), (0.3, torch.float32)]
)
def test_dropout_of_rounded_numbers_is_rounded_where_its_scale_is_exact(rate, dtype):
    y = dropout(torch.ones(1000, dtype=torch.bfloat16), rate, torch.Generator().manual_seed(3))
    assert y.dtype is dtype
    assert float(y.max()) == pytest.approx(1 / (1 - rate), rel=2**-16)  # bfloat16 would be off by 2^-10


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_dropout_at_the_ends_of_its_range_uses_the_nearest_possible_rate(rate):
    y = dropout(torch.ones(2**18), rate, torch.Generator().manual_seed(3))
    share = float((y != 0).double().mean())
    nearest = min(max(1 - rate, 2**-16), 1 - 2**-16)
    assert share == pytest.approx(nearest, abs=1e-4)
    assert float(y.max()) == pytest.approx(1 / nearest)


def test_a_word_that_is_not_read_has_no_gradient_to_store():
    config = tiny.config("lstm-vae", dropout=0.0)
    model = tiny.double_model(config, CLASSES)
    objective(model, tiny.batch(SENTENCES), config, kl_weight=BETA, step=0).loss.backward()
    gradient = model.encoder.embedding.weight.grad.coalesce()
    assert set(gradient.indices()[0].tolist()) == {int(w) for sentence in SENTENCES for w in sentence}


def test_dropout_gradient_is_its_mask():
    x = torch.ones(1000, requires_grad=True)
    y = dropout(x, 0.5, torch.Generator().manual_seed(3))
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert set(x.grad.tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(("rate", "masks"), [(0.5, None), (0.0, torch.Generator())])
def test_no_dropout_returns_the_input_itself(rate, masks):
    x = torch.ones(3)
    assert dropout(x, rate, masks) is x


@pytest.mark.parametrize(
    ("fields", "zeroed"),
    [
        ({}, {"decoder words", "softmax input"}),
        ({"dropout_latent_input": True}, {"decoder words", "decoder latent", "softmax input"}),
        ({"dropout_encoder": True}, {"decoder words", "encoder words", "softmax input"}),
        ({"dropout": 0.0, "dropout_encoder": True, "dropout_latent_input": True}, set()),
    ],
)
def test_dropout_acts_where_the_config_says(fields, zeroed):
    """What the two LSTMs and the softmax are fed holds exact zeros where, and only where, dropout acts."""
    config = tiny.config("lstm-vae", num_samples=1, embedding_size=20, latent_size=20, **fields)
    model = tiny.double_model(config, CLASSES)
    D = config.embedding_size
    seen: dict[str, torch.Tensor] = {}
    model.encoder.lstm.register_forward_pre_hook(lambda _, x: seen.update({"encoder words": x[0]}))
    model.decoder.lstm.register_forward_pre_hook(
        lambda _, x: seen.update({"decoder words": x[0][..., :D], "decoder latent": x[0][..., D:]})
    )
    batch = tiny.batch(SENTENCES)

    def watch_gradient(_module, _inputs, states) -> None:
        # The gradient that reaches the decoder's states is zero where the softmax's input was dropped.
        states.register_hook(lambda g: seen.update({"softmax input": g[0].flatten(0, 1)[batch.positions]}))

    model.decoder.register_forward_hook(watch_gradient)
    objective(model, batch, config, kl_weight=1.0, step=0).loss.backward()
    share = {name: float((value == 0).double().mean()) for name, value in seen.items()}
    assert share.keys() == {"encoder words", "decoder words", "decoder latent", "softmax input"}
    for name, value in share.items():
        assert 0.3 < value < 0.7 if name in zeroed else value == 0, (name, value)


def test_gradients_are_added_in_the_order_of_earlier_runs():
    """In float32 another order of building the graph changes last bits, and so every run's numbers."""
    config = tiny.config("lstm-vae", num_samples=3, init_scale=0.8, seed=5)
    batch = tiny.batch(SENTENCES)

    def gradients(kl_first: bool | None) -> list[torch.Tensor]:
        model = tiny.double_model(config, CLASSES).float()
        if kl_first is None:
            loss = objective(model, batch, config, kl_weight=BETA, step=17).loss
        else:
            masks = rng.torch_generator(config.seed, "dropout", 17)
            epsilon = rng.normal(config.seed, "latent", 17, size=(3, 1, len(SENTENCES), config.latent_size))
            q = model.encoder(batch, masks)
            kl = q.kl().mean() if kl_first else None
            reconstruction = model.mean_nll(batch, q.sample(epsilon), masks)
            loss = reconstruction + BETA * (q.kl().mean() if kl is None else kl)
        loss.backward()
        return [parameter.grad.to_dense() for parameter in model.parameters()]

    ours, earlier, other = (gradients(order) for order in (None, False, True))
    assert all(torch.equal(a, b) for a, b in zip(ours, earlier, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(other, earlier, strict=True)), "the test has power"
