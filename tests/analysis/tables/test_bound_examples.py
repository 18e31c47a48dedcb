"""Sentences on the bounds: which row they are about, and that they conclude nothing but verdicts."""

from pathlib import Path

import numpy as np
import pytest

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.stats.cells import Cell
from analysis.stats.comparisons import compare_all
from analysis.stats.missing_runs import cells_without_runs
from analysis.stats.over_seeds import average_cells
from analysis.tables.bound_examples import EXPLANATION, below_the_truth, examples, explanation
from analysis.tables.bounds import bounds_table

from ..conftest import WriteRun

AVG = {
    "nll_elbo": 97.0, "ppl_elbo": 84.0, "kl": 7.5, "nll_joint": 127.0, "ppl_joint": 330.0,
    "nll_iw": 95.0, "ppl_iw": 76.0, "nll_iw_joint": 119.0, "ppl_iw_joint": 228.0,
}  # fmt: skip
VAE = {"nll_elbo": 102.0, "ppl_elbo": 105.0, "kl": 1.5, "nll_iw": 101.5, "ppl_iw": 102.0}
LM = {"nll": 101.0, "ppl": 100.0}


def cells(tmp_path: Path) -> list[Cell]:
    return average_cells(collect([open_source(str(tmp_path / "study"))]).frame)


def sentences(tmp_path: Path, dataset: str) -> list[str]:
    found = cells(tmp_path)
    return examples(found, dataset, compare_all(found, np.random.default_rng(0)), lambda _: {})


def test_examples_use_our_runs_before_the_published_numbers(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", estimates=LM)
    write_run("lstm-vae-avg", 5, estimates=AVG)
    write_run("lstm-vae-avg", 10, estimates=AVG | {"nll_elbo": 99.0})
    ours, lowest, published = sentences(tmp_path, "ptb")
    assert ours == (
        "PTB standard, from these runs: LSTM-LM has 101.0 nats. LSTM-VAE-AVG L=5 (the first of 2 such "
        "rows, as not all have a validation perplexity) has 97.0 by the published convention, 4.0 less, "
        "but this number is not a bound; its tightest valid bound (IW, joint) is 119.0, 18.0 more: no "
        "conclusion, a bound above an exact number shows nothing."
    )
    assert lowest == (
        "PTB standard: LSTM-LM has the lowest valid number of 3 rows on the test split, 101.0 nats. The "
        "lowest of several test numbers is likely too low."
    )
    # Nothing inputless was run: Table 2a, 139.9 and 113.8, and 113.8 + 9 * 9.6.
    assert published == (
        "PTB inputless, from the published numbers: LSTM-LM has 139.9 nats. LSTM-VAE-AVG L=10 (the "
        "lowest of 2 published) has 113.8 by the published convention, 26.1 less, but this number is "
        "not a bound; its tightest valid bound (ELBO, joint) is 200.2, 60.3 more: no conclusion, published "
        "means have no seeds to pair."
    )


def test_the_example_is_chosen_by_validation_and_named_with_its_variant(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(2):
        write_run("lstm-lm", seed=seed, dataset="toy", estimates=LM)
        for size, nll, valid in ((4, 97.0, [90.0, 60.0, 61.0]), (8, 96.0, [90.0, 70.0])):
            folder = write_run(
                "lstm-vae-avg",
                5,
                seed=seed,
                dataset="toy",
                estimates=AVG | {"nll_elbo": nll},
                latent_size=size,
            )
            folder.write_metrics([{"epoch": k, "valid_ppl": ppl} for k, ppl in enumerate(valid, 1)])
    runs = collect([open_source(str(tmp_path / "study"))])
    example = compose(runs).examples[0]
    # The other variant is lower on the test split.
    assert example.startswith(
        "toy standard, from these runs: LSTM-LM has 101.0 nats. LSTM-VAE-AVG L=5 (latent_size=4) (the "
        "lowest validation perplexity of 2 such rows) has 97.0 by the published convention, 4.0 less, "
    )


def test_the_row_with_the_lowest_valid_number_is_named_as_chosen_by_the_test_split(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(3):
        write_run("lstm-lm", seed=seed, dataset="toy", estimates=LM)
        write_run("lstm-vae", 5, seed=seed, dataset="toy", estimates=VAE | {"nll_iw": 99.4 + 0.1 * seed})
        write_run("lstm-vae-avg", 5, seed=seed, dataset="toy", estimates=AVG)
    _, lowest = sentences(tmp_path, "toy")
    assert lowest == (
        "toy standard: LSTM-VAE L=5 has the lowest valid number of 3 rows on the test split, 99.5, 1.5 "
        "less than LSTM-LM: no conclusion, 3 common seeds are too few. The lowest of several test "
        "numbers is likely too low."
    )


def test_the_lowest_valid_number_has_its_caveats_though_no_language_model_stands_beside_it(
    tmp_path: Path, write_run: WriteRun
) -> None:
    unreliable = {"value": 99.5, "ess": 3.0, "khat_above": 0.9}
    for epochs in (3, 4):
        write_run("lstm-lm", dataset="toy", estimates=LM, max_epochs=epochs)
        write_run("lstm-vae-avg", 5, dataset="toy", estimates=AVG, max_epochs=epochs)
    write_run("lstm-vae", 5, dataset="toy", estimates=VAE | {"nll_iw": unreliable}, max_epochs=5)
    assert sentences(tmp_path, "toy")[-1] == (
        "toy standard: LSTM-VAE L=5 has the lowest valid number of 5 rows on the test split, 99.5 nats "
        "(unreliable). The lowest of several test numbers is likely too low."
    )


@pytest.mark.parametrize(
    ("exact", "bound", "said"),
    [
        # One run: tables have one decimal, and no difference is printed as 0.0.
        (33.82, 33.86, "33.9, about the same"),
        (33.8201, 33.8601, "33.9, about the same"),
        (33.81, 33.84, "33.8, the same"),
        (33.8, 33.9, "33.9, 0.1 more"),
        (10.408, 13.355, "13.4, 2.9 more"),
    ],
)
def test_sentences_have_the_digits_of_tables(
    tmp_path: Path, write_run: WriteRun, exact: float, bound: float, said: str
) -> None:
    write_run("lstm-lm", dataset="toy", estimates={"nll": exact, "ppl": 1.0})
    write_run(
        "lstm-vae-avg",
        5,
        dataset="toy",
        estimates=AVG | {"nll_elbo": exact + 3.0, "nll_joint": bound + 9.0, "nll_iw_joint": bound},
    )
    (sentence,) = sentences(tmp_path, "toy")
    assert f"is {said}: no conclusion" in sentence


def write_toy(write_run: WriteRun, seeds: int, bound: float, noise: float = 0.01, **avg: object) -> None:
    for seed in range(seeds):
        write_run("lstm-lm", seed=seed, dataset="toy", estimates=LM)
        estimates = AVG | {"nll_iw_joint": bound + noise * (-1) ** seed * (1 + seed), **avg}
        # Annealing is over, so an unused z has collapsed.
        write_run("lstm-vae-avg", 5, seed=seed, dataset="toy", estimates=estimates, kl_anneal_epochs=1.0)


def test_two_seeds_never_show_a_gain(tmp_path: Path, write_run: WriteRun) -> None:
    write_toy(write_run, 2, 98.2, noise=0.2)
    (sentence,) = sentences(tmp_path, "toy")
    assert sentence.endswith("2.9 less: no conclusion, 2 common seeds are too few.")


def test_a_valid_bound_below_an_exact_number_over_enough_seeds_is_better(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_toy(write_run, 8, 98.0, noise=0.1)
    (sentence,) = sentences(tmp_path, "toy")
    # Differences -3 + 0.1, -0.2, 0.3, ...: a mean of -3.05, a std of 0.54 over 8 seeds, t = 2.365.
    assert sentence.endswith(
        "3.1 less: LSTM-VAE-AVG L=5 is better than LSTM-LM by at least 3.1 (95%: 2.6 to 3.5) over 8 common "
        "seeds."
    )


@pytest.mark.parametrize(
    ("bound", "avg", "reason"),
    [
        (98.0, {"mi": 0.05}, "a posterior has collapsed, so in effect its model is a language model"),
        (119.0, {}, "a bound above an exact number shows nothing"),
    ],
)
def test_a_significant_difference_that_decides_nothing_says_why(
    tmp_path: Path, write_run: WriteRun, bound: float, avg: dict[str, float], reason: str
) -> None:
    write_toy(write_run, 8, bound, **avg)
    (sentence,) = sentences(tmp_path, "toy")
    assert sentence.endswith(f": no conclusion, {reason}.")


def test_a_difference_within_the_noise_of_the_seeds_concludes_nothing(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_toy(write_run, 8, 101.0, noise=0.5)
    (sentence,) = sentences(tmp_path, "toy")
    assert sentence.endswith(": no conclusion, the difference is not significant over 8 common seeds.")


def test_a_difference_that_would_print_as_zero_is_called_the_same(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_toy(write_run, 1, LM["nll"] - 0.04, noise=0.0)
    (sentence,) = sentences(tmp_path, "toy")
    assert sentence.endswith("101.0, the same: no conclusion, 1 common seed is too few.")


@pytest.mark.parametrize(("stderr", "named"), [(0.01, True), (0.3, False)])
def test_a_number_is_below_the_truth_only_by_more_than_its_error(
    tmp_path: Path, write_run: WriteRun, stderr: float, named: bool
) -> None:
    estimates = AVG | {"nll_elbo": (97.0, stderr)}
    write_run("lstm-vae-avg", 5, dataset="toy", estimates=estimates, result={"true_nll": 97.8})
    seen = below_the_truth(cells(tmp_path), "toy")
    assert ["0.8 below the truth" in sentence for sentence in seen] == [True] * named


def test_a_number_below_the_truth_is_no_proof_that_it_is_no_bound(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """On few test sentences a well fitted model's exact number may be lower than the truth's."""
    few = {"true_nll": 97.8, "sentences": 5, "tokens": 100}
    write_run("lstm-lm", dataset="toy", estimates={"nll": 97.7, "ppl": 90.0}, result=few)
    write_run("lstm-vae-avg", 5, dataset="toy", estimates=AVG, result=few)
    found = cells(tmp_path)
    (sentence,) = below_the_truth(found, "toy")
    assert "is 97.80 nats, below which no bound lies in expectation. LSTM-VAE-AVG L=5 has 97.0" in sentence
    (note,) = [note for note in bounds_table(found, "toy").notes if "97.80 nats" in note]
    assert (
        "by chance of a finite test split an exact number or a bound may be lower, in expectation" in note
    )


@pytest.mark.parametrize(("share", "said"), [(0.97, "119.0 (unreliable)."), (0.01, "119.0.")])
def test_an_unreliable_bound_beside_a_number_below_the_truth_is_called_so(
    tmp_path: Path, write_run: WriteRun, share: float, said: str
) -> None:
    weighted = {"value": 119.0, "ess": 3.0, "khat_above": share}
    estimates = AVG | {"nll_iw_joint": weighted}
    write_run("lstm-vae-avg", 5, dataset="toy", estimates=estimates, result={"true_nll": 97.8})
    (sentence,) = below_the_truth(cells(tmp_path), "toy")
    assert sentence.endswith(f"; its tightest valid bound is {said}")


@pytest.mark.parametrize(
    ("system", "huge"),
    [
        ("lstm-vae-avg", {"nll_elbo": -1e308}),
        ("lstm-vae-avg", {"nll_elbo": 1e308}),
        ("lstm-vae-avg", {"nll_joint": 1e308, "nll_iw_joint": 1e308}),
        ("lstm-vae-avg", {"nll_joint": 1e308, "nll_iw_joint": -1e308}),
        ("lstm-lm", {"nll": 1e308}),
        ("lstm-lm", {"nll": -1e308}),
    ],
)
@pytest.mark.parametrize("seeds", [1, 2])
def test_no_sentence_is_about_a_number_of_a_diverged_run(
    tmp_path: Path, write_run: WriteRun, system: str, huge: dict[str, float], seeds: int
) -> None:
    for seed in range(seeds):
        for name, L, usual in (("lstm-lm", 0, LM), ("lstm-vae", 1, VAE), ("lstm-vae-avg", 5, AVG)):
            estimates = usual | (huge if name == system and seed == 0 else {})
            write_run(name, L, seed=seed, dataset="toy", estimates=estimates, result={"true_nll": 99.0})
    assert sentences(tmp_path, "toy") == []
    # This one needs no language model.
    assert len(below_the_truth(cells(tmp_path), "toy")) == (system == "lstm-lm")


def test_a_huge_number_is_not_the_lowest_valid_one(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="toy", estimates=LM)
    write_run("lstm-vae", 1, dataset="toy", estimates=VAE)
    write_run("lstm-vae", 5, dataset="toy", estimates=VAE | {"nll_elbo": -1e308, "nll_iw": -1e308})
    write_run("lstm-vae-avg", 5, dataset="toy", estimates=AVG)
    _, lowest = sentences(tmp_path, "toy")
    assert lowest == (
        "toy standard: LSTM-LM has the lowest valid number of 3 rows on the test split, 101.0 nats. The "
        "lowest of several test numbers is likely too low."
    )


def test_a_published_number_is_one_candidate_whatever_variants_of_ours_there_are(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for size in (4, 8, 16):
        for L in (5, 10):
            # Without a language model, none of ours is a candidate.
            write_run("lstm-vae-avg", L, latent_size=size, estimates=AVG)
    published = [sentence for sentence in sentences(tmp_path, "ptb") if "published numbers" in sentence]
    assert len(published) == 2
    for sentence in published:
        assert "LSTM-VAE-AVG L=10 (the lowest of 2 published) has" in sentence


def test_the_explanation_has_every_word_of_the_table() -> None:
    text = " ".join(EXPLANATION)
    for word in ("exact", "upper bound", "not a bound", "upper bound in expectation", "joint", "IW"):
        assert word in text
    assert "one estimate may fall below the truth by chance, and so may a mean over seeds" in text


def test_published_cells_without_a_run(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm")
    write_run("lstm-vae", 1, "inputless", status="failed")
    missing = cells_without_runs(cells(tmp_path), "ptb")
    # Ten of the twelve that Kruengkrai (2019) ran, and two cited from Xu & Durrett (2018).
    assert len(missing) == 12
    assert [c.setting for c in missing if c.system == "lstm-vmf-vae"] == ["standard", "inputless"]
    assert ("lstm-vae", 1, "standard") in [(c.system, c.num_samples, c.setting) for c in missing]
    assert cells_without_runs([], "pydocs") == []


def test_decoders_that_read_several_samples_are_explained_only_if_there_is_one(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-vae", dataset="toy")
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    assert "LSTM-VAE-AVG" not in " ".join(explanation(cells, ["toy"]))
    assert explanation(cells, ["ptb"]) == EXPLANATION  # by its published numbers
    write_run("lstm-vae-avg", 5, dataset="toy")
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    assert explanation(cells, ["toy"]) == EXPLANATION
