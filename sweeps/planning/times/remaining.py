"""The time that a run still needs, after what earlier launches have done of it."""

from __future__ import annotations

from sweeps.planning.plan import PlannedRun
from sweeps.planning.times.durations import Speed


def trained_fraction(run: PlannedRun) -> float:
    """The fraction of its training, 0 to 1, that a launch need not repeat.

    It is taken of the most epochs: a run that ends training sooner, by early stopping or ``max_steps``, has
    done more.
    """
    return min(1.0, run.epochs / run.config.max_epochs)


def share_left(run: PlannedRun, speed: Speed) -> float:
    """The share of its time, 0 to 1, that a run to train still needs."""
    return 1.0 - speed.done_share(run.variant, "train", trained_fraction(run))


def seconds_left(run: PlannedRun, speed: Speed) -> float | None:
    """Seconds that a run still needs, or its evaluation if it is trained; None: nothing is measured."""
    if run.evaluation:
        return speed.evaluation_seconds(run.variant)
    whole = speed.expected_seconds(run.variant)
    return None if whole is None else whole * share_left(run, speed)
