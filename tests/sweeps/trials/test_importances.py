"""Importances of the fields of a search, against an objective that depends on one of them alone."""

from __future__ import annotations

import io
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from lvae_core.systems import recipe
from sweeps.trials.importances import importances, importances_table
from sweeps.trials.proposals import Trial
from sweeps.trials.rules import Rules
from sweeps.trials.space import parse_space

SPACE = parse_space(
    ["learning_rate=0.01..1:log", "dropout=0..0.9", "hidden_size=16,32,64"],
    recipe("lstm-vae", dataset="toy"),
)


def known(count: int, decides: str) -> SimpleNamespace:
    """Random trials whose perplexity depends on one field alone."""
    rng = np.random.default_rng(1)
    trials = []
    for number in range(count):
        values = {
            "learning_rate": float(10 ** rng.uniform(-2, 0)),
            "dropout": float(rng.uniform(0, 0.9)),
            "hidden_size": int(rng.choice([16, 32, 64])),
        }
        score = {
            "learning_rate": math.log10(values["learning_rate"]) ** 2,
            "dropout": (values["dropout"] - 0.2) ** 2,
            "hidden_size": abs(values["hidden_size"] - 32),
        }[decides]
        trials.append(Trial(number=number, values=values, state="done", scores=(score,)))
    return SimpleNamespace(space=SPACE, known=trials, rules=Rules(trials=count, at_once=8))


def text(search) -> str:
    out = io.StringIO()
    Console(width=100, file=out).print(importances_table(search))
    return out.getvalue()


@pytest.mark.parametrize("field", ["learning_rate", "dropout", "hidden_size"])
def test_the_field_that_decides_is_the_most_important(field):
    found = importances(known(40, field))
    assert next(iter(found)) == field
    assert found[field] > 0.6
    assert sum(found.values()) == pytest.approx(1.0)
    assert importances(known(40, field)) == found


def test_too_few_trials_have_no_importances():
    search = known(9, "dropout")
    assert importances(search) is None
    assert text(search) == "importance of the fields: needs 10 finished trials; there are 9\n"
    # Trials that were stopped or diverged do not count.
    search.known += [Trial(number=9 + k, values=search.known[0].values, state="diverged") for k in range(9)]
    assert importances(search) is None
    assert re.search(r"dropout +│ +0\.\d\d │ +40 │", text(known(40, "dropout")))
