"""When a posterior has collapsed: z is not used, although training held it to the full KL."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

UNUSED = 0.1
"""Nats of mutual information below which a posterior says next to nothing about a sentence, and of a
likelihood that make a difference."""


def last_kl_weights(runs: pd.DataFrame) -> NDArray[np.float64]:
    """β at the end of each run that ended while β still rose; NaN if its annealing was over, or unknown."""
    weight, start, epochs, most_epochs, steps, length, length_in_steps = (
        runs[name].to_numpy(np.float64, na_value=np.nan)
        for name in (
            "kl_weight", "kl_start", "epochs", "max_epochs", "steps", "kl_anneal_epochs", "kl_anneal_steps",
        )
    )  # fmt: skip
    by_steps = length_in_steps > 0
    length = np.where(by_steps, length_in_steps, length)
    trained = np.where(by_steps, steps, np.where(np.isnan(epochs), most_epochs, epochs))
    # A comparison with NaN is false, so what is unknown stays NaN.
    rising = (runs["kl_schedule"] == "linear").to_numpy(bool, na_value=False) & (trained < length)
    share = np.divide(trained, length, out=np.full(len(runs), np.nan), where=rising)
    reached: NDArray[np.float64] = weight * (start + (1 - start) * share)
    return reached
