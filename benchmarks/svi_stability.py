"""Show whether the reverse pass of semi-amortised inference carries a gradient, in a run of SA-VAE.

    python benchmarks/svi_stability.py RUN [--data-dir DIR] [--batches 6]

For the sentences of some training batches, with dropout and at the run's latest parameters:

- curvature: the largest |eigenvalue| of ∇²f_0 of a sentence at the encoder's posterior. Steps of size α/32
  with momentum γ grow along a direction whose curvature exceeds 2 (1 + γ) 32/α, which is printed.
- growth: |λ̄_0| / |λ̄_K| of a sentence, without clipping in the reverse pass. Where it is far above 1, the
  gradient is noise.
- the norm of what the K steps add to the gradient of the decoder's parameters, relative to the rest of it,
  with and without the run's clipping.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lvae_core.arguments import parsed
from lvae_core.command import exit_status
from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, collate, epoch_order
from lvae_core.data.corpus import Corpus, load_for
from lvae_core.errors import InputError
from lvae_core.model.contracts import Posterior
from lvae_core.model.noise import BatchNoise
from lvae_core.model.semi_amortised import AUTHORS_BATCH, Descent, Rule, flat
from lvae_core.model.text_model import TextModel
from lvae_core.rng import Key, torch_generator
from lvae_core.run_folder.lookup import open_run
from lvae_core.training.state import load_checkpoint

_ITERATIONS = 30
"""Of the power method; the largest curvature is found to a few percent."""

_MOVE = 1e-3
"""Half of the move of a difference of gradients, for each sentence."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    run: tyro.conf.Positional[str]
    """The run folder; it needs a checkpoint."""
    data_dir: str | None = None
    """Folder of corpora, as for a run."""
    batches: int = 6
    """Training batches to look at."""
    threads: int = 1
    """CPU threads."""


class Seen(NamedTuple):
    """What was measured on some batches."""

    curvature: Tensor
    """Of each sentence, (N,)."""
    growth: Tensor
    """Of each sentence, (N,)."""
    clipped: Tensor
    """Norm of what the steps add for the decoder, relative to the rest, as the run clips it; (batches,)."""
    unclipped: Tensor
    """The same without clipping in the reverse pass."""


def main(options: Options) -> int:
    """Measure and print one table; return the exit status."""
    try:
        if min(options.batches, options.threads) < 1:
            raise InputError("--batches and --threads must be at least 1")
        torch.set_num_threads(options.threads)
        config, state = _checkpoint(options.run)
        corpus = load_for(config, options.data_dir)
        model = TextModel(config, len(corpus.vocabulary))
        model.load_state_dict(state)
        seen = measure(model, corpus, options.batches)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    Console(width=110).print(table(seen, config))
    return 0


def _checkpoint(run: str) -> tuple[RunConfig, dict[str, Tensor]]:
    folder = open_run(run)
    identity = folder.read_identity()
    state = load_checkpoint(folder) if identity else None
    if identity is None or state is None:
        raise InputError(f"{run}: no run with a checkpoint")
    if not identity[0].has("semi-amortised inference"):
        raise InputError(f"{run}: a run of {identity[0].system}, which has no semi-amortised inference")
    return identity[0], state.parameters


def measure(model: TextModel, corpus: Corpus, count: int) -> Seen:
    """Measure ``count`` training batches."""
    config = model.config
    order = epoch_order(corpus.train.lengths, config.batch_size, config.batching, config.seed, 1)[:count]
    found = []
    for step, indices in enumerate(order):
        batch = collate(corpus.train, indices)
        rule = Rule.of(config)
        growth, unclipped = _back(model, batch, step, rule._replace(clipping="none"))
        _, clipped = _back(model, batch, step, rule)
        found.append((curvature(model, batch, step), growth, clipped.view(1), unclipped.view(1)))
    return Seen(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _descent(model: TextModel, batch: Batch, step: int, rule: Rule) -> Descent:
    key = Key(model.config.seed, "latent", (step,))
    noise = BatchNoise(model.posterior, model.latent_size, key, len(batch.words))
    return Descent(model, batch, noise, model.config.kl_weight, rule)


def curvature(model: TextModel, batch: Batch, step: int) -> Tensor:
    """The largest |eigenvalue| of each sentence's ∇²f_0 at the encoder's posterior, (B,)."""
    assert model.encoder is not None
    q = model.encoder(batch, None).detach()
    descent = _descent(model, batch, step, Rule.of(model.config))
    point = flat(q)

    def gradient(at: Tensor) -> Tensor:
        masks = torch_generator(model.config.seed, "dropout", step)
        return descent.gradients(q, at, 0, masks)[0]

    v = torch.randn(point.shape, generator=torch.Generator().manual_seed(0), dtype=point.dtype)
    for _ in range(_ITERATIONS):
        v = v / torch.linalg.vector_norm(v, dim=1, keepdim=True)
        v = (gradient(point + _MOVE * v) - gradient(point - _MOVE * v)) / (2 * _MOVE)
    largest: Tensor = torch.linalg.vector_norm(v, dim=1)
    return largest


def _back(model: TextModel, batch: Batch, step: int, rule: Rule) -> tuple[Tensor, Tensor]:
    """Growth of each sentence, (B,), and the relative norm of what the steps add for the decoder."""
    assert model.encoder is not None
    config, masks = model.config, torch_generator(model.config.seed, "dropout", step)
    decoder = [p for name, p in model.named_parameters() if not name.startswith("encoder.")]
    first = _with_leaves(model.encoder(batch, masks))
    descent = _descent(model, batch, step, rule)
    reached = descent.run(first, masks)
    last = _with_leaves(reached)
    z = last.sample(descent.noise(size=(config.draws, config.group)))
    loss = model.mean_nll(batch, z, masks) + config.kl_weight * last.kl().mean()
    of_last, of_decoder = _gradients(loss, None, last, decoder)
    of_first, added = _gradients(list(reached.parameters.values()), of_last, first, decoder)
    growth = _lengths(of_first) / _lengths(of_last)
    return growth, _norm(added) / _norm(of_decoder)


def _with_leaves(q: Posterior) -> Posterior:
    leaves = {name: value.detach().requires_grad_() for name, value in q.parameters.items()}
    return q.with_parameters(leaves)


def _gradients(
    of: Tensor | list[Tensor], weights: list[Tensor] | None, q: Posterior, decoder: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Differentiate by the parameters of ``q`` and of the decoder."""
    leaves = list(q.parameters.values())
    found = torch.autograd.grad(of, [*leaves, *decoder], weights, allow_unused=True)
    dense = [None if g is None else g.to_dense() for g in found]
    by_leaves, by_decoder = dense[: len(leaves)], dense[len(leaves) :]
    return [g for g in by_leaves if g is not None], [g for g in by_decoder if g is not None]


def _lengths(gradients: Sequence[Tensor]) -> Tensor:
    rows = torch.cat([gradient.flatten(1) for gradient in gradients], dim=1)
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return lengths


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(torch.cat([gradient.flatten() for gradient in gradients]))
    return norm


def table(seen: Seen, config: RunConfig) -> Table:
    """Make the table: a line for each quantity."""
    limit = 2 * (1 + config.svi_momentum) * AUTHORS_BATCH / config.svi_step_size
    where = f"{len(seen.growth)} training sentences in {len(seen.clipped)} of their batches"
    made = Table(title=f"{where}; steps grow above a curvature of {limit:g}")
    made.add_column("")
    for name in ("median", "90%", "largest"):
        made.add_column(name, justify="right")
    rows = {
        "curvature of a sentence": seen.curvature,
        "growth of its gradient, unclipped": seen.growth,
        "decoder: what the steps add / the rest, as trained": seen.clipped,
        "the same, unclipped": seen.unclipped,
    }
    for name, values in rows.items():
        shown = (values.median(), values.quantile(0.9), values.max())
        made.add_row(name, *(f"{float(value):.3g}" for value in shown))
    return made


if __name__ == "__main__":
    sys.exit(exit_status(lambda: main(parsed(lambda: tyro.cli(Options, description=__doc__)))))
