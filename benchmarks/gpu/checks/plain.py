"""The objective at Penn Treebank's sizes, against speed/plain.py in float64 on the same device."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import torch
from speed.cases import cases
from speed.measure import synthetic_text
from speed.plain import OURS, PlainModel
from torch import Tensor

from gpu.checks.found import TOLERANCES, Found
from gpu.records import Settings
from lvae_core import rng
from lvae_core.data.batches import collate
from lvae_core.model.layers.precision import Arithmetic, compute_in
from lvae_core.model.noise import BatchNoise
from lvae_core.model.text_model import TextModel
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.optimisation.objective import objective
from lvae_core.training.runtime import Runtime

BETA = 0.7


def compare(name: str, precision: Arithmetic, settings: Settings) -> str:
    """Compare loss and gradients on one batch without dropout; the result says how far apart they are."""
    case = cases(quick=False)[f"ptb/{name}/standard"]
    case = case.tiny() if settings.tiny else case
    config, V, device = replace(case.config, dropout=0.0), case.num_classes, settings.device
    set_arithmetic(config, Runtime(device=device))
    ours, plain = TextModel(config, V).to(device), PlainModel(config, V).double().to(device)
    same = {name: renamed(name) for name, _ in plain.named_parameters()}
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(ours.get_parameter(same[name]))
    batch = collate(synthetic_text(case), np.arange(config.batch_size)).to(device)
    compute_in(ours, precision)
    loss = objective(ours, batch, config, kl_weight=BETA, step=0).loss
    loss.backward()  # type: ignore[no-untyped-call]

    noise = BatchNoise(
        ours.posterior, config.latent_size, rng.Key(config.seed, "latent", (0,)), len(batch.words)
    )
    drawn = iter(noise(size=(max(1, config.num_samples),)).double().to(device))
    with mock.patch.object(torch, "randn_like", side_effect=lambda like: next(drawn)):
        expected = plain.loss(batch.words, config.num_samples, kl_weight=BETA)
    expected.backward()  # type: ignore[no-untyped-call]
    found = Found(
        (loss.item(),), {name: gradient(ours.get_parameter(other)) for name, other in same.items()}
    )
    by_plain = {name: gradient(parameter) for name, parameter in plain.named_parameters()}
    return found.differs_from(Found((expected.item(),), by_plain), TOLERANCES[precision])


def renamed(name: str) -> str:
    """The name that a parameter of the plain model has in ours."""
    part, dot, rest = name.partition(".")
    return OURS[part] + dot + rest


def gradient(parameter: torch.nn.Parameter) -> Tensor:
    """A parameter's gradient in float64 on the CPU."""
    assert parameter.grad is not None
    return parameter.grad.to_dense().double().cpu()
