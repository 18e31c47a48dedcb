"""A whole run by hand: clipped SGD on the hand-written losses, the schedule, the estimates, in float64.

The order of the batches is given; noise comes from the documented rule.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from . import hand_model, noise, quadrature

Sentences = Sequence[Sequence[int]]


@dataclass
class Outcome:
    """The output that the run would have written, and the branches that it took."""

    rows: list[dict[str, float]] = field(default_factory=list)
    estimates: dict[str, float] = field(default_factory=dict)
    best_epoch: int = 0
    steps: int = 0
    clipped: int = 0
    unclipped: int = 0
    halvings: int = 0
    exempt: int = 0


def train(
    p: Mapping[str, Tensor],
    names: Sequence[str],
    config: Any,
    train_split: Sentences,
    valid_split: Sentences,
    test_split: Sentences,
    order: Callable[[int], Sequence[Sequence[int]]],
) -> Outcome:
    """Train the parameters ``names`` of ``p`` (leaves, changed in place) as the config says.

    ``config`` is read for its values only; ``order`` gives the batches of an epoch (from 0).
    """
    out = Outcome()
    latent = config.averaging != "none"
    rate, best, misses = config.learning_rate, math.inf, 0
    best_p: dict[str, Tensor] = {}
    for epoch in range(config.max_epochs):
        batches = order(epoch)
        totals = [0.0, 0.0, 0.0]
        for indices in batches:
            progress = out.steps / (config.kl_anneal_epochs * len(batches))
            beta = config.kl_weight * min(1.0, progress)
            nats, kl = _losses(p, [train_split[i] for i in indices], config, "latent", out.steps)
            loss = nats + beta * kl
            out.clipped, out.unclipped = _descend(p, names, loss, rate, config, out)
            for k, value in enumerate((loss, nats + kl, kl)):
                totals[k] += float(value.detach()) * len(indices)
            out.steps += 1
        row = {
            "epoch": epoch + 1,
            "step": out.steps,
            "learning_rate": rate,
            "train_loss": totals[0] / len(train_split),
            "train_nll": totals[1] / len(train_split),
        }
        # Validation: β = 1, its own noise for every sentence.
        nll, kl = _score(p, valid_split, config)
        tokens = sum(map(len, valid_split))
        row |= {"valid_nll": nll / len(valid_split), "valid_ppl": math.exp(nll / tokens)}
        annealed = out.steps >= config.kl_anneal_epochs * len(batches)
        if latent:
            beta = config.kl_weight * min(1.0, out.steps / (config.kl_anneal_epochs * len(batches)))
            row |= {"kl_weight": beta, "train_kl": totals[2] / len(train_split)}
            row |= {"valid_kl": kl / len(valid_split)}
        if row["valid_ppl"] < best:
            best, out.best_epoch = row["valid_ppl"], epoch + 1
            best_p = {name: value.detach().clone() for name, value in p.items()}
        elif latent and not annealed:
            out.exempt += 1
        else:
            rate, misses, out.halvings = rate * config.lr_decay, misses + 1, out.halvings + 1
        out.rows.append(row | {"best_ppl": best})
        if misses == config.patience:
            break
    out.estimates = _estimates(best_p, test_split, config)
    return out


def _losses(p, sentences, config, stream, step) -> tuple[Tensor, Tensor]:
    epsilon = None
    if config.averaging != "none":
        size = (config.num_samples, len(sentences), config.latent_size)
        epsilon = noise.normal(config.seed, stream, step, size=size)
    hide = config.setting == "inputless"
    return hand_model.loss_terms(p, sentences, epsilon, averaging=config.averaging, hide=hide)


def _descend(p, names, loss, rate, config, out) -> tuple[int, int]:
    gradients = torch.autograd.grad(loss, [p[name] for name in names])
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    factor = min(1.0, config.max_grad_norm / norm)
    with torch.no_grad():
        for name, gradient in zip(names, gradients, strict=True):
            p[name] -= rate * factor * gradient
    return out.clipped + (factor < 1), out.unclipped + (factor == 1)


def _score(p, sentences, config) -> tuple[float, float]:
    """Σ nll and Σ KL of the validation split, one draw per sentence."""
    hide = config.setting == "inputless"
    nll = divergence = 0.0
    with torch.no_grad():
        for i, words in enumerate(sentences):
            if config.averaging == "none":
                nll -= float(hand_model.log_p(p, hand_model.states(p, words, None, hide=hide), words))
                continue
            log_p, _, kl = _draws(p, words, i, config, "valid", config.valid_samples)
            nll += kl - sum(log_p) / len(log_p)
            divergence += kl
    return nll, divergence


def _draws(p, words, i, config, split, S) -> tuple[list[float], list[list[float]], float]:
    """log p(x|z^(1..G)) and the G log-ratios log p/q of each draw, and the KL."""
    G = config.num_samples if config.averaging == "hidden" else 1
    mean, log_variance = hand_model.posterior(p, words)
    epsilon = noise.normal(config.seed, "evaluation", split, i, size=(S, G, config.latent_size))
    log_p, ratios = [], []
    for s in range(S):
        z = [mean + torch.exp(log_variance / 2) * epsilon[s, g] for g in range(G)]
        hide = config.setting == "inputless"
        log_p.append(float(hand_model.log_p_averaged(p, words, z, hide=hide)))
        ratios.append([_log_ratio(point, mean, log_variance) for point in z])
    return log_p, ratios, float(hand_model.kl(mean, log_variance))


def _log_ratio(z, mean, log_variance) -> float:
    terms = [
        quadrature.log_normal(z[k]) - quadrature.log_normal(z[k], float(mean[k]), float(log_variance[k]))
        for k in range(len(z))
    ]
    return float(sum(terms))


def _estimates(p, sentences, config) -> dict[str, float]:
    """The estimates of the result, by name."""
    N, tokens = len(sentences), sum(map(len, sentences))
    sums: dict[str, float] = {}

    def add(name: str, value: float) -> None:
        sums[name] = sums.get(name, 0.0) + value

    with torch.no_grad():
        for i, words in enumerate(sentences):
            if config.averaging == "none":
                hidden = hand_model.states(p, words, None, hide=config.setting == "inputless")
                add("nll", -float(hand_model.log_p(p, hidden, words)))
                continue
            log_p, ratios, kl = _draws(p, words, i, config, "test", config.iw_samples)
            S, G = len(log_p), len(ratios[0])
            add("kl", kl)
            add("nll_elbo", kl - sum(log_p) / S)
            paper = [math.exp(a + sum(r) / G) for a, r in zip(log_p, ratios, strict=True)]
            add("nll_iw", -math.log(sum(paper) / S))
            if config.averaging == "hidden":
                joint = [math.exp(a + sum(r)) for a, r in zip(log_p, ratios, strict=True)]
                one = [math.exp(a + r[0]) for a, r in zip(log_p, ratios, strict=True)]
                add("nll_iw_one", -math.log(sum(one) / S))
                add("nll_joint", G * kl - sum(log_p) / S)
                add("nll_iw_joint", -math.log(sum(joint) / S))
    ppl = {n.replace("nll", "ppl"): math.exp(v / tokens) for n, v in sums.items() if n.startswith("nll")}
    return {name: value / N for name, value in sums.items()} | ppl
