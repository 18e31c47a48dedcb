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


def importances_table(search: Search) -> Table | str:
    """The importances with the number of trials, or a line that says why there are none."""
    done = _finished(search)
    if (values := importances(search)) is None:
        return f"importance of the fields: needs {LEAST} finished trials; there are {done}"
    table = Table("field", title="importance of the fields", caption="PED-ANOVA of the best quarter")
    for heading in ("importance", "trials"):
        table.add_column(heading, justify="right")
    for field, value in values.items():
        table.add_row(field, f"{value:.2f}", str(done))
    return table
