"""Semi-amortised inference against loops by hand that autograd differentiates in float64."""

import dataclasses
import math

import pytest
import torch

from lvae_core.model.layers.precision import compute_in
from lvae_core.model.noise import BatchNoise, SentenceNoise
from lvae_core.model.semi_amortised import Descent, Passed, Rule, Way
from lvae_core.model.text_model import TextModel
from lvae_core.rng import Key, torch_generator
from lvae_core.training.optimisation.objective import objective

from .. import tiny
from ..oracles import hand_model, noise

CLASSES = 7
SENTENCES = [[3, 1, 5, 0], [0], [2, 2, 6, 4, 1, 3, 0], [6, 0]]
BETA, STEP = 0.7, 17


def config_of(**fields):
    base = {"num_samples": 1, "init_scale": 0.8, "seed": 5, "dropout": 0.0, "latent_size": 3}
    plain = {"svi_max_sentence_norm": 0.0, "sa_clip": "none"}
    return tiny.config("sa-vae", **{**base, "svi_step_size": 8.0, **plain, **fields})


def gradients_of(config, *, system: str = "sa-vae", step: int = STEP) -> dict[str, torch.Tensor]:
    """The gradients of our training objective in float64."""
    model = tiny.double_model(config, CLASSES)
    objective(model, tiny.batch(SENTENCES), config, kl_weight=BETA, step=step).loss.backward()
    return {name: p.grad.to_dense() for name, p in model.named_parameters()}


def assert_gradients_agree(found, expected, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert float((found[name] - gradient).norm()) <= tolerance * float(gradient.norm()), name


# --- the reverse pass ---


def by_hand(p, config) -> torch.Tensor:
    """The loss after the K steps, one sentence at a time; autograd sees every step."""
    K, G, B = config.svi_steps, config.group, len(SENTENCES)

    def normal(*purpose, size):
        return noise.normal(config.seed, "latent", STEP, *purpose, size=(*size, B, 3))

    drawn = [normal("inference", k, size=(1, G)) for k in range(K)] + [normal(size=(config.draws, G))]
    loss = torch.zeros((), dtype=torch.float64)
    for b, words in enumerate(SENTENCES):

        def log_p(mean, log_variance, epsilon, words=words):  # epsilon: (S, G, Z)
            z = mean + torch.exp(log_variance / 2) * epsilon
            hide = config.setting == "inputless"
            return [hand_model.log_p_averaged(p, words, list(group), hide=hide) for group in z]

        def cost(mean, log_variance, epsilon, log_p=log_p):
            values = log_p(mean, log_variance, epsilon)
            value = sum(values) / len(values)
            return -value + BETA * hand_model.kl(mean, log_variance)

        place = hand_model.posterior(p, words)
        speed = [torch.zeros(3, dtype=torch.float64)] * 2
        for k in range(K):
            value = cost(*place, drawn[k][:, :, b])
            gradient = torch.autograd.grad(value, place, create_graph=True)
            if config.svi_max_sentence_norm:
                length = torch.cat(gradient).norm()
                gradient = [g * (config.svi_max_sentence_norm / length).clamp(max=1) for g in gradient]
            speed = [config.svi_momentum * v - g for v, g in zip(speed, gradient, strict=True)]
            place = [x + config.svi_step_size / 32 * v for x, v in zip(place, speed, strict=True)]
        if config.objective == "elbo":
            loss = loss + cost(*place, drawn[K][:, :, b])
            continue
        mean, log_variance = place
        epsilon = drawn[K][:, :, b]
        z = mean + torch.exp(log_variance / 2) * epsilon
        ratios = 0.5 * (epsilon**2 + log_variance - z**2).sum((1, 2))  # log p(z) / q(z|x)
        log_w = torch.stack(log_p(mean, log_variance, epsilon)) + BETA * ratios
        loss = loss - torch.log(torch.exp(log_w).mean())
    return loss / len(SENTENCES)


@pytest.mark.parametrize(
    ("steps", "fields"),
    [
        (1, {}),
        (2, {"setting": "inputless"}),
        (3, {}),
        (3, {"svi_momentum": 0.0, "num_samples": 2}),
        (3, {"svi_max_sentence_norm": 0.7}),
        (3, {"svi_max_sentence_norm": 0.05, "svi_step_size": 64.0}),
        (2, {"averaging": "hidden", "num_samples": 2}),
        (2, {"objective": "importance_weighted", "encoder_gradient": "reparameterised", "num_samples": 3}),
    ],
)
def test_the_gradient_is_that_of_the_loop_by_hand(steps, fields):
    config = config_of(svi_steps=steps, **fields)
    p = tiny.parameters(tiny.double_model(config, CLASSES))
    loss = by_hand(p, config)
    found = gradients_of(config)
    expected = dict(zip(found, torch.autograd.grad(loss, [p[name] for name in found]), strict=True))
    assert_gradients_agree(found, expected, 1e-6)
    # It is not the gradient at the encoder's posterior, or little would have been compared.
    plain = gradients_of(config_of(**{**fields, "svi_steps": 0}))
    name = "encoder.to_mean.weight"
    assert float((found[name] - plain[name]).norm()) > 0.1 * float(plain[name].norm())


def unrolled(config, model) -> dict[str, torch.Tensor]:
    """The gradients of a loop that autograd unrolls, over the plain formulas, with dropout."""
    compute_in(model, "reference")
    batch, masks = tiny.batch(SENTENCES), torch_generator(config.seed, "dropout", STEP)
    epsilon = BatchNoise(model.posterior, model.latent_size, Key(config.seed, "latent", (STEP,)), 4)
    q = model.encoder(batch, masks)
    speed = {name: torch.zeros_like(value) for name, value in q.parameters.items()}
    for k in range(config.svi_steps):
        drawn = epsilon("inference", k, size=(1, 1)).double()
        value = 4 * model.mean_nll(batch, q.sample(drawn), masks) + BETA * q.kl().sum()
        gradient = torch.autograd.grad(value, list(q.parameters.values()), create_graph=True)
        moves = zip(speed.items(), gradient, strict=True)
        speed = {name: config.svi_momentum * v - g for (name, v), g in moves}
        rate = config.svi_step_size / 32
        q = q.with_parameters({name: value + rate * speed[name] for name, value in q.parameters.items()})
    drawn = epsilon(size=(config.draws, 1)).double()
    (model.mean_nll(batch, q.sample(drawn), masks) + BETA * q.kl().mean()).backward()
    return {name: p.grad.to_dense() for name, p in model.named_parameters()}


CNN = {"decoder": "cnn", "cnn_external": 8, "cnn_channels": 4, "cnn_dilations": "1,2"}


@pytest.mark.parametrize("fields", [{}, {"dropout_encoder": True, "share_embeddings": True}, CNN])
def test_every_step_has_its_own_dropout_and_the_reverse_pass_the_same(fields):
    config = config_of(svi_steps=3, dropout=0.5, word_dropout=0.2, **fields)
    expected = unrolled(config, tiny.double_model(config, CLASSES))
    assert_gradients_agree(gradients_of(config), expected, 1e-6)


def test_without_steps_the_gradient_is_that_of_lstm_vae_bit_for_bit():
    fields = {"dropout": 0.5, "num_samples": 2}
    found = gradients_of(config_of(svi_steps=0, **fields))
    expected = gradients_of(tiny.config("lstm-vae", init_scale=0.8, seed=5, latent_size=3, **fields))
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def test_steps_of_size_0_give_the_gradient_of_lstm_vae_at_the_encoders_posterior():
    config = config_of(dropout=0.5)
    batch, key = tiny.batch(SENTENCES), Key(5, "latent", (STEP,))
    results = []
    for rule in (Rule(3, 0.0, 0.5, 0.1, "consistent", 5.0), None):
        model = tiny.double_model(config, CLASSES)
        epsilon = BatchNoise(model.posterior, model.latent_size, key, 4)
        masks = torch_generator(5, "dropout", STEP)
        q = model.encoder(batch, masks)
        if rule is not None:
            q = Descent(model, batch, epsilon, BETA, rule).run(q, masks)
        else:
            for _ in range(3):  # the masks of the three steps
                model.mean_nll(batch, q.sample(epsilon(size=(1, 1)).double()).detach(), masks)
        loss = model.mean_nll(batch, q.sample(epsilon(size=(1, 1)).double()), masks)
        (loss + BETA * q.kl().mean()).backward()
        results.append([p.grad.to_dense() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


# --- products with second derivatives ---


def way_of(model, config, steps: int = 1) -> Way:
    batch, key = tiny.batch(SENTENCES), Key(5, "latent", (STEP,))
    epsilon = BatchNoise(model.posterior, model.latent_size, key, len(SENTENCES))
    q = model.encoder(batch, None).detach()
    descent = Descent(model, batch, epsilon, BETA, Rule.of(config))
    point = torch.cat(list(q.parameters.values()), dim=1)
    passed = Passed(point, descent.gradients(q, point, 0, None)[0], None)
    return Way(descent, q, [passed] * steps, None)


def exact_product(config, v: torch.Tensor, k: int = 0) -> list[torch.Tensor]:
    """H v of step k by two backward passes in float64: of λ, then of the decoder's parameters."""
    model = tiny.double_model(config, CLASSES)
    compute_in(model, "reference")
    batch = tiny.batch(SENTENCES)
    epsilon = noise.normal(5, "latent", STEP, "inference", k, size=(1, 1, 4, 3))
    q = model.encoder(batch, None).detach()
    leaf = torch.cat(list(q.parameters.values()), dim=1).requires_grad_()
    at = q.with_parameters({"mean": leaf[:, :3], "log_variance": leaf[:, 3:]})
    value = 4 * model.mean_nll(batch, at.sample(epsilon), None) + BETA * at.kl().sum()
    (gradient,) = torch.autograd.grad(value, leaf, create_graph=True)
    read = [p for name, p in model.named_parameters() if not name.startswith("encoder.")]
    return [g.to_dense() for g in torch.autograd.grad((gradient * v).sum(), [leaf, *read])]


@pytest.mark.parametrize("length", [1e-6, 0.01, 0.16, 16.0, 1e4])
def test_products_in_float32_are_exact_to_a_thousandth_however_long_the_vector(length):
    config = config_of(svi_steps=1, init_scale=0.3)
    v = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    v = v * (length / v.norm())
    model = TextModel(config, CLASSES)
    read = [p for name, p in model.named_parameters() if not name.startswith("encoder.")]
    first, others = way_of(model, config).product(0, v.float(), read)
    expected = exact_product(config, v)
    assert float((first - expected[0]).norm()) < 1e-3 * float(expected[0].norm())
    error = sum(float((a.to_dense() - b).norm() ** 2) for a, b in zip(others, expected[1:], strict=True))
    assert math.sqrt(error) < 1e-3 * math.sqrt(sum(float(b.norm() ** 2) for b in expected[1:]))


def test_a_product_with_nothing_is_nothing():
    config = config_of(svi_steps=1)
    model = TextModel(config, CLASSES)
    first, others = way_of(model, config).product(0, torch.zeros(4, 6), list(model.parameters()))
    assert not first.any()
    assert not any(part.to_dense().any() for part in others if part is not None)


@pytest.mark.parametrize("sa_clip", ["consistent", "per_sentence"])
def test_clipping_keeps_the_directions_of_the_products(sa_clip):
    # Far below the norm of the gradients of f: clipping those would change every difference.
    norm = 1e-3
    config = config_of(svi_steps=2, sa_clip=sa_clip, svi_max_grad_norm=norm)
    model = tiny.double_model(config, CLASSES)
    read = [p for name, p in model.named_parameters() if not name.startswith("encoder.")]
    bar = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, of_read = way_of(model, config, steps=2).back(bar, read)

    def clipped(parts: list[torch.Tensor]) -> list[torch.Tensor]:
        length = math.sqrt(sum(float(part.norm() ** 2) for part in parts))
        assert length > norm
        return [part * norm / length for part in parts]

    def shortened(rows: torch.Tensor) -> torch.Tensor:
        if sa_clip == "consistent":
            return clipped([rows])[0]
        pairs = zip(rows, start, strict=True)
        return torch.stack([row * min(1.0, float(first.norm() / row.norm())) for row, first in pairs])

    v, total, start = torch.zeros_like(bar), [torch.zeros_like(p) for p in read], bar
    for k in (1, 0):
        v = v + config.svi_step_size / 32 * bar
        first, *others = exact_product(config, v, k)
        bar = shortened(bar - first)
        total = [t - part for t, part in zip(total, clipped(others), strict=True)]
        v = 0.5 * v
    torch.testing.assert_close(found, bar, rtol=1e-6, atol=1e-12)
    for ours, theirs in zip(of_read, total, strict=True):
        torch.testing.assert_close(ours.to_dense(), theirs, rtol=1e-6, atol=1e-11)


def test_what_a_sentence_amplifies_in_the_reverse_pass_leaves_the_others_as_they_are():
    config = config_of(svi_steps=3, sa_clip="none", svi_step_size=2.0, init_scale=0.3)
    model = tiny.double_model(config, CLASSES)
    bar = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    way = way_of(model, config, steps=3)
    read = list(model.decoder.parameters())
    exact, _ = way.back(bar, read)
    assert (exact.norm(dim=1) < bar.norm(dim=1)).all()  # the KL's curvature is 1, so small steps contract
    # A huge curvature of sentence 2: its products are 1e4 times as large.
    product = way.product

    def steep(k, v, parameters):
        of_lambda, others = product(k, v, parameters)
        of_lambda[2] *= 1e4
        return of_lambda, others

    steps = dataclasses.replace(way.descent, rule=way.descent.rule._replace(clipping="per_sentence"))
    clipped = dataclasses.replace(way, descent=steps)
    object.__setattr__(clipped, "product", steep)
    found, _ = clipped.back(bar, read)
    others = [0, 1, 3]
    torch.testing.assert_close(found[others], exact[others], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found[2].norm(), bar[2].norm())


# --- the steps ---


def infer(model, sentences, places):
    keys = [Key(0, "evaluation", ("test", place)) for place in places]
    with torch.no_grad():
        return model.infer(
            tiny.batch(sentences), noise=SentenceNoise(model.posterior, model.latent_size, keys)
        )


@pytest.mark.parametrize("setting", tiny.SETTINGS)
def test_a_step_moves_a_sentence_by_a_32nd_of_its_own_gradient_whatever_the_batch(setting):
    config = config_of(svi_steps=1, setting=setting)
    model = tiny.double_model(config, CLASSES)
    p = tiny.parameters(model)
    together = infer(model, SENTENCES, range(4))
    for b, words in enumerate(SENTENCES):
        mean, log_variance = hand_model.posterior(p, words)
        epsilon = noise.normal(0, "evaluation", "test", b, "inference", 0, size=(1, 1, 3))[0, 0]
        z = mean + torch.exp(log_variance / 2) * epsilon
        states = hand_model.states(p, words, z, hide=setting == "inputless")
        value = hand_model.kl(mean, log_variance) - hand_model.log_p(p, states, words)
        first, second = torch.autograd.grad(value, [mean, log_variance])
        for q, row in (
            (together, b),
            (infer(model, [words], [b]), 0),
            (infer(model, [words] * 9, [b] * 9), 8),
        ):
            torch.testing.assert_close(q.mean[row], mean - 8 / 32 * first, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(
                q.log_variance[row], log_variance - 8 / 32 * second, rtol=1e-10, atol=1e-12
            )


@pytest.mark.parametrize("max_sentence_norm", [0.0, 0.5])
def test_another_sentence_of_the_batch_changes_no_posterior(max_sentence_norm):
    model = tiny.double_model(config_of(svi_steps=5, svi_max_sentence_norm=max_sentence_norm), CLASSES)
    one = infer(model, SENTENCES, range(4))
    other = infer(model, [*SENTENCES[:3], [1, 2, 3, 4, 5, 6, 1, 2, 0]], [0, 1, 2, 9])
    for name, value in one.parameters.items():
        torch.testing.assert_close(other.parameters[name][:3], value[:3], rtol=1e-11, atol=1e-13)
        assert not torch.equal(other.parameters[name][3], value[3])


def test_clipping_bounds_what_overshooting_steps_do_to_a_posterior():
    # The curvature of the KL by a mean is 1: steps of more than 2 (1 + 0.5) times a gradient grow.
    fields = {"svi_steps": 20, "svi_step_size": 8.0 * 32}
    far = infer(tiny.double_model(config_of(**fields), CLASSES), SENTENCES, range(4))
    assert float(far.mean.norm()) > 1e9
    tame = config_of(svi_max_sentence_norm=0.1, **fields)
    model = tiny.double_model(tame, CLASSES)
    start, end = model.encoder(tiny.batch(SENTENCES), None), infer(model, SENTENCES, range(4))
    moves = torch.cat([end.parameters[name] - start.parameters[name] for name in end.parameters], dim=1)
    # Momentum adds up at most 1 + 0.5 + 0.25 + … = 2 clipped gradients in each of the 20 steps.
    assert (moves.norm(dim=1) < 20 * 2 * 8.0 * 0.1).all()


def test_small_steps_under_fixed_noise_improve_the_bound_of_nearly_every_sentence():
    config = config_of(svi_steps=10, svi_step_size=0.5)
    model = tiny.double_model(config, CLASSES)
    sentences = tiny.sentences(40, CLASSES, seed=3)
    batch = tiny.batch(sentences)
    fixed = torch.randn(1, 1, 40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def bounds(q) -> torch.Tensor:
        return model.log_likelihood(batch, q.sample(fixed))[0] - q.kl()

    with torch.no_grad():
        before = model.encoder(batch)
        after = Descent(model, batch, lambda *purpose, size: fixed, 1.0, Rule.of(config)).run(before, None)
        gains = bounds(after) - bounds(before)
    assert float(gains.mean()) > 0.1
    assert float((gains > 0).double().mean()) > 0.9
