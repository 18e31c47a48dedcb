"""TensorBoard event files of a run, written from its folder while it runs.

They are a view: the run folder stays the record, and nothing is read from them. Each attempt writes the
curves from the beginning and takes back what earlier attempts wrote, so that no step is twice or missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from lvae_core.errors import InputError, reason
from lvae_core.run_folder.folder import DamagedError, RunFolder

FOLDER = "tensorboard"
"""The folder, in the working directory, below which event files are written."""

POINT_FIELDS = ("loss", "kl", "kl_weight", "learning_rate", "tokens_per_second")
"""Values of a point of ``steps.jsonl``, written as ``train/…``."""

READ_SECONDS = 30.0
"""Seconds within an epoch after which its points are read; at its end they are read anyway."""


def place_note(place: Path) -> str:
    """Return a line that says where event files are and how to see them."""
    return f"note: event files: {place}; see them with: tensorboard --logdir {FOLDER}"


class Writer(Protocol):
    """The methods of ``SummaryWriter``, of torch or of tensorboardX, that runs call."""

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
        """The last point, and the last epoch, that are written."""
        self._read = 0.0
        """When the points were read."""

    def write(
        self, step: int, row: Mapping[str, Any] | None, estimates: Mapping[str, Any] | None = None
    ) -> None:
        """Write what the folder holds and is not written yet; to be called with each report of progress.

        Args:
            step: gradient steps taken.
            row: the latest row of ``metrics.jsonl``.
            estimates: of the result, at the end.

        Raises:
            InputError: the files cannot be written.
        """
        try:
            writer = self._writer or self._open()
            has_ended = row is not None and row["epoch"] > self._epoch
            if has_ended or estimates or time.monotonic() - self._read >= READ_SECONDS:
                self._add_points(writer)
            if row is not None and has_ended:
                # Between two reports several short epochs may have passed.
                skipped = row["epoch"] > self._epoch + 1
                for each in self._folder.read_metrics() if skipped else [row]:
                    self._add_row(writer, each)
            for name, estimate in (estimates or {}).items():
                writer.add_scalar(f"test/{name}", estimate["value"], step)
        except OSError as error:
            raise self._refusal(error) from None

    def close(self) -> None:
        """Write what is left. Raises InputError if the files cannot be written."""
        if self._writer is None:
            return
        try:
            self._add_points(self._writer)
            self._writer.close()
        except OSError as error:
            raise self._refusal(error) from None
        finally:
            self._writer = None

    def _refusal(self, error: OSError) -> InputError:
        return InputError(
            f"{self._place}: event files cannot be written ({reason(error)}); leave out --tensorboard"
        )

    def _open(self) -> Writer:
        attempts = (self._folder.read_json("provenance.json") or {}).get("attempts", [])
        # Files of two attempts within one second need names in order.
        suffix = f".{len(attempts):06}"
        place = self._place / self._folder.name
        # An earlier attempt may have written more than its checkpoint knows, or less, if it was killed.
        self._writer = self._make(
            str(place), purge_step=0 if place.exists() else None, filename_suffix=suffix
        )
        self._add_points(self._writer)
        for row in self._folder.read_metrics():
            self._add_row(self._writer, row)
        return self._writer

    def _add_points(self, writer: Writer) -> None:
        self._read = time.monotonic()
        try:
            points = self._folder.read_steps()
        except DamagedError:
            return  # a run that resumes repairs it; no result depends on it
        for point in points:
            if point["step"] > self._step:
                for name in POINT_FIELDS:
                    if point.get(name) is not None:
                        writer.add_scalar(f"train/{name}", point[name], point["step"])
                self._step = point["step"]

    def _add_row(self, writer: Writer, row: Mapping[str, Any]) -> None:
        if row["epoch"] <= self._epoch:
            return
        for name, value in row.items():
            if name not in ("epoch", "step") and isinstance(value, int | float):
                writer.add_scalar(f"epoch/{name}", value, row["step"])
        self._epoch = row["epoch"]
