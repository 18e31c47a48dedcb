"""The parts of gpu_check.py in order of importance, and the share of time of each. Never imports torch."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """A module of this folder that is run as a process."""

    name: str
    module: str
    title: str
    share: float
    """Of the time; what a part leaves is shared by those after it."""


PARTS = (
    Part("card", "gpu.card", "The device", 3),
    Part("values", "gpu.checks.values", "Values and gradients against formulas in float64", 14),
    Part("properties", "gpu.checks.properties", "Properties of the parts of a model, and estimates", 8),
    Part("waits", "gpu.checks.waits", "No step waits for the GPU", 8),
    Part("determinism", "gpu.checks.determinism", "A killed and resumed run has the same bits", 20),
    Part("timing", "gpu.timing", "Speed and memory, compared with plain code", 30),
    Part("packing", "gpu.packing", "Several runs on one device", 17),
)

LEAST_SECONDS = 3.0
"""A part that has less time is left out."""

ENOUGH_SECONDS = 15.0
"""A part may take so much if as much is left: its process has to start."""


def limit(parts: tuple[Part, ...], left: float) -> float:
    """Seconds that the first of ``parts`` may take if ``left`` are left for all of them."""
    share = left * parts[0].share / sum(part.share for part in parts)
    return min(left, max(share, ENOUGH_SECONDS))
