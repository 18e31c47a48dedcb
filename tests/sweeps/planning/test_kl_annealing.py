"""A plan says that runs end while the weight of the KL rises, against the schedule itself."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lvae_core.data.corpus import load
from lvae_core.kl_annealing import kl_weight
from lvae_core.systems import recipe
from sweeps import paper_grid, search
from sweeps.planning.kl_annealing import annealing_note
from sweeps.sweep import Swept

VAE = recipe("lstm-vae", dataset="toy")
CORPORA = {"toy": load("toy")}
NOTE = "max_epochs = 3 ends before kl_anneal_epochs = 10: models with z cannot be compared"


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"max_epochs": 3}, "max_epochs = 3 ends before kl_anneal_epochs = 10"),
        ({"max_epochs": 10}, ""),
        ({"max_epochs": 3, "kl_anneal_epochs": 3.5}, "max_epochs = 3 ends before kl_anneal_epochs = 3.5"),
        ({"max_epochs": 3, "kl_anneal_epochs": 2.5}, ""),
        ({"max_epochs": 3, "kl_anneal_epochs": 0.0}, ""),
        ({"max_epochs": 3, "kl_start": 1.0}, ""),
        ({"max_epochs": 3, "kl_weight": 0.0}, ""),
        ({"max_epochs": 3, "kl_schedule": "cyclical"}, ""),
        ({"max_epochs": 3, "kl_anneal_steps": 5}, ""),
        (
            {"max_epochs": 3, "kl_anneal_steps": 10_000},
            "max_epochs = 3 ends before kl_anneal_steps = 10000",
        ),
        ({"max_epochs": 60, "max_steps": 5}, "max_steps = 5 ends before kl_anneal_epochs = 10"),
        (
            {"max_epochs": 60, "max_steps": 5, "kl_anneal_steps": 6},
            "max_steps = 5 ends before kl_anneal_steps = 6",
        ),
        ({"max_epochs": 60, "max_steps": 6, "kl_anneal_steps": 6}, ""),
    ],
)
def test_the_note_comes_if_the_weight_never_reaches_its_full_value(changes, limit):
    config = replace(VAE, **changes)
    per_epoch = CORPORA["toy"].train.num_batches(config)
    steps = config.max_epochs * per_epoch
    steps = min(steps, config.max_steps or steps)
    # The step after the last one: annealing as long as training is over, as reports count it.
    reached = max(kl_weight(config, step, per_epoch) for step in range(steps + 1))
    assert (reached < config.kl_weight) == bool(limit)
    expected = f"{limit}: models with z cannot be compared" if limit else ""
    assert annealing_note([config], CORPORA) == expected


def test_models_without_z_are_not_meant():
    short = replace(recipe("lstm-lm", dataset="toy"), max_epochs=3)
    assert annealing_note([short], CORPORA) == ""
    assert annealing_note([short, replace(VAE, max_epochs=3)], CORPORA) == NOTE


def test_several_limits_share_one_line():
    configs = [replace(VAE, max_epochs=epochs) for epochs in (3, 5, 20)]
    assert annealing_note(configs, CORPORA) == (
        "max_epochs = 3 ends before kl_anneal_epochs = 10 (and 1 other case): "
        "2 of 3 runs with z cannot be compared"
    )


def test_dry_runs_and_launches_print_it(tmp_path, monkeypatch, capsys):
    def sweep(options, workload, *others, **more):
        return Swept(workload.plan, failed=False, interrupted=False)

    monkeypatch.setattr(paper_grid, "sweep", sweep)
    monkeypatch.chdir(tmp_path)
    short = ["--max-epochs", "3"]
    words = ["--datasets", "toy", "--systems", "lstm-lm", "lstm-vae", "--seeds", "1", *short]
    space = ["--dataset", "toy", "--space", "dropout=0.1,0.2", *short]
    for main, arguments in (
        (paper_grid.main, [*words, "--dry-run"]),
        (paper_grid.main, words),
        (search.main, [*space, "--dry-run"]),
    ):
        assert main(arguments) == 0
        assert len(re.findall(f"^note: {NOTE}$", capsys.readouterr().out, re.M)) == 1
