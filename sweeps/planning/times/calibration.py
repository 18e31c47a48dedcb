"""Rough times of runs before any has finished, from counted operations and the speed of products here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import fmean

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from sweeps.planning.plan import Plan
from sweeps.planning.resources import Resources, cores_here, gpus_here

SECONDS = 8.0
"""The longest time that all measurements take together."""

_SECONDS_EACH = 0.6
_ROWS = 32
"""Time steps of the measured training step."""
_MOST_OPERATIONS = 6e10
"""Of the measured training step; one of Penn Treebank's sizes has half as many."""
_MOST_NUMBERS = 10**8
"""In the measured step's matrices and states; one of Penn Treebank's sizes has a sixth of them."""


def add_rough_times(
    plan: Plan, corpora: Mapping[str, Corpus], resources: Resources, *, is_remote: bool
) -> str:
    """Add a rough time of each variant of a plan that has runs left, and no measured run of its sizes.

    Args:
        plan: its speed gets the times.
        corpora: dataset -> its corpus.
        resources: of one run.
        is_remote: whether the runs are for a cluster, whose machines may differ from this one.

    Returns:
        A line for the user on what the times rest on, or why there are none; "" if all are known.
    """
    speed = plan.speed
    unknown = {
        variant: runs[0].config
        for variant, runs in plan.variants().items()
        if speed.basis(variant) in (None, "sizes")
        # A search is planned by its base, which may have failed as a trial.
        and any(run.status in ("left", "failed") for run in runs)
    }
    if not unknown:
        return ""
    why = ""
    if is_remote:
        why = "the machines of a cluster cannot be measured from here"
    elif resources.gpus and not gpus_here():
        why = "this machine has no GPU to measure"
    elif resources.cpus > cores_here():
        why = "this machine has fewer CPUs than a run is to get"
    if why and all(speed.basis(variant) == "sizes" for variant in unknown):
        return f"about: from runs of other sizes, by counted operations, which may be far off; {why}"
    if why:
        return f"times are unknown: {why}"
    import torch  # noqa: F401  # which takes seconds that are not the measurement's

    rates: dict[tuple[int, ...], float] = {}
    until = time.monotonic() + SECONDS
    for variant, config in unknown.items():
        shape = _shape(config, len(corpora[config.dataset].vocabulary))
        if shape not in rates and (not rates or time.monotonic() < until):
            rates[shape] = measure_rate(*shape, resources)
        speed.add_rate(variant, rates.get(shape) or fmean(rates.values()))
    return (
        "about: rough times, from counted operations and matrix products timed on this machine; runs may "
        "differ by a factor of two or more, and the first that finishes replaces them"
    )


def _shape(config: RunConfig, classes: int) -> tuple[int, int, int, int]:
    """Batch size, inputs and outputs of the recurrent product, and the number of words.

    Products of very large factors are as fast as those of large ones: sizes are halved until the measured
    step takes neither long nor much memory.
    """
    sizes = [config.batch_size, config.embedding_size, config.hidden_size, classes]
    while True:
        batch, embedded, hidden, words = sizes
        shape = batch, embedded + hidden, hidden, words
        numbers = hidden * (4 * (embedded + hidden) + words) + _ROWS * batch * (4 * hidden + words)
        if _operations(*shape) <= _MOST_OPERATIONS and numbers <= _MOST_NUMBERS:
            return shape
        sizes[sizes.index(max(sizes))] //= 2


def _operations(batch: int, inputs: int, hidden: int, classes: int) -> float:
    """Multiplications and additions of the measured training step; see :func:`measure_rate`."""
    passes = 3  # forward, and a gradient for both factors of each product
    return passes * _ROWS * 2.0 * batch * hidden * (4 * inputs + classes)


def measure_rate(batch: int, inputs: int, hidden: int, classes: int, resources: Resources) -> float:
    """Multiplications and additions per second in the two largest products of a training step, in float32.

    Several LSTM steps, (batch, inputs) by (inputs, 4 hidden), and one softmax over their states, (rows,
    hidden) by (hidden, classes), forward and backward. In small models the operations between the products
    take most of the time, so the gates and the gradients are computed, too. The fastest quarter counts.
    """
    import torch

    device, threads = resources.device, torch.get_num_threads()
    torch.set_num_threads(resources.cpus)
    weights = torch.full((inputs, 4 * hidden), 0.01, device=device, requires_grad=True)
    words = torch.full((hidden, classes), 0.01, device=device, requires_grad=True)
    embedded = torch.ones(batch, inputs - hidden, device=device)

    def take_step() -> None:
        state = cell = torch.zeros(batch, hidden, device=device)
        states = []
        for _ in range(_ROWS):
            i, f, g, o = (torch.cat([embedded, state], 1) @ weights).chunk(4, 1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(cell)
            states.append(state)
        loss = torch.logsumexp(torch.cat(states) @ words, 1).sum()
        torch.autograd.grad(loss, [weights, words])
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    times: list[float] = []
    try:
        take_step()
        until = time.monotonic() + _SECONDS_EACH
        while not times or time.monotonic() < until:
            begun = time.perf_counter()
            take_step()
            times.append(time.perf_counter() - begun)
    finally:
        torch.set_num_threads(threads)
    return _operations(batch, inputs, hidden, classes) / sorted(times)[len(times) // 4]
