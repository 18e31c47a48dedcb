"""Compose the report from the runs: tables, bounds, comparisons, costs, and what failed or is missing.

One :class:`Report` is the source of the terminal's output, the Markdown page and the web page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.published.catalogue import compared_datasets
from analysis.reading.collect import Runs
from analysis.reading.frame import runs_in_rows
from analysis.reading.sources import study_names
from analysis.reading.validation import lowest_perplexities
from analysis.report.failed_runs import failed_runs
from analysis.report.findings import Finding, findings, names_explained
from analysis.report.noted_tables import (
    bounds_tables,
    comparison_tables,
    reproduction_tables,
    tables2,
    tables3,
    with_lines,
)
from analysis.report.provenance import facts, origins
from analysis.report.search_trials import name_trials, search_notes
from analysis.report.unfinished_launches import unfinished_launches
from analysis.stats.average import Average, finite_mean
from analysis.stats.cells import Cell
from analysis.stats.comparisons import Comparison, compare_all
from analysis.stats.declared import declaration_note, declared_beforehand, declared_for
from analysis.stats.missing_runs import cells_without_runs, with_missing
from analysis.stats.over_seeds import average_cells, with_bootstrap
from analysis.stats.pairs import OWN_BASELINES, Baseline
from analysis.stats.verdicts import RULE
from analysis.tables.bound_examples import CAUTION, below_the_truth, examples, explanation
from analysis.tables.costs import cost_table
from analysis.tables.elements.best import best_averages, compared_averages
from analysis.tables.elements.shown_variants import Score, mark_shown, tightest_nll
from analysis.tables.elements.table import Table, dataset_title, row_label
from analysis.tables.hyperparameters import hyperparameter_table
from analysis.tables.latent import latent_table
from analysis.tables.paper import further_table
from analysis.tables.spelled import spelled_table
from lvae_core.errors import InputError
from lvae_core.run_folder.advice import failure_advice
from lvae_core.run_folder.declared_seeds import DeclaredSeeds

RESAMPLING_SEED = 20190728
"""Seed of bootstrap and sign flips: the same runs give the same report."""

RETRY = "to retry them, run the sweep's command with --retry-failed"


@dataclass(frozen=True)
class Report:
    """The content of a report, in the order in which it is shown."""

    studies: tuple[str, ...]
    remarks: tuple[str, ...]
    """What a reader must know before any number."""
    facts: tuple[str, ...]
    findings: tuple[Finding, ...]
    """What a reader should see first: the number furthest below the known truth of each dataset, launches
    that have not ended, and what the comparisons of each dataset and setting show. Of a search's trials,
    nothing is compared."""
    table2: tuple[Table, ...]
    table3: tuple[Table, ...]
    further: tuple[Table, ...]
    """Numbers that others published on the same test splits."""
    bounds: tuple[Table, ...]
    spelled: tuple[Table, ...]
    """NLL per character, for datasets with several vocabularies over one test split."""
    examples: tuple[str, ...]
    said_above: tuple[str, ...]
    """Notes of tables that the examples have given already."""
    comparisons: tuple[Table, ...]
    reproductions: tuple[Table, ...]
    latent: tuple[Table, ...]
    costs: tuple[Table, ...]
    hyperparameters: tuple[Table, ...]
    best: tuple[Average, ...]
    """The averages of models that are better than all they are compared with."""
    compared: tuple[Average, ...]
    """The averages of models that are compared with any other."""
    problems: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]
    """Name of each failed run, and its variant and why it failed."""
    advice: tuple[str, ...]
    """What to do about the failed runs."""
    missing: tuple[str, ...]
    frame: pd.DataFrame
    """The runs, missing ones included."""
    cells: tuple[Cell, ...]
    datasets: tuple[str, ...]
    """Those with published numbers come first."""

    @property
    def title(self) -> str:
        """The report's title: its studies, and published numbers only if it has some."""
        kind = "Results and published numbers" if self.has_published else "Results"
        return f"{kind}: {study_names(self.studies)}" if self.studies else kind

    def best_in(self, table: Table) -> tuple[Average, ...] | None:
        """The averages that a table sets in bold; None if none of its numbers was compared."""
        compared = set(map(id, self.compared))
        has_any = any(id(value) in compared for line in table.lines for value in line.values)
        return self.best if has_any else None

    @property
    def title2(self) -> str:
        """The title above ``table2``: its published number, if it has published rows."""
        return "Table 2" if any(table.number for table in self.table2) else "NLL and PPL"

    @property
    def title3(self) -> str:
        """The title above ``table3``; see :attr:`title2`."""
        return "Table 3" if any(table.number for table in self.table3) else "Importance-weighted NLL"

    @property
    def short_facts(self) -> tuple[str, ...]:
        """The facts without the origins that all runs share."""
        runs = int((self.frame["status"] != "missing").sum())
        # A run that did not record its origin does not share it, nor does one of the current numerics share
        # another version.
        shared = {name for name, values in origins(self.frame) if [n for _, n in values] == [runs]}
        return tuple(fact for fact in self.facts if fact.partition(":")[0] not in shared)

    @property
    def explanation(self) -> tuple[str, ...]:
        """Sentences that say which numbers are bounds."""
        return explanation(self.cells, self.datasets)

    @property
    def has_published(self) -> bool:
        """Whether any table has a published number."""
        return any(table.has_published for table in (*self.table2, *self.table3, *self.further))


def compose(runs: Runs, baseline: Baseline = OWN_BASELINES) -> Report:
    """Compute everything that a report shows from the runs.

    Raises:
        InputError: no finished run is of the chosen baseline, or trials of a search should be compared.
    """
    frame = with_missing(runs.frame)
    rows = runs_in_rows(frame)
    # Trials of a search have not been compared by their test numbers, and are not here.
    is_compared = not _has_only_trials(runs)
    # Drawn from in a fixed order: bootstrap first, then sign flips.
    rng = np.random.default_rng(RESAMPLING_SEED)
    cells = _cells(runs, frame, rows, rng, baseline)
    compared = compare_all(cells, rng, baseline) if is_compared else []
    datasets, published = _dataset_order(frame)
    concluded = datasets if is_compared else []
    declared = declared_for(runs)
    declaration = _declaration(declared, compared)
    sentences = _example_sentences(frame, cells, concluded, compared)
    failed = frame[frame["status"] == "failed"]
    return Report(
        studies=runs.studies,
        remarks=tuple(search_notes(runs.searches)),
        facts=tuple(facts(runs, frame, cells)),
        findings=(
            # Seen in one row alone, so it needs no comparison and no other run.
            *(Finding(text) for dataset in concluded for text in below_the_truth(cells, dataset)),
            *map(Finding, unfinished_launches(runs)),
            *findings(cells, concluded, compared, declared_beforehand(runs)),
            *names_explained(cells if concluded else ()),
        ),
        table2=tables2(frame, rows, cells, datasets),
        table3=tables3(rows, cells, datasets),
        further=with_lines(further_table(dataset) for dataset in datasets),
        bounds=bounds_tables(rows, cells, datasets),
        spelled=with_lines(spelled_table(cells, dataset) for dataset in datasets),
        examples=(*sentences, CAUTION, *map(_sentence, declaration)) if sentences else (),
        said_above=(RULE, *declaration) if sentences else (),
        comparisons=comparison_tables(compared, cells, datasets, declared, baseline),
        reproductions=reproduction_tables(cells, published),
        latent=with_lines(latent_table(cells, dataset) for dataset in datasets),
        costs=with_lines(cost_table(cells, dataset) for dataset in datasets),
        hyperparameters=with_lines(hyperparameter_table(frame, dataset) for dataset in datasets),
        best=tuple(best_averages(compared)),
        compared=tuple(compared_averages(compared)),
        problems=runs.problems,
        failures=tuple(failed_runs(frame)),
        advice=tuple(failure_advice(failed["failure_class"].astype(str), RETRY)),
        missing=tuple(_missing(cells, published)),
        frame=frame,
        cells=tuple(cells),
        datasets=tuple(datasets),
    )


def _has_only_trials(runs: Runs) -> bool:
    """Whether all runs are trials of a search."""
    trials = {search.study for search in runs.searches if not search.retrained}
    return bool(trials) and trials == set(runs.studies)


def _cells(
    runs: Runs, frame: pd.DataFrame, rows: pd.DataFrame, rng: np.random.Generator, baseline: Baseline
) -> list[Cell]:
    """Average the runs of each cell over seeds, and mark and name the variants that tables show.

    Args:
        runs: what was read.
        frame: all runs, missing ones included.
        rows: those that tables show.
        rng: draws the bootstrap samples.
        baseline: what the user chose.

    Raises:
        InputError: see :func:`compose`.
    """
    averaged = average_cells(rows)
    if _has_only_trials(runs):
        if baseline != OWN_BASELINES:
            raise InputError(
                "--baseline: trials of a search are not compared; give the study of its retrained best"
            )
        score = _by_validation(averaged, frame)
    else:
        baseline.check(averaged)
        score = _chosen_first(tightest_nll, baseline)
    shown = mark_shown(averaged, score=score)
    return with_bootstrap(name_trials(shown, frame, runs.searches), rng)


def _by_validation(cells: Sequence[Cell], frame: pd.DataFrame) -> Score:
    """Rate cells by their lowest validation perplexity, mean over runs."""
    runs = {id(cell): sorted({run for a in cell.averages.values() for run in a.runs}) for cell in cells}
    found = lowest_perplexities(frame, [run for of_cell in runs.values() for run in of_cell])

    def score(cell: Cell) -> float:
        of_cell = runs[id(cell)]
        return finite_mean([found.get(run, math.inf) for run in of_cell]) if of_cell else math.inf

    return score


def _chosen_first(score: Score, baseline: Baseline) -> Score:
    """Show the variant that others are compared with, wherever it stands."""
    return lambda cell: -math.inf if baseline.is_variant(cell) else score(cell)


def _dataset_order(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The datasets of the runs in the order of the report, and those of them with published numbers."""
    present = set(frame["dataset"].dropna())
    published = [dataset for dataset in compared_datasets() if dataset in present]
    # A number below the known truth is what a reader should see first.
    known = set(frame["dataset"][frame["true_nll"].notna()])
    others = sorted(present - set(published), key=lambda name: (name not in known, name))
    return [*published, *others], published


def _declaration(declared: DeclaredSeeds | None, compared: Sequence[Comparison]) -> list[str]:
    """Say what was declared about the seeds of the comparisons; nothing if there are none."""
    if declared is None or not compared:
        return []
    return [declaration_note(declared, (len(c.paired.seeds) for c in compared))]


def _example_sentences(
    frame: pd.DataFrame, cells: Sequence[Cell], datasets: Sequence[str], compared: Sequence[Comparison]
) -> list[str]:
    """Show for each dataset what the choice of convention changes."""
    return [
        sentence
        for dataset in datasets
        for sentence in examples(cells, dataset, compared, lambda names: lowest_perplexities(frame, names))
    ]


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}."


def _missing(cells: Sequence[Cell], published: Sequence[str]) -> Iterable[str]:
    """Name the published cells without a run. A study need not have other datasets than its own."""
    for dataset in published:
        missing = cells_without_runs(cells, dataset)
        if missing:
            names = [f"{row_label(c.system, c.num_samples)} {c.setting}" for c in missing]
            yield f"{dataset_title(dataset)}: no run of {', '.join(names)}"
