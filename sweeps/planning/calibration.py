"""Rough times of runs before any has finished, from counted operations and the speed of products here."""

from __future__ import annotations

import time
from collections.abc import Mapping

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from sweeps.planning.plan import Plan
from sweeps.planning.resources import Resources

SECONDS = 8.0
"""The longest time that all measurements take together."""

_SECONDS_EACH = 0.4
_REPEATS = 3
_ROWS = 32
"""Time steps of which the softmax is computed at once; the recurrent product is computed step by step."""


def add_rough_times(
    plan: Plan, corpora: Mapping[str, Corpus], resources: Resources, *, is_remote: bool
) -> str:
    """Add a rough time of each cell of a plan that has runs left and no expected time.

    Args:
        plan: its speed gets the times.
        corpora: dataset -> its corpus.
        resources: of one run.
        is_remote: whether the runs are for a cluster, whose machines may differ from this one.

    Returns:
        A line for the user on what the times rest on, or why there are none; "" if all are known.
    """
    unknown = {
        cell: runs[0].config
        for cell, runs in plan.cells().items()
        if plan.speed.expected_seconds(cell) is None and any(run.status == "left" for run in runs)
    }
    if not unknown:
        return ""
    if is_remote:
        return "times are unknown: the machines of a cluster cannot be measured from here"
    if resources.gpus and not _has_gpu():
        return "times are unknown: this machine has no GPU to measure"
    rates: dict[tuple[int, ...], float] = {}
    until = time.monotonic() + SECONDS
    for cell, config in unknown.items():
        shape = _shape(config, len(corpora[config.dataset].vocabulary))
        if shape not in rates and time.monotonic() < until:
            rates[shape] = measure_rate(*shape, resources)
        if shape in rates:
            plan.speed.add_rate(cell, rates[shape])
    return (
        "about: rough times, from counted operations and matrix products timed on this machine; runs may "
        "take several times as long, and the first that finishes replaces them"
    )


def _shape(config: RunConfig, classes: int) -> tuple[int, int, int, int]:
    """Batch size, inputs and outputs of the recurrent product, and the number of words."""
    return config.batch_size, config.embedding_size + config.hidden_size, config.hidden_size, classes


def measure_rate(batch: int, inputs: int, hidden: int, classes: int, resources: Resources) -> float:
    """Multiplications and additions per second in the two largest products of a training step.

    The products are those of an LSTM step, (batch, inputs) by (inputs, 4 hidden), and of the softmax over
    several steps, (rows, hidden) by (hidden, classes), in float32. The faster half of the repeats counts.
    """
    import torch

    device, threads = resources.device, torch.get_num_threads()
    torch.set_num_threads(resources.cpus)
    try:
        state = torch.ones(batch, inputs, device=device)
        gates = torch.ones(inputs, 4 * hidden, device=device)
        rows = torch.ones(batch * _ROWS, hidden, device=device)
        words = torch.ones(hidden, classes, device=device)
        step = 2.0 * batch * hidden * (4 * inputs + classes)

        def products() -> None:
            for _ in range(_ROWS):
                state @ gates
            rows @ words
            if device.startswith("cuda"):
                torch.cuda.synchronize()

        products()
        times: list[float] = []
        until = time.monotonic() + _SECONDS_EACH
        while len(times) < _REPEATS or time.monotonic() < until:
            begun = time.perf_counter()
            products()
            times.append(time.perf_counter() - begun)
            if sum(times) > 3 * _SECONDS_EACH:
                break
    finally:
        torch.set_num_threads(threads)
    return _ROWS * step / sorted(times)[len(times) // 4]


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
