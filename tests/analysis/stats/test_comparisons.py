"""Comparisons of cells: the pairs, the estimates they are compared by, and the verdicts."""

from pathlib import Path

import numpy as np
import pytest

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.cells import Cell
from analysis.stats.comparisons import METRICS, compare_all, compare_family
from analysis.stats.over_seeds import average_cells
from analysis.stats.pairs import OWN_BASELINES, Baseline, pairs_to_compare, unpaired
from analysis.tables.notes.unpaired import unpaired_notes
from lvae_core.errors import InputError

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


def write_grid(write_run: WriteRun) -> None:
    """The runs of README's example: LSTM-LM reads the dropout, the others also the latent size."""
    for dropout in (0.3, 0.5):
        write_run("lstm-lm", dropout=dropout)
        for size in (16, 32):
            write_run("lstm-vae", 5, latent_size=size, dropout=dropout)


def test_variants_match_if_they_agree_in_what_both_read(tmp_path: Path, write_run: WriteRun) -> None:
    write_grid(write_run)
    pairs = [(a, b) for a, b in pairs_to_compare(cells(tmp_path)) if a.system != b.system]
    assert set(names(pairs)) == {
        (f"lstm-vae 5 latent_size={size}, dropout={dropout}", f"lstm-lm 0 dropout={dropout}")
        for dropout in (0.3, 0.5)
        for size in (16, 32)
    }
    assert unpaired(cells(tmp_path)) == []


def test_a_variant_that_agrees_with_none_or_several_needs_a_chosen_baseline(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for dropout in (0.3, 0.5):
        write_run("lstm-lm", dropout=dropout)
    write_run("lstm-vae", 1, dropout=0.1)
    write_run("lstm-vae", 5, dropout=0.5)
    found = cells(tmp_path)
    between = [pair for pair in names(pairs_to_compare(found)) if "vae" in pair[0]]
    # Its dropout varies in no row of its own.
    assert between == [("lstm-vae 5 dropout=0.5", "lstm-lm 0 dropout=0.5")]
    ((cell, system, candidates),) = unpaired(found)
    assert (cell.num_samples, system, len(candidates)) == (1, "lstm-lm", 2)
    (note,) = unpaired_notes([found], OWN_BASELINES)
    assert note.startswith("not compared with LSTM-LM: LSTM-VAE L=1")
    assert note.endswith("; --baseline dropout=0.3 chooses one")
    chosen = Baseline.parse(["dropout=0.3"])
    assert ("lstm-vae 1 dropout=0.1", "lstm-lm 0 dropout=0.3") in names(pairs_to_compare(found, chosen))
    assert unpaired_notes([found], chosen) == []


def test_a_system_without_the_l_of_a_chosen_one_is_compared_with_each_l_of_it(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm")
    write_run("lstm-vae", 1)
    for L in (5, 10):
        write_run("lstm-vae-avg", L)
        write_run("lstm-iwae", L)
    found = names(pairs_to_compare(cells(tmp_path), Baseline.parse(["lstm-iwae"])))
    assert set(found) == {
        ("lstm-lm 0", "lstm-iwae 5"),
        ("lstm-lm 0", "lstm-iwae 10"),
        ("lstm-vae 1", "lstm-iwae 5"),
        ("lstm-vae 1", "lstm-iwae 10"),
        ("lstm-vae-avg 5", "lstm-iwae 5"),
        ("lstm-vae-avg 10", "lstm-iwae 10"),
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["lstm-iwae"],  # of the same L where it has one, else at each of its own
            [
                ("lstm-lm 0", "lstm-iwae 1"),
                ("lstm-lm 0", "lstm-iwae 5"),
                ("lstm-vae 1", "lstm-iwae 1"),
                ("lstm-vae 5", "lstm-iwae 5"),
                ("lstm-iwae 1", None),
                ("lstm-iwae 5", None),
                ("lstm-vae-fb 1", "lstm-iwae 1"),
            ],
        ),
        (
            ["lstm-vae-fb"],  # its only L
            [
                ("lstm-lm 0", "lstm-vae-fb 1"),
                ("lstm-vae 1", "lstm-vae-fb 1"),
                ("lstm-vae 5", "lstm-vae-fb 1"),
                ("lstm-iwae 1", "lstm-vae-fb 1"),
                ("lstm-iwae 5", "lstm-vae-fb 1"),
                ("lstm-vae-fb 1", None),
            ],
        ),
    ],
)
def test_every_system_is_compared_with_a_chosen_one(
    tmp_path: Path, write_run: WriteRun, words: list[str], expected: list[tuple[str, str | None]]
) -> None:
    write_run("lstm-lm")
    for L in (1, 5):
        write_run("lstm-vae", L)
        write_run("lstm-iwae", L)
    write_run("lstm-vae-fb", 1)
    pairs = names(pairs_to_compare(cells(tmp_path), Baseline.parse(words)))
    assert pairs == [(a, b) for a, b in expected if b is not None]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["lstm-vae", "lstm-iwae"],
            [("lstm-lm", "lstm-vae"), ("lstm-lm", "lstm-iwae"), ("lstm-iwae", "lstm-vae")],
        ),
        (
            ["lstm-lm", "lstm-vae"],
            [("lstm-vae", "lstm-lm"), ("lstm-iwae", "lstm-lm"), ("lstm-iwae", "lstm-vae")],
        ),
    ],
)
def test_two_chosen_systems_are_compared_once(
    tmp_path: Path, write_run: WriteRun, words: list[str], expected: list[tuple[str, str]]
) -> None:
    for system in ("lstm-lm", "lstm-vae", "lstm-iwae"):
        write_run(system)
    pairs = pairs_to_compare(cells(tmp_path), Baseline.parse(words))
    assert [(a.system, b.system) for a, b in pairs] == expected


def test_variants_are_compared_with_the_chosen_one(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm")
    for size in (4, 8, 16):
        write_run("lstm-vae", 1, latent_size=size)
    baseline = Baseline.parse(["latent_size=8"])
    found = cells(tmp_path)
    baseline.check(found)
    assert names(pairs_to_compare(found, baseline)) == [
        ("lstm-vae 1 latent_size=4", "lstm-lm 0"),
        ("lstm-vae 1 latent_size=4", "lstm-vae 1 latent_size=8"),
        ("lstm-vae 1 latent_size=8", "lstm-lm 0"),
        ("lstm-vae 1 latent_size=16", "lstm-lm 0"),
        ("lstm-vae 1 latent_size=16", "lstm-vae 1 latent_size=8"),
    ]
    # With a system, its chosen variant is that of every other system.
    of_both = Baseline.parse(["lstm-vae", "latent_size=8"])
    assert ("lstm-lm 0", "lstm-vae 1 latent_size=8") in names(pairs_to_compare(found, of_both))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["lstm-iwae"], "--baseline lstm-iwae: no run of it has finished; choose from lstm-lm, lstm-vae"),
        (
            ["latent_size=5"],
            "--baseline latent_size=5: no variant with finished runs has this; choose from latent_size=4, "
            "latent_size=8",
        ),
        (
            ["lr_decay=0.25"],
            "--baseline lr_decay=0.25: no variant with finished runs has this; choose from ",
        ),
    ],
)
def test_a_baseline_without_a_finished_run_is_refused(
    tmp_path: Path, write_run: WriteRun, words: list[str], complaint: str
) -> None:
    write_run("lstm-lm")
    for size in (4, 8):
        write_run("lstm-vae", 1, latent_size=size)
    write_run("lstm-iwae", 1, status="failed")
    with pytest.raises(InputError) as caught:
        Baseline.parse(words).check(cells(tmp_path))
    assert str(caught.value).startswith(complaint)


def test_a_baseline_is_refused_without_a_choice_if_nothing_has_finished(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm", status="failed")
    with pytest.raises(InputError, match=r"^--baseline lstm-iwae: no run has finished$"):
        Baseline.parse(["lstm-iwae"]).check(cells(tmp_path))


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


def test_an_unreliable_bound_hides_no_reliable_one(tmp_path: Path, write_run: WriteRun) -> None:
    weighted = {"value": 79.0, "ess": 2.0, "khat_above": 0.06}
    for seed in range(8):
        write_run("lstm-lm", seed=seed, estimates={"nll": 100.0 + seed / 9, "ppl": 90.0})
        vae = {"nll_elbo": 80.0, "ppl_elbo": 60.0, "nll_iw": weighted, "ppl_iw": 59.0, "mi": 1.0}
        write_run("lstm-vae", 1, seed=seed, estimates=vae)
    compared = {c.metric: c for c in compare_all(cells(tmp_path), np.random.default_rng(0))}
    assert compared["nll_valid"].estimates == ("nll_elbo", "nll")
    assert compared["ppl_valid"].estimates == ("ppl_elbo", "ppl")
    assert {compared[m].verdict.words for m in ("nll_valid", "ppl_valid")} == {"better (at least)"}


def test_a_model_without_a_reliable_bound_is_called_neither_better_nor_worse(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """The perplexity is of the same draws as the NLL, which alone records how far to rely on them."""
    weighted = {"value": 79.0, "ess": 2.0, "khat_above": 0.06}
    for seed in range(8):
        write_run("lstm-lm", seed=seed, estimates={"nll": 100.0 + seed / 9, "ppl": 90.0})
        avg = {"nll_elbo": 60.0, "nll_iw_joint": weighted, "ppl_iw_joint": 59.0, "mi": 1.0}
        write_run("lstm-vae-avg", 5, seed=seed, estimates=avg)
    compared = {c.metric: c for c in compare_all(cells(tmp_path), np.random.default_rng(0))}
    assert {compared[m].verdict.words for m in ("nll_valid", "ppl_valid")} == {"undecided: unreliable"}


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


@pytest.mark.parametrize(
    ("other", "first", "reach", "words"),
    [
        # 2 of 1024 flips, times two; then 2 of 64 flips, times one: it can be, and is, significant.
        (99.0, 98.0, 2 / 64, "better (at least)"),
        # One sign is broken, though six of one sign would have been significant.
        (99.0, 100.5, 2 / 64, "not significant"),
        # The ten seeds show nothing, so the six are corrected for two comparisons: 0.0625.
        (None, 98.0, 4 / 64, "too few seeds"),
    ],
)
def test_what_seeds_can_reach_depends_on_the_other_comparisons(
    tmp_path: Path, write_run: WriteRun, other: float | None, first: float, reach: float, words: str
) -> None:
    for seed in range(10):
        write_run("lstm-lm", seed=seed, estimates={"nll": 100.0, "ppl": 90.0})
        one = (99.0 if seed % 2 else 101.0) if other is None else other
        write_run("lstm-vae", 1, seed=seed, estimates={"nll_elbo": one + seed / 100})
        if seed < 6:
            five = first if seed == 0 else 98.0
            write_run("lstm-vae", 5, seed=seed, estimates={"nll_elbo": five + seed / 100})
    lm, one_sample, five_samples = cells(tmp_path)
    pairs = [(one_sample, lm), (five_samples, lm)]
    of_five = compare_family(pairs, "nll", np.random.default_rng(0))[1]
    assert of_five.reach == pytest.approx(reach)
    assert of_five.verdict.words == words
