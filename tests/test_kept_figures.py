"""The figures that README.md and results/README.md give of the kept runs follow from their folders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.reading.collect import collect
from analysis.reading.frame import runs_in_rows
from analysis.reading.sources import find_sources

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
KEPT = (ROOT / "results" / "README.md").read_text()


def flat(text: str) -> str:
    """A document's text on one line."""
    return re.sub(r"\s+", " ", text)


def frame(study: str) -> pd.DataFrame:
    return collect(find_sources(str(ROOT / "results" / study))).frame


def cell(runs: pd.DataFrame, system: str, samples: int, setting: str = "inputless") -> pd.DataFrame:
    of_system = (runs["system"] == system) & (runs["num_samples"] == samples) & (runs["setting"] == setting)
    return runs[of_system].sort_values("seed")


def spread(values: pd.Series[float], digits: int = 1) -> str:
    return f"{values.mean():.{digits}f}±{values.std(ddof=1):.{digits}f}"


def metrics(run: str) -> pd.DataFrame:
    lines = (ROOT / "results" / "ptb" / run / "metrics.jsonl").read_text().splitlines()
    return pd.DataFrame(row for row in map(json.loads, lines) if "valid_ppl" in row)


@pytest.mark.parametrize("study", ["ptb", "topics", "topics-declared", "yelp10k"])
def test_the_kept_table_of_bounds_has_the_means_of_the_run_folders(study: str) -> None:
    table = pd.read_csv(ROOT / "results" / "summary" / study / "bounds.csv")
    table = table[table["n"] > 0]
    runs = frame(study)
    assert len(table) > 5
    for row in table.to_dict("records"):
        values = cell(runs, row["system"], row["num_samples"], row["setting"])[row["estimate"]].dropna()
        assert row["n"] == len(values)
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-12)
        if len(values) > 1:
            assert row["std"] == pytest.approx(values.std(ddof=1), rel=1e-9, abs=1e-12)


def test_how_many_runs_of_topics_are_below_the_truth() -> None:
    runs = frame("topics-declared")
    for samples in (5, 10):
        averaged = cell(runs, "lstm-vae-avg", samples)
        below = (averaged["nll_elbo"] < averaged["true_nll"]).sum()
        (line,) = [
            line
            for line in README.splitlines()
            if line.startswith(f"| LSTM-VAE-AVG L={samples} | ") and "below" in line
        ]
        assert f"**{below} of {len(averaged)} below the truth**" in line


def test_the_one_conclusion_of_topics_and_its_interval() -> None:
    runs = frame("topics-declared")
    by_seed = [
        cell(runs, s, n).set_index("seed")[e]
        for s, n, e in (("lstm-lm", 0, "nll"), ("lstm-iwae", 5, "nll_iw"))
    ]
    gain = (by_seed[0] - by_seed[1]).to_numpy(float)
    assert len(gain) == 8
    low, high = scipy.stats.t.interval(0.95, 7, gain.mean(), scipy.stats.sem(gain))
    assert f"as much as its bound is lower, {gain.mean():.1f} nats (95%: {low:.1f} to {high:.1f};" in flat(
        README
    )


def test_how_far_the_bound_of_that_conclusion_can_be_relied_on() -> None:
    shares = cell(frame("topics-declared"), "lstm-iwae", 5)["nll_iw_khat_above"]
    heavy, count = (shares > 0.05).sum(), len(shares)
    said = f"(LSTM-IWAE L=5: {shares.mean():.1%}, but over 5% in {heavy} of its {count} runs)"
    assert said in flat(README)


def test_how_many_runs_of_topics_are_tested_within_annealing_or_stopped_before_the_last_epoch() -> None:
    text = flat(KEPT)
    for study in ("topics", "topics-declared"):
        runs = frame(study)
        latent = runs[runs["system"] != "lstm-lm"]
        assert set(latent["kl_anneal_epochs"]) == {15.0}
        within, short = (latent["best_epoch"] < 15).sum(), (latent["epochs"] < 20).sum()
        if study == "topics":
            assert f"So {short} of the {len(latent)} runs with z end before epoch 20, and" in text
            assert f"and {within} are tested at an epoch within annealing" in text
            of_ten = cell(runs, "lstm-iwae", 10)["best_epoch"] < 15
            assert f"(LSTM-IWAE L = 10: {of_ten.sum()} of {len(of_ten)})" in text
        else:
            assert short == 0
            assert f"{within} of its {len(latent)} runs with z are tested within annealing" in text
            said = f"{within} of the {len(latent)} runs with z are tested within KL annealing"
            assert said in flat(README)


def test_the_study_that_was_declared_has_other_seeds_and_the_declared_number() -> None:
    first, second = frame("topics"), frame("topics-declared")
    assert set(first["seed"]) & set(second["seed"]) == set()
    declared = collect(find_sources(str(ROOT / "results" / "topics-declared"))).declared
    assert [declaration.seeds for _, declaration in declared] == [second["seed"].nunique()] == [8]
    averaged = second[second["system"] == "lstm-vae-avg"]
    assert (averaged["nll_elbo"] < averaged["true_nll"]).sum() == len(averaged) == 16


def test_the_sentences_on_penn_treebank() -> None:
    runs = frame("ptb")
    lm, vae = cell(runs, "lstm-lm", 0, "standard"), cell(runs, "lstm-vae", 1, "standard")
    assert f"Our LSTM-LM (PPL {spread(lm['ppl'])}, published 99.4±0.7)" in flat(README)
    ppl, kl = vae["ppl_elbo"].mean(), vae["kl"].mean()
    assert f"LSTM-VAE (PPL {ppl:.1f}, published 107.5±1.0; KL {kl:.1f}, published 1.5±0.3)" in flat(README)
    nlls, ppls = (" and ".join(f"{value:.1f}" for value in lm[name]) for name in ("nll", "ppl"))
    text = flat(KEPT)
    assert f"test NLL {nlls}, PPL {ppls}" in text
    elbo, weighted = vae["nll_elbo"].mean(), vae["nll_iw"].mean()
    assert f"test NLL by the ELBO {elbo:.1f} at a KL of {kl:.1f}" in text
    assert (
        f"PPL {ppl:.1f} (107.5±1.0), MI {vae['mi'].mean():.2f}, {vae['au'].mean():.0f} active units" in text
    )
    heavy = vae["nll_iw_khat_above"].mean()
    assert (
        f"NLL {weighted:.1f}, which is unreliable (Pareto shape above 0.7 in {heavy:.0%} of the sentences)"
        in text
    )


def test_the_table_of_stop_rules_follows_from_the_learning_curves() -> None:
    """The rule that counts failures in all is simulated by hand; until it stops, training is the same."""
    runs = frame("ptb")
    test, scaled = [], []
    for label, system, samples, seed, first in (
        ("LSTM-LM, seed 0", "lstm-lm", 0, 0, 1),
        ("LSTM-LM, seed 1", "lstm-lm", 0, 1, 1),
        ("LSTM-VAE L = 1, seed 0", "lstm-vae", 1, 0, 10),
    ):
        of_cell = cell(runs, system, samples, "standard")
        (run,) = of_cell[of_cell["seed"] == seed].to_dict("records")
        curve = metrics(run["folder"]).set_index("epoch")["valid_ppl"]
        failed = [
            epoch for epoch, value in curve.items() if value >= curve[: epoch - 1].min() and epoch >= first
        ]
        stopped = curve[: failed[2]].min()
        (line,) = [line for line in KEPT.splitlines() if line.startswith(f"| {label} |")]
        _, epochs, in_all, in_a_row = [part.strip() for part in line.strip("|").split("|")]
        assert epochs.startswith(", ".join(map(str, failed)))
        assert in_all == f"after epoch {failed[2]} at {stopped:.2f}"
        assert in_a_row == f"never in 30 epochs: {curve.min():.2f}"
        assert not any({k, k + 1, k + 2} <= set(failed) for k in failed), "three in a row"
        if system == "lstm-lm":
            test.append(run["ppl"])
            scaled.append(run["ppl"] * stopped / curve.min())
    text = flat(KEPT)
    assert "about {:.1f} and {:.1f} on test".format(*scaled) in text
    assert "where it has {:.1f} and {:.1f} now".format(*test) in text
    assert f"{np.mean(scaled):.1f} against {np.mean(test):.1f} and the published 99.4±0.7" in text


def test_the_sentences_on_yelp10k() -> None:
    runs, text = frame("yelp10k"), flat(KEPT)

    def number(system: str, samples: int, setting: str, estimate: str, digits: int = 1) -> str:
        return spread(cell(runs, system, samples, setting)[estimate], digits)

    lm = cell(runs, "lstm-lm", 0, "standard")["nll"]
    assert f"no bound lies far below LSTM-LM's {spread(lm)}, exact" in text
    assert f"LSTM-IWAE's {number('lstm-iwae', 5, 'standard', 'nll_iw')}" in text
    assert f"LSTM-VAE-AVG's {number('lstm-vae-avg', 5, 'standard', 'nll_iw_joint')}" in text
    below = {"LSTM-LM": ("lstm-lm", "nll"), "CNN-LM": ("cnn-lm", "nll")}
    exact = {name: cell(runs, system, 0)[estimate] for name, (system, estimate) in below.items()}
    assert f"below LSTM-LM's {spread(exact['LSTM-LM'], 2)}" in text
    assert f"below CNN-LM's {spread(exact['CNN-LM'])}" in text
    for name, system, model in (
        ("LSTM-VAE-AIN", "lstm-vae-ain", "LSTM-LM"),
        ("SA-VAE", "sa-vae", "LSTM-LM"),
        ("CNN-VAE", "cnn-vae", "CNN-LM"),
        ("CNN-VAE+init", "cnn-vae-init", "CNN-LM"),
    ):
        ours = cell(runs, system, 1)
        most = "at most " if name == "LSTM-VAE-AIN" else ""
        unit, kl = " nats" if most else "", ours["kl"].mean()
        said = f"{name} ({most}{spread(ours['nll_elbo'])}{unit}, KL {kl:.1f})"
        assert said in text
        assert (ours["nll_elbo"].to_numpy(float) < exact[model].to_numpy(float)).all(), name
        # Importance-weighted numbers of these are unreliable; an ELBO needs no weights.
        assert (ours["mi"] > 0.1).all()
    latent = runs_in_rows(runs[runs["mi"].notna()])
    standard = latent[latent["setting"] == "standard"]
    by_system = standard.groupby(["system", "num_samples"])
    collapsed = 0
    for _, of_system in by_system:
        idle = (of_system["mi"] < 0.1).sum() * 2 > len(of_system)
        # A decoder that reads z has draws below the mean of -log p(x|z), whatever the posterior says.
        elbo, kl, weighted = (of_system[name].mean() for name in ("nll_elbo", "kl", "nll_iw"))
        collapsed += idle and elbo - kl - weighted < 0.1
    assert len(by_system) == 12
    assert collapsed == 5
    assert "in five of the twelve systems with z it collapses" in text
    valid = {
        key: min(
            of_system[name].mean()
            for name in (
                ("nll_joint", "nll_iw_joint") if key[0] == "lstm-vae-avg" else ("nll_elbo", "nll_iw")
            )
            if not of_system.get(f"{name}_khat_above", pd.Series([0.0])).mean() > 0.05
        )
        for key, of_system in by_system
    }
    assert sorted(valid, key=valid.__getitem__)[:2] == [("lstm-iwae", 5), ("lstm-vae-avg", 5)]
    first = cell(runs, "sa-vae", 1)["nll_elbo_amortised"]
    assert f"Without its steps at test, SA-VAE has {spread(first)} there" in text
