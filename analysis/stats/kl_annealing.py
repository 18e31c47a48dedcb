"""Linear annealing of β, the weight of the KL: its length, and how far β had risen at the tested epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lvae_core import kl_annealing

Numbers = NDArray[np.float64]


def annealing_epochs(runs: pd.DataFrame) -> Numbers:
    """Epochs over which β of each run rises; 0 if it does not, or cyclically; NaN if unknown."""
    fields = ("kl_start", "kl_weight", "kl_anneal_epochs", "kl_anneal_steps")
    columns = [_column(runs, name).tolist() for name in fields]
    found = [
        kl_annealing.annealing_epochs(
            schedule=str(schedule),
            start=start,
            weight=weight,
            epochs=epochs,
            steps=steps,
            steps_per_epoch=each,
        )
        for schedule, each, start, weight, epochs, steps in zip(
            runs["kl_schedule"], _steps_per_epoch(runs).tolist(), *columns, strict=True
        )
    ]
    return np.array(found, dtype=np.float64)


def kl_weights_within_annealing(runs: pd.DataFrame) -> Numbers:
    """β after the epoch whose parameters are tested, of each run in which it still rose; else NaN."""
    weight, start = _column(runs, "kl_weight"), _column(runs, "kl_start")
    last, trained = _is(runs, "tested_epoch", "last"), _epochs_trained(runs)
    best = _column(runs, "best_epoch")
    tested = np.where(last | (trained < best), trained, best)
    tested = np.where(np.isnan(tested), _column(runs, "max_epochs"), tested)
    length = annealing_epochs(runs)
    reached = weight * (start + (1 - start) * _ratio(tested, length))
    return np.where(tested < length, reached, np.nan)


def outlast_annealing(runs: pd.DataFrame) -> NDArray[np.bool_]:
    """For each run, whether its training reached the end of its annealing, after which β is full."""
    reached: NDArray[np.bool_] = _epochs_trained(runs) >= annealing_epochs(runs)
    return reached


def _epochs_trained(runs: pd.DataFrame) -> Numbers:
    """Epochs of training; of one that ``max_steps`` has ended early, the part that was trained."""
    parts = _ratio(_column(runs, "steps"), _column(runs, "steps_per_epoch"))
    return np.where(np.isnan(parts), _column(runs, "epochs"), parts)


def _steps_per_epoch(runs: pd.DataFrame) -> Numbers:
    """Gradient steps of a whole epoch, above 0; as if the last one was whole if a result does not say."""
    recorded = _column(runs, "steps_per_epoch")
    found = np.where(np.isnan(recorded), _ratio(_column(runs, "steps"), _column(runs, "epochs")), recorded)
    return np.where(found > 0, found, np.nan)


def _is(runs: pd.DataFrame, name: str, value: str) -> NDArray[np.bool_]:
    equal: NDArray[np.bool_] = (runs[name] == value).to_numpy(bool, na_value=False)
    return equal


def _column(runs: pd.DataFrame, name: str) -> Numbers:
    values: Numbers = runs[name].to_numpy(np.float64, na_value=np.nan)
    return values


def _ratio(a: Numbers, b: Numbers) -> Numbers:
    """``a`` / ``b``; NaN if ``b`` is 0 or unknown."""
    ratio: Numbers = np.divide(a, b, out=np.full(len(b), np.nan), where=b > 0)
    return ratio
