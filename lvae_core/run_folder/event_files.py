"""TensorBoard event files of a run, written from the reports of its progress.

They are a view: the run folder stays the record, and nothing is read from them. A resumed run continues its
curves without a step twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from lvae_core.errors import InputError, reason
from lvae_core.run_folder.folder import RunFolder

FOLDER = "tensorboard"
"""The folder, in the working directory, below which event files are written."""

PACE = ("loss", "tokens_per_second", "learning_rate", "kl_weight")
"""Values within an epoch, written as ``train/…``."""


class Writer(Protocol):
    """What is used of ``SummaryWriter`` of torch or of tensorboardX."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> object:
        """Add one value."""

    def close(self) -> object:
        """Write what is left."""


class EventFiles:
    """The event files of one run in this attempt.

    Args:
        folder: of the run.
        place: the folder of event files, which gets one folder per run.
        writer: makes the writer of a folder from its path, ``filename_suffix`` and ``purge_step``, from
            which on earlier events do not count.
    """

    def __init__(self, folder: RunFolder, place: Path, writer: Callable[..., Writer]) -> None:
        self._folder, self._place, self._make = folder, place, writer
        self._writer: Writer | None = None
        self._step = self._epoch = 0
        """The last step, and the last epoch, that are written."""

    def write(
        self,
        step: int,
        pace: Mapping[str, Any] | None,
        row: Mapping[str, Any] | None,
        estimates: Mapping[str, Any] | None = None,
    ) -> None:
        """Write what a report says that is not written yet.

        Args:
            step: gradient steps taken.
            pace: the fields of :class:`~lvae_core.training.pace.Pace`; None outside training.
            row: the latest row of ``metrics.jsonl``.
            estimates: of the result, at the end.

        Raises:
            InputError: the files cannot be written.
        """
        try:
            writer = self._writer or self._open()
            if pace and step > self._step:
                for name in PACE:
                    if pace.get(name) is not None:
                        writer.add_scalar(f"train/{name}", pace[name], step)
                self._step = step
            if row and row["epoch"] > self._epoch:
                # Between two reports several short epochs may have passed.
                skipped = row["epoch"] > self._epoch + 1
                for each in self._folder.read_metrics() if skipped else [row]:
                    self._add_row(writer, each)
            for name, estimate in (estimates or {}).items():
                writer.add_scalar(f"test/{name}", estimate["value"], step)
        except OSError as error:
            raise InputError(
                f"{self._place}: event files cannot be written ({reason(error)}); leave out --tensorboard"
            ) from None

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> Writer:
        attempts = (self._folder.read_json("provenance.json") or {}).get("attempts", [])
        start = attempts[-1]["from_step"] if attempts else 0
        place = self._place / self._folder.name
        # The row of the epoch that ended at this step is missing if the earlier attempt was killed: it is
        # written again. Files of two attempts within one second need names in order.
        suffix = f".{start:010}"
        self._writer = self._make(str(place), purge_step=start or None, filename_suffix=suffix)
        for row in self._folder.read_metrics():
            if row["step"] < start:
                self._epoch = row["epoch"]
        self._step = max(0, start - 1)
        return self._writer

    def _add_row(self, writer: Writer, row: Mapping[str, Any]) -> None:
        if row["epoch"] <= self._epoch:
            return
        for name, value in row.items():
            if name not in ("epoch", "step") and isinstance(value, int | float):
                writer.add_scalar(f"epoch/{name}", value, row["step"])
        self._epoch = row["epoch"]
