"""The mean loss of the epoch under way: that of the latest steps alone jumps from batch to batch."""

from __future__ import annotations

from lvae_core.training.runtime import Progress


class EpochLoss:
    """The mean loss of an epoch so far, or of the part that this attempt has trained, per gradient step."""

    def __init__(self) -> None:
        self._epoch, self._step = -1, -1
        self._sum = self._weight = 0.0

    def add(self, progress: Progress) -> None:
        """Add the steps since the report before; those before the first report count as one."""
        if progress.pace is None:
            return
        steps = progress.step - self._step if self._step >= 0 else 1
        self._step = progress.step
        # The row of metrics follows the end of its epoch.
        epoch = progress.epoch - (progress.metrics is not None)
        if epoch != self._epoch and steps:
            self._epoch, self._sum, self._weight = epoch, 0.0, 0.0
        self._sum += steps * progress.pace.loss
        self._weight += steps

    @property
    def mean(self) -> float:
        """In nats per sentence; there must have been a step."""
        return self._sum / self._weight
