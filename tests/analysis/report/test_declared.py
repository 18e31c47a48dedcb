"""A report says what a declared number of seeds means for its p-values."""

import pytest

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.stats.declared import declaration_note, declared_for
from lvae_core.run_folder.declared_seeds import FILE, DeclaredSeeds, declare_seeds
from lvae_core.run_folder.study import Study

BEFORE = DeclaredSeeds(4, "2026-11-28T14:03:59", 0, 0)
LATE = DeclaredSeeds(4, "2026-11-28T14:03:59", 5, 6)


@pytest.mark.parametrize(
    ("declared", "seeds", "words"),
    [
        (BEFORE, [4, 4], "p-values are of a test whose number of seeds was fixed beforehand"),
        (BEFORE, [2, 3, 4], "p-values over fewer (here 2 to 3) are interim"),
        (BEFORE, [3, 6], "p-values over fewer (here 3) are interim; 2 seeds more were added: "),
        (BEFORE, [5], "1 seed more was added: "),
        # Cells without a finished run, and comparisons without a common seed, have no p-value.
        (BEFORE, [0, 4], "p-values are of a test whose number of seeds was fixed beforehand"),
        (BEFORE, [0, 2], "p-values over fewer (here 2) are interim"),
        (LATE, [4], "not fixed beforehand"),
    ],
)
def test_the_note_says_what_follows_for_p_values(declared, seeds, words):
    head, _, consequence = declaration_note(declared, seeds).partition(" UTC): ")
    assert head.startswith("declared 4 seeds ")
    assert consequence.startswith(words)


def write(write_run, study, seeds):
    for system in ("lstm-lm", "lstm-vae"):
        for seed in range(seeds):
            name = {"lstm-lm": "nll"}.get(system, "nll_elbo")
            write_run(system, seed=seed, study=study, estimates={name: 100.0 + seed})


def test_head_table_and_sentences_have_the_note(tmp_path, write_run):
    declare_seeds(Study(str(tmp_path / "study")), 4)
    write(write_run, "study", 3)
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    notes = [note for table in report.comparisons for note in table.notes]
    for lines in (report.facts, notes, report.examples):
        (line,) = [text for text in lines if "4 seeds before the first run" in text]
        assert "p-values over fewer (here 3) are interim" in line


def test_studies_that_declared_different_numbers_share_none(tmp_path, write_run):
    for study, seeds in (("a", 2), ("b", 3)):
        declare_seeds(Study(str(tmp_path / study)), seeds)
        write_run("lstm-lm", seed=seeds, study=study)
    runs = collect([open_source(str(tmp_path / study)) for study in "ab"])
    assert declared_for(runs) is None
    assert sum("not all studies here have this number" in fact for fact in compose(runs).facts) == 2


def test_a_damaged_declaration_is_a_problem_of_the_report(tmp_path, write_run):
    write_run("lstm-lm")
    (tmp_path / "study" / FILE).write_text("{}")
    runs = collect([open_source(str(tmp_path / "study"))])
    assert runs.declared == ()
    assert len(runs.problems) == 1
