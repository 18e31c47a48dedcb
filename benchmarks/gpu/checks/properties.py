"""What decoders, posteriors, masks and estimates must do on any device.

The properties are those of the conformance suites in tests/lvae_core, as far as a device can break them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from gpu.checks import oracle, oracle_posteriors
from gpu.checks.subjects import SETTINGS, batch_of, config_of, num_classes, parameters, sentences, split_of
from gpu.records import Record, Settings, check, run_part
from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.evaluation.likelihood import COLUMNS, sentence_statistics
from lvae_core.model.dropout import dropout
from lvae_core.model.layers.precision import compute_in
from lvae_core.model.noise import SentenceNoise
from lvae_core.model.parts import POSTERIORS
from lvae_core.model.text_model import TextModel
from lvae_core.rough_scoring import SHORTLIST
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.runtime import Runtime

CLOSE = 2e-5
"""Largest difference of float32 states of order 1 that are computed in another order."""


def work(settings: Settings) -> Iterator[Record]:
    """Check decoders, posteriors, dropout and estimates."""
    set_arithmetic(config_of("lstm-vae", tiny=settings.tiny), Runtime(device=settings.device))
    checks: dict[str, Callable[[Settings], str]] = {}
    for system in ("lstm-vae", "cnn-vae"):
        for setting in SETTINGS:
            name = f"decoder of {system}, {setting}"
            checks[name] = lambda s, a=system, b=setting: decoder(config_of(a, b, tiny=s.tiny), s)
    for family in POSTERIORS:
        checks[f"posterior {family}"] = lambda s, f=family: posterior(f, s)
    checks["dropout"] = masks
    for system in ("lstm-lm", "lstm-vae", "lstm-vae-avg", "lstm-vmf-vae", "cnn-vae"):
        checks[f"estimates of {system}"] = lambda s, a=system: estimates(config_of(a, tiny=s.tiny), s)
    checks["two-phase evaluation"] = two_phase
    for name, one in checks.items():
        if settings.wants(name):
            yield check(name, lambda one=one: one(settings))


def decoder(config: RunConfig, settings: Settings) -> str:
    """Word by word gives the states of the whole; later words, padding and other rows change none."""
    V = num_classes(tiny=settings.tiny)
    model = TextModel(config, V).to(settings.device)
    compute_in(model, "float32")
    words = torch.randint(1, V, (3, 8), generator=torch.Generator().manual_seed(0)).to(settings.device)
    z = torch.randn(2, 3, config.latent_size, generator=torch.Generator().manual_seed(1)).to(
        settings.device
    )
    with torch.no_grad():
        whole = model.decoder(words, z, None)  # (2, 3, 8, H)
        state = model.decoder.start(z[0], 3)
        for t in range(8):
            hidden, state = model.decoder.step(words[:, t], z[0], state)
            near(hidden, whole[0, :, t], f"the state of step {t + 1}")
        near(model.decoder(words[:, :5], z, None), whole[:, :, :5], "a shorter sentence's states")
        changed = words.clone()
        changed[:, 5:] = 1 + changed[:, 5:] % (V - 1)
        near(model.decoder(changed, z, None)[:, :, :5], whole[:, :, :5], "a state before a changed word")
        near(model.decoder(words[1:2], z[1:, 1:2], None)[0, 0], whole[1, 1], "the states of a row alone")
        near(state_of_other(model, words, z), whole[1, 2], "the states beside other rows")
    return "word by word, shortened, changed later and alone: the same states"


def state_of_other(model: TextModel, words: Tensor, z: Tensor) -> Tensor:
    """The states of the last row under the second z, after the first row and first z were changed."""
    words, z = words.clone(), z.clone()
    words[0], z[0] = words[1], -z[0]
    states: Tensor = model.decoder(words, z, None)[1, 2]
    return states


def posterior(family: str, settings: Settings) -> str:
    """Draws, KL and densities equal the formulas in float64, and the KL is the mean of its draws."""
    system = {"gaussian": "lstm-vae", "von_mises_fisher": "lstm-vmf-vae"}.get(family, "lstm-vae")
    config = replace(config_of(system, tiny=settings.tiny), posterior=family)
    V, M = num_classes(tiny=settings.tiny), 2000
    model = TextModel(config, V).to(settings.device)
    assert model.encoder is not None
    texts = sentences(3, V, 5)
    with torch.no_grad():
        q = model.encoder(batch_of(texts, settings.device))
        drawn = model.posterior.noise(rng.Key(0, "evaluation"), (M, 1, 3), config.latent_size)
        noise = drawn.to(q.mean)
        z, ratio, kl = q.sample(noise), q.log_ratio(noise), q.kl()
        p, hand = parameters(model), oracle_posteriors.of(config)
        for b, words in enumerate(texts):
            by_hand = hand.head(p, oracle._encoder_state(p, words))
            points = hand.sample(by_hand, drawn[:, :, b].double())
            near(z[:, :, b], points, "z", 1e-4)
            near(ratio[:, :, b], hand.log_ratio(by_hand, points), "log p(z) − log q(z|x)", 1e-3)
            near(kl[b], hand.kl_terms(by_hand).sum(), "the KL", 1e-4)
        error = float(ratio[:, 0, 0].std()) / math.sqrt(M)
        apart = abs(float(kl[0] + ratio[:, 0, 0].mean()))
        assert apart < 5 * error + 1e-4, f"the KL is {apart:.1e} from the mean of its draws, ± {error:.0e}"
    return f"z, densities and KL by the formulas; the mean of {M} draws gives the KL"


def masks(settings: Settings) -> str:
    """Dropout keeps its share, scales the rest, and repeats its masks for a seed."""
    x = torch.ones(400_000, device=settings.device)
    rate = 0.3

    def drop(seed: int) -> Tensor:
        return dropout(x, rate, rng.torch_generator(0, "dropout", seed, device=settings.device))

    first = drop(1)
    assert torch.equal(first, drop(1)), "a seed gives two masks"
    assert not torch.equal(first, drop(2)), "two seeds give one mask"
    share, error = float((first != 0).double().mean()), math.sqrt(rate * (1 - rate) / len(x))
    assert abs(share - (1 - rate)) < 5 * error, f"{share:.4f} are kept, not {1 - rate}"
    assert abs(float(first.max()) * (1 - rate) - 1) < 1e-4, "what is kept has another scale"
    return f"{share:.4f} are kept where {1 - rate} are expected; masks follow their seed"


def estimates(config: RunConfig, settings: Settings) -> str:
    """The statistics of test sentences equal those of the formulas under the same draws."""
    S, V = 6, num_classes(tiny=settings.tiny)
    config = replace(config, iw_samples=S, iw_exact_samples=0, eval_batch_size=2)
    model = TextModel(config, V).to(settings.device)
    texts = sentences(3, V, 5)
    rows = sentence_statistics(model, split_of(texts), config, split_name="test", samples=S)
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
    worst = 0.0
    for i, row in zip(order, torch.cat(list(rows)), strict=True):
        expected = statistics_by_hand(config, parameters(model), texts[i], i, S)
        for name, value in expected.items():
            worst = max(worst, abs(float(row[COLUMNS.index(name)]) - value) / max(1.0, abs(value)))
    assert worst < 1e-4, f"an estimate is off by {worst:.1e}"
    return f"ELBO, importance-weighted bounds and KL of each sentence within {worst:.0e}"


def statistics_by_hand(
    config: RunConfig, p: dict[str, Tensor], words: list[int], index: int, S: int
) -> dict[str, float]:
    """Estimates of one sentence, by the formulas of docs/estimates.md."""
    with torch.no_grad():
        if config.encoder == "none":
            return {"nll_elbo": -float(oracle.log_p(p, words, None, config))}
        key = rng.Key(config.seed, "evaluation", ("test", index))
        noise = SentenceNoise(POSTERIORS[config.posterior], config.latent_size, [key])
        drawn = noise(size=(S, config.group))[:, :, 0].double()  # (S, G, n)
        family = oracle_posteriors.of(config)
        q = family.head(p, oracle._encoder_state(p, words))
        z = family.sample(q, drawn)
        values, ratio = oracle.log_p(p, words, z, config), family.log_ratio(q, z)
        kl = float(family.kl_terms(q).sum())

        def weighted(log_ratio: Tensor) -> float:
            return math.log(S) - float(torch.log(torch.exp(values + log_ratio).sum()))

        return {
            "nll_elbo": kl - float(values.mean()),
            "nll_iw": weighted(ratio.mean(1)),
            "nll_iw_joint": weighted(ratio.sum(1)),
            "kl": kl,
        }


def two_phase(settings: Settings) -> str:
    """Rough scores and a few full ones give the estimates of all full ones, within their own error."""
    V, S = 2 * SHORTLIST + 40, 60
    config = config_of("lstm-vae", tiny=settings.tiny, iw_samples=S, iw_exact_samples=24, eval_batch_size=4)
    model = TextModel(config, V).to(settings.device)
    split = split_of(sentences(8, V, 6))

    def rows(**changes: int) -> Tensor:
        changed = replace(config, **changes)
        return torch.cat(list(sentence_statistics(model, split, changed, split_name="test", samples=S)))

    full, short = rows(iw_exact_samples=0), rows()
    for name, variance in (("nll_elbo", "elbo_var"), ("nll_iw", "iw_var")):
        value, error = COLUMNS.index(name), short[:, COLUMNS.index(variance)].sqrt()
        apart = (short[:, value] - full[:, value]).abs()
        assert bool((apart <= 6 * error + 1e-3).all()), (
            f"{name} differs by {float((apart / error).max()):.1f} errors"
        )
    return f"the estimates of {S} full scores from 24, within their error"


def near(found: Tensor, expected: Tensor, what: str, allowed: float = CLOSE) -> None:
    """Raise AssertionError unless both are close."""
    apart = float((found.double().cpu() - expected.double().cpu()).abs().max())
    assert apart <= allowed, f"{what}: off by {apart:.1e}"


if __name__ == "__main__":
    sys.exit(run_part(work))
