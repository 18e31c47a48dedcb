"""Comparisons of cells: the pairs, the estimates they are compared by, and the verdicts."""

from pathlib import Path

import numpy as np
import pytest

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.cells import Cell
from analysis.stats.comparisons import METRICS, compare_all, compare_family, pairs_to_compare
from analysis.stats.over_seeds import average_cells

from ..conftest import WriteRun


def cells(tmp_path: Path) -> list[Cell]:
    return average_cells(collect([open_source(str(tmp_path / "study"))]).frame)


def names(pairs: list[tuple[Cell, Cell]]) -> list[tuple[str, str]]:
    return [
        (
            f"{a.system} {a.num_samples} {a.variant}".strip(),
            f"{b.system} {b.num_samples} {b.variant}".strip(),
        )
        for a, b in pairs
    ]


def test_each_system_is_paired_with_its_baselines(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm")
    for L in (1, 5):
        write_run("lstm-vae", L)
    write_run("lstm-vae-avg", 5)
    write_run("lstm-vae-avg", 10)
    write_run("someone-elses", 1)
    assert names(pairs_to_compare(cells(tmp_path))) == [
        ("lstm-vae 1", "lstm-lm 0"),
        ("lstm-vae 5", "lstm-lm 0"),
        ("lstm-vae-avg 5", "lstm-lm 0"),
        ("lstm-vae-avg 5", "lstm-vae 5"),
        ("lstm-vae-avg 10", "lstm-lm 0"),
        ("someone-elses 1", "lstm-lm 0"),
        ("someone-elses 1", "lstm-vae 1"),
    ]


def test_variants_are_paired_with_the_first_and_with_the_same_variant_of_the_baseline(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for epochs in (3, 30):
        write_run("lstm-lm", max_epochs=epochs)
        write_run("lstm-vae", 1, max_epochs=epochs)
    write_run("lstm-vae-avg", 1, status="failed")
    assert names(pairs_to_compare(cells(tmp_path))) == [
        ("lstm-lm 0 max_epochs=30", "lstm-lm 0 max_epochs=3"),
        ("lstm-vae 1 max_epochs=3", "lstm-lm 0 max_epochs=3"),
        ("lstm-vae 1 max_epochs=30", "lstm-lm 0 max_epochs=30"),
        ("lstm-vae 1 max_epochs=30", "lstm-vae 1 max_epochs=3"),
    ]


def test_valid_metrics_use_the_tightest_bound_of_each_cell(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", estimates={"nll": 101.0, "ppl": 100.0})
    avg = {
        "nll_elbo": 97.0,
        "ppl_elbo": 84.0,
        "nll_joint": 127.0,
        "nll_iw_joint": 119.0,
        "ppl_iw_joint": 228.0,
    }
    write_run("lstm-vae-avg", 5, estimates=avg)
    compared = {c.metric: c for c in compare_all(cells(tmp_path), np.random.default_rng(0))}
    assert set(compared) < set(METRICS)
    assert compared["nll"].estimates == ("nll_elbo", "nll")
    assert compared["nll_valid"].estimates == ("nll_iw_joint", "nll")
    assert compared["nll_valid"].paired.mean == pytest.approx(18.0)
    assert compared["ppl_valid"].estimates == ("ppl_iw_joint", "ppl")


def test_the_verdict_follows_the_corrected_p_and_the_smallest_possible_one(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(8):
        write_run("lstm-lm", seed=seed, estimates={"nll": 100.0, "ppl": 90.0})
        write_run("lstm-vae", 1, seed=seed, estimates={"nll_elbo": 99.0 + seed / 100})
        noise = 0.5 if seed % 2 else -0.5
        write_run("lstm-vae", 5, seed=seed, estimates={"nll_elbo": 100.0 + noise})
        if seed < 4:
            write_run("lstm-vae", 10, seed=seed, estimates={"nll_elbo": 99.0})
    lm, one, five, ten = cells(tmp_path)
    compared = compare_family([(cell, lm) for cell in (one, five, ten)], "nll", np.random.default_rng(0))
    # All eight differences of one sign: 2 of 256 flips, times three comparisons.
    assert compared[0].flip_holm == pytest.approx(3 * 2 / 256)
    assert [c.verdict.test for c in compared] == ["significant", "not significant", "too few seeds"]
    assert [c.verdict.words for c in compared] == ["better (at least)", "not significant", "too few seeds"]
