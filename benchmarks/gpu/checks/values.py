"""Loss and gradients of every system on the device, against the hand-written formulas in float64.

float32 agrees to rounding. bfloat16 agrees as far as eight binary digits go. Some steps of training are
compared, too: with torch's SGD and Adam, fed with gradients by the formulas.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from gpu.checks import oracle, plain
from gpu.checks.found import TOLERANCES, Found, distance
from gpu.checks.subjects import SETTINGS, batch_of, config_of, num_classes, parameters, sentences
from gpu.records import Record, Settings, check, run_part
from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.fields.choices import Setting
from lvae_core.model.layers.precision import Arithmetic, compute_in
from lvae_core.model.noise import BatchNoise
from lvae_core.model.text_model import TextModel
from lvae_core.systems import SYSTEMS
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.optimisation.objective import objective
from lvae_core.training.optimisation.parts import make_optimiser
from lvae_core.training.runtime import Runtime

BETA = 0.3
STEPS = 3


def work(settings: Settings) -> Iterator[Record]:
    """Check systems in float32, then in bfloat16, then some steps of training."""
    by_hand: dict[tuple[str, Setting], Found] = {}
    for precision in ("float32", "bfloat16"):
        for setting in SETTINGS:
            for system in SYSTEMS:
                name = f"{system}, {setting}, {precision}"
                if settings.wants(name):
                    yield check(
                        name, lambda s=system, t=setting, p=precision: compare(s, t, p, settings, by_hand)
                    )
    for name in ("lstm-lm", "lstm-vae/L1", "lstm-vae/L10"):
        for precision in ("float32", "bfloat16"):
            label = f"{name} at Penn Treebank's sizes, {precision}"
            if settings.wants(label):
                yield check(label, lambda n=name, p=precision: plain.compare(n, p, settings))
    for system in ("lstm-vae", "lstm-vae-avg", "cnn-vae"):
        if settings.wants(f"{system}, steps"):
            yield check(f"{system}, {STEPS} steps of training", lambda s=system: train(s, settings))


def compare(
    system: str,
    setting: Setting,
    precision: Arithmetic,
    settings: Settings,
    known: dict[tuple[str, Setting], Found],
) -> str:
    """Compare one system with the formulas; the result says how far apart they are."""
    config = config_of(system, setting, tiny=settings.tiny)
    set_arithmetic(config, Runtime(device=settings.device))
    model, texts = subject(config, settings)
    found = on_device(model, texts, config, precision, settings.device)
    if (system, setting) not in known:
        known[system, setting] = by_hand(parameters(model), texts, config)
    expected = known[system, setting]
    kind = str(precision)
    if precision == "bfloat16" and config.inference == "semi_amortised":
        kind += ", semi-amortised"
    elif precision == "bfloat16" and config.decoder == "cnn":
        kind += ", cnn"
    return found.differs_from(expected, TOLERANCES[kind])


def subject(config: RunConfig, settings: Settings) -> tuple[TextModel, list[list[int]]]:
    """Make the model on the device, and its sentences."""
    V = num_classes(tiny=settings.tiny)
    longest = 5 if settings.tiny else 9
    return TextModel(config, V).to(settings.device), sentences(4 if settings.tiny else 6, V, longest)


def on_device(
    model: TextModel, texts: list[list[int]], config: RunConfig, precision: Arithmetic, device: str
) -> Found:
    """Compute the objective by the code under test."""
    compute_in(model, precision)
    terms = objective(model, batch_of(texts, device), config, kl_weight=BETA, step=0)
    terms.loss.backward()  # type: ignore[no-untyped-call]
    gradients = {
        name: parameter.grad.to_dense().double().cpu()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return Found((float(terms.loss.detach()), float(terms.nll), float(terms.kl)), gradients)


def by_hand(p: dict[str, Tensor], texts: list[list[int]], config: RunConfig, step: int = 0) -> Found:
    """Compute it by the formulas, from the same noise."""
    model = TextModel(config, len(p["output.weight"]))
    key = rng.Key(config.seed, "latent", (step,))
    noise = BatchNoise(model.posterior, config.latent_size, key, len(texts))
    terms = oracle.objective(p, texts, config, noise, BETA)
    gradients = torch.autograd.grad(terms.loss, list(p.values()))
    values = (float(terms.loss.detach()), float(terms.nll), float(terms.kl))
    return Found(values, dict(zip(p, gradients, strict=True)))


def train(system: str, settings: Settings) -> str:
    """Take some steps on the device and by hand; compare the parameters after them."""
    config = config_of(system, tiny=settings.tiny, max_grad_norm=1.0)
    set_arithmetic(config, Runtime(device=settings.device))
    model, texts = subject(config, settings)
    p, before = parameters(model), parameters(model)
    optimiser = make_optimiser(model, config)
    judge: torch.optim.Optimizer = torch.optim.SGD(p.values(), lr=config.learning_rate)
    if config.optimiser == "adam":
        betas = (config.adam_beta1, config.adam_beta2)
        judge = torch.optim.Adam(p.values(), lr=config.learning_rate, betas=betas, eps=config.adam_epsilon)
    for step in range(STEPS):
        batch = batch_of(texts, settings.device)
        objective(model, batch, config, kl_weight=BETA, step=step).loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step(config.learning_rate)
        for parameter, gradient in zip(
            p.values(), by_hand(p, texts, config, step).gradients.values(), strict=True
        ):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(p.values(), config.max_grad_norm)
        judge.step()
    moved = {name: value.detach() - before[name].detach() for name, value in p.items()}
    ours = {name: value.detach() - before[name].detach() for name, value in parameters(model).items()}
    error, name = distance(ours, moved)
    assert error < 1e-3, f"the parameters moved differently by {error:.1e}, worst {name}"
    return f"the parameters moved by the same within {error:.0e}"


if __name__ == "__main__":
    sys.exit(run_part(work))
