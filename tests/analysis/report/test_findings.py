"""Every report begins with what was found, by the rule of verdicts and no more."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from analysis.figures.pictures import Pictures
from analysis.formats.markdown import markdown
from analysis.formats.page.page import report_page
from analysis.formats.terminal import print_report
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.findings import Finding
from analysis.report.report import Report, compose
from analysis.report.two_studies import compare_studies
from analysis.stats.declared import UNDECLARED
from analysis.stats.pairs import Baseline
from analysis.stats.verdicts import REASONS
from lvae_core.run_folder.declared_seeds import declare_seeds
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe

from ..conftest import WriteRun, texts_of


def report(tmp_path: Path) -> Report:
    return compose(collect([open_source(str(tmp_path / "study"))]))


def on_terminal(composed: Report) -> str:
    console = Console(file=io.StringIO(), width=100, markup=False)
    print_report(composed, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def write_pairs(
    write_run: WriteRun, seeds: int, shift: float, study: str = "study", systems: int = 2
) -> None:
    """A language model and a model that uses z, whose bound lies ``shift`` nats above it."""
    for seed in range(seeds):
        write_run("lstm-lm", seed=seed, dataset="toy", estimates={"nll": 50 + seed / 8}, study=study)
        for L in range(1, systems):
            bound = {"nll_elbo": 50 + shift + seed / 7, "mi": 1.0}
            write_run("lstm-vae", L, seed=seed, dataset="toy", estimates=bound, study=study)


def test_too_few_seeds_are_said_first(tmp_path: Path, write_run: WriteRun) -> None:
    write_pairs(write_run, 3, -2.0)
    composed = report(tmp_path)
    (finding,) = composed.findings
    assert finding == Finding(
        "toy standard: no conclusion from 1 comparison of tightest valid bounds.",
        reasons=("LSTM-VAE L=1 against LSTM-LM: 3 common seeds are too few.",),
    )
    page = report_page(composed, Pictures((), ()), [], "", refresh=0)
    for text in (markdown(composed), page):
        places = [text.index(said) for said in (finding.text, *finding.reasons, "NLL (KL) in nats")]
        assert places == sorted(places)
    # A terminal has the tables first, and then why they allow no conclusion.
    text = " ".join(on_terminal(composed).split())
    said = (finding.text, "NLL (KL) in nats", "Comparisons over seeds", *finding.reasons)
    places = [text.index(part) for part in said]
    assert places == sorted(places)


def test_failed_runs_are_counted_where_a_reader_begins(tmp_path: Path, write_run: WriteRun) -> None:
    write_pairs(write_run, 3, -2.0)
    for seed in range(3, 7):
        write_run("lstm-vae", 1, seed=seed, dataset="toy", study="study", status="failed")
    write_run("lstm-lm", dataset="toy", setting="inputless", study="study", status="failed")
    inputless, standard = sorted(finding.text for finding in report(tmp_path).findings)
    assert standard.endswith(" 1 comparison of tightest valid bounds. 4 of 10 runs failed.")
    assert inputless == "toy inputless: 1 of 1 run failed."
    # The two seeds that the language model lacks are missing, and count as runs nowhere.
    facts = report(tmp_path).facts
    assert facts[0] == "runs: 11 (6 done, 5 failed), and 2 missing"


@pytest.mark.parametrize(
    ("shift", "conclusion"),
    [
        (
            -2.0,
            "LSTM-VAE L=1 is better than LSTM-LM by at least 1.94 (95%: 1.90 to 1.97) over 8 common seeds",
        ),
        (2.0, "LSTM-VAE L=1 against LSTM-LM: a bound above an exact number shows nothing"),
    ],
)
def test_a_verdict_is_the_conclusion(
    tmp_path: Path, write_run: WriteRun, shift: float, conclusion: str
) -> None:
    write_pairs(write_run, 8, shift)
    (finding,) = report(tmp_path).findings
    assert finding.text.endswith("conclusion from 1 comparison of tightest valid bounds.")
    assert [*finding.details, *finding.reasons][0].startswith(conclusion)


def test_two_bounds_are_said_to_decide_nothing_whatever_the_seeds(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for rate in (1.0, 2.0):
        write_run(dataset="toy", estimates={"nll_elbo": 50.0 + rate, "mi": 1.0}, learning_rate=rate)
    (finding,) = report(tmp_path).findings
    assert finding.reasons == (
        "LSTM-VAE L=1 (learning_rate=2) against LSTM-VAE L=1 (learning_rate=1): both numbers are bounds, "
        "and how far each lies above the truth is unknown (at any number of seeds).",
    )


@pytest.mark.parametrize(
    ("weighted", "mi", "reason"),
    [
        (47.0, 0.09, REASONS["collapsed"]),
        ({"value": 47.0, "khat_above": 0.06}, 1.0, REASONS["unreliable"]),
    ],
)
def test_what_is_judged_by_a_mean_over_seeds_is_not_said_to_last_at_any_number_of_them(
    tmp_path: Path, write_run: WriteRun, weighted: object, mi: float, reason: str
) -> None:
    """Other seeds can lift the mean over all of them above 0.1 nats, or below a share of 5%."""
    for seed in range(2):
        write_run("lstm-lm", seed=seed, dataset="toy", estimates={"nll": 50.0 + seed})
        bound = {"nll_elbo": 40.0, "nll_iw_joint": weighted, "mi": mi}
        write_run("lstm-vae-avg", 5, seed=seed, dataset="toy", estimates=bound, kl_anneal_epochs=1.0)
    (finding,) = report(tmp_path).findings
    assert finding.reasons == (f"LSTM-VAE-AVG L=5 against LSTM-LM: {reason} (not for lack of seeds).",)


@pytest.mark.parametrize(
    ("length", "advice"),
    [
        # The runs have 4 epochs, of which the third is tested: only then has the last the full weight.
        (4.0, "train longer, or test the last epoch"),
        (20.0, "train longer"),
    ],
)
def test_annealing_comes_with_what_to_do_about_it(
    tmp_path: Path, write_run: WriteRun, length: float, advice: str
) -> None:
    for setting in ("standard", "inputless"):
        for seed in range(2):
            write_run("lstm-lm", setting=setting, seed=seed, dataset="toy", estimates={"nll": 50.0 + seed})
            early = {"nll_elbo": 48.0 + seed, "mi": 0.01}
            write_run("lstm-vae", 1, setting, seed, dataset="toy", estimates=early, kl_anneal_epochs=length)
    expected = f"LSTM-VAE L=1 against LSTM-LM: {REASONS['annealing']} (not for lack of seeds); {advice}."
    assert [finding.reasons for finding in report(tmp_path).findings] == [(expected,)] * 2


def test_each_reason_has_a_sentence_that_names_the_systems(tmp_path: Path, write_run: WriteRun) -> None:
    write_pairs(write_run, 8, -2.0)
    bounds = {("lstm-vae", 5): (52.0, 1.0), ("lstm-vae", 10): (53.0, 1.0), ("lstm-iwae", 5): (48.0, 0.0)}
    for seed in range(8):
        for (system, L), (elbo, mi) in bounds.items():
            found = {"nll_elbo": elbo + seed / 7, "mi": mi}
            length = 1.0 if system == "lstm-iwae" else 10.0
            write_run(system, L, seed=seed, dataset="toy", estimates=found, kl_anneal_epochs=length)
    (finding,) = report(tmp_path).findings
    assert finding.text == "toy standard: 1 conclusion from 5 comparisons of tightest valid bounds."
    assert finding.details[0].startswith("LSTM-VAE L=1 is better than LSTM-LM by at least ")
    assert sorted(finding.reasons) == [
        "LSTM-IWAE L=5 against LSTM-LM; LSTM-IWAE L=5 against LSTM-VAE L=5: "
        f"{REASONS['collapsed']} (not for lack of seeds).",
        f"LSTM-VAE L=5 and LSTM-VAE L=10 against LSTM-LM: {REASONS['bound above exact']}.",
    ]


def test_many_comparisons_without_a_conclusion_are_named_in_part(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_pairs(write_run, 2, -2.0, systems=12)
    (finding,) = report(tmp_path).findings
    (reason,) = finding.reasons
    assert "LSTM-VAE L=7, LSTM-VAE L=8 and 3 more against LSTM-LM: 2 common seeds" in reason


def test_variants_of_one_system_are_named_together_and_their_key_is_pointed_at(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(2):
        for dropout in (0.0, 0.3):
            exact = {"nll": 50 + seed / 8 + dropout}
            write_run("lstm-lm", seed=seed, dataset="toy", estimates=exact, dropout=dropout)
            for size in (4, 8):
                bound = {"nll_elbo": 48 + seed / 7 + dropout + size / 8, "mi": 1.0}
                fields = {"latent_size": size, "dropout": dropout}
                write_run("lstm-vae", 2, seed=seed, dataset="toy", estimates=bound, **fields)
    composed = report(tmp_path)
    summary, pointer = composed.findings
    bounds, seeds = sorted(summary.reasons, key=lambda reason: "too few" in reason)
    assert seeds.startswith("LSTM-LM (B) and LSTM-VAE L=2 (C, E) against LSTM-LM (A); ")
    assert bounds.startswith("LSTM-VAE L=2 (D to F) against LSTM-VAE L=2 (C): both numbers are bounds")
    assert pointer.text.startswith("Names in parentheses, as in LSTM-LM (A), are explained below the first")
    assert "LSTM-VAE L=2, " not in on_terminal(composed) + markdown(composed)


def test_a_terminal_prints_no_note_twice(tmp_path: Path, write_run: WriteRun) -> None:
    for dataset in ("toy", "topics"):
        for seed in range(2):
            write_run("lstm-lm", seed=seed, dataset=dataset, estimates={"nll": 50 + seed / 8})
            draws = {"value": 49.0, "ess": 2.0, "khat_above": 0.9}
            bounds = {"nll_elbo": 45.0, "nll_joint": 53.0 + seed / 7, "nll_iw_joint": draws, "mi": 1.0}
            write_run("lstm-vae-avg", 5, seed=seed, dataset=dataset, estimates=bounds)
    text = " ".join(on_terminal(report(tmp_path)).split())
    for once in ("diff: mean difference", "‡: NLL and PPL count", "importance samples may decide, "):
        assert text.count(once) <= 1, once
    assert "from these runs" not in text


def test_without_a_comparison_the_reason_is_given(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(dataset="toy")
    assert report(tmp_path).findings == (
        Finding("toy standard: nothing to compare, only LSTM-VAE L=1 has finished runs."),
    )
    write_run(dataset="toy", num_samples=5)
    assert report(tmp_path).findings == (
        Finding("toy standard: nothing to compare with, as LSTM-LM has no finished run."),
    )


def test_two_studies_begin_with_what_was_found(tmp_path: Path, write_run: WriteRun) -> None:
    write_pairs(write_run, 8, 0.0, study="a", systems=1)
    for seed in range(8):
        estimates = {"nll": 49 + seed / 9}
        write_run("lstm-lm", seed=seed, dataset="toy", study="b", estimates=estimates, max_epochs=9)
    compared = compare_studies(*(collect([open_source(str(tmp_path / name))]) for name in "ab"))
    (finding,) = compared.findings
    assert finding.text == "toy standard: 1 conclusion from 1 comparison of tightest valid bounds."
    assert finding.details[0].startswith("LSTM-LM of B is better than LSTM-LM of A by ")


def test_a_terminal_shows_a_study_on_two_screens_and_names_the_rest(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(3):
        write_run("lstm-lm", seed=seed, dataset="toy")
        for size in (4, 8):
            for system in ("lstm-vae", "lstm-vae-avg"):
                bounds = {"nll_elbo": 97.0 + seed / size, "nll_joint": 98.0 + seed / size, "mi": 1.0}
                write_run(system, 2, seed=seed, dataset="toy", estimates=bounds, latent_size=size)
    text = on_terminal(report(tmp_path))
    assert len(text.splitlines()) <= 80
    assert "importance-weighted NLL (IW)" not in text
    assert "published convention)" not in text.partition("Comparisons")[2]
    assert "‡" not in text.partition("Comparisons")[2]
    rest = " ".join(text.split()).partition("Only in the files: ")[2]
    assert rest.startswith(
        "what the conventions change, importance-weighted NLL, bounds, the rule and family of verdicts, "
        "use of the latent variable, "
    )
    composed = report(tmp_path)
    page = report_page(composed, Pictures((), ()), [], "", refresh=0)
    for note in ("n: number of seeds", "A model is called better", "A family is all"):
        assert page.count(note) == markdown(composed).count(note) == 1, note


def test_the_seeds_that_significance_needs_are_said_of_what_they_can_decide(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_pairs(write_run, 3, -2.0)
    table = report(tmp_path).comparisons[0]
    assert (
        "; significance here needs at most 6 seeds, if the differences of all have one sign: fix"
        in " ".join(table.notes)
    )
    for seed in range(3):
        bound = {"nll_elbo": 51 + seed / 7, "mi": 1.0}  # above the exact number, whatever the seeds
        write_run("lstm-vae", 5, seed=seed, dataset="toy", estimates=bound, study="study")
    notes = " ".join(report(tmp_path).comparisons[0].notes)
    # The exact number against L = 1, counted once though by two estimates; nothing decides against L = 5.
    assert "; significance of the 1 that more seeds can decide needs at most 7 seeds, if" in notes


def test_comparisons_with_one_common_seed_count_among_those_that_more_seeds_would_test(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """Ten systems against one: only two can be tested, but with as many seeds as they need all can be."""
    for seed in range(2):
        write_run("lstm-lm", seed=seed, dataset="toy", estimates={"nll": 50 + seed / 8})
        for L in range(1, 11 if seed == 0 else 3):
            write_run(
                "lstm-vae", L, seed=seed, dataset="toy", estimates={"nll_elbo": 48 + seed / 7, "mi": 1.0}
            )
    (table,) = report(tmp_path).comparisons
    # 2 of 2^9 flips, times ten, is 0.039; with eight seeds, as two comparisons would need at most, 0.078.
    assert "needs at most 9 seeds (after Holm over all 10 comparisons), if" in " ".join(table.notes)


def test_the_smallest_p_is_given_beside_the_other_comparisons_of_a_family(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """Holm multiplies the p of six seeds by one only, as that of ten seeds is smaller."""
    write_pairs(write_run, 10, -2.0)
    for seed in range(6):
        bound = {"nll_elbo": 47 + seed / 7, "mi": 1.0}
        write_run("lstm-vae", 5, seed=seed, dataset="toy", estimates=bound, study="study")
    (table,) = report(tmp_path).comparisons
    notes = " ".join(table.notes)
    # 2 of 64 flips times one, and 2 of 1024 flips times two.
    assert "with 6 seeds is 0.03125, and 0.031 after Holm over 2 comparisons" in notes
    assert "with 10 seeds is 0.001953, and 0.0039 after Holm over 2 comparisons" in notes
    assert "significance" not in notes.partition("the smallest p")[2].partition("declared")[0]
    found = {line.label.strip(): line.values[-4:] for line in table.lines if line.kind == "ours"}
    assert found["LSTM-VAE L=5"][0] == "0.031"
    assert found["LSTM-VAE L=5"][-1] == "better (at least)"


def test_a_verdict_says_in_how_many_runs_z_says_nothing(tmp_path: Path, write_run: WriteRun) -> None:
    write_pairs(write_run, 8, -2.0)
    for seed in range(3):
        bound = {"nll_elbo": 48 + seed / 7, "mi": 0.01}
        write_run("lstm-vae", 1, seed=seed, dataset="toy", estimates=bound, study="study")
    (sentence,) = texts_of(report(tmp_path).findings)
    assert "over 8 common seeds, though z says next to nothing in 3 of 8 runs of LSTM-VAE L=1" in sentence


@pytest.mark.parametrize(
    ("declared", "caveat"),
    [
        (12, " (interim: 8 of 12 declared seeds)"),
        (8, ""),
        (4, " (8 seeds, of which 4 were declared)"),
        (1, " (8 seeds, of which 1 was declared)"),
        (None, " (their number was not declared beforehand)"),
    ],
)
def test_every_named_verdict_says_if_its_seeds_are_not_those_that_were_declared(
    tmp_path: Path, write_run: WriteRun, declared: int | None, caveat: str
) -> None:
    if declared:
        declare_seeds(Study(str(tmp_path / "study")), declared)
    write_pairs(write_run, 8, -2.0, systems=3)
    (sentence,) = texts_of(report(tmp_path).findings)
    assert sentence.count(" is better than LSTM-LM ") == 2
    assert sentence.count("over 8 common seeds" + caveat) == 2
    assert sentence.count("(") - sentence.count("(95%") == (2 if caveat else 0)


def write_cnn_against_lstm(write_run: WriteRun, cnn: dict[str, Any], lstm: dict[str, Any]) -> None:
    for seed in range(6):
        for system, nll, changed in (("lstm-lm", 50 + seed / 8, lstm), ("cnn-lm", 48 + seed / 7, cnn)):
            planned = recipe(system, dataset="toy", seed=seed).to_dict()
            write_run(**(planned | changed), estimates={"nll": nll})


@pytest.mark.parametrize(
    ("cnn", "lstm", "fields"),
    [
        ({"max_epochs": 12, "dropout": 0.1}, {"max_epochs": 1, "dropout": 0.8}, "dropout, max_epochs"),
        ({"max_epochs": 12}, {}, "max_epochs"),
        # The optimiser and its rate are of the recipes; what was changed alike is no difference.
        ({}, {}, ""),
        ({"max_epochs": 12}, {"max_epochs": 12}, ""),
        # Nor is what only the estimates read.
        ({}, {"tested_epoch": "last"}, ""),
    ],
)
def test_a_verdict_on_systems_that_were_trained_differently_says_so_wherever_it_is_printed(
    tmp_path: Path, write_run: WriteRun, cnn: dict[str, Any], lstm: dict[str, Any], fields: str
) -> None:
    write_cnn_against_lstm(write_run, cnn, lstm)
    runs = collect([open_source(str(tmp_path / "study"))])
    composed = compose(runs, Baseline(systems=("lstm-lm",)))
    assert "CNN-LM is better than LSTM-LM" in texts_of(composed.findings)[0]
    caveat = f"not the same config: {fields}"
    (table,) = composed.comparisons
    said = [note for note in table.marks if note.startswith(caveat)]
    (row,) = (row for row in table.csv_rows() if row["metric"] == "nll_valid")
    assert row["unequal_fields"] == fields.replace(",", "")
    if fields:
        assert f" declared beforehand; {caveat})." in texts_of(composed.findings)[0]
        assert said == [note for note in table.notes if "same config" in note]
        assert said[0].startswith(f"{caveat} (CNN-LM against LSTM-LM)")
    else:
        assert "same config" not in " ".join([*texts_of(composed.findings), *table.notes])


def test_variants_of_one_system_need_no_word_on_their_configs(tmp_path: Path, write_run: WriteRun) -> None:
    for epochs in (1, 9):
        for seed in range(6):
            estimates = {"nll": 50 + seed / 8 + epochs}
            write_run("lstm-lm", seed=seed, dataset="toy", estimates=estimates, max_epochs=epochs)
    (sentence,) = texts_of(report(tmp_path).findings)
    assert "is worse than LSTM-LM (max_epochs=1)" in sentence
    assert "same config" not in sentence


def test_a_number_that_was_declared_after_results_counts_as_not_declared(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_pairs(write_run, 8, -2.0)
    declare_seeds(Study(str(tmp_path / "study")), 8)
    assert (
        "8 common seeds (their number was not declared beforehand)"
        in texts_of(report(tmp_path).findings)[0]
    )


def test_a_verdict_over_a_number_of_seeds_that_was_not_declared_says_so(
    tmp_path: Path, write_run: WriteRun
) -> None:
    declare_seeds(Study(str(tmp_path / "declared")), 8)
    for study in ("study", "declared"):
        write_pairs(write_run, 8, -2.0, study=study)
    composed = report(tmp_path)
    assert (
        "over 8 common seeds (their number was not declared beforehand)" in texts_of(composed.findings)[0]
    )
    assert UNDECLARED in composed.comparisons[0].notes
    composed = compose(collect([open_source(str(tmp_path / "declared"))]))
    assert "over 8 common seeds" in texts_of(composed.findings)[0]
    assert "declared" not in texts_of(composed.findings)[0]
    assert UNDECLARED not in composed.comparisons[0].notes
