"""Several objectives: the Pareto front against its definition, values from the files, and bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from analysis.figures.elements import finish
from lvae_core.errors import InputError
from lvae_core.systems import recipe
from sweeps.trials.objectives import check_objectives, pareto_front
from sweeps.trials.proposals import Trial, propose
from sweeps.trials.report import write_trials
from sweeps.trials.tables import csv_text, trials_table

from .searches import BASE, HALVING, RULES, continue_search, finished, rows, search
from .test_proposals import FIRST, SPACE

TWO = replace(RULES, objectives=("nll", "kl"))


def trial(number: int, *objectives: float, state="done") -> Trial:
    return Trial(number=number, values={}, state=state, scores=(1.0,), objectives=objectives)


def test_the_front_has_the_trials_that_no_other_beats():
    rng = np.random.default_rng(0)
    trials = [trial(k, *map(float, rng.integers(0, 6, 3))) for k in range(40)]
    names = ("nll", "kl", "seconds")

    def beats(a: Trial, b: Trial) -> bool:
        (x, y, z), (u, v, w) = a.objectives, b.objectives
        return x <= u and y >= v and z <= w and (x < u or y > v or z < w)

    expected = [t.number for t in trials if not any(beats(other, t) for other in trials)]
    front = pareto_front(trials, names)
    assert sorted(t.number for t in front) == expected
    assert [t.objectives[0] for t in front] == sorted(t.objectives[0] for t in front)
    assert pareto_front([trial(0, state="diverged"), replace(trial(1), state="dropped")], names) == []


def test_the_trials_of_averaged_states_are_said_to_have_no_bound(tmp_path):
    found = finished(tmp_path, TWO)
    found.base = replace(found.base, averaging="hidden", num_samples=5)
    assert trials_table(found).title == "trials by validation perplexity, not a bound"


def test_the_figures_of_a_search_of_averaged_states_say_so_beside_every_loss(tmp_path, monkeypatch):
    found, figures = finished(tmp_path / "study", TWO), []
    monkeypatch.setattr(finish, "save", lambda figure: (figures.append(figure), ("", b""))[1])
    options = SimpleNamespace(folder="runs/study", out=str(tmp_path))
    for averaging, note in (("loss", ""), ("hidden", ",\nnot a bound")):
        found.base = replace(found.base, averaging=averaging, num_samples=5)
        write_trials(options, found, Console(quiet=True))
        by_field, parallel, front = (figure.axes[0] for figure in figures)
        figures.clear()
        assert by_field.get_ylabel() == f"valid perplexity{note}"
        assert parallel.get_xticklabels()[-1].get_text() == f"valid perplexity{note}"
        assert (front.get_ylabel(), front.get_xlabel()) == (f"valid NLL{note}", "valid KL")


@pytest.mark.slow
def test_the_best_of_a_search_is_the_lowest_nll_on_the_front(tmp_path):
    found = finished(tmp_path, TWO)
    values = []
    for t in found.known:
        metrics = rows(tmp_path, found, t)
        kept = min(metrics, key=lambda row: row["valid_ppl"])
        values.append((kept["valid_nll"], kept["valid_kl"]))
        assert t.objectives == values[-1]
    assert found.best(1)[0].objectives[0] == min(nll for nll, _ in values)
    front = [t.number for t in found.best(8)]
    assert all(any(values[f][0] <= v[0] and values[f][1] >= v[1] for f in front) for v in values)
    # The table shows the front first, and the file says which trials are on it.
    remarks = list(trials_table(found).columns[-1].cells)
    assert all("on the front" in str(remark) for remark in remarks[: len(front)])
    assert trials_table(found).title == "trials by validation perplexity"
    lines = csv_text(found).splitlines()
    assert lines[0].startswith(
        "trial,state,epochs,valid_ppl,objective_nll,objective_kl,on_front,learning_rate"
    )
    assert [line.split(",")[6] for line in lines[1:]] == [str(n in front).lower() for n in range(8)]


@pytest.mark.slow  # test_search.py interrupts searches of one
@pytest.mark.parametrize("stop_after", [3, 6])
def test_an_interrupted_search_of_two_objectives_continues_to_the_same_result(stop_after, tmp_path):
    expected = finished(tmp_path / "expected", TWO)
    continue_search(search(tmp_path / "found", TWO), stop_after=stop_after)
    again = search(tmp_path / "found", TWO)
    continue_search(again)
    assert again.known == expected.known


def test_seconds_are_those_of_the_result(tmp_path):
    found = finished(tmp_path, replace(RULES, trials=2, objectives=("seconds", "nll")))
    assert len(found.known) == 2
    for t in found.known:
        result = json.loads((tmp_path / found.runs.name(t.values) / "result.json").read_text())
        assert t.objectives[0] == result["train_seconds"]


def test_a_search_keeps_its_objectives(tmp_path):
    finished(tmp_path, replace(RULES, trials=1))
    with pytest.raises(InputError, match="--objective is not set there and nll kl here"):
        search(tmp_path, TWO)


def test_a_diverged_trial_counts_as_the_worst_in_every_objective():
    known = [
        Trial(number=k, values={**FIRST, "dropout": 0.01 * k}, state="done", objectives=(1.0 + k, 1.0))
        for k in range(10)
    ]
    bad = [
        Trial(number=10 + k, values={**FIRST, "dropout": 0.5 + 0.01 * k}, state="diverged")
        for k in range(10)
    ]

    def drawn(trials: list[Trial]) -> list[float]:
        directions = ("minimize", "maximize")
        points = propose(
            SPACE,
            trials,
            8,
            sampler="tpe",
            seed=0,
            first=FIRST,
            startup=4,
            directions=directions,
            valid=lambda point: True,
            key=lambda point: frozenset(point.items()),
        )
        return [point["dropout"] for point in points]

    assert np.mean(drawn([*known, *bad])) < 0.4
    assert drawn(bad) != []  # nothing is known yet


@pytest.mark.parametrize(
    ("names", "rungs", "message"),
    [
        (("nll", "klx"), (), "--objective nll klx: unknown objective 'klx'"),
        (("kl",), (), "give nll"),
        (("nll", "nll"), (), "each other objective once"),
        (("nll", "kl"), HALVING.rungs, "leave out --rungs"),
    ],
)
def test_objectives_that_cannot_be_used_are_one_line(names, rungs, message):
    with pytest.raises(InputError) as refused:
        check_objectives(names, rungs, BASE)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_language_model_has_no_kl():
    with pytest.raises(InputError, match="lstm-lm has no KL"):
        check_objectives(("nll", "kl"), (), recipe("lstm-lm", dataset="toy"))
