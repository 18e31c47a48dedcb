"""Points within epochs: loss, rates, throughput and load, as ``steps.jsonl`` keeps them.

No result depends on them. Their steps follow from the config and the size of the data, never from a clock,
so a resumed run has the points of one that was never stopped. Taking a point keeps a reference to the sums
on the device; the numbers are read when the trainer reads the loss anyway.

A line of the file has

    epoch, step        epochs, with a fraction, and gradient steps that are done
    loss, kl           means since the point before, or since the epoch began, in nats per sentence: what
                       the steps minimise, and the KL
    kl_weight          β; like kl absent without a latent variable
    learning_rate
    sums               Σ over the epoch's sentences so far of (loss, kl, 1), to continue from
    tokens_per_second, cpu_percent, memory_mib, gpu_percent, gpu_memory_mib
                       as measured around the point: the only fields that are not reproducible, see
                       :mod:`lvae_core.training.process_usage`
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from lvae_core.config import RunConfig
from lvae_core.run_folder.digests import seal_rows
from lvae_core.training.state import TrainState

POINTS_PER_EPOCH, POINTS = 50, 1000
"""The largest number of points in one epoch, and in ``max_epochs`` epochs."""

Row = dict[str, Any]

_NOTHING = [0.0, 0.0, 0.0]


class StepLog:
    """The points of a run, those of earlier attempts included."""

    def __init__(
        self, config: RunConfig, batches_per_epoch: int, state: TrainState, rows: Sequence[Row] | None
    ) -> None:
        """Continue from ``state`` with the points up to there.

        Args:
            config: of the run.
            batches_per_epoch: gradient steps of an epoch.
            state: where this attempt starts; later points are dropped.
            rows: the points of earlier attempts; None if they are lost, so that only their steps are known.
        """
        self._batches, self._has_kl = batches_per_epoch, config.encoder != "none"
        share = max(1 / POINTS_PER_EPOCH, config.max_epochs / POINTS)
        self.interval = max(1, math.ceil(batches_per_epoch * share))
        """Gradient steps between two points of an epoch."""
        # With a step for each lost point, the others keep the places under which W&B knows them.
        known = list(self._steps_until(state)) if rows is None else rows
        kept = [row for row in known if row["step"] <= state.step]
        self._data = seal_rows(kept)
        self._unsealed: list[Row] = []
        self._pending: list[tuple[int, Row, Tensor]] = []
        self._epoch, self._before = state.epoch, _NOTHING
        """The sums at the last point of an epoch."""
        if kept and kept[-1]["epoch"] > state.epoch:
            self._before = kept[-1].get("sums", _NOTHING)
        self.is_changed = kept != rows
        """Whether there are changes since :meth:`serialised` was called last."""

    def note(self, state: TrainState, kl_weight: float | None) -> None:
        """Take a point if one is due after the gradient step that ``state`` ends with; never waits.

        Args:
            state: the training state.
            kl_weight: β; None without a latent variable.
        """
        if state.batch % self.interval:
            return
        row = self._row(state.epoch, state.batch, state.step)
        row["learning_rate"] = state.rate.learning_rate
        if self._has_kl:
            row["kl_weight"] = kl_weight
        # Each step makes a new tensor of sums, so a reference keeps these ones.
        self._pending.append((state.epoch, row, state.sums))

    def read(self, measured: Mapping[str, float]) -> None:
        """Read the numbers of the points since the last call; ``measured`` applies to all of them."""
        if not self._pending:
            return
        sums = torch.stack([sums for *_, sums in self._pending]).tolist()
        for (epoch, row, _), (loss, _, kl, sentences) in zip(self._pending, sums, strict=True):
            before = self._before if epoch == self._epoch else _NOTHING
            count = sentences - before[2]
            row["loss"] = (loss - before[0]) / count
            if self._has_kl:
                row["kl"] = (kl - before[1]) / count
            row["sums"] = [loss, kl, sentences]
            self._epoch, self._before = epoch, row["sums"]
            self._unsealed.append({**row, **measured})
        self._pending = []
        self.is_changed = True

    def serialised(self) -> bytes:
        """Return the file's content: every point read so far."""
        self._data += seal_rows(self._unsealed, after=self._data)
        self._unsealed, self.is_changed = [], False
        return self._data

    def _row(self, epoch: int, batch: int, step: int) -> Row:
        return {"epoch": round(epoch + batch / self._batches, 4), "step": step}

    def _steps_until(self, state: TrainState) -> Iterator[Row]:
        """The points that a run has taken up to ``state``, without their numbers."""
        ends = [0, *(row["step"] for row in state.metrics), state.step]
        for epoch, (start, end) in enumerate(pairwise(ends)):
            for batch in range(self.interval, end - start + 1, self.interval):
                yield self._row(epoch, batch, start + batch)
