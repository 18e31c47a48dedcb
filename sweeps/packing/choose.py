"""How many runs of a cell should share a device: as many as its memory holds and its speed rewards.

The same for a GPU, of which n runs get 1/n each, and for the CPUs of a node, of which n runs get as many
cores, and threads, as there are for each. Nothing here knows where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from lvae_core.model.counts import Amount
from sweeps.planning.probe_results import ProbeResult

MARGIN = 1.15
"""Memory that a run is given over what its probe took: batches and fragments come in other orders."""

FULL = 0.95
"""Of a device's memory, what runs may have together."""

WORTH = 1.03
"""More runs on a device must add this much to what they do together, or they only wait for each other."""


@dataclass(frozen=True)
class Sample:
    """What one process measured, with all others of its kind at work beside it."""

    memory: int
    """Bytes that it took at its peak, what the driver keeps for a process included."""
    train_rate: float
    """Predicted training tokens a second."""
    evaluate_rate: float
    """Predicted test tokens a second, each scored under all its draws."""

    def seconds(self, tokens: Amount) -> float:
        """Of a run of so many tokens."""
        return tokens.train / self.train_rate + tokens.evaluate / self.evaluate_rate


class TooLargeError(Exception):
    """Not even one run fits the device."""


class Device(Protocol):
    """What runs of one cell can share, and a way to try it."""

    name: str
    """Of its kind: what is measured on one holds for all of this name."""
    memory: int
    """Bytes."""

    def counts(self) -> Iterator[int]:
        """Numbers of processes worth trying, from 1 up."""

    def measure(self, processes: int) -> list[Sample]:
        """Let so many processes do a run's work at the same time.

        Raises:
            TooLargeError: they do not fit in its memory.
        """


def choose(device: Device, tokens: Amount) -> ProbeResult:
    """Try one process, then more, until the memory is full or more of them do no more together.

    Args:
        device: to be shared.
        tokens: of a run, which weigh training against evaluation.

    Raises:
        TooLargeError: not even one run fits.
    """
    best: ProbeResult | None = None
    need, first = 0.0, 0.0
    for processes in device.counts():
        if processes > 1 and processes * need > FULL * device.memory:
            break
        try:
            samples = device.measure(processes)
        except TooLargeError:
            if best is None:
                raise
            break
        # A run is known by the slowest, work by the sum.
        together = sum(1.0 / sample.seconds(tokens) for sample in samples)
        if best is None:  # what the driver keeps for a process can be told only of one that is alone
            first, need = together, MARGIN * max(sample.memory for sample in samples)
        if best is not None and together < WORTH * best.alone * first:
            break
        best = ProbeResult(
            processes=processes,
            memory=round(need),
            train_rate=min(sample.train_rate for sample in samples),
            evaluate_rate=min(sample.evaluate_rate for sample in samples),
            alone=together / first,
        )
    if best is None:
        raise TooLargeError("it tells no number of processes")
    return best
