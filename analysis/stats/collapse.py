"""When a posterior has collapsed: z is not used, although training held it to the full KL."""

from __future__ import annotations

import pandas as pd

UNUSED = 0.1
"""Nats of mutual information below which a posterior says next to nothing about a sentence, and of a
likelihood that make a difference."""


def last_kl_weight(run: pd.Series) -> float | None:
    """β at the end of a run that ended while β still rose; None if its annealing was over, or unknown."""
    if pd.isna(run["kl_weight"]) or run["kl_schedule"] != "linear":
        return None
    epochs = run["max_epochs"] if pd.isna(run["epochs"]) else run["epochs"]
    length, trained = run["kl_anneal_epochs"], epochs
    if not pd.isna(run["kl_anneal_steps"]) and run["kl_anneal_steps"]:
        length, trained = run["kl_anneal_steps"], run["steps"]
    if pd.isna(length) or pd.isna(trained) or trained >= length:
        return None
    return float(run["kl_weight"] * (run["kl_start"] + (1 - run["kl_start"]) * trained / length))
