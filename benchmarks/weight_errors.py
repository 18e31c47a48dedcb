"""Measure the errors of importance-weighted numbers against the true spread, where that is known.

    python benchmarks/weight_errors.py [--samples 500] [--estimates 2500]

The weights are simulated, with a mean of 1, so that the log of their mean is 0 in the limit. A ratio above
1 says that the true spread is larger than the error that is reported.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lvae_core.arguments import parsed
from lvae_core.command import exit_status
from lvae_core.errors import InputError
from lvae_core.evaluation.weights import jackknife_variance, log_mean_exp, pareto_shape
from lvae_core.run_folder.estimates import UNRELIABLE_SHAPE

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
"""Draws log-weights."""


def log_normal(sigma: float) -> Draw:
    """Weights whose logarithm is normal."""
    return lambda rng, size: sigma * rng.normal(size=size) - sigma**2 / 2


def pareto(shape: float) -> Draw:
    """Weights whose excess over any threshold is generalised Pareto."""
    return lambda rng, size: shape * rng.exponential(size=size) + math.log1p(-shape)


def gaussian(dimensions: int, variance: float) -> Draw:
    """Weights of a standard normal target under a normal proposal of this variance in each dimension."""
    constant = dimensions / 2 * math.log(variance)
    return lambda rng, size: (1 - variance) * rng.chisquare(dimensions, size) / 2 + constant


FEWEST_SAMPLES = 21
"""With fewer there is no tail to fit a shape to."""

CASES = {
    "log-normal, σ = 1": log_normal(1.0),
    "generalised Pareto, shape 0.4": pareto(0.4),
    "normal in 32 dimensions, proposal with 0.8 of the variance": gaussian(32, 0.8),
    "log-normal, σ = 2": log_normal(2.0),
    "normal in 32 dimensions, proposal with half the variance": gaussian(32, 0.5),
    "log-normal, σ = 3": log_normal(3.0),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    samples: int = 500
    """S, draws of an estimate."""
    estimates: int = 2500
    """Estimates of each case, whose spread is the true one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return exit_status(lambda: run(arguments))


def run(arguments: Sequence[str]) -> int:
    """Simulate, print one table and return the exit status."""
    options = parsed(
        lambda: tyro.cli(Options, args=arguments, prog="weight_errors.py", description=__doc__)
    )
    if options.samples < FEWEST_SAMPLES or options.estimates < 2:
        raise InputError(f"--samples, --estimates: give at least {FEWEST_SAMPLES} and 2")
    table = Table(title=f"true spread over reported error, S = {options.samples:,}")
    for heading in ("weights", "sentences with k̂ > 0.7", "to stderr", "to jackknife"):
        table.add_column(heading, justify="left" if heading == "weights" else "right")
    for name, draw in CASES.items():
        log_w = torch.from_numpy(draw(np.random.default_rng(1), (options.samples, options.estimates)))
        above, delta, jackknife = ratios(log_w)
        table.add_row(name, f"{above:.0%}", f"{delta:.2f}", f"{jackknife:.2f}")
    Console(width=120).print(table)
    return 0


def ratios(log_weights: Tensor) -> tuple[float, float, float]:
    """Compare the spread of log-mean weights with their errors.

    Args:
        log_weights: (S, N), of N estimates.

    Returns:
        The share of estimates with a Pareto shape above 0.7; the standard deviation of the estimates over
        the root mean square of their errors by the delta method, and by the jackknife.
    """
    value, delta = log_mean_exp(log_weights)
    spread = value.std()
    by_delta, by_jackknife = (v.mean().sqrt() for v in (delta, jackknife_variance(log_weights)))
    above = (pareto_shape(log_weights) > UNRELIABLE_SHAPE).double().mean()
    return float(above), float(spread / by_delta), float(spread / by_jackknife)


if __name__ == "__main__":
    sys.exit(main())
