"""Choose how many runs of a cell share a device: as many as fit its memory and raise the throughput.

The device is a GPU, of which each of n runs gets 1/n, or the CPUs of a node, of which each run gets 1/n of
the cores. The measurements come from a :class:`Device`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from lvae_core.model.counts import Amount
from sweeps.planning.probe_results import ProbeResult

MARGIN = 1.15
"""Memory of a run relative to that of its probe: batch order and fragmentation differ."""

FULL = 0.95
"""The share of a device's memory that all its runs may use together."""

WORTH = 1.03
"""The smallest gain in throughput that justifies more runs on a device."""


@dataclass(frozen=True)
class Sample:
    """The measurements of one process while the others run."""

    memory: int
    """Peak memory in bytes, including what the driver keeps for a process."""
    train_rate: float
    """Training tokens predicted per second."""
    evaluate_rate: float
    """Test tokens predicted per second, each scored under all its draws."""


class TooLargeError(Exception):
    """Not even one run fits the device."""


class Device(Protocol):
    """A device that runs of one cell can share, and a way to measure them."""

    name: str
    """The name of its kind: a measurement holds for all devices of this name."""
    memory: int
    """Bytes."""

    def counts(self) -> Iterator[int]:
        """Numbers of processes to try, from 1 up."""

    def measure(self, processes: int) -> list[Sample]:
        """Let this number of processes do the work of a run at the same time.

        Raises:
            TooLargeError: they do not fit into the memory of the device.
        """


def choose(device: Device, tokens: Amount) -> ProbeResult:
    """Try one process, then more, until the memory is full or the throughput stops growing.

    Args:
        device: the device to share.
        tokens: the numbers of tokens of a run, which weight training against evaluation.

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
        # The slowest process represents a run; the sum is the throughput.
        together = sum(1.0 / tokens.seconds(sample.train_rate, sample.evaluate_rate) for sample in samples)
        if best is None:  # only a process that is alone shows what the driver keeps for it
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
        raise TooLargeError("it offers no number of processes")
    return best
