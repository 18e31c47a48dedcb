import re
from pathlib import Path
from typing import Any

import pytest

from analysis.published.catalogue import use
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.over_seeds import average_cells
from analysis.tables.elements.shown_variants import mark_shown, variant_key
from analysis.tables.notes.dataset import dataset_notes
from lvae_core.config import RunConfig
from lvae_core.identity import evaluation_id
from lvae_core.protocols import he2019
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe

from ..conftest import WriteRun
from ..reading.test_evaluations import evaluate

YAHOO = {"embedding_size": 512, "hidden_size": 1024}
YAHOO_TEST = {"sentences": 10000, "tokens": 798673}


def classes(count: int) -> dict[str, Any]:
    """What a result says of a vocabulary of that size."""
    return {"vocabulary": count, "splits": {"train": {"unknown": 0.0}, "test": {"unknown": 0.0}}}


def all_notes(tmp_path: Path, dataset: str = "ptb", **evaluation: Any) -> list[str]:
    frame = collect([open_source(str(tmp_path / "study"))], evaluation=evaluation).frame
    found = dataset_notes(frame, mark_shown(average_cells(frame)), dataset)
    # The runs that these tests write are tested at their third epoch; one test is about that.
    return [note for note in found if not note.startswith("tested at an epoch within")]


def notes(tmp_path: Path, dataset: str = "ptb") -> list[str]:
    """The notes without the line that always says which evaluation is shown."""
    return [note for note in all_notes(tmp_path, dataset) if not note.startswith("estimates shown: ")]


def test_the_evaluation_shown_is_named(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm")
    assert all_notes(tmp_path) == []
    write_run("lstm-vae", result=classes(10_000))
    assert all_notes(tmp_path) == [
        "estimates shown: S = 500 importance samples (24 scored in full), 8 draws for the mutual "
        "information (evaluation b6c6e7b5)"
    ]
    other: dict[str, Any] = {"iw_samples": 9, "iw_exact_samples": 0, "mi_samples": 2}
    other["eval_precision"] = "bfloat16"
    write_run("lstm-vae-avg", 5, **other)
    digits = evaluation_id(RunConfig(**other))[:8]
    assert all_notes(tmp_path)[-1] == (
        "estimates shown: S = 500 importance samples (24 scored in full), 8 draws for the mutual "
        "information (evaluation b6c6e7b5) in LSTM-VAE L=1; S = 9 importance samples, 2 draws for the "
        f"mutual information, in bfloat16 (evaluation {digits}) in LSTM-VAE-AVG L=5"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (512, ""),
        (513, " (24 scored in full)"),
        (None, " (24 scored in full if there are over 512 words)"),
    ],
)
def test_all_draws_are_scored_in_full_over_few_words(
    tmp_path: Path, write_run: WriteRun, words: int | None, said: str
) -> None:
    write_run("lstm-vae", result=None if words is None else classes(words))
    (note,) = all_notes(tmp_path)
    assert note.startswith(f"estimates shown: S = 500 importance samples{said}, 8 draws")


def test_a_run_that_records_no_vocabulary_has_that_of_another_run_of_the_text(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-vae")
    write_run("lstm-iwae", 5, result=classes(10_000))
    (note,) = all_notes(tmp_path)
    assert note.count("500 importance samples (24 scored in full), ") == 1


def test_an_evaluation_of_the_last_epoch_is_named_of_language_models_too(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm", tested_epoch="last")
    write_run("lstm-vae", tested_epoch="last", result=classes(10_000))
    (note,) = all_notes(tmp_path)
    assert re.sub(r"evaluation \w{8}", "id", note) == (
        "estimates shown: of the last epoch instead of the best (id) in LSTM-LM; S = 500 importance "
        "samples (24 scored in full), 8 draws for the mutual information, of the last epoch instead of the "
        "best (id) in LSTM-VAE L=1"
    )


def test_huge_estimates_are_named_with_what_is_not_computed_from_them(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed, nll in enumerate([1e12, 100.0]):
        write_run("lstm-lm", seed=seed, estimates={"nll": nll, "ppl": 90.0})
    listed = "estimates of 1e+09 and more: LSTM-LM standard (nll)"
    why = "; training diverged, a bound is very loose, or a file is wrong"
    assert notes(tmp_path) == [listed + why]
    write_run("lstm-vae", seed=0, estimates={"nll_elbo": -1e308, "kl": 1e308})
    write_run("lstm-vae", seed=1, estimates={"nll_elbo": 100.0, "kl": 2.0})
    (note,) = [note for note in notes(tmp_path) if "estimates" in note]
    assert note.startswith(f"{listed}; LSTM-VAE L=1 standard (nll_elbo, kl){why}. Where no ± is given")


def test_the_largest_ordinary_estimates_have_no_note(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(2):
        write_run("lstm-lm", seed=seed, estimates={"nll": 9.99e8, "ppl": -9.99e8})
    assert notes(tmp_path) == []


def test_seeds_without_the_evaluation_shown_are_counted(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        evaluate(write_run(seed=seed), 99.0, iw_samples=5000)
    for seed in range(3, 5):
        write_run(seed=seed)
    assert all_notes(tmp_path, iw_samples=5000)[-1] == (
        "LSTM-VAE L=1 standard: 2 of 5 seeds have no evaluation with S = 5000"
    )


def test_runs_by_the_recipes_have_no_notes(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm")
    write_run("lstm-vae-avg", 5)
    write_run("lstm-vae-avg", 5, dataset="yahoo", result=YAHOO_TEST, **YAHOO)
    assert notes(tmp_path, "ptb") == []
    assert notes(tmp_path, "yahoo") == []


def test_runs_whose_training_never_or_seldom_shows_the_unknown_word_are_noted(
    tmp_path: Path, write_run: WriteRun
) -> None:
    def sizes(train: float, test: float) -> dict[str, Any]:
        splits = {name: {"unknown": share} for name, share in (("train", train), ("test", test))}
        return {"vocabulary": 10, "splits": splits}

    write_run(dataset="mine", result=sizes(0.0, 0.0375))
    write_run(dataset="mine", seed=1, result=sizes(0.0, 0.0375))
    assert notes(tmp_path, "mine") == [
        "2 of 2 runs are tested on words that training never has (3.8% of the tokens) as a class that "
        "training never shows, which takes a large share of their NLL; with "
        "--set min_count=2, training shows it"
    ]
    write_run(dataset="rare", result=sizes(0.0009, 0.0203))
    write_run(dataset="rare", seed=1, min_count=3, result=sizes(0.0008, 0.0203))
    write_run(dataset="rare", seed=2, min_count=4, result=sizes(0.02, 0.04))
    (line,) = (note for note in notes(tmp_path, "rare") if "tested" in note)
    assert line == (
        "2 of 3 runs are tested on far more unknown words (2.0% of the tokens) than training leads them to "
        "expect (0.1%), so each costs many nats; with --set min_count=4, training shows more of them"
    )
    for dataset, shares in {"shown": (0.02, 0.04), "whole": (0.0, 0.0)}.items():
        write_run(dataset=dataset, result=sizes(*shares))
        assert notes(tmp_path, dataset) == []
    write_run(dataset="earlier")
    assert notes(tmp_path, "earlier") == []


def test_variants_are_noted(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(max_epochs=3)
    write_run(max_epochs=30)
    assert notes(tmp_path)[0] == (
        "LSTM-VAE L=1 was run in 2 variants (max_epochs=3; max_epochs=30): "
        "each has its own row; they are never averaged together"
    )


def test_posterior_collapse_is_noted(tmp_path: Path, write_run: WriteRun) -> None:
    for seed, mi in [(0, 0.15), (1, 0.03), (2, 0.01)]:
        estimates = {"nll_elbo": 100.0, "ppl_elbo": 90.0, "mi": mi}
        write_run(seed=seed, estimates=estimates, result={"epochs": 20, "best_epoch": 20})
    # Its mean is below 0.1, but most of its runs are not.
    for seed, mi in [(0, 0.11), (1, 0.02), (2, 0.11)]:
        estimates = {"nll_elbo": 100.0, "ppl_elbo": 90.0, "mi": mi}
        write_run("lstm-vae-avg", 5, seed=seed, estimates=estimates)
    assert notes(tmp_path) == [
        "posterior collapse, in most runs z says next to nothing about a sentence (mutual information "
        "below 0.1 nats): LSTM-VAE L=1 standard; in effect these are language models",
        "runs in which z says next to nothing about a sentence (mutual information below 0.1 nats), so "
        "that means mix two kinds of runs: LSTM-VAE L=1 standard 2 of 3, LSTM-VAE-AVG L=5 standard 1 of 3",
    ]


def test_a_row_trained_by_another_bound_than_the_elbo_is_named(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-iwae", 5, dataset="mine", objective="importance_weighted")
    write_run("lstm-vae", 5, dataset="mine")
    (note,) = (note for note in notes(tmp_path, "mine") if note.startswith("trained by"))
    assert note.startswith("trained by the importance-weighted bound: LSTM-IWAE L=5; training")


def test_a_decoder_that_reads_z_is_no_language_model_though_the_posterior_is_the_prior(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """If the decoder ignored z, the mean of -log p(x|z), here 99, would be the lowest number there is."""
    for system, L, weighted in (("lstm-iwae", 5, 98.8), ("lstm-vae", 1, 99.1)):
        estimates = {"nll_elbo": 100.0, "ppl_elbo": 90.0, "nll_iw": weighted, "kl": 1.0, "mi": 0.01}
        write_run(system, L, dataset="mine", estimates=estimates, kl_anneal_epochs=1.0)
    joint = {"nll_elbo": 100.0, "nll_joint": 104.0, "nll_iw_joint": 98.8, "kl": 1.0, "mi": 0.01}
    write_run("lstm-vae-avg", 5, dataset="mine", estimates=joint, kl_anneal_epochs=1.0)
    collapse, decoder = (note for note in notes(tmp_path, "mine") if "z says next" in note)
    assert collapse.startswith("posterior collapse")
    assert "LSTM-VAE L=1 standard; in" in collapse
    assert "LSTM-VAE-AVG L=5 standard, LSTM-IWAE L=5 standard; but the decoder reads z" in decoder


@pytest.mark.parametrize(
    ("fields", "weight"),
    [
        ({"kl_anneal_epochs": 20.0}, "0.15"),
        ({"kl_anneal_steps": 198, "kl_anneal_epochs": 1.0}, "0.38"),
        ({"kl_anneal_epochs": 6.0, "kl_start": 0.5, "kl_weight": 0.4}, "0.3"),
        # Training went on after the annealing, but the tested parameters are from before.
        ({"kl_anneal_epochs": 4.0}, "0.75"),
        ({"kl_anneal_epochs": 4.0, "tested_epoch": "last"}, None),
        ({"kl_anneal_epochs": 3.0}, None),
        ({"kl_anneal_epochs": 0.0}, None),
        ({"kl_schedule": "cyclical"}, None),
    ],
)
def test_a_run_that_was_tested_within_the_annealing_is_not_said_to_have_collapsed(
    tmp_path: Path, write_run: WriteRun, fields: dict[str, Any], weight: str | None
) -> None:
    # The run has 4 epochs of 99 steps in all; the third was the best.
    write_run(dataset="mine", estimates={"nll_elbo": 100.0, "ppl_elbo": 90.0, "mi": 0.01}, **fields)
    (note,) = (note for note in notes(tmp_path, "mine") if "z says next" in note)
    assert note.startswith("posterior collapse") == note.endswith("language models") == (weight is None)
    assert weight is None or f"lies within KL annealing (β up to {weight}), before" in note


def test_a_config_that_differs_from_the_recipe_is_noted(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", max_epochs=3)
    write_run("lstm-vae", seed=0, max_epochs=3)
    write_run("lstm-vae", seed=1, max_epochs=3, status="failed")
    write_run("lstm-vae", dataset="yahoo", result=YAHOO_TEST, **YAHOO | {"hidden_size": 256})
    assert notes(tmp_path) == [
        "not run by the recipes of the systems: max_epochs=3 instead of 30 (2 of 2 runs); "
        "the differences from the published numbers may include this"
    ]
    assert "hidden_size=256 instead of 1024 (1 of 1 runs);" in notes(tmp_path, "yahoo")[0]


def test_what_the_text_of_a_folder_chooses_is_no_difference_from_a_recipe(
    tmp_path: Path, write_run: WriteRun
) -> None:
    own = tmp_path / "own.csv"
    own.write_text(
        "table,dataset,source,system,setting,metric,mean,beside\n2,mine,me,LSTM-LM,standard,nll,98,yes\n"
    )
    use([str(own)])
    try:
        write_run("lstm-lm", dataset="mine", min_count=2)
        assert notes(tmp_path, "mine") == []
        write_run("lstm-lm", dataset="mine", min_count=2, max_epochs=3)
        (note,) = [note for note in notes(tmp_path, "mine") if note.startswith("not run by")]
        assert "max_epochs=3 instead of 30 (1 of 2 runs);" in note
        assert "min_count" not in note
    finally:
        use()


def test_the_protocol_of_systems_with_two_is_named(tmp_path: Path, write_run: WriteRun) -> None:
    """An original is no deviation from a recipe; a field that differs from it is."""
    matched = recipe("lstm-vae-ain")
    original = he2019(matched)
    fields = original.to_dict()
    changed = {name: value for name, value in fields.items() if value != getattr(matched, name)}
    write_run("lstm-vae-ain", step="aggressive", seed=0)
    write_run("lstm-lm")
    (line,) = notes(tmp_path)
    assert line == ("protocols: LSTM-VAE-AIN+anneal L=1 by the recipes of all systems (--protocol matched)")
    write_run("lstm-vae-ain", step="aggressive", seed=1, **(changed | {"dropout": 0.3}))
    deviations, line = (note for note in notes(tmp_path) if "in 2 variants" not in note)
    assert deviations.startswith(
        "not run by the recipes of the systems: dropout=0.3 instead of 0.5 (1 of 3"
    )
    # The two runs are variants of one row, which the note names as the tables do.
    assert line == (
        "protocols: LSTM-VAE-AIN+anneal L=1 (A) as trained by its authors, but for changed fields "
        "(--protocol original); LSTM-VAE-AIN+anneal L=1 (B) by the recipes of all systems (--protocol "
        "matched)"
    )
    frame = collect([open_source(str(tmp_path / "study"))]).frame
    key = variant_key(mark_shown(average_cells(frame)), "ptb")
    assert len(key) == 2
    assert ["A" if "init_scale=0.01" in text else "B" for text in key] == [text[0] for text in key]


def test_a_protocol_is_not_said_to_be_followed_in_every_field_if_one_was_changed(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for system in ("cnn-lm", "cnn-vae"):
        planned = recipe(system, dataset="mine").to_dict()
        write_run(**(planned | {"min_count": 2} | ({"max_epochs": 12} if system == "cnn-lm" else {})))
    (line,) = (note for note in notes(tmp_path, "mine") if note.startswith("protocols"))
    assert line == (
        "protocols: CNN-LM by the recipes of all systems, but for changed fields (--protocol matched); "
        "CNN-VAE L=1 by the recipes of all systems (--protocol matched)"
    )


def test_runs_that_still_improved_when_their_epochs_ended_are_counted_by_row(
    tmp_path: Path, write_run: WriteRun
) -> None:
    ended = {"best_epoch": 4, "epochs": 4}
    several = "have their best epoch at max_epochs, so more epochs may lower their numbers"
    for seed in range(2):
        write_run("lstm-lm", seed=seed, dataset="mine", max_epochs=4, result=ended)
    assert f"2 of 2 runs {several}: all rows" in notes(tmp_path, "mine")
    # Stopped early, improved no more, or tested at another epoch than the best.
    write_run("lstm-lm", seed=2, dataset="mine", max_epochs=4)
    write_run("lstm-vae", seed=0, dataset="mine", max_epochs=5, result=ended)
    write_run("lstm-vae", seed=1, dataset="mine", max_epochs=4, tested_epoch="last", result=ended)
    assert f"2 of 5 runs {several}: LSTM-LM 2 of 3" in notes(tmp_path, "mine")
    write_run("lstm-vae", seed=2, dataset="mine", max_epochs=4, result=ended)
    assert f"3 of 6 runs {several}: LSTM-LM 2 of 3, LSTM-VAE L=1 1 of 3" in notes(tmp_path, "mine")


def test_a_test_split_other_than_the_published_is_noted(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0)
    write_run(seed=1, result={"tokens": 82429})
    same, variants, published = notes(tmp_path)
    assert same.startswith("not all numbers are over the same text")
    for runs in (
        "(1 run): min_count=1",
        "3,761 test sentences, 82,430 tokens",
        "sentences, 82,429 tokens",
    ):
        assert runs in same
    assert "run in 2 variants (tokens=82429; tokens=82430)" in variants
    assert published.startswith(
        "not the published test split (3,761 sentences, 82,430 tokens) in 1 of 2 runs"
    )


def test_different_configs_of_rows_are_noted_for_a_dataset_outside_the_paper(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm", dataset="pydocs", max_epochs=3)
    write_run("lstm-vae", 5, dataset="pydocs", max_epochs=4)
    assert notes(tmp_path, "pydocs") == [
        "not all rows were run with the same config: max_epochs=3 in LSTM-LM; max_epochs=4 in LSTM-VAE L=5"
    ]


def test_a_field_that_was_varied_in_every_row_alike_is_no_difference_between_rows(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for size in (8, 4):
        write_run("lstm-lm", dataset="pydocs", hidden_size=size)
        write_run("lstm-vae", 5, dataset="pydocs", hidden_size=size)
    assert not [note for note in notes(tmp_path, "pydocs") if note.startswith("not all rows")]
    write_run("lstm-vae", 1, dataset="pydocs", hidden_size=8)
    assert [note for note in notes(tmp_path, "pydocs") if note.startswith("not all rows")] == [
        "not all rows were run with the same config: hidden_size=4 and 8 in LSTM-LM, LSTM-VAE L=5; "
        "hidden_size=8 in LSTM-VAE L=1"
    ]


def test_a_repeated_seed_is_noted(tmp_path: Path, write_run: WriteRun) -> None:
    folder = write_run()
    result = folder.read_json("result.json") or {}
    for digit in "12":
        older = folder.name[:-8] + digit * 8
        copy = Study(str(tmp_path / "study")).run(older)
        copy.write_json("result.json", result | {"fingerprint": digit * 64})
    (note,) = (note for note in notes(tmp_path) if "repeat" in note)
    assert note == (
        "1 run repeats a seed of a run with the same fields, under another version of the code or by "
        "precision=auto; such runs are variants of their own"
    )


def test_the_monte_carlo_error_is_the_largest_of_an_nll(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae", 1, estimates={"nll_elbo": (100.0, 0.02), "ppl_elbo": (90.0, 0.9)})
    write_run("lstm-vae", 5, estimates={"nll_elbo": (100.0, 0.034), "kl": (3.0, 0.5)})
    assert notes(tmp_path) == ["Monte Carlo standard error of a run's NLL: at most 0.034 nats"]


def test_runs_trained_on_different_data_are_noted(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", data="a" * 64)
    write_run("lstm-vae", data="b" * 64)
    (note, *_) = notes(tmp_path)
    assert note.startswith("not all numbers are over the same text")
    assert "data aaaaaaaa" in note
    assert "data bbbbbbbb" in note


def test_runs_with_a_used_z_that_were_tested_within_annealing_are_counted(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """Before β is full, training minimises something else than what the table shows."""
    for system, L, best in (
        ("lstm-vae", 1, (4, 12, 9)),
        ("lstm-vae", 2, (11, 12, 10)),
        ("lstm-iwae", 5, (3,)),
    ):
        for seed, epoch in enumerate(best):
            write_run(
                system, L, seed=seed, dataset="mine", kl_anneal_epochs=10.0, kl_schedule="linear",
                estimates={"nll_elbo": 100.0, "mi": 1.0}, result={"best_epoch": epoch, "epochs": 12},
            )  # fmt: skip
    frame = collect([open_source(str(tmp_path / "study"))]).frame
    found = dataset_notes(frame, mark_shown(average_cells(frame)), "mine")
    (note,) = [note for note in found if "within KL annealing" in note]
    assert note == (
        "tested at an epoch within KL annealing, before the KL had its full weight in training: "
        "LSTM-VAE L=1 standard 2 of 3, LSTM-IWAE L=5 standard 1 of 1"
    )
