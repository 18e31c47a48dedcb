"""Notes on evaluations: what the estimates shown come from, and which runs lack them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any, cast

import pandas as pd

from analysis.stats.field_texts import field_text
from analysis.tables.elements.table import row_label
from analysis.tables.notes.capped import capped
from lvae_core.rough_scoring import scored_in_full

COLUMNS = (
    "system",
    "num_samples",
    "evaluation",
    "iw_samples",
    "iw_exact_samples",
    "mi_samples",
    "eval_precision",
    "tested_epoch",
    "evaluated_with",
    "vocabulary",
)
"""The columns that say which evaluation the estimates of a run come from."""


def shown(done: pd.DataFrame) -> Iterable[str]:
    """The evaluation that the estimates come from, of a language model if it is not the usual one.

    By system if they differ.
    """
    rows: dict[str, dict[str, None]] = {}
    done = done[[*COLUMNS]]
    last = (done["tested_epoch"] == "last").fillna(False)
    other = done["evaluated_with"].notna()
    # Results of earlier versions do not record the vocabulary, which others of the same text may have.
    done = done.assign(vocabulary=done["vocabulary"].bfill().ffill())
    said = done[done["evaluation"].notna() & (done["iw_samples"].notna() | last | other)]
    for _, run in said.drop_duplicates(["system", "num_samples", "evaluation"]).iterrows():
        rows.setdefault(_evaluation_text(run), {})[row_label(run["system"], run["num_samples"])] = None
    if len(rows) == 1:
        yield f"estimates shown: {next(iter(rows))}"
    elif rows:
        texts = [f"{text} in {', '.join(labels)}" for text, labels in rows.items()]
        yield f"estimates shown: {capped(texts)}"


def _evaluation_text(run: pd.Series) -> str:
    parts = []
    if not pd.isna(samples := run["iw_samples"]):
        full = _in_full(samples, run["iw_exact_samples"], run["vocabulary"])
        draws = f"{run['mi_samples']} draws for the mutual information"
        parts += [f"S = {samples} importance samples{full}", draws]
    parts += [] if run["eval_precision"] == "float32" else [f"in {run['eval_precision']}"]
    # Results from before the field lack it.
    is_last = not pd.isna(run["tested_epoch"]) and run["tested_epoch"] == "last"
    parts += ["of the last epoch instead of the best"] if is_last else []
    if not pd.isna(run["evaluated_with"]):
        fields = json.loads(run["evaluated_with"]).items()
        parts.append("with " + " ".join(f"{name}={field_text(value)}" for name, value in fields))
        parts.append("other than in training")
    return f"{', '.join(parts)} (evaluation {run['evaluation']})"


def _in_full(samples: int, exact: int, classes: Any) -> str:
    """The number of draws that are scored in full, if not all are; ``classes``: V, NA if unknown."""
    count = scored_in_full(samples, exact, sys.maxsize if pd.isna(classes) else classes)
    if count == samples:
        return ""
    return f" ({count} scored in full{' if there are over 512 words' if pd.isna(classes) else ''})"


def lacking(done: pd.DataFrame) -> Iterable[str]:
    """Count the seeds of each cell that lack the evaluation shown."""
    names = ["system", "num_samples", "setting"]
    # Rows of all columns take long to copy.
    cells = done[[*names, "evaluation", "iw_samples"]].groupby(names, sort=False)
    for (system, num_samples, setting), runs in cast(Any, cells):
        missing = int(runs["evaluation"].isna().sum())
        if missing:
            samples = runs["iw_samples"].dropna().unique()
            which = f"evaluation with S = {samples[0]}" if len(samples) == 1 else "such evaluation"
            label = row_label(system, num_samples)
            yield f"{label} {setting}: {missing} of {len(runs)} seeds have no {which}"
