"""The importance of each field of a search, from its trials."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from rich.table import Table

from lvae_core.run_folder.search_record import BEST_SHARE
from sweeps.trials.objectives import OBJECTIVES
from sweeps.trials.proposals import study_of
from sweeps.trials.search import Search

LEAST = 10
"""The number of finished trials below which importances mean nothing."""


def importances(search: Search) -> Mapping[str, float] | None:
    """Field -> its importance, the highest first; they sum to 1. None for fewer than LEAST finished trials.

    By PED-ANOVA (Watanabe et al. 2023): how far the best quarter of the trials differs in the field
    from all of them. Only trials that were trained to their ends count.
    """
    done = [trial for trial in search.known if trial.state == "done"]
    if len(done) < LEAST:
        return None
    directions = [OBJECTIVES[name].direction for name in search.rules.objectives]
    evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE)
    found = optuna.importance.get_param_importances(
        study_of(search.space, done, directions), evaluator=evaluator
    )
    values = {field: found.get(field, 0.0) for field in search.space}
    return dict(sorted(values.items(), key=lambda item: -item[1]))


def importances_csv(search: Search, values: Mapping[str, float]) -> str:
    """The importances of :func:`importances` as CSV, with all digits and the number of trials."""
    rows = [f"{field},{value!r},{_finished(search)}" for field, value in values.items()]
    return "\n".join(["field,importance,trials", *rows, ""])


def _finished(search: Search) -> int:
    """The number of trials that were trained to their ends."""
    return sum(trial.state == "done" for trial in search.known)


def importances_table(search: Search) -> Table:
    """The importances, or why there are none, with the number of trials."""
    done = _finished(search)
    table = Table("field", title="importance of the fields")
    for heading in ("importance", "trials"):
        table.add_column(heading, justify="right")
    values = importances(search)
    for field in search.space if values is None else values:
        table.add_row(field, "–" if values is None else f"{values[field]:.2f}", str(done))
    table.caption = (
        f"too few trials: it needs {LEAST}" if values is None else "PED-ANOVA of the best quarter"
    )
    return table
